//! Differences between real resolutions.

use weir_resolve::Resolution;
use weir_resolve::diff::{Difference, diff};

use super::{BASE, TCP, limit, policy, resolved, resolved_from};

fn text(old: &Resolution, new: &Resolution) -> String {
    diff(old, new).to_string()
}

#[test]
fn equal_resources_make_no_difference() {
    let policies = [
        limit("edge", "Gateway edge", 1),
        limit("web", "HTTPRoute web", 2),
    ]
    .concat();
    let difference = diff(&resolved(&policies), &resolved(&policies));
    assert!(difference.is_empty());
    assert_eq!(
        difference.to_string(),
        "nothing changes\n\
         touched: routes 0 of 2, rules 0 of 3, listeners 0 of 2, policies 0 of 2\n"
    );
}

#[test]
fn a_value_changes_for_all_that_it_applies_to() {
    let spec = |time: &str| {
        policy(
            "web",
            "HTTPRoute web#pay",
            &format!("timeout: {{http: {{requestTimeout: {time}}}}}"),
        )
    };
    assert_eq!(
        text(&resolved(&spec("1s")), &resolved(&spec("2s"))),
        "changed: HTTPRoute/shop/web/rule:pay on listener shop/edge/http\n\
         changed: HTTPRoute/shop/web/rule:pay on listener shop/edge/other\n\
         \x20 timeout.http.requestTimeout\n\
         \x20   - 1s  from BackendTrafficPolicy/shop/web\n\
         \x20   + 2s  from BackendTrafficPolicy/shop/web\n\
         \n\
         touched: routes 1 of 2, rules 1 of 3, listeners 2 of 2, policies 0 of 1\n"
    );
}

/// Each case: the policies of the old and of the new side, and each change as `what rules: field=old->new`, with the
/// names of the policies.
#[test]
fn fields() {
    let edge = limit("edge", "Gateway edge", 1);
    let one = |connections| limit("one", "HTTPRoute one", connections);
    let merged = policy(
        "one",
        "HTTPRoute one",
        "mergeType: StrategicMerge, circuitBreaker: {maxPendingRequests: 5}",
    );
    let rules = "one/0@http, web/pay@http, web/pay@other, web/rest@http, web/rest@other";
    let max = "circuitBreaker.maxConnections";
    let cases = [
        (
            "a policy of its own",
            edge.clone(),
            [&*edge, &one(2)].concat(),
            vec![format!("changed one/0@http: {max}=1(edge)->2(one)")],
        ),
        (
            "the same value of another policy",
            edge.clone(),
            [&*edge, &one(1)].concat(),
            vec![format!("changed one/0@http: {max}=1(edge)->1(one)")],
        ),
        (
            "a policy that is merged",
            edge.clone(),
            [&*edge, &merged].concat(),
            vec![
                "changed one/0@http: circuitBreaker.maxPendingRequests=default->5(one)".to_owned(),
            ],
        ),
        (
            "a policy goes, and with it what was merged",
            [&*edge, &merged].concat(),
            merged.clone(),
            vec![format!("changed {rules}: {max}=1(edge)->default")],
        ),
        (
            "a policy for everything",
            String::new(),
            edge,
            vec![format!("changed {rules}: {max}=default->1(edge)")],
        ),
    ];
    for (name, old, new, expected) in cases {
        let there = diff(&resolved(&old), &resolved(&new));
        let back = diff(&resolved(&new), &resolved(&old));
        assert_eq!(short(&there), expected, "{name}");
        assert_eq!(there.blast_radius, back.blast_radius, "{name}");
    }
}

fn short(difference: &Difference) -> Vec<String> {
    let side = |written: &Option<weir_resolve::diff::Written>| {
        written.as_ref().map_or("default".to_owned(), |it| {
            let from = it.from.to_string();
            let name = from.split_once("/shop/").map_or(&*from, |(_, name)| name);
            format!("{}({name})", it.value)
        })
    };
    let line = |change: &weir_resolve::diff::Change| {
        let rules: Vec<String> = change
            .rules
            .iter()
            .map(|place| {
                let rule = &place.rule;
                let index = rule.index.to_string();
                let name = rule.rule.as_deref().unwrap_or(&index);
                format!("{}/{name}@{}", rule.route.name, place.listener.listener)
            })
            .collect();
        let fields: Vec<String> = change
            .fields
            .iter()
            .map(|it| {
                let (old, new) = (side(&it.written.old), side(&it.written.new));
                format!("{}={old}->{new}", it.field)
            })
            .collect();
        format!(
            "{} {}: {}",
            change.what,
            rules.join(", "),
            fields.join(", ")
        )
    };
    difference.changes.iter().map(line).collect()
}

#[test]
fn rules_come_and_go() {
    let limit = limit("edge", "Gateway edge", 1);
    let without_one = BASE.replace("metadata: {name: one,", "metadata: {name: uno,");
    let (old, new) = (
        resolved_from(BASE, &limit),
        resolved_from(&without_one, &limit),
    );
    let difference = diff(&old, &new);
    assert_eq!(
        short(&difference),
        [
            "removed one/0@http: circuitBreaker.maxConnections=1(edge)->default",
            "added uno/0@http: circuitBreaker.maxConnections=default->1(edge)",
        ]
    );
    assert_eq!(
        difference.blast_radius.to_string(),
        "touched: routes 2 of 3, rules 2 of 4, listeners 1 of 2, policies 0 of 1"
    );
}

#[test]
fn a_rule_with_a_name_is_the_same_wherever_it_stands() {
    let policies = limit("pay", "HTTPRoute web#pay", 1);
    let pay = "{name: pay, backendRefs: [{name: backend, port: 80}]}";
    let rest = "{name: rest, backendRefs: [{name: backend, port: 80}]}";
    let (first, second) = (
        format!("- {pay}\n  - {rest}"),
        format!("- {rest}\n  - {pay}"),
    );
    assert!(BASE.contains(&first));
    let (old, new) = (
        resolved_from(BASE, &policies),
        resolved_from(&BASE.replace(&first, &second), &policies),
    );
    assert!(diff(&old, &new).is_empty(), "{}", text(&old, &new));
}

#[test]
fn a_policy_becomes_invalid() {
    let spec = |interval: &str| {
        policy(
            "one",
            "HTTPRoute one",
            &format!("retry: {{perRetry: {{backOff: {{baseInterval: {interval}}}}}}}"),
        )
    };
    assert_eq!(
        text(&resolved(&spec("1s")), &resolved(&spec("0s"))),
        "changed: HTTPRoute/shop/one/rule/0 on listener shop/edge/http\n\
         \x20 answers 500\n\
         \x20   + Retry: baseInterval cannot be set to 0s.\n\
         \x20 retry.perRetry.backOff.baseInterval\n\
         \x20   - 1s  from BackendTrafficPolicy/shop/one\n\
         \x20   + 0s  from BackendTrafficPolicy/shop/one\n\
         \n\
         changed: status of BackendTrafficPolicy/shop/one\n\
         \x20 Accepted of Gateway shop/edge section http\n\
         \x20   - True (Accepted): Policy has been accepted.\n\
         \x20   + False (Invalid): Retry: baseInterval cannot be set to 0s.\n\
         \n\
         touched: routes 1 of 2, rules 1 of 3, listeners 1 of 2, policies 1 of 1\n"
    );
}

#[test]
fn as_data() {
    let difference = diff(&resolved(""), &resolved(&limit("one", "HTTPRoute one", 1)));
    let json = serde_json::to_value(&difference).unwrap();
    let change = &json["changes"][0];
    assert_eq!(change["what"], "changed");
    assert_eq!(change["rules"][0]["rule"], "HTTPRoute/shop/one/rule/0");
    assert_eq!(
        change["fields"][0]["field"],
        "circuitBreaker.maxConnections"
    );
    assert_eq!(change["fields"][0]["old"], serde_json::Value::Null);
    assert_eq!(change["fields"][0]["new"]["value"], 1);
    assert_eq!(
        change["fields"][0]["new"]["from"],
        "BackendTrafficPolicy/shop/one"
    );
    assert_eq!(json["policies"][0]["what"], "added");
    assert_eq!(
        json["policies"][0]["conditions"][0]["condition"],
        "Accepted"
    );
    assert_eq!(json["blastRadius"]["rules"]["touched"], 1);
}

/// An HTTPRoute whose rule has this of its own.
fn own_route(rule: &str) -> String {
    format!(
        "
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: own, namespace: shop}}
spec:
  parentRefs: [{{name: edge, sectionName: http}}]
  hostnames: [own.example.com]
  rules: [{{{rule}backendRefs: [{{name: backend, port: 80}}]}}]
"
    )
}

#[test]
fn what_a_rule_sets_itself_is_a_difference() {
    let policy = policy(
        "own",
        "HTTPRoute own",
        "timeout: {http: {requestTimeout: 2s}}, retry: {numRetries: 1}",
    );
    let side = |rule: &str| resolved(&[own_route(rule), policy.clone()].concat());
    let difference = diff(
        &side(""),
        &side("timeouts: {request: 3s}, retry: {attempts: 7}, "),
    );
    let rule = "own/rule/0";
    assert_eq!(
        short(&difference),
        [format!(
            "changed own/0@http: retry.numRetries=1(own)->7({rule}), \
             timeout.http.requestTimeout=\"2s\"(own)->\"3s\"({rule})"
        )]
    );
    // What is displaced on both sides is none.
    let same = "timeouts: {request: 3s}, ";
    let other = policy.replace("2s", "4s");
    let new = resolved(&[own_route(same), other].concat());
    assert_eq!(short(&diff(&side(same), &new)), [""; 0]);
}

#[test]
fn an_invalid_policy_is_left_out_below_http() {
    let side = |load_balancer: &str| {
        let spec = format!("circuitBreaker: {{maxConnections: 3}}{load_balancer}");
        resolved(&[TCP, &policy("t", "TCPRoute t", &spec)].concat())
    };
    let invalid =
        ", loadBalancer: {type: ConsistentHash, consistentHash: {type: SourceIP, tableSize: 4}}";
    let difference = diff(&side(""), &side(invalid));
    assert_eq!(
        short(&difference),
        ["changed t/0@tcp: circuitBreaker.maxConnections=3(t)->default"]
    );
    assert_eq!(difference.changes[0].invalid, None);
    // Both listeners for HTTP, that of the route, and one that carries nothing.
    let listeners = difference.blast_radius.listeners;
    assert_eq!((listeners.touched, listeners.of), (1, 4));
}
