//! One request and its answer, from the request's head until both bodies have ended: what is known of it, what must be
//! done when it ends, and its time limits.
//!
//! It travels with the request, then with the body of the response. However it ends (served, refused, abandoned by the
//! client), dropping it counts and logs it.

use std::borrow::Cow;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version};
use smallvec::SmallVec;
use tokio::time::Instant;
use weir_limiter::{Key, Now};
use weir_plan::Rate;
use weir_plan::features::rate_limit::RateLimitRuleName;

use crate::access_log::Kept;
use crate::body::Upload;
use crate::client::ClientSettings;
use crate::cluster::ClusterState;
use crate::connection::Connection;
use crate::features::http_upgrade::Switch;
use crate::features::timeout::{Alarm, AttemptLimit, Expired, Progress, TimeLimits};
use crate::flags::{Flag, Flags};
use crate::metrics::{Ended, ListenerStats};
use crate::rejection::{DOWNSTREAM_GONE, Rejection};
use crate::table::RouteEntry;
use crate::upstream::EndpointState;
use crate::worker::{Shared, Worker};

/// One request and its answer.
pub(crate) struct Exchange {
    shared: Arc<Shared>,
    worker: usize,
    pub(crate) connection: Arc<Connection>,
    /// How its listener deals with clients.
    pub(crate) settings: Arc<ClientSettings>,
    /// Whose address counts as the client's.
    client: IpAddr,
    /// The scheme of the URL that the client asked for: that of the connection, or what a trusted proxy says.
    pub(crate) scheme: &'static str,
    /// When the request's head came, by the clock of limits and logs.
    pub(crate) start: Now,
    /// The same, by the clock of timers.
    pub(crate) started: Instant,
    /// When its first byte came, where that is known.
    pub(crate) begun: Option<Instant>,
    pub(crate) request: RequestFacts,
    /// Headers that the access log's format needs.
    pub(crate) kept: Option<Box<Kept>>,
    listener: Option<Arc<ListenerStats>>,
    pub(crate) entry: Option<Arc<RouteEntry>>,
    pub(crate) cluster: Option<Arc<ClusterState>>,
    /// The endpoint of the latest attempt.
    pub(crate) endpoint: Option<Arc<EndpointState>>,
    /// Attempts made to send the request.
    pub(crate) attempts: u32,
    /// The status sent to the client, once there is one.
    pub(crate) status: Option<StatusCode>,
    pub(crate) flags: Flags,
    pub(crate) details: Cow<'static, str>,
    pub(crate) transport_failure: Option<Box<str>>,
    /// The rule of a limit that refused the request.
    pub(crate) limited_by: Option<RateLimitRuleName>,
    /// `x-ratelimit-*`, for whatever is answered.
    pub(crate) limit_headers: SmallVec<[(HeaderName, HeaderValue); 3]>,
    /// What global limits are charged when the response has ended.
    pub(crate) charges: SmallVec<[Charge; 1]>,
    /// Where the page comes from that asks, if its rule has a CORS filter that allows it.
    pub(crate) origin: Option<HeaderValue>,
    pub(crate) limits: TimeLimits,
    alarm: Alarm,
    /// The request's body, where it has one.
    pub(crate) upload: Option<Arc<Upload>>,
    /// Whether the request's body was read at its head (there was none) or is unknown yet.
    pub(crate) bodiless: bool,
    /// Whether the client takes any success for the beginning of a tunnel.
    pub(crate) is_connect: bool,
    /// What the connection may switch to, where the client asks for it.
    pub(crate) upgrade: Option<Switch>,
    /// Whether it has.
    pub(crate) switched: bool,
    /// Bytes of the response's body so far, or to the client by a tunnel.
    pub(crate) sent: u64,
    /// Bytes from the client by a tunnel.
    tunnelled: u64,
    /// When the response last moved.
    moved: Instant,
    /// Whether there is nothing left that the client could miss.
    pub(crate) delivered: bool,
}

/// What a request says of itself, as far as its answer and the log need it later.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestFacts {
    pub(crate) method: Method,
    pub(crate) version: Version,
    /// Its target, the path in normal form.
    pub(crate) target: Uri,
    pub(crate) grpc: bool,
    /// Kept for the log only.
    pub(crate) authority: Option<HeaderValue>,
    pub(crate) user_agent: Option<HeaderValue>,
    pub(crate) forwarded_for: Option<HeaderValue>,
    pub(crate) request_id: Option<HeaderValue>,
}

/// A cost that is added to a counter when the response has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Charge {
    pub(crate) key: Key,
    pub(crate) limit: Rate,
    pub(crate) cost: u64,
}

impl Exchange {
    /// A request whose head has just come.
    pub(crate) fn begin(worker: &Worker, connection: &Arc<Connection>) -> Box<Self> {
        let started = Instant::now();
        Box::new(Self {
            shared: Arc::clone(&worker.shared),
            worker: worker.index,
            settings: Arc::clone(worker.shared.table.load().clients.of(connection)),
            client: connection.peer.ip().to_canonical(),
            scheme: connection.scheme(),
            connection: Arc::clone(connection),
            start: worker.shared.clock.now(),
            started,
            begun: None,
            request: RequestFacts::default(),
            kept: None,
            listener: None,
            entry: None,
            cluster: None,
            endpoint: None,
            attempts: 0,
            status: None,
            flags: Flags::default(),
            details: Cow::Borrowed("via_upstream"),
            transport_failure: None,
            limited_by: None,
            limit_headers: SmallVec::new(),
            charges: SmallVec::new(),
            origin: None,
            limits: TimeLimits::NONE,
            alarm: Alarm::default(),
            upload: None,
            bodiless: false,
            is_connect: false,
            upgrade: None,
            switched: false,
            sent: 0,
            tunnelled: 0,
            moved: started,
            delivered: false,
        })
    }

    /// The client's address.
    pub(crate) fn client(&self) -> IpAddr {
        self.client
    }

    /// The client's address with its port, as the log shows it: that of the peer, or 0 where another is taken for the
    /// client, whose port nobody says.
    pub(crate) fn remote(&self) -> SocketAddr {
        let peer = self.connection.peer;
        if peer.ip().to_canonical() == self.client {
            peer
        } else {
            SocketAddr::new(self.client, 0)
        }
    }

    /// Notes who the client is taken for.
    pub(crate) fn comes_from(&mut self, client: IpAddr) {
        self.client = client;
    }

    /// Whether trailers go between the client and the endpoint.
    pub(crate) fn has_trailers(&self) -> bool {
        self.request.version >= Version::HTTP_2 || self.settings.policy().http1.trailers
    }

    /// Whether requests are logged.
    pub(crate) fn is_logged(&self) -> bool {
        self.shared.access_log.is_on()
    }

    /// Keeps what the log needs of a request's headers.
    pub(crate) fn keep_request(&mut self, headers: &HeaderMap) {
        if let Some(format) = self.shared.access_log.format() {
            format.keep_request(&mut self.kept, headers);
        }
    }

    /// Keeps what the log needs of the response's headers, as the client gets them.
    pub(crate) fn keep_response(&mut self, headers: &HeaderMap) {
        if let Some(format) = self.shared.access_log.format() {
            format.keep_response(&mut self.kept, headers);
        }
    }

    /// Keeps what the log needs of the response's trailers.
    pub(crate) fn keep_trailers(&mut self, trailers: &HeaderMap) {
        if let Some(format) = self.shared.access_log.format() {
            format.keep_trailers(&mut self.kept, trailers);
        }
    }

    /// Notes whose listener it is.
    pub(crate) fn belongs_to(&mut self, listener: &Arc<ListenerStats>) {
        listener.begin();
        self.listener = Some(Arc::clone(listener));
    }

    /// Notes why it is answered here.
    pub(crate) fn rejected(&mut self, rejection: &mut Rejection) {
        if let Some(flag) = rejection.flag {
            self.flags.add(flag);
        }
        if rejection.flag == Some(Flag::DownstreamProtocolError) {
            // The connection ends with the answer.
            self.shared.downstream.cx_protocol_error.count();
        }
        self.details = rejection.details.clone();
        if let Some(failure) = rejection.transport_failure.take() {
            self.transport_failure = Some(failure);
        }
    }

    /// Whether the client has yet to send some of its request.
    pub(crate) fn is_incomplete(&self) -> bool {
        match &self.upload {
            Some(upload) => upload.progress_now().complete.is_none(),
            None => !self.bodiless,
        }
    }

    /// Whether the client left before the end of its request.
    pub(crate) fn is_abandoned(&self) -> bool {
        let upload = self.upload.as_ref();
        upload.is_some_and(|upload| upload.is_abandoned())
    }

    /// Waits for something within the time limits, reading ahead what the client sends meanwhile. It is pinned by the
    /// caller, because a future that takes another by value has room for it twice.
    pub(crate) async fn within<T>(
        &mut self,
        attempt: Option<&AttemptLimit>,
        mut future: Pin<&mut impl Future<Output = T>>,
    ) -> Result<T, Expired> {
        std::future::poll_fn(|cx| {
            if let Poll::Ready(done) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            if let Some(upload) = &self.upload {
                upload.read_ahead(cx);
            }
            self.poll_expired(attempt, cx).map(Err)
        })
        .await
    }

    /// Ready when a time limit has passed; otherwise the task is woken when one may have.
    pub(crate) fn poll_expired(
        &mut self,
        attempt: Option<&AttemptLimit>,
        cx: &mut Context<'_>,
    ) -> Poll<Expired> {
        let progress = self.progress(Some(cx));
        let attempt = attempt.and_then(|it| it.until(&progress));
        match self.limits.next(&progress, attempt) {
            Some((at, which)) => self.alarm.poll(at, cx).map(|()| which),
            None => Poll::Pending,
        }
    }

    /// When the first time limit passes if nothing moves any more.
    pub(crate) fn due(&self) -> Option<Instant> {
        let next = self.limits.next(&self.progress(None), None);
        next.map(|(at, _)| at)
    }

    /// The response has moved.
    pub(crate) fn moved(&mut self, bytes: usize) {
        self.sent += bytes as u64;
        self.moved = Instant::now();
    }

    /// A tunnel brought bytes from the client.
    pub(crate) fn came(&mut self, bytes: usize) {
        self.tunnelled += bytes as u64;
        self.moved = Instant::now();
    }

    /// The response broke off after its head; its status stands.
    pub(crate) fn broke_off(&mut self, flag: Option<Flag>, details: impl Into<Cow<'static, str>>) {
        if let Some(flag) = flag {
            self.flags.add(flag);
        }
        self.details = details.into();
        self.delivered = true;
    }

    fn progress(&self, cx: Option<&Context<'_>>) -> Progress {
        let uploaded = self.upload.as_ref().map(|upload| match cx {
            Some(cx) => upload.progress(cx),
            None => upload.progress_now(),
        });
        match uploaded {
            Some(Progress { complete, moved }) => Progress {
                complete,
                moved: moved.max(self.moved),
            },
            None => Progress {
                complete: self.bodiless.then_some(self.started),
                moved: self.moved,
            },
        }
    }

    /// Notes why the client has not got the whole answer.
    fn abandoned(&mut self) {
        // A client that takes nothing is noticed by its connection, not by the body that waits to be taken.
        let passed = self.limits.next(&self.progress(None), None);
        match passed {
            Some((at, which)) if self.status.is_some() && at <= Instant::now() => {
                self.broke_off(which.flag(), which.details());
            }
            Some(_) | None => {
                self.broke_off(Some(Flag::DownstreamConnectionTermination), DOWNSTREAM_GONE);
            }
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.delivered {
            self.abandoned();
        }
        let now = self.shared.clock.now();
        for Charge { key, limit, cost } in &self.charges {
            self.shared.global.store.add(*key, *limit, *cost, now);
        }
        let duration = now.steady_nanos.saturating_sub(self.start.steady_nanos);
        let duration = Duration::from_nanos(duration);
        let upload = self.upload.as_ref();
        let received = upload.map_or(self.tunnelled, |upload| upload.received());
        let listener = self.listener.take().unwrap_or_else(|| {
            // Refused before anybody asked whose it is.
            let unmatched = Arc::clone(&self.shared.metrics.unmatched);
            unmatched.begin();
            unmatched
        });
        let rule = self.entry.as_ref().map(|entry| &*entry.state.stats);
        let ended = Ended {
            status: self.status,
            flags: &self.flags,
            received,
            sent: self.sent,
            duration,
        };
        listener.end(rule, &ended);
        let log = &self.shared.access_log;
        log.log(self.worker, self, received, duration);
    }
}
