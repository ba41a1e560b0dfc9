//! Sends one request over one connection to one endpoint.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::header::{HOST, UPGRADE};
use http::uri::{Authority, Scheme};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::connect::Offer;
use super::pool::Turn;
use super::{Channel, EndpointState, connect};
use crate::body::{Body, BodyError};
use crate::cluster::ClusterState;
use crate::features::circuit_breaker::Permit;
use crate::features::http_upgrade;
use crate::features::timeout::AttemptLimit;
use crate::tunnel;
use crate::worker::Worker;

/// How often an endpoint may choose another protocol than it did before, for one request.
const MAX_CHOICES: u32 = 2;

/// Why no response came.
#[derive(Debug)]
pub(crate) struct SendError {
    /// What happened.
    pub(crate) kind: SendErrorKind,
    /// The request, where nothing of it has been sent.
    pub(crate) request: Option<Request<Body>>,
}

/// What happened to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SendErrorKind {
    /// The circuit breaker allows no more waiting requests, or no more in progress.
    Overflow,
    /// No connection could be made.
    Connect {
        /// What the system said.
        reason: String,
    },
    /// No connection could be made in time.
    ConnectTimeout,
    /// The connection ended before a response head.
    Terminated,
    /// The endpoint reset the stream.
    Reset,
    /// The endpoint refused the stream, and has not looked at it.
    Refused,
    /// The endpoint offers no upgrades in HTTP/2.
    NotOffered,
    /// The endpoint sent something that is not HTTP.
    Protocol(String),
    /// The request's body broke off.
    RequestBody(String),
}

impl ClusterState {
    /// The scheme of what is sent to it.
    pub(crate) fn scheme(&self) -> Scheme {
        match self.tls() {
            Some(_) => Scheme::HTTPS,
            None => Scheme::HTTP,
        }
    }

    /// Sends a request to an endpoint and returns the head of the response. Its body holds the connection, which
    /// serves the next request when the body has ended, and closes when it is dropped early. `scheme` is what
    /// HTTP/2 says of the URL; `limit` learns when there is a connection.
    ///
    /// An idle connection that the endpoint has closed meanwhile is replaced by another, unseen by the caller.
    /// Dropping the future closes the connection.
    ///
    /// # Errors
    /// [`SendError`]; the request comes back where nothing of it has been sent.
    pub(crate) async fn send(
        self: &Arc<Self>,
        worker: &Worker,
        endpoint: &Arc<EndpointState>,
        request: Request<Body>,
        scheme: Scheme,
        limit: &AttemptLimit,
    ) -> Result<Response<Body>, SendError> {
        let mut request = request;
        let mut choices = 0;
        loop {
            let http2 = self.speaks_http2_to(endpoint, &request);
            let sent = if http2 {
                let request = (request, scheme.clone());
                self.send_http2(worker.index, endpoint, request, limit)
                    .await
            } else {
                self.send_on(worker.index, endpoint, request, limit).await
            };
            match sent {
                Err(SendError {
                    kind: SendErrorKind::Connect { .. },
                    request: Some(unsent),
                    // One that HTTP/2 was put into form for has no host header any more.
                }) if choices < MAX_CHOICES
                    && unsent.headers().contains_key(HOST)
                    && self.speaks_http2_to(endpoint, &unsent) != http2 =>
                {
                    choices += 1;
                    request = unsent;
                }
                done => return done,
            }
        }
    }

    /// Whether HTTP/2 is to be spoken to an endpoint: as it has chosen last, where it has a choice. Nothing can be switched
    /// to another protocol within it.
    fn speaks_http2_to(&self, endpoint: &EndpointState, request: &Request<Body>) -> bool {
        self.speaks_http2()
            || self.is_negotiated()
                && !endpoint.declined_http2.load(Ordering::Relaxed)
                && !request.headers().contains_key(UPGRADE)
                && request.method() != Method::CONNECT
    }

    /// [`ClusterState::send`] on the worker of a number.
    pub(super) async fn send_on(
        self: &Arc<Self>,
        worker: usize,
        endpoint: &Arc<EndpointState>,
        request: Request<Body>,
        limit: &AttemptLimit,
    ) -> Result<Response<Body>, SendError> {
        let (mut request, sent) = watched(request);
        let upgrade = request.headers().get(UPGRADE).cloned();
        let is_connect = request.method() == Method::CONNECT;
        if is_connect
            && let Some(host) = request.headers().get(HOST)
            && let Ok(authority) = Authority::try_from(host.as_bytes())
        {
            *request.uri_mut() = Uri::from(authority);
        }
        loop {
            let offer = match upgrade.is_some() || is_connect {
                true => Offer::OnlyHttp1,
                false => Offer::Http1,
            };
            let mut channel = match self.connection(worker, endpoint, offer).await {
                Ok(channel) => channel,
                Err(kind) => {
                    return Err(SendError {
                        kind,
                        request: Some(request),
                    });
                }
            };
            let max = self.policy().circuit_breaker.max_parallel_requests;
            let Some(permit) = Permit::take(&self.breaker.requests, max) else {
                self.stats.rq_active_overflow.count();
                // A new one may not be ready yet.
                self.release(endpoint, channel);
                return Err(SendError {
                    kind: SendErrorKind::Overflow,
                    request: Some(request),
                });
            };
            self.stats.rq_total.count();
            limit.connected(Instant::now());
            let active = endpoint.begin();
            let reused = channel.served > 0;
            channel.served = channel.served.saturating_add(1);
            match channel.sender.try_send_request(request).await {
                Ok(response)
                    if response.status() == StatusCode::SWITCHING_PROTOCOLS
                        || is_connect && response.status().is_success() =>
                {
                    let as_asked = is_connect && response.status().is_success()
                        || http_upgrade::is_as_asked(response.headers(), upgrade.as_ref());
                    let switched = switched(as_asked, response, (permit, active));
                    let switched = Box::pin(switched).await;
                    // Its connection is the tunnel's now, or closes here.
                    drop(channel);
                    return switched.map_err(|kind| SendError {
                        kind,
                        request: None,
                    });
                }
                Ok(response) => {
                    let lease = Lease {
                        cluster: Arc::clone(self),
                        endpoint: Arc::clone(endpoint),
                        channel: Some(channel),
                        sent,
                        counted: Some((permit, active)),
                    };
                    return Ok(response.map(|body| Body::incoming(body).holding(lease)));
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) if reused => request = unsent,
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

    /// A connection: an idle one of this worker, a new one, or what comes of waiting.
    async fn connection(
        self: &Arc<Self>,
        worker: usize,
        endpoint: &Arc<EndpointState>,
        offer: Offer,
    ) -> Result<Channel, SendErrorKind> {
        let policy = self.policy();
        let idle_timeout = policy.timeout.connection_idle;
        if let Some(channel) = endpoint.take_idle(worker, Instant::now(), idle_timeout) {
            return Ok(channel);
        }
        let max = policy.circuit_breaker.max_pending_requests;
        drop(policy);
        let Some(_pending) = Permit::take(&self.breaker.pending, max) else {
            // Not allowed to wait; but an idle connection of another worker needs no waiting.
            return self.take_idle_anywhere(endpoint).ok_or_else(|| {
                self.stats.rq_pending_overflow.count();
                SendErrorKind::Overflow
            });
        };
        loop {
            let turn = match self.acquire(endpoint) {
                Ok(turn) => turn,
                Err(waiting) => waiting.await,
            };
            match turn {
                Turn::Use(channel) => return Ok(channel),
                // In a box, so that not every request has room in it for what few do.
                Turn::Open(slot) => {
                    let opened = connect::open(self, endpoint, worker, slot, offer);
                    return Box::pin(opened).await;
                }
                // From before HTTP/1.1 was spoken, or in the way of what only goes over that: it takes no more requests.
                Turn::Share(_) => endpoint.shared.close(),
            }
        }
    }
}

/// A response behind which its connection goes on in the protocol that was asked for, if `as_asked`.
async fn switched(
    as_asked: bool,
    mut response: Response<Incoming>,
    counted: (Permit, Permit),
) -> Result<Response<Body>, SendErrorKind> {
    if !as_asked {
        // What follows would be nothing that anybody here or behind us understands.
        let reason = "a switch to a protocol that was not asked for";
        return Err(SendErrorKind::Protocol(reason.to_owned()));
    }
    match hyper::upgrade::on(&mut response).await {
        Ok(connection) => {
            let connection = Box::new(TokioIo::new(connection));
            let endpoint = tunnel::Endpoint::new(connection, Box::new(counted));
            Ok(response.map(|_| Body::switched(endpoint)))
        }
        Err(_) => Err(SendErrorKind::Terminated),
    }
}

/// What a response in progress occupies. Dropped when its body has ended, or before.
struct Lease {
    cluster: Arc<ClusterState>,
    endpoint: Arc<EndpointState>,
    channel: Option<Channel>,
    sent: Sent,
    counted: Option<(Permit, Permit)>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        // First the counts: whoever gets the connection next must find their places free.
        self.counted = None;
        // A response that ends before its request leaves a connection that cannot be used again; it closes here.
        if let Some(channel) = self.channel.take()
            && self.sent.is_complete()
        {
            self.cluster.release(&self.endpoint, channel);
        }
    }
}

/// Whether a request's body has been taken whole by the connection. None: it had no body.
struct Sent(Option<Arc<AtomicBool>>);

impl Sent {
    fn is_complete(&self) -> bool {
        self.0
            .as_ref()
            .is_none_or(|sent| sent.load(Ordering::Acquire))
    }
}

/// Marks the end of a request's body, in the body itself.
fn watched(request: Request<Body>) -> (Request<Body>, Sent) {
    if request.body().is_end_stream() {
        return (request, Sent(None));
    }
    let sent = Arc::new(AtomicBool::new(false));
    let mark = Mark(Arc::clone(&sent));
    (request.map(|body| body.holding(mark)), Sent(Some(sent)))
}

struct Mark(Arc<AtomicBool>);

impl Drop for Mark {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

pub(super) fn kind(error: &hyper::Error) -> SendErrorKind {
    let source = std::error::Error::source(error);
    if let Some(error) = source.and_then(|source| source.downcast_ref::<h2::Error>()) {
        return match error.reason() {
            Some(h2::Reason::REFUSED_STREAM) => SendErrorKind::Refused,
            Some(_) if error.is_reset() && error.is_remote() => SendErrorKind::Reset,
            Some(_) if error.is_library() => SendErrorKind::Protocol(error.to_string()),
            Some(_) | None => SendErrorKind::Terminated,
        };
    }
    if let Some(body) = source.and_then(|source| source.downcast_ref::<BodyError>()) {
        SendErrorKind::RequestBody(body.to_string())
    } else if error.is_parse() {
        SendErrorKind::Protocol(error.to_string())
    } else {
        // An end, a reset, a failed write: the connection is gone.
        SendErrorKind::Terminated
    }
}
