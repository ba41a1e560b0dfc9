//! HTTP/2 from clients, frame by frame: what the gateway allows them, and how it looks after their connections; and which
//! scheme backends that speak it are told.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use weir_plan::features::connection::{ConnectionKeepalive, OnInvalidMessage};
use weir_plan::{
    ClientConnection, ClientHttp2, ClientIpDetection, ClientPolicy, ClientTimeout, ForwardedScheme,
    Percent, RoutePolicy, UpstreamProtocol,
};

use super::{SOON, closed, gateway, with_rules};
use crate::backend::Backend;
use crate::client::PATIENCE;
use crate::{CLUSTER, Gateway, endpoints, plan, rule, wait_for};

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const REFUSED_STREAM: u32 = 7;

/// A connection that speaks frames.
struct Frames(TcpStream);

#[derive(Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    /// The number at the beginning of its payload.
    fn number(&self) -> u32 {
        u32::from_be_bytes(self.payload[..4].try_into().expect("four bytes"))
    }
}

impl Frames {
    /// A connection that has sent its preface.
    fn connect(gateway: &Gateway) -> Self {
        let address: SocketAddr = gateway.proxy.addresses()[&80];
        let stream = TcpStream::connect(address).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut frames = Self(stream);
        frames
            .0
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .expect("sent");
        frames.send(SETTINGS, 0, 0, &[]);
        frames
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len())
            .expect("a short one")
            .to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        self.0.write_all(&[&head, payload].concat()).expect("sent");
    }

    /// Asks for a path; `ends`: the request has no body.
    fn ask(&mut self, stream: u32, path: &str, ends: bool) {
        // GET or POST, http, the path and the host without compression.
        let method = if ends { 0x82 } else { 0x83 };
        let length = u8::try_from(path.len()).expect("a short one");
        let block = [
            &[method, 0x86, 0x04, length],
            path.as_bytes(),
            b"\x01\x04test",
        ]
        .concat();
        self.send(HEADERS, 4 | u8::from(ends), stream, &block);
    }

    /// The next frame. None: the connection has ended.
    fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).ok()?;
        Some(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            payload,
        })
    }

    /// The next frame of one of these kinds.
    fn find(&mut self, kinds: &[u8]) -> Frame {
        std::iter::from_fn(|| self.next())
            .find(|it| kinds.contains(&it.kind))
            .expect("such a frame")
    }
}

fn speaking(http2: ClientHttp2) -> ClientPolicy {
    ClientPolicy {
        http2,
        ..ClientPolicy::DEFAULT
    }
}

#[test]
fn clients_are_told_of_windows_and_streams() {
    let backend = Backend::start();
    let other = ClientHttp2 {
        initial_stream_window_size: 131_072,
        initial_connection_window_size: 2_000_000,
        max_concurrent_streams: 7,
        ..ClientHttp2::DEFAULT
    };
    for (http2, [window, connection, streams]) in [
        (ClientHttp2::DEFAULT, [65_536, 1_048_576, 100]),
        (other, [131_072, 2_000_000, 7]),
    ] {
        let gateway = gateway(speaking(http2), &backend);
        let mut client = Frames::connect(&gateway);
        let settings: BTreeMap<u16, u32> = client
            .find(&[SETTINGS])
            .payload
            .chunks(6)
            .map(|it| {
                let value = it[2..6].try_into().expect("four bytes");
                (
                    u16::from_be_bytes([it[0], it[1]]),
                    u32::from_be_bytes(value),
                )
            })
            .collect();
        assert_eq!((settings[&3], settings[&4]), (streams, window));
        let update = client.find(&[WINDOW_UPDATE]);
        assert_eq!((update.stream, update.number()), (0, connection - 65_535));
    }
}

#[test]
fn streams_above_the_limit_are_refused_until_there_is_a_place() {
    let backend = Backend::start();
    let policy = speaking(ClientHttp2 {
        max_concurrent_streams: 2,
        ..ClientHttp2::DEFAULT
    });
    let gateway = gateway(policy, &backend);
    let mut client = Frames::connect(&gateway);
    client.find(&[WINDOW_UPDATE]);
    client.ask(1, "/hold", true);
    client.ask(3, "/hold", true);
    client.ask(5, "/a", true);
    let refused = client.find(&[RST_STREAM]);
    assert_eq!((refused.stream, refused.number()), (5, REFUSED_STREAM));
    wait_for("two requests", || {
        (backend.count("/hold") == 2).then_some(())
    });
    assert_eq!(backend.count("/a"), 0);
    // The client gives one up.
    client.send(RST_STREAM, 0, 1, &8_u32.to_be_bytes());
    client.ask(7, "/a", true);
    let answer = client.find(&[HEADERS, GOAWAY]);
    assert_eq!((answer.kind, answer.stream), (HEADERS, 7));
}

#[test]
fn connections_are_pinged_and_closed_where_nobody_answers() {
    let backend = Backend::start();
    let policy = speaking(ClientHttp2 {
        keepalive: Some(ConnectionKeepalive {
            interval: Some(SOON / 3),
            timeout: SOON,
            interval_jitter: Percent(0),
            idle_interval: None,
        }),
        ..ClientHttp2::DEFAULT
    });
    let gateway = gateway(policy, &backend);
    let mut client = Frames::connect(&gateway);
    client.ask(1, "/hold", true);
    for _ in 0..3 {
        let ping = client.find(&[PING]);
        assert_eq!((ping.flags, ping.payload.len()), (0, 8));
        client.send(PING, 1, 0, &ping.payload);
    }
    let start = Instant::now();
    while client.next().is_some() {}
    let took = start.elapsed();
    assert!(
        took >= SOON - Duration::from_millis(20) && took < PATIENCE,
        "{took:?}"
    );
}

#[test]
fn a_malformed_message_ends_its_stream_alone() {
    let backend = Backend::start();
    let policy = speaking(ClientHttp2 {
        on_invalid_message: OnInvalidMessage::TerminateStream,
        ..ClientHttp2::DEFAULT
    });
    let gateway = gateway(policy, &backend);
    let mut client = Frames::connect(&gateway);
    // A header of HTTP/1.1 only: `connection: x`.
    let block = [&b"\x82\x86\x84\x01\x04test\x00\x0aconnection"[..], b"\x01x"].concat();
    client.send(HEADERS, 5, 1, &block);
    let reset = client.find(&[RST_STREAM, GOAWAY]);
    assert_eq!(
        (reset.kind, reset.stream, reset.number()),
        (RST_STREAM, 1, 1)
    );
    client.ask(3, "/a", true);
    assert_eq!(client.find(&[HEADERS, GOAWAY]).kind, HEADERS);
}

#[test]
fn connections_have_their_age_their_requests_and_their_pauses() {
    let backend = Backend::start();
    let last = |policy: ClientPolicy, reason: &str, asked: u32| {
        let gateway = gateway(policy, &backend);
        let mut client = Frames::connect(&gateway);
        let start = Instant::now();
        for number in 0..asked {
            client.ask(1 + 2 * number, "/a", true);
        }
        // The last of them may be told before it is answered.
        let mut frames = Vec::new();
        while let Some(frame) = client.next() {
            if frame.kind == PING {
                // By which the gateway knows that nothing is on its way.
                client.send(PING, 1, 0, &frame.payload);
            }
            frames.push(frame);
        }
        let count = |kind| frames.iter().filter(|it| it.kind == kind).count();
        assert_eq!(count(HEADERS), asked as usize, "{reason}");
        assert!(
            count(GOAWAY) > 0 && start.elapsed() < PATIENCE / 2,
            "{reason}"
        );
        assert_eq!(closed(&gateway, reason), 1, "{reason}");
    };
    let living = |connection| ClientPolicy {
        connection,
        ..ClientPolicy::DEFAULT
    };
    let requests = ClientConnection {
        max_requests: Some(2),
        ..ClientConnection::DEFAULT
    };
    last(living(requests), "max_requests", 2);
    let duration = ClientConnection {
        max_duration: Some(SOON),
        ..ClientConnection::DEFAULT
    };
    last(living(duration), "max_duration", 1);

    let timeout = ClientTimeout {
        idle: Some(SOON),
        ..ClientTimeout::DEFAULT
    };
    let gateway = gateway(
        ClientPolicy {
            timeout,
            ..ClientPolicy::DEFAULT
        },
        &backend,
    );
    let mut client = Frames::connect(&gateway);
    client.ask(1, "/a", true);
    client.find(&[HEADERS]);
    while client.next().is_some() {}
    assert_eq!(closed(&gateway, "idle"), 1);
}

#[test]
fn a_request_has_its_time_in_http_2_as_well() {
    let backend = Backend::start();
    let policy = ClientPolicy {
        timeout: ClientTimeout {
            request_received: Some(SOON),
            ..ClientTimeout::DEFAULT
        },
        ..ClientPolicy::DEFAULT
    };
    let gateway = gateway(policy, &backend);
    let mut client = Frames::connect(&gateway);
    client.ask(1, "/a", false);
    let start = Instant::now();
    let answer = client.find(&[HEADERS, GOAWAY]);
    assert_eq!((answer.kind, answer.stream), (HEADERS, 1));
    assert!(start.elapsed() >= SOON - Duration::from_millis(20));
    let (code, _, details) = gateway.logged(1);
    assert_eq!((code, details.as_str()), (408, "request_overall_timeout"));
}

/// The requests that a backend gets over HTTP/2: the first bytes of each head.
fn backend_of_frames() -> (SocketAddr, mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (heads, got) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        stream.read_exact(&mut [0; 24]).expect("a preface");
        let mut frames = Frames(stream);
        frames.send(SETTINGS, 0, 0, &[]);
        while let Some(frame) = frames.next() {
            match (frame.kind, frame.flags) {
                (SETTINGS, 0) => frames.send(SETTINGS, 1, 0, &[]),
                (HEADERS, _) => {
                    // 200, and that is all.
                    frames.send(HEADERS, 5, frame.stream, &[0x88]);
                    heads.send(frame.payload).expect("somebody asks");
                }
                _ => {}
            }
        }
    });
    (address, got)
}

#[test]
fn backends_are_told_the_scheme_of_the_client_or_their_own() {
    // (setting, what a trusted proxy says, `:scheme http` or `:scheme https` of HPACK's static table)
    let cases = [
        (ForwardedScheme::Preserve, "http", 0x86),
        (ForwardedScheme::Preserve, "https", 0x87),
        (ForwardedScheme::MatchBackend, "https", 0x86),
    ];
    for (scheme, said, expected) in cases {
        let (backend, heads) = backend_of_frames();
        let policy = ClientPolicy {
            ip_detection: ClientIpDetection::TrustedHops {
                hops: 1,
                append: true,
            },
            scheme,
            ..ClientPolicy::DEFAULT
        };
        let rules = [rule("/", RoutePolicy::DEFAULT)];
        let gateway = with_rules(policy, &rules, &[backend]);
        let plan = plan(&rules, CLUSTER, gateway.client.as_ref());
        let mut plan = Arc::into_inner(plan).expect("nobody else has it");
        for cluster in plan.clusters.values_mut() {
            Arc::make_mut(cluster).protocol = UpstreamProtocol::Http2;
        }
        let errors = gateway.proxy.apply(&Arc::new(plan), &endpoints(&[backend]));
        assert_eq!(errors, []);
        let headers = format!("x-forwarded-proto: {said}\r\n");
        assert_eq!(gateway.connect().get("/", &headers).status, 200);
        let head = heads.recv_timeout(PATIENCE).expect("a request");
        let schemes: Vec<_> = head[..3]
            .iter()
            .filter(|it| [0x86, 0x87].contains(it))
            .collect();
        assert_eq!(schemes, [&expected], "{scheme:?} {said}");
    }
}
