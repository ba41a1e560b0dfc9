//! The outcome of tests as JUnit's XML, which CI systems show.

use std::fmt::Write as _;

use weir_provider::Location;

use super::{Failure, Outcome, Report};

/// A document with a suite for each document of tests.
pub(crate) fn write(report: &Report) -> String {
    let Report {
        passed,
        failed,
        tests,
    } = report;
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let all = passed + failed;
    let _ = writeln!(
        xml,
        "<testsuites name=\"weir test\" tests=\"{all}\" failures=\"{failed}\">"
    );
    for suite in tests.chunk_by(|a, b| a.suite == b.suite && a.location.file == b.location.file) {
        let failed = suite.iter().filter(|it| !it.passed).count();
        let (name, file) = (escape(&suite[0].suite), escape(&suite[0].location.file));
        let count = suite.len();
        let _ = writeln!(
            xml,
            "  <testsuite name=\"{name}\" file=\"{file}\" tests=\"{count}\" failures=\"{failed}\">"
        );
        for test in suite {
            case(&mut xml, test);
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn case(xml: &mut String, outcome: &Outcome) {
    let Outcome {
        location: Location { file, line },
        suite,
        name,
        passed: _,
        failures,
    } = outcome;
    let _ = write!(
        xml,
        "    <testcase classname=\"{}\" name=\"{}\" file=\"{}\" line=\"{line}\"",
        escape(suite),
        escape(name),
        escape(file)
    );
    let [first, others @ ..] = failures.as_slice() else {
        xml.push_str("/>\n");
        return;
    };
    // Readers take one failure of a test; the text has them all.
    let Failure {
        location: _,
        what,
        expected,
        found,
        place: _,
        because: _,
    } = first;
    let more = match others.len() {
        0 => String::new(),
        count => format!(" (and {count} more)"),
    };
    let message = escape(&format!("{what}: expected {expected}, found {found}{more}"));
    let _ = writeln!(xml, ">\n      <failure message=\"{message}\">");
    for failure in failures {
        for line in failure.to_string().lines() {
            let _ = writeln!(xml, "{}", escape(line));
        }
    }
    xml.push_str("      </failure>\n    </testcase>\n");
}

/// Text as XML can hold it, in attributes too: characters that it cannot hold at all are replaced.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            '\t' => escaped.push('\t'),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_can_be_held() {
        let cases = [
            ("a < b & \"c\"", "a &lt; b &amp; &quot;c&quot;"),
            ("one\ntwo", "one&#10;two"),
            ("bell\u{7}", "bell\u{fffd}"),
            ("größer", "größer"),
        ];
        for (text, escaped) in cases {
            assert_eq!(escape(text), escaped, "{text:?}");
        }
    }
}
