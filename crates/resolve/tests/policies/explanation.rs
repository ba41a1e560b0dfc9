//! Explanations of real resolutions.

use weir_plan::{NamespacedName, RouteKind};
use weir_resolve::Resolution;
use weir_resolve::explain::{self, Applying, Displaced};

use super::{BASE, TCP, limit, policy, resolved, resolved_from};

#[test]
fn a_route_is_explained_rule_by_rule_on_each_listener() {
    let resolution = resolved(
        &[
            policy(
                "gateway",
                "Gateway edge",
                "rateLimit: {local: {rules: [{limit: {requests: 1, unit: Second}}]}}",
            ),
            limit("loser", "Gateway edge", 1),
            policy(
                "rule",
                "HTTPRoute web#pay",
                "mergeType: StrategicMerge, timeout: {tcp: {connectTimeout: 1s}}",
            ),
        ]
        .concat(),
    );
    let name = NamespacedName::new("shop", "web");
    let explained = |rule| explain::route(&resolution, RouteKind::Http, &name, rule);
    assert_eq!(explained(None).len(), 4);
    assert_eq!(explained(Some("1")), explained(Some("rest")));
    assert_eq!(
        explained(Some("pay"))[0].to_string(),
        "HTTPRoute/shop/web/rule:pay on listener shop/edge/http\n\
         \x20 StrategicMerge of BackendTrafficPolicy/shop/rule into BackendTrafficPolicy/shop/gateway\n\
         \x20 circuitBreaker\n\
         \x20   maxConnections: 1024         default\n\
         \x20   maxParallelRequests: 1024    default\n\
         \x20   maxParallelRetries: 1024     default\n\
         \x20   maxPendingRequests: 1024     default\n\
         \x20 loadBalancer\n\
         \x20   type: LeastRequest           default\n\
         \x20 rateLimit\n\
         \x20   local\n\
         \x20     rules[0]\n\
         \x20       limit\n\
         \x20         requests: 1            from BackendTrafficPolicy/shop/gateway\n\
         \x20         unit: Second           from BackendTrafficPolicy/shop/gateway\n\
         \x20       shadowMode: false        default\n\
         \x20 timeout\n\
         \x20   http\n\
         \x20     connectionIdleTimeout: 1h  default\n\
         \x20     requestTimeout: 15s        default\n\
         \x20     streamIdleTimeout: 5m      default\n\
         \x20   tcp\n\
         \x20     connectTimeout: 1s         from BackendTrafficPolicy/shop/rule\n\
         \x20 each rate limit that is not shared has 1 bucket, one for each route entry\n\
         \x20 not in force: BackendTrafficPolicy/shop/loser: BackendTrafficPolicy/shop/gateway, of the same age, has the same \
         target and comes first by name\n"
    );
}

#[test]
fn an_entry_of_the_route_table_leads_to_its_rule() {
    let resolution = resolved(&limit("route", "HTTPRoute one", 1));
    let listener = resolution
        .plan
        .listeners
        .iter()
        .find(|it| &*it.name.listener == "http")
        .unwrap();
    let entry = listener
        .hosts
        .iter()
        .flat_map(|host| &host.routes)
        .find(|it| it.name.as_str().contains("/one/"))
        .unwrap();
    let explanation = explain::entry(&resolution, &listener.name, &entry.name).unwrap();
    assert_eq!(explanation.rule.to_string(), "HTTPRoute/shop/one/rule/0");
    let json = serde_json::to_value(&explanation).unwrap();
    assert_eq!(
        json["settings"][0]["field"],
        "circuitBreaker.maxConnections"
    );
}

/// An HTTPRoute whose rule has this of its own.
fn own(rule: &str) -> String {
    format!(
        "
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: own, namespace: shop}}
spec:
  parentRefs: [{{name: edge, sectionName: http}}]
  hostnames: [own.example.com]
  rules: [{{{rule}, backendRefs: [{{name: backend, port: 80}}]}}]
"
    )
}

/// The values at the one rule of a route, as `field value source`, without those of the circuit breaker.
fn values(resolution: &Resolution, kind: RouteKind, route: &str) -> Vec<String> {
    let name = NamespacedName::new("shop", route);
    let [explanation] = &explain::route(resolution, kind, &name, None)[..] else {
        panic!("{route} has one rule on one listener")
    };
    let line = |Applying { field, value, from }: &Applying| format!("{field} {value} {from}");
    let all = explanation.settings.iter().map(line);
    all.filter(|it| !it.starts_with("circuitBreaker."))
        .collect()
}

/// What policies set in vain at the one rule of a route, as `field value policy: reason`.
fn displaced(resolution: &Resolution, kind: RouteKind, route: &str) -> Vec<String> {
    let name = NamespacedName::new("shop", route);
    let explanation = explain::route(resolution, kind, &name, None).remove(0);
    let line = |it: Displaced| {
        format!(
            "{} {} {}: {}",
            it.field, it.value, it.from.name.name, it.reason
        )
    };
    explanation.displaced.into_iter().map(line).collect()
}

#[test]
fn each_value_says_who_set_it() {
    let world = [
        own("timeouts: {request: 3s}, retry: {attempts: 1, codes: [500]}"),
        policy(
            "edge",
            "Gateway edge",
            "timeout: {http: {requestTimeout: 9s}}, retry: {numRetries: 4, retryOn: {triggers: [reset]}}",
        ),
    ];
    let resolution = resolved(&world.concat());
    let edge = "BackendTrafficPolicy/shop/edge";
    assert_eq!(
        values(&resolution, RouteKind::Http, "one"),
        [
            "loadBalancer.type \"LeastRequest\" default".to_owned(),
            format!("retry.numRetries 4 {edge}"),
            "retry.perRetry.backOff.baseInterval \"25ms\" default".to_owned(),
            "retry.perRetry.backOff.maxInterval \"250ms\" default".to_owned(),
            format!("retry.retryOn.triggers[0] \"reset\" {edge}"),
            "timeout.http.connectionIdleTimeout \"1h\" default".to_owned(),
            format!("timeout.http.requestTimeout \"9s\" {edge}"),
            "timeout.http.streamIdleTimeout \"1h\" default".to_owned(),
            "timeout.tcp.connectTimeout \"10s\" default".to_owned(),
        ]
    );
    // The rule's own timeouts and retries come before the policy's, all of whose retries they replace.
    let rule = "HTTPRoute/shop/own/rule/0";
    assert_eq!(
        values(&resolution, RouteKind::Http, "own"),
        [
            "loadBalancer.type \"LeastRequest\" default".to_owned(),
            format!("retry.numRetries 1 {rule}"),
            "retry.perRetry.backOff.baseInterval \"25ms\" default".to_owned(),
            "retry.perRetry.backOff.maxInterval \"250ms\" default".to_owned(),
            format!("retry.retryOn.httpStatusCodes[0] 500 {rule}"),
            "retry.retryOn.triggers[0] \"connect-failure\" default".to_owned(),
            "retry.retryOn.triggers[1] \"refused-stream\" default".to_owned(),
            "retry.retryOn.triggers[2] \"unavailable\" default".to_owned(),
            "retry.retryOn.triggers[3] \"cancelled\" default".to_owned(),
            "retry.retryOn.triggers[4] \"retriable-status-codes\" default".to_owned(),
            "timeout.http.connectionIdleTimeout \"1h\" default".to_owned(),
            format!("timeout.http.requestTimeout \"3s\" {rule}"),
            "timeout.http.streamIdleTimeout \"1h\" default".to_owned(),
            "timeout.tcp.connectTimeout \"10s\" default".to_owned(),
        ]
    );
    assert_eq!(
        displaced(&resolution, RouteKind::Http, "own"),
        [
            "retry.numRetries 4 edge: replaced by the rule's own retry",
            "retry.retryOn.triggers[0] \"reset\" edge: replaced by the rule's own retry",
            "timeout.http.requestTimeout \"9s\" edge: replaced by the rule's own timeouts",
        ]
    );
}

/// Whether a rule says the same as its policy, or as the default, is not guessed from the values.
#[test]
fn a_rule_that_says_what_would_apply_anyway_has_said_it() {
    let rule = "HTTPRoute/shop/own/rule/0";
    let of_policy = policy(
        "p",
        "HTTPRoute own",
        "timeout: {http: {requestTimeout: 3s}}",
    );
    for (own_rule, policy, value, displaces) in [
        ("timeouts: {request: 3s}", &*of_policy, "3s", 1),
        ("timeouts: {request: 15s}", "", "15s", 0),
    ] {
        let resolution = resolved(&[own(own_rule), policy.to_owned()].concat());
        let values = values(&resolution, RouteKind::Http, "own");
        let said = format!("timeout.http.requestTimeout \"{value}\" {rule}");
        assert!(values.contains(&said), "{values:?}");
        let displaced = displaced(&resolution, RouteKind::Http, "own");
        assert_eq!(displaced.len(), displaces, "{displaced:?}");
    }
}

#[test]
fn a_policy_says_what_a_rule_replaces_of_it() {
    let replaced = policy(
        "p",
        "HTTPRoute own",
        "timeout: {http: {requestTimeout: 3s}}",
    );
    let resolution = resolved(&[own("timeouts: {request: 2s}"), replaced].concat());
    let text = explain::policy::policy(&resolution, &NamespacedName::new("shop", "p"))
        .unwrap()
        .to_string();
    let expected = "\x20 affects 0 of 1 routes under it, 0 of 1 rules, on 0 of 1 listeners\n\
         \x20 not in force, as nothing of it is left\n\
         \x20   loses timeout.http.requestTimeout: replaced by the rule's own timeouts\n\
         \x20   shop/edge/http\n\
         \x20     HTTPRoute/shop/own/rule/0\n";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn below_http_an_invalid_policy_is_left_out() {
    let spec = "loadBalancer: {type: ConsistentHash, consistentHash: {type: SourceIP, tableSize: 4}}, circuitBreaker: \
                {maxConnections: 3}";
    let resolution = resolved(&[TCP, &policy("t", "TCPRoute t", spec)].concat());
    let name = NamespacedName::new("shop", "t");
    let route = explain::route(&resolution, RouteKind::Tcp, &name, None)
        .remove(0)
        .to_string();
    let of_policy = explain::policy::policy(&resolution, &name)
        .unwrap()
        .to_string();
    for text in [&route, &of_policy] {
        assert!(
            text.contains("it is invalid, and a TCPRoute goes on without it: "),
            "{text}"
        );
        assert!(!text.contains("500"), "{text}");
    }
    assert!(
        route.contains("no policy sets anything: defaults apply\n"),
        "{route}"
    );
    assert!(of_policy.contains("affects 0 of 1 routes"), "{of_policy}");
}

#[test]
fn what_does_nothing_on_a_kind_of_routes_is_not_in_force() {
    let spec = "retry: {numRetries: 2}, circuitBreaker: {maxConnections: 3}, rateLimit: {local: {rules: [{limit: \
                {requests: 1, unit: Second}}]}}";
    let resolution = resolved(&[TCP, &policy("t", "TCPRoute t", spec)].concat());
    assert_eq!(
        values(&resolution, RouteKind::Tcp, "t"),
        [
            "loadBalancer.type \"LeastRequest\" default",
            "timeout.tcp.connectTimeout \"10s\" default"
        ]
    );
    let reason = "without effect on a TCPRoute";
    assert_eq!(
        displaced(&resolution, RouteKind::Tcp, "t"),
        [
            format!("rateLimit.local.rules[0].limit.requests 1 t: {reason}"),
            format!("rateLimit.local.rules[0].limit.unit \"Second\" t: {reason}"),
            format!("retry.numRetries 2 t: {reason}"),
        ]
    );
    let name = NamespacedName::new("shop", "t");
    let text = explain::policy::policy(&resolution, &name)
        .unwrap()
        .to_string();
    let loses = format!("    loses rateLimit.local.rules, retry.numRetries: {reason}\n");
    assert!(text.contains(&loses), "{text}");
    assert!(!text.contains("bucket"), "{text}");
}

#[test]
fn what_an_envoy_proxy_says_is_shown() {
    let proxy = "
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyProxy
metadata: {name: proxy, namespace: shop}
spec: {routingType: Service}
";
    let base = BASE.replace(
        "  gatewayClassName: weir\n",
        "  gatewayClassName: weir\n  infrastructure: {parametersRef: {group: gateway.envoyproxy.io, kind: EnvoyProxy, name: \
         proxy}}\n",
    );
    let routing_type = |policy: &str| {
        let resolution = resolved_from(&base, &[proxy, policy].concat());
        let values = values(&resolution, RouteKind::Http, "one");
        values.into_iter().find(|it| it.starts_with("routingType"))
    };
    assert_eq!(
        routing_type("").as_deref(),
        Some("routingType \"Service\" EnvoyProxy/shop/proxy")
    );
    assert_eq!(
        routing_type(&policy("p", "Gateway edge", "routingType: Endpoint")).as_deref(),
        Some("routingType \"Endpoint\" BackendTrafficPolicy/shop/p")
    );
}

#[test]
fn the_tree_has_each_name_once() {
    let spec = "retry: {}, telemetry: {tracing: {tags: {k8s.io/x: a, plain: b, \"a\\eb\": c}}}, rateLimit: {local: {rules: \
                [{clientSelectors: [{headers: [{name: user, type: Distinct}]}], limit: {requests: 2, unit: Second}}]}}";
    let resolution = resolved(&policy("p", "HTTPRoute one", spec));
    let name = NamespacedName::new("shop", "one");
    let text = explain::route(&resolution, RouteKind::Http, &name, None)
        .remove(0)
        .to_string();
    let lines: Vec<&str> = text
        .lines()
        .map(|it| it.split("  from").next().unwrap_or_default().trim_end())
        .collect();
    for expected in [
        "  retry: {}",
        "    numRetries: 2",
        "        k8s.io/x: a",
        "        plain: b",
        "        \"a\\u001bb\": c",
        "  one that tells clients apart (Distinct) has these for each value that they send",
    ] {
        let count = lines
            .iter()
            .filter(|it| it.split("  default").next().unwrap_or_default().trim_end() == expected)
            .count();
        assert_eq!(count, 1, "{expected}\n{text}");
    }
    assert!(!lines.contains(&"  retry"), "{text}");
}

/// So many that looking each up among all of them would take minutes.
#[test]
fn many_tags_are_explained_at_once() {
    let tags: Vec<String> = (0..40_000).map(|it| format!("t{it}: x")).collect();
    let spec = format!("telemetry: {{tracing: {{tags: {{{}}}}}}}", tags.join(", "));
    let resolution = resolved(&policy("p", "HTTPRoute one", &spec));
    let values = values(&resolution, RouteKind::Http, "one");
    assert!(values.len() > 40_000);
}

#[test]
fn a_policy_says_what_it_affects() {
    let resolution = resolved(
        &[
            policy(
                "gateway",
                "Gateway edge",
                "circuitBreaker: {maxConnections: 9}, rateLimit: {local: {rules: [{limit: {requests: 1, unit: \
                 Second}}, {clientSelectors: [{headers: [{name: user, type: Distinct}]}], limit: {requests: 2, unit: \
                 Second}}]}, global: {rules: [{limit: {requests: 5, unit: Hour}, shared: true}]}}",
            ),
            policy(
                "pay",
                "HTTPRoute web#pay",
                "mergeType: StrategicMerge, circuitBreaker: {maxConnections: 3}",
            ),
            limit("one", "HTTPRoute one", 4),
            limit("loser", "HTTPRoute one", 4),
            limit("nobody", "HTTPRoute nowhere", 4),
        ]
        .concat(),
    );
    let text = |name: &str| {
        let name = NamespacedName::new("shop", name);
        let text = explain::policy::policy(&resolution, &name)
            .unwrap()
            .to_string();
        text.split("  status\n").next().unwrap().to_owned()
    };
    assert_eq!(
        text("gateway"),
        "BackendTrafficPolicy/shop/gateway\n\
         \x20 targets\n\
         \x20   spec.targetRefs[0]: Gateway shop/edge\n\
         \x20 affects 1 of 2 routes under it, 2 of 3 rules, on 2 of 2 listeners\n\
         \x20 in force as a whole\n\
         \x20   shop/edge/http\n\
         \x20     HTTPRoute/shop/web/rule:rest\n\
         \x20   shop/edge/other\n\
         \x20     HTTPRoute/shop/web/rule:rest\n\
         \x20 in force beneath BackendTrafficPolicy/shop/pay, which is merged into it\n\
         \x20   sets rateLimit.global.rules, rateLimit.local.rules\n\
         \x20   loses circuitBreaker.maxConnections\n\
         \x20   shop/edge/http\n\
         \x20     HTTPRoute/shop/web/rule:pay\n\
         \x20   shop/edge/other\n\
         \x20     HTTPRoute/shop/web/rule:pay\n\
         \x20 not in force: replaced by a more specific policy without mergeType: BackendTrafficPolicy/shop/loser\n\
         \x20   shop/edge/http\n\
         \x20     HTTPRoute/shop/one/rule/0\n\
         \x20 limits\n\
         \x20   spec.rateLimit.global.rules[0]: 5/Hour, 1 bucket\n\
         \x20   spec.rateLimit.local.rules[0]: 1/Second, 4 buckets\n\
         \x20   spec.rateLimit.local.rules[1]: 2/Second, 4 buckets for each value\n"
    );
    assert_eq!(
        text("pay"),
        "BackendTrafficPolicy/shop/pay\n\
         \x20 targets\n\
         \x20   spec.targetRefs[0]: HTTPRoute shop/web, rule pay\n\
         \x20 affects 1 of 1 routes under it, 1 of 1 rules, on 2 of 2 listeners\n\
         \x20 in force, merged into BackendTrafficPolicy/shop/gateway\n\
         \x20   shop/edge/http\n\
         \x20     HTTPRoute/shop/web/rule:pay\n\
         \x20   shop/edge/other\n\
         \x20     HTTPRoute/shop/web/rule:pay\n"
    );
    assert!(text("one").contains(
        "  not in force: BackendTrafficPolicy/shop/loser, of the same age, has the same target and comes first by name\n"
    ));
    assert_eq!(
        text("nobody"),
        "BackendTrafficPolicy/shop/nobody\n\
         \x20 targets\n\
         \x20   spec.targetRefs[0]: there is no HTTPRoute shop/nowhere that is served here, so the policy does nothing for \
         it\n\
         \x20 affects nothing: no rule is under it\n"
    );
    assert_eq!(
        explain::policy::policy(&resolution, &NamespacedName::new("shop", "none")),
        None
    );
}
