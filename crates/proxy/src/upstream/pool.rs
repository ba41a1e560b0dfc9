//! Who gets a connection: the idle ones, room for new ones within `maxConnections`, and a queue for the rest.
//!
//! Each worker keeps its idle connections in a shard of its own, so a request that finds one there meets no other
//! worker. Only a request that finds neither an idle connection of its worker nor room for a new one joins the queue
//! of the cluster. From then on everything that could serve it (a connection that becomes idle, one that closes, new
//! limits) goes through [`ClusterState::serve_waiters`], in the order of the queue.
//!
//! No wake-up is lost: a waiter first joins the queue (which raises `waiting`), then looks at shards and counts; a
//! giver first changes shards or counts, then looks at `waiting`. All of these are sequentially consistent, so at
//! least one of the two sees the other.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering, fence};
use std::task::{Context, Poll};

use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::http2::{self, Stream};
use super::{Channel, EndpointState};
use crate::cluster::ClusterState;

/// The queue of a cluster, and what is on its way to it.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    queue: Mutex<VecDeque<Waiter>>,
    /// The length of `queue`.
    waiting: AtomicUsize,
    /// Idle connections that are closing to make room for waiters.
    closing: AtomicUsize,
    tickets: AtomicU64,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    endpoint: Arc<EndpointState>,
    turn: oneshot::Sender<Turn>,
}

/// What a request that needs a connection gets.
#[derive(Debug)]
pub(super) enum Turn {
    /// One that exists.
    Use(Channel),
    /// A place on one in HTTP/2.
    Share(Stream),
    /// Room for a new one.
    Open(Slot),
}

/// Room for one connection within the limits of cluster and endpoint. Its connection's driver holds it until the
/// socket is closed.
#[derive(Debug)]
pub(crate) struct Slot {
    cluster: Arc<ClusterState>,
    endpoint: Arc<EndpointState>,
    pub(super) state: Arc<SlotState>,
}

/// Whether a connection is being closed in favour of a waiter.
#[derive(Debug, Default)]
pub(crate) struct SlotState(AtomicU8);

const OPEN: u8 = 0;
const EVICTED: u8 = 1;
const CLOSED: u8 = 2;

/// A place in the queue. Dropping it leaves the queue.
pub(super) struct Waiting {
    cluster: Arc<ClusterState>,
    /// Its place; none when it has had its turn.
    ticket: Option<u64>,
    turn: oneshot::Receiver<Turn>,
}

impl ClusterState {
    /// Room for a new connection, where nobody waits for some.
    pub(super) fn room(self: &Arc<Self>, endpoint: &Arc<EndpointState>) -> Option<Slot> {
        if self.pool.waiting.load(Ordering::SeqCst) > 0 {
            return None;
        }
        Slot::take(self, endpoint).ok()
    }

    /// Room for a new connection or, at a limit, a place in the queue.
    pub(super) fn acquire(
        self: &Arc<Self>,
        endpoint: &Arc<EndpointState>,
    ) -> Result<Turn, Waiting> {
        if let Some(slot) = self.room(endpoint) {
            return Ok(Turn::Open(slot));
        }
        self.stats.cx_overflow.count();
        let ticket = self.pool.tickets.fetch_add(1, Ordering::Relaxed);
        let (sender, turn) = oneshot::channel();
        {
            let mut queue = self.pool.queue.lock();
            queue.push_back(Waiter {
                ticket,
                endpoint: Arc::clone(endpoint),
                turn: sender,
            });
            self.pool.waiting.store(queue.len(), Ordering::SeqCst);
        }
        self.serve_waiters();
        Err(Waiting {
            cluster: Arc::clone(self),
            ticket: Some(ticket),
            turn,
        })
    }

    /// An idle connection of any worker, for a request that may not wait.
    pub(super) fn take_idle_anywhere(&self, endpoint: &EndpointState) -> Option<Channel> {
        let timeout = self.policy().timeout.connection_idle;
        endpoint.take_idle_anywhere(Instant::now(), timeout)
    }

    /// Makes a connection available to the next request.
    pub(super) fn give_back(self: &Arc<Self>, endpoint: &EndpointState, channel: Channel) {
        drop(endpoint.put_idle(channel));
        self.after_change();
    }

    /// To be called after every change from which a waiter could profit.
    pub(crate) fn after_change(self: &Arc<Self>) {
        fence(Ordering::SeqCst);
        if self.pool.waiting.load(Ordering::SeqCst) > 0 {
            self.serve_waiters();
        }
    }

    /// Gives the waiters, in their order, what is there for them.
    ///
    /// A waiter whose endpoint is at its own limit is passed over. One that only lacks room in the cluster makes an
    /// idle connection of another endpoint close; when that is closed, this function runs again. Everything is
    /// worked out anew each time, so nothing is lost when somebody else is quicker.
    fn serve_waiters(self: &Arc<Self>) {
        // What is decided under the lock is done after it: dropping a slot or a connection comes back here.
        let mut turns: SmallVec<[(Waiter, Turn); 1]> = SmallVec::new();
        let mut evicted: SmallVec<[Evicted; 1]> = SmallVec::new();
        {
            let mut queue = self.pool.queue.lock();
            let mut closing = self.pool.closing.load(Ordering::SeqCst);
            let mut place = 0;
            while let Some(waiter) = queue.get(place) {
                match self.offer(&waiter.endpoint) {
                    Ok(turn) => {
                        if let Some(waiter) = queue.remove(place) {
                            turns.push((waiter, turn));
                        }
                        continue;
                    }
                    Err(Full::Endpoint) => {}
                    Err(Full::Cluster) if closing > 0 => closing -= 1,
                    Err(Full::Cluster) => match self.evict() {
                        Some(idle) => evicted.push(idle),
                        None => break,
                    },
                }
                place += 1;
            }
            self.pool.waiting.store(queue.len(), Ordering::SeqCst);
        }
        drop(evicted);
        for (waiter, turn) in turns {
            // A waiter that has just given up leaves its turn to the next.
            match waiter.turn.send(turn) {
                Ok(()) | Err(Turn::Open(_) | Turn::Share(_)) => {}
                Err(Turn::Use(channel)) => self.give_back(&waiter.endpoint, channel),
            }
        }
    }

    /// What a waiter can have now.
    fn offer(self: &Arc<Self>, endpoint: &Arc<EndpointState>) -> Result<Turn, Full> {
        if let Some(channel) = self.take_idle_anywhere(endpoint) {
            return Ok(Turn::Use(channel));
        }
        if let Some(stream) = endpoint.shared.any() {
            return Ok(Turn::Share(stream));
        }
        Slot::take(self, endpoint).map(Turn::Open)
    }

    /// An idle connection to give up, counted as closing.
    fn evict(&self) -> Option<Evicted> {
        let members = self.members();
        let idle = members.endpoints().find_map(|endpoint| {
            let own = endpoint.take_longest_idle().map(Evicted::Own);
            own.or_else(|| endpoint.shared.evict().map(Evicted::Shared))
        })?;
        let slot = match &idle {
            Evicted::Own(channel) => &channel.slot,
            Evicted::Shared(http2::Evicted(shared)) => &shared.slot,
        };
        // Where the connection has closed by itself meanwhile, its slot is about to call `after_change`.
        let open = slot
            .0
            .compare_exchange(OPEN, EVICTED, Ordering::SeqCst, Ordering::SeqCst);
        if open.is_ok() {
            self.pool.closing.fetch_add(1, Ordering::SeqCst);
        }
        Some(idle)
    }
}

/// An idle connection that makes room for others. It closes when this is dropped.
enum Evicted {
    Own(Channel),
    Shared(http2::Evicted),
}

/// Which limit leaves no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Full {
    Endpoint,
    Cluster,
}

impl Slot {
    fn take(cluster: &Arc<ClusterState>, endpoint: &Arc<EndpointState>) -> Result<Self, Full> {
        let policy = cluster.policy();
        let breaker = &policy.circuit_breaker;
        // The endpoint's place first: taking one for a moment and giving it back can then make others overlook only
        // room of this endpoint, and whoever does that joins the queue next and looks on behalf of all.
        if !endpoint.connections.take(
            breaker
                .max_connections_per_endpoint
                .unwrap_or(u32::MAX)
                .max(1),
        ) {
            return Err(Full::Endpoint);
        }
        if !cluster
            .breaker
            .connections
            .take(breaker.max_connections.max(1))
        {
            endpoint.connections.give_back();
            return Err(Full::Cluster);
        }
        Ok(Self {
            cluster: Arc::clone(cluster),
            endpoint: Arc::clone(endpoint),
            state: Arc::default(),
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.state.0.swap(CLOSED, Ordering::SeqCst) == EVICTED {
            self.cluster.pool.closing.fetch_sub(1, Ordering::SeqCst);
        }
        self.cluster.breaker.connections.give_back();
        self.endpoint.connections.give_back();
        self.cluster.after_change();
    }
}

impl Future for Waiting {
    type Output = Turn;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Turn> {
        Pin::new(&mut self.turn).poll(cx).map(|turn| {
            self.ticket = None;
            turn.expect("a waiter leaves the queue with its turn, or by being dropped")
        })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else {
            return;
        };
        let left = {
            let mut queue = self.cluster.pool.queue.lock();
            let place = queue.iter().position(|waiter| waiter.ticket == ticket);
            let left = place.and_then(|place| queue.remove(place));
            self.cluster
                .pool
                .waiting
                .store(queue.len(), Ordering::SeqCst);
            left
        };
        // A turn that came too late is dropped with the receiver: a slot then serves the next waiter, a connection
        // closes and leaves its slot.
        if left.is_some() {
            self.cluster.after_change();
        }
    }
}
