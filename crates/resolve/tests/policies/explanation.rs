//! Explanations of real resolutions.

use weir_plan::{NamespacedName, RouteKind};
use weir_resolve::explain;

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
         \x20 rateLimit\n\
         \x20   local\n\
         \x20     rules[0]\n\
         \x20       limit\n\
         \x20         requests: 1     from BackendTrafficPolicy/shop/gateway\n\
         \x20         unit: Second    from BackendTrafficPolicy/shop/gateway\n\
         \x20 timeout\n\
         \x20   tcp\n\
         \x20     connectTimeout: 1s  from BackendTrafficPolicy/shop/rule\n\
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
    assert_eq!(explanation.settings.len(), 1);
    let json = serde_json::to_value(&explanation).unwrap();
    assert_eq!(
        json["settings"][0]["field"],
        "circuitBreaker.maxConnections"
    );
}
