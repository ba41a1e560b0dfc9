//! Which objects are admitted: the same as by the reference, and refused ones for the same fields.

use std::path::Path;

use libtest_mimic::Trial;
use serde_json::Value;
use weir_resolve::Object;

use super::{documents, verdict};

/// One test per case, of whatever files lie there.
///
/// # Errors
/// When the folder or a file cannot be read.
pub(crate) fn trials(folder: &Path) -> Result<Vec<Trial>, String> {
    let unreadable = |error| format!("cannot read {}: {error}", folder.display());
    let mut trials = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if file.extension().is_none_or(|it| it != "yaml") {
            continue;
        }
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        for case in documents(&file)?.iter().flat_map(Value::as_array).flatten() {
            let (name, case) = (case["name"].as_str().unwrap_or_default(), case.clone());
            trials.push(Trial::test(
                format!("admission::{stem}::{name}"),
                move || verdict(difference(&case).unwrap_or_default()),
            ));
        }
    }
    Ok(trials)
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
