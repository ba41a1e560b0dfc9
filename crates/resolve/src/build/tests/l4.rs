//! Routes for protocols below HTTP: what is planned for them although it is not served yet.

#![expect(
    clippy::needless_pass_by_value,
    reason = "tests read better when they hand over what `json!` makes"
)]

use serde_json::{Value, json};
use weir_plan::{L4Action, L4Route, Plan, Transport, UpstreamProtocol};

use crate::fixtures::{gateway, resolved, route, service, to_service};

fn listeners() -> Value {
    json!([
        {"name": "tcp", "port": 1, "protocol": "TCP"},
        {"name": "udp", "port": 1, "protocol": "UDP"},
        {"name": "pass", "port": 2, "protocol": "TLS", "hostname": "*.example.com", "tls": {"mode": "Passthrough"}},
    ])
}

fn of_kind(kind: &str, refs: Value) -> Value {
    let mut it = route("r", json!([{"backendRefs": refs}]));
    it["kind"] = json!(kind);
    if kind == "TLSRoute" {
        it["spec"]["hostnames"] = json!(["a.example.com", "b.other.com"]);
    }
    it
}

fn udp_service(name: &str) -> Value {
    let mut it = service(name);
    it["spec"]["ports"][0]["protocol"] = json!("UDP");
    it
}

fn policy(kind: &str, settings: Value) -> Value {
    let mut spec = settings;
    spec["targetRefs"] = json!([{"group": "gateway.networking.k8s.io", "kind": kind, "name": "r"}]);
    json!({"kind": "BackendTrafficPolicy", "metadata": {"name": "p"}, "spec": spec})
}

/// Each listener with its routes: `NAME PORT TRANSPORT: HOSTS -> WHERE (POLICIES)`.
fn short(plan: &Plan) -> Vec<String> {
    let of_route = |it: &L4Route| {
        let hosts: Vec<_> = it.hostnames.iter().map(ToString::to_string).collect();
        let place = match &it.action {
            L4Action::Forward {
                cluster,
                refused_weight,
            } => {
                let endpoints = cluster.localities.iter().map(|it| it.endpoints.to_string());
                let endpoints: Vec<_> = endpoints.collect();
                format!("{} -{refused_weight}", endpoints.join(" "))
            }
            L4Action::Refuse(why) => format!("refused: {why}"),
        };
        let policies = it.origin.policies.len();
        format!("{} -> {place} ({policies})", hosts.join(" "))
    };
    let listeners = plan.l4.iter().map(|it| {
        let routes: Vec<_> = it.routes.iter().map(|it| of_route(it)).collect();
        format!(
            "{} {} {:?}: {}",
            it.name.listener,
            it.port,
            it.transport,
            routes.join(", ")
        )
    });
    listeners.collect()
}

#[test]
fn each_listener_has_its_routes() {
    let resolution = resolved(&[
        gateway("edge", listeners()),
        service("s"),
        udp_service("u"),
        of_kind("TCPRoute", json!([to_service("s"), to_service("gone")])),
        of_kind("UDPRoute", json!([to_service("u")])),
        of_kind("TLSRoute", json!([to_service("s")])),
    ]);
    assert_eq!(
        short(&resolution.plan),
        [
            "tcp 1 Tcp: * -> Service/ns/s:80 -1 (0)",
            "udp 1 Udp: * -> Service/ns/u:80/udp -0 (0)",
            "pass 2 TlsPassthrough: a.example.com -> Service/ns/s:80 -0 (0)",
        ]
    );
    assert!(resolution.plan.listeners.is_empty() && resolution.plan.clusters.is_empty());
    let protocols: Vec<_> = resolution
        .plan
        .l4
        .iter()
        .flat_map(|it| &it.routes)
        .filter_map(|it| match &it.action {
            L4Action::Forward { cluster, .. } => Some(cluster.protocol),
            L4Action::Refuse(_) => None,
        })
        .collect();
    use UpstreamProtocol::{Tcp, Udp};
    assert_eq!(protocols, [Tcp, Udp, Tcp]);
}

#[test]
fn tls_that_ends_here_is_another_transport() {
    let listeners =
        json!([{"name": "tls", "port": 2, "protocol": "TLS", "tls": {"mode": "Terminate"}}]);
    let plan = resolved(&[gateway("edge", listeners)]).plan;
    assert_eq!(plan.l4[0].transport, Transport::TlsTerminate);
}

#[test]
fn a_ports_protocol_must_be_the_routes() {
    let resolution = resolved(&[
        gateway("edge", listeners()),
        service("s"),
        of_kind("UDPRoute", json!([to_service("s")])),
    ]);
    assert_eq!(
        short(&resolution.plan)[1],
        "udp 1 Udp: * -> refused: Service ns/s has no UDP port 80; it has [] (0)"
    );
}

#[test]
fn an_invalid_policy_is_left_out_and_a_valid_one_counts() {
    let plan_under = |settings: Value| {
        let documents = [
            gateway("edge", listeners()),
            service("s"),
            of_kind("TCPRoute", json!([to_service("s")])),
            policy("TCPRoute", settings),
        ];
        resolved(&documents).plan
    };
    let valid = plan_under(json!({"circuitBreaker": {"maxConnections": 7},
        "telemetry": {"metrics": {"routeStatName": "%ROUTE_KIND%/%ROUTE_NAME%"}}}));
    assert_eq!(short(&valid)[0], "tcp 1 Tcp: * -> Service/ns/s:80 -0 (1)");
    let one = &valid.l4[0].routes[0];
    assert_eq!(one.stat_name.as_deref(), Some("TCPRoute/r"));
    let L4Action::Forward { cluster, .. } = &one.action else {
        panic!("{one:?}");
    };
    assert_eq!(cluster.policy.circuit_breaker.max_connections, 7);
    let invalid = plan_under(
        json!({"circuitBreaker": {"maxConnections": 7}, "timeout": {"tcp": {"connectTimeout": "0s"}}}),
    );
    assert_eq!(short(&invalid)[0], "tcp 1 Tcp: * -> Service/ns/s:80 -0 (0)");
    let L4Action::Forward { cluster, .. } = &invalid.l4[0].routes[0].action else {
        panic!("{invalid:?}");
    };
    assert_eq!(cluster.policy.circuit_breaker.max_connections, 1024);
}

#[test]
fn unknown_protection_closes_a_route_of_any_kind() {
    let resolution = resolved(&[
        gateway("edge", listeners()),
        service("s"),
        of_kind("TCPRoute", json!([to_service("s")])),
        json!({"kind": "SecurityPolicy", "metadata": {"name": "guard"}, "spec": {
            "targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "edge"}]}}),
    ]);
    assert_eq!(
        short(&resolution.plan)[0],
        "tcp 1 Tcp: * -> refused: protected by SecurityPolicy ns/guard, which is not enforced here (0)"
    );
}

#[test]
fn an_envoy_proxy_says_where_requests_to_services_go() {
    let proxy = |name: &str, word: &str| json!({"kind": "EnvoyProxy", "metadata": {"name": name}, "spec": {"routingType": word}});
    let mut to = service("s");
    to["spec"]["clusterIP"] = json!("10.9.9.9");
    let mut edge = gateway("edge", listeners());
    let class = |name: &str| {
        json!({"kind": "GatewayClass", "metadata": {"name": "ours"}, "spec": {"controllerName": "test",
            "parametersRef": {"group": "gateway.envoyproxy.io", "kind": "EnvoyProxy", "name": name, "namespace": "ns"}}})
    };
    let of_class = [
        class("service"),
        proxy("service", "Service"),
        proxy("endpoint", "Endpoint"),
        to,
        of_kind("TCPRoute", json!([to_service("s")])),
    ];
    let planned = |edge: &Value| {
        let mut documents = of_class.to_vec();
        documents.push(edge.clone());
        short(&resolved(&documents).plan)[0].clone()
    };
    assert_eq!(
        planned(&edge),
        "tcp 1 Tcp: * -> Service/ns/s:80/cluster-ip -0 (0)"
    );
    edge["spec"]["infrastructure"] = json!({"parametersRef": {"group": "gateway.envoyproxy.io", "kind": "EnvoyProxy", "name": "endpoint"}});
    assert_eq!(planned(&edge), "tcp 1 Tcp: * -> Service/ns/s:80 -0 (0)");
}
