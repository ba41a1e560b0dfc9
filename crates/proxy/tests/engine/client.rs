//! A client on a raw socket: it sends the bytes it is given, and reads one response after the other.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::backend::PATIENCE;

/// A connection.
pub(crate) struct Client {
    reader: BufReader<TcpStream>,
}

/// A response.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) closes: bool,
    pub(crate) body: String,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Self {
            reader: BufReader::new(stream),
        }
    }

    pub(crate) fn send(&mut self, bytes: &str) {
        self.reader
            .get_mut()
            .write_all(bytes.as_bytes())
            .expect("sent");
    }

    /// Sends a GET and reads its response, if there is one.
    pub(crate) fn try_get(&mut self, path: &str) -> std::io::Result<Response> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
        self.reader.get_mut().write_all(request.as_bytes())?;
        self.read()
    }

    pub(crate) fn get(&mut self, path: &str) -> Response {
        self.try_get(path).expect("a response")
    }

    /// Reads a response.
    pub(crate) fn read(&mut self) -> std::io::Result<Response> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.reader.read_line(&mut head)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        let head = head.to_ascii_lowercase();
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().expect("a number"));
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body)?;
        Ok(Response {
            status: status.expect("a status"),
            closes: head.contains("connection: close"),
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }

    /// Waits for the end of the connection, and says whether nothing else came.
    pub(crate) fn ends(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.reader.read_to_end(&mut rest) {
            Ok(_) => rest.is_empty(),
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

/// What the backend answers to a GET.
pub(crate) fn answer(path: &str) -> Response {
    Response {
        status: 200,
        closes: false,
        body: format!("GET {path} 0"),
    }
}
