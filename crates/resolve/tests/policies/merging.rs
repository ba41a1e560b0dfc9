//! Policies that merge: into which other, on which listener, and what comes out in the plan.

use super::{effective, limit, lost, policy, resolved, settings, settings_on};

#[test]
fn a_route_merges_with_the_closest_policy_of_each_listener() {
    let resolution = resolved(
        &[
            limit("gateway", "Gateway edge", 1),
            policy("listener", "Gateway edge#http", "retry: {numRetries: 3}"),
            policy(
                "route",
                "HTTPRoute web",
                "mergeType: StrategicMerge, dns: {respectDnsTtl: false}",
            ),
        ]
        .concat(),
    );
    assert_eq!(
        settings_on(&resolution, "web/0", "http"),
        [
            "dns.respectDnsTtl=false (route)",
            "retry.numRetries=3 (listener)"
        ]
    );
    assert_eq!(
        settings_on(&resolution, "web/0", "other"),
        [
            "circuitBreaker.maxConnections=1 (gateway)",
            "dns.respectDnsTtl=false (route)"
        ]
    );
    assert_eq!(
        lost(&resolution, "web/0"),
        [
            "gateway: a closer policy, BackendTrafficPolicy/shop/listener, is the one that BackendTrafficPolicy/shop/route is merged into"
        ]
    );
    let policies: Vec<String> = effective(&resolution, "web/0", "http")
        .policies
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        policies,
        [
            "BackendTrafficPolicy/shop/route",
            "BackendTrafficPolicy/shop/listener"
        ]
    );
}

#[test]
fn a_rule_merges_with_the_gateway_and_never_with_the_route() {
    let rule = policy(
        "rule",
        "HTTPRoute web#pay",
        "mergeType: JSONMerge, dns: {respectDnsTtl: false}",
    );
    let route = limit("route", "HTTPRoute web", 3);
    let resolution = resolved(
        &[
            limit("gateway", "Gateway edge", 1),
            route.clone(),
            rule.clone(),
        ]
        .concat(),
    );
    assert_eq!(
        settings(&resolution, "web/0"),
        [
            "circuitBreaker.maxConnections=1 (gateway)",
            "dns.respectDnsTtl=false (rule)"
        ]
    );
    assert_eq!(
        lost(&resolution, "web/0"),
        [
            "route: replaced by BackendTrafficPolicy/shop/rule: a rule's policy is merged into that of a listener or Gateway (BackendTrafficPolicy/shop/gateway), never into a route's"
        ]
    );
    let alone = resolved(&[route, rule].concat());
    assert_eq!(
        settings(&alone, "web/0"),
        ["dns.respectDnsTtl=false (rule)"]
    );
    assert_eq!(
        lost(&alone, "web/0"),
        [
            "route: replaced by BackendTrafficPolicy/shop/rule, whose mergeType does not reach the policy of a route"
        ]
    );
}

#[test]
fn defaults_do_not_override_what_a_parent_wrote() {
    let parent = policy(
        "gateway",
        "Gateway edge",
        "circuitBreaker: {maxConnections: 7, maxPendingRequests: 8}",
    );
    let child = policy(
        "route",
        "HTTPRoute web",
        "mergeType: StrategicMerge, circuitBreaker: {maxConnections: 9}",
    );
    let resolution = resolved(&[parent, child].concat());
    let cluster = resolution
        .plan
        .clusters
        .values()
        .find(|it| it.name.as_str().contains("/web/"))
        .unwrap();
    let breaker = &cluster.policy.circuit_breaker;
    assert_eq!(
        (
            breaker.max_connections,
            breaker.max_pending_requests,
            breaker.max_parallel_requests
        ),
        (9, 8, 1024)
    );
}

#[test]
fn null_deletes_and_an_empty_list_switches_off() {
    let parent = policy(
        "gateway",
        "Gateway edge",
        "timeout: {http: {requestTimeout: 1s}}, rateLimit: {global: {rules: [{limit: {requests: 1, unit: Second}}]}}",
    );
    let child = policy(
        "route",
        "HTTPRoute web",
        "mergeType: JSONMerge, timeout: {http: {requestTimeout: null}}, rateLimit: {global: {rules: []}}",
    );
    let resolution = resolved(&[parent, child].concat());
    let listener = resolution
        .plan
        .listeners
        .iter()
        .find(|it| &*it.name.listener == "http")
        .unwrap();
    let routes = listener.hosts.iter().flat_map(|host| &host.routes);
    for route in routes {
        let (web, policy) = (&*route.rule.name.route.name == "web", &route.rule.policy);
        assert_eq!(policy.rate_limit.global.is_none(), web);
        assert_eq!(
            policy.timeout.request.unwrap().as_secs(),
            if web { 15 } else { 1 }
        );
    }
}

#[test]
fn rules_of_both_policies_keep_their_names() {
    let rules = |requests: u32| {
        format!(
            "rateLimit: {{global: {{rules: [{{limit: {{requests: {requests}, unit: Second}}, shared: true}}]}}}}"
        )
    };
    let parent = policy("gateway", "Gateway edge", &rules(100));
    let child = policy(
        "route",
        "HTTPRoute one",
        &format!("mergeType: StrategicMerge, {}", rules(5)),
    );
    let resolution = resolved(&[parent, child].concat());
    let listener = resolution
        .plan
        .listeners
        .iter()
        .find(|it| &*it.name.listener == "http")
        .unwrap();
    let route = listener
        .hosts
        .iter()
        .flat_map(|host| &host.routes)
        .find(|it| &*it.rule.name.route.name == "one")
        .unwrap();
    let rules = &route.rule.policy.rate_limit.global.as_ref().unwrap().rules;
    let listed: Vec<String> = rules
        .iter()
        .map(|it| format!("{} {}", it.name, it.limit))
        .collect();
    assert_eq!(
        listed,
        [
            "shop/route/rule/0 5/Second",
            "shop/gateway/rule/0 100/Second"
        ]
    );
}

#[test]
fn an_entry_of_a_map_can_be_deleted() {
    for mode in ["JSONMerge", "StrategicMerge"] {
        let tags = "telemetry: {tracing: {tags: {a: x, b: v}}}";
        let child =
            format!("mergeType: {mode}, telemetry: {{tracing: {{tags: {{a: null, c: w}}}}}}");
        let resolution = resolved(
            &[
                policy("gateway", "Gateway edge", tags),
                policy("route", "HTTPRoute web", &child),
            ]
            .concat(),
        );
        assert_eq!(
            settings(&resolution, "web/0"),
            [
                "telemetry.tracing.tags.b=\"v\" (gateway)",
                "telemetry.tracing.tags.c=\"w\" (route)"
            ],
            "{mode}"
        );
        // Where there is nothing to merge with, or in what is merged into, a null deletes nothing.
        for alone in [
            policy("route", "HTTPRoute web", &child),
            [
                policy(
                    "gateway",
                    "Gateway edge",
                    "telemetry: {tracing: {tags: {a: null, c: w}}}",
                ),
                policy("route", "HTTPRoute web", &format!("mergeType: {mode}")),
            ]
            .concat(),
        ] {
            let resolution = resolved(&alone);
            let effective = effective(&resolution, "web/0", "http");
            assert_eq!(effective.invalid, None, "{mode}");
            assert_eq!(
                effective.settings["telemetry"]["tracing"]["tags"],
                serde_json::json!({"c": "w"})
            );
        }
    }
}
