//! Classes, listeners, their conflicts and ListenerSets.

use serde_json::{Value, json};
use weir_plan::NamespacedName;

use super::{FINE, listener, status};
use crate::fixtures::{
    context, edge, gateway, resolved, resources, route, route_conditions, short, table,
};
use crate::status::GatewayStatus;
use crate::{Addresses, Context, Memo, resolve};

#[test]
fn a_gateway_is_ours_by_its_class() {
    let other = json!({"kind": "GatewayClass", "metadata": {"name": "other"}, "spec": {"controllerName": "other"}});
    let of_class = |class: &str| {
        let mut it = edge();
        it["spec"]["gatewayClassName"] = json!(class);
        it
    };
    let cases = [
        ("ours", false, true, &[] as &[&str]),
        ("other", false, false, &[]),
        ("missing", false, false, &[]),
        ("other", true, true, &[]),
        ("missing", true, true, &["gateway-class-not-found"]),
    ];
    for (class, every_class, ours, findings) in cases {
        let resources = resources(&[other.clone(), of_class(class)]);
        let mut context = context();
        context.every_class = every_class;
        let resolution = resolve(&resources, &context, &mut Memo::default());
        assert_eq!(
            resolution.statuses.gateways.len(),
            usize::from(ours),
            "{class} {every_class}"
        );
        assert_eq!(
            resolution.plan.listeners.len(),
            usize::from(ours),
            "{class} {every_class}"
        );
        let found: Vec<_> = resolution.diagnostics.iter().map(|it| it.id).collect();
        assert_eq!(found, findings, "{class} {every_class}");
        let classes: Vec<_> = resolution
            .statuses
            .gateway_classes
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(
            classes,
            if every_class {
                vec!["other", "ours"]
            } else {
                vec!["ours"]
            }
        );
    }
}

#[test]
fn listeners_of_one_gateway_that_are_alike_all_lose() {
    let resolution = resolved(&[gateway(
        "edge",
        json!([
            {"name": "one", "port": 80, "protocol": "HTTP"},
            {"name": "same", "port": 80, "protocol": "HTTP", "hostname": "*"},
            {"name": "host", "port": 80, "protocol": "HTTP", "hostname": "a.example.com"},
            {"name": "clear", "port": 81, "protocol": "HTTP"},
            {"name": "tls", "port": 81, "protocol": "HTTPS"},
            {"name": "tcp", "port": 82, "protocol": "TCP"},
            {"name": "http-beside-tcp", "port": 82, "protocol": "HTTP"},
            {"name": "no-port", "port": 0, "protocol": "HTTP"},
        ]),
    )]);
    let status = status(&resolution, "edge");
    let conflict = |reason| {
        format!("!Accepted({reason}) Conflicted({reason}) ResolvedRefs !Programmed(Invalid)")
    };
    let unserved = "!Accepted(UnsupportedProtocol) ?ResolvedRefs(Pending) !Programmed(Invalid)";
    assert_eq!(listener(status, "one"), conflict("HostnameConflict"));
    assert_eq!(listener(status, "same"), conflict("HostnameConflict"));
    assert_eq!(listener(status, "host"), FINE);
    assert_eq!(listener(status, "clear"), conflict("ProtocolConflict"));
    assert_eq!(listener(status, "tls"), conflict("ProtocolConflict"));
    assert_eq!(listener(status, "tcp"), unserved);
    assert_eq!(listener(status, "http-beside-tcp"), FINE);
    assert_eq!(
        listener(status, "no-port"),
        "!Accepted(PortUnavailable) ResolvedRefs !Programmed(Invalid)"
    );
    assert_eq!(
        short(&status.conditions),
        ["Accepted(ListenersNotValid)", "Programmed"]
    );
    let served: Vec<_> = resolution
        .plan
        .listeners
        .iter()
        .map(|it| &*it.name.listener)
        .collect();
    assert_eq!(served, ["host", "http-beside-tcp"]);
    assert_eq!(resolution.diagnostics.len(), 6);
}

#[test]
fn between_gateways_the_older_listener_wins_and_the_rest_go_on() {
    let listeners = json!([
        {"name": "shared", "port": 80, "protocol": "HTTP"},
        {"name": "mine", "port": 80, "protocol": "HTTP", "hostname": "NAME.example.com"},
    ]);
    let aged = |name: &str, year: u16| {
        let text = listeners.to_string().replace("NAME", name);
        let mut it = gateway(name, serde_json::from_str(&text).unwrap());
        it["metadata"]["creationTimestamp"] = json!(format!("{year}-01-01T00:00:00Z"));
        it
    };
    let resolution = resolved(&[aged("a", 2025), aged("b", 2024)]);
    let (young, old) = (status(&resolution, "a"), status(&resolution, "b"));
    assert_eq!(listener(old, "shared"), FINE);
    assert_eq!(
        listener(young, "shared"),
        "!Accepted(HostnameConflict) Conflicted(HostnameConflict) ResolvedRefs !Programmed(Invalid)"
    );
    assert_eq!(listener(young, "mine"), FINE);
    let message = &young.listeners[0].conditions[0].message;
    assert!(
        message.contains("listener shared of Gateway ns/b"),
        "{message}"
    );
    let served: Vec<_> = resolution
        .plan
        .listeners
        .iter()
        .map(|it| it.name.to_string())
        .collect();
    assert_eq!(served, ["ns/a/mine", "ns/b/mine", "ns/b/shared"]);
}

#[test]
fn gateways_with_addresses_of_their_own_do_not_meet() {
    let listeners = json!([
        {"name": "one", "port": 80, "protocol": "HTTP"},
        {"name": "other", "port": 81, "protocol": "HTTP"},
        {"name": "again", "port": 81, "protocol": "HTTP"},
    ]);
    let (a, b) = (gateway("a", listeners.clone()), gateway("b", listeners));
    let context = Context {
        addresses: Addresses::PerGateway,
        ..context()
    };
    let resolution = resolve(&resources(&[a, b]), &context, &mut Memo::default());
    let served: Vec<_> = resolution
        .plan
        .listeners
        .iter()
        .map(|it| it.name.to_string())
        .collect();
    // Within a Gateway listeners contend as ever.
    assert_eq!(served, ["ns/a/one", "ns/b/one"]);
}

#[test]
fn kinds_that_cannot_attach_are_reported_and_do_not_stop_the_others() {
    let with = |kinds: Value| json!({"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": {"kinds": kinds}});
    let cases = [
        (json!([{"kind": "HTTPRoute"}]), FINE, 1),
        (json!([{"kind": "GRPCRoute"}]), FINE, 1),
        (
            json!([{"kind": "HTTPRoute"}, {"kind": "Foo"}]),
            "Accepted !ResolvedRefs(InvalidRouteKinds) Programmed",
            1,
        ),
        (
            json!([{"kind": "TCPRoute"}]),
            "Accepted !ResolvedRefs(InvalidRouteKinds) !Programmed(Invalid)",
            0,
        ),
        (
            json!([{"kind": "HTTPRoute", "group": "other"}]),
            "Accepted !ResolvedRefs(InvalidRouteKinds) !Programmed(Invalid)",
            0,
        ),
    ];
    for (kinds, expected, supported) in cases {
        let resolution = resolved(&[gateway("edge", json!([with(kinds.clone())]))]);
        let status = status(&resolution, "edge");
        assert_eq!(listener(status, "http"), expected, "{kinds}");
        assert_eq!(
            status.listeners[0].supported_kinds.len(),
            supported,
            "{kinds}"
        );
    }
}

#[test]
fn a_listener_set_adds_listeners_where_the_gateway_allows_it() {
    let set = |name: &str, port: u16, parent: &str| {
        json!({"kind": "ListenerSet", "metadata": {"name": name}, "spec": {
            "parentRef": {"name": parent},
            "listeners": [{"name": "http", "port": port, "protocol": "HTTP"}]}})
    };
    let on_set = |name: &str, set: &str| {
        let mut it = route(name, json!([{}]));
        it["spec"]["parentRefs"] = json!([{"kind": "ListenerSet", "name": set}]);
        it
    };
    let mut open = edge();
    open["spec"]["allowedListeners"] = json!({"namespaces": {"from": "Same"}});
    let closed = gateway(
        "closed",
        json!([{"name": "http", "port": 90, "protocol": "HTTP"}]),
    );
    let resolution = resolved(&[
        open,
        closed,
        set("a-taken", 80, "edge"),
        set("extra", 81, "edge"),
        set("kept-out", 82, "closed"),
        route("on-gateway", json!([{}])),
        on_set("on-set", "extra"),
        on_set("on-taken", "a-taken"),
        on_set("on-closed", "kept-out"),
    ]);
    let served: Vec<_> = resolution
        .plan
        .listeners
        .iter()
        .map(|it| it.name.to_string())
        .collect();
    assert_eq!(
        served,
        ["ns/edge/http", "ns/edge/ns/extra/http", "ns/closed/http"]
    );
    assert_eq!(
        table(&resolution.plan),
        [
            "80/http HTTPRoute/ns/on-gateway/rule/0/match/0/* respond 500",
            "81/ns/extra/http HTTPRoute/ns/on-set/rule/0/match/0/* respond 500",
        ]
    );
    let set = |name: &str| &resolution.statuses.listener_sets[&NamespacedName::new("ns", name)];
    assert_eq!(short(&set("extra").conditions), ["Accepted", "Programmed"]);
    assert_eq!(set("extra").listeners[0].attached_routes, 1);
    assert_eq!(
        short(&set("a-taken").conditions),
        ["!Accepted(ListenersNotValid)", "!Programmed(Invalid)"]
    );
    assert_eq!(
        short(&set("kept-out").conditions),
        ["!Accepted(NotAllowed)", "!Programmed(NotAllowed)"]
    );
    // The Gateway speaks of its own listeners only.
    assert_eq!(status(&resolution, "edge").listeners.len(), 1);
    assert_eq!(
        short(&status(&resolution, "edge").conditions),
        ["Accepted", "Programmed"]
    );
    assert_eq!(
        route_conditions(&resolution, "HTTPRoute", "on-taken"),
        ["!Accepted(NoReadyListeners)", "ResolvedRefs"]
    );
    assert_eq!(
        route_conditions(&resolution, "HTTPRoute", "on-closed"),
        ["!Accepted(NoMatchingParent)", "ResolvedRefs"]
    );
}

#[test]
fn settings_of_a_gateway_without_effect_are_named() {
    let mut it = edge();
    it["spec"]["addresses"] = json!([{"value": "10.0.0.1"}]);
    it["spec"]["infrastructure"] =
        json!({"parametersRef": {"group": "g", "kind": "k", "name": "n"}});
    let resolution = resolved(&[it]);
    assert_eq!(
        short(&status(&resolution, "edge").conditions),
        ["Accepted", "!Programmed(AddressNotUsable)"]
    );
    let fields: Vec<_> = resolution
        .diagnostics
        .iter()
        .map(|it| it.field.as_str())
        .collect();
    assert_eq!(
        fields,
        ["spec.addresses", "spec.infrastructure.parametersRef"]
    );
    assert_eq!(resolution.plan.listeners.len(), 1);
}

#[test]
fn a_port_that_cannot_be_bound_is_told_to_its_listeners_and_their_gateway() {
    let mut open = gateway(
        "edge",
        json!([{"name": "a", "port": 80, "protocol": "HTTP"}, {"name": "b", "port": 81, "protocol": "HTTP"}]),
    );
    open["spec"]["allowedListeners"] = json!({"namespaces": {"from": "Same"}});
    let set = json!({"kind": "ListenerSet", "metadata": {"name": "set"}, "spec": {
        "parentRef": {"name": "edge"}, "listeners": [{"name": "c", "port": 82, "protocol": "HTTP"}]}});
    let resolution = resolved(&[open, set]);
    let mut statuses = resolution.statuses.clone();
    let names: Vec<_> = resolution
        .plan
        .listeners
        .iter()
        .map(|it| it.name.clone())
        .collect();
    let gateway = NamespacedName::new("ns", "edge");
    let programmed = |status: &GatewayStatus| short(&status.conditions).pop().unwrap();

    statuses.with_listen_error(&names[..1], "port 80 is in use");
    let status = &statuses.gateways[&gateway];
    assert_eq!(
        listener(status, "a"),
        "Accepted ResolvedRefs !Programmed(PortUnavailable)"
    );
    assert_eq!(listener(status, "b"), FINE);
    assert_eq!(programmed(status), "Programmed");

    statuses.with_listen_error(&names[1..], "port 81 is in use");
    assert_eq!(
        programmed(&statuses.gateways[&gateway]),
        "!Programmed(Invalid)"
    );
    assert_eq!(
        programmed(&statuses.listener_sets[&NamespacedName::new("ns", "set")]),
        "!Programmed(Invalid)"
    );
}
