//! `weir check` and `weir translate`: what is printed, and the exit codes.

use std::process::Output;

use serde_json::Value;

use crate::golden::golden;
use crate::process::output;

const INPUT: &str = "crates/weir/tests/cli/input";

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("it is text")
}

#[test]
fn findings_and_exit_codes() {
    for (case, code) in [("clean", 0), ("warnings", 0), ("broken", 1)] {
        let check = output(&["check", &format!("{INPUT}/{case}")]);
        golden(&format!("check-{case}.txt"), &text(&check));
        assert_eq!(check.status.code(), Some(code), "{case}");
    }
}

#[test]
fn what_an_object_ignores() {
    let annotated = std::fs::read_to_string(format!(
        "{}/tests/cli/input/warnings/gateway.yaml",
        env!("CARGO_MANIFEST_DIR")
    ))
    .expect("the case can be read");
    let folder = tempfile::tempdir().expect("a temporary folder can be had");
    for (ids, warnings) in [
        ("setting-not-enforced", 0),
        ("tie-by-name", 1),
        ("setting-not-enforced, no-such-finding", 1),
    ] {
        let ignoring =
            format!("{{name: compressed, annotations: {{weir.dev/ignore-findings: \"{ids}\"}}}}");
        let path = folder.path().join("gateway.yaml");
        std::fs::write(&path, annotated.replace("{name: compressed}", &ignoring))
            .expect("a file can be written");
        let check = output(&["check", &path.display().to_string()]);
        let printed = text(&check);
        assert!(
            printed.contains(&format!("ok: 0 errors, {warnings} warning")),
            "{ids}: {printed}"
        );
    }
}

#[test]
fn findings_as_json() {
    let check = output(&["check", &format!("{INPUT}/broken"), "-o", "json"]);
    assert_eq!(check.status.code(), Some(1));
    let report: Value = serde_json::from_str(&text(&check)).expect("it is JSON");
    let findings = report["findings"].as_array().expect("there is a list");
    let (errors, warnings) = (
        report["errors"].as_u64().unwrap(),
        report["warnings"].as_u64().unwrap(),
    );
    assert_eq!(findings.len() as u64, errors + warnings);
    let misspelt = findings
        .iter()
        .find(|it| it["field"] == "spec.circuitBreaker.maxConnection")
        .expect("it is found");
    assert_eq!(misspelt["object"], "BackendTrafficPolicy default/misspelt");
    assert_eq!(misspelt["line"], 7);
    assert!(
        misspelt["file"]
            .as_str()
            .unwrap()
            .ends_with("policies.yaml")
    );
    assert!(
        misspelt["message"]
            .as_str()
            .unwrap()
            .contains("maxConnections"),
        "{misspelt}"
    );
}

#[test]
fn what_cannot_be_read_is_no_finding() {
    for command in [
        &["check", "no-such-file.yaml"][..],
        &["translate", "no-such-file.yaml", "--to", "plan"],
    ] {
        let output = output(command);
        assert_eq!(output.status.code(), Some(2), "{command:?}");
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(message.contains("no-such-file.yaml"), "{message}");
        assert_eq!(
            message.matches("os error").count(),
            1,
            "the cause is said once: {message}"
        );
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn what_is_broken_is_not_left_out_in_silence() {
    let dir = tempfile::tempdir().unwrap();
    let broken = dir.path().join("broken.yaml");
    std::fs::write(&broken, "a: [").unwrap();
    let (clean, broken) = (format!("{INPUT}/clean"), broken.to_str().unwrap());
    for command in [
        &["translate", &clean, broken, "--to", "plan"][..],
        &["explain", &clean, broken],
        &["explain", "no-such-route", &clean, broken],
    ] {
        let output = output(command);
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(
            message.starts_with(&format!(
                "weir: left out, as it is broken: {broken}:1: error[syntax]: "
            )) && message.contains("`weir check`"),
            "{command:?}: {message}"
        );
    }
    let output = output(&["translate", &clean, "--to", "plan"]);
    assert!(output.stderr.is_empty(), "all of it was taken in");
}

#[test]
fn nothing_at_all_is_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let check = output(&["check", dir.path().to_str().unwrap()]);
    assert_eq!(check.status.code(), Some(0));
    assert!(
        text(&check).contains("warning[nothing-served]"),
        "{}",
        text(&check)
    );
}

#[test]
fn a_controller_that_has_no_gateway_is_a_warning() {
    let path = format!("{INPUT}/clean");
    let check = output(&["check", &path, "--controller-name", "example.com/misspelt"]);
    assert_eq!(check.status.code(), Some(0));
    let printed = text(&check);
    assert!(
        printed.contains("warning[nothing-served]") && printed.contains("--controller-name"),
        "{printed}"
    );
}

#[test]
fn seed_examples_are_understood() {
    for example in ["1-targeting", "2-precedence", "4-merging"] {
        let check = output(&[
            "check",
            "examples/seed/base.yaml",
            &format!("examples/seed/{example}.yaml"),
        ]);
        assert_eq!(check.status.code(), Some(0), "{example}: {}", text(&check));
    }
    // Two policies of one age group target one route there, on purpose: the younger one loses.
    let check = output(&[
        "check",
        "examples/seed/base.yaml",
        "examples/seed/3-same-level.yaml",
    ]);
    assert_eq!(check.status.code(), Some(1), "{}", text(&check));
    assert!(
        text(&check).contains("error[policy-conflict]: BackendTrafficPolicy default/beta-policy"),
        "{}",
        text(&check)
    );
}

#[test]
fn translations_are_the_same_in_yaml_and_json() {
    let path = format!("{INPUT}/clean");
    for to in ["plan", "status"] {
        let yaml = output(&["translate", &path, "--to", to]);
        let json = output(&["translate", &path, "--to", to, "-o", "json"]);
        assert_eq!((yaml.status.code(), json.status.code()), (Some(0), Some(0)));
        golden(&format!("translate-{to}.yaml"), &text(&yaml));
        let json: Value = serde_json::from_str(&text(&json)).expect("it is JSON");
        let yaml: Value = serde_saphyr::from_str(&text(&yaml)).expect("it is YAML");
        assert_eq!(yaml, json, "{to}");
    }
}

#[test]
fn help_and_version() {
    let version = output(&["--version"]);
    assert_eq!(
        text(&version).trim(),
        format!("weir {}", env!("CARGO_PKG_VERSION"))
    );
    let run = text(&output(&["run", "--help"]));
    assert!(run.contains("127.0.0.1") && run.contains("--bind"), "{run}");
}
