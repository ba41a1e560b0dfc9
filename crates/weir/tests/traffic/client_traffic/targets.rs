//! Which policy a listener has, what an invalid one does, and what a change does to connections.

use super::client;
use crate::backend::{Backend, Gate};
use crate::client::{Client, get, request};
use crate::gateway::{Gateway, route_all};
use crate::tls::client::{Pair, Trust};

/// Listeners on two ports for clear text, and two for TLS on one port.
const EDGE: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: weir
  listeners:
  - {name: http, protocol: HTTP, port: 80}
  - {name: other, protocol: HTTP, port: 81}
  - {name: a, protocol: HTTPS, port: 443, hostname: a.example.com, tls: {certificateRefs: [{name: cert}]}}
  - {name: b, protocol: HTTPS, port: 443, hostname: b.example.com, tls: {certificateRefs: [{name: cert}]}}
";

/// A policy whose listeners answer with its name.
fn named(name: &str, target: &str, created: &str) -> String {
    let settings =
        format!("headers: {{lateResponseHeaders: {{set: [{{name: x-policy, value: {name}}}]}}}}");
    let created = format!("metadata: {{creationTimestamp: \"{created}\", ");
    client(name, target, &settings).replacen("metadata: {", &created, 1)
}

const OLD: &str = "2023-01-01T10:00:00Z";
const NEW: &str = "2024-01-01T10:00:00Z";

#[test]
fn a_listeners_own_policy_counts_before_the_gateways_and_of_equals_the_oldest() {
    let (backend, pair) = (
        Backend::named("app"),
        Pair::of(&["a.example.com", "b.example.com"]),
    );
    let (app, route, secret) = (backend.yaml("app"), route_all("app"), pair.secret("cert"));
    let trust = Trust::of(&[&pair]);
    let mut gateway = Gateway::start(&[]);
    // Policies, and who answers on `http`, `other`, `a` and `b`.
    let cases: [(&[[&str; 3]], [&str; 4]); 6] = [
        (&[], [""; 4]),
        (&[["all", "Gateway edge", NEW]], ["all"; 4]),
        (
            &[
                ["all", "Gateway edge", OLD],
                ["one", "Gateway edge http", NEW],
            ],
            ["one", "all", "all", "all"],
        ),
        (
            &[["all", "Gateway edge", OLD], ["one", "Gateway edge b", NEW]],
            ["all", "all", "all", "one"],
        ),
        (
            &[["b", "Gateway edge", OLD], ["a", "Gateway edge", NEW]],
            ["b"; 4],
        ),
        (
            &[["b", "Gateway edge a", NEW], ["a", "Gateway edge a", NEW]],
            ["", "", "a", ""],
        ),
    ];
    for (policies, expected) in cases {
        let policies: Vec<_> = policies
            .iter()
            .map(|it| named(it[0], it[1], it[2]))
            .collect();
        let mut documents = vec![EDGE, &app, &route, &secret];
        documents.extend(policies.iter().map(String::as_str));
        gateway.apply(&documents);
        let plain = [80, 81].map(|port| get(gateway.address_of(port), "a.example.com", "/"));
        let secure = ["a.example.com", "b.example.com"].map(|name| {
            let secured = trust.connect(gateway.address_of(443), name);
            secured.expect("a listener").client().get(name, "/")
        });
        let answers = plain.into_iter().chain(secure);
        let who: Vec<_> = answers
            .map(|it| it.header("x-policy").unwrap_or_default().to_owned())
            .collect();
        assert_eq!(who, expected, "{policies:?}");
    }
}

#[test]
fn where_listeners_cannot_be_told_apart_all_have_the_gateways_policy() {
    let backend = Backend::named("app");
    let (app, route) = (backend.yaml("app"), route_all("app"));
    let edge = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: weir
  listeners:
  - {name: a, protocol: HTTP, port: 80, hostname: a.example.com}
  - {name: b, protocol: HTTP, port: 80, hostname: b.example.com}
";
    // The second time the policy says something of the whole port as well.
    for more in ["", ", connection: {connectionLimit: {value: 50}}"] {
        let all = named("all", "Gateway edge", OLD).replace("}]}}}", &format!("}}]}}}}{more}}}"));
        for section in ["a", "b"] {
            let one = named("one", &format!("Gateway edge {section}"), NEW);
            let gateway = Gateway::start(&[edge, &app, &route, &all, &one]);
            for host in ["a.example.com", "b.example.com"] {
                let answer = get(gateway.address(), host, "/");
                assert_eq!(
                    (answer.status, answer.header("x-policy")),
                    (200, Some("all")),
                    "{more} {section} {host}"
                );
            }
            let other = if section == "a" { "b" } else { "a" };
            let why = format!(
                "multiple http (non https) listeners (default/edge/{other}) on the same port"
            );
            let told = gateway.told("one");
            assert!(told[0].starts_with("Accepted=False Invalid"), "{told:?}");
            assert!(told[0].contains(&why), "{told:?}");
        }
        // Without a policy of the Gateway, nobody has any.
        let one = named("one", "Gateway edge a", NEW);
        let gateway = Gateway::start(&[edge, &app, &route, &one]);
        let answer = get(gateway.address(), "a.example.com", "/");
        assert_eq!((answer.status, answer.header("x-policy")), (200, None));
    }
}

#[test]
fn an_invalid_policy_closes_its_listener_and_says_why() {
    let backend = Backend::named("app");
    let (app, route) = (backend.yaml("app"), route_all("app"));
    let all = named("all", "Gateway edge", OLD);
    let edge = EDGE.split("\n  - {name: a").next().unwrap_or_default();
    let mut gateway = Gateway::start(&[]);
    let apply = |gateway: &mut Gateway, settings: &str| {
        gateway.apply(&[
            edge,
            &app,
            &route,
            &all,
            &client("one", "Gateway edge http", settings),
        ]);
    };
    apply(&mut gateway, "scheme: Preserve");
    let mut kept = Client::connect(gateway.address());
    assert_eq!(kept.get("any.example", "/").status, 200);
    let cases = [
        (
            "clientIPDetection: {xForwardedFor: {trustedCIDRs: [10.0.0.0/99]}}",
            "ClientIPDetection: invalid TrustedCIDRs value 10.0.0.0/99.",
        ),
        (
            "connection: {bufferLimit: 1T}",
            "Connection: BufferLimit value 1T is out of range, must be between 0 and 4294967295.",
        ),
        (
            "http1: {http10: {useDefaultHost: true}}",
            "HTTP1: cannot set http10 default host on listener with only wildcard hostnames.",
        ),
    ];
    for (settings, why) in cases {
        apply(&mut gateway, settings);
        assert_eq!(kept.get("any.example", "/").status, 500, "{settings}");
        let other = get(gateway.address_of(81), "any.example", "/");
        assert_eq!((other.status, other.header("x-policy")), (200, Some("all")));
        let told = gateway.told("one");
        assert!(
            told.contains(&format!("Accepted=False Invalid {why}")),
            "{told:?}"
        );
    }
    // Mended, it serves again, over the connection that it had.
    apply(&mut gateway, "scheme: Preserve");
    assert_eq!(kept.get("any.example", "/").status, 200);
    assert_eq!(
        gateway.told("one")[0],
        "Accepted=True Accepted Policy has been accepted."
    );
}

#[test]
fn a_policy_changes_without_a_dropped_connection() {
    let gate = Gate::default();
    let backend = Backend::holding(&gate);
    let (app, route) = (backend.yaml("app"), route_all("app"));
    let limit = |settings: &str| client("clients", "Gateway edge", settings);
    let edge = EDGE.split("\n  - {name: a").next().unwrap_or_default();
    let first = limit("connection: {connectionLimit: {value: 1}}");
    let mut gateway = Gateway::start(&[edge, &app, &route, &first]);
    let mut client = Client::connect(gateway.address());
    let spoofed = request(
        "GET",
        "any.example",
        "/",
        &[("x-forwarded-for", "1.1.1.1")],
        b"",
    );
    client.send(&spoofed);
    gate.wait_for(1);
    assert!(Client::connect(gateway.address()).is_closed());
    // In the middle of a request: it is trusted from the next one on, and there is room for two.
    gateway.apply(&[
        edge,
        &app,
        &route,
        &limit("connection: {connectionLimit: {value: 2}}, clientIPDetection: {xForwardedFor: {numTrustedHops: 1}}"),
    ]);
    gate.open();
    assert_eq!(client.receive().status, 200);
    let external = |backend: &Backend| {
        let external = backend.last();
        external
            .header("x-envoy-external-address")
            .map(str::to_owned)
    };
    assert_eq!(external(&backend).as_deref(), Some("127.0.0.1"));
    client.send(&spoofed);
    assert_eq!(client.receive().status, 200);
    assert_eq!(external(&backend).as_deref(), Some("1.1.1.1"));
    let mut second = Client::connect(gateway.address());
    assert_eq!(second.get("any.example", "/").status, 200);
    // Without the policy, nobody is trusted again.
    gateway.apply(&[edge, &app, &route]);
    client.send(&spoofed);
    assert_eq!(client.receive().status, 200);
    assert_eq!(external(&backend).as_deref(), Some("127.0.0.1"));
}
