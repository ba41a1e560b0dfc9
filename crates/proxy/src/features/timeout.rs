//! Enforces `timeout.http` of a route: how long a request, a pause in it, and the whole exchange may last.
//!
//! The request's limit runs from its last byte, when it is being forwarded; the limit of a pause starts anew with
//! whatever moves in either direction; the limit of the exchange runs from the request's head.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::StatusCode;
use tokio::time::{Instant, Sleep, sleep_until};
use weir_plan::features::timeout::RouteTimeout;

use crate::flags::Flag;
use crate::rejection::Rejection;

/// The details of a request that has not come whole in time.
pub(crate) const RECEIVED_TOO_LATE: &str = "request_overall_timeout";

/// A time limit that has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expired {
    /// `requestTimeout`
    Request,
    /// `retry.perRetry.timeout`
    Attempt,
    /// `streamIdleTimeout`
    Idle,
    /// `maxStreamDuration`, of the route or the listener
    Duration,
    /// `requestReceivedTimeout` of the listener
    Received,
}

impl Expired {
    /// Its flag; the limits of the whole exchange and of receiving have none.
    pub(crate) const fn flag(self) -> Option<Flag> {
        match self {
            Self::Request | Self::Attempt => Some(Flag::UpstreamRequestTimeout),
            Self::Idle => Some(Flag::StreamIdleTimeout),
            Self::Duration | Self::Received => None,
        }
    }

    /// The `response_code_details` of the log.
    pub(crate) const fn details(self) -> &'static str {
        match self {
            Self::Request => "response_timeout",
            Self::Attempt => "upstream_per_try_timeout",
            Self::Idle => "stream_idle_timeout",
            Self::Duration => "max_duration_timeout",
            Self::Received => RECEIVED_TOO_LATE,
        }
    }

    /// The answer, where no response has begun. `incomplete`: the client has not sent its whole request.
    pub(crate) fn rejection(self, incomplete: bool) -> Rejection {
        let (status, body) = match self {
            Self::Request | Self::Attempt => {
                (StatusCode::GATEWAY_TIMEOUT, "upstream request timeout")
            }
            Self::Idle => (status_of(incomplete), "stream timeout"),
            Self::Duration => (status_of(incomplete), "downstream duration timeout"),
            Self::Received => (StatusCode::REQUEST_TIMEOUT, "request timeout"),
        };
        let rejection = Rejection::new(status, self.details()).body(body);
        match self.flag() {
            Some(flag) => rejection.flag(flag),
            None => rejection,
        }
    }
}

/// Whoever is late is to blame: the client while its request is incomplete, else the backend.
const fn status_of(incomplete: bool) -> StatusCode {
    if incomplete {
        StatusCode::REQUEST_TIMEOUT
    } else {
        StatusCode::GATEWAY_TIMEOUT
    }
}

/// The time limits of one request, and what they run from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeLimits {
    request: Option<Duration>,
    stream_idle: Option<Duration>,
    until: Option<Instant>,
    /// When the whole request has to be here.
    received: Option<Instant>,
    forwarded: Option<Instant>,
}

/// `perRetry.timeout` of one attempt: it runs once the attempt has a connection and the request has come to its end, so
/// that neither a slow client nor a connection in the making uses it up.
#[derive(Debug)]
pub(crate) struct AttemptLimit {
    limit: Option<Duration>,
    connected: Cell<Option<Instant>>,
}

/// What moved when, in either direction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// When the request's last byte came; none: it has not come.
    pub(crate) complete: Option<Instant>,
    /// When anything last moved.
    pub(crate) moved: Instant,
}

impl TimeLimits {
    /// No limits: nobody knows the route yet.
    pub(crate) const NONE: Self = Self {
        request: None,
        stream_idle: None,
        until: None,
        received: None,
        forwarded: None,
    };

    /// The limits of a request whose head came at `start`.
    pub(crate) fn new(policy: &RouteTimeout, start: Instant) -> Self {
        let RouteTimeout {
            request,
            stream_idle,
            max_stream_duration,
        } = policy;
        Self {
            request: *request,
            stream_idle: *stream_idle,
            until: max_stream_duration.and_then(|most| start.checked_add(most)),
            received: None,
            forwarded: None,
        }
    }

    /// The same within what the listener allows its clients: the longest duration, where the route has none of its own,
    /// and when the whole request has to be here.
    pub(crate) fn within(
        mut self,
        duration: Option<Duration>,
        start: Instant,
        received: Option<Instant>,
    ) -> Self {
        self.until = self.until.or_else(|| start.checked_add(duration?));
        self.received = received;
        self
    }

    /// How long the request's own limit leaves, from when it is forwarded. None: it has none.
    pub(crate) fn left(&self, now: Instant) -> Option<Duration> {
        let until = self.forwarded?.checked_add(self.request?)?;
        Some(until.saturating_duration_since(now))
    }

    /// The answer begins: it is not held up by what the client has yet to send.
    pub(crate) fn answer(&mut self) {
        self.received = None;
    }

    /// Delays made on purpose are over: from now on, the request's own limit counts.
    pub(crate) fn forward(&mut self, now: Instant) {
        self.forwarded = Some(now);
    }

    /// The connection goes on in another protocol, in which there are no requests.
    pub(crate) fn switch(&mut self) {
        self.request = None;
    }

    /// `perRetry.timeout`, where it is shorter than the request's own limit; a longer one means nothing.
    pub(crate) fn of_attempt(&self, limit: Option<Duration>) -> AttemptLimit {
        AttemptLimit {
            limit: limit.filter(|limit| self.request.is_none_or(|request| *limit < request)),
            connected: Cell::new(None),
        }
    }

    /// The limit that passes first, and when. `attempt`: when the attempt in progress has taken too long.
    pub(crate) fn next(
        &self,
        progress: &Progress,
        attempt: Option<Instant>,
    ) -> Option<(Instant, Expired)> {
        let Progress { complete, moved } = *progress;
        let from = complete.zip(self.forwarded).map(|(a, b)| a.max(b));
        let request = from
            .zip(self.request)
            .and_then(|(from, limit)| from.checked_add(limit));
        let idle = self.stream_idle.and_then(|limit| moved.checked_add(limit));
        [
            request.map(|at| (at, Expired::Request)),
            attempt.map(|at| (at, Expired::Attempt)),
            idle.map(|at| (at, Expired::Idle)),
            self.until.map(|at| (at, Expired::Duration)),
            self.received
                .filter(|_| complete.is_none())
                .map(|at| (at, Expired::Received)),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(at, _)| *at)
    }
}

impl AttemptLimit {
    /// The attempt has a connection.
    pub(crate) fn connected(&self, now: Instant) {
        self.connected.set(Some(now));
    }

    /// When the attempt has taken too long. None: no limit runs yet.
    pub(crate) fn until(&self, progress: &Progress) -> Option<Instant> {
        let (connected, complete) = self.connected.get().zip(progress.complete)?;
        connected.max(complete).checked_add(self.limit?)
    }
}

/// The one timer of a request. It is set when something is first waited for, and not for each byte that moves: it may
/// go off too early, and is then set anew.
#[derive(Debug, Default)]
pub(crate) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Ready when this moment has passed.
    pub(crate) fn poll(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if sleep.deadline() > at {
            sleep.as_mut().reset(at);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= at {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_first_limit_to_pass_counts() {
        let start = Instant::now();
        let policy = |request, stream_idle, duration| RouteTimeout {
            request: Some(ms(request)),
            stream_idle: Some(ms(stream_idle)),
            max_stream_duration: Some(ms(duration)),
        };
        // (limits, complete at, moved at, attempt until, which passes, when)
        let cases = [
            (
                policy(100, 200, 300),
                Some(10),
                10,
                None,
                Expired::Request,
                150,
            ),
            (
                policy(100, 200, 300),
                Some(70),
                70,
                None,
                Expired::Request,
                170,
            ),
            (policy(100, 200, 300), None, 70, None, Expired::Idle, 270),
            (
                policy(100, 200, 300),
                None,
                170,
                None,
                Expired::Duration,
                300,
            ),
            (policy(100, 20, 300), Some(10), 10, None, Expired::Idle, 30),
            (
                policy(100, 200, 300),
                Some(10),
                10,
                Some(80),
                Expired::Attempt,
                80,
            ),
        ];
        for (policy, complete, moved, attempt, which, when) in cases {
            let mut limits = TimeLimits::new(&policy, start);
            limits.forward(start + ms(50));
            let progress = Progress {
                complete: complete.map(|at| start + ms(at)),
                moved: start + ms(moved),
            };
            let next = limits.next(&progress, attempt.map(|at| start + ms(at)));
            assert_eq!(next, Some((start + ms(when), which)), "{policy:?}");
        }
        let progress = Progress {
            complete: Some(start),
            moved: start,
        };
        assert_eq!(TimeLimits::NONE.next(&progress, None), None);
    }

    #[test]
    fn before_it_is_forwarded_a_request_has_time() {
        let start = Instant::now();
        let policy = RouteTimeout {
            request: Some(ms(1)),
            stream_idle: None,
            max_stream_duration: None,
        };
        let limits = TimeLimits::new(&policy, start);
        let progress = Progress {
            complete: Some(start),
            moved: start,
        };
        assert_eq!(limits.next(&progress, None), None);
    }

    #[test]
    fn an_attempt_is_limited_only_where_the_request_is_not_sooner() {
        let limits = TimeLimits::new(&RouteTimeout::DEFAULT, Instant::now());
        assert_eq!(limits.of_attempt(Some(ms(14_999))).limit, Some(ms(14_999)));
        assert_eq!(limits.of_attempt(Some(ms(15_000))).limit, None);
        assert_eq!(limits.of_attempt(None).limit, None);
    }

    #[test]
    fn an_attempt_has_its_time_once_it_has_a_connection_and_the_whole_request() {
        let start = Instant::now();
        let at = |millis| start + ms(millis);
        // (complete at, connected at, until)
        let cases = [
            (None, None, None),
            (Some(10), None, None),
            (None, Some(10), None),
            (Some(10), Some(20), Some(120)),
            (Some(30), Some(20), Some(130)),
        ];
        for (complete, connected, until) in cases {
            let attempt = TimeLimits::NONE.of_attempt(Some(ms(100)));
            if let Some(connected) = connected {
                attempt.connected(at(connected));
            }
            let progress = Progress {
                complete: complete.map(at),
                moved: start,
            };
            assert_eq!(attempt.until(&progress), until.map(at));
        }
    }

    #[test]
    fn an_alarm_follows_a_deadline_that_moves() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut alarm = Alarm::default();
            let start = Instant::now();
            let mut at = start + ms(5);
            // Each time it is looked at it has moved on, until it has not.
            std::future::poll_fn(|cx| {
                at = (at + ms(5)).min(start + ms(30));
                alarm.poll(at, cx)
            })
            .await;
            assert!(start.elapsed() >= ms(10));
            std::future::poll_fn(|cx| alarm.poll(start + ms(1), cx)).await;
        });
    }
}
