//! Where backendRefs lead, alone and together.

use serde_json::{Value, json};

use super::{action, clusters, found, rules};
use crate::build::UNSERVED_BACKENDS;
use crate::fixtures::{
    backend, context, edge, object, resolved, resources, route, route_conditions, service, table,
    to_backend, to_service,
};
use crate::{Memo, resolve};

#[test]
fn one_cluster_holds_all_backends_unless_they_must_be_apart() {
    let endpoints = json!([{"ip": {"address": "10.0.0.1", "port": 1}}]);
    let mut spare = backend("spare", endpoints.clone());
    spare["spec"]["fallback"] = json!(true);
    let objects = [
        service("s"),
        service("t"),
        backend("ip", endpoints),
        backend(
            "name",
            json!([{"fqdn": {"hostname": "a.example.com", "port": 1}}]),
        ),
        spare,
    ];
    let weighted = |mut it: Value, weight: i32| {
        it["weight"] = json!(weight);
        it
    };
    let filtered = |mut it: Value| {
        it["filters"] = json!([{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "a", "value": "b"}]}}]);
        it
    };
    let name = |backend: &str| format!("HTTPRoute/ns/r/rule/0{backend}@ns/edge");
    let (whole, first, second) = (name(""), name("/backend/0"), name("/backend/1"));
    let cases: [(&str, Value, String, Vec<String>); 9] = [
        (
            "weights",
            json!([
                weighted(to_service("s"), 3),
                to_service("t"),
                weighted(to_backend("gone"), 0)
            ]),
            format!("1 {whole}"),
            vec![format!("{whole}: 3*0 Service/ns/s:80 1*0 Service/ns/t:80")],
        ),
        (
            "service, backend and fallback",
            json!([to_service("s"), to_backend("ip"), to_backend("spare")]),
            format!("1 {whole}"),
            vec![format!(
                "{whole}: 1*0 Service/ns/s:80 1*0 Backend/ns/ip 1*1 Backend/ns/spare"
            )],
        ),
        (
            "mixed addresses",
            json!([weighted(to_service("s"), 2), to_backend("name")]),
            format!("2 {first}, 1 {second}"),
            vec![
                format!("{first}: 2*0 Service/ns/s:80"),
                format!("{second}: 1*0 Backend/ns/name"),
            ],
        ),
        (
            "filters",
            json!([to_service("s"), filtered(to_service("t"))]),
            format!("1 {first}, 1 {second}"),
            vec![
                format!("{first}: 1*0 Service/ns/s:80"),
                format!("{second}: 1*0 Service/ns/t:80"),
            ],
        ),
        (
            "filters of a single backend",
            json!([filtered(to_service("s")), weighted(to_service("t"), 0)]),
            format!("1 {whole}"),
            vec![format!("{whole}: 1*0 Service/ns/s:80")],
        ),
        (
            "one of two is invalid",
            json!([weighted(to_backend("gone"), 9), to_service("s")]),
            format!("9 500, 1 {second}"),
            vec![format!("{second}: 1*0 Service/ns/s:80")],
        ),
        (
            "all are invalid",
            json!([to_backend("gone")]),
            "500 there is no Backend ns/gone".to_owned(),
            vec![],
        ),
        (
            "no weight",
            json!([weighted(to_service("s"), 0)]),
            "500 the rule has no backends".to_owned(),
            vec![],
        ),
        (
            "none",
            json!([]),
            "500 the rule has no backends".to_owned(),
            vec![],
        ),
    ];
    for (case, refs, expected, expected_clusters) in cases {
        let mut documents = objects.to_vec();
        documents.extend([edge(), route("r", json!([{"backendRefs": refs}]))]);
        let resolution = resolved(&documents);
        assert_eq!(action(rules(&resolution.plan)[0]), expected, "{case}");
        assert_eq!(clusters(&resolution.plan), expected_clusters, "{case}");
    }
}

#[test]
fn a_cluster_speaks_what_its_backends_do() {
    let speaking = |name: &str, protocol: &str| {
        let mut it = service(name);
        it["spec"]["ports"][0]["appProtocol"] = json!(protocol);
        it
    };
    let backend = json!({"kind": "Backend", "metadata": {"name": "b"}, "spec": {
        "appProtocols": ["gateway.envoyproxy.io/h2c"], "endpoints": [{"ip": {"address": "10.0.0.1", "port": 1}}]}});
    let objects = [
        service("plain"),
        speaking("own", "example.com/own"),
        speaking("h2c", "kubernetes.io/h2c"),
        speaking("grpc", "grpc"),
        backend,
    ];
    use weir_plan::UpstreamProtocol::{Http1, Http2};
    for (refs, expected) in [
        (json!([to_service("plain"), to_service("own")]), vec![Http1]),
        (
            json!([to_service("h2c"), to_service("grpc"), to_backend("b")]),
            vec![Http2],
        ),
        (
            json!([to_service("plain"), to_service("h2c")]),
            vec![Http1, Http2],
        ),
    ] {
        let mut documents = objects.to_vec();
        documents.extend([edge(), route("r", json!([{"backendRefs": refs}]))]);
        let plan = resolved(&documents).plan;
        let spoken: Vec<_> = plan.clusters.values().map(|it| it.protocol).collect();
        assert_eq!(spoken, expected, "{refs}");
    }
}

#[test]
fn a_backend_ref_that_leads_nowhere_says_why() {
    let mut external = service("external");
    external["spec"]["type"] = json!("ExternalName");
    let mut ws = service("ws");
    ws["spec"]["ports"][0]["appProtocol"] = json!("kubernetes.io/ws");
    let mut wss = service("wss");
    wss["spec"]["ports"][0]["appProtocol"] = json!("kubernetes.io/wss");
    let mut own = service("own");
    own["spec"]["ports"][0]["appProtocol"] = json!("example.com/own");
    let mut udp = service("udp");
    udp["spec"]["ports"][0]["protocol"] = json!("UDP");
    let mut far = service("far");
    far["metadata"]["namespace"] = json!("far");
    let mut granted = service("granted");
    granted["metadata"]["namespace"] = json!("far");
    let grant = json!({"kind": "ReferenceGrant", "metadata": {"name": "g", "namespace": "far"}, "spec": {
        "from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "ns"}],
        "to": [{"group": "", "kind": "Service", "name": "granted"}]}});
    let objects = [
        external,
        ws,
        wss,
        own,
        udp,
        far,
        granted,
        grant,
        service("s"),
        backend("bad", json!([])),
        edge(),
    ];
    let in_far = |name: &str| json!({"name": name, "namespace": "far", "port": 80});
    let cases = [
        (to_service("s"), "ResolvedRefs"),
        (to_service("own"), "ResolvedRefs"),
        (in_far("granted"), "ResolvedRefs"),
        (in_far("far"), "!ResolvedRefs(RefNotPermitted)"),
        (in_far("gone"), "!ResolvedRefs(RefNotPermitted)"),
        (to_service("gone"), "!ResolvedRefs(BackendNotFound)"),
        (to_backend("gone"), "!ResolvedRefs(BackendNotFound)"),
        (json!({"name": "s"}), "!ResolvedRefs(PortNotSpecified)"),
        (
            json!({"name": "s", "port": 81}),
            "!ResolvedRefs(PortNotFound)",
        ),
        (to_service("udp"), "!ResolvedRefs(PortNotFound)"),
        (to_service("external"), "!ResolvedRefs(UnsupportedValue)"),
        (to_service("ws"), "ResolvedRefs"),
        (to_service("wss"), "!ResolvedRefs(UnsupportedProtocol)"),
        (to_backend("bad"), "!ResolvedRefs(UnsupportedValue)"),
        (
            json!({"kind": "ConfigMap", "name": "s"}),
            "!ResolvedRefs(InvalidKind)",
        ),
        (
            json!({"group": "other", "kind": "Service", "name": "s", "port": 80}),
            "!ResolvedRefs(InvalidKind)",
        ),
    ];
    for (backend_ref, expected) in cases {
        let mut documents = objects.to_vec();
        documents.push(route("r", json!([{"backendRefs": [backend_ref]}])));
        let resolution = resolved(&documents);
        assert_eq!(
            route_conditions(&resolution, "HTTPRoute", "r"),
            ["Accepted", expected],
            "{backend_ref}"
        );
        let answers_500 = table(&resolution.plan)[0].ends_with("respond 500");
        assert_eq!(answers_500, expected != "ResolvedRefs", "{backend_ref}");
        let noted =
            found(&resolution).contains(&"spec.rules[0].backendRefs[0] unresolved-ref".to_owned());
        assert_eq!(noted, answers_500, "{backend_ref}");
    }
}

#[test]
fn a_backend_says_why_it_is_not_accepted() {
    let ip = |address: &str| json!({"endpoints": [{"ip": {"address": address, "port": 80}}]});
    let fqdn =
        |hostname: &str| json!({"endpoints": [{"fqdn": {"hostname": hostname, "port": 80}}]});
    let cases = [
        (ip("10.0.0.1"), ""),
        (ip("fd00::1"), ""),
        (ip("10.0.0"), "IP address 10.0.0 is invalid"),
        (
            ip("127.0.0.1"),
            "IP address 127.0.0.1 is a loopback address, which only file mode may use",
        ),
        (
            ip("::ffff:127.0.0.1"),
            "IP address ::ffff:127.0.0.1 is a loopback address, which only file mode may use",
        ),
        (fqdn("a.example.com"), ""),
        (fqdn("a.example.com."), ""),
        (
            fqdn("localhost"),
            "hostname localhost should be a domain with at least two segments separated by dots",
        ),
        (fqdn("10.0.0.1"), "hostname 10.0.0.1 is an IP address"),
        (
            fqdn("a_b.example.com"),
            "hostname a_b.example.com is not a valid FQDN",
        ),
        (
            json!({"endpoints": [{"unix": {"path": "/run/a.sock"}}]}),
            "",
        ),
        (
            json!({"endpoints": [{"unix": {"path": ""}}]}),
            "unix path \"\" is not between 1 and 108 bytes long",
        ),
        (
            json!({"endpoints": [{"ip": {"address": "10.0.0.1", "port": 0}}]}),
            "port 0 is not between 1 and 65535",
        ),
        (
            json!({"endpoints": [{}]}),
            "an endpoint must have exactly one of fqdn, ip and unix",
        ),
        (json!({"endpoints": []}), "it has no endpoints"),
        (
            json!({"endpoints": [{"ip": {"address": "10.0.0.1", "port": 1}}, {"fqdn": {"hostname": "a.b", "port": 1}}]}),
            "fqdn endpoints cannot be mixed with ip or unix endpoints",
        ),
        (
            json!({"type": "DynamicResolver"}),
            "type DynamicResolver is not supported yet",
        ),
        (
            json!({"appProtocols": ["gateway.envoyproxy.io/wss"]}),
            "gateway.envoyproxy.io/wss needs TLS: tls of the Backend, or a BackendTLSPolicy",
        ),
        (
            json!({"tls": {}}),
            "must specify either CACertificateRefs or WellKnownCACertificates when InsecureSkipVerify is unset or false",
        ),
    ];
    for (spec, why) in cases {
        let document = json!({"kind": "Backend", "metadata": {"name": "b"}, "spec": spec});
        let resolution = resolved(&[document]);
        let condition = &resolution.statuses.backends[&object("Backend", "b").name][0];
        let expected = match why {
            "" => "Accepted Accepted: The Backend was accepted".to_owned(),
            why => format!("Accepted Invalid: The Backend was not accepted: {why}"),
        };
        let text = format!(
            "{} {}: {}",
            condition.r#type, condition.reason, condition.message
        );
        assert_eq!(text, expected, "{spec}");
        assert_eq!(
            resolution.diagnostics.len(),
            usize::from(!why.is_empty()),
            "{spec}"
        );
    }
}

#[test]
fn loopback_and_short_names_are_for_file_mode() {
    let endpoints = json!([{"ip": {"address": "127.0.0.1", "port": 80}}]);
    let names = json!([{"fqdn": {"hostname": "localhost", "port": 80}}]);
    let resources = resources(&[backend("ip", endpoints), backend("name", names)]);
    let mut context = context();
    context.allow_loopback = true;
    let resolution = resolve(&resources, &context, &mut Memo::default());
    assert!(
        resolution.diagnostics.is_empty(),
        "{:?}",
        resolution.diagnostics
    );
}

#[test]
fn a_backend_ref_with_a_filter_that_is_not_served_fails_for_its_share() {
    let mut second = to_service("s");
    second["filters"] =
        json!([{"type": "URLRewrite", "urlRewrite": {"hostname": "a.example.com"}}]);
    let resolution = resolved(&[
        edge(),
        service("s"),
        route("r", json!([{"backendRefs": [to_service("s"), second]}])),
        route("alone", json!([{"backendRefs": [second]}])),
    ]);
    assert_eq!(
        action(rules(&resolution.plan)[1]),
        "1 HTTPRoute/ns/r/rule/0/backend/0@ns/edge, 1 500"
    );
    assert_eq!(
        route_conditions(&resolution, "HTTPRoute", "alone"),
        ["!Accepted(UnsupportedValue)", "ResolvedRefs"]
    );
    assert_eq!(
        route_conditions(&resolution, "HTTPRoute", "r"),
        [
            "Accepted",
            "ResolvedRefs",
            "PartiallyInvalid(UnsupportedValue)"
        ]
    );
}

#[test]
fn what_is_said_to_be_unserved_of_a_backend_is_not_accepted() {
    let endpoints = json!([{"ip": {"address": "10.0.0.1", "port": 1}}]);
    for entry in UNSERVED_BACKENDS.split_whitespace() {
        let mut spec = json!({"endpoints": endpoints});
        match entry.split_once('=') {
            None => {
                let (parent, field) = entry.split_once('.').unwrap();
                spec[parent] = json!({"insecureSkipVerify": true, field: ["x"]});
            }
            Some(("type", value)) => spec["type"] = json!(value),
            Some((list, value)) => spec[list] = json!([value]),
        }
        let document = json!({"kind": "Backend", "metadata": {"name": "b"}, "spec": spec});
        let resolution = resolved(&[document]);
        let condition = &resolution.statuses.backends[&object("Backend", "b").name][0];
        assert_eq!(condition.reason, "Invalid", "{entry}");
    }
}
