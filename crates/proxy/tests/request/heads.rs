//! Heads: what is refused, what backends and clients get to see, and how messages are framed.

use weir_plan::RoutePolicy;
use weir_proxy::Limits;

use crate::backend::Backend;
use crate::{CLUSTER, Gateway, outcome, rule};

fn gateway(backend: &Backend) -> Gateway {
    Gateway::start(&[rule("/", RoutePolicy::DEFAULT)], &[backend.address])
}

#[test]
fn a_backend_sees_who_asks_and_no_header_of_the_connection() {
    let backend = Backend::start();
    let gateway = gateway(&backend);
    let mut client = gateway.connect();
    let response = client.get(
        "/a?q=1",
        "Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: gzip\r\nProxy-Connection: x\r\n\
         x-forwarded-for: 1.1.1.1\r\nx-forwarded-proto: https\r\nx-request-id: mine\r\nx-envoy-retry-on: 5xx\r\n\
         x-envoy-foo: 1\r\nX-Mixed: Case\r\n",
    );
    assert_eq!(response.told(), (200, "0"));
    let seen = backend.only();
    assert!(
        seen.head.starts_with("GET /a?q=1 HTTP/1.1\r\n"),
        "{}",
        seen.head
    );
    let id = seen.header("x-request-id").expect("an id").to_owned();
    assert_eq!(id.len(), 36);
    let mut lines: Vec<_> = seen.head.trim_end().lines().skip(1).collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "host: test",
            "x-envoy-external-address: 127.0.0.1",
            "x-envoy-foo: 1",
            "x-forwarded-for: 1.1.1.1,127.0.0.1",
            "x-forwarded-proto: http",
            "x-mixed: Case",
            &format!("x-request-id: {id}"),
        ]
    );
}

#[test]
fn a_client_sees_what_the_backend_says_and_a_date() {
    let backend = Backend::start();
    let gateway = gateway(&backend);
    let response = gateway.connect().get("/headers", "");
    assert_eq!(response.header("server"), Some("theirs"));
    assert_eq!(response.header("x-request-id"), Some("theirs"));
    assert_eq!(response.header("x-envoy-upstream-service-time"), Some("3"));
    assert_eq!(response.header("x-kept"), Some("1"));
    assert!(response.header("date").is_some());
    for gone in ["x-hop", "keep-alive", "connection"] {
        assert_eq!(response.header(gone), None, "{gone}");
    }
}

#[test]
fn heads_that_no_gateway_should_take_are_refused() {
    let backend = Backend::start();
    let limits = Limits {
        max_uri_bytes: 100,
        max_headers: 10,
        max_head_bytes: 1_000,
        ..Limits::default()
    };
    let gateway = Gateway::with(
        limits,
        &[rule("/", RoutePolicy::DEFAULT)],
        CLUSTER,
        &[backend.address],
    );
    let long = "x".repeat(200);
    let many = "a: 1\r\n".repeat(12);
    let cases = [
        (
            "GET / HTTP/1.1\r\n\r\n".to_owned(),
            400,
            "Bad Request",
            "missing_host_header",
        ),
        (
            "GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n".to_owned(),
            400,
            "Bad Request",
            "http1.multiple_hosts",
        ),
        (
            "GET / HTTP/1.1\r\nhost: a b\r\n\r\n".to_owned(),
            400,
            "Bad Request",
            "http1.invalid_host",
        ),
        (
            "GET / HTTP/1.1\r\nhost: a\r\nx_y: 1\r\n\r\n".to_owned(),
            400,
            "Bad Request",
            "http1.unexpected_underscore",
        ),
        (
            format!("GET /{long} HTTP/1.1\r\nhost: a\r\n\r\n"),
            414,
            "URI Too Long",
            "uri_too_long",
        ),
        (
            format!("GET / HTTP/1.1\r\nhost: a\r\n{many}\r\n"),
            431,
            "Request Header Fields Too Large",
            "too_many_headers",
        ),
        (
            format!("GET / HTTP/1.1\r\nhost: a\r\na: {}\r\n\r\n", long.repeat(5)),
            431,
            "Request Header Fields Too Large",
            "headers_too_large",
        ),
    ];
    for (place, (request, status, body, details)) in cases.into_iter().enumerate() {
        let mut client = gateway.connect();
        client.send(&request);
        let response = client.read();
        assert_eq!(response.told(), (status, body), "{request}");
        assert!(response.closes() && client.rest().is_empty(), "{request}");
        assert_eq!(
            gateway.logged(place + 1),
            outcome(u64::from(status), "DPE", details)
        );
    }
    assert!(backend.seen().is_empty());
}

#[test]
fn a_path_is_brought_into_normal_form() {
    let backend = Backend::start();
    let gateway = gateway(&backend);
    let mut client = gateway.connect();
    assert_eq!(client.get("/a//b/../c/%2e/%64?x=//..", "").status, 200);
    assert_eq!(backend.only().path(), "/a/c/d?x=//..");
    let response = client.get("/a%2Fb/..%5c?q", "");
    assert_eq!(
        (response.status, response.header("location")),
        (307, Some("/a/?q"))
    );
    assert_eq!(
        gateway.logged(2),
        outcome(307, "-", "path_normalization_failed")
    );
    let grpc = client.get("/a%2Fb", "content-type: application/grpc\r\n");
    assert_eq!((grpc.status, grpc.header("grpc-status")), (200, Some("13")));
}

#[test]
fn a_target_in_absolute_form_names_the_host() {
    let backend = Backend::start();
    let gateway = gateway(&backend);
    let mut client = gateway.connect();
    client.send("GET http://other.example.com:8080/a?b HTTP/1.1\r\nhost: test\r\n\r\n");
    assert_eq!(client.read().status, 200);
    let seen = backend.only();
    assert_eq!(seen.path(), "/a?b");
    assert_eq!(seen.header("host"), Some("other.example.com:8080"));
}

#[test]
fn http_1_0_needs_no_host_and_ends_with_its_response() {
    let backend = Backend::start();
    let gateway = gateway(&backend);
    let mut client = gateway.connect();
    client.send("GET /a HTTP/1.0\r\n\r\n");
    assert_eq!(client.read().told(), (200, "0"));
    assert_eq!(client.rest(), "");
    assert!(backend.only().head.starts_with("GET /a HTTP/1.1\r\n"));
}

#[test]
fn messages_without_a_body_have_none() {
    let backend = Backend::start();
    let gateway = gateway(&backend);
    let mut client = gateway.connect();
    client.send("HEAD /a HTTP/1.1\r\nhost: test\r\n\r\n");
    let head = client.read_head();
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("1"))
    );
    for status in [204, 304] {
        let response = client.get(&format!("/status/{status}"), "");
        assert_eq!(response.told(), (status, ""));
        assert_eq!(response.header("transfer-encoding"), None);
    }
    // The connection serves on, and none of them counts as abandoned.
    assert_eq!(client.get("/a", "").told(), (200, "0"));
    let flags: Vec<_> = gateway
        .log(4)
        .iter()
        .map(|it| it["response_flags"].clone())
        .collect();
    assert_eq!(flags, ["-"; 4]);
}

#[test]
fn bodies_and_trailers_go_both_ways() {
    let backend = Backend::start();
    let gateway = gateway(&backend);
    let mut client = gateway.connect();
    assert_eq!(client.post("/a", 100_000).told(), (200, "100000"));
    client.send(
        "POST /chunked HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
         3\r\nabc\r\n2\r\nde\r\n0\r\nx-sum: 9\r\n\r\n",
    );
    assert_eq!(client.read().told(), (200, "5"));
    let seen = backend.seen().remove(1);
    assert_eq!(seen.body, b"abcde");
    assert_eq!(seen.trailers, "x-sum: 9\r\n\r\n");
    client.send("GET /trailers HTTP/1.1\r\nhost: test\r\nte: trailers\r\n\r\n");
    let response = client.read_head();
    assert_eq!(response.header("transfer-encoding"), Some("chunked"));
    let body = "5\r\nhello\r\n0\r\nx-sum: 7\r\n\r\n";
    assert_eq!(client.take(body.len()), body);
    assert_eq!(gateway.log(3)[2]["bytes_sent"], 5);
    assert_eq!(gateway.log(3)[1]["bytes_received"], 5);
}

#[test]
fn a_get_may_have_a_body_of_unknown_length() {
    let backend = Backend::start();
    let gateway = gateway(&backend);
    let mut client = gateway.connect();
    client.send(
        "GET /a HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    );
    assert_eq!(client.read().told(), (200, "3"));
    assert_eq!(backend.only().body, b"abc");
}

#[test]
fn a_client_that_waits_is_told_to_continue() {
    let backend = Backend::start();
    let gateway = gateway(&backend);
    let mut client = gateway.connect();
    client.send(
        "POST /a HTTP/1.1\r\nhost: test\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\n",
    );
    assert_eq!(client.read_head().status, 100);
    client.send("abc");
    assert_eq!(client.read().told(), (200, "3"));
    assert_eq!(backend.only().header("expect"), None);
}

#[test]
fn requests_may_follow_each_other_without_waiting() {
    let backend = Backend::start();
    let gateway = gateway(&backend);
    let mut client = gateway.connect();
    let request = "POST /a HTTP/1.1\r\nhost: test\r\ncontent-length: 2\r\n\r\nhi";
    client.send(request.repeat(20));
    for _ in 0..20 {
        assert_eq!(client.read().told(), (200, "2"));
    }
}
