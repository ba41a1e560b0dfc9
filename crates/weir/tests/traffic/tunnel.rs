//! The tunnel behind a 101: bytes both ways, the limits of the exchange, what it occupies, and what a drain does to it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::backend::{Gate, response};
use crate::client::{Client, PATIENCE, get, wait_until};
use crate::gateway::{EDGE, Gateway, route_all};
use crate::http_upgrade::{SWITCH, ask, echo, says, settings, switched};
use crate::streaming::{by_hand, read_until};

#[test]
fn bytes_that_come_early_are_not_lost() {
    let app = by_hand(|mut stream| {
        if read_until(&mut stream, b"\r\n\r\n") {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
        if read_until(&mut stream, b"\r\n\r\n") {
            let _ = stream.write_all(&[SWITCH, b"at once"].concat());
            assert!(read_until(&mut stream, b"too soon"));
            let _ = stream.write_all(b"got it");
        }
    });
    let gateway = Gateway::start(&[EDGE, &app, &route_all("app")]);
    let mut client = Client::connect(gateway.address());
    let first = b"GET /first HTTP/1.1\r\nhost: any.example\r\n\r\n";
    client.send(&[first, ask("websocket").as_slice(), b"too soon"].concat());
    assert_eq!(client.receive().brief(), (200, "ok".to_owned()));
    assert_eq!(client.receive().status, 101);
    assert_eq!(client.rest(), b"at oncegot it");
}

#[test]
fn a_backend_may_end_its_side_first() {
    let app = by_hand(|mut stream| {
        if read_until(&mut stream, b"\r\n\r\n") {
            let _ = stream.write_all(&[SWITCH, b"that is all"].concat());
            let _ = stream.shutdown(Shutdown::Write);
            assert!(read_until(&mut stream, b"thank you"));
        }
    });
    let gateway = Gateway::setup()
        .log()
        .start(&[EDGE, &app, &route_all("app")]);
    let mut client = switched(&gateway);
    assert_eq!(client.rest(), b"that is all");
    client.send(b"thank you");
    client.finish();
    let line = &gateway.logged(1)[0];
    assert_eq!(line["bytes_received"], 9, "{line}");
    assert_eq!(line["response_flags"], "-");
}

#[test]
fn whoever_sends_more_than_is_taken_waits() {
    let (gate, taken) = (Gate::default(), Arc::new(AtomicUsize::new(0)));
    let app = {
        let (gate, taken) = (gate.clone(), Arc::clone(&taken));
        by_hand(move |mut stream| {
            if read_until(&mut stream, b"\r\n\r\n") && stream.write_all(SWITCH).is_ok() {
                gate.pass();
                let mut chunk = vec![0; 1 << 16];
                while let Ok(read @ 1..) = stream.read(&mut chunk) {
                    assert!(chunk[..read].iter().all(|byte| *byte == b'x'));
                    taken.fetch_add(read, Ordering::SeqCst);
                }
            }
        })
    };
    let gateway = Gateway::start(&[EDGE, &app, &route_all("app")]);
    let mut client = TcpStream::connect(gateway.address()).expect("the gateway accepts");
    client.write_all(&ask("websocket")).expect("it is taken");
    assert!(read_until(&mut client, b"\r\n\r\n"));
    client.set_nonblocking(true).expect("it can be");
    let chunk = vec![b'x'; 1 << 20];
    let (mut sent, mut full_since) = (0, None::<Instant>);
    wait_until("the gateway takes no more", || match client.write(&chunk) {
        Ok(written) => {
            (sent, full_since) = (sent + written, None);
            assert!(sent < 64 << 20, "the gateway takes more than sockets hold");
            false
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            full_since.get_or_insert_with(Instant::now).elapsed() > Duration::from_millis(100)
        }
    });
    assert_eq!(taken.load(Ordering::SeqCst), 0);
    gate.open();
    client.set_nonblocking(false).expect("it can be");
    client.shutdown(Shutdown::Write).expect("it is open");
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).expect("the backend ends it");
    assert_eq!(taken.load(Ordering::SeqCst), sent);
}

#[test]
fn a_tunnel_has_the_limits_of_an_exchange() {
    let cases = [
        ("streamIdleTimeout", "SI", "stream_idle_timeout"),
        ("maxStreamDuration", "-", "max_duration_timeout"),
    ];
    for (setting, flags, details) in cases {
        let limit = settings(&format!("timeout: {{http: {{{setting}: 1s}}}}"));
        let gateway = Gateway::setup()
            .log()
            .start(&[EDGE, &echo(), &route_all("app"), &limit]);
        let mut client = switched(&gateway);
        let begun = Instant::now();
        if setting == "streamIdleTimeout" {
            while begun.elapsed() < Duration::from_millis(1_300) {
                says(&mut client, "x");
            }
        }
        assert_eq!(client.rest(), b"", "{setting}");
        let line = &gateway.logged(1)[0];
        assert_eq!(line["response_code"], 101, "{line}");
        assert_eq!(line["response_flags"], flags, "{line}");
        assert_eq!(line["response_code_details"], details, "{line}");
        assert_eq!(gateway.metric(&["weir_circuit_breaker_requests"]), 0.0);
    }
}

#[test]
fn a_tunnel_occupies_its_places_until_it_ends() {
    for (setting, refused) in [("maxParallelRequests", true), ("maxConnections", false)] {
        let app = by_hand(|mut stream| {
            let mut head = Vec::new();
            let mut byte = [0];
            while let Ok(1) = stream.read(&mut byte) {
                head.push(byte[0]);
                if head.ends_with(b"\r\n\r\n") {
                    let upgrade = String::from_utf8_lossy(&head).contains("websocket");
                    let plain = response(200, &[], "plain");
                    let _ = stream.write_all(if upgrade { SWITCH } else { &plain });
                    head.clear();
                }
            }
        });
        let limit = settings(&format!("circuitBreaker: {{{setting}: 1}}"));
        let gateway = Gateway::setup()
            .workers(2)
            .start(&[EDGE, &app, &route_all("app"), &limit]);
        let plain = (200, "plain".to_owned());
        assert_eq!(get(gateway.address(), "any.example", "/").brief(), plain);
        let client = switched(&gateway);
        if refused {
            let answer = get(gateway.address(), "any.example", "/");
            assert_eq!(answer.status, 503, "the place is taken");
            drop(client);
            wait_until("the place is free", || {
                gateway.metric(&["weir_circuit_breaker_requests"]) == 0.0
            });
            assert_eq!(get(gateway.address(), "any.example", "/").brief(), plain);
        } else {
            let address = gateway.address();
            let waiting = std::thread::spawn(move || get(address, "any.example", "/").brief());
            wait_until("another request waits", || {
                gateway.metric(&["weir_circuit_breaker_pending_requests"]) == 1.0
            });
            drop(client);
            assert_eq!(waiting.join().expect("it ends"), plain);
        }
    }
}

#[test]
fn a_client_that_breaks_off_ends_the_tunnel() {
    let gateway = Gateway::setup()
        .log()
        .start(&[EDGE, &echo(), &route_all("app")]);
    let mut client = switched(&gateway);
    says(&mut client, "hello");
    client.reset();
    let line = &gateway.logged(1)[0];
    assert_eq!(line["response_flags"], "DC", "{line}");
    assert_eq!(line["response_code"], 101);
    assert_eq!(gateway.metric(&["weir_circuit_breaker_connections"]), 0.0);
}

#[test]
fn a_tunnel_outlives_a_new_plan_and_a_drain() {
    let app = echo();
    let mut gateway = Gateway::start(&[EDGE, &app, &route_all("app")]);
    let mut client = switched(&gateway);
    gateway.apply(&[EDGE]);
    assert_eq!(get(gateway.address(), "any.example", "/").status, 404);
    says(&mut client, "still here");
    std::thread::scope(|scope| {
        let address = gateway.address();
        let draining = scope.spawn(|| gateway.proxy().drain(PATIENCE));
        wait_until("the port is closed", || {
            Client::try_connect(address).is_err()
        });
        says(&mut client, "and here");
        client.finish();
        assert_eq!(client.rest(), b"end");
        assert!(draining.join().expect("it ends"), "it waits for the tunnel");
    });
    let gateway = Gateway::start(&[EDGE, &app, &route_all("app")]);
    let mut client = switched(&gateway);
    assert!(
        !gateway.proxy().drain(Duration::from_millis(50)),
        "not for ever"
    );
    says(&mut client, "until the process ends");
    drop(gateway);
    assert_eq!(client.rest(), b"");
}

#[test]
fn an_upgrade_begun_before_a_drain_is_finished() {
    let gate = Gate::default();
    let app = {
        let gate = gate.clone();
        by_hand(move |mut stream| {
            if read_until(&mut stream, b"\r\n\r\n") {
                gate.pass();
                let _ = stream.write_all(&[SWITCH, b"hi"].concat());
            }
        })
    };
    let gateway = Gateway::start(&[EDGE, &app, &route_all("app")]);
    let mut client = Client::connect(gateway.address());
    client.send(&ask("websocket"));
    gate.wait_for(1);
    std::thread::scope(|scope| {
        let address = gateway.address();
        let draining = scope.spawn(|| gateway.proxy().drain(PATIENCE));
        wait_until("the port is closed", || {
            Client::try_connect(address).is_err()
        });
        gate.open();
        assert_eq!(client.receive().status, 101);
        assert_eq!(client.rest(), b"hi");
        client.finish();
        assert!(draining.join().expect("it ends"));
    });
}
