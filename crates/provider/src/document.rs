//! From the text of a file to its documents, and from a document to a value.
//!
//! YAML 1.2 as kubectl reads it; JSON is YAML. Files are cut at lines that begin with `---`, before they are parsed, so
//! that a document whose text did not change need not be parsed again.

use std::ops::Range;

use serde_json::Value;
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{Options, UserMessageFormatter};

/// One document of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// Its first line, from 1.
    pub(crate) line: usize,
    /// Where its text is.
    pub(crate) bytes: Range<usize>,
}

/// Text that is no YAML, or more of it than is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    /// The line in the document, from 1.
    pub(crate) line: usize,
    /// What is wrong there.
    pub(crate) message: String,
}

/// Cuts a file into its documents. What holds nothing but comments and blank lines is left out.
pub(crate) fn split(text: &str) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let mut cut = Cut {
        line: 1,
        start: 0,
        content: false,
        directives: false,
    };
    let (mut line, mut offset) = (1, 0);
    for piece in text.split_inclusive('\n') {
        let bare = piece.trim_end_matches(['\n', '\r']);
        let rest = marker(bare, "---");
        // Directives belong to the document that the next marker begins.
        if rest.is_some() && (cut.content || !cut.directives) {
            cut.end(offset, &mut chunks);
            cut = Cut {
                line,
                start: offset,
                content: false,
                directives: false,
            };
        }
        let shown = rest.unwrap_or(bare).trim_start();
        cut.directives |= shown.starts_with('%') && bare.starts_with('%') && !cut.content;
        cut.content |=
            !(shown.is_empty() || shown.starts_with('#') || bare.starts_with('%') && !cut.content);
        offset += piece.len();
        line += 1;
        if marker(bare, "...").is_some() {
            cut.end(offset, &mut chunks);
            cut = Cut {
                line,
                start: offset,
                content: false,
                directives: false,
            };
        }
    }
    cut.end(offset, &mut chunks);
    chunks
}

/// A document that is being read.
struct Cut {
    line: usize,
    start: usize,
    content: bool,
    directives: bool,
}

impl Cut {
    fn end(&self, end: usize, chunks: &mut Vec<Chunk>) {
        if self.content {
            chunks.push(Chunk {
                line: self.line,
                bytes: self.start..end,
            });
        }
    }
}

/// What follows a document marker on its line; none where the line has no such marker.
fn marker<'l>(line: &'l str, marker: &str) -> Option<&'l str> {
    line.strip_prefix(marker)
        .filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
}

/// Reads one document. A document without content is null.
///
/// # Errors
/// Where the text is no YAML, a key stands twice in one mapping, or the document is larger, deeper or repeats itself
/// more than is read.
pub(crate) fn parse(text: &str) -> Result<Value, SyntaxError> {
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| {
        let location = error.location();
        let message = error.render_with_formatter(&UserMessageFormatter);
        // The place is told apart from the message.
        let message = message
            .split(" at line ")
            .next()
            .unwrap_or(&message)
            .trim_end_matches('.');
        let line = location
            .map_or(1, |it| usize::try_from(it.line()).unwrap_or(1))
            .max(1);
        SyntaxError {
            line,
            message: message.to_owned(),
        }
    })
}

/// What is read: enough for a list of 10,000 routes in one document, and far less than would hurt.
fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 4_000_000,
            max_nodes: 2_000_000,
            max_depth: 64,
            // Few anchors used often are good style; what they unfold to is bounded below.
            enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 200_000,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        // `yes` and `on` are text, as YAML 1.2 has it: where a truth value is meant, that is an error, not a surprise.
        strict_booleans: true,
        // `0644` is what every tool around Kubernetes takes it for.
        legacy_octal_numbers: true,
        with_snippet: false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn files_are_cut_at_markers() {
        let cases: &[(&str, &[(usize, &str)])] = &[
            ("", &[]),
            ("# only a comment\n\n", &[]),
            ("---\n---\n# nothing\n---\n", &[]),
            ("a: 1", &[(1, "a: 1")]),
            (
                "# c\na: 1\n---\nb: 2\n",
                &[(1, "# c\na: 1\n"), (3, "---\nb: 2\n")],
            ),
            (
                "---\r\na: 1\r\n---\r\nb: 2\r\n",
                &[(1, "---\r\na: 1\r\n"), (3, "---\r\nb: 2\r\n")],
            ),
            (
                "--- {a: 1}\n--- # c\nb: 2",
                &[(1, "--- {a: 1}\n"), (2, "--- # c\nb: 2")],
            ),
            ("%YAML 1.2\n---\na: 1\n", &[(1, "%YAML 1.2\n---\na: 1\n")]),
            ("a: 1\n...\nb: 2\n", &[(1, "a: 1\n...\n"), (3, "b: 2\n")]),
            ("a: |\n  ---\n  text\n", &[(1, "a: |\n  ---\n  text\n")]),
            ("a: ---b\n---b: 1\n", &[(1, "a: ---b\n---b: 1\n")]),
        ];
        for (text, expected) in cases {
            let chunks: Vec<_> = split(text)
                .into_iter()
                .map(|it| (it.line, &text[it.bytes]))
                .collect();
            assert_eq!(chunks, *expected, "{text:?}");
        }
    }

    #[test]
    fn values_are_those_of_kubectl() {
        let cases = [
            (
                "a: true\nb: 0777\nc: ~\nd: \"1\"\ne: 1.5\nf: 0x1f",
                json!({"a": true, "b": 511, "c": null, "d": "1", "e": 1.5, "f": 31}),
            ),
            (
                "a: &x {q: 1}\nb: *x\nc:\n  <<: *x\n  r: 2\n",
                json!({"a": {"q": 1}, "b": {"q": 1}, "c": {"q": 1, "r": 2}}),
            ),
            (
                "{\"a\": \"\\ud83d\\ude00\\/\",\n\t\"b\": [1, null]}",
                json!({"a": "😀/", "b": [1, null]}),
            ),
            (
                "80: x\ntrue: y\nno: off\n",
                json!({"80": "x", "true": "y", "no": "off"}),
            ),
            (
                "when: 2023-01-01T10:00:00Z",
                json!({"when": "2023-01-01T10:00:00Z"}),
            ),
            ("# nothing", json!(null)),
        ];
        for (text, value) in cases {
            assert_eq!(parse(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_is_no_yaml_is_said_with_its_line() {
        let cases = [
            ("a: 1\na: 2\n", 2, "duplicate"),
            ("a: {b: 1, b: 2}", 1, "duplicate"),
            ("a: 1\nb: [1,\nc: 2\n", 2, "unclosed"),
            ("a: b: c", 1, "not allowed"),
            ("a:\n\tb: 1\n", 2, "tabs"),
            ("a: *nothing", 1, "unknown"),
            ("a: .inf", 1, "finite"),
        ];
        for (text, line, message) in cases {
            let error = parse(text).unwrap_err();
            assert_eq!(error.line, line, "{text}: {error:?}");
            assert!(error.message.contains(message), "{text}: {error:?}");
        }
    }

    #[test]
    fn hostile_documents_end_soon() {
        let bomb = (0..20).fold(
            "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned(),
            |text, n| {
                let aliases = vec![format!("*a{n}"); 9].join(", ");
                text + &format!("a{next}: &a{next} [{aliases}]\n", next = n + 1)
            },
        );
        let deep = "[".repeat(1_000_000);
        let deep_block: String = (0..5_000)
            .map(|n| format!("{}a:\n", " ".repeat(n)))
            .collect();
        for text in [bomb, deep, deep_block] {
            let start = std::time::Instant::now();
            parse(&text).unwrap_err();
            let took = start.elapsed();
            assert!(
                took < std::time::Duration::from_secs(20),
                "{took:?} for {}",
                &text[..20]
            );
        }
    }
}
