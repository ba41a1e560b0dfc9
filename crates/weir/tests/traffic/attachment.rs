//! Which policy applies, seen on the wire: precedence, age, names, selectors, sections, merging, and invalid policies.
//!
//! Each policy aborts with a status of its own, so that the answer says who won.

use crate::backend::Backend;
use crate::client::get;
use crate::gateway::{Gateway, policy, to};

const GATEWAY: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, labels: {tier: edge}}
spec:
  gatewayClassName: weir
  listeners:
  - {name: one, protocol: HTTP, port: 80}
  - {name: two, protocol: HTTP, port: 81}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: weir}
spec: {controllerName: weir.dev/gateway-controller}
";

fn app() -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: app, labels: {{team: blue}}}}\nspec: \
         {{parentRefs: [{{name: edge}}], rules: [\
         {{name: pay, matches: [{{path: {{value: /pay}}}}], backendRefs: [{to}]}}, \
         {{name: rest, matches: [{{path: {{value: /}}}}], backendRefs: [{to}]}}]}}\n",
        to = to("app")
    )
}

/// A policy that aborts with this status.
fn aborting(name: &str, target: &str, status: u16) -> String {
    policy(
        name,
        target,
        &format!("faultInjection: {{abort: {{httpStatus: {status}}}}}"),
    )
}

/// The same, created then.
fn at(policy: &str, time: &str) -> String {
    policy.replacen(
        "metadata: {",
        &format!("metadata: {{creationTimestamp: \"{time}\", "),
        1,
    )
}

/// The same, which merges.
fn merging(policy: &str, kind: &str) -> String {
    policy.replacen("spec: {", &format!("spec: {{mergeType: {kind}, "), 1)
}

/// The same, which selects routes of the team instead.
fn selecting(policy: &str, team: &str) -> String {
    let from = policy.find("targetRefs: [").expect("it has targets");
    let until = policy[from..].find(']').expect("the list ends") + from + 1;
    let selectors =
        format!("targetSelectors: [{{kind: HTTPRoute, matchLabels: {{team: {team}}}}}]");
    format!("{}{selectors}{}", &policy[..from], &policy[until..])
}

/// The statuses of `/pay` and `/` on the listeners `one` and `two`, under these policies.
fn statuses(policies: &[String]) -> [u16; 4] {
    let backend = Backend::named("app");
    let mut documents = vec![GATEWAY.to_owned(), backend.yaml("app"), app()];
    documents.extend(policies.iter().cloned());
    let gateway = Gateway::start(&documents.iter().map(String::as_str).collect::<Vec<_>>());
    [(80, "/pay"), (80, "/"), (81, "/pay"), (81, "/")]
        .map(|(port, path)| get(gateway.address_of(port), "any.example", path).status)
}

#[test]
fn the_more_specific_target_wins() {
    let gateway = aborting("on-gateway", "Gateway edge", 501);
    let listener = aborting("on-listener", "Gateway edge one", 502);
    let route = aborting("on-route", "HTTPRoute app", 503);
    let rule = aborting("on-rule", "HTTPRoute app pay", 504);
    assert_eq!(statuses(&[]), [200; 4]);
    assert_eq!(statuses(std::slice::from_ref(&gateway)), [501; 4]);
    assert_eq!(
        statuses(&[gateway.clone(), listener.clone()]),
        [502, 502, 501, 501]
    );
    assert_eq!(
        statuses(&[gateway.clone(), listener.clone(), route.clone()]),
        [503; 4]
    );
    assert_eq!(
        statuses(&[
            rule.clone(),
            route.clone(),
            listener.clone(),
            gateway.clone()
        ]),
        [504, 503, 504, 503]
    );
    assert_eq!(statuses(&[gateway, listener, rule]), [504, 502, 504, 501]);
}

#[test]
fn the_winner_replaces_the_others_whole() {
    let gateway = aborting("on-gateway", "Gateway edge", 501);
    let other = policy(
        "on-route",
        "HTTPRoute app",
        "timeout: {http: {requestTimeout: 5s}}",
    );
    assert_eq!(statuses(&[gateway, other]), [200; 4]);
}

#[test]
fn the_older_policy_wins_and_then_the_first_by_name() {
    let one = aborting("one", "HTTPRoute app", 501);
    let two = aborting("two", "HTTPRoute app", 502);
    let (old, new) = ("2023-01-01T10:00:00Z", "2023-01-01T11:00:00Z");
    assert_eq!(statuses(&[at(&one, new), at(&two, old)]), [502; 4]);
    assert_eq!(statuses(&[at(&one, old), at(&two, new)]), [501; 4]);
    assert_eq!(statuses(&[at(&two, old), at(&one, old)]), [501; 4]);
    assert_eq!(statuses(&[two.clone(), one.clone()]), [501; 4]);
    assert_eq!(
        statuses(&[at(&one, old), two]),
        [502; 4],
        "without a time it is the oldest"
    );
}

#[test]
fn selectors_find_targets_by_label() {
    let policy = aborting("by-label", "HTTPRoute nobody", 503);
    assert_eq!(statuses(&[selecting(&policy, "blue")]), [503; 4]);
    assert_eq!(statuses(&[selecting(&policy, "red")]), [200; 4]);
}

#[test]
fn a_target_that_is_not_there_changes_nothing() {
    let policies = [
        aborting("a", "HTTPRoute nobody", 501),
        aborting("b", "Gateway nobody", 502),
        aborting("c", "HTTPRoute app nobody", 503),
    ];
    assert_eq!(statuses(&policies), [200; 4]);
}

#[test]
fn merging_keeps_what_the_child_does_not_say() {
    let gateway = aborting("on-gateway", "Gateway edge", 501);
    let child = policy(
        "on-route",
        "HTTPRoute app",
        "timeout: {http: {requestTimeout: 5s}}",
    );
    for kind in ["StrategicMerge", "JSONMerge"] {
        assert_eq!(
            statuses(&[gateway.clone(), merging(&child, kind)]),
            [501; 4],
            "{kind}"
        );
        let overriding = merging(&aborting("on-route", "HTTPRoute app", 503), kind);
        assert_eq!(
            statuses(&[gateway.clone(), overriding.clone()]),
            [503; 4],
            "{kind}"
        );
        assert_eq!(statuses(&[overriding]), [503; 4], "{kind} without a parent");
        // The parent is the listener's policy where there is one.
        let listener = aborting("on-listener", "Gateway edge one", 502);
        let both = [gateway.clone(), listener, merging(&child, kind)];
        assert_eq!(statuses(&both), [502, 502, 501, 501], "{kind}");
        // A rule merges with the gateway, past the route.
        let rule = policy(
            "on-rule",
            "HTTPRoute app pay",
            "timeout: {http: {requestTimeout: 5s}}",
        );
        let all = [
            gateway.clone(),
            aborting("on-route", "HTTPRoute app", 503),
            merging(&rule, kind),
        ];
        assert_eq!(statuses(&all), [501, 503, 501, 503], "{kind}");
    }
}

#[test]
fn a_json_merge_deletes_what_the_child_sets_to_null() {
    let gateway = aborting("on-gateway", "Gateway edge", 501);
    let child = policy("on-route", "HTTPRoute app", "faultInjection: null");
    assert_eq!(statuses(&[gateway, merging(&child, "JSONMerge")]), [200; 4]);
}

#[test]
fn merged_rate_limits_add_up_or_replace() {
    let limit = |name: &str, target: &str, requests: u32| {
        let rule = format!("{{limit: {{requests: {requests}, unit: Hour}}, shared: true}}");
        policy(
            name,
            target,
            &format!("rateLimit: {{global: {{rules: [{rule}]}}}}"),
        )
    };
    // `/pay` and `/` on both listeners are four requests against the two limits.
    let (gateway, route) = (
        limit("on-gateway", "Gateway edge", 2),
        limit("on-route", "HTTPRoute app", 3),
    );
    assert_eq!(
        statuses(&[gateway.clone(), merging(&route, "StrategicMerge")]),
        [200, 200, 429, 429]
    );
    assert_eq!(
        statuses(&[gateway, merging(&route, "JSONMerge")]),
        [200, 200, 200, 429]
    );
}

#[test]
fn an_invalid_policy_answers_500_where_it_applies() {
    let invalid = |name: &str, target: &str| {
        let twice = "{limit: {requests: 9, unit: Hour}}, {limit: {requests: 9, unit: Hour}}";
        policy(
            name,
            target,
            &format!("rateLimit: {{local: {{rules: [{twice}]}}}}"),
        )
    };
    assert_eq!(
        statuses(&[invalid("a", "HTTPRoute app pay")]),
        [500, 200, 500, 200]
    );
    assert_eq!(statuses(&[invalid("a", "HTTPRoute app")]), [500; 4]);
    assert_eq!(
        statuses(&[invalid("a", "Gateway edge one")]),
        [500, 500, 200, 200]
    );
    assert_eq!(statuses(&[invalid("a", "Gateway edge")]), [500; 4]);
    let healthy = aborting("healthy", "HTTPRoute app", 503);
    assert_eq!(
        statuses(&[invalid("a", "Gateway edge"), healthy.clone()]),
        [503; 4],
        "it is replaced"
    );
    let merged = merging(&healthy, "Nonsense");
    assert_eq!(
        statuses(&[aborting("parent", "Gateway edge", 501), merged]),
        [500; 4],
        "a merge that fails"
    );
}
