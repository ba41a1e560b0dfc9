//! Time limits of requests. Backends and clients that do not move are what they are tried with; nothing here waits for
//! a time to pass but the gateway.

use std::time::{Duration, Instant};

use weir_plan::RoutePolicy;
use weir_plan::features::timeout::RouteTimeout;

use crate::backend::Backend;
use crate::{Gateway, Rule, outcome, rule};

const SOON: Duration = Duration::from_millis(150);

fn limited(
    request: Option<Duration>,
    stream_idle: Option<Duration>,
    most: Option<Duration>,
) -> Rule {
    let policy = RoutePolicy {
        timeout: RouteTimeout {
            request,
            stream_idle,
            max_stream_duration: most,
        },
        ..RoutePolicy::DEFAULT
    };
    rule("/", policy)
}

const HALF: &str = "POST /a HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\n12345";

#[test]
fn a_backend_that_does_not_answer_is_504() {
    let backend = Backend::start();
    // (limits, body, flag, details)
    let cases = [
        (
            limited(Some(SOON), None, None),
            "upstream request timeout",
            "UT",
            "response_timeout",
        ),
        (
            limited(None, Some(SOON), None),
            "stream timeout",
            "SI",
            "stream_idle_timeout",
        ),
        (
            limited(None, None, Some(SOON)),
            "downstream duration timeout",
            "-",
            "max_duration_timeout",
        ),
    ];
    for (rule, body, flag, details) in cases {
        let gateway = Gateway::start(&[rule], &[backend.address]);
        let mut client = gateway.connect();
        let start = Instant::now();
        let response = client.get("/hold", "");
        assert_eq!(response.told(), (504, body));
        assert!(start.elapsed() >= SOON);
        assert!(!response.closes());
        assert_eq!(gateway.logged(1), outcome(504, flag, details));
        let grpc = client.get("/hold", "content-type: application/grpc\r\n");
        assert_eq!((grpc.status, grpc.header("grpc-status")), (200, Some("14")));
        // A request with a body is complete when its last byte has come.
        assert_eq!(client.post("/hold", 50_000).told(), (504, body));
    }
}

#[test]
fn a_client_that_does_not_send_is_408() {
    let backend = Backend::start();
    let cases = [
        (
            limited(None, Some(SOON), None),
            "stream timeout",
            "SI",
            "stream_idle_timeout",
        ),
        (
            limited(None, None, Some(SOON)),
            "downstream duration timeout",
            "-",
            "max_duration_timeout",
        ),
        // The limit of a request runs from its end: half a request is not caught by it.
        (
            limited(Some(SOON / 10), Some(SOON), None),
            "stream timeout",
            "SI",
            "stream_idle_timeout",
        ),
    ];
    for (rule, body, flag, details) in cases {
        let gateway = Gateway::start(&[rule], &[backend.address]);
        let mut client = gateway.connect();
        client.send(HALF);
        let response = client.read();
        assert_eq!(response.told(), (408, body));
        assert!(response.closes() && client.rest().is_empty());
        assert_eq!(gateway.logged(1), outcome(408, flag, details));
    }
}

#[test]
fn a_request_counts_as_received_while_its_connection_is_being_made() {
    // Nobody accepts here once the queue is full, so that connecting hangs.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let queue: Vec<_> = (0..5_000)
        .map_while(|_| std::net::TcpStream::connect_timeout(&address, SOON).ok())
        .collect();
    assert!(queue.len() < 5_000, "the queue has an end");
    let gateway = Gateway::start(&[limited(Some(SOON), None, None)], &[address]);
    let mut client = gateway.connect();
    let response = client.post("/a", 1_000);
    assert_eq!(response.told(), (504, "upstream request timeout"));
    assert!(!response.closes());
    assert_eq!(gateway.log(1)[0]["bytes_received"], 1_000);
}

#[test]
fn after_the_head_a_limit_breaks_the_connection() {
    let backend = Backend::start();
    let cases = [
        (limited(Some(SOON), None, None), "UT", "response_timeout"),
        (limited(None, Some(SOON), None), "SI", "stream_idle_timeout"),
        (limited(None, None, Some(SOON)), "-", "max_duration_timeout"),
    ];
    for (rule, flag, details) in cases {
        let gateway = Gateway::start(&[rule], &[backend.address]);
        let mut client = gateway.connect();
        client.send("GET /stall HTTP/1.1\r\nhost: test\r\n\r\n");
        assert_eq!(client.read_head().status, 200);
        assert_eq!(client.rest(), "1234567");
        assert_eq!(gateway.logged(1), outcome(200, flag, details));
    }
}

#[test]
fn a_client_that_does_not_read_is_let_go() {
    let backend = Backend::start();
    let gateway = Gateway::start(&[limited(None, Some(SOON), None)], &[backend.address]);
    let mut client = gateway.connect();
    client.send("GET /big HTTP/1.1\r\nhost: test\r\n\r\n");
    assert_eq!(gateway.logged(1), outcome(200, "SI", "stream_idle_timeout"));
    assert_eq!(client.read_head().status, 200);
    assert!(client.rest().len() < 67_108_864);
}

#[test]
fn a_client_that_leaves_is_noted() {
    let backend = Backend::start();
    let gateway = Gateway::start(&[limited(None, None, None)], &[backend.address]);
    let mut client = gateway.connect();
    client.send("GET /hold HTTP/1.1\r\nhost: test\r\n\r\n");
    crate::wait_for("the request at the backend", || {
        (backend.count("/hold") == 1).then_some(())
    });
    drop(client);
    assert_eq!(
        gateway.logged(1),
        outcome(0, "DC", "downstream_remote_disconnect")
    );
    let mut client = gateway.connect();
    client.send("GET /stall HTTP/1.1\r\nhost: test\r\n\r\n");
    assert_eq!(client.read_head().status, 200);
    drop(client);
    assert_eq!(
        gateway.logged(2),
        outcome(200, "DC", "downstream_remote_disconnect")
    );
    let halves = [
        "content-length: 9\r\n\r\nhalf",
        "transfer-encoding: chunked\r\n\r\n4\r\nha",
    ];
    for (lines, half) in (3..).zip(halves) {
        let mut client = gateway.connect();
        client.send(format!("POST / HTTP/1.1\r\nhost: test\r\n{half}"));
        drop(client);
        assert_eq!(
            gateway.logged(lines),
            outcome(0, "DC", "downstream_remote_disconnect"),
            "{half:?}"
        );
    }
}
