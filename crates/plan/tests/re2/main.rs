//! Expressions mean what they mean in RE2: `expected.jsonl` has what Go's implementation makes of them (`oracle.go`).

use proptest::prelude::*;
use regex::bytes::{Regex, RegexBuilder};
use weir_plan::re2::to_rust;

const EXPECTED: &str = include_str!("expected.jsonl");

#[test]
fn expressions_are_read_and_refused_as_by_the_reference() {
    let mut lines = EXPECTED.lines();
    let texts: Vec<String> = serde_json::from_str(lines.next().unwrap()).unwrap();
    let mut different = Vec::new();
    let mut count = 0;
    for line in lines {
        let [expression, sort, expected]: [String; 3] = serde_json::from_str(line).unwrap();
        let outcome = to_rust(&expression);
        let got = match &outcome {
            Err(error) => ["error".to_owned(), error.clone()],
            Ok(translated) => match Regex::new(translated) {
                Ok(regex) => ["matches".to_owned(), found(&regex, &texts)],
                Err(error) => ["breaks".to_owned(), error.to_string()],
            },
        };
        if got != [&*sort, &*expected] {
            different.push(format!(
                "{expression:?} as {outcome:?}\n  expected {sort}: {expected}\n  got      {}: {}",
                got[0], got[1]
            ));
        }
        count += 1;
    }
    assert!(count > 2000, "only {count} expressions");
    assert!(
        different.is_empty(),
        "{} of {count}:\n{}",
        different.len(),
        different.join("\n")
    );
}

/// The first match in each text with its groups, in the form of `oracle.go`.
fn found(regex: &Regex, texts: &[String]) -> String {
    let span = |it: Option<regex::bytes::Match<'_>>| match it {
        Some(it) => format!("{}-{}", it.start(), it.end()),
        None => ".".to_owned(),
    };
    let one = |text: &String| match regex.captures(text.as_bytes()) {
        Some(groups) => groups.iter().map(span).collect::<Vec<_>>().join(","),
        None => ".".to_owned(),
    };
    texts.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// Where RE2 and Go's implementation differ, RE2 counts: Envoy has it.
#[test]
fn names_are_those_of_re2() {
    assert!(to_rust(r"\p{Old_Italic}\p{SignWriting}").is_ok());
    assert_eq!(
        to_rust("(?P<n>a)(?P<n>b)").unwrap_err(),
        "invalid named capture: `(?P<n>`"
    );
}

#[test]
fn every_name_of_a_set_compiles() {
    for line in include_str!("../../src/re2/names.rs").lines() {
        let Some(name) = line.trim().strip_prefix('"') else {
            continue;
        };
        let name = name.trim_end_matches("\",");
        for expression in [format!(r"\p{{{name}}}"), format!("[[:{name}:]]")] {
            if let Ok(translated) = to_rust(&expression) {
                Regex::new(&translated).unwrap_or_else(|error| panic!("{expression}: {error}"));
            }
        }
    }
}

#[test]
fn depth_and_time_are_bounded() {
    let refused = [
        "(".repeat(1_000_000),
        format!("a{}", "*(?i)".repeat(1_000_000)),
        "(?i".repeat(1_000_000),
        format!("[{}", "[:".repeat(1_000_000)),
    ];
    for case in refused {
        let start: String = case.chars().take(10).collect();
        assert!(to_rust(&case).is_err(), "{start}");
    }
    for piece in [r"\Qa\E", "[a]", "[[:a]", r"\pL", "a*(?i)b"] {
        assert!(to_rust(&piece.repeat(1_000_000)).is_ok(), "{piece}");
    }
    assert!(to_rust(&format!("{}{}", "(".repeat(100), ")".repeat(100))).is_ok());
}

proptest! {
    #[test]
    fn what_is_translated_compiles(expression in r"(?s).*|([\[\](){}^$|*+?\\.:&~,0-9a-zA-Z<>-]|\(\?|\[:|:\]|\\[pPQEdDwWbBx]|\p{Cc})*") {
        if let Ok(translated) = to_rust(&expression) {
            let compiled = RegexBuilder::new(&translated).size_limit(1 << 20).build();
            let too_large = matches!(compiled, Err(regex::Error::CompiledTooBig(_)));
            prop_assert!(compiled.is_ok() || too_large, "{expression:?} as {translated:?}: {compiled:?}");
        }
    }
}
