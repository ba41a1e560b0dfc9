//! Headers that the gateway adds, changes or removes by itself, and the paths that it normalises.

use crate::backend::{Backend, Step, response};
use crate::client::{call, get, request};
use crate::gateway::{EDGE, Gateway, route_all};

fn echo() -> (Gateway, Backend) {
    let backend = Backend::named("app");
    let gateway = Gateway::start(&[EDGE, &backend.yaml("app"), &route_all("app")]);
    (gateway, backend)
}

#[test]
fn requests_reach_the_backend_with_these_headers() {
    /// Header of the client, header at the backend.
    type Case<'a> = (Option<(&'a str, &'a str)>, &'a str, Option<&'a str>);
    #[rustfmt::skip] // one header a line
    let cases: &[Case] = &[
        (Some(("X-Mixed-Case", "Value")), "x-mixed-case", Some("Value")),
        (Some(("x-forwarded-proto", "https")), "x-forwarded-proto", Some("http")),
        (None, "x-forwarded-proto", Some("http")),
        (Some(("x-envoy-internal", "true")), "x-envoy-internal", None),
        (Some(("x-envoy-upstream-rq-timeout-ms", "1")), "x-envoy-upstream-rq-timeout-ms", None),
        (Some(("x-envoy-max-retries", "9")), "x-envoy-max-retries", None),
        (Some(("x-envoy-retry-on", "5xx")), "x-envoy-retry-on", None),
        (Some(("x-envoy-foo", "bar")), "x-envoy-foo", Some("bar")),
        (None, "x-envoy-expected-rq-timeout-ms", None),
        (Some(("te", "gzip")), "te", None),
        (Some(("connection", "keep-alive")), "connection", None),
        (Some(("keep-alive", "timeout=5")), "keep-alive", None),
        (Some(("proxy-connection", "keep-alive")), "proxy-connection", None),
        (Some(("host", "ignored")), "x-none", None),
    ];
    let (gateway, backend) = echo();
    for (sent, name, expected) in cases {
        let headers: Vec<_> = sent
            .iter()
            .filter(|(name, _)| *name != "host")
            .copied()
            .collect();
        assert_eq!(
            call(
                gateway.address(),
                &request("GET", "any.example", "/", &headers, b"")
            )
            .status,
            200,
            "{sent:?}"
        );
        let seen = backend.last();
        assert_eq!(seen.header(name), *expected, "{sent:?}");
        let lower = seen
            .headers
            .iter()
            .all(|(name, _)| name.chars().all(|c| !c.is_ascii_uppercase()));
        assert!(lower, "header names are in lower case: {:?}", seen.headers);
        assert_eq!(seen.header("host"), Some("any.example"));
    }
}

#[test]
fn headers_that_connection_names_are_removed() {
    let (gateway, backend) = echo();
    let headers = [
        ("connection", "x-hop, close"),
        ("x-hop", "1"),
        ("x-end", "1"),
    ];
    assert_eq!(
        call(
            gateway.address(),
            &request("GET", "any.example", "/", &headers, b"")
        )
        .status,
        200
    );
    let seen = backend.last();
    assert_eq!(
        (seen.header("x-hop"), seen.header("x-end")),
        (None, Some("1"))
    );
}

#[test]
fn the_client_is_added_to_x_forwarded_for() {
    let (gateway, backend) = echo();
    get(gateway.address(), "any.example", "/");
    let own = backend
        .last()
        .header("x-forwarded-for")
        .map(str::to_owned)
        .expect("it is set");
    assert!(own.parse::<std::net::IpAddr>().is_ok(), "{own}");
    let headers = [("x-forwarded-for", "10.0.0.1")];
    call(
        gateway.address(),
        &request("GET", "any.example", "/", &headers, b""),
    );
    let appended = format!("10.0.0.1,{own}");
    assert_eq!(
        backend.last().header("x-forwarded-for"),
        Some(appended.as_str())
    );
    assert!(backend.last().header("x-envoy-external-address").is_some());
}

#[test]
fn every_request_gets_an_id_of_its_own() {
    let (gateway, backend) = echo();
    let mut seen = Vec::new();
    for sent in ["mine", "mine"] {
        let response = call(
            gateway.address(),
            &request("GET", "any.example", "/", &[("x-request-id", sent)], b""),
        );
        assert_eq!(response.header("x-request-id"), None);
        seen.push(
            backend
                .last()
                .header("x-request-id")
                .map(str::to_owned)
                .expect("it is set"),
        );
    }
    assert_ne!(seen[0], seen[1]);
    for id in &seen {
        // A UUID of version 4.
        let parts: Vec<_> = id.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12], "{id}");
        assert_eq!(&id[14..15], "4", "{id}");
        assert!(
            id.chars().all(|c| c.is_ascii_hexdigit() || c == '-'),
            "{id}"
        );
    }
}

#[test]
fn a_header_name_with_an_underscore_is_refused() {
    let (gateway, backend) = echo();
    let mut client = crate::client::Client::connect(gateway.address());
    client.send(&request(
        "GET",
        "any.example",
        "/",
        &[("x_user", "ann")],
        b"",
    ));
    let response = client.receive();
    assert_eq!(response.brief(), (400, "Bad Request".to_owned()));
    assert_eq!(response.header("connection"), Some("close"));
    assert!(client.is_closed());
    assert_eq!(backend.count(), 0);
}

#[test]
fn responses_pass_with_these_headers() {
    let backend = Backend::start(|request| {
        let own: &[(&str, &str)] = match request.target.as_str() {
            "/plain" => &[],
            _ => &[
                ("server", "own"),
                ("date", "Mon, 01 Jan 2001 00:00:00 GMT"),
                ("x-request-id", "own"),
                ("x-envoy-upstream-service-time", "7"),
                ("connection", "x-hop"),
                ("x-hop", "1"),
                ("keep-alive", "timeout=5"),
            ],
        };
        vec![Step::Send(response(200, own, ""))]
    });
    let gateway = Gateway::start(&[EDGE, &backend.yaml("app"), &route_all("app")]);
    let plain = get(gateway.address(), "any.example", "/plain");
    for (name, present) in [
        ("server", false),
        ("x-envoy-upstream-service-time", false),
        ("x-request-id", false),
        ("date", true),
    ] {
        assert_eq!(plain.header(name).is_some(), present, "{name}");
    }
    let own = get(gateway.address(), "any.example", "/own");
    let expected = [
        ("server", Some("own")),
        ("date", Some("Mon, 01 Jan 2001 00:00:00 GMT")),
        ("x-request-id", Some("own")),
        ("x-envoy-upstream-service-time", Some("7")),
        ("connection", None),
        ("x-hop", None),
        ("keep-alive", None),
    ];
    for (name, value) in expected {
        assert_eq!(own.header(name), value, "{name}");
    }
}

#[test]
fn paths_are_normalised_before_they_are_matched() {
    let (gateway, backend) = echo();
    let cases = [
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/a//b///c", "/a/b/c"),
        ("/a%20b", "/a%20b"),
        ("/a?b=//c/../d", "/a?b=//c/../d"), // the query is left alone
        ("/..", "/"),
    ];
    for (sent, seen) in cases {
        let response = get(gateway.address(), "any.example", sent);
        if response.status == 200 {
            assert_eq!(backend.last().target, seen, "{sent}");
        } else {
            assert_eq!((sent, response.status), ("/..", 400), "{sent}"); // nothing lies above the root
        }
    }
    let redirected = get(gateway.address(), "any.example", "/a%2Fb?c");
    assert_eq!(
        (redirected.status, redirected.header("location")),
        (307, Some("/a/b?c"))
    );
}
