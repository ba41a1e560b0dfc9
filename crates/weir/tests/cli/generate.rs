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

/// `WEIR_BLESS=1` (scripts/bless) writes the definitions anew.
#[test]
fn the_committed_definitions_are_fresh() {
    let committed = workspace().join("deploy/crds");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let written = output(&[
        "generate",
        "crds",
        "--out",
        &folder.path().to_string_lossy(),
    ]);
    assert!(written.status.success());
    let mut printed = Vec::new();
    let mut files: Vec<_> = fs::read_dir(folder.path())
        .expect("the folder is there")
        .map(|it| it.expect("an entry").file_name())
        .collect();
    files.sort();
    for name in &files {
        let text = fs::read_to_string(folder.path().join(name)).expect("a text");
        if std::env::var_os("WEIR_BLESS").is_some() {
            fs::write(committed.join(name), &text).expect("the definition can be written");
        }
        assert!(
            fs::read_to_string(committed.join(name)).unwrap_or_default() == text,
            "deploy/crds/{} is stale; `weir generate crds --out deploy/crds` writes it anew",
            name.display()
        );
        printed.push(text);
    }
    assert_eq!(files.len(), 3);
    let both = String::from_utf8(output(&["generate", "crds"]).stdout).expect("weir prints UTF-8");
    assert!(
        printed.iter().all(|it| both.contains(it)),
        "it prints what it writes"
    );
}
