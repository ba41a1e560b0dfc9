//! Clients and backends that mean harm: floods of frames, bombs, and everything slow, each in bounded memory and time
//! while others are served.
//!
//! All in one test, one after the other: what the process holds and what its worker has spent is measured.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[path = "traffic/backend.rs"]
#[expect(dead_code, reason = "the traffic tests use the rest")]
mod backend;
#[path = "traffic/client.rs"]
#[expect(dead_code, reason = "the traffic tests use the rest")]
mod client;
#[path = "traffic/frames.rs"]
mod frames;
#[path = "traffic/gateway.rs"]
#[expect(dead_code, reason = "the traffic tests use the rest")]
mod gateway;

use backend::{Backend, Step, reply};
use client::{Client, PATIENCE, get, wait_until};
use frames::{Connection, DATA, END_HEADERS, HEADERS, Outcome, RST_STREAM, SETTINGS};
use frames::{block, fields, frame};
use gateway::{EDGE, Gateway, policy, route, to};

const PRIORITY: u8 = 2;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

/// What the process may grow by during a flood, the test's own side of it included.
const MEMORY: usize = 24 << 20;
/// How long an exchange may take.
const DURATION: Duration = Duration::from_secs(4);
/// Time of the processor that the worker may spend on a flood, at a build without optimisations.
const WORK: Duration = Duration::from_secs(6);
/// Frames, heads or rounds of a flood that is stopped by the gateway. All of them would be let through otherwise.
const MANY: u32 = 200_000;

/// A flood: what it does, and what must have become of it when it ends. What it returns is kept open until all has been
/// measured.
type Flood = fn(SocketAddr) -> Vec<Connection>;

const FLOODS: [(&str, Flood); 16] = [
    ("rapid reset", rapid_reset),
    ("rapid reset in small groups", rapid_reset_in_groups),
    ("continuations", continuations),
    ("empty continuations", empty_continuations),
    ("HPACK bomb", hpack_bomb),
    ("settings", |at| endless(at, &frame(SETTINGS, 0, 0, b""))),
    ("pings", |at| endless(at, &frame(PING, 0, 0, b"12345678"))),
    ("priorities", |at| {
        endless(at, &frame(PRIORITY, 0, 9, &[0, 0, 0, 0, 1]))
    }),
    ("unknown frames", |at| endless(at, &frame(0xfe, 0, 0, b""))),
    ("empty data", empty_data),
    ("windows", windows),
    ("responses that nobody takes", zero_window),
    ("half a header block", half_a_block),
    ("a header block that trickles in", trickled_block),
    ("bodies that trickle in", slow_bodies),
    ("interim answers without an end", interim_answers),
];

#[test]
fn floods_are_bounded_and_others_are_served() {
    let backend = Backend::start(move |request| match request.target.as_str() {
        // None of them is the answer.
        "/interim" => vec![Step::Send(b"HTTP/1.1 103 Hints\r\n\r\n".repeat(200_000))],
        _ => reply(200, "app"),
    });
    let rules = format!(
        "[{{matches: [{{path: {{value: /large}}}}], backendRefs: [{}]}}, {{backendRefs: [{}]}}]",
        to("large"),
        to("app")
    );
    let duration = DURATION.as_secs();
    let slow =
        format!("timeout: {{http: {{streamIdleTimeout: 2s, maxStreamDuration: {duration}s}}}}");
    let gateway = Gateway::setup()
        .limits(|it| it.head_timeout = Duration::from_secs(1))
        .start(&[
            EDGE,
            &backend.yaml("app"),
            &large_backend(),
            &route("app", &rules),
            &policy("slow", "HTTPRoute app", &slow),
        ]);
    let address = gateway.address();
    assert_eq!(get(address, "h", "/").status, 200); // buffers are made
    for (name, flood) in FLOODS {
        let (memory, work) = (resident(), worker_time());
        let (over, served) = (AtomicBool::new(false), AtomicUsize::new(0));
        let kept = std::thread::scope(|scope| {
            let others = scope.spawn(|| {
                while !over.load(Ordering::SeqCst) || served.load(Ordering::SeqCst) == 0 {
                    assert_eq!(get(address, "h", "/").status, 200, "{name}: others");
                    served.fetch_add(1, Ordering::SeqCst);
                }
            });
            let kept = flood(address);
            over.store(true, Ordering::SeqCst);
            others.join().expect("others are served");
            kept
        });
        let grown = resident().saturating_sub(memory);
        let spent = worker_time() - work;
        assert!(grown < MEMORY, "{name}: {} KiB more", grown >> 10);
        assert!(spent < WORK, "{name}: {spent:?} of the processor");
        drop(kept);
    }
    wait_until("nothing is left of them", || {
        gateway.metric(&["weir_requests_active"]) == 0.0
    });
}

/// A backend `large` that sends more than anybody takes, and holds nothing of it itself.
fn large_backend() -> String {
    const PIECE: [u8; 4096] = [b'x'; 4096];
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n");
                while stream.write_all(&PIECE).is_ok() {}
            });
        }
    });
    format!(
        "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: Backend\nmetadata: {{name: large}}\n\
         spec: {{endpoints: [{{ip: {{address: 127.0.0.1, port: {port}}}}}]}}\n"
    )
}

/// Bytes that this process holds in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|it| it.trim().strip_suffix(" kB"));
    kib.and_then(|it| it.parse::<usize>().ok()).expect("a size") << 10
}

/// Time of the processor that the worker's thread has spent.
fn worker_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux has it");
    let mut nanos = 0;
    for task in tasks.flatten() {
        let read = |file: &str| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
        if read("comm").starts_with("weir-worker") {
            let times = read("schedstat");
            let first = times
                .split(' ')
                .next()
                .and_then(|it| it.parse::<u64>().ok());
            nanos += first.expect("nanoseconds on a processor");
        }
    }
    assert!(nanos > 0, "there is a worker");
    Duration::from_nanos(nanos)
}

/// Sends something until the gateway closes the connection, which it must do early.
fn until_closed(mut connection: Connection, mut next: impl FnMut(u32) -> Vec<u8>) {
    for round in 0..MANY / 100 {
        let many: Vec<u8> = (0..100).flat_map(|n| next(round * 100 + n)).collect();
        if connection.send(&many).is_err() {
            return;
        }
    }
    // Everything is on its way; whether it was taken is to be seen.
    while connection.next().is_some() {}
}

fn endless(address: SocketAddr, bytes: &[u8]) -> Vec<Connection> {
    until_closed(Connection::open(address), |_| bytes.to_vec());
    Vec::new()
}

fn stream(number: u32) -> u32 {
    2 * number + 1
}

fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())
}

fn rapid_reset(address: SocketAddr) -> Vec<Connection> {
    let head = frames::get("/");
    until_closed(Connection::open(address), |n| {
        let begin = frame(HEADERS, END_HEADERS | 1, stream(n), &head);
        [begin, reset(stream(n))].concat()
    });
    Vec::new()
}

/// Fewer at one time than are noticed at one time.
fn rapid_reset_in_groups(address: SocketAddr) -> Vec<Connection> {
    let head = frames::get("/");
    let mut connection = Connection::open(address);
    let (mut number, end) = (0, Instant::now() + PATIENCE);
    while Instant::now() < end {
        let mut group = Vec::new();
        for _ in 0..10 {
            group.extend(frame(HEADERS, END_HEADERS | 1, stream(number), &head));
            group.extend(reset(stream(number)));
            number += 1;
        }
        group.extend(frame(PING, 0, 0, b"12345678"));
        if connection.send(&group).is_err() {
            return Vec::new();
        }
        loop {
            match connection.next() {
                Some(frame) if frame.kind == PING => break,
                Some(_) => {}
                None => return Vec::new(),
            }
        }
    }
    // So slow that it is no flood.
    assert!(number < 20 * 1_000, "{number} in {PATIENCE:?}");
    vec![connection]
}

fn continuations(address: SocketAddr) -> Vec<Connection> {
    let part = block(&[("x", "y".repeat(1_000).as_str())]);
    until_closed(Connection::open(address), |n| match n {
        0 => frame(HEADERS, 1, 1, &frames::get("/")),
        _ => frame(CONTINUATION, 0, 1, &part),
    });
    Vec::new()
}

fn empty_continuations(address: SocketAddr) -> Vec<Connection> {
    until_closed(Connection::open(address), |n| match n {
        0 => frame(HEADERS, 1, 1, &frames::get("/")),
        _ => frame(CONTINUATION, 0, 1, b""),
    });
    Vec::new()
}

/// A header of some size put into the table, then named by a byte each, thousands of times in every request.
fn hpack_bomb(address: SocketAddr) -> Vec<Connection> {
    let mut connection = Connection::open(address);
    let mut first = frames::get("/");
    // A literal that is indexed: name, then a value of 4,000 bytes.
    first.extend([0x40, 1, b'x', 0x7f]);
    first.extend([0x80 | (3_873 & 0x7f) as u8, (3_873 >> 7) as u8]);
    first.extend([b'y'; 4_000]);
    connection.request(1, &first, true).expect("it is taken");
    assert_eq!(connection.outcome(1), Outcome::Status(200));
    let mut bomb = frames::get("/");
    bomb.extend([0x80 | 62; 10_000]);
    for number in 1..100 {
        if connection.request(stream(number), &bomb, true).is_err() {
            return Vec::new();
        }
        match connection.outcome(stream(number)) {
            Outcome::Status(431) | Outcome::Reset(_) => {}
            Outcome::Status(other) => panic!("a bomb is answered {other}"),
            Outcome::Closed(_) => return Vec::new(),
        }
    }
    vec![connection]
}

fn empty_data(address: SocketAddr) -> Vec<Connection> {
    let head = fields(&[("POST", "/")], &[]);
    until_closed(Connection::open(address), |n| match n {
        0 => frame(HEADERS, END_HEADERS, 1, &head),
        _ => frame(DATA, 0, 1, b""),
    });
    Vec::new()
}

/// Not a flood that ends: windows may grow often. It must only cost no more than it may.
fn windows(address: SocketAddr) -> Vec<Connection> {
    let mut connection = Connection::open(address);
    let one = frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes());
    connection
        .send(&one.repeat(100_000))
        .expect("they are taken");
    connection
        .request(1, &frames::get("/"), true)
        .expect("it is open");
    assert_eq!(connection.outcome(1), Outcome::Status(200));
    vec![connection]
}

/// A hundred large responses over one connection, of which not a byte is taken.
fn zero_window(address: SocketAddr) -> Vec<Connection> {
    let mut connection = Connection::with_settings(address, &[(1, 0), (4, 0)]);
    for number in 0..100 {
        let sent = connection.request(stream(number), &frames::get("/large"), true);
        sent.expect("so many may be open");
    }
    for _ in 0..100 {
        // A head comes, and what ends it is the stream's idle timeout.
        let end = loop {
            match connection.next().expect("the connection stays") {
                frame if frame.kind == RST_STREAM => break frame.code(),
                frame => assert_ne!(frame.kind, DATA, "there is no window"),
            }
        };
        assert!(matches!(end, 2 | 8), "{end}");
    }
    vec![connection]
}

fn half_a_block(address: SocketAddr) -> Vec<Connection> {
    let head = frames::get("/");
    let mut clients: Vec<_> = (0..50).map(|_| Connection::open(address)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        let sent = match number % 3 {
            0 => frame(HEADERS, 1, 1, &head),
            1 => frame(HEADERS, END_HEADERS | 1, 1, &head)[..20].to_vec(),
            _ => frame(HEADERS, END_HEADERS | 1, 1, &head)[..4].to_vec(),
        };
        client.send(&sent).expect("it is taken");
    }
    for client in &mut clients {
        while client.next().is_some() {}
    }
    Vec::new()
}

fn trickled_block(address: SocketAddr) -> Vec<Connection> {
    let mut client = Connection::open(address);
    let block = block(&[("x", "y".repeat(10_000).as_str())]);
    let frame = frame(HEADERS, END_HEADERS | 1, 1, &block);
    for piece in frame.chunks(10) {
        if client.send(piece).is_err() {
            return Vec::new();
        }
        std::thread::sleep(Duration::from_millis(10)); // the client's pace
    }
    panic!("it is not waited for")
}

/// Bodies of which a byte comes now and then, for longer than an exchange may take.
fn slow_bodies(address: SocketAddr) -> Vec<Connection> {
    let mut clients: Vec<_> = (0..50).map(|_| Client::connect(address)).collect();
    for client in &mut clients {
        client.send(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1000000\r\n\r\n");
    }
    let begun = Instant::now();
    while begun.elapsed() < DURATION {
        for client in &mut clients {
            let _ = client.try_send(b"x"); // its time may be over
        }
        std::thread::sleep(Duration::from_millis(20)); // the clients' pace
    }
    for client in &mut clients {
        assert_eq!(client.receive().status, 408);
    }
    Vec::new()
}

fn interim_answers(address: SocketAddr) -> Vec<Connection> {
    assert_eq!(get(address, "h", "/interim").status, 504);
    Vec::new()
}
