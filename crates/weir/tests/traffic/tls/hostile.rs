//! Clients that do not behave: no TLS at all, handshakes that take forever, and too many of them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::client::{Pair, Trust};
use super::{one, start};
use crate::backend::Backend;
use crate::client::{Client, PATIENCE, wait_until};
use crate::gateway::Gateway;

#[test]
fn what_is_no_tls_is_closed_cheaply() {
    let backend = Backend::named("app");
    let pair = Pair::of(&["shop.example.com"]);
    let gateway = start(&one(&backend, &pair));
    let address = gateway.address_of(443);
    let endless = [&[22, 3, 1, 64, 0][..], &[1, 255, 255, 255], &[0; 16_380]].concat();
    let garbage: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nhost: shop.example.com\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &[0; 100],
        &[22, 3, 1, 255, 255, 1],
        &[22, 3, 1, 0, 4, 1, 0, 0, 0],
        &endless,
    ];
    for bytes in garbage {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = socket.write_all(bytes);
        let mut rest = Vec::new();
        // An alert at most; a reset where more was sent than was read.
        let _ = socket.read_to_end(&mut rest);
        assert!(rest.len() <= 7, "{rest:?}");
    }
    let closed = ["weir_downstream_connections_closed_total", "tls_error"];
    wait_until("all are counted", || gateway.metric(&closed) == 6.0);
    let secured = Trust::of(&[&pair]).connect(address, "shop.example.com");
    assert_eq!(
        secured
            .unwrap()
            .client()
            .get("shop.example.com", "/")
            .status,
        200
    );
}

/// Connections that send the beginning of a handshake, and then nothing.
fn slow(address: SocketAddr, count: usize) -> Vec<Client> {
    let begin = |_| {
        let mut client = Client::connect(address);
        client.send(&[22, 3, 1, 2, 0, 1]);
        client
    };
    (0..count).map(begin).collect()
}

#[test]
fn slow_handshakes_hold_nobody_up_and_end() {
    let backend = Backend::named("app");
    let pair = Pair::of(&["shop.example.com"]);
    let documents = one(&backend, &pair);
    let limit = Duration::from_millis(600);
    let gateway = Gateway::setup()
        .limits(|it| it.handshake_timeout = limit)
        .start(&documents.each_ref().map(String::as_str));
    let address = gateway.address_of(443);
    let begun = Instant::now();
    let mut slow = slow(address, 50);
    let trust = Trust::of(&[&pair]);
    let mut served = 0;
    while begun.elapsed() < limit / 2 {
        let secured = trust.connect(address, "shop.example.com");
        assert_eq!(
            secured
                .unwrap()
                .client()
                .get("shop.example.com", "/")
                .status,
            200
        );
        served += 1;
    }
    assert!(served > 0);
    assert!(slow.iter_mut().all(Client::is_closed));
    assert!(begun.elapsed() >= limit);
    let closed = ["weir_downstream_connections_closed_total", "tls_timeout"];
    wait_until("all are counted", || gateway.metric(&closed) == 50.0);
}

#[test]
fn where_there_are_too_many_handshakes_the_oldest_gives_way() {
    let backend = Backend::named("app");
    let pair = Pair::of(&["shop.example.com"]);
    let documents = one(&backend, &pair);
    let gateway = Gateway::setup()
        .limits(|it| it.max_handshakes = 4)
        .start(&documents.each_ref().map(String::as_str));
    let address = gateway.address_of(443);
    let mut slow = slow(address, 10);
    assert!(slow[..6].iter_mut().all(Client::is_closed));
    let secured = Trust::of(&[&pair]).connect(address, "shop.example.com");
    assert_eq!(
        secured
            .unwrap()
            .client()
            .get("shop.example.com", "/")
            .status,
        200
    );
    let closed = ["weir_downstream_connections_closed_total", "tls_overflow"];
    wait_until("all are counted", || gateway.metric(&closed) == 7.0);
}
