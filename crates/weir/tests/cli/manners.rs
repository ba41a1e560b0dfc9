//! What all commands have in common: help with examples, formats, colours, completion, manual pages.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::process::{output, weir};

/// Every command, and those below it.
const COMMANDS: [&[&str]; 15] = [
    &["quickstart"],
    &["run"],
    &["check"],
    &["explain"],
    &["diff"],
    &["test"],
    &["translate"],
    &["rollback"],
    &["log-level"],
    &["support-bundle"],
    &["generate", "reference"],
    &["generate", "crds"],
    &["generate", "man"],
    &["completion"],
    &["echo"],
];
const GATEWAY: &str = "examples/seed/base.yaml";

fn printed(args: &[&str]) -> String {
    let output = output(args);
    String::from_utf8(output.stdout).expect("weir prints UTF-8")
}

#[test]
fn every_command_is_listed_and_has_examples() {
    let listed = printed(&["--help"]);
    for command in COMMANDS {
        assert!(
            listed.contains(&format!("\n  {} ", command[0])),
            "{command:?}"
        );
        let help = printed(&[command, &["--help"]].concat());
        assert!(help.contains("\nExamples:\n"), "{command:?}: {help}");
    }
}

#[test]
fn results_can_be_had_for_machines() {
    let commands: [&[&str]; 5] = [
        &["check", GATEWAY],
        &["explain", GATEWAY],
        &["diff", GATEWAY, GATEWAY],
        &["translate", "--to", "status", GATEWAY],
        &["test", "examples/quickstart"],
    ];
    for command in commands {
        let json = printed(&[command, &["-o", "json"]].concat());
        let yaml = printed(&[command, &["-o", "yaml"]].concat());
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        let yaml: serde_json::Value = serde_saphyr::from_str(&yaml).expect("YAML");
        assert_eq!(json, yaml, "{command:?}");
        assert!(json.is_object() || json.is_array(), "{command:?}");
    }
}

#[test]
fn colours_are_for_terminals_and_for_whoever_asks() {
    let coloured = |flags: &[&str], variables: &[(&str, &str)]| {
        let output = weir()
            .args(["test", "examples/quickstart"])
            .args(flags)
            .envs(variables.iter().copied())
            .output()
            .expect("the binary runs");
        output.stdout.contains(&0x1b)
    };
    // Standard output is a pipe here.
    assert!(!coloured(&[], &[]));
    assert!(coloured(&[], &[("CLICOLOR_FORCE", "1")]));
    assert!(coloured(&["--color", "always"], &[("NO_COLOR", "1")]));
    assert!(!coloured(&["--color", "never"], &[("CLICOLOR_FORCE", "1")]));
    assert!(!coloured(&[], &[("NO_COLOR", "1"), ("CLICOLOR", "1")]));
}

#[test]
fn shells_complete_every_command() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = printed(&["completion", shell]);
        for command in COMMANDS {
            assert!(script.contains(command[0]), "{shell}: {command:?}");
        }
        assert!(
            script.contains("--port-map") || script.contains("port-map"),
            "{shell}"
        );
    }
    let mut bash = Command::new("bash")
        .arg("-n")
        .stdin(Stdio::piped())
        .spawn()
        .expect("bash runs");
    let mut input = bash.stdin.take().expect("it has an input");
    input
        .write_all(printed(&["completion", "bash"]).as_bytes())
        .expect("bash reads");
    drop(input);
    assert!(bash.wait().expect("bash ends").success());
    let unknown = output(&["completion", "cmd"]);
    assert_eq!(unknown.status.code(), Some(2));
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().to_string_lossy();
    assert_eq!(printed(&["generate", "man", "--out", &out]), "");
    let page = |name: &str| {
        std::fs::read_to_string(folder.path().join(name)).unwrap_or_else(|_| panic!("{name}"))
    };
    assert!(page("weir.1").contains("weir\\-check(1)"));
    for command in COMMANDS {
        let page = page(&format!("weir-{}.1", command.join("-")));
        assert!(
            page.starts_with(".ie") && page.contains("\n.SH NAME\n"),
            "{page}"
        );
        assert!(page.contains("Examples:"), "{command:?}");
    }
}
