//! Which listeners carry a route, and what it is told of the others.

use serde_json::{Value, json};
use weir_plan::NamespacedName;

use super::status;
use crate::fixtures::{gateway, object, resolved, route, route_conditions, short, table};

#[test]
fn a_route_is_told_why_a_parent_does_not_take_it() {
    let listeners = json!([
        {"name": "http", "port": 80, "protocol": "HTTP", "hostname": "*.example.com"},
        {"name": "all", "port": 81, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}},
        {"name": "chosen", "port": 82, "protocol": "HTTP", "allowedRoutes": {"namespaces": {
            "from": "Selector", "selector": {"matchLabels": {"kubernetes.io/metadata.name": "far"}}}}},
        {"name": "grpc", "port": 83, "protocol": "HTTP", "allowedRoutes": {"kinds": [{"kind": "GRPCRoute"}]}},
        {"name": "https", "port": 443, "protocol": "HTTPS"},
    ]);
    let accepted = "Accepted";
    let cases = [
        ("whole gateway", json!({}), "ns", json!(null), accepted),
        (
            "section",
            json!({"sectionName": "http"}),
            "ns",
            json!(null),
            accepted,
        ),
        ("port", json!({"port": 81}), "ns", json!(null), accepted),
        (
            "section and port",
            json!({"sectionName": "http", "port": 81}),
            "ns",
            json!(null),
            "!Accepted(NoMatchingParent)",
        ),
        (
            "no such section",
            json!({"sectionName": "gone"}),
            "ns",
            json!(null),
            "!Accepted(NoMatchingParent)",
        ),
        (
            "no such port",
            json!({"port": 1}),
            "ns",
            json!(null),
            "!Accepted(NoMatchingParent)",
        ),
        (
            "other namespace",
            json!({"sectionName": "http"}),
            "far",
            json!(null),
            "!Accepted(NotAllowedByListeners)",
        ),
        (
            "every namespace",
            json!({"sectionName": "all"}),
            "far",
            json!(null),
            accepted,
        ),
        (
            "chosen namespace",
            json!({"sectionName": "chosen"}),
            "far",
            json!(null),
            accepted,
        ),
        (
            "not chosen",
            json!({"sectionName": "chosen"}),
            "ns",
            json!(null),
            "!Accepted(NotAllowedByListeners)",
        ),
        (
            "kind",
            json!({"sectionName": "grpc"}),
            "ns",
            json!(null),
            "!Accepted(NotAllowedByListeners)",
        ),
        (
            "host",
            json!({"sectionName": "http"}),
            "ns",
            json!(["a.example.com", "b.example.net"]),
            accepted,
        ),
        (
            "no host",
            json!({"sectionName": "http"}),
            "ns",
            json!(["b.example.net"]),
            "!Accepted(NoMatchingListenerHostname)",
        ),
        (
            "not served",
            json!({"sectionName": "https"}),
            "ns",
            json!(null),
            "!Accepted(NoReadyListeners)",
        ),
    ];
    for (case, parent, namespace, hostnames, expected) in cases {
        let mut it = route("r", json!([{}]));
        it["metadata"]["namespace"] = json!(namespace);
        it["spec"]["parentRefs"][0] = parent;
        it["spec"]["parentRefs"][0]["name"] = json!("edge");
        it["spec"]["parentRefs"][0]["namespace"] = json!("ns");
        it["spec"]["hostnames"] = hostnames;
        let resolution = resolved(&[gateway("edge", listeners.clone()), it]);
        let mut name = object("HTTPRoute", "r");
        name.name = NamespacedName::new(namespace, "r");
        let conditions = short(&resolution.statuses.routes[&name][0].conditions);
        assert_eq!(conditions, [expected, "ResolvedRefs"], "{case}");
        let findings = resolution
            .diagnostics
            .iter()
            .filter(|it| it.id == "not-accepted")
            .count();
        assert_eq!(findings, usize::from(expected != accepted), "{case}");
        let attached: i32 = status(&resolution, "edge")
            .listeners
            .iter()
            .map(|it| it.attached_routes)
            .sum();
        assert_eq!(attached > 0, expected == accepted, "{case}");
    }
}

#[test]
fn a_kind_that_is_not_served_is_said_where_no_listener_would_take_it() {
    let mut it = route("r", json!([{"backendRefs": [{"name": "s", "port": 80}]}]));
    it["kind"] = json!("TLSRoute");
    it["spec"]["hostnames"] = json!(["a.example.com"]);
    it["spec"]["parentRefs"] = json!([{"name": "edge"}]);
    let listeners = json!([{"name": "http", "port": 80, "protocol": "HTTP"}]);
    let resolution = resolved(&[gateway("edge", listeners), it]);
    let messages: Vec<_> = resolution
        .diagnostics
        .iter()
        .filter(|it| it.id == "not-accepted")
        .map(|it| it.message.as_str())
        .collect();
    assert_eq!(
        messages,
        [
            "no listener of Gateway edge allows TLSRoutes of this namespace, and this version of Weir does not serve \
          TLSRoute; it serves HTTPRoute and GRPCRoute"
        ]
    );
}

#[test]
fn parents_that_are_not_ours_get_no_status() {
    let mut it = route("r", json!([{}]));
    it["spec"]["parentRefs"] = json!([{"name": "gone"}, {"kind": "Service", "group": "", "name": "s"}, {"name": "foreign"}]);
    let mut foreign = gateway(
        "foreign",
        json!([{"name": "http", "port": 80, "protocol": "HTTP"}]),
    );
    foreign["spec"]["gatewayClassName"] = json!("other");
    let resolution = resolved(&[it, foreign]);
    assert!(resolution.statuses.routes.is_empty());
    let found: Vec<_> = resolution
        .diagnostics
        .iter()
        .map(|it| (it.id, it.field.as_str()))
        .collect();
    assert_eq!(found, [("parent-not-found", "spec.parentRefs[0]")]);
}

#[test]
fn other_kinds_of_routes_attach_for_policies_and_say_that_they_are_not_served() {
    let listeners = json!([
        {"name": "http", "port": 80, "protocol": "HTTP"},
        {"name": "pass", "port": 443, "protocol": "TLS", "tls": {"mode": "Passthrough"}},
        {"name": "tcp", "port": 1, "protocol": "TCP"},
        {"name": "udp", "port": 1, "protocol": "UDP"},
    ]);
    let other = |kind: &str, rules: Value| {
        let mut it = route("r", rules);
        it["kind"] = json!(kind);
        if kind == "TLSRoute" {
            it["spec"]["hostnames"] = json!(["a.example.com"]);
        }
        it
    };
    let l4 = || json!([{"name": "only", "backendRefs": []}]);
    let resolution = resolved(&[
        gateway("edge", listeners),
        other("TLSRoute", l4()),
        other("TCPRoute", l4()),
        other("UDPRoute", l4()),
    ]);
    for kind in ["TLSRoute", "TCPRoute", "UDPRoute"] {
        assert_eq!(
            route_conditions(&resolution, kind, "r")[0],
            "!Accepted(UnsupportedValue)",
            "{kind}"
        );
    }
    assert!(table(&resolution.plan).is_empty());
    let effective: Vec<_> = resolution
        .effective
        .iter()
        .map(|it| format!("{} {}", it.rule, it.listener.listener))
        .collect();
    assert_eq!(
        effective,
        [
            "TCPRoute/ns/r/rule:only tcp",
            "TLSRoute/ns/r/rule:only pass",
            "UDPRoute/ns/r/rule:only udp",
        ]
    );
}
