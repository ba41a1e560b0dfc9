//! Clients that speak HTTP/2 by hand, frame by frame, for what no library would send.
//!
//! Header blocks go out as literals; of those that come in, only the status is read.

use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::client::PATIENCE;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const GOAWAY: u8 = 7;

/// Also the ACK of SETTINGS and PING.
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// A connection to the gateway.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

/// A frame as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The next one on a connection; none: it has ended.
    pub(crate) fn read(stream: &mut impl Read) -> Option<Self> {
        let mut head = [0; 9];
        stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).expect("it is small")];
        stream.read_exact(&mut payload).ok()?;
        Some(Self {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            payload,
        })
    }

    /// The error code of RST_STREAM, or of GOAWAY.
    pub(crate) fn code(&self) -> u32 {
        let code = &self.payload[if self.kind == GOAWAY { 4 } else { 0 }..];
        u32::from_be_bytes([code[0], code[1], code[2], code[3]])
    }

    /// The status that a header block begins with.
    pub(crate) fn status(&self) -> u16 {
        let mut block = &self.payload[..];
        while block[0] >> 5 == 1 {
            block = &block[1..]; // a new size of the table
        }
        match block[0] {
            indexed @ 0x88..=0x8e => [200, 204, 206, 304, 400, 404, 500][usize::from(indexed & 7)],
            0x08 | 0x48 | 0x18 => {
                let (length, text) = (usize::from(block[1] & 0x7f), &block[2..]);
                let digits = match block[1] & 0x80 {
                    0 => String::from_utf8_lossy(&text[..length]).into_owned(),
                    _ => huffman_digits(&text[..length]),
                };
                digits.parse().expect("a status is a number")
            }
            other => panic!("a block that begins with {other:#x}"),
        }
    }
}

/// Digits in the code of HPACK: five bits up to 2, six from 3 on.
fn huffman_digits(bytes: &[u8]) -> String {
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let (mut digits, mut at) = (String::new(), 0);
    let number = |text: &str| u8::from_str_radix(text, 2).expect("bits");
    while at + 5 <= bits.len() {
        match number(&bits[at..at + 5]) {
            digit @ 0..=2 => {
                digits.push(char::from(b'0' + digit));
                at += 5;
            }
            _ if at + 6 <= bits.len() => match number(&bits[at..at + 6]) {
                digit @ 0b01_1001..=0b01_1111 => {
                    digits.push(char::from(b'3' + digit - 0b01_1001));
                    at += 6;
                }
                _ => break,
            },
            _ => break,
        }
    }
    digits
}

/// Fields as a header block.
pub(crate) fn block<T: AsRef<[u8]>>(fields: &[(T, T)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0); // a literal that is not indexed
        for text in [name, value] {
            let text = text.as_ref();
            integer(&mut block, 7, text.len());
            block.extend_from_slice(text);
        }
    }
    block
}

fn integer(block: &mut Vec<u8>, prefix: u32, value: usize) {
    let most = (1 << prefix) - 1;
    if value < most {
        block.push(u8::try_from(value).expect("it is small"));
        return;
    }
    block.push(u8::try_from(most).expect("it is small"));
    let mut rest = value - most;
    while rest >= 0x80 {
        block.push(u8::try_from(rest & 0x7f).expect("seven bits") | 0x80);
        rest >>= 7;
    }
    block.push(u8::try_from(rest).expect("it is small"));
}

/// The fields of a plain request.
pub(crate) fn get(path: &str) -> Vec<u8> {
    fields(&[("GET", path)], &[])
}

/// The fields of a request of this method and path, and more.
pub(crate) fn fields(line: &[(&str, &str); 1], more: &[(&str, &str)]) -> Vec<u8> {
    let [(method, path)] = *line;
    let head = [
        (":method", method),
        (":scheme", "http"),
        (":authority", "any.example"),
        (":path", path),
    ];
    block(&[&head, more].concat())
}

/// A frame as bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame is small");
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

impl Connection {
    /// Connects and says hello, without a table for header blocks.
    pub(crate) fn open(address: SocketAddr) -> Self {
        Self::with_settings(address, &[(1, 0)])
    }

    /// The same with other settings.
    pub(crate) fn with_settings(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)
            .expect("the gateway accepts connections");
        stream.set_read_timeout(Some(PATIENCE)).expect("an option");
        stream.set_write_timeout(Some(PATIENCE)).expect("an option");
        stream.set_nodelay(true).expect("an option");
        let mut connection = Self {
            stream: BufReader::new(stream),
        };
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend_from_slice(&name.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        let hello = [PREFACE, &frame(SETTINGS, 0, 0, &payload)].concat();
        connection.send(&hello).expect("the gateway takes it");
        connection
    }

    /// Sends bytes as they are, where the other side may have closed already.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Begins a request with this header block.
    pub(crate) fn request(&mut self, stream: u32, block: &[u8], end: bool) -> io::Result<()> {
        let flags = END_HEADERS | if end { END_STREAM } else { 0 };
        self.send(&frame(HEADERS, flags, stream, block))
    }

    /// The next frame; none: the connection has ended.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        Frame::read(&mut self.stream)
    }

    /// The next frame of a stream, or the end of the connection in place of it: a GOAWAY with an error, or none.
    pub(crate) fn next_of(&mut self, stream: u32) -> Option<Frame> {
        loop {
            let frame = self.next()?;
            let error = frame.kind == GOAWAY && frame.code() != 0;
            if error || frame.stream == stream && matches!(frame.kind, DATA | HEADERS | RST_STREAM)
            {
                return Some(frame);
            }
        }
    }

    /// What becomes of the request on a stream.
    pub(crate) fn outcome(&mut self, stream: u32) -> Outcome {
        match self.next_of(stream) {
            Some(frame) if frame.kind == HEADERS => Outcome::Status(frame.status()),
            Some(frame) if frame.kind == RST_STREAM => Outcome::Reset(frame.code()),
            Some(frame) if frame.kind == GOAWAY => Outcome::Closed(Some(frame.code())),
            Some(frame) => panic!("{frame:?} before a head"),
            None => Outcome::Closed(None),
        }
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is answered.
    Status(u16),
    /// Its stream is reset with this code.
    Reset(u32),
    /// The connection is closed, with this code if with one.
    Closed(Option<u32>),
}
