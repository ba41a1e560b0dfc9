//! What policies do to rules and clusters, and what stays the same from plan to plan.

use std::sync::Arc;

use serde_json::{Value, json};
use weir_plan::Plan;

use super::{found, policy, rules};
use crate::fixtures::{
    context, edge, gateway, insert, resolved, resources, route, service, table, to_service,
};
use crate::{Memo, resolve};

#[test]
fn a_cluster_is_per_gateway_and_per_listener_only_where_policies_differ() {
    let listeners = json!([
        {"name": "a", "port": 80, "protocol": "HTTP"},
        {"name": "b", "port": 81, "protocol": "HTTP"},
    ]);
    let other = gateway(
        "other",
        json!([{"name": "http", "port": 90, "protocol": "HTTP"}]),
    );
    let mut both = route("r", json!([{"backendRefs": [to_service("s")]}]));
    both["spec"]["parentRefs"] = json!([{"name": "edge"}, {"name": "other"}]);
    let base = [gateway("edge", listeners), other, both, service("s")];
    let listener_b = json!({"kind": "Gateway", "name": "edge", "sectionName": "b"});
    let names = |spec: Option<Value>| -> (Vec<String>, usize) {
        let mut documents = base.to_vec();
        documents.extend(spec.map(|spec| policy("p", &listener_b, &spec)));
        let resolution = resolved(&documents);
        let names = resolution
            .plan
            .clusters
            .keys()
            .map(ToString::to_string)
            .collect();
        (names, rules(&resolution.plan).len())
    };
    let rule = "HTTPRoute/ns/r/rule/0@ns";
    let shared = vec![format!("{rule}/edge"), format!("{rule}/other")];
    assert_eq!(names(None), (shared.clone(), 2));
    // A setting of requests divides the rule, not its cluster.
    assert_eq!(
        names(Some(json!({"timeout": {"http": {"requestTimeout": "1s"}}}))),
        (shared, 3)
    );
    let apart = vec![
        format!("{rule}/edge/a"),
        format!("{rule}/edge/b"),
        format!("{rule}/other"),
    ];
    assert_eq!(
        names(Some(json!({"circuitBreaker": {"maxConnections": 7}}))),
        (apart, 3)
    );
}

#[test]
fn under_an_invalid_policy_a_rule_answers_500_whatever_its_filters_say() {
    let bad = policy(
        "bad",
        &json!({"kind": "HTTPRoute", "name": "r"}),
        &json!({"timeout": {"http": {"requestTimeout": "nonsense"}}}),
    );
    let redirect = json!([{"type": "RequestRedirect", "requestRedirect": {}}]);
    let resolution = resolved(&[
        edge(),
        bad,
        route("r", json!([{"filters": redirect}])),
        route("s", json!([{"filters": redirect}])),
    ]);
    assert_eq!(
        table(&resolution.plan),
        [
            "80/http HTTPRoute/ns/r/rule/0/match/0/* respond 500",
            "80/http HTTPRoute/ns/s/rule/0/match/0/* redirect 302"
        ]
    );
}

#[test]
fn the_routes_own_time_limit_is_laid_over_the_policy() {
    let of_route = policy(
        "p",
        &json!({"kind": "HTTPRoute", "name": "r"}),
        &json!({"timeout": {"http": {"requestTimeout": "9s", "streamIdleTimeout": "8s"}}}),
    );
    let rules_of = json!([{"backendRefs": [to_service("s")], "timeouts": {"request": "3s"}}, {"backendRefs": [to_service("s")]}]);
    let resolution = resolved(&[edge(), service("s"), of_route, route("r", rules_of)]);
    let seconds: Vec<_> = rules(&resolution.plan)
        .iter()
        .map(|it| {
            (
                it.policy.timeout.request.unwrap().as_secs(),
                it.policy.timeout.stream_idle.unwrap().as_secs(),
            )
        })
        .collect();
    assert_eq!(seconds, [(3, 8), (9, 8)]);
    let origins: Vec<_> = rules(&resolution.plan)
        .iter()
        .map(|it| it.origin.policies[0].to_string())
        .collect();
    assert_eq!(
        origins,
        ["BackendTrafficPolicy/ns/p", "BackendTrafficPolicy/ns/p"]
    );
}

#[test]
fn of_two_rules_with_one_name_the_first_goes_by_it() {
    let named = json!({"name": "pay", "backendRefs": [to_service("s")]});
    let resolution = resolved(&[edge(), service("s"), route("r", json!([named, named]))]);
    let names: Vec<_> = resolution
        .plan
        .clusters
        .keys()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        names,
        [
            "HTTPRoute/ns/r/rule/1@ns/edge",
            "HTTPRoute/ns/r/rule:pay@ns/edge"
        ]
    );
}

#[test]
fn what_did_not_change_is_the_same_arc_in_the_next_plan() {
    let named = |name: &str, path: &str| {
        let mut it = route(
            name,
            json!([{"matches": [{"path": {"value": path}}], "backendRefs": [to_service("s")]}]),
        );
        it["spec"]["hostnames"] = json!([format!("{name}.example.com")]);
        it
    };
    let second = gateway(
        "second",
        json!([{"name": "http", "port": 81, "protocol": "HTTP"}]),
    );
    let mut world = resources(&[
        edge(),
        second,
        service("s"),
        named("a", "/"),
        named("b", "/"),
    ]);
    let (mut memo, context) = (Memo::default(), context());
    let before = resolve(&world, &context, &mut memo);
    let again = resolve(&world, &context, &mut memo);
    assert!(Arc::ptr_eq(&before.plan, &again.plan));

    insert(&mut world, &named("a", "/new"));
    let after = resolve(&world, &context, &mut memo);
    let same = |of: fn(&Plan) -> Vec<*const ()>| -> Vec<bool> {
        of(&before.plan)
            .iter()
            .zip(of(&after.plan))
            .map(|(a, b)| *a == b)
            .collect()
    };
    assert_eq!(
        same(|plan| plan
            .listeners
            .iter()
            .map(|it| Arc::as_ptr(it).cast())
            .collect()),
        [false, true]
    );
    assert_eq!(
        same(|plan| plan.listeners[0]
            .hosts
            .iter()
            .map(|it| Arc::as_ptr(it).cast())
            .collect()),
        [false, true]
    );
    assert_eq!(
        same(|plan| plan
            .clusters
            .values()
            .map(|it| Arc::as_ptr(it).cast())
            .collect()),
        [true, true]
    );
    assert!(Arc::ptr_eq(&before.statuses.routes, &after.statuses.routes));
}

#[test]
fn a_back_off_of_nothing_is_told_to_be_none() {
    for (back_off, told) in [("0s", true), ("0h0m0s", true), ("1ms", false)] {
        let rule = json!({"retry": {"attempts": 1, "backoff": back_off}, "backendRefs": [to_service("s")]});
        let resolution = resolved(&[edge(), service("s"), route("r", json!([rule]))]);
        let expected = ["spec.rules[0].retry.backoff setting-ignored"];
        let expected = if told { &expected[..] } else { &[] };
        assert_eq!(found(&resolution), expected, "{back_off}");
    }
}
