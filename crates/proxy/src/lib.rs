//! Weir's own data plane: enforces a plan on live traffic.
//!
//! One thread per worker, each with its own runtime; policy state is per process. It knows no Kubernetes.

mod access_log;
pub mod body;
mod cluster;
mod connection;
mod exchange;
mod features;
mod flags;
mod forward;
mod headers;
mod listener;
pub mod metrics;
pub mod options;
mod path;
mod pattern;
mod rejection;
mod request;
mod rewrite;
pub mod router;
pub mod support;
mod table;
mod upstream;
mod worker;

pub use options::{AccessLogTarget, Limits, Options};
pub use router::{Found, Router};
pub use support::support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use weir_plan::{EndpointMap, ListenerName, Plan};

/// A running data plane. Dropping it stops it at once.
#[derive(Debug)]
pub struct Proxy {}

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
        let _ = options;
        todo!()
    }

    /// Puts a plan in force. When it returns, every request that begins is served by it; requests in progress go on
    /// as they began. Ports that cannot be bound are returned; all else is served.
    pub fn apply(&self, plan: &Arc<Plan>, endpoints: &EndpointMap) -> Vec<ListenError> {
        let _ = (plan, endpoints);
        todo!()
    }

    /// Puts new endpoints in force under the same plan.
    pub fn apply_endpoints(&self, endpoints: &EndpointMap) {
        let _ = endpoints;
        todo!()
    }

    /// Where each port of the plan is served.
    pub fn addresses(&self) -> BTreeMap<u16, SocketAddr> {
        todo!()
    }

    /// The metrics in the Prometheus (OpenMetrics) text format.
    pub fn metrics(&self) -> String {
        todo!()
    }

    /// Takes no new connections, lets requests in progress end, and closes idle connections. Returns when all are
    /// closed (true) or after `timeout` (false). Blocks; call it off the workers.
    pub fn drain(&self, timeout: Duration) -> bool {
        let _ = timeout;
        todo!()
    }
}
