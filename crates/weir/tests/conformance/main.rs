//! The conformance cases: what the reference implementation says to the same objects, one test per case.
//!
//! The cases lie in `$WEIR_SHARED/conformance`, or in `shared/conformance` beside the checkout; without them the test is
//! ignored.

mod admission;
mod plans;
mod policies;
mod projection;
mod reference;
mod settings;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let folder = folder();
    let trials = [
        policies::trials(&folder.join("policy")),
        plans::trials(&folder.join("policy")),
        admission::trials(&folder.join("admission")),
    ];
    let trials = trials.into_iter().flat_map(|trials| {
        trials.unwrap_or_else(|reason| {
            let text = format!("conformance ({reason})");
            vec![Trial::test(text, || Ok(())).with_ignored_flag(true)]
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn folder() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    std::env::var_os("WEIR_SHARED")
        .map_or_else(beside, PathBuf::from)
        .join("conformance")
}

/// The documents of a file.
fn documents(path: &Path) -> Result<Vec<Value>, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    serde_saphyr::from_multiple(&text)
        .map_err(|error| format!("cannot parse {}: {error}", path.display()))
}

/// A test's verdict: what differs, if anything does.
fn verdict(differences: String) -> Result<(), Failed> {
    if differences.is_empty() {
        Ok(())
    } else {
        Err(differences.into())
    }
}
