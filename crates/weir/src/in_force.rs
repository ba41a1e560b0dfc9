//! The configuration in force, as the admin API shows it: what it says, where it is served, and what is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use weir_plan::{ListenerName, Plan};
use weir_proxy::{ListenError, Router};
use weir_resolve::Statuses;
use weir_resolve::status::{Condition, ConditionStatus};

use crate::configuration::Configuration;
use crate::findings::{self, Finding};

/// A configuration that traffic is served by.
#[derive(Debug)]
pub(crate) struct InForce {
    pub(crate) configuration: Arc<Configuration>,
    /// Counts the configurations of this process, from 1.
    pub(crate) sequence: u64,
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
        mark_unserved(&mut statuses, &errors);
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

/// Tells the Gateways which of their listeners are not served because a port cannot be bound.
fn mark_unserved(statuses: &mut Statuses, errors: &[ListenError]) {
    let unserved: BTreeMap<&ListenerName, &str> = errors
        .iter()
        .flat_map(|error| {
            error
                .listeners
                .iter()
                .map(|name| (name, error.message.as_str()))
        })
        .collect();
    let gateways: BTreeSet<_> = unserved.keys().map(|name| &name.gateway).collect();
    for gateway in gateways {
        let Some(status) = statuses.gateways.get_mut(gateway) else {
            continue;
        };
        let mut last = "";
        for listener in &mut status.listeners {
            let name = ListenerName {
                gateway: gateway.clone(),
                listener: listener.name.as_str().into(),
            };
            if let Some(message) = unserved.get(&name) {
                not_programmed(&mut listener.conditions, "PortUnavailable", message);
                last = message;
            }
        }
        let served = |conditions: &[Condition]| {
            conditions
                .iter()
                .any(|it| it.r#type == "Programmed" && it.status == ConditionStatus::True)
        };
        if !status
            .listeners
            .iter()
            .any(|listener| served(&listener.conditions))
        {
            not_programmed(&mut status.conditions, "AddressNotUsable", last);
        }
    }
}

fn not_programmed(conditions: &mut [Condition], reason: &str, text: &str) {
    for condition in conditions.iter_mut().filter(|it| it.r#type == "Programmed") {
        let Condition {
            r#type: _,
            status,
            reason: old_reason,
            message,
            observed_generation: _,
        } = condition;
        *status = ConditionStatus::False;
        reason.clone_into(old_reason);
        text.clone_into(message);
    }
}

#[cfg(test)]
mod tests {
    use weir_plan::NamespacedName;
    use weir_resolve::status::{GatewayStatus, ListenerStatus};

    use super::*;

    fn programmed() -> Vec<Condition> {
        vec![Condition {
            r#type: "Programmed".to_owned(),
            status: ConditionStatus::True,
            reason: "Programmed".to_owned(),
            message: String::new(),
            observed_generation: None,
        }]
    }

    fn statuses(listeners: &[&str]) -> Statuses {
        let listeners = listeners.iter().map(|name| ListenerStatus {
            name: (*name).to_owned(),
            supported_kinds: Vec::new(),
            attached_routes: 0,
            conditions: programmed(),
        });
        let status = GatewayStatus {
            conditions: programmed(),
            listeners: listeners.collect(),
        };
        let mut statuses = Statuses::default();
        statuses
            .gateways
            .insert(NamespacedName::new("default", "edge"), status);
        statuses
    }

    #[test]
    fn a_port_that_cannot_be_bound_shows_in_the_status() {
        let error = ListenError {
            port: 80,
            address: "127.0.0.1:80".parse().unwrap(),
            listeners: vec![ListenerName {
                gateway: NamespacedName::new("default", "edge"),
                listener: "http".into(),
            }],
            message: "port 80 is in use".to_owned(),
        };
        let cases = [(&["http"][..], true), (&["http", "other"][..], false)];
        for (listeners, whole_gateway) in cases {
            let mut statuses = statuses(listeners);
            mark_unserved(&mut statuses, std::slice::from_ref(&error));
            let status = &statuses.gateways[&NamespacedName::new("default", "edge")];
            assert_eq!(
                status.listeners[0].conditions[0].status,
                ConditionStatus::False
            );
            assert_eq!(
                status.listeners[0].conditions[0].message,
                "port 80 is in use"
            );
            assert_eq!(
                status.conditions[0].status == ConditionStatus::False,
                whole_gateway,
                "{listeners:?}"
            );
        }
    }

    #[test]
    fn equal_plans_have_equal_hashes() {
        assert_eq!(hash(&Plan::default()), hash(&Plan::default()));
        assert_eq!(hash(&Plan::default()).len(), 16);
    }
}
