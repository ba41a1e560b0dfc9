//! What policies are told where the conformance cases do not look.

use serde_json::Value;
use weir_plan::NamespacedName;
use weir_plan::{Feature, Support};
use weir_resolve::status::PolicyAncestorStatus;
use weir_resolve::{Context, Memo, Resolution};

use super::{context, findings, limit, policy, resolved, resolved_from, resources, told};

#[test]
fn conflicts_of_rules_and_listeners() {
    let both = |target: &str| [limit("a", target, 1), limit("b", target, 2)].concat();
    for (target, ancestor, text) in [
        ("HTTPRoute web#pay", "Gateway edge", "RouteRule web/pay"),
        ("HTTPRoute web", "Gateway edge", "HTTPRoute web"),
        ("HTTPRoute one", "Gateway edge#http", "HTTPRoute one"),
        (
            "Gateway edge#http",
            "Gateway edge#http",
            "Listener shop/edge/http",
        ),
        ("Gateway edge", "Gateway edge", "Gateway edge"),
    ] {
        let resolution = resolved(&both(target));
        let expected = format!(
            "{ancestor}: Accepted=False Conflicted Unable to target {text}, another BackendTrafficPolicy has already attached to it"
        );
        assert_eq!(told(&resolution, "b"), [expected]);
        assert_eq!(
            told(&resolution, "a")[0],
            format!("{ancestor}: Accepted=True Accepted")
        );
    }
}

#[test]
fn each_level_is_told_what_overrides_it() {
    let resolution = resolved(
        &[
            limit("gateway", "Gateway edge", 1),
            limit("listener", "Gateway edge#http", 2),
            limit("route", "HTTPRoute web", 3),
            limit("rule", "HTTPRoute web#pay", 4),
        ]
        .concat(),
    );
    let overridden = "Overridden=True Overridden This policy is being overridden by other";
    for (name, expected) in [
        (
            "rule",
            vec!["Gateway edge: Accepted=True Accepted".to_owned()],
        ),
        (
            "route",
            vec![
                "Gateway edge: Accepted=True Accepted".to_owned(),
                format!(
                    "Gateway edge: {overridden} backendTrafficPolicy for these route rules: [pay]"
                ),
            ],
        ),
        (
            "listener",
            vec![
                "Gateway edge#http: Accepted=True Accepted".to_owned(),
                format!(
                    "Gateway edge#http: {overridden} backendTrafficPolicies for these routes: [shop/web]"
                ),
            ],
        ),
        (
            "gateway",
            vec![
                "Gateway edge: Accepted=True Accepted".to_owned(),
                format!(
                    "Gateway edge: {overridden} backendTrafficPolicies for these gateway listeners: [shop/edge/http] \
                     and these routes: [shop/web]"
                ),
            ],
        ),
    ] {
        assert_eq!(told(&resolution, name), expected);
    }
}

#[test]
fn a_merged_policy_reports_each_listener_and_the_parent() {
    let route = policy("route", "HTTPRoute web", "mergeType: StrategicMerge");
    let resolution = resolved(&[limit("listener", "Gateway edge#http", 1), route].concat());
    assert_eq!(
        told(&resolution, "route"),
        [
            "Gateway edge#http: Merged=True Merged Merged with policy shop/listener",
            "Gateway edge: Accepted=True Accepted"
        ]
    );
    assert_eq!(
        told(&resolution, "listener"),
        [
            "Gateway edge#http: Accepted=True Accepted",
            "Gateway edge#http: Merged=True Merged This policy is being merged by other backendTrafficPolicies for these routes: [shop/web]",
        ]
    );
}

#[test]
fn settings_that_are_not_enforced_are_listed() {
    let support = |feature: Feature| {
        if feature == Feature::Dns {
            Support::No
        } else {
            Support::Full
        }
    };
    let context = Context {
        support,
        ..context()
    };
    let policies = [
        policy("second", "HTTPRoute one", "dns: {}, retry: {numRetries: 1}"),
        policy("first", "HTTPRoute one", "dns: {}"),
        limit("full", "HTTPRoute web", 1),
    ];
    let resolution = weir_resolve::resolve(
        &resources(&policies.concat()),
        &context,
        &mut Memo::default(),
    );
    assert_eq!(told(&resolution, "first").len(), 2);
    assert_eq!(
        told(&resolution, "first")[1],
        "Gateway edge#http: weir.dev/PartiallyEnforced=True SettingsNotEnforced The data plane in use does not enforce: spec.dns."
    );
    assert_eq!(
        findings(&resolution, "first"),
        ["setting-not-enforced spec.dns"]
    );
    assert_eq!(told(&resolution, "second").len(), 1);
    assert_eq!(
        told(&resolution, "full"),
        ["Gateway edge: Accepted=True Accepted"]
    );
}

/// Every `observedGeneration` in a value, and how many conditions there are.
fn generations(value: &Value, found: &mut Vec<Option<i64>>) {
    match value {
        Value::Object(fields) => {
            if fields.contains_key("reason") && fields.contains_key("type") {
                found.push(fields["observedGeneration"].as_i64());
            }
            fields.values().for_each(|it| generations(it, found));
        }
        Value::Array(items) => items.iter().for_each(|it| generations(it, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_condition_says_which_generation_it_is_about() {
    let all = "
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: weir, generation: 1}
spec: {controllerName: weir.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop, generation: 2}
spec:
  gatewayClassName: weir
  allowedListeners: {namespaces: {from: Same}}
  listeners:
  - {name: http, protocol: HTTP, port: 80}
  - {name: same, protocol: HTTP, port: 80}
  - {name: tls, protocol: HTTPS, port: 443, tls: {certificateRefs: [{name: nowhere}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {name: more, namespace: shop, generation: 3}
spec: {parentRef: {name: edge}, listeners: [{name: more, protocol: HTTP, port: 81}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: shop, generation: 4}
spec:
  parentRefs: [{name: edge}, {name: edge, sectionName: nowhere}, {kind: ListenerSet, group: gateway.networking.k8s.io, name: more}]
  rules: [{backendRefs: [{name: nowhere, port: 80}]}, {backendRefs: [{name: app, kind: Backend, group: gateway.envoyproxy.io}]}]
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {name: app, namespace: shop, generation: 5}
spec: {endpoints: [{ip: {address: 10.0.0.1, port: 80}}]}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {name: a, namespace: shop, generation: 6}
spec: {targetRef: {kind: HTTPRoute, name: web}, retry: {numRetries: 1}}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {name: b, namespace: shop, generation: 6}
spec: {targetRefs: [{kind: HTTPRoute, name: web}, {kind: Gateway, name: edge}], timeout: {http: {requestTimeout: soon}}}
";
    let resolution = resolved_from(all, "");
    let statuses = serde_json::to_value(&resolution.statuses).unwrap();
    for (group, generation, at_least) in [
        ("gatewayClasses", 1, 1),
        ("gateways", 2, 9),
        ("listenerSets", 3, 4),
        ("backends", 5, 1),
        ("policies", 6, 3),
    ] {
        let mut found = Vec::new();
        generations(&statuses[group], &mut found);
        assert!(found.len() >= at_least, "{group}: {found:?}");
        assert!(
            found.iter().all(|it| *it == Some(generation)),
            "{group}: {found:?}"
        );
    }
    let routes = resolution.statuses.routes.values().flat_map(|it| it.iter());
    let conditions: Vec<_> = routes.flat_map(|it| &it.conditions).collect();
    assert!(conditions.len() >= 6, "{conditions:?}");
    assert!(
        conditions
            .iter()
            .all(|it| it.observed_generation == Some(4)),
        "{conditions:?}"
    );
}

#[test]
fn the_number_of_attached_routes_comes_back_to_zero() {
    let attached = |resolution: &Resolution| -> Vec<i32> {
        let gateways = resolution.statuses.gateways.values();
        let listeners = gateways.flat_map(|it| &it.listeners);
        listeners.map(|it| it.attached_routes).collect()
    };
    // One memo, as in a process that follows edits.
    let mut memo = Memo::default();
    let mut all = resources("");
    let mut resolve =
        |all: &weir_resolve::Resources| weir_resolve::resolve(all, &context(), &mut memo);
    assert_eq!(attached(&resolve(&all)), [2, 1]);
    let routes: Vec<_> = all.http_routes.keys().cloned().collect();
    for name in routes {
        all.http_routes.remove(&name);
    }
    let without = resolve(&all);
    assert_eq!(attached(&without), [0, 0]);
    assert!(without.statuses.routes.is_empty());
    assert_eq!(attached(&resolve(&resources(""))), [2, 1]);
}

#[test]
fn parents_of_other_controllers_are_left_to_them() {
    let mixed = "
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: theirs}
spec: {controllerName: example.com/controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: theirs, namespace: shop}
spec: {gatewayClassName: theirs, listeners: [{name: http, protocol: HTTP, port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: mixed, namespace: shop}
spec: {parentRefs: [{name: theirs}, {name: edge}], rules: [{backendRefs: [{name: backend, port: 80}]}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: foreign, namespace: shop}
spec: {parentRefs: [{name: theirs}], rules: [{backendRefs: [{name: backend, port: 80}]}]}
";
    let on = |name: &str, kind: &str, target: &str| limit(name, &format!("{kind} {target}"), 1);
    let policies = [
        on("on-mixed", "HTTPRoute", "mixed"),
        on("on-foreign", "HTTPRoute", "foreign"),
        on("on-theirs", "Gateway", "theirs"),
    ];
    let resolution = resolved(&format!("{mixed}{}", policies.concat()));
    let parents = |name: &str| -> Vec<String> {
        let routes = resolution.statuses.routes.iter();
        let of_name = routes.filter(|(route, _)| &*route.name.name == name);
        of_name
            .flat_map(|(_, it)| it.iter())
            .map(|it| it.parent_ref.to_string())
            .collect()
    };
    assert_eq!(parents("mixed"), ["Gateway edge"]);
    assert_eq!(parents("foreign"), [""; 0]);
    assert!(
        !resolution
            .statuses
            .gateways
            .keys()
            .any(|it| &*it.name == "theirs")
    );
    assert_eq!(
        told(&resolution, "on-mixed"),
        ["Gateway edge: Accepted=True Accepted"]
    );
    assert_eq!(told(&resolution, "on-foreign"), [""; 0]);
    assert_eq!(told(&resolution, "on-theirs"), [""; 0]);
}

#[test]
fn a_policy_is_told_about_sixteen_ancestors_at_most() {
    let gateways = (0..20).map(|n| {
        format!(
            "
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: g{n:02}, namespace: shop}}
spec: {{gatewayClassName: weir, listeners: [{{name: http, protocol: HTTP, port: {}}}]}}
",
            1_000 + n
        )
    });
    let gateways: String = gateways.collect();
    let parents: Vec<_> = (0..20).map(|n| format!("{{name: g{n:02}}}")).collect();
    let route = format!(
        "
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: wide, namespace: shop}}
spec: {{parentRefs: [{}], rules: [{{backendRefs: [{{name: backend, port: 80}}]}}]}}
",
        parents.join(", ")
    );
    let resolution = resolved(&[gateways, route, limit("p", "HTTPRoute wide", 1)].concat());
    let ancestors = &resolution.statuses.policies[&NamespacedName::new("shop", "p")];
    assert_eq!(ancestors.len(), 16);
    let aggregated =
        |it: &PolicyAncestorStatus| it.conditions.iter().any(|it| it.r#type == "Aggregated");
    let last = ancestors.iter().position(aggregated);
    assert_eq!(last, Some(15), "the last says that there are more");
}
