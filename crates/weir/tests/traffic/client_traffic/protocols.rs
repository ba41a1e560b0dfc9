//! `path`, `http1`, `http2`, `healthCheck` and `scheme`: how HTTP is spoken.

use super::{ask, client, gateway};
use crate::backend::Backend;
use crate::client::{Client, call, get};
use crate::frames::{Connection, SETTINGS};
use crate::gateway::{EDGE, Gateway, route_all};

#[test]
fn paths_are_brought_into_the_form_that_the_listener_wants() {
    let backend = Backend::named("app");
    // What becomes of `/a%2Fb//c`: the status, and what the backend sees or where the client is sent.
    for (settings, status, path) in [
        ("scheme: Preserve", 307, "/a/b/c"),
        ("path: {disableMergeSlashes: true}", 307, "/a/b//c"),
        (
            "path: {escapedSlashesAction: UnescapeAndForward}",
            200,
            "/a/b/c",
        ),
        (
            "path: {escapedSlashesAction: KeepUnchanged}",
            200,
            "/a%2Fb/c",
        ),
        ("path: {escapedSlashesAction: RejectRequest}", 400, ""),
    ] {
        let gateway = gateway(settings, &backend);
        let answer = get(gateway.address(), "any.example", "/a%2Fb//c");
        assert_eq!(answer.status, status, "{settings}");
        match status {
            200 => assert_eq!(backend.last().target, path, "{settings}"),
            _ => assert_eq!(
                answer.header("location").unwrap_or_default(),
                path,
                "{settings}"
            ),
        }
    }
}

#[test]
fn http1_is_spoken_as_the_listener_wants_it() {
    let backend = Backend::named("app");
    let cased = gateway("http1: {preserveHeaderCase: true}", &backend);
    assert_eq!(ask(&cased, &[("X-ZoNe", "1")]).status, 200);
    let is = |name: &str| backend.last().headers.iter().any(|(it, _)| it == name);
    assert!(is("X-ZoNe"));
    let plain = gateway("scheme: Preserve", &backend);
    assert_eq!(ask(&plain, &[("X-ZoNe", "1")]).status, 200);
    assert!(is("x-zone"));

    let trailers = b"POST / HTTP/1.1\r\nhost: any.example\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
                     3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n";
    assert_eq!(call(plain.address(), trailers).status, 200);
    assert_eq!(backend.last().trailers.len(), 1);
    let without = gateway("http1: {enableTrailers: false}", &backend);
    assert_eq!(call(without.address(), trailers).status, 200);
    assert_eq!(backend.last().trailers, []);

    let upgrade = [("connection", "upgrade"), ("upgrade", "Fancy")];
    assert_eq!(ask(&plain, &upgrade).status, 403);
    let ignored = gateway(
        "http1: {ignoredUpgradeTypes: [{type: Prefix, value: fan}]}",
        &backend,
    );
    assert_eq!(ask(&ignored, &upgrade).status, 200);
    assert_eq!(backend.last().header("upgrade"), None);
}

/// The settings that a gateway sends first, by their numbers.
fn settings(connection: &mut Connection) -> Vec<(u16, u32)> {
    let first = connection.next().expect("it says hello");
    assert_eq!(first.kind, SETTINGS);
    let each = first.payload.chunks(6);
    each.map(|it| {
        let value = u32::from_be_bytes([it[2], it[3], it[4], it[5]]);
        (u16::from_be_bytes([it[0], it[1]]), value)
    })
    .collect()
}

#[test]
fn clients_of_http2_are_told_what_the_listener_allows() {
    let backend = Backend::named("app");
    for (written, expected) in [
        ("scheme: Preserve", [(3, 100), (4, 65_536)]),
        (
            "http2: {maxConcurrentStreams: 7, initialStreamWindowSize: 128Ki}",
            [(3, 7), (4, 131_072)],
        ),
    ] {
        let gateway = gateway(written, &backend);
        let told = settings(&mut Connection::open(gateway.address()));
        for setting in expected {
            assert!(told.contains(&setting), "{written}: {told:?}");
        }
    }
}

#[test]
fn the_listener_answers_for_its_health() {
    let backend = Backend::named("app");
    let gateway = gateway("healthCheck: {path: /healthz}", &backend);
    let mut client = Client::connect(gateway.address());
    assert_eq!(client.get("any.example", "/healthz").status, 200);
    assert_eq!(client.get("other.example", "/healthz").status, 200);
    assert_eq!(backend.count(), 0);
    assert_eq!(client.get("any.example", "/healthz/more").text(), "app");
}

#[test]
fn http_1_0_has_the_host_of_the_only_route() {
    let backend = Backend::named("app");
    let route = route_all("app").replace("rules:", "hostnames: [shop.example.com], rules:");
    let settings = "http1: {http10: {useDefaultHost: true}}";
    let policy = client("clients", "Gateway edge", settings);
    let (app, bytes) = (backend.yaml("app"), b"GET / HTTP/1.0\r\n\r\n");
    let plain = Gateway::start(&[EDGE, &app, &route]);
    assert_eq!(call(plain.address(), bytes).status, 404);
    let gateway = Gateway::start(&[EDGE, &app, &route, &policy]);
    assert_eq!(call(gateway.address(), bytes).status, 200);
    assert_eq!(backend.last().header("host"), Some("shop.example.com"));
}

#[test]
fn only_a_trusted_proxy_says_which_scheme_was_asked_for() {
    let backend = Backend::named("app");
    for settings in ["scheme: Preserve", "scheme: MatchBackend"] {
        let gateway = gateway(settings, &backend);
        assert_eq!(ask(&gateway, &[("x-forwarded-proto", "https")]).status, 200);
        assert_eq!(
            backend.last().header("x-forwarded-proto"),
            Some("http"),
            "{settings}"
        );
        let trusting =
            format!("{settings}, clientIPDetection: {{xForwardedFor: {{numTrustedHops: 1}}}}");
        let gateway = self::gateway(&trusting, &backend);
        assert_eq!(ask(&gateway, &[("x-forwarded-proto", "https")]).status, 200);
        assert_eq!(
            backend.last().header("x-forwarded-proto"),
            Some("https"),
            "{settings}"
        );
    }
}
