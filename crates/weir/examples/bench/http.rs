//! The smallest client that can measure: GETs over one kept connection, read by their content-length.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

/// A connection.
pub(crate) struct Client {
    stream: TcpStream,
    address: SocketAddr,
    buffer: Vec<u8>,
}

/// A response's head as text, and its status.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Result<Self> {
        Ok(Self {
            stream: open(address)?,
            address,
            buffer: Vec::new(),
        })
    }

    /// One GET of a path.
    pub(crate) fn get(&mut self, host: &str, path: &str) -> Result<Response> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n");
        self.stream.write_all(request.as_bytes())?;
        self.buffer.clear();
        let mut chunk = [0; 4096];
        loop {
            let read = self.stream.read(&mut chunk)?;
            if read == 0 {
                return Err(std::io::Error::from(ErrorKind::UnexpectedEof))
                    .context("the connection ended");
            }
            self.buffer.extend(&chunk[..read]);
            if let Some(response) = parse(&self.buffer)? {
                if response.head.contains("connection: close") {
                    self.stream = open(self.address)?;
                }
                return Ok(response);
            }
        }
    }
}

fn open(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    Ok(stream)
}

/// The response, once it is whole.
fn parse(bytes: &[u8]) -> Result<Option<Response>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length: usize = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .context("a response without a content-length")?
        .parse()?;
    if bytes.len() < end + 4 + length {
        return Ok(None);
    }
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok(Some(Response { status, head }))
}

/// The value at a share (0 to 1) of sorted values.
pub(crate) fn percentile<T: Copy>(sorted: &[T], share: f64) -> T {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}
