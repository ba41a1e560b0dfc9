//! Lints about policies and settings that have no effect.

use super::super::{TCP, limit, policy};
use super::{gateway, linted, lints, message, route};

#[test]
fn policies_without_effect() {
    let target = "spec.targetRefs[0]";
    let only_listener = |name| limit(name, "Gateway edge#other", 7);
    for (policies, expected) in [
        (vec![limit("a", "Gateway edge", 1)], vec![]),
        // Everything under the Gateway has something more specific.
        (
            vec![
                limit("a", "Gateway edge", 1),
                limit("b", "HTTPRoute web", 2),
                limit("c", "HTTPRoute one", 3),
            ],
            vec![format!("a policy-without-effect {target}")],
        ),
        (
            vec![
                limit("a", "HTTPRoute web", 1),
                limit("b", "HTTPRoute web#pay", 2),
                limit("c", "HTTPRoute web#rest", 3),
            ],
            vec![format!("a policy-without-effect {target}")],
        ),
        // One rule is left.
        (
            vec![
                limit("a", "HTTPRoute web", 1),
                limit("b", "HTTPRoute web#pay", 2),
            ],
            vec![],
        ),
        // What is merged into it keeps it in force.
        (
            vec![
                gateway("circuitBreaker: {maxConnections: 1}"),
                limit("web", "HTTPRoute web", 2),
                route("mergeType: JSONMerge, timeout: {tcp: {connectTimeout: 1s}}"),
            ],
            vec![],
        ),
        // The listener has policies of routes only where they are.
        (
            vec![only_listener("a"), limit("b", "HTTPRoute one", 2)],
            vec![],
        ),
        (
            vec![only_listener("a"), limit("b", "HTTPRoute web", 2)],
            vec![format!("a policy-without-effect {target}")],
        ),
        // What is not there, or is taken, has findings of its own.
        (vec![limit("a", "HTTPRoute nowhere", 1)], vec![]),
    ] {
        assert_eq!(lints(&policies), expected, "{policies:?}");
    }
    let names_nothing = limit("a", "Gateway edge", 1).replace("targetRefs", "other");
    assert_eq!(
        message(&[names_nothing]),
        "the policy has no effect: it names no target; write targetRefs"
    );
    assert_eq!(
        message(&[
            limit("a", "Gateway edge", 1),
            limit("b", "HTTPRoute web", 2),
            limit("c", "HTTPRoute one", 3)
        ]),
        "the policy has no effect: every rule under it has a more specific policy (BackendTrafficPolicy/shop/b, \
         BackendTrafficPolicy/shop/c); remove it, or write a mergeType there"
    );
}

/// Each has its place, and all that it sets is in vain.
#[test]
fn policies_in_force_without_effect() {
    let own = |rule: &str| {
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
    };
    let timeout = "timeout: {http: {requestTimeout: 2s}}";
    let of_own = |spec: &str| policy("p", "HTTPRoute own", spec);
    let own_timeouts = own("timeouts: {request: 3s}, ");
    let listener = limit("above", "Gateway edge#http", 1);
    let web = limit("web", "HTTPRoute web", 5);
    for (what, policies, expected) in [
        (
            "replaced by all that is merged into it",
            vec![
                listener.clone(),
                web.clone(),
                route("mergeType: JSONMerge, circuitBreaker: {maxConnections: 3}"),
            ],
            Some(
                "above: policies that are merged into it replace all that it sets (BackendTrafficPolicy/shop/route); remove it",
            ),
        ),
        (
            "merged, and something is left of it",
            vec![
                gateway("circuitBreaker: {maxConnections: 1, maxPendingRequests: 4}"),
                web.clone(),
                route("mergeType: JSONMerge, circuitBreaker: {maxConnections: 3}"),
            ],
            None,
        ),
        (
            "there is nothing to replace",
            vec![
                policy("above", "Gateway edge#http", ""),
                web.clone(),
                route("mergeType: JSONMerge, circuitBreaker: {maxConnections: 3}"),
            ],
            Some("above: it sets nothing, and hides no other policy; write settings, or remove it"),
        ),
        (
            "it sets nothing",
            vec![route("")],
            Some("route: it sets nothing, and hides no other policy; write settings, or remove it"),
        ),
        (
            "it sets only nulls",
            vec![route("circuitBreaker: null")],
            Some("route: it sets nothing, and hides no other policy; write settings, or remove it"),
        ),
        ("it hides another", vec![listener, route("")], None),
        (
            "the rule's own timeouts",
            vec![own_timeouts.clone(), of_own(timeout)],
            Some(
                "p: the rules under it have timeouts and retries of their own in place of its settings; remove it",
            ),
        ),
        (
            "not all of it",
            vec![own_timeouts, of_own(&format!("{timeout}, retry: {{}}"))],
            None,
        ),
        ("no timeouts", vec![own(""), of_own(timeout)], None),
    ] {
        let found = linted(&policies);
        let found: Vec<String> = found
            .iter()
            .filter(|(_, id, ..)| *id == "policy-without-effect")
            .map(|(object, _, _, message)| {
                format!(
                    "{object}: {}",
                    message.trim_start_matches("the policy has no effect: ")
                )
            })
            .collect();
        assert_eq!(found, Vec::from_iter(expected.map(str::to_owned)), "{what}");
    }
}

#[test]
fn settings_that_are_for_other_kinds_of_routes() {
    const GRPC: &str = "
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: g, namespace: shop}
spec:
  parentRefs: [{name: edge, sectionName: http}]
  hostnames: [g.example.com]
  rules: [{backendRefs: [{name: backend, port: 80}]}]
";
    let retry = "retry: {}, circuitBreaker: {maxConnections: 3}";
    let upgrade = "httpUpgrade: [{type: websocket}]";
    for (what, policies, expected) in [
        (
            "a TCPRoute has no requests",
            [TCP, &policy("t", "TCPRoute t", retry)],
            vec!["t setting-not-for-kind spec.retry"],
        ),
        (
            "nor has what a Gateway carries, if nothing else comes",
            [TCP, &policy("t", "Gateway low", retry)],
            vec!["t setting-not-for-kind spec.retry"],
        ),
        (
            "gRPC is not upgraded",
            [GRPC, &policy("g", "GRPCRoute g", upgrade)],
            vec!["g setting-not-for-kind spec.httpUpgrade"],
        ),
        (
            "other routes under the Gateway are",
            [GRPC, &policy("g", "Gateway edge", upgrade)],
            vec![],
        ),
    ] {
        assert_eq!(lints(&policies.map(str::to_owned)), expected, "{what}");
    }
    assert_eq!(
        message(&[TCP.to_owned(), policy("t", "TCPRoute t", retry)]),
        "this does nothing on TCPRoutes, and the policy reaches no other routes; remove it"
    );
}

#[test]
fn a_route_that_no_listener_carries() {
    let route = "
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: lost, namespace: shop}
spec:
  parentRefs: [{name: edge, sectionName: nowhere}]
  rules: [{backendRefs: [{name: backend, port: 80}]}]
";
    assert_eq!(
        message(&[route.to_owned(), limit("a", "HTTPRoute lost", 1)]),
        "the policy has no effect: no listener carries its routes"
    );
}
