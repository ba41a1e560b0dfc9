//! GRPCRoutes: the same tables as HTTPRoutes, towards backends that speak HTTP/2.

use serde_json::json;
use weir_plan::UpstreamProtocol;

use super::{action, rules};
use crate::fixtures::{
    edge, object, resolved, route, route_conditions, service, table, to_service,
};

#[test]
fn a_grpc_route_is_served_like_one_of_http() {
    let mut it = route(
        "r",
        json!([
            {"matches": [{"method": {"service": "a.B", "method": "C"}}, {"method": {"service": "a.B"}}], "backendRefs": [to_service("s")]},
            {"matches": [{"method": {}}], "backendRefs": [to_service("s")]},
            {"backendRefs": [to_service("gone")]},
        ]),
    );
    it["kind"] = json!("GRPCRoute");
    let resolution = resolved(&[edge(), service("s"), it]);
    assert_eq!(
        table(&resolution.plan),
        [
            "80/http GRPCRoute/ns/r/rule/0/match/0/* forward",
            "80/http GRPCRoute/ns/r/rule/0/match/1/* forward",
            "80/http GRPCRoute/ns/r/rule/2/match/0/* respond 500",
        ]
    );
    let actions: Vec<_> = rules(&resolution.plan).into_iter().map(action).collect();
    assert_eq!(
        actions,
        [
            "1 GRPCRoute/ns/r/rule/0@ns/edge",
            "500 there is no Service ns/gone"
        ]
    );
    let mut protocols = resolution.plan.clusters.values().map(|it| it.protocol);
    assert!(protocols.all(|it| it == UpstreamProtocol::Http2));
    let conditions = route_conditions(&resolution, "GRPCRoute", "r");
    assert_eq!(conditions[0], "Accepted");
    let found: Vec<_> = resolution
        .diagnostics
        .iter()
        .filter(|it| it.object == object("GRPCRoute", "r"))
        .map(|it| (it.id, it.field.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            ("invalid-rule", "spec.rules[1]"),
            ("unresolved-ref", "spec.rules[2].backendRefs[0]"),
        ]
    );
}

#[test]
fn a_reference_to_another_namespace_is_one_of_a_grpc_route() {
    let mut far = service("s");
    far["metadata"]["namespace"] = json!("far");
    let grant = |kind: &str| {
        json!({"kind": "ReferenceGrant", "metadata": {"name": "g", "namespace": "far"}, "spec": {
            "from": [{"group": "gateway.networking.k8s.io", "kind": kind, "namespace": "ns"}],
            "to": [{"group": "", "kind": "Service"}]}})
    };
    let mut to_far = to_service("s");
    to_far["namespace"] = json!("far");
    let mut it = route("r", json!([{"backendRefs": [to_far]}]));
    it["kind"] = json!("GRPCRoute");
    for (kind, expected) in [
        ("HTTPRoute", "!ResolvedRefs(RefNotPermitted)"),
        ("GRPCRoute", "ResolvedRefs"),
    ] {
        let resolution = resolved(&[edge(), far.clone(), it.clone(), grant(kind)]);
        let conditions = route_conditions(&resolution, "GRPCRoute", "r");
        assert_eq!(conditions[1], expected, "{kind}");
    }
}
