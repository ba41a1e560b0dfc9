//! `timeout` and the route's own timeouts: each limit from both sides, and the answer that it gives.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::backend::{Backend, Gate, Step, reply, response};
use crate::client::{Client, call, get, request, wait_until};
use crate::gateway::{EDGE, Gateway, policy, route, route_all, to};

fn gateway(backend: &Backend, settings: &str) -> Gateway {
    let timeouts = policy(
        "timeouts",
        "HTTPRoute app",
        &format!("timeout: {{{settings}}}"),
    );
    Gateway::start(&[EDGE, &backend.yaml("app"), &route_all("app"), &timeouts])
}

/// Sends the head of a request and half of its body.
fn half_a_post(address: SocketAddr) -> Client {
    let mut client = Client::connect(address);
    client.send(b"POST / HTTP/1.1\r\nhost: any.example\r\ncontent-length: 10\r\n\r\nhello");
    client
}

/// A backend that sends a head and part of its body, then nothing until the gate opens.
fn stalling(gate: &Gate) -> Backend {
    let gate = gate.clone();
    Backend::start(move |_| {
        vec![
            Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\nstarted".to_vec()),
            Step::Hold(gate.clone()),
            Step::Send(b" done".to_vec()),
        ]
    })
}

/// A backend that sends a body of six parts, one every 100 ms.
fn trickling() -> Backend {
    Backend::start(|_| {
        let mut steps = vec![Step::Send(
            b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n".to_vec(),
        )];
        for _ in 0..6 {
            steps.extend([
                Step::Pause(Duration::from_millis(100)),
                Step::Send(b"x".to_vec()),
            ]);
        }
        steps
    })
}

#[test]
fn a_request_that_takes_too_long_gets_504() {
    let gate = Gate::default();
    let backend = Backend::holding(&gate);
    let gateway = gateway(&backend, "http: {requestTimeout: 100ms}");
    let mut client = Client::connect(gateway.address());
    assert_eq!(
        client.get("any.example", "/").brief(),
        (504, "upstream request timeout".to_owned())
    );
    gate.open();
    assert_eq!(
        client.get("any.example", "/").brief(),
        (200, "held".to_owned()),
        "the connection stays"
    );
}

#[test]
fn the_request_timeout_ends_a_body_that_stalls() {
    let gate = Gate::default();
    let backend = stalling(&gate);
    let gateway = gateway(&backend, "http: {requestTimeout: 100ms}");
    let response = get(gateway.address(), "any.example", "/");
    assert_eq!((response.status, response.complete), (200, false));
    gate.open();
}

#[test]
fn the_request_timeout_begins_when_the_request_is_complete() {
    let backend = Backend::named("got it");
    let gateway = gateway(&backend, "http: {requestTimeout: 150ms}");
    let mut client = half_a_post(gateway.address());
    std::thread::sleep(Duration::from_millis(400)); // longer than the timeout, which has not begun
    client.send(b"world");
    assert_eq!(client.receive().brief(), (200, "got it".to_owned()));
    assert_eq!(backend.last().body, b"helloworld");
}

#[test]
fn zero_switches_the_request_timeout_off() {
    let backend = Backend::start(|_| {
        vec![
            Step::Pause(Duration::from_millis(300)),
            Step::Send(response(200, &[], "late")),
        ]
    });
    let gateway = gateway(&backend, "http: {requestTimeout: 0s}");
    assert_eq!(
        get(gateway.address(), "any.example", "/").brief(),
        (200, "late".to_owned())
    );
}

#[test]
fn the_routes_own_timeouts_come_first() {
    let gate = Gate::default();
    let backend = Backend::start({
        let gate = gate.clone();
        move |request| match request.target.as_str() {
            "/slow" => vec![
                Step::Pause(Duration::from_millis(400)),
                Step::Send(response(200, &[], "late")),
            ],
            _ => vec![
                Step::Hold(gate.clone()),
                Step::Send(response(200, &[], "held")),
            ],
        }
    });
    let own = |path: &str, timeouts: &str| {
        format!(
            "{{matches: [{{path: {{value: {path}}}}}], timeouts: {{{timeouts}}}, backendRefs: [{}]}}",
            to("app")
        )
    };
    let rules = [
        own("/request", "request: 100ms"),
        own("/backend", "backendRequest: 100ms, request: 10s"),
        own("/slow", "request: 10s"),
        own("/policy", ""),
    ];
    let gateway = Gateway::start(&[
        EDGE,
        &backend.yaml("app"),
        &route("app", &format!("[{}]", rules.join(", "))),
        &policy(
            "timeouts",
            "HTTPRoute app",
            "timeout: {http: {requestTimeout: 200ms}}",
        ),
    ]);
    let timed_out = (504, "upstream request timeout".to_owned());
    for path in ["/request", "/backend", "/policy"] {
        assert_eq!(
            get(gateway.address(), "any.example", path).brief(),
            timed_out,
            "{path}"
        );
    }
    assert_eq!(
        get(gateway.address(), "any.example", "/slow").brief(),
        (200, "late".to_owned())
    );
    gate.open();
}

#[test]
fn an_idle_stream_is_ended() {
    let gate = Gate::default();
    let gateways = |backend: &Backend| gateway(backend, "http: {streamIdleTimeout: 150ms}");

    let backend = Backend::holding(&gate);
    let held = gateways(&backend);
    assert_eq!(
        get(held.address(), "any.example", "/").brief(),
        (504, "stream timeout".to_owned())
    );
    let mut client = half_a_post(held.address());
    let refused = client.receive();
    assert_eq!(refused.brief(), (408, "stream timeout".to_owned()));
    assert_eq!(refused.header("connection"), Some("close"));
    assert!(client.is_closed());

    let backend = stalling(&gate);
    let stalled = get(gateways(&backend).address(), "any.example", "/");
    assert_eq!((stalled.status, stalled.complete), (200, false));

    let backend = trickling(); // 600 ms in all, but never idle for long
    let trickled = get(gateways(&backend).address(), "any.example", "/");
    assert_eq!(trickled.brief(), (200, "xxxxxx".to_owned()));
    gate.open();
}

#[test]
fn a_stream_ends_at_its_maximum_duration() {
    let gate = Gate::default();
    let gateways = |backend: &Backend| gateway(backend, "http: {maxStreamDuration: 250ms}");
    let ended = "downstream duration timeout".to_owned();

    let backend = Backend::holding(&gate);
    let held = gateways(&backend);
    assert_eq!(
        get(held.address(), "any.example", "/").brief(),
        (504, ended.clone())
    );
    let mut client = half_a_post(held.address());
    let refused = client.receive();
    assert_eq!(refused.brief(), (408, ended));
    assert_eq!(refused.header("connection"), Some("close"));
    assert!(client.is_closed());

    let backend = trickling(); // active, but longer than allowed
    let trickled = get(gateways(&backend).address(), "any.example", "/");
    assert_eq!((trickled.status, trickled.complete), (200, false));

    let backend = Backend::named("quick");
    assert_eq!(
        get(gateways(&backend).address(), "any.example", "/").status,
        200
    );
    gate.open();
}

#[test]
fn a_connection_that_is_not_made_in_time_gets_503() {
    // A listener whose queue is full: further connections wait.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
        .expect("a socket is free");
    socket
        .bind(
            &"127.0.0.1:0"
                .parse::<SocketAddr>()
                .expect("an address")
                .into(),
        )
        .expect("a port is free");
    socket.listen(0).expect("it is bound");
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().expect("it is bound");
    let mut queued = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        queued.push(stream);
        assert!(
            queued.len() < 100,
            "the queue of a listener with a backlog of 0 is short"
        );
    }

    let backend = Backend::named("unused");
    let elsewhere = backend.yaml("app").replace(
        &backend.address.port().to_string(),
        &address.port().to_string(),
    );
    let timeouts = policy(
        "timeouts",
        "HTTPRoute app",
        "timeout: {tcp: {connectTimeout: 100ms}}",
    );
    let gateway = Gateway::start(&[EDGE, &elsewhere, &route_all("app"), &timeouts]);
    let response = get(gateway.address(), "any.example", "/");
    let text = "upstream connect error or disconnect/reset before headers. reset reason: connection timeout";
    assert_eq!(response.brief(), (503, text.to_owned()));
}

#[test]
fn an_idle_connection_to_a_backend_is_closed() {
    let backend = Backend::named("app");
    let gateway = gateway(&backend, "http: {connectionIdleTimeout: 200ms}");
    let mut client = Client::connect(gateway.address());
    assert_eq!(client.get("any.example", "/").status, 200);
    assert_eq!(client.get("any.example", "/").status, 200);
    assert_eq!(backend.connections(), 1);
    wait_until("the idle connection is closed", || backend.open() == 0);
    assert_eq!(client.get("any.example", "/").status, 200);
    assert_eq!(backend.connections(), 2);
}

#[test]
fn an_old_connection_to_a_backend_takes_no_new_requests() {
    let gate = Gate::default();
    let backend = Backend::start({
        let gate = gate.clone();
        move |request| match request.target.as_str() {
            "/hold" => vec![
                Step::Hold(gate.clone()),
                Step::Send(response(200, &[], "held")),
            ],
            _ => reply(200, "at once"),
        }
    });
    let gateway = gateway(&backend, "http: {maxConnectionDuration: 300ms}");
    let mut client = Client::connect(gateway.address());
    let begun = Instant::now();
    client.send(&request("GET", "any.example", "/hold", &[], b""));
    gate.wait_for(1);
    wait_until("the connection is old", || {
        begun.elapsed() > Duration::from_millis(500)
    });
    gate.open(); // what is in progress ends well
    assert_eq!(client.receive().brief(), (200, "held".to_owned()));
    assert_eq!(
        client.get("any.example", "/").brief(),
        (200, "at once".to_owned())
    );
    assert_eq!(backend.connections(), 2);
    wait_until("the second connection is closed between requests", || {
        backend.open() == 0
    });
}

#[test]
fn timeouts_of_the_route_end_requests_that_carry_a_body() {
    let gate = Gate::default();
    let backend = Backend::holding(&gate);
    let gateway = gateway(&backend, "http: {requestTimeout: 100ms}");
    let response = call(
        gateway.address(),
        &request("POST", "any.example", "/", &[], b"hello"),
    );
    assert_eq!(
        response.brief(),
        (504, "upstream request timeout".to_owned())
    );
    gate.open();
}
