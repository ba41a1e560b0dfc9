//! Listeners of one port: what they have in common, and what cannot be told apart.

use super::{NEW, OLD, aged, answers, client, findings, of_clients, standing, told};
use crate::{read, resolved_from};

/// A Gateway whose listeners share ports: two of clear text, and two of TLS.
fn base() -> String {
    let base = crate::BASE.replace(
        "  - {name: other, protocol: HTTP, port: 81, allowedRoutes: {namespaces: {from: All}}}\n",
        "  - {name: other, protocol: HTTP, port: 80, hostname: other.example.com}
  - {name: tls-a, protocol: HTTPS, port: 443, hostname: a.example.com, tls: {certificateRefs: [{name: cert}]}}
  - {name: tls-b, protocol: HTTPS, port: 443, hostname: b.example.com, tls: {certificateRefs: [{name: cert}]}}
",
    );
    format!("{base}{}", super::tls::secret("cert"))
}

#[test]
fn a_listener_for_clear_text_cannot_be_told_apart_from_others_of_its_port() {
    let resolution = resolved_from(
        &base(),
        &client("c", "Gateway edge#http", "scheme: MatchBackend"),
    );
    let why = "ClientTrafficPolicy is being applied to multiple http (non https) listeners (shop/edge/other) \
               on the same port, which is not allowed";
    assert_eq!(
        told(&resolution, "c"),
        [format!("Gateway edge#http: Accepted=False Invalid {why}.")]
    );
    assert_eq!(findings(&resolution, "c"), ["invalid-policy spec"]);
    // It is as if the policy were not there: its routes are served.
    assert_eq!(
        standing(&resolution, "http"),
        (None, vec![format!("c: {why}")])
    );
    assert_eq!(answers(&resolution, "http"), [0, 0, 0]);
    assert_eq!(of_clients(&resolution, "http").origin, None);
    // The whole Gateway has all of them, and listeners for TLS are told apart by name.
    for target in ["Gateway edge", "Gateway edge#tls-a"] {
        let resolution = resolved_from(&base(), &client("c", target, "scheme: MatchBackend"));
        let ancestor = told(&resolution, "c");
        assert_eq!(ancestor, [format!("{target}: Accepted=True Accepted")]);
    }
    // Gateways that share an address share its ports.
    let other = "
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: second, namespace: shop}
spec:
  gatewayClassName: weir
  listeners: [{name: http, protocol: HTTP, port: 80, hostname: second.example.com}]
";
    let policy = client("c", "Gateway second", "scheme: MatchBackend");
    let resolution = resolved_from(&base(), &format!("{other}{policy}"));
    assert_eq!(
        told(&resolution, "c"),
        [
            "Gateway second: Accepted=False Invalid ClientTrafficPolicy is being applied to multiple http (non https) listeners (shop/edge/http, shop/edge/other) on the same port, which is not allowed."
        ]
    );
}

#[test]
fn where_a_listeners_own_policy_is_kept_out_its_gateways_is_next() {
    let all = |settings: &str| aged(OLD, &client("all", "Gateway edge", settings));
    let one = aged(
        NEW,
        &client("one", "Gateway edge#http", "scheme: MatchBackend"),
    );
    let why = "ClientTrafficPolicy is being applied to multiple http (non https) listeners (shop/edge/other) \
               on the same port, which is not allowed";
    for settings in ["http3: {}", "connection: {connectionLimit: {value: 7}}"] {
        let resolution = resolved_from(&base(), &format!("{}{one}", all(settings)));
        let [http, other] = ["http", "other"].map(|it| standing(&resolution, it));
        assert_eq!(http, (Some("all".to_owned()), vec![format!("one: {why}")]));
        assert_eq!(other, (Some("all".to_owned()), Vec::new()));
        let [http, other] = ["http", "other"].map(|it| of_clients(&resolution, it));
        assert_eq!(http, other, "connections of the port are all alike");
        assert_eq!(
            told(&resolution, "one"),
            [format!("Gateway edge#http: Accepted=False Invalid {why}.")]
        );
    }
    // What is wrong with that one counts then.
    let invalid = all("connection: {bufferLimit: 1T}");
    let resolution = resolved_from(&base(), &format!("{invalid}{one}"));
    assert_eq!(answers(&resolution, "http"), [500, 500, 500]);
    // Where it may not be there either, nobody has the listener.
    let second = "
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: second, namespace: shop}
spec:
  gatewayClassName: weir
  listeners: [{name: http, protocol: HTTP, port: 80, hostname: second.example.com}]
";
    let more = format!("{second}{}{one}", all("http3: {}"));
    let resolution = resolved_from(&base(), &more);
    let (policy, lost) = standing(&resolution, "http");
    assert_eq!(policy, None);
    assert_eq!(lost.len(), 2, "{lost:?}");
}

#[test]
fn what_holds_before_a_listener_is_known_is_the_same_for_the_port() {
    let policies = [
        aged(
            NEW,
            &client(
                "young",
                "Gateway edge#tls-a",
                "proxyProtocol: {}, timeout: {tcp: {tlsHandshakeTimeout: 9s}}",
            ),
        ),
        aged(
            OLD,
            &client(
                "old",
                "Gateway edge#tls-b",
                "proxyProtocol: {optional: true}, connection: {connectionLimit: {value: 7}}",
            ),
        ),
    ];
    let resolution = resolved_from(&base(), &policies.concat());
    let [a, b] = ["tls-a", "tls-b"].map(|it| of_clients(&resolution, it));
    assert_eq!(a.socket, b.socket);
    let socket = serde_json::to_value(&a.socket).unwrap();
    assert_eq!(
        (
            &socket["proxy_protocol"],
            &socket["limit"]["value"],
            &socket["handshake_timeout"]
        ),
        (&"Optional".into(), &7.into(), &"9s".into())
    );
    assert_eq!(
        findings(&resolution, "young"),
        ["port-setting-taken spec.proxyProtocol"]
    );
    assert_eq!(
        told(&resolution, "young"),
        [
            "Gateway edge#tls-a: Accepted=True Accepted",
            "Gateway edge#tls-a: weir.dev/PartiallyEnforced=True SettingsNotEnforced Of the policies of a port another one comes first for: spec.proxyProtocol.",
        ]
    );
    assert_eq!(findings(&resolution, "old"), [""; 0]);
    // Equal settings are no conflict, and one for other ports is none either.
    let equal = ["tls-a", "tls-b", "http"].map(|it| {
        client(
            it,
            &format!("Gateway edge#{it}"),
            "connection: {socketBufferLimit: 8Ki}",
        )
    });
    let resolution = resolved_from(&base(), &equal[..2].concat());
    assert_eq!(findings(&resolution, "tls-b"), [""; 0]);
}

#[test]
fn what_holds_for_the_port_holds_for_listeners_without_a_policy() {
    let policy = client(
        "c",
        "Gateway edge#tls-a",
        "proxyProtocol: {}, scheme: MatchBackend",
    );
    let resolution = resolved_from(&base(), &policy);
    let b = of_clients(&resolution, "tls-b");
    assert_eq!(
        (
            format!("{:?}", b.socket.proxy_protocol),
            format!("{:?}", b.scheme),
            b.origin
        ),
        ("Some(Required)".to_owned(), "Preserve".to_owned(), None)
    );
    assert_eq!(
        findings(&resolution, "c"),
        ["port-setting-shared spec.proxyProtocol"]
    );
    assert_eq!(of_clients(&resolution, "http").socket.proxy_protocol, None);
}

#[test]
fn gateways_with_addresses_of_their_own_share_nothing() {
    let mut context = crate::context();
    context.addresses = weir_resolve::Addresses::PerGateway;
    let second = base().replace("{name: edge, namespace", "{name: second, namespace");
    let policy = client("c", "Gateway edge", "proxyProtocol: {}");
    let resources = read(&format!("{}---{second}---{policy}", base()));
    let resolution =
        weir_resolve::resolve(&resources, &context, &mut weir_resolve::Memo::default());
    let of = |gateway: &str| {
        let mut all = resolution.plan.listeners.iter();
        let found =
            all.find(|it| &*it.name.gateway.name == gateway && &*it.name.listener == "http");
        found.unwrap().client.is_some()
    };
    assert_eq!((of("edge"), of("second")), (true, false));
}
