//! Hostile input on the socket: two framings wherever they come, too much of everything, half a request.
//!
//! Inputs that can be read in two ways are cases of [`crate::smuggling`].

use std::time::Duration;

use weir_proxy::Limits;

use crate::backend::Backend;
use crate::client::{Client, get, request};
use crate::gateway::{EDGE, Gateway, route_all};

fn gateway(backend: &Backend) -> Gateway {
    Gateway::setup()
        .limits(|it| it.head_timeout = Duration::from_millis(300))
        .start(&[EDGE, &backend.yaml("app"), &route_all("app")])
}

/// What is appended to each input: a request that a desynchronised gateway would take for a second one.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nhost: any.example\r\n\r\n";

#[test]
fn a_request_with_two_framings_is_refused_wherever_it_comes() {
    let backend = Backend::named("app");
    let gateway = gateway(&backend);
    let (length, chunked) = ("content-length: 6\r\n", "transfer-encoding: chunked\r\n");
    let first = [
        "",
        "GET /first HTTP/1.1\r\nhost: h\r\n\r\n",
        "POST /first HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nhello",
        "POST /first HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ];
    for headers in [[length, chunked].concat(), [chunked, length].concat()] {
        for first in first {
            let before = backend.count();
            let mut client = Client::connect(gateway.address());
            let both = format!("{first}POST /both HTTP/1.1\r\nhost: h\r\n{headers}\r\n0\r\n\r\n");
            client.send(both.as_bytes());
            let _ = client.try_send(SMUGGLED.as_bytes()); // the gateway may have closed already
            if !first.is_empty() {
                assert_eq!(client.receive().status, 200, "{first:?}");
            }
            let refused = client.receive();
            assert_eq!(
                refused.brief(),
                (400, "Bad Request".to_owned()),
                "{first:?}"
            );
            assert_eq!(refused.header("connection"), Some("close"));
            assert!(client.try_receive().is_err(), "nothing follows");
            let served = usize::from(!first.is_empty());
            assert_eq!(backend.count(), before + served, "{first:?}");
        }
    }
}

#[test]
fn too_much_is_refused_and_just_enough_is_not() {
    let backend = Backend::named("app");
    let Limits {
        max_head_bytes,
        max_headers,
        max_uri_bytes,
        ..
    } = Limits::default();
    let gateway = gateway(&backend);
    let ask = |target: &str, headers: &[(&str, &str)]| {
        let mut client = Client::connect(gateway.address());
        let _ = client.try_send(&request("GET", "any.example", target, headers, b""));
        client.receive().status
    };
    let target = |length: usize| format!("/{}", "a".repeat(length - 1));
    assert_eq!(ask(&target(max_uri_bytes), &[]), 200);
    assert_eq!(ask(&target(max_uri_bytes + 1), &[]), 414);
    let many = |count: usize| vec![("x-many", "1"); count];
    assert_eq!(ask("/", &many(max_headers - 1)), 200); // and the host
    assert_eq!(ask("/", &many(max_headers)), 431);
    let big = |length: usize| "a".repeat(length);
    assert_eq!(ask("/", &[("x-big", &big(max_head_bytes - 200))]), 200);
    assert_eq!(ask("/", &[("x-big", &big(max_head_bytes + 1))]), 431);
    assert_eq!(backend.count(), 3);
}

#[test]
fn half_a_request_is_not_waited_for_forever() {
    let backend = Backend::named("app");
    let gateway = gateway(&backend);
    for half in [
        "G",
        "GET / HTTP/1.1\r\nhost: any.example\r\n",
        "GET / HTTP/1.1\r\nhost",
    ] {
        // A client that goes on saying nothing.
        let mut silent = Client::connect(gateway.address());
        silent.send(half.as_bytes());
        if let Ok(response) = silent.try_receive() {
            assert_eq!(response.status, 408, "{half:?}");
            assert!(silent.is_closed());
        }
        // A client that leaves.
        let mut leaving = Client::connect(gateway.address());
        leaving.send(half.as_bytes());
        drop(leaving);
    }
    assert_eq!(backend.count(), 0);
    assert_eq!(get(gateway.address(), "any.example", "/").status, 200);
}

#[test]
fn a_head_that_trickles_in_is_not_waited_for_forever() {
    let backend = Backend::named("app");
    let gateway = gateway(&backend);
    let mut slow = Client::connect(gateway.address());
    let begun = std::time::Instant::now();
    while slow.try_send(b"x").is_ok() {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "the connection is closed in the end"
        );
        std::thread::sleep(Duration::from_millis(20)); // the client's pace
    }
    assert_eq!(get(gateway.address(), "any.example", "/").status, 200);
}

#[test]
fn connections_over_the_limit_are_closed_at_once() {
    let backend = Backend::named("app");
    let gateway = Gateway::setup()
        .limits(|it| it.max_connections = 3)
        .start(&[EDGE, &backend.yaml("app"), &route_all("app")]);
    let mut clients: Vec<_> = (0..3).map(|_| Client::connect(gateway.address())).collect();
    for client in &mut clients {
        assert_eq!(client.get("any.example", "/").status, 200);
    }
    assert!(Client::connect(gateway.address()).is_closed());
    for client in &mut clients {
        assert_eq!(client.get("any.example", "/").status, 200);
    }
    drop(clients.pop());
    crate::client::wait_until("the place of the one that left", || {
        let mut client = Client::connect(gateway.address());
        client
            .try_send(&request("GET", "any.example", "/", &[], b""))
            .is_ok()
            && client.try_receive().is_ok_and(|it| it.status == 200)
    });
}
