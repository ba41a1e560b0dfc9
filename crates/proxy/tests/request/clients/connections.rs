//! Connections of clients: how many, how old, how slow.

use std::time::{Duration, Instant};

use weir_plan::features::retry::{BackOff, Retry};
use weir_plan::features::timeout::RouteTimeout;
use weir_plan::{
    ClientConnection, ClientHttp1, ClientPolicy, ClientSocket, ClientTimeout, ConnectionLimit,
    RoutePolicy,
};

use super::{SOON, closed, gateway, with_rules};
use crate::backend::Backend;
use crate::client::PATIENCE;
use crate::{outcome, rule, wait_for};

fn limited(value: u64, close_delay: Duration) -> ClientPolicy {
    ClientPolicy {
        socket: ClientSocket {
            limit: Some(ConnectionLimit { value, close_delay }),
            ..ClientSocket::DEFAULT
        },
        ..ClientPolicy::DEFAULT
    }
}

fn living(connection: ClientConnection) -> ClientPolicy {
    ClientPolicy {
        connection,
        ..ClientPolicy::DEFAULT
    }
}

fn timed(timeout: ClientTimeout) -> ClientPolicy {
    ClientPolicy {
        timeout,
        ..ClientPolicy::DEFAULT
    }
}

#[test]
fn connections_above_the_limit_are_closed_until_there_is_a_place() {
    let backend = Backend::start();
    let gateway = gateway(limited(2, Duration::ZERO), &backend);
    let mut kept = [gateway.connect(), gateway.connect()];
    for client in &mut kept {
        assert_eq!(client.get("/", "").status, 200);
    }
    for count in 1..4 {
        assert_eq!(gateway.connect().rest(), "");
        assert_eq!(closed(&gateway, "limit"), count);
    }
    let [first, mut second] = kept;
    drop(first);
    wait_for("a place", || {
        let mut client = gateway.connect();
        client.try_get("/").filter(|it| it.status == 200)
    });
    assert_eq!(second.get("/", "").status, 200);
}

#[test]
fn what_is_above_the_limit_may_be_kept_for_a_while() {
    let backend = Backend::start();
    let gateway = gateway(limited(1, SOON), &backend);
    let mut first = gateway.connect();
    assert_eq!(first.get("/", "").status, 200);
    let mut late = gateway.connect();
    let start = Instant::now();
    late.send("GET /late HTTP/1.1\r\nhost: test\r\n\r\n");
    assert_eq!(late.rest(), "", "nobody reads it");
    assert!(start.elapsed() >= SOON - Duration::from_millis(20));
    assert_eq!(backend.count("/late"), 0);
    assert_eq!(first.get("/", "").status, 200);
}

#[test]
fn a_connection_ends_with_its_last_request() {
    let backend = Backend::start();
    let policy = living(ClientConnection {
        max_requests: Some(3),
        ..ClientConnection::DEFAULT
    });
    let gateway = gateway(policy, &backend);
    for count in 1..3 {
        let mut client = gateway.connect();
        let closes = [0; 3].map(|_| client.get("/", "").closes());
        assert_eq!(closes, [false, false, true]);
        assert_eq!(client.rest(), "");
        assert_eq!(closed(&gateway, "max_requests"), count);
    }
}

#[test]
fn an_old_connection_ends_with_a_request_or_without() {
    let backend = Backend::start();
    let old = |safe_max_duration| {
        let policy = ClientPolicy {
            http1: ClientHttp1 {
                safe_max_duration,
                ..ClientHttp1::DEFAULT
            },
            ..living(ClientConnection {
                max_duration: Some(SOON),
                ..ClientConnection::DEFAULT
            })
        };
        gateway(policy, &backend)
    };
    let safe = old(true);
    let mut client = safe.connect();
    let start = Instant::now();
    let mut last = client.get("/", "");
    while !last.closes() {
        assert!(start.elapsed() < PATIENCE);
        last = client.get("/", "");
    }
    assert!(start.elapsed() >= SOON - Duration::from_millis(20));
    assert_eq!((last.status, client.rest().as_str()), (200, ""));
    assert_eq!(closed(&safe, "max_duration"), 1);

    let unsafe_one = old(false);
    let mut client = unsafe_one.connect();
    let start = Instant::now();
    assert_eq!(client.get("/", "").status, 200);
    assert_eq!(client.rest(), "", "it ends while it is idle");
    assert!(start.elapsed() >= SOON - Duration::from_millis(20));
    assert_eq!(closed(&unsafe_one, "max_duration"), 1);
}

#[test]
fn a_stream_has_its_duration_unless_the_route_has_another() {
    let backend = Backend::start();
    let policy = living(ClientConnection {
        max_stream_duration: Some(SOON),
        ..ClientConnection::DEFAULT
    });
    let route = |max_stream_duration| RoutePolicy {
        timeout: RouteTimeout {
            request: None,
            stream_idle: None,
            max_stream_duration,
        },
        ..RoutePolicy::DEFAULT
    };
    let rules = [
        rule("/hold/9/own", route(Some(SOON * 3))),
        rule("/", route(None)),
    ];
    let gateway = with_rules(policy, &rules, &[backend.address]);
    let mut client = gateway.connect();
    for (place, (path, least)) in [("/hold", SOON), ("/hold/9/own", SOON * 3)]
        .into_iter()
        .enumerate()
    {
        let start = Instant::now();
        let response = client.get(path, "");
        assert_eq!(response.told(), (504, "downstream duration timeout"));
        assert!(start.elapsed() >= least, "{path}");
        let passed = outcome(504, "-", "max_duration_timeout");
        assert_eq!(gateway.logged(place + 1), passed);
    }
}

#[test]
fn a_request_has_to_be_received_in_time() {
    let backend = Backend::start();
    let gateway = gateway(
        timed(ClientTimeout {
            request_received: Some(SOON),
            ..ClientTimeout::DEFAULT
        }),
        &backend,
    );
    // Half a head, no body, half of one: all within one time.
    let halves = [
        "POST /a HTTP/1.1\r\nhost: te",
        "POST /a HTTP/1.1\r\nhost: test\r\ncontent-length: 9\r\n\r\n",
        "POST /a HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ];
    for (place, half) in halves.into_iter().enumerate() {
        let mut client = gateway.connect();
        // One that was in time does not count.
        assert_eq!(client.get("/a", "").status, 200);
        let start = Instant::now();
        client.send(half);
        let response = client.read();
        assert_eq!(response.told(), (408, "request timeout"), "{half:?}");
        assert!(response.closes() && client.rest().is_empty());
        assert!(start.elapsed() >= SOON - Duration::from_millis(20));
        let late = outcome(408, "-", "request_overall_timeout");
        assert_eq!(gateway.logged(2 * (place + 1)), late, "{half:?}");
    }
    // What is received in time may be answered late.
    let mut client = gateway.connect();
    client.send("GET /hold HTTP/1.1\r\nhost: test\r\n\r\n");
    let held = Instant::now();
    wait_for("a backend that takes longer", || {
        (backend.count("/hold") == 1 && held.elapsed() > SOON * 2).then_some(())
    });
    assert_eq!(gateway.log(6).len(), 6);
}

#[test]
fn a_head_has_to_be_received_in_time() {
    let backend = Backend::start();
    let gateway = gateway(
        timed(ClientTimeout {
            request_headers_received: Some(SOON),
            ..ClientTimeout::DEFAULT
        }),
        &backend,
    );
    for place in 1..3 {
        let mut client = gateway.connect();
        let start = Instant::now();
        client.send("GET /a HTTP/1.1\r\nhost: te");
        let response = client.read();
        assert_eq!(response.told(), (408, "request header timeout"));
        assert!(response.closes() && client.rest().is_empty());
        assert!(start.elapsed() >= SOON - Duration::from_millis(20));
        let late = outcome(408, "-", "request_header_timeout");
        assert_eq!(gateway.logged(place), late);
        assert_eq!(closed(&gateway, "head_timeout"), place as u64);
    }
    // Its body may take longer.
    let mut client = gateway.connect();
    client.send("POST /a HTTP/1.1\r\nhost: test\r\ncontent-length: 2\r\n\r\n1");
    let start = Instant::now();
    wait_for("more than the time of a head", || {
        (start.elapsed() > SOON * 2).then_some(())
    });
    client.send("2");
    assert_eq!(client.read().told(), (200, "2"));
}

#[test]
fn an_idle_connection_is_closed() {
    let backend = Backend::start();
    let gateway = gateway(
        timed(ClientTimeout {
            idle: Some(SOON),
            ..ClientTimeout::DEFAULT
        }),
        &backend,
    );
    let mut client = gateway.connect();
    assert_eq!(client.get("/", "").status, 200);
    let start = Instant::now();
    assert_eq!(client.rest(), "");
    assert!(start.elapsed() >= SOON - Duration::from_millis(20));
    assert_eq!(gateway.connect().rest(), "", "one that never asked as well");
    assert_eq!(closed(&gateway, "idle"), 2);
}

#[test]
fn as_much_of_a_body_can_be_sent_again_as_is_buffered() {
    let backend = Backend::start();
    let retry = Retry {
        num_retries: 1,
        triggers: [weir_plan::features::retry::RetryTrigger::RetriableStatusCodes].into(),
        status_codes: [503].into(),
        per_try_timeout: None,
        back_off: BackOff {
            base: Duration::from_millis(1),
            max: Duration::from_millis(1),
        },
        num_attempts_per_priority: None,
    };
    let rules = [rule(
        "/",
        RoutePolicy {
            retry: Some(retry),
            ..RoutePolicy::DEFAULT
        },
    )];
    // (buffered, body, how the first failure ends, as a path of its own)
    let cases = [
        (32_768, 30_000, 200, "/fail/1/503/a"),
        (32_768, 60_000, 503, "/fail/1/503/b"),
        (100_000, 60_000, 200, "/fail/1/503/c"),
        (1_000, 30_000, 503, "/fail/1/503/d"),
    ];
    for (buffer_limit, length, status, path) in cases {
        let policy = living(ClientConnection {
            buffer_limit,
            ..ClientConnection::DEFAULT
        });
        let gateway = with_rules(policy, &rules, &[backend.address]);
        let response = gateway.connect().post(path, length);
        assert_eq!(response.status, status, "{buffer_limit} {length}");
    }
}
