//! What is behind a cluster: endpoints, the connections to them, and sending one request over one of these.
//!
//! hyper's client is seen only in this module, so that another engine can take its place.

pub(crate) mod connect;
mod http2;
pub(crate) mod pool;
mod raw;
pub(crate) mod resolve;
mod send;
#[cfg(test)]
mod tests;
pub(crate) mod tls;

pub(crate) use send::{SendError, SendErrorKind};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hyper::client::conn::http1::SendRequest;
use parking_lot::Mutex;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use weir_plan::Endpoint;

use crate::body::Body;
use crate::features::circuit_breaker::{Count, Permit};
use http2::SharedConnections;
use pool::SlotState;
use resolve::Resolution;

/// Tells the endpoints of this process apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EndpointId(pub(crate) u64);

/// An endpoint of one cluster with its live state. It stays the same while the endpoint stays.
#[derive(Debug)]
pub(crate) struct EndpointState {
    /// Its identity.
    pub(crate) id: EndpointId,
    /// Where it is.
    pub(crate) endpoint: Endpoint,
    /// The addresses of its host name, where it has one.
    resolution: Option<Arc<Resolution>>,
    /// Requests on its connections, over all workers.
    active: Arc<Count>,
    /// Its open connections.
    connections: Count,
    /// How many connections `idle` holds.
    idle_count: AtomicUsize,
    /// Its idle connections, by the worker that drives them. The longest idle come first.
    idle: Box<[Mutex<Vec<Channel>>]>,
    /// Its connections in HTTP/2.
    shared: SharedConnections,
    /// Whether it has chosen HTTP/1.1, where it had a choice.
    declined_http2: AtomicBool,
    /// Set when it left the cluster: its connections close when their requests end.
    retired: AtomicBool,
}

/// The end of a connection that requests are put in at. Dropping it closes the connection at once.
#[derive(Debug)]
pub(crate) struct Channel {
    sender: SendRequest<Body>,
    /// The task that moves the connection's bytes, and the worker that it runs on.
    driver: AbortHandle,
    home: usize,
    slot: Arc<SlotState>,
    /// Requests sent so far.
    served: u32,
    idle_since: Instant,
    /// When it becomes too old for new requests.
    expires: Option<Instant>,
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Why an idle connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overdue {
    Idle,
    Age,
}

impl EndpointState {
    /// An endpoint without connections.
    pub(crate) fn new(
        id: EndpointId,
        endpoint: Endpoint,
        resolution: Option<Arc<Resolution>>,
        workers: usize,
    ) -> Self {
        Self {
            id,
            endpoint,
            resolution,
            active: Arc::default(),
            connections: Count::default(),
            idle_count: AtomicUsize::new(0),
            idle: (0..workers).map(|_| Mutex::default()).collect(),
            shared: SharedConnections::new(workers),
            declined_http2: AtomicBool::new(false),
            retired: AtomicBool::new(false),
        }
    }

    /// An endpoint for tests of what only counts.
    #[cfg(test)]
    pub(crate) fn numbered(id: u64) -> Arc<Self> {
        let endpoint = Endpoint {
            address: weir_plan::EndpointAddress::Ip(([127, 0, 0, 1], 1).into()),
            hostname: None,
            zone: None,
        };
        Arc::new(Self::new(EndpointId(id), endpoint, None, 1))
    }

    /// Requests in progress.
    pub(crate) fn active(&self) -> u32 {
        self.active.get()
    }

    /// Counts a request in progress.
    pub(crate) fn begin(&self) -> Permit {
        Permit::count(&self.active)
    }

    /// Closes what is idle, and lets nothing become idle any more.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::SeqCst);
        for shard in &self.idle {
            let closed = std::mem::take(&mut *shard.lock());
            self.idle_count.fetch_sub(closed.len(), Ordering::SeqCst);
        }
        self.shared.close();
    }

    /// Whether it has left the cluster.
    fn is_retired(&self) -> bool {
        self.retired.load(Ordering::SeqCst)
    }

    /// Keeps a connection for later; gives it back where the endpoint is retired.
    fn put_idle(&self, channel: Channel) -> Option<Channel> {
        let mut shard = self.idle[channel.home].lock();
        // Asked under the lock: `retire` sets the mark before it empties the shard.
        if self.retired.load(Ordering::SeqCst) {
            return Some(channel);
        }
        shard.push(channel);
        self.idle_count.fetch_add(1, Ordering::SeqCst);
        None
    }

    /// An idle connection that a worker drives, the last used first. Drops those that have become useless.
    fn take_idle(&self, worker: usize, now: Instant, timeout: Option<Duration>) -> Option<Channel> {
        let mut shard = self.idle[worker].lock();
        while let Some(channel) = shard.pop() {
            self.idle_count.fetch_sub(1, Ordering::SeqCst);
            if channel.sender.is_ready() && channel.overdue(now, timeout).is_none() {
                return Some(channel);
            }
        }
        None
    }

    /// An idle connection, whoever drives it.
    fn take_idle_anywhere(&self, now: Instant, timeout: Option<Duration>) -> Option<Channel> {
        if self.idle_count.load(Ordering::SeqCst) == 0 {
            return None;
        }
        (0..self.idle.len()).find_map(|worker| self.take_idle(worker, now, timeout))
    }

    /// The longest idle connection of some worker, to be closed in favour of another endpoint.
    fn take_longest_idle(&self) -> Option<Channel> {
        if self.idle_count.load(Ordering::SeqCst) == 0 {
            return None;
        }
        self.idle.iter().find_map(|shard| {
            let mut shard = shard.lock();
            (!shard.is_empty()).then(|| {
                self.idle_count.fetch_sub(1, Ordering::SeqCst);
                shard.remove(0)
            })
        })
    }

    /// Takes one connection out of the idle ones: for its driver, when it has ended or `wanted` says so.
    fn take_idle_if(
        &self,
        home: usize,
        driver: tokio::task::Id,
        wanted: impl FnOnce(&Channel) -> bool,
    ) -> Option<Channel> {
        let mut shard = self.idle[home].lock();
        let place = shard
            .iter()
            .position(|channel| channel.driver.id() == driver)?;
        wanted(&shard[place]).then(|| {
            self.idle_count.fetch_sub(1, Ordering::SeqCst);
            shard.remove(place)
        })
    }
}

impl Channel {
    /// Whether the connection has been idle for too long or is too old for another request.
    fn overdue(&self, now: Instant, idle_timeout: Option<Duration>) -> Option<Overdue> {
        if self.expires.is_some_and(|expires| expires <= now) {
            return Some(Overdue::Age);
        }
        let idle = now.saturating_duration_since(self.idle_since);
        idle_timeout
            .is_some_and(|timeout| idle >= timeout)
            .then_some(Overdue::Idle)
    }
}
