//! One connection from a client: HTTP/1.1, one request after the other, within time limits, until either side ends it;
//! or HTTP/2, for which [`http2`] takes over where a client begins with its preface.
//!
//! hyper's server is seen only here. It answers heads that it cannot read by itself (400, 414, 431, no body); those
//! are counted and logged when it gives up the connection.

mod extended;
mod frames;
mod framing;
mod handshake;
mod http2;
mod socket;
mod stream;
mod timed;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use http::header::{HeaderMap, TRANSFER_ENCODING};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

pub(crate) use self::handshake::{Handshakes, TlsFacts};
use self::handshake::{Secured, secure};
use self::socket::Noticed;
use self::stream::Stream;
use self::timed::{Timed, Watcher};
use crate::request;
use crate::tls::HTTP_2;
use crate::tunnel::Tunnel;
use crate::worker::Worker;

/// How long a connection that is accepted while its port drains may take to send its first byte.
const LATE_START: Duration = Duration::from_millis(100);

/// How long a TLS handshake may take while its port drains.
const LATE_HANDSHAKE: Duration = Duration::from_secs(1);

/// The headers that hyper reads unless told otherwise, without an allocation.
const HYPER_MAX_HEADERS: usize = 100;

/// Where a connection comes from and where it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Connection {
    /// The client's address.
    pub(crate) peer: SocketAddr,
    /// Our address.
    pub(crate) local: SocketAddr,
    /// The port that Gateways name, which may differ from that of `local`.
    pub(crate) port: u16,
    /// What is known of its TLS; none: it is in clear text.
    pub(crate) tls: Option<Box<TlsFacts>>,
}

impl Connection {
    /// The scheme of the URLs that are asked for over it.
    pub(crate) const fn scheme(&self) -> &'static str {
        match self.tls {
            Some(_) => "https",
            None => "http",
        }
    }
}

/// Serves a connection until it ends. When `drain` is cancelled, the request in progress is the last.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    stream: TcpStream,
    mut connection: Connection,
    drain: CancellationToken,
) {
    // Failing to set this costs speed only.
    let _ = stream.set_nodelay(true);
    let tls = worker
        .shared
        .table
        .load()
        .tls
        .port(connection.port)
        .cloned();
    let Some(port) = tls else {
        return serve_http(worker, Stream::Clear(stream), Arc::new(connection), drain).await;
    };
    let secured = Box::pin(secure(&worker, &port, stream, &drain)).await;
    let Some(Secured { stream, facts }) = secured else {
        return;
    };
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP_2);
    connection.tls = Some(facts);
    let (stream, connection) = (Stream::Tls(stream), Arc::new(connection));
    if is_http2 {
        let noted = Rc::default();
        let io = Noticed::http2(stream, Rc::clone(&noted));
        http2::serve(worker, (io, noted), connection, drain).await;
    } else {
        serve_http(worker, stream, connection, drain).await;
    }
}

/// Serves a connection that speaks HTTP/1.1, or begins to speak HTTP/2.
async fn serve_http(
    worker: Rc<Worker>,
    stream: Stream,
    connection: Arc<Connection>,
    drain: CancellationToken,
) {
    let phase = Arc::new(Phase::default());
    let limits = &worker.shared.limits;
    let (head_timeout, idle_timeout) = (limits.head_timeout, limits.idle_timeout);
    let mut builder = http1::Builder::new();
    // Heads are timed below: hyper's timer would run between requests as well.
    builder.header_read_timeout(None);
    if limits.max_headers > HYPER_MAX_HEADERS {
        builder.max_headers(limits.max_headers);
    }
    let tunnel: Rc<RefCell<Option<Tunnel>>> = Rc::default();
    let service = {
        let (worker, connection, phase) = (
            Rc::clone(&worker),
            Arc::clone(&connection),
            Arc::clone(&phase),
        );
        let tunnel = Rc::clone(&tunnel);
        let requests = Cell::new(0);
        service_fn(move |request: Request<Incoming>| {
            phase.enter(BUSY);
            requests.set(requests.get() + 1);
            let ambiguous = phase.is_ambiguous(requests.get());
            let (worker, connection, phase) = (
                Rc::clone(&worker),
                Arc::clone(&connection),
                Arc::clone(&phase),
            );
            let tunnel = Rc::clone(&tunnel);
            async move {
                let mut response = match ambiguous.or_else(|| unknown_coding(request.headers())) {
                    Some(details) => request::refuse(&worker, &connection, request, details),
                    None => request::serve(&worker, &connection, request).await,
                };
                tunnel.replace(response.body_mut().take_tunnel());
                Ok::<_, Infallible>(response.map(|body| Timed::new(body, phase)))
            }
        })
    };
    let io = TokioIo::new(Noticed::new(stream, Arc::clone(&phase)));
    let mut served = builder.serve_connection(io, service);

    let mut seen = phase.read();
    let mut since = Instant::now();
    let mut alarm = pin!(sleep_until(since + idle_timeout));
    let mut draining = pin!(drain.cancelled());
    let mut late_start = None;
    loop {
        let event = std::future::poll_fn(|cx| {
            if let Poll::Ready(result) = Pin::new(&mut served).poll(cx) {
                return Poll::Ready(Event::Ended(result));
            }
            let now = phase.read();
            if now != seen {
                (seen, since) = (now, Instant::now());
                // The alarm only ever goes off too early, and is then set anew.
                if let Some(due) = seen.due(since, head_timeout, idle_timeout)
                    && due < alarm.deadline()
                {
                    alarm.as_mut().reset(due);
                }
            }
            if let Some(due) = phase.overdue_from()
                && due < alarm.deadline()
            {
                alarm.as_mut().reset(due);
            }
            if late_start.is_none() && draining.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Event::Drain);
            }
            alarm.as_mut().poll(cx).map(|()| Event::Alarm)
        })
        .await;
        match event {
            Event::Ended(Ok(())) => {
                if let Some(tunnel) = tunnel.take() {
                    let http1::Parts { io, read_buf, .. } = served.into_parts();
                    tunnel.run(io.into_inner().unwatched(&read_buf)).await;
                }
                return;
            }
            Event::Ended(Err(error)) if error.is_parse_version_h2() => {
                let http1::Parts { io, read_buf, .. } = served.into_parts();
                let noted = Rc::default();
                let io = io.into_inner().with_http2(&read_buf, Rc::clone(&noted));
                return http2::serve(worker, (io, noted), connection, drain.clone()).await;
            }
            Event::Ended(Err(error)) => return ended(&worker, &connection, &error),
            Event::Drain => {
                let start = since + LATE_START;
                late_start = Some(start);
                if seen.is_untouched() {
                    // Its first request may be on its way.
                    alarm.as_mut().reset(start);
                } else {
                    Pin::new(&mut served).graceful_shutdown();
                }
            }
            Event::Alarm => {
                let now = Instant::now();
                if late_start.is_some_and(|start| start <= now) {
                    Pin::new(&mut served).graceful_shutdown();
                }
                if phase.overdue_from().is_some_and(|due| due <= now) {
                    // The exchange, dropped with the connection, knows and notes which limit it was.
                    return;
                }
                let due = seen.due(since, head_timeout, idle_timeout);
                if due.is_some_and(|due| due <= now) {
                    if seen.state() == HEAD {
                        worker.shared.downstream.cx_head_timeout.count();
                        say_timeout(&mut served.into_parts().io.into_inner());
                    } else {
                        worker.shared.downstream.cx_idle_timeout.count();
                    }
                    return;
                }
                alarm.as_mut().reset(due.unwrap_or(now + head_timeout));
            }
        }
    }
}

enum Event {
    Ended(hyper::Result<()>),
    Drain,
    Alarm,
}

/// Says when a request's body is in a form that would have to be undone by somebody: in codings before `chunked`.
///
/// Of what could be read in two ways, hyper itself refuses lengths that differ or are no numbers, codings that do not end
/// in `chunked`, codings in HTTP/1.0, folded lines and spaces before colons; [`Framing`] finds a length beside a coding.
fn unknown_coding(headers: &HeaderMap) -> Option<&'static str> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let only_chunked = match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    };
    (!only_chunked).then_some("http1.invalid_transfer_encoding")
}

/// Notes how a connection ended that did not end well.
fn ended(worker: &Worker, connection: &Arc<Connection>, error: &hyper::Error) {
    if !error.is_parse() {
        // Clients that leave early are everyday life.
        let Connection {
            ref peer,
            local: _,
            port,
            tls: _,
        } = **connection;
        tracing::debug!(%peer, port, %error, "connection ended");
        return;
    }
    // What hyper has answered; it does not say, but always does the same.
    let status = if error.is_parse_too_large() {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    } else {
        StatusCode::BAD_REQUEST
    };
    request::unreadable(worker, connection, Some(status), error.to_string());
}

/// Tells a client that its head took too long, as far as the socket takes it.
fn say_timeout(io: &mut Noticed) {
    io.stream().try_send(
        b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    );
}

const IDLE: u32 = 0;
const HEAD: u32 = 1;
const BUSY: u32 = 2;

/// What a connection is doing (idle, in the middle of a head, busy with a request), and how often that has changed.
/// Only its own worker looks at it; it is an atomic because bodies, which are `Send`, hold it.
#[derive(Debug, Default)]
struct Phase {
    state: AtomicU32,
    /// The first request whose framing can be read in two ways, counted from 1; 0: none.
    ambiguous: AtomicU64,
    /// When a limit of the response in progress passes if nothing moves. A client that takes nothing keeps its body
    /// from being polled, and so from noticing by itself.
    overdue: Mutex<Option<Instant>>,
}

/// A reading of [`Phase`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen(u32);

impl Phase {
    fn read(&self) -> Seen {
        Seen(self.state.load(Ordering::Relaxed))
    }

    /// Why the request of this number is not to be trusted, if it is not.
    fn is_ambiguous(&self, request: u64) -> Option<&'static str> {
        (self.ambiguous.load(Ordering::Relaxed) == request)
            .then_some("http1.content_length_and_chunked_not_allowed")
    }

    /// When the response in progress has not moved for too long, if it does not move before.
    fn overdue_from(&self) -> Option<Instant> {
        *self.overdue.lock()
    }

    fn enter(&self, state: u32) {
        let changes = (self.state.load(Ordering::Relaxed) & !3).wrapping_add(4);
        self.state.store(changes | state, Ordering::Relaxed);
    }
}

impl Watcher for Phase {
    fn moves_until(&self, due: Option<Instant>) {
        *self.overdue.lock() = due;
    }

    fn ended(&self) {
        *self.overdue.lock() = None;
        self.enter(IDLE);
    }
}

impl Seen {
    fn state(self) -> u32 {
        self.0 & 3
    }

    /// Whether nothing has come yet.
    fn is_untouched(self) -> bool {
        self.0 == 0
    }

    /// When the connection is to be closed, if it stays as it has been since `since`.
    fn due(self, since: Instant, head: Duration, idle: Duration) -> Option<Instant> {
        match self.state() {
            IDLE => Some(since + idle),
            HEAD => Some(since + head),
            _ => None,
        }
    }
}
