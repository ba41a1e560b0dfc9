//! Explanations of real resolutions.

use weir_plan::{NamespacedName, RouteKind};
use weir_resolve::explain::{self, Applying};

use super::{limit, policy, resolved};

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

#[test]
fn each_value_says_who_set_it() {
    let own = "
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: own, namespace: shop}
spec:
  parentRefs: [{name: edge, sectionName: http}]
  hostnames: [own.example.com]
  rules:
  - timeouts: {request: 3s}
    retry: {attempts: 1, codes: [500]}
    backendRefs: [{name: backend, port: 80}]
";
    let world = [
        own.to_owned(),
        policy(
            "edge",
            "Gateway edge",
            "timeout: {http: {requestTimeout: 9s}}, retry: {numRetries: 4, retryOn: {triggers: [reset]}}",
        ),
    ];
    let resolution = resolved(&world.concat());
    let values = |route: &str| -> Vec<String> {
        let name = NamespacedName::new("shop", route);
        let [explanation] = &explain::route(&resolution, RouteKind::Http, &name, None)[..] else {
            panic!("{route} has one rule on one listener")
        };
        let line = |Applying { field, value, from }: &Applying| format!("{field} {value} {from}");
        explanation
            .settings
            .iter()
            .map(line)
            .filter(|it| !it.starts_with("circuitBreaker"))
            .collect()
    };
    let edge = "BackendTrafficPolicy/shop/edge";
    assert_eq!(
        values("one"),
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
        values("own"),
        [
            "loadBalancer.type \"LeastRequest\" default".to_owned(),
            format!("retry.numRetries 1 {rule}"),
            format!("retry.perRetry.backOff.baseInterval \"25ms\" {rule}"),
            format!("retry.perRetry.backOff.maxInterval \"250ms\" {rule}"),
            format!("retry.retryOn.httpStatusCodes[0] 500 {rule}"),
            format!("retry.retryOn.triggers[0] \"connect-failure\" {rule}"),
            format!("retry.retryOn.triggers[1] \"refused-stream\" {rule}"),
            format!("retry.retryOn.triggers[2] \"retriable-status-codes\" {rule}"),
            format!("retry.retryOn.triggers[3] \"cancelled\" {rule}"),
            format!("retry.retryOn.triggers[4] \"unavailable\" {rule}"),
            "timeout.http.connectionIdleTimeout \"1h\" default".to_owned(),
            format!("timeout.http.requestTimeout \"3s\" {rule}"),
            "timeout.http.streamIdleTimeout \"1h\" default".to_owned(),
            "timeout.tcp.connectTimeout \"10s\" default".to_owned(),
        ]
    );
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
