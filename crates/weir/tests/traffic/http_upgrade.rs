//! `httpUpgrade` on the wire: which requests may switch protocols, what becomes of the others, and what is told of both.
//!
//! What happens behind a 101 is in [`super::tunnel`].

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::backend::{Backend, Gate, Step, reply, response};
use crate::client::{Client, wait_until};
use crate::gateway::{EDGE, Gateway, policy, route_all};
use crate::streaming::{by_hand, read_until};

pub(crate) const SWITCH: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: WebSocket\r\nsec-websocket-accept: abc\r\n\r\n";

/// A request for a protocol, without a body.
pub(crate) fn ask(protocol: &str) -> Vec<u8> {
    format!(
        "GET /chat HTTP/1.1\r\nhost: any.example\r\nconnection: keep-alive, Upgrade\r\nupgrade: {protocol}\r\n\
         sec-websocket-key: xyz\r\n\r\n"
    )
    .into_bytes()
}

/// A backend `app` that switches to WebSocket and sends back whatever comes, then `end`.
pub(crate) fn echo() -> String {
    by_hand(echoes)
}

/// What it does with a connection.
pub(crate) fn echoes(mut stream: TcpStream) {
    if read_until(&mut stream, b"\r\n\r\n") && stream.write_all(SWITCH).is_ok() {
        let mut chunk = [0; 1024];
        while let Ok(read @ 1..) = stream.read(&mut chunk) {
            let _ = stream.write_all(&chunk[..read]);
        }
        let _ = stream.write_all(b"end");
    }
}

/// A client behind a 101.
pub(crate) fn switched(gateway: &Gateway) -> Client {
    let mut client = Client::connect(gateway.address());
    client.send(&ask("websocket"));
    assert_eq!(client.receive().status, 101);
    client
}

pub(crate) fn says(client: &mut Client, text: &str) {
    client.send(text.as_bytes());
    assert_eq!(client.bytes(text.len()), text.as_bytes());
}

pub(crate) fn settings(settings: &str) -> String {
    policy("p", "HTTPRoute app", settings)
}

#[test]
fn a_websocket_is_a_tunnel_until_both_sides_have_ended() {
    let gateway = Gateway::setup()
        .log()
        .start(&[EDGE, &echo(), &route_all("app")]);
    let mut client = Client::connect(gateway.address());
    client.send(&ask("websocket"));
    let answer = client.receive();
    let header = |name: &str| answer.header(name).map(str::to_owned);
    assert_eq!(answer.status, 101);
    assert_eq!(header("connection").as_deref(), Some("Upgrade"));
    assert_eq!(header("upgrade").as_deref(), Some("WebSocket"));
    assert_eq!(header("sec-websocket-accept").as_deref(), Some("abc"));
    assert_eq!(
        (header("content-length"), header("transfer-encoding")),
        (None, None)
    );
    says(&mut client, "hello");
    says(&mut client, "GET / HTTP/1.1\r\n\r\n");
    assert_eq!(gateway.metric(&["weir_requests_active"]), 1.0);
    assert_eq!(gateway.metric(&["weir_circuit_breaker_requests"]), 1.0);
    assert_eq!(gateway.metric(&["weir_circuit_breaker_connections"]), 1.0);
    client.finish();
    assert_eq!(client.rest(), b"end", "the other way is open still");
    let line = &gateway.logged(1)[0];
    let seen = [
        "response_code",
        "response_flags",
        "response_code_details",
        "bytes_received",
        "bytes_sent",
        "upgrade",
    ]
    .map(|key| line[key].to_string());
    let expected = [
        "101",
        "\"-\"",
        "\"via_upstream\"",
        "23",
        "26",
        "\"websocket\"",
    ];
    assert_eq!(seen, expected, "{line}");
    assert_eq!(gateway.metric(&["weir_circuit_breaker_requests"]), 0.0);
    assert_eq!(gateway.metric(&["weir_circuit_breaker_connections"]), 0.0);
    let counted = gateway.metric(&["weir_requests_total", "code_class=\"1xx\""]);
    assert_eq!(counted, 1.0);
    assert_eq!(gateway.metric(&["weir_response_bytes_total"]), 26.0);
}

#[test]
fn a_backend_is_asked_as_the_client_asks() {
    let backend = Backend::named("no websocket here");
    let gateway = Gateway::start(&[EDGE, &backend.yaml("app"), &route_all("app")]);
    let mut client = Client::connect(gateway.address());
    client.send(&ask("WebSocket"));
    let answer = client.receive();
    assert_eq!(answer.brief(), (200, "no websocket here".to_owned()));
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(client.is_closed(), "the answer is the last");
    let seen = backend.last();
    assert_eq!(seen.header("connection"), Some("Upgrade"));
    assert_eq!(seen.header("upgrade"), Some("WebSocket"));
    assert_eq!(seen.header("sec-websocket-key"), Some("xyz"));
}

#[test]
fn a_large_refusal_arrives_whole() {
    let body = "x".repeat(4 << 20);
    let sent = body.clone();
    let backend = Backend::start(move |_| reply(400, &sent));
    let gateway = Gateway::start(&[EDGE, &backend.yaml("app"), &route_all("app")]);
    let mut client = Client::connect(gateway.address());
    client.send(&ask("websocket"));
    wait_until(
        "the gateway has more than the client's socket takes",
        || backend.count() == 1,
    );
    assert!(
        client.receive().brief() == (400, body),
        "something is missing"
    );
}

#[test]
fn only_what_the_list_names_is_passed_on() {
    let only = |list: &str| settings(&format!("httpUpgrade: [{list}]"));
    // (settings, protocol, status)
    let cases = [
        (settings("timeout: {}"), "websocket", 200),
        (settings("timeout: {}"), "spdy/3.1", 403),
        (settings("timeout: {}"), "websocket, spdy/3.1", 403),
        (only("{type: spdy/3.1}"), "SPDY/3.1", 200),
        (only("{type: spdy/3.1}"), "websocket", 403),
        (
            only("{type: spdy/3.1}, {type: websocket}"),
            "websocket",
            200,
        ),
        (settings("requestBuffer: {limit: 1Ki}"), "websocket", 403),
    ];
    for (policy, protocol, status) in cases {
        let backend = Backend::named("app");
        let gateway =
            Gateway::setup()
                .log()
                .start(&[EDGE, &backend.yaml("app"), &route_all("app"), &policy]);
        let mut client = Client::connect(gateway.address());
        client.send(&ask(protocol));
        let answer = client.receive();
        assert_eq!(answer.status, status, "{protocol} with {policy}");
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(client.is_closed());
        assert_eq!(backend.count(), usize::from(status == 200));
        if status == 403 {
            assert_eq!(answer.text(), "");
            assert_eq!(
                gateway.logged(1)[0]["response_code_details"],
                "upgrade_failed"
            );
        }
    }
}

#[test]
fn a_switch_to_something_else_is_an_error() {
    for answer in [
        "upgrade: other\r\nconnection: upgrade\r\n",
        "connection: upgrade\r\n",
        "upgrade: websocket, other\r\nconnection: upgrade\r\n",
    ] {
        let answer = format!("HTTP/1.1 101 Switching Protocols\r\n{answer}\r\n");
        let backend = Backend::start(move |_| vec![Step::Send(answer.clone().into_bytes())]);
        let gateway = Gateway::start(&[EDGE, &backend.yaml("app"), &route_all("app")]);
        let mut client = Client::connect(gateway.address());
        client.send(&ask("websocket"));
        let answer = client.receive();
        assert_eq!(
            (answer.status, answer.header("connection")),
            (502, Some("close"))
        );
        wait_until("the backend's connection is closed", || backend.open() == 0);
    }
}

#[test]
fn a_request_timeout_counts_until_the_switch() {
    let gate = Gate::default();
    let app = {
        let gate = gate.clone();
        by_hand(move |mut stream| {
            let _ = read_until(&mut stream, b"\r\n\r\n");
            gate.pass();
            let _ = stream.write_all(SWITCH);
            let mut byte = [0];
            while let Ok(1) = stream.read(&mut byte) {
                let _ = stream.write_all(&byte);
            }
        })
    };
    let limit = settings("timeout: {http: {requestTimeout: 1s}}");
    let gateway = Gateway::start(&[EDGE, &app, &route_all("app"), &limit]);
    let mut client = Client::connect(gateway.address());
    client.send(&ask("websocket"));
    let late = client.receive();
    assert_eq!(late.brief(), (504, "upstream request timeout".to_owned()));
    assert_eq!(late.header("connection"), Some("close"));
    gate.open();
    let begun = Instant::now();
    let mut client = switched(&gateway);
    while begun.elapsed() < Duration::from_millis(1_300) {
        says(&mut client, "x");
    }
}

#[test]
fn a_refusal_may_be_retried_and_a_switch_never() {
    let requests = Arc::new(AtomicUsize::new(0));
    let app = {
        let requests = Arc::clone(&requests);
        by_hand(move |mut stream| {
            if read_until(&mut stream, b"\r\n\r\n") {
                match requests.fetch_add(1, Ordering::SeqCst) {
                    0 => drop(stream.write_all(&response(503, &[("connection", "close")], ""))),
                    _ => {
                        let _ = stream.write_all(&[SWITCH, b"hi"].concat());
                        let socket = socket2::SockRef::from(&stream);
                        assert!(read_until(&mut &stream, b"die"));
                        let _ = socket.set_linger(Some(Duration::ZERO));
                    }
                }
            }
        })
    };
    let retry =
        settings("retry: {numRetries: 3, retryOn: {triggers: [5xx, reset, connect-failure]}}");
    let gateway = Gateway::setup()
        .log()
        .start(&[EDGE, &app, &route_all("app"), &retry]);
    let mut client = switched(&gateway);
    assert_eq!(client.bytes(2), b"hi");
    client.send(b"die");
    assert_eq!(client.rest(), b"");
    let line = &gateway.logged(1)[0];
    assert_eq!(
        (&line["attempts"], &line["response_flags"]),
        (&2.into(), &"UC".into()),
        "{line}"
    );
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}
