//! `timeout` and `connection`: how long clients may take, how many connections they have, and what is buffered for them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{client, gateway, with};
use crate::backend::{Backend, Gate, Step, reply, response};
use crate::client::{Client, call, get, request, wait_until};
use crate::frames::{Connection, DATA, END_STREAM, Outcome, fields, frame};
use crate::gateway::{EDGE, Gateway, policy, route_all};
use crate::tls::client::{Pair, Trust};
use crate::tls::{edge, listener};

/// The limits of these tests; the same in their YAML.
const LIMIT: Duration = Duration::from_millis(300);

/// How often connections to a gateway were closed for this reason.
fn closed(gateway: &Gateway, reason: &str) -> f64 {
    let reason = format!("reason=\"{reason}\"");
    gateway.metric(&["weir_downstream_connections_closed_total", &reason])
}

#[test]
fn a_request_is_received_in_time() {
    let backend = Backend::named("app");
    let gateway = gateway("timeout: {http: {requestReceivedTimeout: 300ms}}", &backend);
    let begun = Instant::now();
    let mut slow = Client::connect(gateway.address());
    slow.send(b"POST / HTTP/1.1\r\nhost: any.example\r\ncontent-length: 9\r\n\r\nabc");
    assert_eq!(slow.receive().brief(), (408, "request timeout".to_owned()));
    assert!(begun.elapsed() >= LIMIT);

    let begun = Instant::now();
    let mut connection = Connection::open(gateway.address());
    let post = fields(&[("POST", "/")], &[("content-length", "9")]);
    connection.request(1, &post, false).expect("it is taken");
    let part = frame(DATA, 0, 1, b"abc");
    connection.send(&part).expect("it is taken");
    assert_eq!(connection.outcome(1), Outcome::Status(408));
    assert!(begun.elapsed() >= LIMIT);
    // Others over the connection, and whole requests, go on.
    connection.request(3, &post, false).expect("it is taken");
    let whole = frame(DATA, END_STREAM, 3, b"abcdefghi");
    connection.send(&whole).expect("it is taken");
    assert_eq!(connection.outcome(3), Outcome::Status(200));
}

#[test]
fn heads_and_pauses_have_their_time() {
    let backend = Backend::named("app");
    let times = "timeout: {http: {requestHeadersReceivedTimeout: 300ms, idleTimeout: 600ms}}";
    let gateway = gateway(times, &backend);
    let begun = Instant::now();
    let mut slow = Client::connect(gateway.address());
    slow.send(b"GET / HTTP/1.1\r\nhost:");
    let late = slow.receive();
    assert_eq!(late.brief(), (408, "request header timeout".to_owned()));
    assert!(begun.elapsed() >= LIMIT && begun.elapsed() < LIMIT * 20);

    let mut idle = Client::connect(gateway.address());
    assert_eq!(idle.get("any.example", "/").status, 200);
    let begun = Instant::now();
    assert!(idle.is_closed());
    assert!(begun.elapsed() >= LIMIT);
}

#[test]
fn a_stream_has_the_pause_of_its_route_before_that_of_its_listener() {
    let gate = Gate::default();
    let backend = Backend::holding(&gate);
    let listener = "timeout: {http: {streamIdleTimeout: 300ms}}";
    let gateway = gateway(listener, &backend);
    let begun = Instant::now();
    assert_eq!(get(gateway.address(), "any.example", "/").status, 504);
    assert!(begun.elapsed() >= LIMIT);
    // The first request still waits at its gate.
    gate.open();
    let gate = Gate::default();
    let backend = Backend::holding(&gate);
    let route = policy(
        "route",
        "HTTPRoute app",
        "timeout: {http: {streamIdleTimeout: 60s}}",
    );
    let gateway = with(listener, &backend, &[&route]);
    let mut patient = Client::connect(gateway.address());
    patient.send(&request("GET", "any.example", "/", &[], b""));
    let waited = Instant::now();
    gate.wait_for(1);
    wait_until("the listener's pause has passed", || {
        waited.elapsed() > LIMIT * 2
    });
    gate.open();
    assert_eq!(patient.receive().status, 200);
}

/// A listener for HTTPS whose clients are dealt with like this.
fn secure(settings: &str, backend: &Backend, pair: &Pair) -> Gateway {
    Gateway::start(&[
        &edge(&[&listener("https", "", &["cert"])]),
        &pair.secret("cert"),
        &backend.yaml("app"),
        &route_all("app"),
        &client("clients", "Gateway edge https", settings),
    ])
}

/// Waits until the other side closes, and returns how long that took.
fn closed_after(address: SocketAddr, first: &[u8]) -> Duration {
    let begun = Instant::now();
    let mut client = Client::connect(address);
    client.send(first);
    assert!(client.is_closed());
    begun.elapsed()
}

#[test]
fn handshakes_and_first_bytes_have_their_time() {
    let (backend, pair) = (Backend::named("app"), Pair::of(&["shop.example.com"]));
    let trust = Trust::of(&[&pair]);
    let begins: &[u8] = &[22, 3, 1, 2, 0, 1];
    for (settings, reason) in [
        (
            "timeout: {tcp: {tlsHandshakeTimeout: 300ms}}",
            "tls_timeout",
        ),
        (
            "timeout: {tcp: {connectionInspectionTimeout: 300ms}}",
            "inspection_timeout",
        ),
    ] {
        let gateway = secure(settings, &backend, &pair);
        let address = gateway.address_of(443);
        for (count, first) in [(1.0, b"".as_slice()), (2.0, begins)] {
            let after = closed_after(address, first);
            assert!(
                after >= LIMIT && after < LIMIT * 20,
                "{settings}: {after:?}"
            );
            wait_until(reason, || closed(&gateway, reason) == count);
        }
        let secured = trust.connect(address, "shop.example.com");
        let mut client = secured.expect("it is in time").client();
        let begun = Instant::now();
        wait_until("more time than for the handshake", || {
            begun.elapsed() > LIMIT * 2
        });
        assert_eq!(client.get("shop.example.com", "/").status, 200);
    }
    // A PROXY header has to come in the same time.
    let settings = "proxyProtocol: {}, timeout: {tcp: {connectionInspectionTimeout: 300ms}}";
    let gateway = gateway(settings, &backend);
    assert!(closed_after(gateway.address(), b"PROXY ") >= LIMIT);
    wait_until("it is counted", || {
        closed(&gateway, "inspection_timeout") == 1.0
    });
}

#[test]
fn connections_above_the_limit_are_kept_for_the_delay_and_never_served() {
    let backend = Backend::named("app");
    let settings = "connection: {connectionLimit: {value: 2, closeDelay: 300ms}}";
    let gateway = gateway(settings, &backend);
    let mut served: Vec<_> = (0..2).map(|_| Client::connect(gateway.address())).collect();
    for client in &mut served {
        assert_eq!(client.get("any.example", "/").status, 200);
    }
    let begun = Instant::now();
    let mut third = Client::connect(gateway.address());
    third.send(&request("GET", "any.example", "/", &[], b""));
    assert!(third.is_closed());
    assert!(begun.elapsed() >= LIMIT && begun.elapsed() < LIMIT * 20);
    assert_eq!(backend.count(), 2);
    assert!(closed(&gateway, "limit") >= 1.0);
    drop(served);
    wait_until("there is room again", || {
        let client = Client::try_connect(gateway.address());
        let mut client = client.expect("the gateway accepts connections");
        client.send(&request("GET", "any.example", "/", &[], b""));
        client.try_receive().is_ok()
    });
}

#[test]
fn connections_end_with_their_last_request_or_their_age() {
    let backend = Backend::named("app");
    for settings in [
        "maxRequestsPerConnection: 2",
        "maxConnectionDuration: 300ms",
    ] {
        let settings = format!("connection: {{connectionLimit: {{{settings}}}}}");
        let gateway = gateway(&settings, &backend);
        let mut client = Client::connect(gateway.address());
        let first = client.get("any.example", "/");
        assert_eq!((first.status, first.header("connection")), (200, None));
        let begun = Instant::now();
        wait_until("it is old", || begun.elapsed() > LIMIT);
        let last = client.get("any.example", "/");
        assert_eq!(
            (last.status, last.header("connection")),
            (200, Some("close"))
        );
        assert!(client.is_closed());
    }
    let gate = Gate::default();
    let backend = Backend::holding(&gate);
    let settings = "connection: {connectionLimit: {maxStreamDuration: 300ms}}";
    let gateway = gateway(settings, &backend);
    let begun = Instant::now();
    assert_eq!(get(gateway.address(), "any.example", "/").status, 504);
    assert!(begun.elapsed() >= LIMIT);
    gate.open();
}

#[test]
fn as_much_is_sent_again_as_the_buffer_takes() {
    for (limit, size, expected) in [
        ("1Ki", 1_000, 200),
        ("1Ki", 2_000, 503),
        ("4Ki", 2_000, 200),
    ] {
        let backend = Backend::start(|request| match request.number {
            1 => reply(503, "not yet"),
            _ => reply(200, "now"),
        });
        let retry = policy(
            "retry",
            "HTTPRoute app",
            "retry: {retryOn: {triggers: [5xx]}}",
        );
        let settings = format!("connection: {{bufferLimit: {limit}}}");
        let gateway = with(&settings, &backend, &[&retry]);
        let post = request("POST", "any.example", "/", &[], &vec![b'x'; size]);
        assert_eq!(
            call(gateway.address(), &post).status,
            expected,
            "{limit} {size}"
        );
    }
}

#[test]
fn small_buffers_of_sockets_carry_large_messages() {
    let body = "x".repeat(1 << 20);
    let backend = Backend::start(move |request| {
        let length = request.body.len().to_string();
        vec![Step::Send(response(200, &[("x-length", &length)], &body))]
    });
    let gateway = Gateway::start(&[
        EDGE,
        &client(
            "clients",
            "Gateway edge",
            "connection: {socketBufferLimit: 64Ki, bufferLimit: 1Ki}, tcpKeepalive: {idleTime: 60s}",
        ),
        &backend.yaml("app"),
        &route_all("app"),
    ]);
    let post = request("POST", "any.example", "/", &[], &vec![b'y'; 1 << 20]);
    let answer = call(gateway.address(), &post);
    assert_eq!(answer.header("x-length"), Some("1048576"));
    assert_eq!((answer.body.len(), answer.complete), (1 << 20, true));
}
