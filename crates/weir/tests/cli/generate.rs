//! `weir generate`: the committed pages are what it writes today.

use std::fs;

use crate::process::{output, weir, workspace};

/// `WEIR_BLESS=1` (scripts/bless) writes the page anew.
#[test]
fn the_committed_reference_is_fresh() {
    let path = workspace().join("docs/reference/command-line.md");
    // The widths and variables of the surroundings do not show.
    let printed = weir()
        .args(["generate", "reference"])
        .env("COLUMNS", "50")
        .env("WEIR_LOG", "error")
        .output()
        .expect("the binary runs");
    let printed = String::from_utf8(printed.stdout).expect("weir prints UTF-8");
    if std::env::var_os("WEIR_BLESS").is_some() {
        fs::write(&path, &printed).expect("the page can be written");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        printed == committed,
        "{} is stale; `weir generate reference --out docs/reference` writes it anew",
        path.display()
    );
}

#[test]
fn it_writes_to_a_folder_what_it_prints() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("made/here");
    let written = output(&["generate", "reference", "--out", &out.to_string_lossy()]);
    assert!(written.status.success());
    let page = fs::read(out.join("command-line.md")).expect("the page is there");
    assert_eq!(page, output(&["generate", "reference"]).stdout);
}
