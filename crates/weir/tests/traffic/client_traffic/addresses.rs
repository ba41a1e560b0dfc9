//! `clientIPDetection` and `proxyProtocol`: limits go by who the client is, and by nobody whom it names itself.

use std::net::IpAddr;

use http::Request;
use http_body_util::Empty;

use super::{client, with};
use crate::backend::Backend;
use crate::client::{Client, request};
use crate::gateway::{EDGE, Gateway, policy, route_all};
use crate::http2;
use crate::tls::client::{Pair, Trust};
use crate::tls::{edge, listener};

/// One request an hour from each address, counted here or for all.
fn limit(local: bool) -> String {
    let kind = if local { "local" } else { "global" };
    let rule = "{clientSelectors: [{sourceCIDR: {value: 0.0.0.0/0, type: Distinct}}], limit: {requests: 1, unit: Hour}}";
    policy(
        "limit",
        "HTTPRoute app",
        &format!("rateLimit: {{{kind}: {{rules: [{rule}]}}}}"),
    )
}

/// Requests from `127.0.0.N`, each with this header unless it is empty, and the status that each is to get.
type Requests = &'static [(u8, &'static str, u16)];

fn detection(text: &str) -> String {
    format!("clientIPDetection: {{{text}}}")
}

#[test]
fn no_client_evades_its_limit_by_what_it_says_of_itself() {
    let cases: [(&str, &str, Requests); 8] = [
        (
            "{}",
            "x-forwarded-for",
            &[
                (1, "1.1.1.1", 200),
                (1, "2.2.2.2", 429),
                (1, "", 429),
                (2, "1.1.1.1", 200),
            ],
        ),
        (
            "directSourceIP: {}",
            "x-forwarded-for",
            &[(1, "1.1.1.1", 200), (1, "2.2.2.2", 429)],
        ),
        (
            "xForwardedFor: {numTrustedHops: 0}",
            "x-forwarded-for",
            &[(1, "1.1.1.1", 200), (1, "2.2.2.2", 429)],
        ),
        // The proxy in front has written the rightmost; what stands before it is the client's own word.
        (
            "xForwardedFor: {numTrustedHops: 1}",
            "x-forwarded-for",
            &[
                (1, "1.1.1.1", 200),
                (1, "2.2.2.2", 200),
                (1, "1.1.1.1", 429),
                (1, "9.9.9.9, 1.1.1.1", 429),
                (1, "8.8.8.8,7.7.7.7,2.2.2.2", 429),
                (1, "::ffff:1.1.1.1", 429),
                // Whatever is no address is the proxy.
                (1, "nobody", 200),
                (1, "somebody", 429),
                (1, "", 429),
            ],
        ),
        (
            "xForwardedFor: {numTrustedHops: 2}",
            "x-forwarded-for",
            &[
                (1, "1.1.1.1, 3.3.3.3", 200),
                (1, "1.1.1.1, 4.4.4.4", 429),
                (1, "9.9.9.9, 1.1.1.1, 4.4.4.4", 429),
                (1, "5.5.5.5", 200),
                (1, "6.6.6.6", 429),
            ],
        ),
        (
            "xForwardedFor: {trustedCIDRs: [127.0.0.2/32, 10.0.0.0/8]}",
            "x-forwarded-for",
            &[
                // Not from a proxy of ours.
                (1, "1.1.1.1", 200),
                (1, "2.2.2.2", 429),
                (2, "1.1.1.1", 200),
                (2, "9.9.9.9, 1.1.1.1, 10.0.0.1", 429),
                (2, "2.2.2.2, 10.0.0.1", 200),
            ],
        ),
        (
            "customHeader: {name: x-real-ip, failClosed: true}",
            "x-real-ip",
            &[
                (1, "", 403),
                (1, "nobody", 403),
                (1, "1.1.1.1", 200),
                (1, "2.2.2.2", 200),
                (1, "1.1.1.1", 429),
            ],
        ),
        (
            "customHeader: {name: x-real-ip}",
            "x-real-ip",
            &[
                (1, "", 200),
                (1, "nobody", 429),
                (1, "1.1.1.1", 200),
                (1, "1.1.1.1", 429),
            ],
        ),
    ];
    let backend = Backend::named("app");
    for local in [true, false] {
        for (how, name, requests) in cases {
            let how = match how {
                "{}" => "scheme: Preserve".to_owned(),
                how => detection(how),
            };
            let gateway = with(&how, &backend, &[&limit(local)]);
            for (source, said, expected) in requests {
                let headers: &[_] = match said.is_empty() {
                    true => &[],
                    false => &[(name, *said)],
                };
                let source = IpAddr::from([127, 0, 0, *source]);
                let mut client = Client::connect_from(source, gateway.address());
                client.send(&request("GET", "any.example", "/", headers, b""));
                let status = client.receive().status;
                assert_eq!(status, *expected, "{how}: {source} says {said:?}");
            }
        }
    }
}

#[test]
fn clients_over_http2_are_told_apart_as_well() {
    let backend = Backend::named("app");
    let hops = detection("xForwardedFor: {numTrustedHops: 1}");
    for (how, expected) in [
        (hops.as_str(), [200, 200, 429]),
        ("scheme: Preserve", [200, 429, 429]),
    ] {
        let gateway = with(how, &backend, &[&limit(true)]);
        let client = http2::Client::connect(gateway.address());
        let statuses = ["1.1.1.1", "2.2.2.2", "3.3.3.3, 1.1.1.1"].map(|said| {
            let request = Request::get("http://any.example/").header("x-forwarded-for", said);
            let sent = client.send(request.body(Empty::new()).expect("a request"));
            client.whole(sent).0
        });
        assert_eq!(statuses, expected, "{how}");
    }
}

/// What a client gets that begins with these bytes; 0: nothing.
fn behind(gateway: &Gateway, header: &[u8], said: &str) -> u16 {
    let mut client = Client::connect(gateway.address());
    let get = request("GET", "any.example", "/", &[("x-forwarded-for", said)], b"");
    client.send(&[header, &get].concat());
    client.try_receive().map_or(0, |it| it.status)
}

/// A PROXY header of version 2 from 6.6.6.6.
const BINARY: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x06\x06\x06\x06\x08\x08\x08\x08\x10\x00\0\x50";

#[test]
fn limits_go_by_the_client_of_the_proxy_header() {
    let backend = Backend::named("app");
    for local in [true, false] {
        let seven = b"PROXY TCP4 7.7.7.7 8.8.8.8 4096 80\r\n";
        let later = b"PROXY TCP4 7.7.7.7 8.8.8.8 4097 80\r\n";
        let required = with("proxyProtocol: {}", &backend, &[&limit(local)]);
        let cases: [(&[u8], u16); 6] = [
            (seven, 200),
            (later, 429),
            (BINARY, 200),
            (BINARY, 429),
            (b"", 0),
            (b"PROXY TCP4 7.7.7 8.8.8.8 1 2\r\n", 0),
        ];
        for (header, expected) in cases {
            assert_eq!(behind(&required, header, "1.1.1.1"), expected);
        }
        let optional = with(
            "proxyProtocol: {optional: true}",
            &backend,
            &[&limit(local)],
        );
        let cases: [(&[u8], u16); 4] = [(seven, 200), (later, 429), (b"", 200), (b"", 429)];
        for (header, expected) in cases {
            assert_eq!(behind(&optional, header, "1.1.1.1"), expected);
        }
        // A proxy that is trusted may be behind one that passes on bytes.
        let hops =
            "proxyProtocol: {}, clientIPDetection: {xForwardedFor: {trustedCIDRs: [7.7.7.7/32]}}";
        let both = with(hops, &backend, &[&limit(local)]);
        assert_eq!(behind(&both, seven, "1.1.1.1"), 200);
        assert_eq!(behind(&both, seven, "1.1.1.1"), 429);
        assert_eq!(behind(&both, BINARY, "2.2.2.2"), 200);
        assert_eq!(behind(&both, BINARY, "3.3.3.3"), 429);
    }
}

#[test]
fn a_proxy_header_comes_before_tls() {
    let (backend, pair) = (Backend::named("app"), Pair::of(&["shop.example.com"]));
    let gateway = Gateway::start(
        &[
            EDGE,
            &edge(&[&listener("https", "", &["cert"])]),
            &pair.secret("cert"),
            &backend.yaml("app"),
            &route_all("app"),
            &client(
                "clients",
                "Gateway edge https",
                "proxyProtocol: {}, headers: {lateResponseHeaders: {set: [{name: x-late, value: 'yes'}]}}",
            ),
            &limit(true),
        ][1..],
    );
    let trust = Trust::of(&[&pair]);
    let status = |header: &[u8]| {
        let secured = trust.connect_behind(header, gateway.address_of(443), "shop.example.com");
        let answer = secured.ok()?.client().get("shop.example.com", "/");
        assert_eq!(answer.header("x-late"), Some("yes"));
        Some(answer.status)
    };
    let seven = b"PROXY TCP4 7.7.7.7 8.8.8.8 4096 443\r\n";
    assert_eq!(status(seven), Some(200));
    assert_eq!(status(seven), Some(429));
    assert_eq!(status(BINARY), Some(200));
    assert_eq!(status(b""), None);
    let last = backend.last();
    assert_eq!(last.header("x-forwarded-for"), Some("6.6.6.6"));
    assert_eq!(last.header("x-late"), None);
}
