//! Paths in their normal form, so that one resource has one path when routes and limits look at it.
//!
//! Dot segments are resolved (RFC 3986, section 6.2.2); the rest is up to the listener. Unless it says otherwise, as Envoy
//! Gateway sets Envoy up: slashes are merged, and a path with an escaped slash or backslash is not guessed at but sent
//! back to the client, unescaped (307).

use weir_plan::{EscapedSlashes, PathNormalisation};

/// What is to be done with a path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Normalised {
    /// It is in normal form.
    Same,
    /// This is its normal form.
    Changed(String),
    /// It had escaped slashes; this is its normal form without them, which the client is to ask for.
    Redirect(String),
    /// It has escaped slashes, which are not taken.
    Refused,
}

/// The normal form of a path (without the query).
pub(crate) fn normalise(path: &str, rules: PathNormalisation) -> Normalised {
    if !path.starts_with('/') || is_normal(path) {
        return Normalised::Same;
    }
    let PathNormalisation {
        merge_slashes,
        escaped_slashes,
    } = rules;
    let keep = escaped_slashes == EscapedSlashes::KeepUnchanged;
    let (unescaped, slashes) = unescape(path, keep);
    let sends_back = match escaped_slashes {
        EscapedSlashes::RejectRequest if slashes => return Normalised::Refused,
        EscapedSlashes::UnescapeAndRedirect => slashes,
        EscapedSlashes::KeepUnchanged
        | EscapedSlashes::RejectRequest
        | EscapedSlashes::UnescapeAndForward => false,
    };
    let normal = resolve(&unescaped, merge_slashes);
    if sends_back {
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
/// backslashes, as browsers do. Tells whether an escaped slash or backslash was among them, which stays as it is where it
/// is to be kept.
fn unescape(path: &str, keep: bool) -> (String, bool) {
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
            Some(b'/' | b'\\') if !keep => {
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

/// Resolves `.` and `..` and merges slashes, where they are to be merged: otherwise what is between two of them is a
/// segment too. Going above the root stays at the root.
fn resolve(path: &str, merge: bool) -> String {
    let mut normal = String::with_capacity(path.len());
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            ".." => normal.truncate(normal.rfind('/').unwrap_or(0)),
            "." => {}
            "" if merge || last => {}
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

    const DEFAULT: PathNormalisation = PathNormalisation::DEFAULT;

    #[test]
    fn paths_have_one_form() {
        let same = [
            "/", "/a", "/a/", "/a/b.c", "/a..b", "/a/b/", "/%20", "/a%25", "/a%C3%A9", "*",
        ];
        for path in same {
            assert_eq!(normalise(path, DEFAULT), Normalised::Same, "{path}");
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
                normalise(path, DEFAULT),
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
                normalise(path, DEFAULT),
                Normalised::Redirect(normal.to_owned()),
                "{path}"
            );
        }
    }

    #[test]
    fn a_hidden_file_is_in_normal_form() {
        assert_eq!(normalise("/.well-known/x", DEFAULT), Normalised::Same);
    }

    #[test]
    fn a_listener_says_what_becomes_of_slashes() {
        use Normalised::{Changed, Redirect, Refused, Same};
        let changed = |path: &str| Changed(path.to_owned());
        let rules = |escaped_slashes| PathNormalisation {
            merge_slashes: false,
            escaped_slashes,
        };
        // As Envoy 1.40 has them, without merging.
        let cases = [
            (EscapedSlashes::KeepUnchanged, "/a%2fb", Same),
            (EscapedSlashes::KeepUnchanged, "/a%5cb", Same),
            (
                EscapedSlashes::KeepUnchanged,
                "/a%2F%2e%2e/b",
                changed("/a%2F../b"),
            ),
            (EscapedSlashes::KeepUnchanged, "//a///b", Same),
            (EscapedSlashes::KeepUnchanged, "/a//../b", changed("/a/b")),
            (EscapedSlashes::KeepUnchanged, "/a\\b", changed("/a/b")),
            (EscapedSlashes::KeepUnchanged, "/a%252fb", Same),
            (
                EscapedSlashes::KeepUnchanged,
                "/a/%2e%2e/b%2fc",
                changed("/b%2fc"),
            ),
            (EscapedSlashes::KeepUnchanged, "/a//", Same),
            (EscapedSlashes::KeepUnchanged, "//", Same),
            (EscapedSlashes::KeepUnchanged, "/a/.", changed("/a/")),
            (EscapedSlashes::RejectRequest, "/a%2fb", Refused),
            (EscapedSlashes::RejectRequest, "/a%5cb", Refused),
            (EscapedSlashes::RejectRequest, "/a\\b", changed("/a/b")),
            (
                EscapedSlashes::UnescapeAndForward,
                "/a%2fb",
                changed("/a/b"),
            ),
            (
                EscapedSlashes::UnescapeAndForward,
                "/a%2F%2e%2e/b",
                changed("/b"),
            ),
            (EscapedSlashes::UnescapeAndForward, "/a%252fb", Same),
            (
                EscapedSlashes::UnescapeAndRedirect,
                "/a%5cb",
                Redirect("/a/b".to_owned()),
            ),
            (EscapedSlashes::UnescapeAndRedirect, "//a///b", Same),
        ];
        for (action, path, expected) in cases {
            assert_eq!(
                normalise(path, rules(action)),
                expected,
                "{action:?} {path}"
            );
        }
    }

    fn any_rules() -> impl proptest::strategy::Strategy<Value = PathNormalisation> {
        use proptest::prelude::*;
        let actions = proptest::sample::select(vec![
            EscapedSlashes::KeepUnchanged,
            EscapedSlashes::RejectRequest,
            EscapedSlashes::UnescapeAndRedirect,
            EscapedSlashes::UnescapeAndForward,
        ]);
        (any::<bool>(), actions).prop_map(|(merge_slashes, escaped_slashes)| PathNormalisation {
            merge_slashes,
            escaped_slashes,
        })
    }

    proptest::proptest! {
        #[test]
        fn the_normal_form_of_a_normal_form_is_itself(path in "/[a./%2eEfF5cC\\\\]{0,24}", rules in any_rules()) {
            let normal = match normalise(&path, rules) {
                Normalised::Same => path,
                Normalised::Changed(normal) | Normalised::Redirect(normal) => normal,
                Normalised::Refused => return Ok(()),
            };
            proptest::prop_assert_eq!(normalise(&normal, rules), Normalised::Same);
            proptest::prop_assert!(normal.starts_with('/'));
            proptest::prop_assert!(!normal.contains("/../") && !normal.ends_with("/.."));
            proptest::prop_assert!(!rules.merge_slashes || !normal.contains("//"));
        }
    }
}
