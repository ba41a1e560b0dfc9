//! The PROXY header in front of a connection: believed where it is asked for, the end of the connection where it is
//! malformed, missing or slow.

use std::time::{Duration, Instant};

use weir_plan::{
    ClientIpDetection, ClientPolicy, ClientSocket, DownstreamProxyProtocol, RoutePolicy,
};

use super::addresses::telling;
use super::{SOON, closed, with_rules};
use crate::backend::Backend;
use crate::client::PATIENCE;
use crate::{Gateway, rule};

const REQUEST: &[u8] = b"GET /a HTTP/1.1\r\nhost: test\r\n\r\n";
const TEXT: &[u8] = b"PROXY TCP4 7.7.7.7 8.8.8.8 4096 80\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header of version 2: command (0 LOCAL, 1 PROXY), family, and what comes behind.
fn binary(command: u8, family: u8, behind: &[u8]) -> Vec<u8> {
    let length = u16::try_from(behind.len()).expect("a short one");
    let head = [0x20 | command, family];
    [SIGNATURE, &head, &length.to_be_bytes(), behind].concat()
}

fn v4() -> Vec<u8> {
    [&[7, 7, 7, 7, 8, 8, 8, 8][..], &[0x10, 0, 0, 80]].concat()
}

fn start(
    wanted: DownstreamProxyProtocol,
    inspection_timeout: Duration,
    backend: &Backend,
) -> Gateway {
    let policy = ClientPolicy {
        socket: ClientSocket {
            proxy_protocol: Some(wanted),
            inspection_timeout,
            ..ClientSocket::DEFAULT
        },
        ..ClientPolicy::DEFAULT
    };
    let who = "%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% \
               %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%";
    let rules = [telling("/who", who), rule("/", RoutePolicy::DEFAULT)];
    with_rules(policy, &rules, &[backend.address])
}

const REQUIRED: DownstreamProxyProtocol = DownstreamProxyProtocol::Required;
const OPTIONAL: DownstreamProxyProtocol = DownstreamProxyProtocol::Optional;

#[test]
fn a_header_says_whose_connection_it_is() {
    let backend = Backend::start();
    let six = {
        let mut block = [0; 36];
        block[..4].copy_from_slice(&[0x20, 1, 0xd, 0xb8]);
        (block[15], block[31]) = (1, 2);
        block[32..].copy_from_slice(&[0, 1, 0, 2]);
        block
    };
    // A TLV for a CRC (which nobody checks), and one that nobody knows.
    let tlv = [&v4()[..], &[3, 0, 4, 1, 2, 3, 4], &[0xe0, 0, 1, 9]].concat();
    let seven = "7.7.7.7:4096 8.8.8.8:80 127.0.0.1";
    let cases: [(&[u8], Option<&str>); 8] = [
        (TEXT, Some(seven)),
        (
            b"PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n",
            Some("[2001:db8::1]:1 [2001:db8::2]:2 127.0.0.1"),
        ),
        (b"PROXY UNKNOWN\r\n", None),
        (&binary(1, 0x11, &v4()), Some(seven)),
        (&binary(1, 0x11, &tlv), Some(seven)),
        (
            &binary(1, 0x21, &six),
            Some("[2001:db8::1]:1 [::2]:2 127.0.0.1"),
        ),
        (&binary(0, 0, &[]), None),
        (&binary(0, 0x11, &v4()), None),
    ];
    for wanted in [REQUIRED, OPTIONAL] {
        let gateway = start(wanted, PATIENCE, &backend);
        let served = gateway.proxy.addresses()[&80].to_string();
        for (header, expected) in cases {
            let mut client = gateway.connect();
            client.send(header);
            let told = client.get("/who", "").body;
            match expected {
                Some(expected) => assert_eq!(told, expected),
                None => {
                    assert!(told.starts_with("127.0.0.1:"), "{told}");
                    assert!(told.ends_with(&format!(" {served} 127.0.0.1")), "{told}");
                }
            }
            // Only the connection has one, not each request.
            assert_eq!(client.get("/who", "").body, told);
        }
    }
}

#[test]
fn backends_and_logs_know_the_client_by_its_header() {
    let backend = Backend::start();
    let gateway = start(REQUIRED, PATIENCE, &backend);
    let mut client = gateway.connect();
    // In pieces, the last with the request.
    for piece in TEXT[..TEXT.len() - 3].chunks(5) {
        client.send(piece);
    }
    client.send([&TEXT[TEXT.len() - 3..], REQUEST].concat());
    assert_eq!(client.read().status, 200);
    let seen = backend.only();
    let told = ["x-forwarded-for", "x-envoy-external-address"].map(|it| seen.header(it));
    assert_eq!(told, [Some("7.7.7.7"); 2]);
    let line = gateway.log(1).remove(0);
    assert_eq!(line["downstream_remote_address"], "7.7.7.7:4096");
    assert_eq!(line["downstream_local_address"], "8.8.8.8:80");
}

#[test]
fn whom_the_header_names_may_be_a_proxy_that_is_trusted() {
    let backend = Backend::start();
    let policy = ClientPolicy {
        socket: ClientSocket {
            proxy_protocol: Some(REQUIRED),
            ..ClientSocket::DEFAULT
        },
        ip_detection: ClientIpDetection::TrustedNetworks {
            networks: vec!["7.0.0.0/8".parse().expect("one")],
            append: true,
        },
        ..ClientPolicy::DEFAULT
    };
    let rules = [rule("/", RoutePolicy::DEFAULT)];
    let gateway = with_rules(policy, &rules, &[backend.address]);
    let mut client = gateway.connect();
    client.send(TEXT);
    client.get("/", "x-forwarded-for: 9.9.9.9\r\n");
    let seen = backend.only();
    let told = ["x-forwarded-for", "x-envoy-external-address"].map(|it| seen.header(it));
    assert_eq!(told, [Some("9.9.9.9,7.7.7.7"), Some("9.9.9.9")]);
}

#[test]
fn what_is_no_header_ends_the_connection() {
    let backend = Backend::start();
    let malformed: [Vec<u8>; 9] = [
        b"PROXY TCP4 7.7.7.7 8.8.8.8 4096\r\n".to_vec(),
        b"PROXY TCP4 7.7.7.7 8.8.8.8 4096 99999\r\n".to_vec(),
        b"PROXY TCP6 7.7.7.7 8.8.8.8 1 2\r\n".to_vec(),
        format!("PROXY UNKNOWN {}\r\n", "x".repeat(200)).into_bytes(),
        // Version 3, a command and a family that do not exist, a block that is too short.
        [SIGNATURE, &[0x31, 0x11, 0, 12], &v4()].concat(),
        binary(2, 0x11, &v4()),
        binary(1, 0x55, &v4()),
        binary(1, 0x11, &v4()[..8]),
        // Datagrams.
        binary(1, 0x12, &v4()),
    ];
    for wanted in [REQUIRED, OPTIONAL] {
        let gateway = start(wanted, PATIENCE, &backend);
        for (count, header) in malformed.iter().enumerate() {
            let mut client = gateway.connect();
            client.send(header);
            assert_eq!(client.rest(), "", "{header:?}");
            assert_eq!(closed(&gateway, "proxy_protocol"), count as u64 + 1);
        }
    }
    // What does not even begin as one: another signature, and plain HTTP.
    let required = start(REQUIRED, PATIENCE, &backend);
    for begins in [&b"\r\n\r\n\0\r\nQUIT\r"[..], REQUEST] {
        let mut client = required.connect();
        client.send(begins);
        assert_eq!(client.rest(), "", "{begins:?}");
    }
    assert_eq!(closed(&required, "proxy_protocol"), 2);
    assert!(backend.seen().is_empty());
    let optional = start(OPTIONAL, PATIENCE, &backend);
    let mut client = optional.connect();
    assert_eq!(client.get("/a", "").status, 200);
    assert_eq!(
        backend.only().header("x-forwarded-for"),
        Some("127.0.0.1"),
        "without one, it is served as what it is"
    );
}

#[test]
fn a_header_that_does_not_come_in_time_ends_the_connection() {
    let backend = Backend::start();
    let gateway = start(REQUIRED, SOON, &backend);
    let large = binary(1, 0x11, &[&v4()[..], &[0; 1_000]].concat());
    let halves: [&[u8]; 4] = [b"", &TEXT[..10], &SIGNATURE[..7], &large[..500]];
    for (count, half) in halves.into_iter().enumerate() {
        let start = Instant::now();
        let mut client = gateway.connect();
        client.send(half);
        assert_eq!(client.rest(), "", "{half:?}");
        assert!(start.elapsed() >= SOON, "{half:?}");
        assert_eq!(closed(&gateway, "inspection_timeout"), count as u64 + 1);
    }
    // The time is for the header only.
    let mut client = gateway.connect();
    client.send(TEXT);
    let start = Instant::now();
    while start.elapsed() < SOON * 2 {
        assert_eq!(client.get("/a", "").status, 200);
    }
}
