//! What belongs to whom: counts and buckets of named rules, of routes on several Gateways, backends across namespaces,
//! filters of single backends, and the order of routes that match alike.

use std::os::unix::net::UnixListener;

use crate::backend::{Backend, Gate};
use crate::client::{get, gets, take};
use crate::gateway::{EDGE, Gateway, policy, route, route_all, to};

fn rule(name: &str, path: &str) -> String {
    format!(
        "{{name: {name}, matches: [{{path: {{value: {path}}}}}], backendRefs: [{}]}}",
        to("app")
    )
}

#[test]
fn a_named_rule_keeps_its_counts_when_others_come_before_it() {
    let gate = Gate::default();
    let backend = Backend::holding(&gate);
    let limits = policy(
        "limits",
        "HTTPRoute app",
        "circuitBreaker: {maxParallelRequests: 1}, rateLimit: {local: {rules: [{limit: {requests: 2, unit: Hour}}]}}",
    );
    let (pay, new) = (rule("pay", "/pay"), rule("new", "/new"));
    let mut gateway = Gateway::start(&[
        EDGE,
        &backend.yaml("app"),
        &route("app", &format!("[{pay}]")),
        &limits,
    ]);
    let held = gets(gateway.address(), "any.example", "/pay", 1);
    gate.wait_for(1);
    gateway.apply(&[
        EDGE,
        &backend.yaml("app"),
        &route("app", &format!("[{new}, {pay}]")),
        &limits,
    ]);
    // `pay` is still busy, and has one token left; `new` took over neither.
    let status = |path: &str| get(gateway.address(), "any.example", path).status;
    assert_eq!(status("/pay"), 503);
    assert_eq!(status("/pay"), 429);
    let new = gets(gateway.address(), "any.example", "/new", 1);
    gate.wait_for(2);
    gate.open();
    assert_eq!(take(&held, 1), [(200, "held".to_owned())]);
    assert_eq!(take(&new, 1), [(200, "held".to_owned())]);
}

/// A second Gateway, `other`, on port 81.
const OTHER: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: other}
spec:
  gatewayClassName: weir
  listeners: [{name: http, protocol: HTTP, port: 81}]
";

#[test]
fn a_route_on_two_gateways_has_counts_of_its_own_on_each_but_shared_limits() {
    let backend = Backend::named("app");
    let both = route_all("app").replace("{name: edge}", "{name: edge}, {name: other}");
    let limit = |settings: &str| policy("limit", "HTTPRoute app", settings);
    let documents = |limit: &str| {
        [
            EDGE.to_owned(),
            OTHER.to_owned(),
            backend.yaml("app"),
            both.clone(),
            limit.to_owned(),
        ]
    };
    let statuses = |settings: &str| {
        let documents = documents(&limit(settings));
        let gateway = Gateway::start(&documents.iter().map(String::as_str).collect::<Vec<_>>());
        [80, 81, 80, 81].map(|port| get(gateway.address_of(port), "any.example", "/").status)
    };
    let rule = "limit: {requests: 1, unit: Hour}";
    assert_eq!(
        statuses(&format!("rateLimit: {{local: {{rules: [{{{rule}}}]}}}}")),
        [200, 200, 429, 429]
    );
    assert_eq!(
        statuses(&format!("rateLimit: {{global: {{rules: [{{{rule}}}]}}}}")),
        [200, 200, 429, 429]
    );
    assert_eq!(
        statuses(&format!(
            "rateLimit: {{global: {{rules: [{{{rule}, shared: true}}]}}}}"
        )),
        [200, 429, 429, 429]
    );
}

#[test]
fn of_routes_that_match_alike_the_oldest_wins_then_the_first_by_name() {
    let backends = ["a", "b"].map(Backend::named);
    let on = |name: &str, backend: &str, time: &str| {
        route(name, &format!("[{{backendRefs: [{}]}}]", to(backend))).replacen(
            "metadata: {",
            &format!("metadata: {{{time}"),
            1,
        )
    };
    let (old, new) = (
        "creationTimestamp: \"2023-01-01T10:00:00Z\", ",
        "creationTimestamp: \"2023-01-01T11:00:00Z\", ",
    );
    for (one, two, winner) in [
        (old, new, "a"),
        (new, old, "b"),
        (old, old, "a"),
        ("", "", "a"),
    ] {
        let gateway = Gateway::start(&[
            EDGE,
            &backends[0].yaml("a"),
            &backends[1].yaml("b"),
            &on("one", "a", one),
            &on("two", "b", two),
        ]);
        assert_eq!(
            get(gateway.address(), "any.example", "/").text(),
            winner,
            "{one} {two}"
        );
    }
}

#[test]
fn a_backend_in_another_namespace_needs_a_grant() {
    let backend = Backend::named("far");
    let far = backend
        .yaml("app")
        .replace("{name: app}", "{name: app, namespace: far}");
    let reference = "{group: gateway.envoyproxy.io, kind: Backend, name: app, namespace: far}";
    let route = route("near", &format!("[{{backendRefs: [{reference}]}}]"));
    let mut gateway = Gateway::start(&[EDGE, &far, &route]);
    assert_eq!(get(gateway.address(), "any.example", "/").status, 500);
    let grant = "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {name: g, namespace: far}\nspec:\n  \
                 from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: default}]\n  \
                 to: [{group: gateway.envoyproxy.io, kind: Backend}]\n";
    gateway.apply(&[EDGE, &far, &route, grant]);
    assert_eq!(
        get(gateway.address(), "any.example", "/").brief(),
        (200, "far".to_owned())
    );
    gateway.apply(&[EDGE, &far, &route]);
    assert_eq!(get(gateway.address(), "any.example", "/").status, 500);
}

#[test]
fn a_listener_allows_routes_by_namespace() {
    let backend = Backend::named("far");
    let far = backend
        .yaml("app")
        .replace("{name: app}", "{name: app, namespace: far}");
    let route = route_all("app")
        .replace("{name: app}", "{name: app, namespace: far}")
        .replace("{name: edge}", "{name: edge, namespace: default}")
        .replace("namespace: far}]", "}]");
    let status = |allowed: &str| {
        let edge = EDGE.replace(
            "port: 80}",
            &format!("port: 80, allowedRoutes: {{namespaces: {allowed}}}}}"),
        );
        let namespace =
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: far, labels: {team: blue}}\n";
        let gateway = Gateway::start(&[&edge, &far, &route, namespace]);
        get(gateway.address(), "any.example", "/").status
    };
    let selector =
        |team: &str| format!("{{from: Selector, selector: {{matchLabels: {{team: {team}}}}}}}");
    assert_eq!(status("{from: Same}"), 404);
    assert_eq!(status("{from: All}"), 200);
    assert_eq!(status(&selector("blue")), 200);
    assert_eq!(status(&selector("red")), 404);
}

#[test]
fn a_backend_may_have_filters_of_its_own() {
    let backends = [Backend::named("a"), Backend::named("b")];
    let reference = |name: &str| {
        format!(
            "{{group: gateway.envoyproxy.io, kind: Backend, name: {name}, filters: [{{type: RequestHeaderModifier, \
             requestHeaderModifier: {{set: [{{name: x-backend, value: {name}}}]}}}}, {{type: ResponseHeaderModifier, \
             responseHeaderModifier: {{set: [{{name: x-from, value: {name}}}]}}}}]}}"
        )
    };
    let rules = format!(
        "[{{backendRefs: [{}, {}]}}]",
        reference("a"),
        reference("b")
    );
    let gateway = Gateway::start(&[
        EDGE,
        &backends[0].yaml("a"),
        &backends[1].yaml("b"),
        &route("app", &rules),
    ]);
    for _ in 0..20 {
        let response = get(gateway.address(), "any.example", "/");
        assert_eq!(
            response.header("x-from").map(str::to_owned),
            Some(response.text())
        );
    }
    for (backend, name) in backends.iter().zip(["a", "b"]) {
        assert!(backend.count() > 0);
        assert!(
            backend
                .requests()
                .iter()
                .all(|it| it.header("x-backend") == Some(name))
        );
    }
}

#[test]
fn a_backend_may_be_a_unix_socket() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let path = folder.path().join("app.sock");
    let listener = UnixListener::bind(&path).expect("the folder is ours");
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for mut stream in listener.incoming().flatten() {
            let mut seen = Vec::new();
            let mut byte = [0];
            while !seen.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                seen.push(byte[0]);
            }
            let _ = stream.write_all(
                b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nsocket",
            );
        }
    });
    let app = format!(
        "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: Backend\nmetadata: {{name: app}}\n\
         spec: {{endpoints: [{{unix: {{path: {}}}}}]}}\n",
        path.display()
    );
    let gateway = Gateway::start(&[EDGE, &app, &route_all("app")]);
    for _ in 0..3 {
        assert_eq!(
            get(gateway.address(), "any.example", "/").brief(),
            (200, "socket".to_owned())
        );
    }
}

#[test]
fn a_backend_may_be_a_host_name() {
    let backend = Backend::named("named");
    let app = format!(
        "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: Backend\nmetadata: {{name: app}}\n\
         spec: {{endpoints: [{{fqdn: {{hostname: localhost, port: {}}}}}]}}\n",
        backend.address.port()
    );
    let gateway = Gateway::start(&[EDGE, &app, &route_all("app")]);
    assert_eq!(
        get(gateway.address(), "any.example", "/").brief(),
        (200, "named".to_owned())
    );
    let nowhere = app.replace("localhost", "nowhere.invalid");
    let gateway = Gateway::start(&[EDGE, &nowhere, &route_all("app")]);
    assert_eq!(get(gateway.address(), "any.example", "/").status, 503);
}
