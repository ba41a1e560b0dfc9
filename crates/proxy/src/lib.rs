//! Weir's own data plane: enforces a plan on live traffic.
//!
//! One thread per worker, each with its own runtime; policy state is per process. It knows no Kubernetes.

mod access_log;
pub mod body;
mod client;
mod cluster;
mod connection;
mod cookie;
mod cors;
mod credential;
mod envoy_headers;
mod exchange;
mod features;
mod flags;
mod forward;
mod headers;
mod listener;
pub mod metrics;
mod mirror;
mod operators;
pub mod options;
mod path;
mod pattern;
pub mod preview;
mod rejection;
mod request;
mod rewrite;
pub mod router;
mod session;
pub mod support;
mod table;
mod tls;
mod trailers;
mod tunnel;
mod upstream;
mod websocket;
mod worker;
mod writes;

pub use access_log::{KEYS as ACCESS_LOG_KEYS, TextFormat};
pub use options::{AccessLogForm, AccessLogOptions, AccessLogTarget, Limits, Options};
pub use router::{Found, Router};
pub use support::{CLIENT_SUPPORT, support};

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use weir_plan::{EndpointMap, Listener, ListenerName, Plan};

use access_log::AccessLog;
use cluster::ClusterRegistry;
use features::rate_limit::GlobalStore;
use listener::{Downstream, Port, Ports};
use metrics::Metrics;
use table::RoutingTable;
use worker::Shared;

/// How long a port that a plan no longer has may take to be closed by all workers.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A running data plane. Dropping it stops it at once.
pub struct Proxy {
    shared: Arc<Shared>,
    bind: std::net::IpAddr,
    port_map: BTreeMap<u16, u16>,
    /// What is in force. Its lock makes changes happen one after the other.
    applied: Mutex<Applied>,
    ports: watch::Sender<Ports>,
    stop: CancellationToken,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Applied {
    plan: Arc<Plan>,
    ports: BTreeMap<u16, (Arc<Port>, listener::Closed)>,
    /// Set by [`Proxy::drain`]: no port is bound any more.
    drained: bool,
    /// Sockets of an earlier process, by the port that Gateways name, until the first plan.
    inherited: BTreeMap<u16, TcpListener>,
}

/// Why the data plane could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A thread or runtime could not be had.
    #[error("cannot start worker {worker}: {source}")]
    Worker {
        /// Which worker, from 0.
        worker: usize,
        /// What the system said.
        source: std::io::Error,
    },
    /// The access log cannot be written.
    #[error("cannot open the access log {path}: {source}")]
    AccessLog {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A port of the plan that cannot be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenError {
    /// The port that the Gateways name.
    pub port: u16,
    /// The address that could not be bound.
    pub address: SocketAddr,
    /// The listeners that are not served because of it.
    pub listeners: Vec<ListenerName>,
    /// What is wrong and what to do, such as "port 8080 is in use by another process; stop it, or move the listener
    /// with --port-map 8080=PORT".
    pub message: String,
}

impl Proxy {
    /// Starts the workers. Nothing is served before [`Proxy::apply`].
    ///
    /// # Errors
    /// When a thread, a runtime or the access log cannot be had.
    pub fn start(options: Options) -> Result<Self, StartError> {
        let Options {
            workers,
            bind,
            port_map,
            limits,
            access_log,
            clock,
            seed,
        } = options;
        let workers = workers.max(1);
        let mut seeds = seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        let access_log = AccessLog::open(&access_log, workers).map_err(|source| {
            let path = match access_log.target {
                AccessLogTarget::Off | AccessLogTarget::Stdout => "standard output".to_owned(),
                AccessLogTarget::File(path) => path.display().to_string(),
            };
            StartError::AccessLog { path, source }
        })?;
        let (downstream, handed) = Downstream::new(workers);
        let shared = Arc::new(Shared {
            table: ArcSwap::from_pointee(RoutingTable::empty()),
            clusters: ClusterRegistry::new(workers, seeds.fork()),
            downstream,
            overloaded: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            clock,
            limits,
            access_log,
            metrics: Metrics::default(),
            global: GlobalStore::new(seeds.u64(..)),
            mirrored: Arc::default(),
        });
        let ports = watch::Sender::new(Ports::default());
        // Dropped on the way out by an error, it stops those that have started.
        let mut proxy = Self {
            shared,
            bind,
            port_map,
            applied: Mutex::default(),
            ports,
            stop: CancellationToken::new(),
            threads: Vec::new(),
        };
        for (worker, handed) in handed.into_iter().enumerate() {
            // Each worker has random numbers of its own, all of them from the one seed.
            let rng = seeds.fork();
            let shared = Arc::clone(&proxy.shared);
            let (ports, stop) = (proxy.ports.subscribe(), proxy.stop.clone());
            let thread = worker::start(worker, shared, rng, ports, handed, stop)
                .map_err(|source| StartError::Worker { worker, source })?;
            proxy.threads.push(thread);
        }
        Ok(proxy)
    }

    /// Has the first plan take these listening sockets rather than bind ports anew, by the port that Gateways name. Those
    /// that it does not want, or wants at another address, are closed.
    pub fn inherit(&self, sockets: Vec<(u16, TcpListener)>) {
        self.applied.lock().inherited.extend(sockets);
    }

    /// The listening sockets, by the port that Gateways name, for a process that takes this one's place.
    ///
    /// # Errors
    /// When there are no file descriptors left.
    pub fn sockets(&self) -> io::Result<Vec<(u16, TcpListener)>> {
        let applied = self.applied.lock();
        let ports = applied.ports.iter();
        ports
            .map(|(number, (port, _))| Ok((*number, port.duplicate()?)))
            .collect()
    }

    /// Puts a plan in force. When it returns, every request that begins is served by it; requests in progress go on
    /// as they began. Ports that cannot be bound are returned; all else is served.
    pub fn apply(&self, plan: &Arc<Plan>, endpoints: &EndpointMap) -> Vec<ListenError> {
        let mut applied = self.applied.lock();
        let mut wanted: BTreeMap<u16, Vec<&Listener>> = BTreeMap::new();
        for listener in &plan.listeners {
            wanted.entry(listener.port).or_default().push(listener);
        }
        // First what goes, for what comes may need its place.
        self.close_ports(&mut applied, |number| !wanted.contains_key(&number));
        let keeps_case = |it: &Arc<Listener>| {
            let client = it.client.as_ref();
            client.is_some_and(|it| it.http1.preserve_header_case)
        };
        let keep_case = plan.listeners.iter().any(keeps_case);
        self.shared.clusters.keep_case(keep_case);
        let clusters = self.shared.clusters.update(&plan.clusters, endpoints);
        let previous = self.shared.table.load();
        let table = RoutingTable::build(
            plan,
            &clusters,
            Some(&previous),
            &self.shared.metrics,
            &self.shared.global,
            self.shared.clock.now(),
        );
        drop(previous);
        self.shared.table.store(Arc::new(table));
        self.shared.metrics.forget_gone();
        applied.plan = Arc::clone(plan);
        if applied.drained {
            return Vec::new();
        }
        let mut errors = Vec::new();
        let mut inherited = std::mem::take(&mut applied.inherited);
        for (number, listeners) in wanted {
            if applied.ports.contains_key(&number) {
                continue;
            }
            let local = self.port_map.get(&number).copied().unwrap_or(number);
            let address = SocketAddr::new(self.bind, local);
            let at_hand = inherited
                .remove(&number)
                .filter(|it| listener::serves(it, address));
            let bound = match at_hand {
                Some(socket) => listener::adopt(number, socket),
                None => listener::bind(number, address),
            };
            match bound {
                Ok(port) => drop(applied.ports.insert(number, port)),
                Err(error) => {
                    let ours = applied
                        .ports
                        .iter()
                        .find(|(_, (port, _))| port.address == address)
                        .map(|(other, _)| *other);
                    errors.push(ListenError {
                        port: number,
                        address,
                        listeners: listeners.iter().map(|it| it.name.clone()).collect(),
                        message: cannot_listen(number, address, ours, &error),
                    });
                }
            }
        }
        self.announce(&applied);
        errors
    }

    /// Puts new endpoints in force under the same plan.
    pub fn apply_endpoints(&self, endpoints: &EndpointMap) {
        let applied = self.applied.lock();
        // The table points at the same states, which now have other endpoints.
        drop(
            self.shared
                .clusters
                .update(&applied.plan.clusters, endpoints),
        );
    }

    /// Where each port of the plan is served.
    pub fn addresses(&self) -> BTreeMap<u16, SocketAddr> {
        let applied = self.applied.lock();
        applied
            .ports
            .iter()
            .map(|(number, (port, _))| (*number, port.address))
            .collect()
    }

    /// Refuses new connections and requests from now on, or takes them again. Those in progress go on.
    pub fn refuse_new_work(&self, refuse: bool) {
        self.shared.overloaded.store(refuse, Ordering::Relaxed);
    }

    /// Requests in progress.
    pub fn active_requests(&self) -> usize {
        self.shared.metrics.active_requests()
    }

    /// The metrics in the Prometheus (OpenMetrics) text format.
    pub fn metrics(&self) -> String {
        metrics::render(&self.shared)
    }

    /// Takes no new connections, lets requests in progress end, and closes idle connections. Returns when all are
    /// closed (true) or after `timeout` (false). Blocks; call it off the workers.
    pub fn drain(&self, timeout: Duration) -> bool {
        {
            let mut applied = self.applied.lock();
            applied.drained = true;
            self.shared.draining.store(true, Ordering::Relaxed);
            self.close_ports(&mut applied, |_| true);
        }
        self.shared.downstream.wait_for_none(timeout)
    }

    /// Stops accepting on some ports, and waits until their sockets are closed.
    fn close_ports(&self, applied: &mut Applied, goes: impl Fn(u16) -> bool) {
        let gone: Vec<_> = applied
            .ports
            .extract_if(.., |number, _| goes(*number))
            .collect();
        if gone.is_empty() {
            return;
        }
        self.announce(applied);
        let closed = gone.into_iter().map(|(_, (port, closed))| {
            listener::close(&port, &self.shared);
            closed
        });
        for closed in closed.collect::<Vec<_>>() {
            // Nothing is ever sent: it is disconnected, or time is up.
            let _ = closed.recv_timeout(CLOSE_TIMEOUT);
        }
    }

    /// Tells the workers which ports there are.
    fn announce(&self, applied: &Applied) {
        let ports = applied
            .ports
            .iter()
            .map(|(number, (port, _))| (*number, Arc::clone(port)));
        self.ports.send_replace(Arc::new(ports.collect()));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.cancel();
        for thread in self.threads.drain(..) {
            // A worker that panicked has said so already.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let workers = self.threads.len();
        f.debug_struct("Proxy")
            .field("workers", &workers)
            .finish_non_exhaustive()
    }
}

/// What is wrong with a port, and the way out. `ours` is the port of the plan that is served at the address already.
fn cannot_listen(number: u16, address: SocketAddr, ours: Option<u16>, error: &io::Error) -> String {
    let local = address.port();
    if let Some(ours) = ours {
        format!(
            "port {local} serves port {ours} of the Gateways already; move this listener with --port-map {number}=PORT"
        )
    } else if error.kind() == io::ErrorKind::AddrInUse {
        format!(
            "port {local} is in use by another process; stop it, or move the listener with --port-map {number}=PORT"
        )
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        format!(
            "port {local} needs a privilege that this process does not have; move the listener with \
             --port-map {number}={}",
            u32::from(number) + 8_000
        )
    } else {
        format!(
            "cannot listen on {address}: {error}; move the listener with --port-map {number}=PORT"
        )
    }
}
