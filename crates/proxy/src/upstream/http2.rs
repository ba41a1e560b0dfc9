//! Connections to endpoints that speak HTTP/2: one is shared by many requests, of all workers.
//!
//! Each worker opens a connection of its own where there is room for one, and has its requests carried by it; where
//! there is none, by whichever connection can take another stream. A connection that takes no further requests ends
//! when its last one has.

mod driver;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use http::header::{CONNECTION, HOST, UPGRADE};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper::ext::Protocol;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::EndpointState;
use super::connect;
use super::pool::{SlotState, Turn};
use super::send::{SendError, SendErrorKind, kind};
use crate::body::Body;
use crate::cluster::ClusterState;
use crate::features::circuit_breaker::Permit;
use crate::features::http_upgrade;
use crate::features::timeout::AttemptLimit;
use crate::tunnel;
pub(in crate::upstream) use driver::speak;

/// Requests at one time over one connection, if the endpoint allows so many: Envoy Gateway's default.
const MAX_CONCURRENT_STREAMS: u32 = 1_024;
/// The mark, beside the number of streams, of a connection that takes no more.
const CLOSED: u32 = 1 << 31;

/// A connection that many requests share.
#[derive(Debug)]
pub(crate) struct Shared {
    sender: SendRequest<Body>,
    /// Streams in progress, and [`CLOSED`].
    streams: AtomicU32,
    /// The most that the endpoint allows.
    allowed: AtomicUsize,
    /// Whether it takes the extended CONNECT that stands for an upgrade (RFC 8441).
    offers_upgrades: bool,
    /// Requests sent so far.
    served: AtomicU32,
    /// Wakes the driver where there may be something to close.
    changed: Notify,
    /// The worker that drives it.
    home: usize,
    pub(super) slot: Arc<SlotState>,
}

impl Shared {
    /// A stream, unless there are too many or the connection takes none.
    fn begin(self: &Arc<Self>) -> Option<Stream> {
        let allowed = self.allowed.load(Ordering::Relaxed);
        let max = u32::try_from(allowed)
            .map_or(MAX_CONCURRENT_STREAMS, |it| it.min(MAX_CONCURRENT_STREAMS));
        let begun = self
            .streams
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| {
                (n < max && !self.sender.is_closed()).then_some(n + 1)
            });
        begun.ok().map(|_| Stream(Arc::clone(self)))
    }

    /// Takes no more requests from now on.
    fn close(&self) {
        self.streams.fetch_or(CLOSED, Ordering::SeqCst);
        self.changed.notify_one();
    }

    /// Takes no more requests, if there are none.
    fn close_if_idle(&self) -> bool {
        let idle = self
            .streams
            .compare_exchange(0, CLOSED, Ordering::SeqCst, Ordering::SeqCst);
        idle.is_ok()
    }

    /// Whether it is about to end.
    fn is_done(&self) -> bool {
        self.streams.load(Ordering::SeqCst) == CLOSED
    }
}

/// A request's place on a connection; dropping it leaves the place to others.
#[derive(Debug)]
pub(crate) struct Stream(Arc<Shared>);

impl Drop for Stream {
    fn drop(&mut self) {
        let Self(shared) = self;
        let before = shared.streams.fetch_sub(1, Ordering::SeqCst);
        if before & !CLOSED == 1 {
            shared.changed.notify_one();
        }
    }
}

/// An idle connection that was chosen to make room for others; it ends when this is dropped.
pub(super) struct Evicted(pub(super) Arc<Shared>);

impl Drop for Evicted {
    fn drop(&mut self) {
        self.0.changed.notify_one();
    }
}

/// The shared connections of one endpoint.
#[derive(Debug)]
pub(super) struct SharedConnections(Box<[OfWorker]>);

/// Those that one worker drives.
#[derive(Debug, Default)]
struct OfWorker {
    connections: Mutex<Vec<Arc<Shared>>>,
    /// Held while one is being opened, so that requests that come meanwhile wait for it.
    opening: tokio::sync::Mutex<()>,
}

impl OfWorker {
    fn begin(&self) -> Option<Stream> {
        self.connections.lock().iter().find_map(Shared::begin)
    }
}

impl SharedConnections {
    pub(super) fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| OfWorker::default()).collect())
    }

    /// A stream on any connection.
    pub(super) fn any(&self) -> Option<Stream> {
        self.0.iter().find_map(OfWorker::begin)
    }

    /// Closes a connection without requests.
    pub(super) fn evict(&self) -> Option<Evicted> {
        self.0.iter().find_map(|it| {
            let connections = it.connections.lock();
            let idle = connections.iter().find(|it| it.close_if_idle())?;
            Some(Evicted(Arc::clone(idle)))
        })
    }

    /// Lets the requests in progress be the last.
    pub(super) fn close(&self) {
        for it in &self.0 {
            for shared in std::mem::take(&mut *it.connections.lock()) {
                shared.close();
            }
        }
    }
}

impl ClusterState {
    /// [`ClusterState::send`] to an endpoint that speaks HTTP/2. Dropping the future, or the response's body before its
    /// end, resets the stream.
    pub(super) async fn send_http2(
        self: &Arc<Self>,
        worker: usize,
        endpoint: &Arc<EndpointState>,
        (request, scheme): (Request<Body>, Scheme),
        limit: &AttemptLimit,
    ) -> Result<Response<Body>, SendError> {
        let unsent = |kind, request| SendError {
            kind,
            request: Some(request),
        };
        let tunnels =
            request.method() == Method::CONNECT || request.headers().contains_key(UPGRADE);
        let (mut request, mut converted) = (request, false);
        loop {
            let stream = match self.stream(worker, endpoint).await {
                Ok(stream) => stream,
                Err(kind) => return Err(unsent(kind, request)),
            };
            // Not before: the endpoint may choose HTTP/1.1.
            if !converted {
                request = in_http2(request, scheme.clone()).map_err(|request| {
                    let reason = "the request's host is no authority".to_owned();
                    unsent(SendErrorKind::Protocol(reason), *request)
                })?;
                converted = true;
            }
            let extended = request.extensions().get::<Protocol>().cloned();
            if extended.is_some() && !stream.0.offers_upgrades {
                return Err(unsent(SendErrorKind::NotOffered, request));
            }
            let max = self.policy().circuit_breaker.max_parallel_requests;
            let Some(permit) = Permit::take(&self.breaker.requests, max) else {
                self.stats.rq_active_overflow.count();
                return Err(unsent(SendErrorKind::Overflow, request));
            };
            self.stats.rq_total.count();
            limit.connected(Instant::now());
            let Stream(shared) = &stream;
            let served = shared.served.fetch_add(1, Ordering::Relaxed);
            let max = self.policy().circuit_breaker.max_requests_per_connection;
            if max.is_some_and(|max| served + 1 >= max) {
                self.stats.cx_max_requests.count();
                shared.close();
            }
            let mut sender = shared.sender.clone();
            let lease = Lease {
                cluster: Arc::clone(self),
                counted: Some((permit, endpoint.begin())),
                stream: Some(stream),
            };
            match sender.try_send_request(request).await {
                Ok(response) if tunnels && response.status() == StatusCode::OK => {
                    return switched(response, extended, lease).await;
                }
                Ok(response) => {
                    return Ok(response.map(|body| Body::stream(body).holding(lease)));
                }
                Err(mut error) => match error.take_message() {
                    // The endpoint was about to close it: nothing of the request has been looked at.
                    Some(unsent) if served > 0 => request = unsent,
                    unsent => {
                        return Err(SendError {
                            kind: kind(error.error()),
                            request: unsent,
                        });
                    }
                },
            }
        }
    }

    /// A place on a connection: on one of this worker, on a new one, on another's, or what comes of waiting.
    async fn stream(
        self: &Arc<Self>,
        worker: usize,
        endpoint: &Arc<EndpointState>,
    ) -> Result<Stream, SendErrorKind> {
        let own = &endpoint.shared.0[worker];
        if let Some(stream) = own.begin() {
            return Ok(stream);
        }
        let max = self.policy().circuit_breaker.max_pending_requests;
        let Some(_pending) = Permit::take(&self.breaker.pending, max) else {
            // Not allowed to wait; but a connection of another worker needs no waiting.
            return endpoint.shared.any().ok_or_else(|| {
                self.stats.rq_pending_overflow.count();
                SendErrorKind::Overflow
            });
        };
        let _opening = own.opening.lock().await;
        loop {
            if let Some(stream) = own.begin() {
                return Ok(stream);
            }
            let slot = match self.room(endpoint) {
                Some(slot) => slot,
                None => match self.acquire(endpoint) {
                    Ok(Turn::Open(slot)) => slot,
                    Ok(Turn::Share(stream)) => return Ok(stream),
                    Ok(Turn::Use(_)) => continue,
                    Err(waiting) => match waiting.await {
                        Turn::Open(slot) => slot,
                        Turn::Share(stream) => return Ok(stream),
                        // One in HTTP/1.1, from before the cluster spoke HTTP/2; it closes here.
                        Turn::Use(_) => continue,
                    },
                },
            };
            return Box::pin(connect::open_http2(self, endpoint, worker, slot)).await;
        }
    }
}

/// What a response in progress occupies. Dropped when its body has ended, or before.
struct Lease {
    cluster: Arc<ClusterState>,
    counted: Option<(Permit, Permit)>,
    stream: Option<Stream>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        // First the counts: whoever gets the place next must find theirs free.
        self.counted = None;
        self.stream = None;
        self.cluster.after_change();
    }
}

/// A response to a CONNECT behind which there is a tunnel; to one that stands for an upgrade, as HTTP/1.1 has it.
async fn switched(
    mut response: Response<Incoming>,
    extended: Option<Protocol>,
    lease: Lease,
) -> Result<Response<Body>, SendError> {
    let failed = |kind| SendError {
        kind,
        request: None,
    };
    let connection = hyper::upgrade::on(&mut response).await;
    let connection = connection.map_err(|_| failed(SendErrorKind::Terminated))?;
    if let Some(protocol) = extended {
        let protocol = HeaderValue::from_str(protocol.as_str());
        let protocol = protocol.map_err(|error| SendErrorKind::Protocol(error.to_string()));
        http_upgrade::announce(response.headers_mut(), protocol.map_err(failed)?);
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    }
    let endpoint = tunnel::Endpoint::new(Box::new(TokioIo::new(connection)), Box::new(lease));
    Ok(response.map(|_| Body::switched(endpoint)))
}

/// The request as HTTP/2 has it: its target says which host is meant, and an upgrade is an extended CONNECT (RFC 8441).
fn in_http2(request: Request<Body>, scheme: Scheme) -> Result<Request<Body>, Box<Request<Body>>> {
    let (mut head, body) = request.into_parts();
    let host = head.headers.get(HOST).map_or(&b""[..], |it| it.as_bytes());
    let path = head.uri.path_and_query().cloned();
    let uri = Uri::builder().authority(host);
    let uri = match head.method {
        Method::CONNECT => uri.build(),
        _ => uri
            .scheme(scheme)
            .path_and_query(path.unwrap_or_else(|| PathAndQuery::from_static("/")))
            .build(),
    };
    match uri {
        Ok(uri) => {
            head.headers.remove(HOST);
            if let Some(protocol) = head.headers.remove(UPGRADE) {
                head.headers.remove(CONNECTION);
                head.method = Method::CONNECT;
                let protocol = String::from_utf8_lossy(protocol.as_bytes());
                head.extensions.insert(Protocol::from(&*protocol));
            }
            head.uri = uri;
            head.version = Version::HTTP_2;
            Ok(Request::from_parts(head, body))
        }
        Err(_) => Err(Box::new(Request::from_parts(head, body))),
    }
}
