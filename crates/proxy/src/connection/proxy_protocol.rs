//! The PROXY header at the beginning of a connection (versions 1 and 2), by which a proxy in front says for whom it was
//! made.
//!
//! Reading stops at the end of the header, whatever comes with it is given back. Of what a header of version 2 has
//! behind the addresses, nothing is kept.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt};

/// How version 1 begins, and the most bytes it may have.
const TEXT: &[u8] = b"PROXY ";
const TEXT_MAX: usize = 107;
/// How version 2 begins, and the bytes in front of what depends on the family.
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const BINARY_HEAD: usize = 16;
/// The bytes of the longest pair of addresses that is read.
const ADDRESSES: usize = 36;

/// What is read at a time.
const PIECE: usize = 256;

/// For whom a connection was made: who connected, and to which address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// Who connected.
    pub(crate) source: SocketAddr,
    /// To which address.
    pub(crate) destination: SocketAddr,
}

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// More are needed to say.
    Unfinished,
    /// A header of this many bytes, which may not all be there. No addresses: those of the connection hold.
    Header {
        /// How long it is.
        length: usize,
        /// For whom the connection was made.
        addresses: Option<Addresses>,
    },
    /// Something else.
    Other,
    /// The beginning of a header that goes on as none.
    Malformed,
}

/// What a connection began with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Begun {
    pub(super) addresses: Option<Addresses>,
    /// What came behind the header, or in its place.
    pub(super) rest: Bytes,
}

/// Reads the header of a connection; `required`: there has to be one.
///
/// # Errors
/// `InvalidData` where what comes is no header, else what the system said.
pub(super) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    required: bool,
) -> io::Result<Begun> {
    let mut come = Vec::with_capacity(PIECE);
    loop {
        let mut piece = [0; PIECE];
        let read = stream.read(&mut piece).await?;
        come.extend_from_slice(&piece[..read]);
        match parse(&come) {
            Parsed::Unfinished if read > 0 => {}
            Parsed::Header { length, addresses } => {
                let mut missing = length.saturating_sub(come.len());
                while missing > 0 {
                    let some = missing.min(PIECE);
                    stream.read_exact(&mut piece[..some]).await?;
                    missing -= some;
                }
                let rest = Bytes::from(come.split_off(length.min(come.len())));
                return Ok(Begun { addresses, rest });
            }
            // A client that has sent nothing, or too little to be one, has no header.
            Parsed::Other | Parsed::Unfinished if !required => {
                return Ok(Begun {
                    addresses: None,
                    rest: Bytes::from(come),
                });
            }
            Parsed::Unfinished => return Err(io::ErrorKind::UnexpectedEof.into()),
            Parsed::Other | Parsed::Malformed => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// Reads the first bytes of a connection.
pub(crate) fn parse(bytes: &[u8]) -> Parsed {
    if bytes.starts_with(TEXT) {
        text(bytes)
    } else if bytes.starts_with(BINARY) {
        binary(bytes)
    } else if TEXT.starts_with(bytes) || BINARY.starts_with(bytes) {
        Parsed::Unfinished
    } else {
        Parsed::Other
    }
}

fn text(bytes: &[u8]) -> Parsed {
    let most = &bytes[..bytes.len().min(TEXT_MAX)];
    let Some(end) = most.windows(2).position(|it| it == b"\r\n") else {
        return if most.len() < TEXT_MAX {
            Parsed::Unfinished
        } else {
            Parsed::Malformed
        };
    };
    let line = std::str::from_utf8(&most[TEXT.len()..end]);
    match line.ok().and_then(text_addresses) {
        Some(addresses) => Parsed::Header {
            length: end + 2,
            addresses,
        },
        None => Parsed::Malformed,
    }
}

/// The outer `None`: it is no header.
fn text_addresses(line: &str) -> Option<Option<Addresses>> {
    if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        return Some(None);
    }
    let mut words = line.split(' ');
    let family = words.next()?;
    let mut address = || -> Option<IpAddr> {
        let word = words.next()?;
        match family {
            "TCP4" => word.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => word.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let (source, destination) = (address()?, address()?);
    let mut port = || -> Option<u16> {
        let word = words.next()?;
        let plain = word.bytes().all(|it| it.is_ascii_digit());
        let plain = plain && (word == "0" || !word.starts_with('0'));
        word.parse().ok().filter(|_| plain)
    };
    let (source_port, destination_port) = (port()?, port()?);
    words.next().is_none().then_some(Some(Addresses {
        source: SocketAddr::new(source, source_port),
        destination: SocketAddr::new(destination, destination_port),
    }))
}

fn binary(bytes: &[u8]) -> Parsed {
    // What can be said early is said early.
    let (version, command) = match bytes.get(BINARY.len()) {
        Some(byte) => (byte >> 4, byte & 15),
        None => return Parsed::Unfinished,
    };
    if version != 2 || command > 1 {
        return Parsed::Malformed;
    }
    let Some(head) = bytes.get(..BINARY_HEAD) else {
        return Parsed::Unfinished;
    };
    let behind = usize::from(u16::from_be_bytes([head[14], head[15]]));
    let length = BINARY_HEAD + behind;
    let unknown = Parsed::Header {
        length,
        addresses: None,
    };
    let size = match (command, head[13]) {
        // The proxy speaks for itself.
        (0, _) => return unknown,
        (_, 0x11) => 12,
        (_, 0x21) => ADDRESSES,
        // No address, or one that means nothing here.
        (_, 0x00 | 0x31) => return unknown,
        // Datagrams, and what nobody knows.
        (_, _) => return Parsed::Malformed,
    };
    if behind < size {
        return Parsed::Malformed;
    }
    let Some(block) = bytes.get(BINARY_HEAD..BINARY_HEAD + size) else {
        return Parsed::Unfinished;
    };
    let (addresses, ports) = block.split_at(size - 4);
    let (source, destination) = addresses.split_at(addresses.len() / 2);
    let port = |at: usize| u16::from_be_bytes([ports[at], ports[at + 1]]);
    let address = |bytes: &[u8]| match <[u8; 4]>::try_from(bytes) {
        Ok(four) => IpAddr::from(four),
        Err(_) => {
            IpAddr::from(<[u8; 16]>::try_from(bytes).expect("half of the block of IPv6 addresses"))
        }
    };
    Parsed::Header {
        length,
        addresses: Some(Addresses {
            source: SocketAddr::new(address(source), port(0)),
            destination: SocketAddr::new(address(destination), port(2)),
        }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn addresses(source: &str, destination: &str) -> Option<Addresses> {
        Some(Addresses {
            source: source.parse().expect("an address"),
            destination: destination.parse().expect("an address"),
        })
    }

    fn binary_header(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).expect("a block");
        let head = [0x20 | command, family];
        [BINARY, &head, &length.to_be_bytes(), block].concat()
    }

    const V4: [u8; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 0x10, 0, 0, 80];

    #[test]
    fn headers_say_for_whom_a_connection_was_made() {
        let v4 = addresses("1.2.3.4:4096", "5.6.7.8:80");
        let v6 = addresses("[2001:db8::1]:1", "[::]:65535");
        let mut six = [0; ADDRESSES];
        six[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        six[15] = 1;
        six[32..].copy_from_slice(&[0, 1, 0xff, 0xff]);
        let with_more = [&V4[..], &[3, 0, 4, 9, 9, 9, 9]].concat();
        let cases: [(&[u8], Option<Addresses>); 11] = [
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 4096 80\r\n", v4),
            (b"PROXY TCP6 2001:db8::1 :: 1 65535\r\n", v6),
            (b"PROXY UNKNOWN\r\n", None),
            (b"PROXY UNKNOWN ffff::1 whatever 1 2\r\n", None),
            (&binary_header(1, 0x11, &V4), v4),
            (&binary_header(1, 0x11, &with_more), v4),
            (&binary_header(1, 0x21, &six), v6),
            (&binary_header(0, 0x11, &V4), None),
            (&binary_header(0, 0, b""), None),
            (&binary_header(1, 0, b"xyz"), None),
            (&binary_header(1, 0x31, &[0; 216]), None),
        ];
        for (bytes, expected) in cases {
            let header = Parsed::Header {
                length: bytes.len(),
                addresses: expected,
            };
            assert_eq!(parse(bytes), header, "{bytes:?}");
            let more = [bytes, b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(parse(&more), header, "{bytes:?} and more");
            // However little has come, it is not taken for something else.
            for end in 0..bytes.len() {
                let early = parse(&bytes[..end]);
                assert!(
                    early == Parsed::Unfinished || early == header && end >= BINARY_HEAD,
                    "{:?}: {early:?}",
                    &bytes[..end]
                );
            }
        }
    }

    #[test]
    fn what_is_no_header_is_told_from_what_is_a_bad_one() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
        let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
        assert_eq!(longest.len(), TEXT_MAX);
        assert!(matches!(parse(longest.as_bytes()), Parsed::Header { .. }));
        let malformed: [&[u8]; 18] = [
            long.as_bytes(),
            b"PROXY \r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 4096\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 4096 80 x\r\n",
            b"PROXY TCP4  1.2.3.4 5.6.7.8 4096 80\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 4096 65536\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 4096 +80\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 4096 080\r\n",
            b"PROXY TCP4 2001:db8::1 :: 1 2\r\n",
            b"PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n",
            b"PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n",
            b"PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n",
            b"PROXY UNKNOWNX\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n\r\n",
            &binary_header(2, 0x11, &V4),
            &binary_header(1, 0x12, &V4),
            &binary_header(1, 0x11, &V4[..11]),
            b"\r\n\r\n\0\r\nQUIT\n\x11\x11\0\x0c",
        ];
        for bytes in malformed {
            assert_eq!(parse(bytes), Parsed::Malformed, "{bytes:?}");
        }
        let other: [&[u8]; 5] = [
            b"GET / HTTP/1.1\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"PROXYTCP4",
            b"\x16\x03\x01",
            b"\r\n\r\nGET",
        ];
        for bytes in other {
            assert_eq!(parse(bytes), Parsed::Other, "{bytes:?}");
        }
    }

    /// What is read from a connection that brings these pieces and ends.
    fn read_from(pieces: &[&[u8]], required: bool) -> io::Result<Begun> {
        let mut builder = Pieces(pieces.iter().map(|it| it.to_vec()).collect());
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        runtime.block_on(read(&mut builder, required))
    }

    /// A connection that brings one piece at a time.
    struct Pieces(std::collections::VecDeque<Vec<u8>>);

    impl AsyncRead for Pieces {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            buf: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            if let Some(mut piece) = self.0.pop_front() {
                let rest = piece.split_off(piece.len().min(buf.remaining()));
                buf.put_slice(&piece);
                if !rest.is_empty() {
                    self.0.push_front(rest);
                }
            }
            std::task::Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn a_header_ends_where_it_ends() {
        let request = b"GET / HTTP/1.1\r\n\r\n";
        let large = binary_header(1, 0x11, &[&V4[..], &[7; 65_000]].concat());
        let v4 = addresses("1.2.3.4:4096", "5.6.7.8:80");
        let headers: [(&[u8], _); 4] = [
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 4096 80\r\n", v4),
            (&binary_header(1, 0x11, &V4), v4),
            (&binary_header(0, 0, b""), None),
            (&large, v4),
        ];
        for (header, addresses) in headers {
            for required in [true, false] {
                let whole = [header, request].concat();
                // At once, byte by byte, and with everything else.
                let bytes: Vec<&[u8]> = header.chunks(1).collect();
                for pieces in [vec![header], bytes, vec![&whole[..]]] {
                    let begun = read_from(&pieces, required).expect("a header");
                    assert_eq!(begun.addresses, addresses);
                    assert!(request.starts_with(&begun.rest), "{:?}", begun.rest);
                }
            }
            for end in 0..header.len().min(300) {
                let cut = read_from(&[&header[..end]], true).expect_err("it is cut off");
                assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof, "{end}");
            }
        }
        let none = read_from(&[request], false).expect("none is needed");
        assert_eq!((none.addresses, &none.rest[..]), (None, &request[..]));
        let begun = read_from(&[b"P", b"UT / HTTP/1.1"], false).expect("none is needed");
        assert_eq!(&begun.rest[..], b"PUT / HTTP/1.1");
        for (bytes, required) in [(&request[..], true), (b"PROXY x\r\n", false)] {
            let wrong = read_from(&[bytes], required).expect_err("no header");
            assert_eq!(wrong.kind(), io::ErrorKind::InvalidData);
        }
    }

    fn any_address() -> impl Strategy<Value = (bool, [u8; 16], [u8; 16], u16, u16)> {
        (
            any::<bool>(),
            any::<[u8; 16]>(),
            any::<[u8; 16]>(),
            any::<u16>(),
            any::<u16>(),
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read((six, from, to, port, other) in any_address(), tail in proptest::collection::vec(any::<u8>(), 0..40)) {
            let address = |bytes: [u8; 16]| match six {
                true => IpAddr::from(bytes),
                false => IpAddr::from([bytes[0], bytes[1], bytes[2], bytes[3]]),
            };
            let expected = Addresses {
                source: SocketAddr::new(address(from), port),
                destination: SocketAddr::new(address(to), other),
            };
            let (family, width) = if six { ("TCP6", 16) } else { ("TCP4", 4) };
            let text = format!("PROXY {family} {} {} {port} {other}\r\n", address(from), address(to));
            let block = [&from[..width], &to[..width], &port.to_be_bytes(), &other.to_be_bytes(), &tail].concat();
            let binary = binary_header(1, if six { 0x21 } else { 0x11 }, &block);
            for header in [text.into_bytes(), binary] {
                let parsed = Parsed::Header { length: header.len(), addresses: Some(expected) };
                prop_assert_eq!(parse(&header), parsed);
            }
        }

        #[test]
        fn nothing_makes_it_fail(begins in 0..3usize, bytes in proptest::collection::vec(any::<u8>(), 0..140)) {
            let begun = [&b""[..], TEXT, BINARY][begins];
            let whole = [begun, &bytes].concat();
            // What is decided stays decided, whatever follows.
            let mut decided = Parsed::Unfinished;
            for end in 0..=whole.len() {
                let parsed = parse(&whole[..end]);
                if decided != Parsed::Unfinished {
                    prop_assert_eq!(parsed, decided);
                }
                decided = parsed;
            }
        }
    }
}
