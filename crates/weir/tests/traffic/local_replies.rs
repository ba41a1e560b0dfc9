//! Answers that the gateway gives by itself: their statuses, texts and headers, and their form for gRPC.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::backend::{Backend, Gate, Step, reply, response};
use crate::client::{Client, Response, call, get, request};
use crate::gateway::{EDGE, Gateway, policy, route, route_all, to};

const BEFORE_HEADERS: &str =
    "upstream connect error or disconnect/reset before headers. reset reason: ";

/// A gateway in trouble, and what a request gets from it.
pub(crate) struct Trouble {
    pub(crate) name: &'static str,
    pub(crate) gateway: Gateway,
    pub(crate) _backend: Option<Backend>,
    pub(crate) status: u16,
    pub(crate) body: String,
    /// `response_flags` and `response_code_details` of the log.
    pub(crate) logged: (&'static str, String),
}

/// Gateways in trouble of each kind: a backend and settings, then status, body, flags and details.
pub(crate) fn troubles(gate: &Gate) -> Vec<Trouble> {
    let closed = Backend::named("closed");
    closed.kill();
    let sends = |bytes: &'static [u8]| {
        Backend::start(move |_| vec![Step::Send(bytes.to_vec()), Step::Close])
    };
    let before = |reason: &str| format!("{BEFORE_HEADERS}{reason}");
    let reset = |reason: &str| format!("upstream_reset_before_response_started{{{reason}}}");
    let refused = "remote_connection_failure|delayed_connect_error:_Connection_refused";
    let (app, hold) = (|| Backend::named("app"), || Backend::holding(gate));
    #[rustfmt::skip] // one trouble a line
    let cases = [
        ("refused", closed, "", 503, before("remote connection failure"), "UF", reset(refused)),
        ("overflow", app(), "circuitBreaker: {maxParallelRequests: 0}", 503, before("overflow"), "UO", reset("overflow")),
        ("closed", sends(b""), "", 503, before("connection termination"), "UC", reset("connection_termination")),
        ("half a head", sends(b"HTTP/1.1 200 OK\r\nx-half"), "", 503, before("connection termination"), "UC", reset("connection_termination")),
        ("garbage", sends(b"\x16\x03\x01 garbage \0\r\n\r\n"), "", 502, before("protocol error"), "UPE", reset("protocol_error")),
        ("late", hold(), "timeout: {http: {requestTimeout: 50ms}}", 504, "upstream request timeout".into(), "UT", "response_timeout".into()),
        ("idle", hold(), "timeout: {http: {streamIdleTimeout: 50ms}}", 504, "stream timeout".into(), "SI", "stream_idle_timeout".into()),
        ("long", hold(), "timeout: {http: {maxStreamDuration: 50ms}}", 504, "downstream duration timeout".into(), "-", "max_duration_timeout".into()),
        ("fault", app(), "faultInjection: {abort: {httpStatus: 503}}", 503, "fault filter abort".into(), "FI", "fault_filter_abort".into()),
        ("local limit", app(), "rateLimit: {local: {rules: [{limit: {requests: 0, unit: Hour}}]}}", 429, "local_rate_limited".into(), "RL", "local_rate_limited".into()),
        ("global limit", app(), "rateLimit: {global: {rules: [{limit: {requests: 0, unit: Hour}}]}}", 429, String::new(), "RL", "request_rate_limited".into()),
        ("invalid policy", app(), "faultInjection: {delay: {fixedDelay: 0s}}", 500, String::new(), "-", "direct_response".into()),
    ];
    let mut troubles: Vec<_> = cases
        .into_iter()
        .map(|(name, backend, settings, status, body, flags, details)| {
            let mut documents = vec![EDGE.to_owned(), backend.yaml("app"), route_all("app")];
            if !settings.is_empty() {
                documents.push(policy("settings", "HTTPRoute app", settings));
            }
            let documents: Vec<_> = documents.iter().map(String::as_str).collect();
            let gateway = Gateway::setup().log().start(&documents);
            Trouble {
                name,
                gateway,
                _backend: Some(backend),
                status,
                body,
                logged: (flags, details),
            }
        })
        .collect();
    let empty =
        "apiVersion: v1\nkind: Service\nmetadata: {name: empty}\nspec: {ports: [{port: 80}]}\n";
    let to_empty = format!(
        "{empty}---\n{}",
        route("app", "[{backendRefs: [{name: empty, port: 80}]}]")
    );
    let to_nothing = route("app", &format!("[{{backendRefs: [{}]}}]", to("none")));
    let healthy = "no healthy upstream".to_owned();
    let without_backend = [
        (
            "no route",
            "",
            404,
            String::new(),
            ("NR", "route_not_found".to_owned()),
        ),
        (
            "no endpoint",
            &to_empty,
            503,
            healthy,
            ("UH", "no_healthy_upstream".to_owned()),
        ),
        (
            "no backend",
            &to_nothing,
            500,
            String::new(),
            ("-", "direct_response".to_owned()),
        ),
    ];
    for (name, route, status, body, logged) in without_backend {
        let documents: Vec<_> = [EDGE, route]
            .into_iter()
            .filter(|it| !it.is_empty())
            .collect();
        let gateway = Gateway::setup().log().start(&documents);
        troubles.push(Trouble {
            name,
            gateway,
            _backend: None,
            status,
            body,
            logged,
        });
    }
    troubles
}

#[test]
fn each_trouble_has_its_status_and_text() {
    let gate = Gate::default();
    for trouble in troubles(&gate) {
        let Trouble {
            name,
            gateway,
            _backend,
            status,
            body,
            logged,
        } = trouble;
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
        for line in gateway.logged(4) {
            let (flags, details) = (&line["response_flags"], &line["response_code_details"]);
            assert_eq!(
                (flags, details),
                (&logged.0.into(), &logged.1.as_str().into()),
                "{name}"
            );
            assert_eq!(line["response_code"], status, "{name}");
        }
    }
    gate.open();
}

/// The statuses that section 1.5 maps to, for a gRPC request.
pub(crate) fn grpc_status(status: u16) -> &'static str {
    match status {
        404 => "12",
        429 | 502..=504 => "14",
        _ => "2",
    }
}

#[test]
fn grpc_gets_its_own_form() {
    let gate = Gate::default();
    for trouble in troubles(&gate) {
        let Trouble {
            name,
            gateway,
            _backend,
            status,
            body,
            logged: _,
        } = trouble;
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
