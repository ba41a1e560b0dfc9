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

/// A rule with timeouts and retries of its own, under a policy that says something else, and a test of it.
const OWN: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: weir}
spec: {controllerName: weir.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: weir
  listeners: [{name: http, protocol: HTTP, port: 80}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web}
spec:
  parentRefs: [{name: edge}]
  rules:
  - name: pay
    timeouts: {request: 3s}
    retry: {attempts: 7}
    backendRefs: [{name: svc, port: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: svc}
spec: {ports: [{port: 80}]}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {name: p}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: web}]
  retry: {numRetries: 1}
  timeout: {http: {requestTimeout: 2s}}
  telemetry: {tracing: {tags: {http.route: a, plain: b}}}
---
apiVersion: weir.dev/v1alpha1
kind: PolicyTest
metadata: {name: t}
spec:
  tests:
  - name: "one\e[31m"
    route: web
    expect: EXPECT
"#;

/// What comes of [`OWN`] with these expectations: whether all are met, and what is printed.
fn expecting(expect: &str) -> (bool, String) {
    let folder = tempfile::tempdir().expect("there is room");
    let file = folder.path().join("world.yaml");
    fs::write(&file, OWN.replace("EXPECT", expect)).expect("it can be written");
    let test = output(&["test", file.to_str().expect("its name is text")]);
    let printed = text(test.stdout) + &text(test.stderr);
    (test.status.code() == Some(0), printed)
}

#[test]
fn what_a_rule_sets_itself_is_in_force() {
    for (expect, met) in [
        (
            "{settings: {timeout.http.requestTimeout: 3s, retry.numRetries: 7}}",
            true,
        ),
        ("{settings: {retry: {numRetries: 7}}}", true),
        (
            "{from: {timeout: \"web/rule:pay\", retry: HTTPRoute/default/web/rule:pay}}",
            true,
        ),
        ("{settings: {timeout.http.requestTimeout: 2s}}", false),
        ("{settings: {retry.numRetries: 1}}", false),
        ("{from: {timeout: p}}", false),
    ] {
        let (passes, printed) = expecting(expect);
        assert_eq!(passes, met, "{expect}:\n{printed}");
    }
    let (_, printed) = expecting("{settings: {timeout.http.requestTimeout: 2s}}");
    for line in [
        "found     \"3s\"",
        "because   set by HTTPRoute/default/web/rule:pay",
        "because   not in force: timeout.http.requestTimeout: \"2s\" of BackendTrafficPolicy/default/p: replaced by the \
         rule's own timeouts",
    ] {
        assert!(printed.contains(line), "{line}:\n{printed}");
    }
}

#[test]
fn keys_with_dots_can_be_tested() {
    for (expect, met) in [
        (
            "{settings: {telemetry.tracing.tags: {http.route: a, plain: b}}}",
            true,
        ),
        (
            "{settings: {\"telemetry.tracing.tags[http.route]\": a}}",
            true,
        ),
        (
            "{settings: {'telemetry.tracing.tags[\"http.route\"]': a}}",
            true,
        ),
        (
            "{from: {'telemetry.tracing.tags[\"http.route\"]': p}}",
            true,
        ),
        ("{from: {\"telemetry.tracing.tags[http.route]\": p}}", true),
        (
            "{settings: {telemetry.tracing.tags: {http.route: b}}}",
            false,
        ),
    ] {
        let (passes, printed) = expecting(expect);
        assert_eq!(passes, met, "{expect}:\n{printed}");
    }
    let (_, printed) = expecting("{settings: {telemetry.tracing.tags: {http.route: b}}}");
    let line = "world.yaml:46: settings telemetry.tracing.tags[\"http.route\"]";
    assert!(printed.contains(line), "{printed}");
}

#[test]
fn names_cannot_talk_to_the_terminal() {
    let (_, printed) = expecting("{policies: [p]}");
    assert!(
        printed.starts_with("ok    t: one\\u{1b}[31m\n"),
        "{printed}"
    );
}
