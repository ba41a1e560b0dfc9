//! What the fuzz target `wire` does with bytes: it gives them to what looks at a client's bytes before hyper has them, and
//! checks that this sees the same as hyper. `crates/proxy/tests/fuzz.rs` does the same with edits of a few files.

// Private to the data plane, and to stay so.
#[path = "../crates/proxy/src/connection/frames.rs"]
mod frames;
#[path = "../crates/proxy/src/connection/framing.rs"]
mod framing;
#[path = "../crates/proxy/src/path.rs"]
mod path;
#[path = "../crates/proxy/src/connection/proxy_protocol.rs"]
mod proxy_protocol;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::header::{CONNECTION, UPGRADE};
use http::{Method, Request, Response, Version};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::frames::{Frames, Noted};
use self::framing::{Framing, Wrong};
use self::path::{Normalised, normalise};
use self::proxy_protocol::{Parsed, parse};
use weir_plan::{EscapedSlashes, PathNormalisation};

/// A request that can be read in two ways.
const BOTH: &[u8] =
    b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";

/// Checks these bytes: as requests in HTTP/1.1, as frames of HTTP/2, as the header of a proxy in front, and as a
/// path.
///
/// # Panics
/// Where something is found that does not hold.
pub(crate) fn from_bytes(bytes: &[u8]) {
    requests(bytes);
    frames_of(bytes);
    proxy_header(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        paths(text);
    }
}

/// Whatever hyper takes for whole requests, the next one is known to be the next.
fn requests(bytes: &[u8]) {
    let whole = Framing::default().follow(bytes);
    let mut framing = Framing::default();
    let mut found = None;
    for piece in bytes.chunks(7) {
        found = framing.follow(piece);
    }
    assert_eq!(found, whole, "in pieces it looks different");
    if whole.is_some() {
        return;
    }
    let Some(count) = read_by_hyper(bytes) else {
        return;
    };
    let more = [bytes, BOTH].concat();
    let found = Framing::default().follow(&more);
    assert_eq!(found, Some(Wrong::Framing(count + 1)));
}

/// How many requests hyper sees, where these are whole and the connection would go on with another.
fn read_by_hyper(bytes: &[u8]) -> Option<u64> {
    let (count, last) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
    let service = {
        let (count, last) = (Rc::clone(&count), Rc::clone(&last));
        service_fn(move |request: Request<Incoming>| {
            let (count, last) = (Rc::clone(&count), Rc::clone(&last));
            async move {
                let (head, body) = request.into_parts();
                let ends = head.version != Version::HTTP_11
                    || head.method == Method::CONNECT
                    || head.headers.contains_key(CONNECTION)
                    || head.headers.contains_key(UPGRADE);
                last.set(last.get() || ends);
                match body.collect().await {
                    Ok(_) => count.set(count.get() + 1),
                    Err(_) => last.set(true),
                }
                Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
            }
        })
    };
    let left = Rc::new(RefCell::new(bytes.to_vec()));
    let mut builder = http1::Builder::new();
    builder.header_read_timeout(None);
    let served = builder.serve_connection(TokioIo::new(Input(Rc::clone(&left))), service);
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let ended = runtime.expect("a runtime").block_on(served);
    let whole = ended.is_ok() && left.borrow().is_empty() && !last.get();
    whole.then(|| count.get())
}

/// A socket over which so much comes, and to which everything can be written.
struct Input(Rc<RefCell<Vec<u8>>>);

impl AsyncRead for Input {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut left = self.0.borrow_mut();
        let some = left.len().min(buf.remaining());
        buf.put_slice(&left[..some]);
        left.drain(..some);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Input {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Frames look the same however they are cut.
fn frames_of(bytes: &[u8]) {
    let input = [frames::PREFACE, bytes].concat();
    let seen = |size: usize| {
        let noted = Rc::<Noted>::default();
        let mut frames = Frames::new(Rc::clone(&noted));
        let mut fine = true;
        for piece in input.chunks(size) {
            fine &= frames.follow(piece);
        }
        (fine, noted.unfinished.get().is_some())
    };
    assert_eq!(seen(input.len()), seen(5));
}

/// The normal form of a path is one, and where slashes are merged it has none beside another.
fn paths(text: &str) {
    let actions = [
        EscapedSlashes::KeepUnchanged,
        EscapedSlashes::RejectRequest,
        EscapedSlashes::UnescapeAndRedirect,
        EscapedSlashes::UnescapeAndForward,
    ];
    for escaped_slashes in actions {
        for merge_slashes in [true, false] {
            let rules = PathNormalisation {
                merge_slashes,
                escaped_slashes,
            };
            let normal = match normalise(text, rules) {
                Normalised::Same | Normalised::Refused => continue,
                Normalised::Changed(normal) | Normalised::Redirect(normal) => normal,
            };
            assert_eq!(
                normalise(&normal, rules),
                Normalised::Same,
                "{text:?} {normal:?}"
            );
            assert!(
                normal.starts_with('/') && !normal.contains("/../"),
                "{normal:?}"
            );
            assert!(!(merge_slashes && normal.contains("//")), "{normal:?}");
        }
    }
}

/// What the first bytes say of a PROXY header stays said, whatever follows.
fn proxy_header(bytes: &[u8]) {
    for begun in [&b""[..], b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n\x21"] {
        let whole = [begun, bytes].concat();
        let mut said = Parsed::Unfinished;
        for end in 0..=whole.len().min(130) {
            let parsed = parse(&whole[..end]);
            assert!(
                said == Parsed::Unfinished || said == parsed,
                "{said:?} {parsed:?}"
            );
            said = parsed;
        }
    }
}
