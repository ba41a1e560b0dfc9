//! A client on a raw socket: it sends the bytes it is given, and reads one response after the other.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::backend;

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A connection.
pub(crate) struct Client(BufReader<TcpStream>);

/// A response.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Response {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        backend::header(&self.head, name)
    }

    /// Status and body in one, to compare.
    pub(crate) fn told(&self) -> (u16, &str) {
        (self.status, &self.body)
    }

    /// Whether the connection ends with it.
    pub(crate) fn closes(&self) -> bool {
        self.header("connection") == Some("close")
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Self(BufReader::new(stream))
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).expect("sent");
    }

    /// Sends a GET with more headers (each with its line end) and reads the response.
    pub(crate) fn get(&mut self, path: &str, headers: &str) -> Response {
        self.send(format!(
            "GET {path} HTTP/1.1\r\nhost: test\r\n{headers}\r\n"
        ));
        self.read()
    }

    /// Sends a POST with this many bytes and reads the response.
    pub(crate) fn post(&mut self, path: &str, length: usize) -> Response {
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n");
        self.send(head);
        self.send(vec![b'x'; length]);
        self.read()
    }

    /// Reads a response that has a body as its headers say.
    pub(crate) fn read(&mut self) -> Response {
        let mut response = self.read_head();
        let length = match response.header("content-length") {
            Some(length) if response.status != 304 => length.parse().expect("a number"),
            Some(_) | None => 0,
        };
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).expect("a body");
        response.body = String::from_utf8_lossy(&body).into_owned();
        response
    }

    /// Sends a GET and reads the response, if the connection is not closed instead.
    pub(crate) fn try_get(&mut self, path: &str) -> Option<Response> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes()).ok()?;
        let open = !self.0.fill_buf().ok()?.is_empty();
        open.then(|| self.read())
    }

    /// Reads the head of a response.
    pub(crate) fn read_head(&mut self) -> Response {
        let head = backend::read_head(&mut self.0).expect("a response");
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        Response {
            status: status.expect("a status"),
            head,
            body: String::new(),
        }
    }

    /// Reads this many bytes.
    pub(crate) fn take(&mut self, length: usize) -> String {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).expect("bytes");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What comes until the connection ends.
    pub(crate) fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        if let Err(error) = self.0.read_to_end(&mut rest) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
        }
        String::from_utf8_lossy(&rest).into_owned()
    }
}
