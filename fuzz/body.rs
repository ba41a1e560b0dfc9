//! What the fuzz target does with bytes: it reads them as a file, resolves what comes of them, and checks what holds for all
//! input. `crates/provider/tests/fuzz.rs` does the same with a few files, so that this stays in order.

#[path = "../crates/resolve/tests/robust/invariants.rs"]
mod invariants;

use std::fs;
use std::path::Path;

use weir_provider::Source;
use weir_resolve::Resources;

/// Checks these bytes, by way of a file in `folder`.
///
/// # Panics
/// Where something is found that does not hold.
pub(crate) fn from_bytes(folder: &Path, bytes: &[u8]) {
    fs::write(folder.join("input.yaml"), bytes).expect("the file can be written");
    let loaded =
        weir_provider::read(&[Source::Path(folder.to_owned())]).expect("the folder can be read");
    let lines = 1 + bytes
        .iter()
        .filter(|byte| matches!(byte, b'\n' | b'\r'))
        .count();
    for finding in &loaded.findings {
        let location = finding.location.as_ref();
        let line = location.expect("files have places").line;
        assert!(
            (1..=lines).contains(&line),
            "line {line} of {lines}: {}",
            finding.message
        );
    }
    invariants::agree(&Resources::default(), &loaded.resources, &loaded.resources);
}
