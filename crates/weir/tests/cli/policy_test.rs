//! `weir test`: passing and failing tests, tests that cannot be run, the formats, and the exit codes.

use std::fs;

use serde_json::Value;

use crate::golden::golden;
use crate::process::output;

const TESTS: &str = "crates/weir/tests/cli/input/policy-tests";
const BROKEN: &str = "crates/weir/tests/cli/input/broken-policy-tests";

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("it is text")
}

#[test]
fn what_fails_is_said_with_the_reason() {
    let test = output(&["test", TESTS]);
    golden("test-failing.txt", &text(test.stdout));
    assert_eq!(test.status.code(), Some(1));
    assert!(test.stderr.is_empty());
}

#[test]
fn what_passes() {
    for path in [
        &format!("{TESTS}/passing.test.yaml"),
        "examples/seed",
        "examples/quickstart",
    ] {
        let test = output(&["test", path]);
        let printed = text(test.stdout);
        assert_eq!(test.status.code(), Some(0), "{path}:\n{printed}");
        assert!(
            printed.ends_with(" passed, 0 failed\n"),
            "{path}:\n{printed}"
        );
    }
}

#[test]
fn as_data() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let junit = file.path().to_str().unwrap();
    let test = output(&["test", TESTS, "--junit", junit, "-o", "json"]);
    assert_eq!(test.status.code(), Some(1));
    golden("test-failing.xml", &fs::read_to_string(junit).unwrap());
    let report: Value = serde_json::from_slice(&test.stdout).expect("it is JSON");
    let tests = report["tests"].as_array().expect("there is a list");
    let failed = tests.iter().filter(|it| it["passed"] == false).count();
    assert_eq!(report["failed"], failed);
    assert_eq!(report["passed"], tests.len() - failed);
    let first = &tests[0]["failures"][0];
    assert_eq!(first["what"], "settings circuitBreaker.maxConnections");
    assert_eq!(
        (&first["expected"], &first["found"]),
        (&"100".into(), &"50".into())
    );
    assert_eq!(first["line"], 10);
}

#[test]
fn tests_that_make_no_sense_do_not_run() {
    let test = output(&["test", BROKEN]);
    assert_eq!(test.status.code(), Some(2));
    assert!(test.stdout.is_empty());
    golden("test-broken.txt", &text(test.stderr));
}

#[test]
fn what_cannot_be_run() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.test.yaml");
    let write = |resources: &str| {
        let test = format!(
            "apiVersion: weir.dev/v1alpha1\nkind: PolicyTest\nmetadata: {{name: a}}\nspec:\n  \
             resources: [{resources}]\n  tests: [{{name: b, route: c, expect: {{policies: []}}}}]\n"
        );
        fs::write(&file, test).unwrap();
    };
    let run = |path: &str, words: &str| {
        let test = output(&["test", path]);
        let message = text(test.stderr);
        assert_eq!(test.status.code(), Some(2), "{path}: {message}");
        assert!(message.contains(words), "{path}: {message}");
    };
    run("no-such-folder", "no-such-folder");
    run("examples/seed/base.yaml", "there are no tests");
    write("absent.yaml");
    run(file.to_str().unwrap(), "a.test.yaml:5: resources");
    // Tests of objects that are not read as they are written would mean nothing.
    fs::write(
        folder.path().join("wrong.yaml"),
        "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {port: []}\n",
    )
    .unwrap();
    write("wrong.yaml");
    run(file.to_str().unwrap(), "unknown-field");
    fs::write(folder.path().join("wrong.yaml"), "a: [").unwrap();
    write("a.test.yaml");
    run(folder.path().to_str().unwrap(), "error[syntax]");
}

#[test]
fn other_commands_leave_tests_alone() {
    let check = output(&["check", BROKEN]);
    let printed = text(check.stdout);
    assert_eq!(check.status.code(), Some(0), "{printed}");
    assert!(!printed.contains("test.yaml"), "{printed}");
}
