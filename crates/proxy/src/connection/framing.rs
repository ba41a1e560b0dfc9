//! Where heads begin and end in what a client sends, followed beside hyper for two reasons: of a request that has both
//! a length and a transfer coding, hyper drops the length without a trace; and in trailers it reads on where a bare line
//! feed ends a line to others. Such requests are to be refused.
//!
//! Nothing is decided here about what hyper refuses by itself, since the connection ends with it.

use memchr::memchr;

/// Bytes kept of a line that comes in pieces. What matters of a line is at its beginning.
const LINE: usize = 256;

/// Follows the requests of one connection.
#[derive(Debug, Default)]
pub(super) struct Framing {
    at: At,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    /// The last byte that came of that line, however much of it is kept.
    before: Option<u8>,
    head: Head,
    /// Heads that have ended.
    heads: u64,
    /// What is wrong. Nothing behind it is looked at.
    wrong: Option<Wrong>,
}

/// What is wrong with the requests of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// The framing of this request, counted from 1, can be read in two ways.
    Framing(u64),
    /// Nobody knows where a body ends.
    End,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// In a head, or before one.
    #[default]
    Head,
    /// In a body with so many bytes to come.
    Body(u64),
    /// In the line that gives a chunk's size.
    Size,
    /// In a chunk with so many bytes to come, its line end included.
    Chunk(u64),
    /// Behind the last chunk.
    Trailers,
    /// Somewhere behind the last request of the connection.
    Beyond,
}

/// What a head has said so far.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    begun: bool,
    length: Option<u64>,
    coded: bool,
    /// Whether it has a length that is no number, as far as it is kept.
    unclear: bool,
}

impl Framing {
    /// Takes the next bytes; says what is wrong, once something is.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) -> Option<Wrong> {
        while !bytes.is_empty() {
            match self.at {
                At::Body(left) => bytes = self.skip(bytes, left, At::Body, At::Head),
                At::Chunk(left) => bytes = self.skip(bytes, left, At::Chunk, At::Size),
                At::Head | At::Size | At::Trailers => bytes = self.line(bytes),
                At::Beyond => break,
            }
        }
        self.wrong
    }

    fn skip<'a>(
        &mut self,
        bytes: &'a [u8],
        left: u64,
        within: fn(u64) -> At,
        after: At,
    ) -> &'a [u8] {
        let taken = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let left = left - taken as u64;
        self.at = if left == 0 { after } else { within(left) };
        &bytes[taken..]
    }

    fn line<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Some(end) = memchr(b'\n', bytes) else {
            keep(&mut self.line, bytes);
            self.before = bytes.last().copied();
            return &[];
        };
        let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
        let before = std::mem::take(&mut self.before);
        let returned = line.last().copied().or(before) == Some(b'\r');
        if self.line.is_empty() {
            self.whole_line(line, returned);
        } else {
            let mut begun = std::mem::take(&mut self.line);
            keep(&mut begun, line);
            self.whole_line(&begun, returned);
        }
        rest
    }

    /// `returned`: whether its end is CRLF, and not a bare line feed.
    fn whole_line(&mut self, line: &[u8], returned: bool) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match self.at {
            At::Head if !line.is_empty() => self.head_line(line),
            At::Head if self.head.begun => self.head_ended(),
            At::Size => self.at = chunk(line).unwrap_or(At::Beyond),
            // To hyper, a bare line feed does not end a trailer: who reads it so sees another request next.
            At::Trailers if !returned => self.refuse(Wrong::End),
            At::Trailers if line.is_empty() => self.at = At::Head,
            At::Head | At::Trailers | At::Body(_) | At::Chunk(_) | At::Beyond => {}
        }
    }

    fn head_line(&mut self, line: &[u8]) {
        if !self.head.begun {
            self.head.begun = true;
        } else if let Some(value) = value(line, b"content-length") {
            // Of two that differ, hyper refuses the second.
            match number(value.trim_ascii(), 10) {
                Some(length) => self.head.length = Some(length),
                None => self.head.unclear = true,
            }
        } else if value(line, b"transfer-encoding").is_some() {
            self.head.coded = true;
        }
    }

    fn head_ended(&mut self) {
        let Head {
            begun: _,
            length,
            coded,
            unclear,
        } = std::mem::take(&mut self.head);
        self.heads += 1;
        match (length, coded) {
            _ if unclear => self.refuse(Wrong::Framing(self.heads)),
            (Some(_), true) => self.refuse(Wrong::Framing(self.heads)),
            (None, true) => self.at = At::Size,
            (None | Some(0), false) => {}
            (Some(length), false) => self.at = At::Body(length),
        }
    }

    fn refuse(&mut self, wrong: Wrong) {
        self.wrong = Some(wrong);
        self.at = At::Beyond;
    }
}

fn keep(kept: &mut Vec<u8>, bytes: &[u8]) {
    let room = LINE.saturating_sub(kept.len()).min(bytes.len());
    kept.extend_from_slice(&bytes[..room]);
}

/// The value in a header line, if it is that header's.
fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (head, value) = line.split_at_checked(name.len())?;
    let value = value.strip_prefix(b":")?;
    head.eq_ignore_ascii_case(name).then_some(value)
}

/// What follows the line of a chunk's size. None: it is no such line.
fn chunk(line: &[u8]) -> Option<At> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit());
    match number(&line[..digits.count()], 16)? {
        0 => Some(At::Trailers),
        size => size.checked_add(2).map(At::Chunk),
    }
}

fn number(digits: &[u8], radix: u32) -> Option<u64> {
    let digits = std::str::from_utf8(digits).ok()?;
    u64::from_str_radix(digits, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: &str = "POST / HTTP/1.1\r\nhost: h\r\nContent-Length: 5\r\n\r\nhello";
    const CHUNKED: &str = "POST / HTTP/1.1\r\ntransfer-encoding:chunked\r\n\r\n5;a=b\r\nhello\r\n\
                           1a \r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nx: content-length\r\n\r\n";
    const BOTH: &str =
        "POST / HTTP/1.1\r\ncontent-length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";

    /// The verdict, the same however the bytes are cut.
    fn verdict(input: &str) -> Option<Wrong> {
        let whole = Framing::default().follow(input.as_bytes());
        for size in 1..=input.len().min(40) {
            let mut framing = Framing::default();
            let mut found = None;
            for piece in input.as_bytes().chunks(size) {
                found = framing.follow(piece);
            }
            assert_eq!(found, whole, "{input:?} in pieces of {size}");
        }
        whole
    }

    #[test]
    fn the_first_request_with_two_framings_is_found() {
        let get = "GET /transfer-encoding:chunked HTTP/1.1\r\nhost: content-length\r\n\r\n";
        let swapped = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 0\r\n\r\n";
        let bare = "POST / HTTP/1.1\ncontent-length: 5\ntransfer-encoding: chunked\n\n";
        let long = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(1_000));
        let late = format!(
            "POST / HTTP/1.1\r\ncontent-length:{}5\r\n\r\n",
            " ".repeat(100)
        );
        let hidden = LENGTH.replace("hello", "A\r\n\r\n");
        let cases = [
            (get.to_owned(), None),
            (LENGTH.to_owned(), None),
            (CHUNKED.to_owned(), None),
            (BOTH.to_owned(), Some(1)),
            (swapped.to_owned(), Some(1)),
            (bare.to_owned(), Some(1)),
            (format!("\r\n\n{get}\r\n{BOTH}"), Some(2)),
            (
                "POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n".to_owned(),
                Some(1),
            ),
            (
                format!(
                    "{}{BOTH}",
                    CHUNKED.replace("x: ", &format!("x: {}", "y".repeat(1_000)))
                ),
                Some(2),
            ),
            (format!("{LENGTH}{BOTH}"), Some(2)),
            (format!("{CHUNKED}{LENGTH}{long}{CHUNKED}{BOTH}"), Some(5)),
            (format!("{hidden}{get}{BOTH}"), Some(3)),
            (format!("{late}hello{BOTH}"), Some(2)),
            (format!("{BOTH}{get}"), Some(1)),
            // In the body of another, it is no request.
            (
                format!(
                    "POST / HTTP/1.1\r\ncontent-length: {}\r\n\r\n{BOTH}{get}",
                    BOTH.len()
                ),
                None,
            ),
            // Line ends that others might take for the end of the trailers.
            (
                format!(
                    "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: a\n\r\n{get}"
                ),
                Some(0),
            ),
        ];
        for (input, expected) in cases {
            // No request has the number 0: here it is one without an end.
            let expected = expected.map(|request| match request {
                0 => Wrong::End,
                request => Wrong::Framing(request),
            });
            assert_eq!(verdict(&input), expected, "{input:?}");
        }
    }

    #[test]
    fn what_is_no_http_is_left_to_hyper() {
        let inputs = [
            "\u{16}\u{3}\u{1}",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 18446744073709551615\r\n\r\nabc",
        ];
        for input in inputs {
            assert_eq!(verdict(input), None, "{input:?}");
        }
    }
}
