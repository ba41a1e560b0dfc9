//! What a connection that speaks HTTP/1 is doing, for whoever drives it and for what watches its bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::timed::Watcher;
use crate::client::ConnectionTimes;

pub(super) const IDLE: u32 = 0;
pub(super) const HEAD: u32 = 1;
pub(super) const BUSY: u32 = 2;

/// What a connection is doing (idle, in the middle of a head, busy with a request), and how often that has changed.
/// Only its own worker looks at it; it is an atomic because bodies, which are `Send`, hold it.
#[derive(Debug)]
pub(super) struct Phase {
    state: AtomicU32,
    /// When the request in progress began, where somebody wants to know.
    begun: Option<Mutex<Option<Instant>>>,
    /// The first request whose framing can be read in two ways, counted from 1; 0: none.
    pub(super) ambiguous: AtomicU64,
    /// When a limit of the response in progress passes if nothing moves. A client that takes nothing keeps its body
    /// from being polled, and so from noticing by itself.
    overdue: Mutex<Option<Instant>>,
}

/// A reading of [`Phase`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen(u32);

impl Phase {
    /// Nothing has come. `timed`: whether it is noted when requests begin.
    pub(super) fn new(timed: bool) -> Arc<Self> {
        Arc::new(Self {
            state: AtomicU32::new(IDLE),
            begun: timed.then(Mutex::default),
            ambiguous: AtomicU64::new(0),
            overdue: Mutex::default(),
        })
    }

    /// When the first byte of the request in progress came, where that is noted.
    pub(super) fn begun(&self) -> Option<Instant> {
        *self.begun.as_ref()?.lock()
    }

    pub(super) fn read(&self) -> Seen {
        Seen(self.state.load(Ordering::Relaxed))
    }

    /// Why the request of this number is not to be trusted, if it is not.
    pub(super) fn is_ambiguous(&self, request: u64) -> Option<&'static str> {
        (self.ambiguous.load(Ordering::Relaxed) == request)
            .then_some("http1.content_length_and_chunked_not_allowed")
    }

    /// When the response in progress has not moved for too long, if it does not move before.
    pub(super) fn overdue_from(&self) -> Option<Instant> {
        *self.overdue.lock()
    }

    pub(super) fn enter(&self, state: u32) {
        let changes = (self.state.load(Ordering::Relaxed) & !3).wrapping_add(4);
        self.state.store(changes | state, Ordering::Relaxed);
        if let Some(begun) = &self.begun
            && state == HEAD
        {
            *begun.lock() = Some(Instant::now());
        }
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
    pub(super) fn state(self) -> u32 {
        self.0 & 3
    }

    /// Whether nothing has come yet.
    pub(super) fn is_untouched(self) -> bool {
        self.0 == 0
    }

    /// When the connection is to be closed, if it stays as it has been since `since`.
    pub(super) fn due(self, since: Instant, times: &ConnectionTimes) -> Option<Instant> {
        let ConnectionTimes {
            idle,
            head,
            request,
        } = *times;
        match self.state() {
            IDLE => since.checked_add(idle?),
            HEAD => since.checked_add(request.map_or(head, |it| it.min(head))),
            _ => None,
        }
    }
}
