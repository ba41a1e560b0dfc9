//! WebSocket over HTTP/2 (RFC 8441): asked of backends of HTTP/1.1 as an upgrade, of those of HTTP/2 where they take it;
//! allowed where an upgrade is.

use bytes::Bytes;
use http::{Method, Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::ext::Protocol;

use crate::backend::{Backend, Step, reply, response};
use crate::client::{self, wait_until};
use crate::gateway::{EDGE, Gateway, route, route_all};
use crate::http_upgrade::{ask, says, settings};
use crate::http2::Client;
use crate::http2_upstream::{self, Answer};
use crate::streaming::by_hand;
use std::io::{BufRead, BufReader, Read, Write};

fn asks_for(protocol: &'static str) -> Request<Full<Bytes>> {
    let request = Request::connect("http://any.example/chat?a=b")
        .version(Version::HTTP_2)
        .extension(Protocol::from_static(protocol))
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "chat");
    request.body(Full::default()).expect("a request")
}

/// The answer of the standard to a key.
fn accept(key: &str) -> String {
    use base64::Engine as _;
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let hash = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(hash)
}

/// A backend `app` of HTTP/1.1 that does as the standard says, and sends back whatever comes.
fn websocket() -> String {
    by_hand(|stream| {
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if !matches!(stream.read_line(&mut head), Ok(1..)) {
                return;
            }
        }
        let expected = [
            "GET /chat?a=b HTTP/1.1\r\n",
            "connection: Upgrade\r\n",
            "upgrade: websocket\r\n",
            "host: any.example\r\n",
            "sec-websocket-version: 13\r\n",
            "sec-websocket-protocol: chat\r\n",
        ];
        let missing: Vec<_> = expected.iter().filter(|it| !head.contains(**it)).collect();
        let key = head
            .lines()
            .find_map(|it| it.strip_prefix("sec-websocket-key: "));
        let answer = match key {
            Some(key) if missing.is_empty() => format!(
                "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                 sec-websocket-protocol: chat\r\nsec-websocket-accept: {}\r\n\r\n",
                accept(key)
            ),
            _ => format!(
                "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nx-missing: {missing:?}\r\n\r\n"
            ),
        };
        let _ = stream.get_mut().write_all(answer.as_bytes());
        let mut chunk = [0; 1024];
        while let Ok(read @ 1..) = stream.read(&mut chunk) {
            let _ = stream.get_mut().write_all(&chunk[..read]);
        }
        let _ = stream.get_mut().write_all(b"end");
    })
}

fn empty() -> Answer {
    let body = Full::new(Bytes::new()).map_err(|never| match never {});
    Response::new(body.boxed())
}

/// The same in HTTP/2; the path says what went in the way of it.
fn answer(request: Request<Incoming>) -> Answer {
    let protocol = request.extensions().get::<Protocol>();
    let headers = request.headers();
    let as_it_should = request.method() == Method::CONNECT
        && protocol.is_some_and(|it| it.as_str() == "websocket")
        && request
            .uri()
            .authority()
            .is_some_and(|it| it == "any.example")
        && request.uri().path().starts_with("/chat")
        && !headers.contains_key("sec-websocket-key")
        && !headers.contains_key("upgrade")
        && !headers.contains_key("connection");
    let mut answer = empty();
    if !as_it_should {
        *answer.status_mut() = http::StatusCode::BAD_REQUEST;
        return answer;
    }
    http2_upstream::echo_behind(request);
    answer
}

#[test]
fn a_backend_of_http1_is_asked_for_an_upgrade() {
    let gateway = Gateway::setup()
        .log()
        .start(&[EDGE, &websocket(), &route_all("app")]);
    let client = Client::connect(gateway.address());
    let (answer, tunnel) = client.tunnel(asks_for("websocket"));
    assert_eq!(answer.status(), 200, "{answer:?}");
    let header = |name: &str| {
        answer
            .headers()
            .get(name)
            .map(|it| it.to_str().expect("text"))
    };
    assert_eq!(header("sec-websocket-protocol"), Some("chat"));
    for name in [
        "connection",
        "upgrade",
        "sec-websocket-accept",
        "content-length",
    ] {
        assert_eq!(header(name), None, "{name}");
    }
    let mut tunnel = tunnel.expect("a tunnel");
    tunnel.says("hello");
    assert_eq!(gateway.metric(&["weir_circuit_breaker_requests"]), 1.0);
    tunnel.says("again");
    assert_eq!(tunnel.finish(), b"end");
    let line = &gateway.logged(1)[0];
    let seen = [
        "protocol",
        "upgrade",
        "response_code",
        "bytes_received",
        "bytes_sent",
    ]
    .map(|key| line[key].to_string());
    assert_eq!(
        seen,
        ["\"HTTP/2\"", "\"websocket\"", "101", "10", "13"],
        "{line}"
    );
    assert_eq!(gateway.metric(&["weir_circuit_breaker_requests"]), 0.0);
}

#[test]
fn a_backend_of_http2_is_asked_where_it_takes_it() {
    let backend = http2_upstream::Backend::upgrading(answer);
    let gateway = Gateway::start(&[EDGE, &backend.yaml(), &route_all("app")]);
    let client = Client::connect(gateway.address());
    let (answered, tunnel) = client.tunnel(asks_for("websocket"));
    assert_eq!(answered.status(), 200);
    let mut tunnel = tunnel.expect("a tunnel");
    tunnel.says("hello");
    assert_eq!(tunnel.finish(), b"end");

    // A client of HTTP/1.1 gets the answer to its key that HTTP/2 has not.
    let mut client = client::Client::connect(gateway.address());
    client.send(&ask("websocket"));
    let switched = client.receive();
    assert_eq!(switched.status, 101);
    assert_eq!(switched.header("upgrade"), Some("websocket"));
    assert_eq!(
        switched.header("sec-websocket-accept"),
        Some(&*accept("xyz"))
    );
    says(&mut client, "hello");
    client.finish();
    assert_eq!(client.rest(), b"end");
    wait_until("the tunnels are counted off", || {
        gateway.metric(&["weir_circuit_breaker_requests"]) == 0.0
    });

    let backend = http2_upstream::Backend::start(100, answer);
    let gateway = Gateway::start(&[EDGE, &backend.yaml(), &route_all("app")]);
    let client = Client::connect(gateway.address());
    let (answered, _) = client.tunnel(asks_for("websocket"));
    assert_eq!(answered.status(), 403, "it does not say that it takes it");
    let mut client = client::Client::connect(gateway.address());
    client.send(&ask("websocket"));
    let refused = client.receive();
    assert_eq!(
        (refused.status, refused.header("connection")),
        (403, Some("close"))
    );
}

#[test]
fn it_is_allowed_where_an_upgrade_is() {
    // (settings, protocol, status)
    let cases = [
        ("timeout: {}", "websocket", 404),
        ("timeout: {}", "WebSocket", 404),
        ("timeout: {}", "connect-udp", 403),
        ("timeout: {}", "websocket, other", 403),
        ("timeout: {}", "h2c", 502),
        ("httpUpgrade: [{type: spdy/3.1}]", "websocket", 403),
        ("httpUpgrade: [{type: spdy/3.1}]", "spdy/3.1", 404),
        ("requestBuffer: {limit: 1Ki}", "websocket", 403),
    ];
    for (policy, protocol, status) in cases {
        let backend = Backend::start(|request| match &*request.method {
            "GET" => reply(
                if request.header("upgrade").is_some() {
                    404
                } else {
                    200
                },
                "here",
            ),
            _ => reply(500, ""),
        });
        let documents = [
            EDGE,
            &backend.yaml("app"),
            &route_all("app"),
            &settings(policy),
        ];
        let gateway = Gateway::start(&documents);
        let client = Client::connect(gateway.address());
        let (got, text, _) = client.whole(client.send(asks_for(protocol)));
        assert_eq!(got, status, "{protocol} with {policy}");
        assert_eq!(text, if status == 404 { "here" } else { "" });
        // The connection goes on.
        let get = Request::get("http://any.example/").body(Full::<Bytes>::default());
        let get = client.send(get.expect("a request"));
        assert_eq!(client.whole(get).0, 200);
    }
}

#[test]
fn a_success_without_a_switch_is_no_tunnel() {
    let switches_to = |headers: &'static [(&'static str, &'static str)]| {
        Backend::start(move |_| vec![Step::Send(response(101, headers, ""))])
    };
    let backends = [
        Backend::named("no websocket here"),
        // No answer to the key, which a cache might give.
        switches_to(&[("connection", "Upgrade"), ("upgrade", "websocket")]),
        switches_to(&[
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ]),
    ];
    for backend in backends {
        let gateway = Gateway::start(&[EDGE, &backend.yaml("app"), &route_all("app")]);
        let client = Client::connect(gateway.address());
        let (answer, _) = client.tunnel(asks_for("websocket"));
        assert_eq!(answer.status(), 502);
        assert_eq!(gateway.metric(&["weir_circuit_breaker_requests"]), 0.0);
    }
}

#[test]
fn routes_see_the_path_and_a_method_that_is_get() {
    let rules = |method: &str| {
        route(
            "app",
            &format!(
                "[{{matches: [{{method: {method}, path: {{value: /chat}}}}], backendRefs: [{}]}}]",
                crate::gateway::to("app")
            ),
        )
    };
    for (method, status) in [("GET", 200), ("CONNECT", 404)] {
        let gateway = Gateway::start(&[EDGE, &websocket(), &rules(method)]);
        let client = Client::connect(gateway.address());
        let (answer, _) = client.tunnel(asks_for("websocket"));
        assert_eq!(answer.status(), status, "{method}");
    }
}

#[test]
fn a_client_that_leaves_frees_what_it_held() {
    let gateway = Gateway::start(&[EDGE, &websocket(), &route_all("app")]);
    let client = Client::connect(gateway.address());
    let (_, tunnel) = client.tunnel(asks_for("websocket"));
    tunnel.expect("a tunnel").says("hello");
    drop(client);
    wait_until("the tunnel is counted off", || {
        gateway.metric(&["weir_circuit_breaker_requests"]) == 0.0
            && gateway.metric(&["weir_downstream_connections "]) == 0.0
    });
}
