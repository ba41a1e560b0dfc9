//! The threads that serve requests, and what they share.

use std::cell::{RefCell, RefMut};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;
use weir_limiter::Clock;

use crate::access_log::AccessLog;
use crate::cluster::ClusterRegistry;
use crate::connection::Handshakes;
use crate::features::rate_limit::GlobalStore;
use crate::listener::{self, Downstream, Handed, Ports};
use crate::metrics::Metrics;
use crate::mirror::Mirrored;
use crate::options::Limits;
use crate::table::RoutingTable;

/// What the whole process shares.
pub(crate) struct Shared {
    /// How requests are routed: replaced whole by a new plan, read anew for each request.
    pub(crate) table: ArcSwap<RoutingTable>,
    /// The live state of clusters.
    pub(crate) clusters: ClusterRegistry,
    /// Connections from clients.
    pub(crate) downstream: Arc<Downstream>,
    /// Whether new connections and requests are refused, for the process has no room for them.
    pub(crate) overloaded: AtomicBool,
    /// Whether the process is about to end.
    pub(crate) draining: AtomicBool,
    /// The time that limits go by.
    pub(crate) clock: Clock,
    /// Bounds on what comes from outside.
    pub(crate) limits: Limits,
    /// Where requests are logged.
    pub(crate) access_log: AccessLog,
    /// What listeners, rules and limits count.
    pub(crate) metrics: Metrics,
    /// Where global limits are counted.
    pub(crate) global: GlobalStore,
    /// What became of the copies of requests that mirrors got.
    pub(crate) mirrored: Arc<Mirrored>,
}

/// One of the threads that serve requests, seen from inside.
pub(crate) struct Worker {
    /// Which, from 0.
    pub(crate) index: usize,
    /// What it shares with the others.
    pub(crate) shared: Arc<Shared>,
    /// The TLS handshakes that it has in progress.
    pub(crate) handshakes: Handshakes,
    rng: RefCell<fastrand::Rng>,
}

impl Worker {
    /// A worker with its own random numbers.
    pub(crate) fn new(index: usize, shared: Arc<Shared>, rng: fastrand::Rng) -> Rc<Self> {
        Rc::new(Self {
            index,
            shared,
            handshakes: Handshakes::default(),
            rng: RefCell::new(rng),
        })
    }

    /// The worker's random numbers. Not to be held across an await.
    pub(crate) fn rng(&self) -> RefMut<'_, fastrand::Rng> {
        self.rng.borrow_mut()
    }
}

/// Starts a worker's thread. It ends when `stop` is cancelled, and all that it serves ends with it.
///
/// # Errors
/// When the system has no thread or event queue to give.
pub(crate) fn start(
    index: usize,
    shared: Arc<Shared>,
    rng: fastrand::Rng,
    ports: watch::Receiver<Ports>,
    handed: Handed,
    stop: CancellationToken,
) -> std::io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name(format!("weir-worker-{index}"))
        .spawn(move || {
            let worker = Worker::new(index, shared, rng);
            let tasks = LocalSet::new();
            tasks.block_on(&runtime, listener::follow(worker, ports, handed, stop));
        })
}
