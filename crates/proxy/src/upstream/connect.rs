//! Makes a connection to an endpoint, and drives it until it ends.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::client::TlsStream;
use weir_plan::EndpointAddress;

use super::http2;
use super::pool::Slot;
use super::{Channel, EndpointState, Overdue, SendErrorKind};
use crate::cluster::ClusterState;
use crate::tunnel::Wire;
use crate::writes::passes_on_writes;

/// How long a connection may take to be ready again after a response, where another worker drives it.
const TURNAROUND: Duration = Duration::from_millis(100);

/// Makes a connection in the room that a slot gives. An endpoint that has a choice may choose another protocol; then the
/// connection is there for requests in that one.
///
/// # Errors
/// When it cannot be made, or not within the cluster's connect timeout, or the endpoint has chosen another protocol.
pub(super) async fn open(
    cluster: &Arc<ClusterState>,
    endpoint: &Arc<EndpointState>,
    worker: usize,
    slot: Slot,
    offer: Offer,
) -> Result<Channel, SendErrorKind> {
    let opened = async {
        let (socket, http2) = dial(cluster, endpoint, offer).await?;
        if http2 {
            drop(speak_http2(cluster, endpoint, worker, slot, socket).await?);
            return Ok(None);
        }
        speak_http1(cluster, endpoint, worker, slot, socket)
            .await
            .map(Some)
    };
    in_time(cluster, opened).await?.ok_or_else(another_protocol)
}

/// The same for bytes that are nobody's business.
pub(super) async fn open_raw(
    cluster: &Arc<ClusterState>,
    endpoint: &Arc<EndpointState>,
    slot: Slot,
) -> Result<Box<dyn Wire>, SendErrorKind> {
    let opened = async {
        let (socket, _) = dial(cluster, endpoint, Offer::OnlyHttp1).await?;
        Ok(match socket {
            Dialled::Tcp(it) => raw(it, slot),
            Dialled::Unix(it) => raw(it, slot),
            Dialled::TlsOverTcp(it) => raw(it, slot),
            Dialled::TlsOverUnix(it) => raw(it, slot),
        })
    };
    in_time(cluster, opened).await
}

fn raw(stream: impl Wire + 'static, slot: Slot) -> Box<dyn Wire> {
    Box::new(Socket {
        stream,
        _slot: slot,
    })
}

/// The same for HTTP/2; with a place on the connection for the request that it is made for.
pub(super) async fn open_http2(
    cluster: &Arc<ClusterState>,
    endpoint: &Arc<EndpointState>,
    worker: usize,
    slot: Slot,
) -> Result<http2::Stream, SendErrorKind> {
    let opened = async {
        let (socket, http2) = dial(cluster, endpoint, Offer::Http2).await?;
        if http2 {
            return speak_http2(cluster, endpoint, worker, slot, socket)
                .await
                .map(Some);
        }
        let mut channel = speak_http1(cluster, endpoint, worker, slot, socket).await?;
        // For the request that it was made for to find it.
        let ready = channel.sender.ready().await;
        ready.map_err(|error| error.to_string())?;
        cluster.release(endpoint, channel);
        Ok(None)
    };
    in_time(cluster, opened).await?.ok_or_else(another_protocol)
}

/// Which protocol a connection is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// HTTP/1.1, and nothing else will do.
    OnlyHttp1,
    /// HTTP/1.1, unless the endpoint may choose.
    Http1,
    /// HTTP/2, unless the endpoint may choose.
    Http2,
}

fn another_protocol() -> SendErrorKind {
    let reason = "the endpoint has chosen another protocol than before".to_owned();
    SendErrorKind::Connect { reason }
}

async fn in_time<T>(
    cluster: &ClusterState,
    opened: impl Future<Output = Result<T, String>>,
) -> Result<T, SendErrorKind> {
    let limit = cluster.policy().timeout.connect;
    match timeout(limit, opened).await {
        Ok(Ok(connection)) => {
            cluster.stats.cx_total.count();
            Ok(connection)
        }
        Ok(Err(reason)) => {
            cluster.stats.cx_connect_fail.count();
            Err(SendErrorKind::Connect { reason })
        }
        Err(_) => {
            cluster.stats.cx_connect_fail.count();
            cluster.stats.cx_connect_timeout.count();
            Err(SendErrorKind::ConnectTimeout)
        }
    }
}

/// What carries requests to an endpoint.
enum Dialled {
    Tcp(TcpStream),
    Unix(UnixStream),
    TlsOverTcp(Box<TlsStream<TcpStream>>),
    TlsOverUnix(Box<TlsStream<UnixStream>>),
}

/// Connects to an endpoint, and speaks TLS where the cluster asks for it. With whether HTTP/2 is to be spoken.
async fn dial(
    cluster: &ClusterState,
    endpoint: &EndpointState,
    offer: Offer,
) -> Result<(Dialled, bool), String> {
    let socket = socket(endpoint).await?;
    let http2 = offer == Offer::Http2;
    let Some(tls) = cluster.tls() else {
        return Ok((socket, http2));
    };
    let to = &endpoint.endpoint;
    let only_http1 = offer == Offer::OnlyHttp1;
    let (secured, chosen) = match socket {
        Dialled::Tcp(it) => {
            let (stream, chosen) = tls.connect(it, to, only_http1).await?;
            (Dialled::TlsOverTcp(Box::new(stream)), chosen)
        }
        Dialled::Unix(it) => {
            let (stream, chosen) = tls.connect(it, to, only_http1).await?;
            (Dialled::TlsOverUnix(Box::new(stream)), chosen)
        }
        Dialled::TlsOverTcp(_) | Dialled::TlsOverUnix(_) => return Ok((socket, http2)),
    };
    if cluster.is_negotiated() && !only_http1 {
        endpoint.declined_http2.store(!chosen, Ordering::Relaxed);
        return Ok((secured, chosen));
    }
    // An endpoint that is offered nothing has no choice.
    if tls.has_alpn() && chosen != http2 {
        let what = if http2 {
            "does not speak HTTP/2"
        } else {
            "speaks HTTP/2"
        };
        return Err(format!(
            "TLS: the endpoint {what}, by what it has chosen of ALPN"
        ));
    }
    Ok((secured, http2))
}

async fn speak_http1(
    cluster: &Arc<ClusterState>,
    endpoint: &Arc<EndpointState>,
    worker: usize,
    slot: Slot,
    socket: Dialled,
) -> Result<Channel, String> {
    match socket {
        Dialled::Tcp(it) => speak(cluster, endpoint, worker, slot, it).await,
        Dialled::Unix(it) => speak(cluster, endpoint, worker, slot, it).await,
        Dialled::TlsOverTcp(it) => speak(cluster, endpoint, worker, slot, it).await,
        Dialled::TlsOverUnix(it) => speak(cluster, endpoint, worker, slot, it).await,
    }
}

async fn speak_http2(
    cluster: &Arc<ClusterState>,
    endpoint: &Arc<EndpointState>,
    worker: usize,
    slot: Slot,
    socket: Dialled,
) -> Result<http2::Stream, String> {
    match socket {
        Dialled::Tcp(it) => http2::speak(cluster, endpoint, worker, slot, it).await,
        Dialled::Unix(it) => http2::speak(cluster, endpoint, worker, slot, it).await,
        Dialled::TlsOverTcp(it) => http2::speak(cluster, endpoint, worker, slot, it).await,
        Dialled::TlsOverUnix(it) => http2::speak(cluster, endpoint, worker, slot, it).await,
    }
}

async fn socket(endpoint: &EndpointState) -> Result<Dialled, String> {
    let said = |error: std::io::Error| error.to_string();
    let stream = match &endpoint.endpoint.address {
        EndpointAddress::Ip(address) => TcpStream::connect(address).await.map_err(said)?,
        EndpointAddress::Fqdn(name, _) => {
            let Some(resolution) = &endpoint.resolution else {
                return Err(format!("{name} is not being resolved"));
            };
            let addresses = resolution.addresses().await;
            let addresses = addresses.map_err(|error| error.to_string())?;
            // One after the other, until one answers.
            TcpStream::connect(&*addresses).await.map_err(said)?
        }
        EndpointAddress::Unix(path) => {
            let stream = UnixStream::connect(&**path).await.map_err(said)?;
            return Ok(Dialled::Unix(stream));
        }
    };
    stream.set_nodelay(true).map_err(said)?;
    Ok(Dialled::Tcp(stream))
}

/// Begins to speak HTTP/1.1, and leaves the connection to its driver.
async fn speak<S>(
    cluster: &Arc<ClusterState>,
    endpoint: &Arc<EndpointState>,
    worker: usize,
    slot: Slot,
    stream: S,
) -> Result<Channel, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let state = Arc::clone(&slot.state);
    let socket = Socket {
        stream,
        _slot: slot,
    };
    let mut builder = http1::Builder::new();
    builder.preserve_header_case(cluster.keeps_case());
    let handshake = builder.handshake(TokioIo::new(socket)).await;
    let (sender, connection) = handshake.map_err(|error| error.to_string())?;
    let now = Instant::now();
    let age = cluster.policy().timeout.max_connection_duration;
    let expires = age.and_then(|age| now.checked_add(age));
    let driver = drive(
        connection.with_upgrades(),
        Arc::clone(cluster),
        Arc::clone(endpoint),
        worker,
        expires,
    );
    Ok(Channel {
        sender,
        driver: tokio::task::spawn_local(driver).abort_handle(),
        home: worker,
        slot: state,
        served: 0,
        idle_since: now,
        expires,
    })
}

/// A socket in the room that a slot gives, which is given back when the socket is closed: it is dropped after it. Where
/// the connection switches protocols, the tunnel has both.
struct Socket<S> {
    stream: S,
    _slot: Slot,
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

passes_on_writes!(impl[S: AsyncWrite + Unpin] Socket<S>);

/// Moves the bytes of a connection until it ends, switches protocols, is aborted, or has been idle or alive for too long.
async fn drive(
    connection: impl Future<Output = hyper::Result<()>>,
    cluster: Arc<ClusterState>,
    endpoint: Arc<EndpointState>,
    home: usize,
    expires: Option<Instant>,
) {
    let id = tokio::task::id();
    let mut connection = pin!(connection);
    let mut alarm = pin!(sleep_until(next_look(&cluster, expires, None)));
    loop {
        tokio::select! {
            biased;
            // What went wrong is told to whoever waits for a response.
            _ = &mut connection => break,
            () = &mut alarm => {
                let now = Instant::now();
                let timeout = cluster.policy().timeout.connection_idle;
                let mut idle_since = None;
                let closed = endpoint.take_idle_if(home, id, |channel| {
                    idle_since = Some(channel.idle_since);
                    match channel.overdue(now, timeout) {
                        Some(Overdue::Idle) => cluster.stats.cx_idle_timeout.count(),
                        Some(Overdue::Age) => cluster.stats.cx_max_duration_reached.count(),
                        None => return false,
                    }
                    true
                });
                if closed.is_some() {
                    return;
                }
                // A busy connection that is too old is closed when its request has ended.
                let expires = expires.filter(|expires| *expires > now);
                alarm.as_mut().reset(next_look(&cluster, expires, idle_since));
            }
        }
    }
    drop(endpoint.take_idle_if(home, id, |_| true));
}

/// When a connection's limits are to be looked at again.
pub(super) fn next_look(
    cluster: &ClusterState,
    expires: Option<Instant>,
    idle_since: Option<Instant>,
) -> Instant {
    let far = Duration::from_secs(86_400);
    let since = idle_since.unwrap_or_else(Instant::now);
    let idle = since
        + cluster
            .policy()
            .timeout
            .connection_idle
            .map_or(far, |idle| idle.min(far));
    expires.map_or(idle, |expires| expires.min(idle))
}

impl ClusterState {
    /// What becomes of a connection whose response has ended, or whose request was refused: the next request's, or closed.
    pub(super) fn release(self: &Arc<Self>, endpoint: &Arc<EndpointState>, mut channel: Channel) {
        let policy = self.policy();
        if policy
            .circuit_breaker
            .max_requests_per_connection
            .is_some_and(|max| channel.served >= max)
        {
            self.stats.cx_max_requests.count();
            return;
        }
        channel.idle_since = Instant::now();
        if channel
            .expires
            .is_some_and(|expires| expires <= channel.idle_since)
        {
            self.stats.cx_max_duration_reached.count();
            return;
        }
        if channel.sender.is_ready() {
            self.give_back(endpoint, channel);
            return;
        }
        // It is new; or the last byte was seen before its driver, on another worker, is done with it; or it is closing.
        let (cluster, endpoint) = (Arc::clone(self), Arc::clone(endpoint));
        if let Ok(runtime) = tokio::runtime::Handle::try_current()
            && !channel.sender.is_closed()
        {
            runtime.spawn(async move {
                if let Ok(Ok(())) = timeout(TURNAROUND, channel.sender.ready()).await {
                    cluster.give_back(&endpoint, channel);
                }
            });
        }
    }
}
