//! `weir explain`: every seed example, a route, a request, and the exit codes.

use serde_json::Value;

use crate::golden::golden;
use crate::process::output;

const BASE: &str = "examples/seed/base.yaml";
const CLEAN: &str = "crates/weir/tests/cli/input/clean";

#[test]
fn seed_examples() {
    for example in ["1-targeting", "2-precedence", "3-same-level", "4-merging"] {
        let explain = output(&["explain", BASE, &format!("examples/seed/{example}.yaml")]);
        assert_eq!(explain.status.code(), Some(0), "{example}");
        golden(
            &format!("explain-{example}.txt"),
            &String::from_utf8(explain.stdout).unwrap(),
        );
    }
}

#[test]
fn a_route_by_its_name() {
    for route in [
        "my-route",
        "default/my-route",
        "HTTPRoute/default/my-route",
        "httproute/my-route",
        "my-route/rule/0",
        "default/my-route/rule/0",
        "httproute/default/my-route/rule/0",
    ] {
        let explain = output(&["explain", route, BASE, "examples/seed/2-precedence.yaml"]);
        assert_eq!(explain.status.code(), Some(0), "{route}");
        golden(
            "explain-my-route.txt",
            &String::from_utf8(explain.stdout).unwrap(),
        );
    }
}

#[test]
fn a_rule_that_is_not_there_is_told_apart_from_a_route() {
    for (name, expected) in [
        (
            "my-route/rule:nope",
            "my-route has no rule nope; there are HTTPRoute/default/my-route/rule/0",
        ),
        (
            "my-route/rule/9",
            "my-route has no rule 9; there are HTTPRoute/default/my-route/rule/0",
        ),
        ("nope/rule/0", "there is no route nope/rule/0"),
    ] {
        let explain = output(&["explain", name, BASE, "examples/seed/2-precedence.yaml"]);
        assert_eq!(explain.status.code(), Some(1), "{name}");
        let said = String::from_utf8(explain.stderr).unwrap();
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn a_request() {
    let request = "GET http://signup.example.com:8081/form";
    let explain = output(&[
        "explain",
        "--request",
        request,
        BASE,
        "examples/seed/4-merging.yaml",
    ]);
    assert_eq!(explain.status.code(), Some(0));
    golden(
        "explain-request.txt",
        &String::from_utf8(explain.stdout).unwrap(),
    );
}

#[test]
fn the_port_of_a_request_may_be_left_out_where_there_is_but_one() {
    let explain = output(&[
        "explain",
        "--request",
        "GET http://shop.example.com/cart",
        CLEAN,
    ]);
    assert_eq!(explain.status.code(), Some(0));
    let ambiguous = output(&["explain", "--request", "GET http://my.example.com/", BASE]);
    assert_eq!(ambiguous.status.code(), Some(1));
    let message = String::from_utf8_lossy(&ambiguous.stderr);
    assert!(message.contains("8080, 8081"), "{message}");
}

#[test]
fn what_there_is_not() {
    for args in [
        &["explain", "nothing", BASE][..],
        &[
            "explain",
            "--request",
            "GET http://x.example.com:8080/",
            BASE,
        ],
    ] {
        let explain = output(args);
        assert_eq!(explain.status.code(), Some(1), "{args:?}");
        assert!(!explain.stderr.is_empty());
    }
    for args in [
        &["explain", "no-such-folder"][..],
        &["explain", "my-route", "no-such-folder"],
        &["explain", "--request", "nonsense x", BASE],
        &[
            "explain",
            "--request",
            "GET http://my.example.com:8080/",
            "-H",
            "nonsense",
            BASE,
        ],
    ] {
        assert_eq!(output(args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn as_data() {
    let args = [
        "explain",
        "my-route",
        BASE,
        "examples/seed/2-precedence.yaml",
        "-o",
    ];
    let json = output(&[&args[..], &["json"]].concat());
    let yaml = output(&[&args[..], &["yaml"]].concat());
    let json: Value = serde_json::from_slice(&json.stdout).expect("it is JSON");
    let yaml: Value =
        serde_saphyr::from_str(&String::from_utf8(yaml.stdout).unwrap()).expect("it is YAML");
    assert_eq!(json, yaml);
    let text = json.to_string();
    assert!(
        text.contains("BackendTrafficPolicy/default/route-policy"),
        "{text}"
    );
    assert!(
        text.contains("BackendTrafficPolicy/default/gateway-policy"),
        "{text}"
    );
}

#[test]
fn a_policy_by_its_name() {
    let world = [BASE, "examples/seed/4-merging.yaml"];
    for name in [
        "btp/global-backendtrafficpolicy",
        "btp/default/global-backendtrafficpolicy",
        "BackendTrafficPolicy/default/global-backendtrafficpolicy",
    ] {
        let explain = output(&[&["explain", name][..], &world].concat());
        assert_eq!(explain.status.code(), Some(0), "{name}");
        golden(
            "explain-policy.txt",
            &String::from_utf8(explain.stdout).unwrap(),
        );
    }
    let json = output(
        &[
            &["explain", "btp/route-backendtrafficpolicy"][..],
            &world,
            &["-o", "json"],
        ]
        .concat(),
    );
    let json: Value = serde_json::from_slice(&json.stdout).expect("it is JSON");
    let policy = &json["policies"][0];
    assert_eq!(policy["effects"][0]["role"], "mergedInto");
    assert_eq!(policy["blastRadius"]["rules"]["touched"], 1);
    assert_eq!(policy["limits"][0]["limit"], "5/Minute");
    let missing = output(&[&["explain", "btp/nothing"][..], &world].concat());
    assert_eq!(missing.status.code(), Some(1));
    assert!(!missing.stderr.is_empty());
}
