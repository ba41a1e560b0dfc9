//! CONNECT where a policy has `httpUpgrade` of that type: ended here or passed on, in both versions of HTTP on both
//! sides; and refused everywhere else.

use std::io::{Read, Write};
use std::net::TcpListener;

use bytes::Bytes;
use http::{Method, Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;

use crate::backend::{Backend, reply};
use crate::client::{Client, wait_until};
use crate::gateway::{EDGE, Gateway, route, route_all, to};
use crate::http_upgrade::{says, settings};
use crate::http2;
use crate::http2_upstream::{self, Answer};
use crate::streaming::{by_hand, read_until};

const ENDS_HERE: &str = "httpUpgrade: [{type: CONNECT, connect: {terminate: true}}]";
const PASSED_ON: &str = "httpUpgrade: [{type: CONNECT}]";
const CONNECT: &[u8] = b"CONNECT any.example:443 HTTP/1.1\r\nhost: any.example:443\r\n\r\n";

/// The request that HTTP/2 has for it.
fn connect() -> Request<Full<Bytes>> {
    let request = Request::connect("any.example:443").version(Version::HTTP_2);
    request.body(Full::default()).expect("a request")
}

/// A backend that sends back whatever comes, from the first byte, then `end`.
fn bytes() -> String {
    by_hand(|mut stream| {
        let mut chunk = [0; 1024];
        while let Ok(read @ 1..) = stream.read(&mut chunk) {
            let _ = stream.write_all(&chunk[..read]);
        }
        let _ = stream.write_all(b"end");
    })
}

/// A backend that takes this CONNECT in HTTP/1.1, sends back whatever comes, then `end`.
fn takes(head: &'static str) -> String {
    by_hand(move |mut stream| {
        let mut seen = vec![0; head.len()];
        if stream.read_exact(&mut seen).is_ok() && seen == head.as_bytes() {
            assert!(read_until(&mut stream, b"\r\n\r\n"));
            let _ = stream.write_all(b"HTTP/1.1 200 Connected\r\nx-from: backend\r\n\r\n");
            let mut chunk = [0; 1024];
            while let Ok(read @ 1..) = stream.read(&mut chunk) {
                let _ = stream.write_all(&chunk[..read]);
            }
            let _ = stream.write_all(b"end");
        }
    })
}

/// Answers a CONNECT in HTTP/2, then as [`takes`].
fn answer(request: Request<Incoming>) -> Answer {
    assert_eq!(request.method(), Method::CONNECT);
    assert_eq!(request.uri().to_string(), "any.example:443");
    http2_upstream::echo_behind(request);
    let body = Full::new(Bytes::new()).map_err(|never| match never {});
    Response::new(body.boxed())
}

#[test]
fn a_connect_that_ends_here_reaches_the_backend_as_bytes() {
    let gateway =
        Gateway::setup()
            .log()
            .start(&[EDGE, &bytes(), &route_all("app"), &settings(ENDS_HERE)]);
    let mut client = Client::connect(gateway.address());
    // Some of it comes before the answer.
    client.send(&[CONNECT, b"early"].concat());
    let answer = client.receive_head();
    assert_eq!(answer.status, 200);
    for name in ["content-length", "transfer-encoding", "connection"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
    assert_eq!(client.bytes(5), b"early");
    says(&mut client, "GET / HTTP/1.1\r\n\r\n");
    assert_eq!(gateway.metric(&["weir_circuit_breaker_requests"]), 1.0);
    assert_eq!(gateway.metric(&["weir_circuit_breaker_connections"]), 1.0);
    client.finish();
    assert_eq!(client.rest(), b"end");
    let line = &gateway.logged(1)[0];
    let seen = [
        "method",
        "response_code",
        "response_flags",
        "bytes_received",
        "bytes_sent",
        "upgrade",
    ]
    .map(|key| line[key].to_string());
    assert_eq!(
        seen,
        ["\"CONNECT\"", "200", "\"-\"", "23", "26", "\"CONNECT\""],
        "{line}"
    );
    assert_eq!(gateway.metric(&["weir_circuit_breaker_requests"]), 0.0);
    assert_eq!(gateway.metric(&["weir_circuit_breaker_connections"]), 0.0);

    let client = http2::Client::connect(gateway.address());
    let (answer, tunnel) = client.tunnel(connect());
    assert_eq!(answer.status(), 200);
    let mut tunnel = tunnel.expect("a tunnel");
    tunnel.says("hello");
    let (_, other) = client.tunnel(connect());
    other.expect("another over the same connection").says("and");
    tunnel.says("again");
    assert_eq!(tunnel.finish(), b"end");
    wait_until("both tunnels are counted off", || {
        gateway.metric(&["weir_circuit_breaker_requests"]) == 0.0
    });
}

#[test]
fn a_connect_that_is_passed_on_reaches_the_backend_as_it_is() {
    let in_http1 = || takes("CONNECT any.example:443 HTTP/1.1\r\n");
    let in_http2 = http2_upstream::Backend::start(100, answer);
    for backend in [in_http1(), in_http2.yaml()] {
        let gateway = Gateway::start(&[EDGE, &backend, &route_all("app"), &settings(PASSED_ON)]);
        let mut client = Client::connect(gateway.address());
        client.send(CONNECT);
        assert_eq!(client.receive_head().status, 200, "{backend}");
        says(&mut client, "hello");
        client.finish();
        assert_eq!(client.rest(), b"end");

        let client = http2::Client::connect(gateway.address());
        let (answer, tunnel) = client.tunnel(connect());
        assert_eq!(answer.status(), 200, "{backend}");
        let mut tunnel = tunnel.expect("a tunnel");
        tunnel.says("hello");
        assert_eq!(tunnel.finish(), b"end");
        wait_until("the tunnels are counted off", || {
            gateway.metric(&["weir_circuit_breaker_requests"]) == 0.0
        });
    }
}

#[test]
fn a_backend_is_asked_for_the_host_that_the_rule_names() {
    let rewritten = route(
        "app",
        &format!(
            "[{{backendRefs: [{}], filters: [{{type: URLRewrite, urlRewrite: {{hostname: other.example, \
             path: {{type: ReplaceFullPath, replaceFullPath: /x}}}}}}]}}]",
            to("app")
        ),
    );
    let backend = takes("CONNECT other.example HTTP/1.1\r\n");
    let gateway = Gateway::start(&[EDGE, &backend, &rewritten, &settings(PASSED_ON)]);
    let mut client = Client::connect(gateway.address());
    client.send(CONNECT);
    assert_eq!(client.receive_head().status, 200);
    says(&mut client, "hello");
}

#[test]
fn without_a_policy_that_names_it_a_connect_is_refused() {
    for policy in ["timeout: {}", "httpUpgrade: [{type: websocket}]"] {
        let backend = Backend::named("app");
        let documents = [
            EDGE,
            &backend.yaml("app"),
            &route_all("app"),
            &settings(policy),
        ];
        let gateway = Gateway::start(&documents);
        let mut client = Client::connect(gateway.address());
        client.send(CONNECT);
        assert_eq!(client.receive().status, 404, "{policy}");
        assert!(client.is_closed());
        let client = http2::Client::connect(gateway.address());
        assert_eq!(client.tunnel(connect()).0.status(), 404);
        assert_eq!(backend.connections(), 0);
    }
}

#[test]
fn a_route_for_connect_takes_nothing_else() {
    let backend = Backend::named("app");
    let documents = [
        EDGE,
        &backend.yaml("app"),
        &route_all("app"),
        &settings(ENDS_HERE),
    ];
    let gateway = Gateway::start(&documents);
    assert_eq!(
        crate::client::get(gateway.address(), "any.example", "/").status,
        404
    );
    assert_eq!(backend.connections(), 0);
}

#[test]
fn what_a_backend_answers_instead_is_passed_on_and_is_no_tunnel() {
    let backend = Backend::start(|_| reply(407, "who are you"));
    let documents = [
        EDGE,
        &backend.yaml("app"),
        &route_all("app"),
        &settings(PASSED_ON),
    ];
    let gateway = Gateway::start(&documents);
    let mut client = Client::connect(gateway.address());
    client.send(CONNECT);
    let answer = client.receive();
    assert_eq!(answer.brief(), (407, "who are you".to_owned()));
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(client.is_closed());
    let client = http2::Client::connect(gateway.address());
    assert_eq!(client.whole(client.send(connect())).0, 407);
}

#[test]
fn an_answer_of_the_gateway_is_never_taken_for_a_tunnel() {
    let filter = "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: HTTPRouteFilter\nmetadata: {name: fine}\n\
                  spec: {directResponse: {statusCode: 200, body: {type: Inline, inline: fine}}}\n";
    let answered = route(
        "app",
        "[{filters: [{type: ExtensionRef, extensionRef: {group: gateway.envoyproxy.io, kind: HTTPRouteFilter, name: fine}}]}]",
    );
    let gateway = Gateway::start(&[EDGE, filter, &answered, &settings(ENDS_HERE)]);
    let mut client = Client::connect(gateway.address());
    client.send(CONNECT);
    let answer = client.receive();
    assert_eq!(
        (answer.status, answer.header("connection")),
        (502, Some("close"))
    );
    let client = http2::Client::connect(gateway.address());
    assert_eq!(client.tunnel(connect()).0.status(), 502);
}

#[test]
fn a_connect_with_a_body_is_refused() {
    let gateway = Gateway::start(&[EDGE, &bytes(), &route_all("app"), &settings(ENDS_HERE)]);
    for framing in ["content-length: 1", "transfer-encoding: chunked"] {
        let mut client = Client::connect(gateway.address());
        let head =
            format!("CONNECT a.example:1 HTTP/1.1\r\nhost: a.example:1\r\n{framing}\r\n\r\n");
        client.send(head.as_bytes());
        assert_eq!(client.receive().status, 400, "{framing}");
        assert!(client.is_closed());
    }
}

#[test]
fn tunnels_are_held_to_the_limits_of_their_backend() {
    let limited = format!(
        "{ENDS_HERE}, circuitBreaker: {{maxParallelRequests: 1}}, timeout: {{http: {{streamIdleTimeout: 300ms}}}}"
    );
    let gateway =
        Gateway::setup()
            .log()
            .start(&[EDGE, &bytes(), &route_all("app"), &settings(&limited)]);
    let mut client = Client::connect(gateway.address());
    client.send(CONNECT);
    assert_eq!(client.receive_head().status, 200);
    let mut second = Client::connect(gateway.address());
    second.send(CONNECT);
    let refused = second.receive();
    assert_eq!(
        (refused.status, refused.header("connection")),
        (503, Some("close"))
    );
    assert_eq!(client.rest(), b"", "it is silent for too long");
    let flags: Vec<_> = gateway
        .logged(2)
        .iter()
        .map(|it| it["response_flags"].clone())
        .collect();
    assert_eq!(flags, ["UO", "SI"]);
    let client = http2::Client::connect(gateway.address());
    let (_, tunnel) = client.tunnel(connect());
    let mut tunnel = tunnel.expect("there is room again");
    tunnel.says("hello");
    assert_eq!(gateway.logged(3)[2]["response_flags"], "SI");
}

#[test]
fn a_backend_that_is_not_there_is_told() {
    // Nobody listens on a port that was just given back.
    let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
    let port = port.expect("a port is free").port();
    let nobody = format!(
        "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: Backend\nmetadata: {{name: app}}\n\
         spec: {{endpoints: [{{ip: {{address: 127.0.0.1, port: {port}}}}}]}}\n"
    );
    let gateway = Gateway::start(&[EDGE, &nobody, &route_all("app"), &settings(ENDS_HERE)]);
    let mut client = Client::connect(gateway.address());
    client.send(CONNECT);
    assert_eq!(client.receive().status, 503);
    let client = http2::Client::connect(gateway.address());
    assert_eq!(client.tunnel(connect()).0.status(), 503);
}
