//! A backend on a raw socket that remembers what it was sent, and does what the path of a request says:
//!
//! `/status/CODE` answers so; `/fail/N/CODE/..` answers so N times for each path, then 200; `/close/N/..` closes N times
//! without an answer; `/hold` never answers; `/hold/N/..` does not answer N times; `/stall` stops within the body;
//! `/grpc/STATUS` answers with that header; `/garbage` answers no HTTP; `/trailers` has trailers; `/Case` has a header in mixed letter case; `/big` answers 64 MiB.
//! All else is answered 200. The body of an answer is the length of the request's.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// A running backend. Its threads end with the process, or with their connections.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The request line and the headers.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: String,
}

impl Seen {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// The path of the request line.
    pub(crate) fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }
}

/// A header's value in a head.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(": ")?;
        key.eq_ignore_ascii_case(name).then_some(value)
    })
}

impl Backend {
    /// A backend on a free port of loopback.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let seen = Arc::new(Mutex::default());
        let noted = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let noted = Arc::clone(&noted);
                // A connection that ends in the middle of something is what many tests want.
                std::thread::spawn(move || serve(stream.expect("accepted"), &noted));
            }
        });
        Self { address, seen }
    }

    /// An address where nobody listens.
    pub(crate) fn nobody() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("bound")
    }

    /// What arrived so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        lock(&self.seen).clone()
    }

    /// The only request that arrived.
    pub(crate) fn only(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen[0].clone()
    }

    /// How many requests with this path arrived.
    pub(crate) fn count(&self, path: &str) -> usize {
        self.seen().iter().filter(|it| it.path() == path).count()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: TcpStream, seen: &Mutex<Vec<Seen>>) -> Option<()> {
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let request = read(&mut reader)?;
        let path = request.path().to_owned();
        let length = request.body.len();
        let before = {
            let mut seen = lock(seen);
            seen.push(request);
            seen.iter().filter(|it| it.path() == path).count() - 1
        };
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let number = |place: usize| parts.get(place).and_then(|it| it.parse().ok());
        let still = |place: usize| number(place).is_some_and(|times: usize| before < times);
        let answer = match parts[0] {
            "status" => plain(number(1)?, "", length),
            "fail" if still(1) => plain(number(2)?, "", length),
            "close" if still(1) => return None,
            "hold" if parts.len() == 1 || still(1) => return wait_for_end(reader),
            "stall" => {
                writer
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n1234567")
                    .ok()?;
                return wait_for_end(reader);
            }
            "grpc" => plain(200, &format!("grpc-status: {}\r\n", parts[1]), length),
            "garbage" => "what is this?\r\n\r\n".to_owned(),
            "trailers" => "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
                           5\r\nhello\r\n0\r\nx-sum: 7\r\n\r\n"
                .to_owned(),
            "big" => {
                writer
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 67108864\r\n\r\n")
                    .ok()?;
                for _ in 0..1_024 {
                    writer.write_all(&[b'x'; 65_536]).ok()?;
                }
                continue;
            }
            "Case" => plain(200, "X-ThEiRs: 1\r\n", length),
            "headers" => plain(
                200,
                "server: theirs\r\nconnection: keep-alive, x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\n\
                 x-request-id: theirs\r\nx-envoy-upstream-service-time: 3\r\nx-kept: 1\r\n",
                length,
            ),
            _ => plain(200, "", length),
        };
        writer.write_all(answer.as_bytes()).ok()?;
    }
}

fn plain(status: usize, headers: &str, length: usize) -> String {
    if status == 204 || status == 304 {
        return format!("HTTP/1.1 {status} S\r\n{headers}\r\n");
    }
    let body = length.to_string();
    format!(
        "HTTP/1.1 {status} S\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Reads until the other side closes, and says nothing.
fn wait_for_end(mut reader: BufReader<TcpStream>) -> Option<()> {
    reader.read_to_end(&mut Vec::new()).ok()?;
    None
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Seen> {
    let head = lines(reader)?;
    let mut body = Vec::new();
    let mut trailers = String::new();
    if header(&head, "transfer-encoding") == Some("chunked") {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size).ok()?;
            let size = usize::from_str_radix(size.trim_end(), 16).ok()?;
            if size == 0 {
                trailers = lines(reader)?;
                break;
            }
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk).ok()?;
            body.extend_from_slice(&chunk[..size]);
        }
    } else if let Some(length) = header(&head, "content-length") {
        body = vec![0; length.parse().ok()?];
        reader.read_exact(&mut body).ok()?;
    }
    Some(Seen {
        head,
        body,
        trailers,
    })
}

/// Lines up to an empty one.
fn lines(reader: &mut impl BufRead) -> Option<String> {
    let mut text = String::new();
    loop {
        let before = text.len();
        if reader.read_line(&mut text).ok()? == 0 {
            return None;
        }
        if text[before..].trim_end().is_empty() {
            return Some(text);
        }
    }
}

/// Reads a head; used by clients as well.
pub(crate) fn read_head(reader: &mut impl BufRead) -> Option<String> {
    lines(reader)
}
