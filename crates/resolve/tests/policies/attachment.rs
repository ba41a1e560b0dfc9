//! Which policy a rule gets: precedence, conflicts, and the ways to name a target.

use super::{findings, limit, lost, policy, resolved, settings, settings_on};

/// The connections that a rule is limited to, and by which policy.
fn limited(resolution: &weir_resolve::Resolution, rule: &str, listener: &str) -> String {
    let settings = settings_on(resolution, rule, listener).join(" ");
    settings.replace("circuitBreaker.maxConnections=", "")
}

#[test]
fn the_most_specific_policy_counts() {
    let all = [
        limit("gateway", "Gateway edge", 1),
        limit("listener", "Gateway edge#http", 2),
        limit("route", "HTTPRoute web", 3),
        limit("rule", "HTTPRoute web#pay", 4),
    ];
    let resolution = resolved(&all.concat());
    for (rule, listener, expected) in [
        ("web/0", "http", "4 (rule)"),
        ("web/0", "other", "4 (rule)"),
        ("web/1", "http", "3 (route)"),
        ("web/1", "other", "3 (route)"),
        ("one/0", "http", "2 (listener)"),
    ] {
        assert_eq!(
            limited(&resolution, rule, listener),
            expected,
            "{rule} on {listener}"
        );
    }
    let without_route = resolved(&[&all[0], &all[1], &all[3]].map(String::as_str).concat());
    assert_eq!(limited(&without_route, "web/1", "http"), "2 (listener)");
    assert_eq!(limited(&without_route, "web/1", "other"), "1 (gateway)");
    assert_eq!(settings(&resolved(""), "web/0"), Vec::<String>::new());
}

#[test]
fn an_empty_policy_hides_what_is_less_specific() {
    let resolution = resolved(
        &[
            limit("gateway", "Gateway edge", 1),
            policy("route", "HTTPRoute web", "mergeType: null"),
        ]
        .concat(),
    );
    assert_eq!(settings(&resolution, "web/0"), Vec::<String>::new());
    assert_eq!(
        lost(&resolution, "web/0"),
        [
            "gateway: replaced by a more specific policy without mergeType: BackendTrafficPolicy/shop/route"
        ]
    );
}

#[test]
fn of_two_policies_with_one_target_the_older_counts_then_the_first_by_name() {
    let aged = |name: &str, second: u32, connections: u32| {
        let age = format!("namespace: shop, creationTimestamp: 2024-01-01T00:00:0{second}Z");
        limit(name, "HTTPRoute web", connections).replace("namespace: shop", &age)
    };
    let undated = |name: &str, connections: u32| limit(name, "HTTPRoute web", connections);
    for (policies, winner, reason) in [
        (
            [aged("b", 1, 30), aged("a", 2, 40)],
            "30 (b)",
            "a: older policy won: BackendTrafficPolicy/shop/b has the same target since 2024-01-01T00:00:01Z, this one since 2024-01-01T00:00:02Z",
        ),
        (
            [aged("b", 1, 30), aged("a", 1, 40)],
            "40 (a)",
            "b: BackendTrafficPolicy/shop/a, of the same age, has the same target and comes first by name",
        ),
        (
            [undated("b", 30), aged("a", 1, 40)],
            "30 (b)",
            "a: older policy won: BackendTrafficPolicy/shop/b has the same target since an unknown time, this one since 2024-01-01T00:00:01Z",
        ),
    ] {
        let resolution = resolved(&policies.concat());
        assert_eq!(limited(&resolution, "web/0", "http"), winner);
        assert_eq!(lost(&resolution, "web/0"), [reason]);
    }
}

#[test]
fn a_target_that_is_named_twice_is_in_force_once() {
    let twice = "
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {name: twice, namespace: shop}
spec:
  targetRefs: [{kind: HTTPRoute, name: web}, {kind: HTTPRoute, name: web}]
  circuitBreaker: {maxConnections: 5}
";
    let resolution = resolved(twice);
    assert_eq!(limited(&resolution, "web/0", "http"), "5 (twice)");
    assert_eq!(lost(&resolution, "web/0"), Vec::<String>::new());
    assert_eq!(
        findings(&resolution, "twice"),
        ["policy-conflict spec.targetRefs[1]"]
    );
}

#[test]
fn a_selector_whose_places_are_taken_is_told_so_once() {
    let by_selector = |key: &str, chosen: &str| {
        format!(
            "
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {{name: late, namespace: shop}}
spec:
  targetSelectors: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, {key}: {chosen}}}]
  circuitBreaker: {{maxConnections: 5}}
"
        )
    };
    let taken = [
        limit("first", "HTTPRoute web", 1),
        limit("first-one", "HTTPRoute one", 2),
    ]
    .concat();
    let both = "the policy does nothing for 2 of the objects selected here; the first of them: \
        BackendTrafficPolicy/shop/first-one, of the same age, has the same target and comes first by name";
    let only = "the policy does nothing here: \
        BackendTrafficPolicy/shop/first, of the same age, has the same target and comes first by name";
    for (key, chosen, expected) in [
        ("matchLabels", "{team: front}", both),
        ("matchLabels", "{app: web, team: front}", only),
        (
            "matchExpressions",
            "[{key: team, operator: In, values: [front, front]}]",
            both,
        ),
        (
            "matchExpressions",
            "[{key: app, operator: In, values: [web, none]}]",
            only,
        ),
        (
            "matchExpressions",
            "[{key: app, operator: NotIn, values: [one]}]",
            only,
        ),
    ] {
        let resolution = resolved(&format!("{taken}{}", by_selector(key, chosen)));
        let late = resolution
            .diagnostics
            .iter()
            .filter(|it| &*it.object.name.name == "late");
        let told: Vec<&str> = late.map(|it| it.message.as_str()).collect();
        assert_eq!(told, [expected], "{key} {chosen}");
    }
}

#[test]
fn what_is_not_there_is_said() {
    let resolution = resolved(
        &[
            limit("object", "HTTPRoute unknown", 1),
            limit("kind", "Service backend", 1),
            limit("rule", "HTTPRoute web#unknown", 1),
            limit("listener", "Gateway edge#unknown", 1),
        ]
        .concat(),
    );
    for (name, expected) in [
        ("object", "target-not-found spec.targetRefs[0]"),
        ("kind", "target-not-found spec.targetRefs[0]"),
        ("rule", "section-not-found spec.targetRefs[0]"),
        ("listener", "section-not-found spec.targetRefs[0]"),
    ] {
        assert_eq!(findings(&resolution, name), [expected]);
    }
    assert_eq!(settings(&resolution, "web/0"), Vec::<String>::new());
    assert_eq!(
        lost(&resolution, "web/0"),
        [
            "rule: section not found: it names a section that the object does not have",
            "listener: section not found: it names a section that the object does not have",
        ]
    );
}

/// A policy with a selector, in a namespace.
fn selecting(namespace: &str, selector: &str) -> String {
    format!(
        "
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {{name: selecting, namespace: {namespace}}}
spec: {{targetSelectors: [{selector}], circuitBreaker: {{maxConnections: 7}}}}
"
    )
}

#[test]
fn selectors_choose_by_label() {
    for (selector, web, one) in [
        ("{kind: HTTPRoute, matchLabels: {team: front}}", true, true),
        (
            "{kind: HTTPRoute, matchLabels: {team: front, app: web}}",
            true,
            false,
        ),
        ("{kind: HTTPRoute}", true, true),
        (
            "{kind: HTTPRoute, matchExpressions: [{key: app, operator: In, values: [one]}]}",
            false,
            true,
        ),
        (
            "{kind: HTTPRoute, matchExpressions: [{key: app, operator: Near, values: [one]}]}",
            false,
            false,
        ),
        (
            "{kind: HTTPRoute, matchLabels: {\"a b\": front}}",
            false,
            false,
        ),
        // A null is none of the labels.
        (
            "{kind: HTTPRoute, matchLabels: {app: one, team: null}}",
            false,
            true,
        ),
        (
            "{kind: GRPCRoute, matchLabels: {team: front}}",
            false,
            false,
        ),
        ("{kind: Gateway, matchLabels: {tier: edge}}", true, true),
        ("{group: example.com, kind: HTTPRoute}", false, false),
    ] {
        let resolution = resolved(&selecting("shop", selector));
        let chosen = |rule| !settings(&resolution, rule).is_empty();
        assert_eq!((chosen("web/1"), chosen("one/0")), (web, one), "{selector}");
        // One that Kubernetes does not read is told so, lest a typo looks like a missing label.
        let id = match selector.contains("Near") || selector.contains("a b") {
            true => "invalid-target",
            false => "selector-matches-nothing",
        };
        let finding = format!("{id} spec.targetSelectors[0]");
        assert_eq!(
            findings(&resolution, "selecting").contains(&finding),
            !web && !one,
            "{selector}"
        );
    }
}

#[test]
fn selectors_reach_other_namespaces_where_a_grant_allows_it() {
    let grant = |kind: &str, to: &str| {
        format!(
            "
---
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {{name: grant, namespace: shop}}
spec:
  from: [{{group: gateway.envoyproxy.io, kind: {kind}, namespace: team}}]
  to: [{{group: gateway.networking.k8s.io, kind: {to}}}]
"
        )
    };
    let labelled = "
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {env: prod}}
";
    let granted = grant("BackendTrafficPolicy", "HTTPRoute, name: web");
    for (namespaces, grant, web, one) in [
        ("from: Same", &granted, false, false),
        ("from: All", &granted, true, false),
        (
            "from: All",
            &grant("BackendTrafficPolicy", "HTTPRoute"),
            true,
            true,
        ),
        (
            "from: All",
            &grant("SecurityPolicy", "HTTPRoute"),
            false,
            false,
        ),
        (
            "from: All",
            &grant("BackendTrafficPolicy", "Gateway"),
            false,
            false,
        ),
        (
            "from: Selector, selector: {matchLabels: {env: prod}}",
            &granted,
            true,
            false,
        ),
        (
            "from: Selector, selector: {matchLabels: {env: test}}",
            &granted,
            false,
            false,
        ),
        ("from: Selector", &granted, false, false),
    ] {
        let selector = format!("{{kind: HTTPRoute, namespaces: {{{namespaces}}}}}");
        let resolution = resolved(
            &[&selecting("team", &selector), grant, labelled]
                .map(|it: &str| it.to_owned())
                .concat(),
        );
        let chosen = |rule| !settings(&resolution, rule).is_empty();
        assert_eq!(
            (chosen("web/0"), chosen("one/0")),
            (web, one),
            "{namespaces} {grant}"
        );
    }
    let selector = "{kind: HTTPRoute, matchLabels: {app: web}, namespaces: {from: All}}";
    let resolution = resolved(&selecting("team", selector));
    assert_eq!(
        findings(&resolution, "selecting"),
        ["no-reference-grant spec.targetSelectors[0]"]
    );
    assert_eq!(
        lost(&resolution, "web/0"),
        ["selecting: no ReferenceGrant in the namespace of its target allows it"]
    );
    assert!(resolution.statuses.policies.is_empty());
}

#[test]
fn a_list_beside_a_single_target_is_told_to_do_nothing() {
    let target =
        |name: &str| format!("{{group: gateway.networking.k8s.io, kind: HTTPRoute, name: {name}}}");
    let both = format!(
        "
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {{name: both, namespace: shop}}
spec:
  targetRef: {}
  targetRefs: [{}]
  targetSelectors: [{{kind: HTTPRoute, matchLabels: {{app: nothing}}}}]
  circuitBreaker: {{maxConnections: 7}}
",
        target("web"),
        target("one")
    );
    let resolution = resolved(&both);
    assert_eq!(limited(&resolution, "web/0", "http"), "7 (both)");
    assert_eq!(limited(&resolution, "one/0", "http"), "");
    assert_eq!(
        findings(&resolution, "both")[0],
        "setting-ignored spec.targetRefs"
    );
}
