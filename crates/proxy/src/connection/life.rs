//! How long the connections of a listener may live: how old they may get, and how many requests they may serve.

use std::cell::Cell;
use std::future::pending;

use tokio::time::{Instant, sleep_until};
use weir_plan::ClientConnection;

use crate::cluster::Counter;
use crate::listener::Downstream;

/// How long one connection may live.
#[derive(Debug)]
pub(super) struct Life {
    until: Option<Instant>,
    max_requests: Option<u32>,
    requests: Cell<u64>,
}

/// Why no more requests are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Age,
    Requests,
}

impl Life {
    /// A connection that begins now.
    pub(super) fn begin(settings: &ClientConnection, now: Instant) -> Self {
        let ClientConnection {
            max_duration,
            max_requests,
            // Of requests, and of what is kept of them.
            max_stream_duration: _,
            buffer_limit: _,
        } = settings;
        Self {
            until: max_duration.and_then(|it| now.checked_add(it)),
            max_requests: *max_requests,
            requests: Cell::new(0),
        }
    }

    /// Counts a request, and returns its number.
    pub(super) fn request(&self) -> u64 {
        self.requests.set(self.requests.get() + 1);
        self.requests.get()
    }

    /// Whether the requests that have come are the last.
    pub(super) fn is_over(&self, now: Instant) -> Option<Over> {
        let max = self.max_requests.map(u64::from);
        if max.is_some_and(|max| self.requests.get() >= max) {
            return Some(Over::Requests);
        }
        self.until.filter(|until| *until <= now).map(|_| Over::Age)
    }

    /// Whether there is anything to look after.
    pub(super) const fn is_limited(&self) -> bool {
        self.until.is_some() || self.max_requests.is_some()
    }

    /// Ends when the connection has got as old as it may.
    pub(super) async fn old(&self) {
        match self.until {
            Some(until) => sleep_until(until).await,
            None => pending().await,
        }
    }
}

impl Over {
    /// Counts a connection that ends for it.
    pub(super) fn count(self, downstream: &Downstream) {
        let counter: &Counter = match self {
            Self::Age => &downstream.cx_max_duration,
            Self::Requests => &downstream.cx_max_requests,
        };
        counter.count();
    }
}
