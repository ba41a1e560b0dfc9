//! A small HTTP/1.1 client on a blocking socket: one request, one connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The head as it came, in lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// Asks for a path, under the name of the address.
pub(crate) fn get(address: SocketAddr, path: &str) -> Answer {
    request(address, "GET", path, &address.to_string())
        .unwrap_or_else(|error| panic!("GET {path}: {error}"))
}

/// The same where the answer may fail to come.
pub(crate) fn try_get(address: SocketAddr, path: &str) -> std::io::Result<Answer> {
    request(address, "GET", path, &address.to_string())
}

/// One request under any host name.
pub(crate) fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    host: &str,
) -> std::io::Result<Answer> {
    let head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    raw(address, &head)
}

/// Sends bytes and reads to the end of the connection.
pub(crate) fn raw(address: SocketAddr, request: &str) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text
        .split_once("\r\n\r\n")
        .ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let head = head.to_ascii_lowercase();
    assert!(
        !head.contains("transfer-encoding"),
        "this client reads no chunks: {head}"
    );
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|it| it.parse().ok())
        .ok_or(std::io::ErrorKind::InvalidData)?;
    Ok(Answer {
        status,
        head,
        body: body.to_owned(),
    })
}
