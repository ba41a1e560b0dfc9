//! The configuration in force, as the admin API shows it: what it says, where it is served, and what is missing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use weir_plan::Plan;
use weir_proxy::{ListenError, Router};
use weir_resolve::Statuses;

use crate::configuration::Configuration;
use crate::findings::{self, Finding};

/// A configuration that traffic is served by.
#[derive(Debug)]
pub(crate) struct InForce {
    pub(crate) configuration: Arc<Configuration>,
    /// Counts the configurations of this process, from 1.
    pub(crate) sequence: u64,
    /// The sequence of the earlier configuration that was put in force again.
    pub(crate) restored: Option<u64>,
    /// Whether it stays in force whatever the files say, until it is released.
    pub(crate) held: bool,
    /// Of the plan: equal plans have equal hashes.
    pub(crate) hash: String,
    pub(crate) applied: Timestamp,
    pub(crate) resolve_time: Duration,
    pub(crate) apply_time: Duration,
    /// Where each port of the plan is served.
    pub(crate) addresses: BTreeMap<u16, SocketAddr>,
    /// What is wrong with the configuration.
    pub(crate) findings: Vec<Finding>,
    pub(crate) unserved: Unserved,
    /// The plan compiled for explaining requests, once one is asked about.
    pub(crate) router: OnceLock<Router>,
}

/// The ports of a plan that cannot be bound, and what follows from that.
#[derive(Debug, Default)]
pub(crate) struct Unserved {
    pub(crate) errors: Vec<ListenError>,
    /// The errors as findings about the listeners that ask for the ports.
    pub(crate) findings: Vec<Finding>,
    /// All statuses as they are with the errors; none where there are no errors.
    statuses: Option<Statuses>,
}

impl Unserved {
    pub(crate) fn of(errors: Vec<ListenError>, configuration: &Configuration) -> Self {
        if errors.is_empty() {
            return Self::default();
        }
        let findings = findings::of_listen_errors(&errors, &configuration.loaded);
        let mut statuses = configuration.resolution.statuses.clone();
        for error in &errors {
            statuses.with_listen_error(&error.listeners, &error.message);
        }
        Self {
            errors,
            findings,
            statuses: Some(statuses),
        }
    }
}

impl InForce {
    /// What is wrong with the configuration, and the ports that cannot be bound.
    pub(crate) fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().chain(&self.unserved.findings)
    }

    /// The statuses, with the ports that cannot be bound.
    pub(crate) fn statuses(&self) -> &Statuses {
        self.unserved
            .statuses
            .as_ref()
            .unwrap_or(&self.configuration.resolution.statuses)
    }

    /// Why it does not serve all that the files ask for; empty: it does.
    pub(crate) fn reasons_not_ready(&self) -> Vec<String> {
        let mut reasons = self.configuration.loaded.missing.clone();
        reasons.extend(self.unserved.errors.iter().map(|it| it.message.clone()));
        if self.configuration.resolution.plan.listeners.is_empty() {
            reasons
                .push("nothing is served: no Gateway has a listener that can be served".to_owned());
        }
        reasons
    }

    /// The plan compiled for looking requests up.
    pub(crate) fn router(&self) -> &Router {
        self.router
            .get_or_init(|| Router::new(&self.configuration.resolution.plan))
    }
}

/// The hash of a plan, in 16 hexadecimal digits.
pub(crate) fn hash(plan: &Plan) -> String {
    let mut hasher = Hasher(xxhash_rust::xxh3::Xxh3::new());
    serde_json::to_writer(&mut hasher, plan)
        .expect("a plan can be written, and a hasher takes all of it");
    format!("{:016x}", hasher.0.digest())
}

struct Hasher(xxhash_rust::xxh3::Xxh3);

impl std::io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
