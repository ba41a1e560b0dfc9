//! `weir generate`: the committed pages are what it writes today.

use std::fs;

use crate::process::{weir, workspace};

/// The widths and variables of the surroundings do not show.
#[test]
fn the_committed_reference_is_fresh() {
    are_fresh(
        "reference",
        "docs/reference",
        &[
            "backend.md",
            "backendtrafficpolicy.md",
            "clienttrafficpolicy.md",
            "command-line.md",
            "httproutefilter.md",
        ],
    );
}

#[test]
fn the_committed_definitions_are_fresh() {
    let names = [
        "backends",
        "backendtrafficpolicies",
        "clienttrafficpolicies",
        "httproutefilters",
    ];
    let names = names.map(|it| format!("gateway.envoyproxy.io_{it}.yaml"));
    are_fresh("crds", "deploy/crds", &names);
}

/// What is generated is these files, which are committed as they are; printed, they stand one behind the other.
/// `WEIR_BLESS=1` (scripts/bless) writes them anew.
fn are_fresh(what: &str, committed: &str, names: &[impl AsRef<str>]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("made/here");
    let generate = |arguments: &[&str]| {
        let output = weir()
            .args(["generate", what])
            .args(arguments)
            .env("COLUMNS", "50")
            .env("WEIR_LOG", "error")
            .output()
            .expect("the binary runs");
        assert!(output.status.success());
        String::from_utf8(output.stdout).expect("weir prints UTF-8")
    };
    assert_eq!(generate(&["--out", &out.to_string_lossy()]), "");
    let printed = generate(&[]);
    let mut files: Vec<String> = fs::read_dir(&out)
        .expect("the folder is there")
        .map(|it| {
            it.expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    files.sort();
    assert_eq!(
        files,
        names
            .iter()
            .map(|it| it.as_ref().to_owned())
            .collect::<Vec<_>>()
    );
    for name in &files {
        let text = fs::read_to_string(out.join(name)).expect("a text");
        let path = workspace().join(committed).join(name);
        if std::env::var_os("WEIR_BLESS").is_some() {
            fs::write(&path, &text).expect("the file can be written");
        }
        assert!(
            fs::read_to_string(&path).unwrap_or_default() == text,
            "{committed}/{name} is stale; `weir generate {what} --out {committed}` writes it anew"
        );
        assert!(printed.contains(&text), "it prints what it writes");
    }
}
