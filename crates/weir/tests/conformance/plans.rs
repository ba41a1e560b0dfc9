//! What the engine plans for resources: for each route of each listener every setting that applies, as the reference
//! plans it.
//!
//! The names of things are the reference's own; what is compared is which settings, with which values, reach which
//! routes, and which routes answer 500.

use std::collections::BTreeSet;
use std::path::Path;

use libtest_mimic::{Failed, Trial};
use serde::Deserialize;

use super::settings::Routes;
use super::{documents, policies, projection, reference, verdict};

/// Where the cases are listed in which we decided otherwise.
const DECIDED: &str = "tests/conformance/decided.yaml";

/// One test per case.
///
/// # Errors
/// When the folder cannot be read.
pub(crate) fn trials(folder: &Path) -> Result<Vec<Trial>, String> {
    policies::trials_of(folder, "plans", plan)
}

fn plan(case: &Path) -> Result<(), Failed> {
    let (resources, resolution) = policies::resolved(case)?;
    let expected = documents(&case.join("expect.yaml"))?;
    let [expected] = expected.as_slice() else {
        return Err("expect.yaml is not one document".into());
    };
    let expected = reference::routes(&expected["plan"]);
    let actual = projection::routes(&resolution.plan, &weir_resolve::endpoints(&resources));
    let differences = differences(&expected, &actual);
    let name = case.file_name().unwrap_or_default().to_string_lossy();
    let decided = decided()?;
    match decided.iter().find(|it| it.case == name) {
        Some(it) if it.differences == differences => Ok(()),
        Some(it) => Err(format!(
            "{}\nbut {DECIDED} has\n{}",
            differences.join("\n"),
            it.differences.join("\n")
        )
        .into()),
        None => verdict(differences.join("\n")),
    }
}

/// A case in which we decided otherwise than the reference: exactly so does it differ.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decided {
    case: String,
    #[expect(dead_code, reason = "it is for people")]
    reason: String,
    differences: Vec<String>,
}

fn decided() -> Result<Vec<Decided>, String> {
    serde_saphyr::from_str(include_str!("decided.yaml"))
        .map_err(|error| format!("cannot read {DECIDED}: {error}"))
}

/// What differs, a line for each setting of each route.
fn differences(expected: &Routes, actual: &Routes) -> Vec<String> {
    let mut lines = Vec::new();
    let names: BTreeSet<_> = expected
        .settings
        .keys()
        .chain(actual.settings.keys())
        .collect();
    for name in names {
        match (actual.settings.get(name), expected.settings.get(name)) {
            (Some(actual), Some(expected)) => {
                let differences = actual.differences(expected);
                lines.extend(differences.iter().map(|it| format!("{name}: {it}")));
            }
            (None, Some(_)) => lines.push(format!("{name}: is missing")),
            (Some(_), None) => lines.push(format!("{name}: should not be there")),
            (None, None) => {}
        }
    }
    // Where routes are missing, that is said already.
    if expected.settings.keys().eq(actual.settings.keys()) {
        for (host, expected) in &expected.order {
            let actual = actual
                .order
                .get(host)
                .map(Vec::as_slice)
                .unwrap_or_default();
            if actual != expected {
                lines.push(format!(
                    "{host}: expected the order {expected:#?}, is {actual:#?}"
                ));
            }
        }
    }
    lines
}
