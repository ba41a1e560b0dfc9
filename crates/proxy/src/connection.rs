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
mod life;
mod phase;
mod proxy_protocol;
mod socket;
mod stream;
mod timed;

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HeaderMap, TRANSFER_ENCODING};
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use weir_plan::DownstreamProxyProtocol;

pub(crate) use self::handshake::{Handshakes, TlsFacts};
use self::handshake::{Secured, Times, secure};
use self::life::Life;
use self::phase::{BUSY, HEAD, Phase};
use self::socket::Noticed;
use self::stream::{Socket, Stream};
use self::timed::Timed;
use crate::body::Body;
use crate::client::{ClientSettings, ConnectionTimes};
use crate::features::timeout::RECEIVED_TOO_LATE;
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

/// The bytes of a head that hyper holds unless told otherwise.
const HYPER_BUFFER: usize = 8_192 + 4_096 * 100;

/// Where a connection comes from and where it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Connection {
    /// The address at the other end, or whom its PROXY header names.
    pub(crate) peer: SocketAddr,
    /// The address at the other end, whatever it says.
    pub(crate) direct: SocketAddr,
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
    let shared = Arc::clone(&worker.shared);
    let (tls, settings) = {
        let table = shared.table.load();
        let settings = table.clients.of_port(connection.port);
        (
            table.tls.port(connection.port).cloned(),
            Arc::clone(settings),
        )
    };
    let socket = &settings.policy().socket;
    let inspected = Instant::now() + socket.inspection_timeout;
    let begun = match socket.proxy_protocol {
        None => Some(Socket::new(stream, Bytes::new())),
        Some(wanted) => {
            let late = async {
                drain.cancelled().await;
                sleep(LATE_HANDSHAKE).await;
            };
            tokio::select! {
                biased;
                begun = introduced(&worker, stream, wanted, inspected, &mut connection) => begun,
                () = late => None,
            }
        }
    };
    let Some(stream) = begun else { return };
    let Some(port) = tls else {
        return serve_http(worker, Stream::Clear(stream), Arc::new(connection), drain).await;
    };
    let times = Times {
        inspected,
        handshake: socket
            .handshake_timeout
            .unwrap_or(shared.limits.handshake_timeout),
    };
    let secured = Box::pin(secure(&worker, &port, stream, times, &drain)).await;
    let Some(Secured { stream, facts }) = secured else {
        return;
    };
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP_2);
    connection.tls = Some(facts);
    let (stream, connection) = (Stream::Tls(stream), Arc::new(connection));
    if is_http2 {
        let noted = Rc::default();
        let io = Noticed::http2(stream, Rc::clone(&noted));
        let settings = settings_of(&worker, &connection);
        Box::pin(http2::serve(
            worker,
            (io, noted),
            connection,
            &settings,
            drain,
        ))
        .await;
    } else {
        serve_http(worker, stream, connection, drain).await;
    }
}

/// Reads the PROXY header at the beginning of a connection, which says whose it is. None: it has been closed, which is
/// counted.
async fn introduced(
    worker: &Worker,
    mut stream: TcpStream,
    wanted: DownstreamProxyProtocol,
    until: Instant,
    connection: &mut Connection,
) -> Option<Socket> {
    let required = wanted == DownstreamProxyProtocol::Required;
    let downstream = &worker.shared.downstream;
    match timeout_at(until, proxy_protocol::read(&mut stream, required)).await {
        Ok(Ok(proxy_protocol::Begun { addresses, rest })) => {
            if let Some(proxy_protocol::Addresses {
                source,
                destination,
            }) = addresses
            {
                (connection.peer, connection.local) = (source, destination);
            }
            Some(Socket::new(stream, rest))
        }
        Ok(Err(error)) => {
            let Connection {
                peer,
                direct: _,
                local: _,
                port,
                tls: _,
            } = connection;
            tracing::debug!(%peer, port, %error, "a connection without a proper PROXY header");
            downstream.cx_proxy_protocol.count();
            None
        }
        Err(_) => {
            downstream.cx_inspection_timeout.count();
            None
        }
    }
}

/// How the listener of a connection deals with its clients.
fn settings_of(worker: &Worker, connection: &Connection) -> Arc<ClientSettings> {
    Arc::clone(worker.shared.table.load().clients.of(connection))
}

/// Serves a connection that speaks HTTP/1.1, or begins to speak HTTP/2.
async fn serve_http(
    worker: Rc<Worker>,
    stream: Stream,
    connection: Arc<Connection>,
    drain: CancellationToken,
) {
    let limits = &worker.shared.limits;
    let settings = settings_of(&worker, &connection);
    let times = settings.times(limits);
    let policy = settings.policy();
    let phase = Phase::new(times.request.is_some());
    let life = Rc::new(Life::begin(&policy.connection, Instant::now()));
    let mut builder = http1::Builder::new();
    // Heads are timed below: hyper's timer would run between requests as well.
    builder.header_read_timeout(None);
    if limits.max_headers > HYPER_MAX_HEADERS {
        builder.max_headers(limits.max_headers);
    }
    if let Some(bytes) = policy.headers.max_bytes {
        let bytes = (bytes as usize).max(HYPER_BUFFER);
        builder.max_buf_size(bytes);
    }
    builder.preserve_header_case(policy.http1.preserve_header_case);
    let tunnel: Rc<RefCell<Option<Tunnel>>> = Rc::default();
    let service = {
        let (worker, connection, phase) = (
            Rc::clone(&worker),
            Arc::clone(&connection),
            Arc::clone(&phase),
        );
        let (tunnel, life) = (Rc::clone(&tunnel), Rc::clone(&life));
        service_fn(move |request: Request<Incoming>| {
            phase.enter(BUSY);
            let ambiguous = phase.is_ambiguous(life.request());
            let (worker, connection, phase) = (
                Rc::clone(&worker),
                Arc::clone(&connection),
                Arc::clone(&phase),
            );
            let (tunnel, life) = (Rc::clone(&tunnel), Rc::clone(&life));
            async move {
                let begun = phase.begun();
                let mut response = match ambiguous.or_else(|| unknown_coding(request.headers())) {
                    Some(details) => request::refuse(&worker, &connection, request, details),
                    None => request::serve(&worker, &connection, request, begun).await,
                };
                close_behind_last(&worker, &life, &mut response);
                tunnel.replace(response.body_mut().take_tunnel());
                Ok::<_, Infallible>(response.map(|body| Timed::new(body, phase)))
            }
        })
    };
    let io = TokioIo::new(Noticed::new(stream, Arc::clone(&phase)));
    let mut served = builder.serve_connection(io, service);

    let mut seen = phase.read();
    let mut since = Instant::now();
    let recheck = limits.head_timeout;
    let first = seen.due(since, &times).unwrap_or(since + recheck);
    let mut alarm = pin!(sleep_until(first));
    let mut draining = pin!(drain.cancelled());
    // Where it need not be safe, it ends between two requests.
    let mut old = pin!(async {
        match policy.http1.safe_max_duration {
            true => std::future::pending().await,
            false => life.old().await,
        }
    });
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
                if let Some(due) = seen.due(since, &times)
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
            if late_start.is_none() && old.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Event::Old);
            }
            alarm.as_mut().poll(cx).map(|()| Event::Alarm)
        })
        .await;
        match event {
            Event::Ended(Ok(())) => {
                if let Some(tunnel) = tunnel.take() {
                    let http1::Parts { io, read_buf, .. } = served.into_parts();
                    Box::pin(tunnel.run(io.into_inner().unwatched(&read_buf))).await;
                }
                return;
            }
            Event::Ended(Err(error)) if error.is_parse_version_h2() => {
                let http1::Parts { io, read_buf, .. } = served.into_parts();
                let noted = Rc::default();
                let io = io.into_inner().with_http2(&read_buf, Rc::clone(&noted));
                let drain = drain.clone();
                let served = http2::serve(worker, (io, noted), connection, &settings, drain);
                return Box::pin(served).await;
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
            Event::Old => {
                life::Over::Age.count(&worker.shared.downstream);
                late_start = Some(since);
                Pin::new(&mut served).graceful_shutdown();
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
                let due = seen.due(since, &times);
                if due.is_some_and(|due| due <= now) {
                    if seen.state() == HEAD {
                        worker.shared.downstream.cx_head_timeout.count();
                        let said = too_late(&worker, &connection, &settings, &times);
                        say_timeout(&mut served.into_parts().io.into_inner(), said);
                    } else {
                        worker.shared.downstream.cx_idle_timeout.count();
                    }
                    return;
                }
                alarm.as_mut().reset(due.unwrap_or(now + recheck));
            }
        }
    }
}

enum Event {
    Ended(hyper::Result<()>),
    Drain,
    /// It has lived as long as it may.
    Old,
    Alarm,
}

/// Says of the last response of a connection that it is.
fn close_behind_last(worker: &Worker, life: &Life, response: &mut Response<Body>) {
    if !life.is_limited() || response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return;
    }
    if let Some(over) = life.is_over(Instant::now()) {
        over.count(&worker.shared.downstream);
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
}

/// Notes a head that took longer than the policy of its listener allows, and returns what the client is told.
fn too_late(
    worker: &Worker,
    connection: &Arc<Connection>,
    settings: &ClientSettings,
    times: &ConnectionTimes,
) -> &'static str {
    let (details, said) = if times.request.is_some_and(|it| it < times.head) {
        (RECEIVED_TOO_LATE, "request timeout")
    } else if settings.policy().timeout.request_headers_received.is_some() {
        ("request_header_timeout", "request header timeout")
    } else {
        return "";
    };
    request::late(worker, connection, details);
    said
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
            direct: _,
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
fn say_timeout(io: &mut Noticed, said: &str) {
    let kind = match said {
        "" => "",
        _ => "content-type: text/plain\r\n",
    };
    let length = said.len();
    let response = format!(
        "HTTP/1.1 408 Request Timeout\r\n{kind}content-length: {length}\r\nconnection: close\r\n\r\n{said}"
    );
    io.stream().try_send(response.as_bytes());
}
