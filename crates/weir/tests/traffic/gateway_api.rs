//! What the Gateway API asks of routing beyond single matches: ties, host names that meet, grants that are taken back,
//! what Services say of their protocol, ListenerSets, redirects of one route on several listeners.

use std::net::SocketAddr;

use crate::backend::Backend;
use crate::client::{Client, get};
use crate::gateway::{EDGE, Gateway, policy, route_all, to};
use crate::http_upgrade::{ask, says};
use crate::http2_upstream;
use crate::streaming::by_hand;
use crate::tls::client::{Pair, Trust};

/// A Gateway `edge` with these listeners.
fn edge(listeners: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: edge}}\n\
         spec: {{gatewayClassName: weir, allowedListeners: {{namespaces: {{from: Same}}}}, listeners: [{listeners}]}}\n"
    )
}

/// An HTTPRoute with metadata and a spec in flow style.
fn http_route(metadata: &str, spec: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{{metadata}}}\nspec: {{{spec}}}\n"
    )
}

/// Everything to a Backend of namespace `default`.
fn all_to(backend: &str) -> String {
    format!(
        "parentRefs: [{{name: edge, namespace: default}}], rules: [{{matches: [{{path: {{value: /shop}}}}], backendRefs: [{}]}}]",
        to(backend)
    )
}

#[test]
fn ties_go_to_the_older_route_and_then_the_first_by_name() {
    let open =
        edge("{name: http, protocol: HTTP, port: 80, allowedRoutes: {namespaces: {from: All}}}");
    let aged = |namespace: &str, name: &str, second: u32| {
        let age = match second {
            0 => String::new(),
            second => format!(", creationTimestamp: 2024-01-01T00:00:0{second}Z"),
        };
        let metadata = format!("name: {name}, namespace: {namespace}{age}");
        // Each names a Backend of its own namespace.
        http_route(&metadata, &all_to("app"))
    };
    let one = Backend::named("one");
    let two = Backend::named("two");
    let of = |backend: &Backend, namespace: &str| {
        let named = format!("{{name: app, namespace: {namespace}}}");
        backend.yaml("app").replace("{name: app}", &named)
    };
    // (namespace, name and second of creation of the routes to `one` and `two`; who gets the requests)
    let cases = [
        (("a", "r", 2), ("b", "r", 1), "two"),
        (("b", "r", 1), ("a", "r", 2), "one"),
        (("a", "r", 1), ("b", "r", 1), "one"),
        (("b", "a", 1), ("a", "z", 1), "two"),
        (("b", "r", 0), ("a", "r", 0), "two"),
    ];
    for ((of_one, name_one, age_one), (of_two, name_two, age_two), winner) in cases {
        let gateway = Gateway::start(&[
            &open,
            &of(&one, of_one),
            &of(&two, of_two),
            &aged(of_one, name_one, age_one),
            &aged(of_two, name_two, age_two),
        ]);
        assert_eq!(
            get(gateway.address(), "any.example", "/shop").text(),
            winner,
            "{of_one}/{name_one} of {age_one}, {of_two}/{name_two} of {age_two}"
        );
    }
    // Within a namespace, by name; within a route, the first rule.
    let rule = |backend: &str| {
        format!(
            "{{matches: [{{path: {{value: /shop}}}}], backendRefs: [{}]}}",
            to(backend)
        )
    };
    let both = format!(
        "parentRefs: [{{name: edge}}], rules: [{}, {}]",
        rule("two"),
        rule("one")
    );
    let documents = [one.yaml("one"), two.yaml("two")];
    let gateway = Gateway::start(&[
        EDGE,
        &documents[0],
        &documents[1],
        &http_route("name: b", &all_to("one")),
        &http_route("name: a", &both),
    ]);
    assert_eq!(get(gateway.address(), "any.example", "/shop").text(), "two");
}

#[test]
fn a_route_serves_the_host_names_that_it_shares_with_the_listener() {
    let app = Backend::named("app");
    let listeners = edge(
        "{name: wild, protocol: HTTP, port: 80, hostname: '*.example.com'}, \
         {name: exact, protocol: HTTP, port: 81, hostname: shop.example.com}",
    );
    let spec = format!(
        "parentRefs: [{{name: edge}}], hostnames: [shop.example.com, '*.deep.example.com', '*.com', other.net], \
         rules: [{{backendRefs: [{}]}}]",
        to("app")
    );
    let gateway = Gateway::start(&[
        &listeners,
        &app.yaml("app"),
        &http_route("name: app", &spec),
    ]);
    let cases = [
        (80, "shop.example.com", 200),
        (80, "a.deep.example.com", 200),
        // Of `*.com` and `*.example.com` the narrower is left.
        (80, "any.example.com", 200),
        (80, "example.com", 404),
        (80, "any.com", 404),
        (80, "other.net", 404),
        (81, "shop.example.com", 200),
        (81, "any.example.com", 404),
    ];
    for (port, host, status) in cases {
        let response = get(gateway.address_of(port), host, "/");
        assert_eq!(response.status, status, "{host} on {port}");
    }
}

#[test]
fn a_grant_that_is_taken_back_closes_the_way() {
    let app = Backend::named("app");
    let elsewhere = app
        .yaml("app")
        .replace("{name: app}", "{name: app, namespace: elsewhere}");
    let grant = "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\n\
                 metadata: {name: grant, namespace: elsewhere}\n\
                 spec: {from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: default}], \
                 to: [{group: gateway.envoyproxy.io, kind: Backend}]}\n";
    let spec = "parentRefs: [{name: edge}], rules: [{backendRefs: [{group: gateway.envoyproxy.io, kind: Backend, \
                name: app, namespace: elsewhere}]}]";
    let route = http_route("name: app", spec);
    let without = [EDGE, &elsewhere, &route];
    let with = [EDGE, &elsewhere, &route, grant];
    let mut gateway = Gateway::start(&without);
    let mut client = Client::connect(gateway.address());
    // One connection from the client, and one to the backend, see all of it.
    for (documents, status) in [
        (&without[..], 500),
        (&with[..], 200),
        (&without[..], 500),
        (&with[..], 200),
    ] {
        gateway.apply(documents);
        assert_eq!(client.get("any.example", "/").status, status);
    }
    assert_eq!(app.count(), 2);
}

/// A Service `app` with one endpoint, on a port that speaks this.
fn service(address: SocketAddr, protocol: &str) -> String {
    let port = address.port();
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: app}}\n\
         spec: {{ports: [{{name: http, port: 80, targetPort: {port}, appProtocol: {protocol}}}]}}\n\
         ---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: app-1, labels: {{kubernetes.io/service-name: app}}}}\n\
         addressType: IPv4\nports: [{{name: http, port: {port}}}]\nendpoints: [{{addresses: [127.0.0.1], conditions: {{ready: true}}}}]\n"
    )
}

#[test]
fn services_say_what_their_ports_speak() {
    let to_service = http_route(
        "name: app",
        "parentRefs: [{name: edge}], rules: [{backendRefs: [{name: app, port: 80}]}]",
    );
    let in_http2 = http2_upstream::Backend::start(100, http2_upstream::echo);
    for protocol in ["kubernetes.io/h2c", "grpc"] {
        let service = service(in_http2.address(), protocol);
        let gateway = Gateway::start(&[EDGE, &service, &to_service]);
        assert_eq!(get(gateway.address(), "a", "/").status, 200, "{protocol}");
    }
    let websocket = by_hand(crate::http_upgrade::echoes);
    let port = websocket
        .split("port: ")
        .nth(1)
        .and_then(|it| it.split('}').next());
    let port: u16 = port.and_then(|it| it.parse().ok()).expect("a port");
    let service = service(([127, 0, 0, 1], port).into(), "kubernetes.io/ws");
    let gateway = Gateway::start(&[EDGE, &service, &to_service]);
    let mut client = Client::connect(gateway.address());
    client.send(&ask("websocket"));
    assert_eq!(client.receive().status, 101);
    says(&mut client, "hello");
}

#[test]
fn a_listener_set_adds_listeners_that_come_and_go() {
    let app = Backend::named("app");
    let open = edge("{name: http, protocol: HTTP, port: 80}");
    let set = "apiVersion: gateway.networking.k8s.io/v1\nkind: ListenerSet\nmetadata: {name: more}\n\
               spec: {parentRef: {name: edge}, listeners: [{name: http, protocol: HTTP, port: 81}, \
               {name: shop, protocol: HTTP, port: 80, hostname: shop.example.com}]}\n";
    let on_set = http_route(
        "name: app",
        &format!(
            "parentRefs: [{{group: gateway.networking.k8s.io, kind: ListenerSet, name: more}}], rules: [{{backendRefs: [{}]}}]",
            to("app")
        ),
    );
    let abort = policy(
        "p",
        "ListenerSet more shop",
        "faultInjection: {abort: {httpStatus: 418}}",
    );
    let documents = [&*open, set, &app.yaml("app"), &on_set, &abort];
    let mut gateway = Gateway::start(&documents);
    let cases = [
        (81, "any.example.com", 200),
        // A policy on a listener of the set holds there only.
        (80, "shop.example.com", 418),
        // The Gateway's own listener has no route.
        (80, "any.example.com", 404),
    ];
    for (port, host, status) in cases {
        let response = get(gateway.address_of(port), host, "/");
        assert_eq!(response.status, status, "{host} on {port}");
    }
    gateway.apply(&[&open, documents[2], &on_set]);
    assert_eq!(get(gateway.address(), "shop.example.com", "/").status, 404);
    assert!(!gateway.addresses().contains_key(&81));
    gateway.apply(&documents);
    assert_eq!(
        get(gateway.address_of(81), "any.example.com", "/").status,
        200
    );
    // The Gateway may keep it out.
    let closed = open.replace("from: Same", "from: None");
    gateway.apply(&[&closed, set, documents[2], &on_set]);
    assert!(!gateway.addresses().contains_key(&81));
}

#[test]
fn a_redirect_names_the_scheme_and_port_of_each_listener_that_it_is_on() {
    let pair = Pair::of(&["a.example"]);
    let listeners = edge(
        "{name: clear, protocol: HTTP, port: 8080}, \
         {name: plain, protocol: HTTP, port: 80}, \
         {name: secure, protocol: HTTPS, port: 8443, tls: {certificateRefs: [{name: cert}]}}, \
         {name: usual, protocol: HTTPS, port: 443, tls: {certificateRefs: [{name: cert}]}}",
    );
    let redirect = |path: &str, to: &str| {
        format!(
            "{{matches: [{{path: {{value: {path}}}}}], filters: [{{type: RequestRedirect, requestRedirect: {to}}}]}}"
        )
    };
    let rules = [
        redirect(
            "/same",
            "{path: {type: ReplaceFullPath, replaceFullPath: /new}}",
        ),
        redirect("/https", "{scheme: https}"),
        redirect("/http", "{scheme: http}"),
    ];
    let spec = format!(
        "parentRefs: [{{name: edge}}], rules: [{}]",
        rules.join(", ")
    );
    let secret = pair.secret("cert");
    let gateway = Gateway::start(&[&listeners, &secret, &http_route("name: app", &spec)]);
    let trust = Trust::of(&[&pair]);
    let cases = [
        (
            "/same",
            [
                "http://a.example:8080/new",
                "http://a.example/new",
                "https://a.example:8443/new",
                "https://a.example/new",
            ],
        ),
        ("/https", ["https://a.example/https"; 4]),
        ("/http", ["http://a.example/http"; 4]),
    ];
    for (path, expected) in cases {
        // One after the other over the same route, so that what one listener has derived would show on the next.
        for (port, location) in [8080, 80, 8443, 443].into_iter().zip(expected) {
            let address = gateway.address_of(port);
            let response = match port {
                8443 | 443 => {
                    let secured = trust.connect(address, "a.example").expect("a connection");
                    secured.client().get("a.example", path)
                }
                _ => get(address, "a.example", path),
            };
            assert_eq!(
                response.header("location"),
                Some(location),
                "{path} on {port}"
            );
        }
    }
}

#[test]
fn a_route_that_leaves_is_gone_at_once_and_its_neighbours_stay() {
    let app = Backend::named("app");
    let documents = [EDGE, &app.yaml("app"), &route_all("app")];
    let mut gateway = Gateway::start(&documents);
    let mut client = Client::connect(gateway.address());
    assert_eq!(client.get("any.example", "/").status, 200);
    gateway.apply(&documents[..2]);
    assert_eq!(client.get("any.example", "/").status, 404);
    gateway.apply(&documents);
    assert_eq!(client.get("any.example", "/").status, 200);
}
