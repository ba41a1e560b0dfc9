//! The admission cases of the conformance suite: the same objects are admitted and refused, for the same fields.
//!
//! The cases lie beside the checkout, or where `WEIR_SHARED` says. Without them there is nothing to test.

use std::path::{Path, PathBuf};

use serde_json::Value;
use weir_resolve::Object;

fn cases() -> Option<PathBuf> {
    let shared = std::env::var_os("WEIR_SHARED").map(PathBuf::from);
    let beside = || {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .nth(3)
            .map(|it| it.join("shared"))
    };
    shared
        .or_else(beside)
        .map(|it| it.join("conformance/admission"))
        .filter(|it| it.is_dir())
}

/// Why our verdict on a case differs from the reference's; none where it does not.
fn difference(case: &Value) -> Option<String> {
    let found = match Object::read(case["object"].clone()) {
        Ok(_) => Vec::new(),
        Err(found) => found,
    };
    let expected = case["errors"].as_array().expect("a case lists its errors");
    if expected.is_empty() {
        return (!found.is_empty()).then(|| format!("refused: {found:?}"));
    }
    if found.is_empty() {
        return Some(format!("admitted, rather than {expected:?}"));
    }
    let field = |error: &Value| error["field"].as_str().map(str::to_owned);
    let unnamed = expected.iter().filter_map(field).find(|field| {
        // A rule on a group of fields may name a member of it.
        !found
            .iter()
            .any(|it| it.field.as_str().starts_with(field.as_str()))
    });
    if let Some(field) = unnamed {
        return Some(format!("{field} is not named: {found:?}"));
    }
    // The words are the reference's as well; the punctuation around them is not.
    let words: Vec<_> = found
        .iter()
        .map(|it| format!("{}: {}", it.field, it.message).to_lowercase())
        .collect();
    let about_a_field = expected.iter().filter(|error| error["field"].is_string());
    let mut texts = about_a_field.filter_map(|error| Some(error["text"].as_str()?.to_lowercase()));
    let unsaid = texts.find(|text| {
        let text = text
            .trim_start_matches([':', ' ', '['])
            .trim_end_matches([',', ']']);
        let text = [": invalid value:", ", <nil>"]
            .iter()
            .fold(text, |text, end| text.split(end).next().unwrap_or(text));
        !words.iter().any(|it| it.contains(text))
    });
    unsaid.map(|text| format!("nothing says {text:?}: {words:?}"))
}

#[test]
fn verdicts_are_the_references() {
    let Some(folder) = cases() else { return };
    let (mut number, mut differences) = (0, Vec::new());
    for file in ["backendtrafficpolicy.yaml", "backend.yaml"] {
        let text = std::fs::read_to_string(folder.join(file)).expect("the cases can be read");
        let cases: Vec<Value> = serde_saphyr::from_str(&text).expect("the cases are YAML");
        for case in cases {
            number += 1;
            if let Some(difference) = difference(&case) {
                differences.push(format!("{file}: {}: {difference}", case["name"]));
            }
        }
    }
    println!(
        "{} of {number} admission cases pass",
        number - differences.len()
    );
    assert!(
        number > 0 && differences.is_empty(),
        "{}",
        differences.join("\n")
    );
}
