//! Hostile and broken input on the socket: ambiguous framing, malformed heads, too much of everything, half a request.
//!
//! Whatever comes is refused or normalised, never passed on as two readings of one message, and others are served.

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

/// Inputs that must be refused; nothing of them may reach the backend.
#[rustfmt::skip] // one input a line
const REFUSED: &[(&str, &str)] = &[
    ("two lengths", "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!"),
    ("two lengths in one", "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5, 6\r\n\r\nhello!"),
    ("signed length", "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: +5\r\n\r\nhello"),
    ("negative length", "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: -1\r\n\r\n"),
    ("length with a word", "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5x\r\n\r\nhello"),
    ("hexadecimal length", "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 0x5\r\n\r\nhello"),
    ("empty length", "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: \r\n\r\n"),
    ("huge length", "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 99999999999999999999\r\n\r\n"),
    ("space before the colon", "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n"),
    ("space before the length's colon", "POST / HTTP/1.1\r\nhost: h\r\ncontent-length : 5\r\n\r\nhello"),
    ("unknown coding", "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n"),
    ("coding after chunked", "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
    ("chunked with a tail", "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunkedx\r\n\r\n0\r\n\r\n"),
    ("chunked in quotes", "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: \"chunked\"\r\n\r\n0\r\n\r\n"),
    ("chunked after a vertical tab", "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
    ("old version with chunks", "POST / HTTP/1.0\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("folded header", "GET / HTTP/1.1\r\nhost: h\r\nx-long: a\r\n b\r\n\r\n"),
    ("folded coding", "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    ("header without a colon", "GET / HTTP/1.1\r\nhost: h\r\nnonsense\r\n\r\n"),
    ("header without a name", "GET / HTTP/1.1\r\nhost: h\r\n: value\r\n\r\n"),
    ("space before the first header", "GET / HTTP/1.1\r\n x: y\r\nhost: h\r\n\r\n"),
    ("name with a space", "GET / HTTP/1.1\r\nhost: h\r\nx y: z\r\n\r\n"),
    ("name with a control", "GET / HTTP/1.1\r\nhost: h\r\nx\x01y: z\r\n\r\n"),
    ("value with a NUL", "GET / HTTP/1.1\r\nhost: h\r\nx: a\0b\r\n\r\n"),
    ("value with a lone CR", "GET / HTTP/1.1\r\nhost: h\r\nx: a\rb: c\r\n\r\n"),
    ("no host", "GET / HTTP/1.1\r\n\r\n"),
    ("two hosts", "GET / HTTP/1.1\r\nhost: h\r\nhost: i\r\n\r\n"),
    ("host with a space", "GET / HTTP/1.1\r\nhost: h i\r\n\r\n"),
    ("host with a path", "GET / HTTP/1.1\r\nhost: h/i\r\n\r\n"),
    ("host with a user", "GET / HTTP/1.1\r\nhost: u@h\r\n\r\n"),
    ("no version", "GET /\r\n\r\n"),
    ("unknown version", "GET / HTTP/1.2\r\nhost: h\r\n\r\n"),
    ("next version", "GET / HTTP/2.0\r\nhost: h\r\n\r\n"),
    ("version in lower case", "GET / http/1.1\r\nhost: h\r\n\r\n"),
    ("two spaces", "GET  / HTTP/1.1\r\nhost: h\r\n\r\n"),
    ("method with a control", "G\x01T / HTTP/1.1\r\nhost: h\r\n\r\n"),
    ("target with a space", "GET /a b HTTP/1.1\r\nhost: h\r\n\r\n"),
    ("target with a control", "GET /a\x01b HTTP/1.1\r\nhost: h\r\n\r\n"),
    ("target without a slash", "GET a HTTP/1.1\r\nhost: h\r\n\r\n"),
    ("host and port as target", "GET h:80 HTTP/1.1\r\nhost: h\r\n\r\n"),
    ("asterisk for another method", "GET * HTTP/1.1\r\nhost: h\r\n\r\n"),
    ("CONNECT without a route", "CONNECT h:80 HTTP/1.1\r\nhost: h\r\n\r\n"),
    ("empty target", "GET  HTTP/1.1\r\nhost: h\r\n\r\n"),
    ("TLS", "\x16\x03\x01\x02\0\x01\0\x01\r\n\r\n"),
    ("words", "hello, is this the gateway?\r\n\r\n"),
    ("next protocol's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
];

#[test]
fn broken_and_ambiguous_heads_are_refused() {
    let backend = Backend::named("app");
    let gateway = gateway(&backend);
    for (name, input) in REFUSED {
        let before = backend.count();
        let mut client = Client::connect(gateway.address());
        client.send(input.as_bytes());
        let _ = client.try_send(SMUGGLED.as_bytes()); // the gateway may have closed already
        if let Ok(response) = client.try_receive() {
            assert!(
                (400..=505).contains(&response.status),
                "{name}: {response:?}"
            );
            let next = client.try_receive();
            assert!(
                next.is_err(),
                "{name}: what follows is not read as a request: {next:?}"
            );
        }
        assert_eq!(
            backend.count(),
            before,
            "{name}: nothing reaches the backend"
        );
        assert_eq!(
            get(gateway.address(), "any.example", "/").status,
            200,
            "{name}: others are served"
        );
    }
}

/// Inputs whose body is broken: the head is fine, so the backend may see the request begin, but never a whole one.
#[rustfmt::skip] // one input a line
const BROKEN_BODIES: &[(&str, &str)] = &[
    ("size that is no number", "xyz\r\nhello\r\n0\r\n\r\n"),
    ("negative size", "-5\r\nhello\r\n0\r\n\r\n"),
    ("size with a prefix", "0x5\r\nhello\r\n0\r\n\r\n"),
    ("size with a space before", " 5\r\nhello\r\n0\r\n\r\n"),
    ("size too large", "fffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
    ("empty size", "\r\nhello\r\n0\r\n\r\n"),
    ("chunk longer than its size", "3\r\nhello\r\n0\r\n\r\n"),
    ("chunk without an end", "5\r\nhelloX\r\n0\r\n\r\n"),
    ("size ended by a bare line feed", "5\nhello\r\n0\r\n\r\n"),
    ("extension with a bare line feed", "5;a\nb\r\nhello\r\n0\r\n\r\n"),
];

#[test]
fn broken_bodies_are_never_completed() {
    let backend = Backend::named("app");
    let gateway = gateway(&backend);
    for (name, body) in BROKEN_BODIES {
        let before = backend.count();
        let mut client = Client::connect(gateway.address());
        client.send(b"POST / HTTP/1.1\r\nhost: any.example\r\ntransfer-encoding: chunked\r\n\r\n");
        let _ = client.try_send(body.as_bytes());
        let _ = client.try_send(SMUGGLED.as_bytes());
        if let Ok(response) = client.try_receive() {
            assert!(
                (400..=505).contains(&response.status),
                "{name}: {response:?}"
            );
            assert!(
                client.try_receive().is_err(),
                "{name}: what follows is not read as a request"
            );
        }
        assert_eq!(backend.count(), before, "{name}");
        assert_eq!(
            get(gateway.address(), "any.example", "/").status,
            200,
            "{name}: others are served"
        );
    }
}

#[test]
fn harmless_oddities_are_normalised() {
    let backend = Backend::named("app");
    let gateway = gateway(&backend);
    #[rustfmt::skip] // one input a line
    let cases = [
        ("absolute form", "GET http://abs.example/a?b HTTP/1.1\r\nhost: other.example\r\n\r\n", "abs.example", "/a?b"),
        ("empty lines first", "\r\n\r\nGET /a HTTP/1.1\r\nhost: any.example\r\n\r\n", "any.example", "/a"),
        ("no space after the colon", "GET /a HTTP/1.1\r\nhost:any.example\r\n\r\n", "any.example", "/a"),
        ("space after the value", "GET /a HTTP/1.1\r\nhost: any.example  \r\n\r\n", "any.example", "/a"),
        ("fragment", "GET /a#b HTTP/1.1\r\nhost: any.example\r\n\r\n", "any.example", "/a"),
        ("options of the server", "OPTIONS * HTTP/1.1\r\nhost: any.example\r\n\r\n", "any.example", "*"),
        ("unknown method", "BREW /a HTTP/1.1\r\nhost: any.example\r\n\r\n", "any.example", "/a"),
        ("coding in upper case", "POST /a HTTP/1.1\r\nhost: any.example\r\nTransfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n", "any.example", "/a"),
    ];
    for (name, input, host, target) in cases {
        let mut client = Client::connect(gateway.address());
        client.send(input.as_bytes());
        assert_eq!(client.receive().status, 200, "{name}");
        let seen = backend.last();
        assert_eq!(
            (seen.header("host"), seen.target.as_str()),
            (Some(host), target),
            "{name}"
        );
        assert_eq!(
            client.get("any.example", "/next").status,
            200,
            "{name}: the framing is in step"
        );
    }
}

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
fn one_length_said_twice_is_one_message() {
    // It may be refused or passed on with one length, but what follows must not be smuggled in or lost.
    let backend = Backend::named("app");
    let gateway = gateway(&backend);
    for lengths in [
        "content-length: 5\r\ncontent-length: 5",
        "content-length: 5, 5",
    ] {
        let before = backend.count();
        let mut client = Client::connect(gateway.address());
        client
            .send(format!("POST /first HTTP/1.1\r\nhost: h\r\n{lengths}\r\n\r\nhello").as_bytes());
        let status = client.receive().status;
        match status {
            200 => {
                let seen = backend.last();
                assert_eq!(
                    (seen.body.as_slice(), seen.header("content-length")),
                    (&b"hello"[..], Some("5"))
                );
                assert_eq!(client.get("h", "/second").status, 200);
            }
            _ => assert_eq!((status, backend.count()), (400, before)),
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
