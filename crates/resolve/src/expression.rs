//! Whether a regular expression can be enforced: RE2's syntax, within the size that a data plane takes.

use regex::Error;
use regex::bytes::RegexBuilder;
use weir_plan::re2;

/// The most memory that a compiled expression may take. The data plane allows more, for the anchors that it adds.
const SIZE_LIMIT: usize = 1 << 20;

/// How many groups an expression has, the whole match included.
///
/// # Errors
/// What is wrong with it, in the words of Go's `regexp` package.
pub(crate) fn groups(pattern: &str) -> Result<usize, String> {
    let translated = re2::to_rust(pattern)?;
    match RegexBuilder::new(&translated)
        .size_limit(SIZE_LIMIT)
        .build()
    {
        Ok(regex) => Ok(regex.captures_len()),
        Err(Error::CompiledTooBig(_)) => Err(format!("expression too large: `{pattern}`")),
        // The translation compiles, but for the crate's limit of what may be inside what.
        Err(_) => Err(format!("expression nests too deeply: `{pattern}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_those_of_re2() {
        let nested = format!("{}{}", "(a|".repeat(200), ")".repeat(200));
        // (expression, groups, or what is wrong)
        let cases = [
            ("/api/{id}", Ok(1)),
            ("a{,5}", Ok(1)),
            (r"\Q(.)\E()", Ok(2)),
            ("(?P<n>a)(?:b)(c)", Ok(3)),
            (
                "*.illegal.regex",
                Err("missing argument to repetition operator: `*`".to_owned()),
            ),
            (
                "a**",
                Err("invalid nested repetition operator: `**`".to_owned()),
            ),
            ("a{1001}", Err("invalid repeat count: `{1001}`".to_owned())),
            (
                r"\pL{1000}",
                Err(r"expression too large: `\pL{1000}`".to_owned()),
            ),
            (
                &nested,
                Err(format!("expression nests too deeply: `{nested}`")),
            ),
        ];
        for (pattern, expected) in cases {
            assert_eq!(groups(pattern), expected, "{pattern}");
        }
    }
}
