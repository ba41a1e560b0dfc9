//! Paths in their normal form, so that one resource has one path when routes and limits look at it.
//!
//! As Envoy Gateway sets Envoy up: dot segments are resolved and slashes merged (RFC 3986, section 6.2.2); a path with
//! an escaped slash or backslash is not guessed at but sent back to the client, unescaped (307).

/// What is to be done with a path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Normalised {
    /// It is in normal form.
    Same,
    /// This is its normal form.
    Changed(String),
    /// It had escaped slashes; this is its normal form without them, which the client is to ask for.
    Redirect(String),
}

/// The normal form of a path (without the query).
pub(crate) fn normalise(path: &str) -> Normalised {
    if !path.starts_with('/') || is_normal(path) {
        return Normalised::Same;
    }
    let (unescaped, slashes) = unescape(path);
    let normal = resolve(&unescaped);
    if slashes {
        Normalised::Redirect(normal)
    } else if normal == path {
        Normalised::Same
    } else {
        Normalised::Changed(normal)
    }
}

/// True where there is surely nothing to do: no escapes, backslashes, double slashes or segments that begin with a dot.
fn is_normal(path: &str) -> bool {
    let mut previous = 0;
    path.bytes().all(|byte| {
        let suspicious = match byte {
            b'%' | b'\\' => true,
            b'/' | b'.' => previous == b'/',
            _ => false,
        };
        previous = byte;
        !suspicious
    })
}

/// Decodes escaped letters, digits, `-`, `.`, `_` and `~`, which mean the same either way, and slashes; makes slashes of
/// backslashes, as browsers do. Tells whether an escaped slash or backslash was among them.
fn unescape(path: &str) -> (String, bool) {
    let mut normal = String::with_capacity(path.len());
    let mut slashes = false;
    let mut rest = path;
    while let Some(at) = rest.find(['%', '\\']) {
        let (before, after) = rest.split_at(at);
        normal.push_str(before);
        if let Some(after) = after.strip_prefix('\\') {
            normal.push('/');
            rest = after;
            continue;
        }
        let escaped = after
            .get(1..3)
            .filter(|digits| digits.bytes().all(|it| it.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        rest = match escaped {
            Some(b'/' | b'\\') => {
                slashes = true;
                normal.push('/');
                &after[3..]
            }
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                normal.push(char::from(byte));
                &after[3..]
            }
            Some(_) => {
                normal.push('%');
                &after[1..]
            }
            // Not an escape, so the percent sign means itself. Left alone, it could make one with what follows.
            None => {
                normal.push_str("%25");
                &after[1..]
            }
        };
    }
    normal.push_str(rest);
    (normal, slashes)
}

/// Resolves `.` and `..` and merges slashes. Going above the root stays at the root.
fn resolve(path: &str) -> String {
    let mut normal = String::with_capacity(path.len());
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            ".." => normal.truncate(normal.rfind('/').unwrap_or(0)),
            "." | "" => {}
            segment => {
                normal.push('/');
                normal.push_str(segment);
                continue;
            }
        }
        if last {
            normal.push('/');
        }
    }
    if normal.is_empty() {
        normal.push('/');
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_one_form() {
        let same = [
            "/", "/a", "/a/", "/a/b.c", "/a..b", "/a/b/", "/%20", "/a%25", "/a%C3%A9", "*",
        ];
        for path in same {
            assert_eq!(normalise(path), Normalised::Same, "{path}");
        }
        let changed = [
            ("//", "/"),
            ("//a", "/a"),
            ("/a//b///c", "/a/b/c"),
            ("/a//", "/a/"),
            ("/.", "/"),
            ("/..", "/"),
            ("/../..//../etc", "/etc"),
            ("/a/./b", "/a/b"),
            ("/a/b/..", "/a/"),
            ("/a/b/.", "/a/b/"),
            ("/a/b/../c", "/a/c"),
            ("/a/%2e%2E/c", "/c"),
            ("/a/.%2e/c", "/c"),
            ("/%61dmin", "/admin"),
            ("/a\\..\\b", "/b"),
            ("/a//..", "/"),
            ("/a%2", "/a%252"),
            ("/100%", "/100%25"),
            ("/%+f", "/%25+f"),
            ("/%%32%46", "/%252F"),
        ];
        for (path, normal) in changed {
            assert_eq!(
                normalise(path),
                Normalised::Changed(normal.to_owned()),
                "{path}"
            );
        }
        let redirected = [
            ("/a%2Fb", "/a/b"),
            ("/a%2f..%5cb", "/b"),
            ("/a/%2f/b", "/a/b"),
        ];
        for (path, normal) in redirected {
            assert_eq!(
                normalise(path),
                Normalised::Redirect(normal.to_owned()),
                "{path}"
            );
        }
    }

    #[test]
    fn a_hidden_file_is_in_normal_form() {
        assert_eq!(normalise("/.well-known/x"), Normalised::Same);
    }

    proptest::proptest! {
        #[test]
        fn the_normal_form_of_a_normal_form_is_itself(path in "/[a./%2eEfF\\\\]{0,24}") {
            let normal = match normalise(&path) {
                Normalised::Same => path,
                Normalised::Changed(normal) | Normalised::Redirect(normal) => normal,
            };
            proptest::prop_assert_eq!(normalise(&normal), Normalised::Same);
            proptest::prop_assert!(normal.starts_with('/'));
            proptest::prop_assert!(!normal.contains("//") && !normal.contains("/../") && !normal.ends_with("/.."));
        }
    }
}
