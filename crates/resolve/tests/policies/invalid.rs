//! Policies that cannot be enforced: what is said, and what becomes of traffic.

use weir_plan::RouteAction;
use weir_resolve::{Context, Memo, Resolution};

use super::{context, effective, findings, limit, policy, resolved, resources, told};

/// The statuses with which the gateway itself answers requests for a route on listener `http`; 0 where it forwards.
fn answers(resolution: &Resolution, route: &str) -> Vec<u16> {
    let listener = resolution
        .plan
        .listeners
        .iter()
        .find(|it| &*it.name.listener == "http")
        .unwrap();
    let routes = listener
        .hosts
        .iter()
        .flat_map(|host| &host.routes)
        .filter(|it| &*it.rule.name.route.name == route);
    routes
        .map(|route| match &route.rule.action {
            RouteAction::Respond(response) => response.status,
            RouteAction::Forward(_) | RouteAction::Redirect(_) => 0,
        })
        .collect()
}

#[test]
fn routes_under_an_invalid_policy_answer_500_and_others_do_not() {
    let bad = policy(
        "bad",
        "HTTPRoute web#pay",
        "timeout: {http: {requestTimeout: soon}}, retry: {}",
    );
    let resolution = resolved(&[limit("gateway", "Gateway edge", 1), bad].concat());
    assert_eq!(
        (answers(&resolution, "web"), answers(&resolution, "one")),
        (vec![500, 0], vec![0])
    );
    assert_eq!(
        told(&resolution, "bad"),
        ["Gateway edge: Accepted=False Invalid Timeout: invalid RequestTimeout value soon."]
    );
    assert_eq!(
        findings(&resolution, "bad"),
        ["invalid-policy spec.timeout.http.requestTimeout"]
    );
    let effective = effective(&resolution, "web/0", "http");
    assert_eq!(
        effective.invalid.as_deref(),
        Some("Timeout: invalid RequestTimeout value soon.")
    );
}

/// The schema of some counts has no least value, so an API server admits them.
#[test]
fn a_count_below_0_is_invalid_and_named() {
    let bad = policy("bad", "HTTPRoute web", "tcpKeepalive: {probes: -1}");
    let resolution = resolved(&bad);
    assert_eq!(
        told(&resolution, "bad"),
        [
            "Gateway edge: Accepted=False Invalid Invalid spec.tcpKeepalive.probes: invalid value: integer `-1`, expected u32."
        ]
    );
    assert_eq!(
        findings(&resolution, "bad"),
        ["invalid-policy spec.tcpKeepalive.probes"]
    );
    assert_eq!(answers(&resolution, "web"), [500, 500]);
}

#[test]
fn a_failed_merge_answers_500_on_the_listeners_where_it_fails() {
    let route = policy(
        "route",
        "HTTPRoute web",
        "mergeType: Foo, retry: {numRetries: 1}",
    );
    let resolution = resolved(&[limit("listener", "Gateway edge#http", 1), route.clone()].concat());
    assert_eq!(answers(&resolution, "web"), [500, 500]);
    assert_eq!(
        told(&resolution, "route"),
        [
            "Gateway edge#http: Accepted=False Invalid Error merging policies: unsupported merge type: Foo.",
            "Gateway edge: Accepted=True Accepted",
        ]
    );
    assert_eq!(answers(&resolved(&route), "web"), [0, 0]);
    assert_eq!(effective(&resolution, "web/0", "other").invalid, None);
}

#[test]
fn a_merge_can_make_two_valid_policies_invalid() {
    let parent = policy(
        "gateway",
        "Gateway edge",
        "httpUpgrade: [{type: websocket}]",
    );
    let child = policy(
        "route",
        "HTTPRoute one",
        "mergeType: StrategicMerge, requestBuffer: {limit: 1Mi}",
    );
    let resolution = resolved(&[parent, child].concat());
    assert_eq!(answers(&resolution, "one"), [500]);
    assert_eq!(
        told(&resolution, "route"),
        [
            "Gateway edge#http: Accepted=False Invalid RequestBuffer: requestBuffer cannot be used together with httpUpgrade."
        ]
    );
    assert_eq!(
        told(&resolution, "gateway"),
        [
            "Gateway edge: Accepted=True Accepted",
            "Gateway edge: Overridden=True Overridden This policy is being overridden by other backendTrafficPolicies for these routes: [shop/one]",
        ]
    );
}

#[test]
fn a_setting_of_the_wrong_type_is_named() {
    let resolution = resolved(&policy(
        "bad",
        "HTTPRoute one",
        "retry: {retryOn: {triggers: reset}}",
    ));
    assert_eq!(answers(&resolution, "one"), [500]);
    assert_eq!(
        findings(&resolution, "bad"),
        ["invalid-policy spec.retry.retryOn.triggers"]
    );
}

#[test]
fn what_is_protected_by_a_policy_that_is_not_enforced_answers_500() {
    let security = |target: &str| {
        limit("secure", target, 1)
            .replace("BackendTrafficPolicy", "SecurityPolicy")
            .replace(
                "circuitBreaker: {maxConnections: 1}",
                "basicAuth: {users: {name: users}}",
            )
    };
    for (target, web, one) in [
        ("Gateway edge", vec![500, 500], vec![500]),
        ("Gateway edge#other", vec![0, 0], vec![0]),
        ("HTTPRoute web", vec![500, 500], vec![0]),
        ("HTTPRoute web#pay", vec![500, 0], vec![0]),
        ("HTTPRoute unknown", vec![0, 0], vec![0]),
    ] {
        let world = [limit("gateway", "Gateway edge", 1), security(target)].concat();
        let resolution = resolved(&world);
        assert_eq!(
            (answers(&resolution, "web"), answers(&resolution, "one")),
            (web, one),
            "{target}"
        );
        assert_eq!(
            findings(&resolution, "secure")[0],
            "protection-not-enforced "
        );

        let open = Context {
            allow_unenforced: true,
            ..context()
        };
        let resolution = weir_resolve::resolve(&resources(&world), &open, &mut Memo::default());
        assert_eq!(
            (answers(&resolution, "web"), answers(&resolution, "one")),
            (vec![0, 0], vec![0]),
            "{target}"
        );
        assert_eq!(
            findings(&resolution, "secure"),
            ["protection-not-enforced "]
        );
    }
    let resolution = resolved(&security("HTTPRoute one"));
    let reason = effective(&resolution, "one/0", "http").invalid.as_deref();
    assert_eq!(
        reason,
        Some("protected by SecurityPolicy shop/secure, which is not enforced here")
    );
}

/// What nobody can tell to be open is closed.
#[test]
fn a_policy_that_protects_and_does_not_say_what_closes_its_namespace() {
    let security = |spec: &str| {
        format!(
            "
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: SecurityPolicy
metadata: {{name: secure, namespace: shop}}
{spec}
---"
        )
    };
    for spec in [
        "",
        "spec: {basicAuth: {}}",
        "spec: {targetRefs: web}",
        "spec: {targetRefs: [7]}",
    ] {
        let resolution = resolved(&security(spec));
        assert_eq!(
            (answers(&resolution, "web"), answers(&resolution, "one")),
            (vec![500, 500], vec![500]),
            "{spec}"
        );
    }
    // An empty list targets nothing.
    let resolution = resolved(&security("spec: {targetRefs: []}"));
    assert_eq!(answers(&resolution, "one"), [0]);
}

#[test]
fn a_merge_type_that_is_none_is_told_even_where_there_is_nothing_to_merge_with() {
    let child = policy(
        "child",
        "HTTPRoute web",
        "mergeType: StrategicMerg, retry: {}",
    );
    let resolution = resolved(&child);
    assert_eq!(
        findings(&resolution, "child"),
        ["setting-ignored spec.mergeType"]
    );
    assert_eq!(answers(&resolution, "web"), [0, 0]);
}

#[test]
fn other_policies_are_reported_and_do_no_harm() {
    let other =
        limit("other", "Gateway edge", 1).replace("BackendTrafficPolicy", "EnvoyExtensionPolicy");
    let resolution = resolved(&other);
    assert_eq!(findings(&resolution, "other"), ["policy-not-enforced "]);
    assert_eq!(answers(&resolution, "one"), [0]);
}
