//! Answers that the gateway gives by itself: their statuses, texts and headers, and their form for gRPC.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::backend::{Backend, Gate, Step, reply, response};
use crate::client::{Client, Response, call, get, request};
use crate::gateway::{EDGE, Gateway, policy, route, route_all, to};

const BEFORE_HEADERS: &str =
    "upstream connect error or disconnect/reset before headers. reset reason: ";

/// Gateways in trouble of each kind, with the status and body that a request gets.
fn troubles(gate: &Gate) -> Vec<(&'static str, Gateway, Vec<Backend>, u16, String)> {
    let with = |backend: Backend, settings: &str| {
        let mut documents = vec![EDGE.to_owned(), backend.yaml("app"), route_all("app")];
        if !settings.is_empty() {
            documents.push(policy("settings", "HTTPRoute app", settings));
        }
        let documents: Vec<_> = documents.iter().map(String::as_str).collect();
        (Gateway::start(&documents), vec![backend])
    };
    let closed = Backend::named("closed");
    closed.kill();
    let garbage = Backend::start(|_| {
        vec![
            Step::Send(b"\x16\x03\x01 garbage \0\r\n\r\n".to_vec()),
            Step::Close,
        ]
    });
    let empty =
        "apiVersion: v1\nkind: Service\nmetadata: {name: empty}\nspec: {ports: [{port: 80}]}\n";
    let cases = [
        (
            "no route",
            (Gateway::start(&[EDGE]), vec![]),
            404,
            String::new(),
        ),
        (
            "no endpoint",
            (
                Gateway::start(&[
                    EDGE,
                    empty,
                    &route("app", "[{backendRefs: [{name: empty, port: 80}]}]"),
                ]),
                vec![],
            ),
            503,
            "no healthy upstream".to_owned(),
        ),
        (
            "no backend",
            (
                Gateway::start(&[
                    EDGE,
                    &route("app", &format!("[{{backendRefs: [{}]}}]", to("none"))),
                ]),
                vec![],
            ),
            500,
            String::new(),
        ),
        (
            "refused",
            with(closed, ""),
            503,
            format!("{BEFORE_HEADERS}remote connection failure"),
        ),
        (
            "overflow",
            with(
                Backend::named("app"),
                "circuitBreaker: {maxParallelRequests: 0}",
            ),
            503,
            format!("{BEFORE_HEADERS}overflow"),
        ),
        (
            "closed",
            with(Backend::start(|_| vec![Step::Close]), ""),
            503,
            format!("{BEFORE_HEADERS}connection termination"),
        ),
        (
            "half a head",
            with(
                Backend::start(|_| {
                    vec![
                        Step::Send(b"HTTP/1.1 200 OK\r\nx-half".to_vec()),
                        Step::Close,
                    ]
                }),
                "",
            ),
            503,
            format!("{BEFORE_HEADERS}connection termination"),
        ),
        (
            "garbage",
            with(garbage, ""),
            502,
            format!("{BEFORE_HEADERS}protocol error"),
        ),
        (
            "late",
            with(
                Backend::holding(gate),
                "timeout: {http: {requestTimeout: 50ms}}",
            ),
            504,
            "upstream request timeout".to_owned(),
        ),
        (
            "idle",
            with(
                Backend::holding(gate),
                "timeout: {http: {streamIdleTimeout: 50ms}}",
            ),
            504,
            "stream timeout".to_owned(),
        ),
        (
            "fault",
            with(
                Backend::named("app"),
                "faultInjection: {abort: {httpStatus: 503}}",
            ),
            503,
            "fault filter abort".to_owned(),
        ),
        (
            "local limit",
            with(
                Backend::named("app"),
                "rateLimit: {local: {rules: [{limit: {requests: 0, unit: Hour}}]}}",
            ),
            429,
            "local_rate_limited".to_owned(),
        ),
        (
            "global limit",
            with(
                Backend::named("app"),
                "rateLimit: {global: {rules: [{limit: {requests: 0, unit: Hour}}]}}",
            ),
            429,
            String::new(),
        ),
    ];
    cases
        .into_iter()
        .map(|(name, (gateway, backends), status, body)| (name, gateway, backends, status, body))
        .collect()
}

#[test]
fn each_trouble_has_its_status_and_text() {
    let gate = Gate::default();
    for (name, gateway, _backends, status, body) in troubles(&gate) {
        let mut client = Client::connect(gateway.address());
        for _ in 0..2 {
            let response = client.get("any.example", "/"); // the connection stays open
            assert_eq!(response.brief(), (status, body.clone()), "{name}");
            let length = body.len().to_string();
            assert_eq!(
                response.header("content-length"),
                Some(length.as_str()),
                "{name}"
            );
            let kind = if body.is_empty() {
                None
            } else {
                Some("text/plain")
            };
            assert_eq!(response.header("content-type"), kind, "{name}");
            assert!(response.header("date").is_some(), "{name}");
            for absent in ["server", "connection", "x-envoy-overloaded", "x-request-id"] {
                assert_eq!(response.header(absent), None, "{name}");
            }
        }
        client.send(&request("HEAD", "any.example", "/", &[], b""));
        let head = client.receive_head();
        assert_eq!(head.status, status, "{name}");
        assert_eq!(
            client.get("any.example", "/").status,
            status,
            "no body came after the HEAD: {name}"
        );
    }
    gate.open();
}

/// The statuses that section 1.5 maps to, for a gRPC request.
fn grpc_status(status: u16) -> &'static str {
    match status {
        404 => "12",
        429 | 502..=504 => "14",
        _ => "2",
    }
}

#[test]
fn grpc_gets_its_own_form() {
    let gate = Gate::default();
    for (name, gateway, _backends, status, body) in troubles(&gate) {
        for content_type in ["application/grpc", "application/grpc+proto"] {
            let headers = [("content-type", content_type), ("te", "trailers")];
            let response = call(
                gateway.address(),
                &request("POST", "any.example", "/", &headers, b"hello"),
            );
            assert_eq!(response.brief(), (200, String::new()), "{name}");
            assert_eq!(
                response.header("content-type"),
                Some("application/grpc"),
                "{name}"
            );
            assert_eq!(response.header("content-length"), Some("0"), "{name}");
            assert_eq!(
                response.header("grpc-status"),
                Some(grpc_status(status)),
                "{name}"
            );
            let message = (!body.is_empty()).then_some(body.as_str());
            assert_eq!(response.header("grpc-message"), message, "{name}");
        }
    }
    gate.open();
}

#[test]
fn a_grpc_abort_has_the_status_that_was_asked_for() {
    let cases = [
        ("grpcStatus: 8", "8"),
        ("grpcStatus: 0", "0"),
        ("httpStatus: 401", "16"),
        ("httpStatus: 403", "7"),
        ("httpStatus: 400", "13"),
    ];
    for (abort, status) in cases {
        let backend = Backend::named("app");
        let faults = policy(
            "faults",
            "HTTPRoute app",
            &format!("faultInjection: {{abort: {{{abort}}}}}"),
        );
        let gateway = Gateway::start(&[EDGE, &backend.yaml("app"), &route_all("app"), &faults]);
        let headers = [("content-type", "application/grpc")];
        let response = call(
            gateway.address(),
            &request("POST", "any.example", "/", &headers, b""),
        );
        assert_eq!(response.status, 200);
        assert_eq!(response.header("grpc-status"), Some(status), "{abort}");
        assert_eq!(response.header("grpc-message"), Some("fault filter abort"));
    }
}

#[test]
fn what_only_looks_like_grpc_is_not() {
    let gateway = Gateway::start(&[EDGE]);
    for content_type in ["application/grpc-web", "application/grpcx", "text/plain"] {
        let headers = [("content-type", content_type)];
        let response = call(
            gateway.address(),
            &request("POST", "any.example", "/", &headers, b""),
        );
        assert_eq!(
            (response.status, response.header("grpc-status")),
            (404, None),
            "{content_type}"
        );
    }
}

#[test]
fn a_backends_own_answer_to_grpc_is_passed_on() {
    let backend = Backend::start(|_| reply(503, "own words"));
    let gateway = Gateway::start(&[EDGE, &backend.yaml("app"), &route_all("app")]);
    let headers = [("content-type", "application/grpc")];
    let response = call(
        gateway.address(),
        &request("POST", "any.example", "/", &headers, b""),
    );
    assert_eq!(response.brief(), (503, "own words".to_owned()));
}

#[test]
fn a_reply_to_half_a_request_closes_the_connection() {
    let gateway = Gateway::start(&[EDGE]);
    let mut client = Client::connect(gateway.address());
    client.send(b"POST / HTTP/1.1\r\nhost: any.example\r\ncontent-length: 1000000\r\n\r\nhello");
    let response = client.receive();
    assert_eq!(
        (response.status, response.header("connection")),
        (404, Some("close"))
    );
    assert!(client.is_closed());
}

#[test]
fn the_date_is_that_of_today() {
    let gateway = Gateway::start(&[EDGE]);
    let days = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("we live after 1970")
            .as_secs()
            / 86_400
    };
    let before = days();
    let date = get(gateway.address(), "any.example", "/")
        .header("date")
        .map(str::to_owned)
        .expect("a date");
    // An IMF date such as `Sun, 06 Nov 1994 08:49:37 GMT`.
    assert_eq!((date.len(), date.ends_with(" GMT")), (29, true), "{date}");
    let name = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let today = [before, days()].map(|day| name[(day % 7) as usize]);
    assert!(today.contains(&&date[..3]), "{date}");
}

#[test]
fn responses_of_a_route_get_its_header_changes_local_ones_too() {
    let backend = Backend::start(|_| vec![Step::Send(response(200, &[], "app"))]);
    let rules = format!(
        "[{{filters: [{{type: ResponseHeaderModifier, responseHeaderModifier: {{set: [{{name: x-route, value: mine}}]}}}}], \
         backendRefs: [{}]}}]",
        to("app")
    );
    let refuse = policy(
        "refuse",
        "HTTPRoute app",
        "circuitBreaker: {maxParallelRequests: 0}",
    );
    let mut gateway = Gateway::start(&[EDGE, &backend.yaml("app"), &route("app", &rules)]);
    let shown = |response: &Response| {
        (
            response.status,
            response.header("x-route").map(str::to_owned),
        )
    };
    assert_eq!(
        shown(&get(gateway.address(), "any.example", "/")),
        (200, Some("mine".to_owned()))
    );
    gateway.apply(&[EDGE, &backend.yaml("app"), &route("app", &rules), &refuse]);
    assert_eq!(
        shown(&get(gateway.address(), "any.example", "/")),
        (503, Some("mine".to_owned()))
    );
}
