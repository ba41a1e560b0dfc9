//! Follows the files: each reading is resolved and put in force, the newest first, with a log of what that did.
//!
//! It has a thread of its own, so that neither traffic nor the admin API waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};
use weir_plan::Plan;
use weir_provider::Loaded;
use weir_proxy::{ListenError, Proxy};
use weir_resolve::{Context, Memo, Severity};

use crate::certificates;
use crate::configuration::{Configuration, Counts};
use crate::findings::{self, Finding};
use crate::history::History;
use crate::in_force::{self, InForce, Unserved};
use crate::metrics::{Metrics, Observed};
use crate::overrides::BackendOverride;
use crate::provided::StatusSender;

/// How long until ports that could not be bound are tried again.
const BIND_AGAIN: Duration = Duration::from_secs(1);
/// Findings logged for one configuration; the rest is on the admin API.
const LOGGED_FINDINGS: usize = 100;

/// What an operator asks for.
#[derive(Debug)]
pub(crate) enum Order {
    /// To put an earlier configuration in force, by its sequence or hash, and to hold it; none: the one before.
    RollBack(Option<String>),
    /// To put in force again what the files say, and to follow them.
    Release,
}

/// An order, and whom to tell what came of it.
pub(crate) type Ordered = (Order, oneshot::Sender<Result<Arc<InForce>, String>>);

/// Puts configurations in force.
#[derive(Debug)]
pub(crate) struct Follower {
    pub(crate) context: Context,
    pub(crate) overrides: Vec<BackendOverride>,
    pub(crate) proxy: Arc<Proxy>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) memo: Memo,
    /// Where the configuration in force is published.
    pub(crate) in_force: watch::Sender<Option<Arc<InForce>>>,
    pub(crate) history: Arc<History>,
    /// Where statuses are told, if anywhere.
    pub(crate) statuses: Option<StatusSender>,
    /// The newest reading, if it is not in force because an earlier configuration is held.
    pub(crate) waiting: Option<Arc<Loaded>>,
}

impl Follower {
    /// Applies every change until `stop`. The reading that is there already must have been applied.
    pub(crate) async fn follow(
        mut self,
        mut loaded: watch::Receiver<Arc<Loaded>>,
        mut orders: mpsc::Receiver<Ordered>,
        stop: CancellationToken,
    ) {
        let mut ended = false;
        loop {
            let unserved = self
                .in_force
                .borrow()
                .as_ref()
                .is_some_and(|it| !it.unserved.errors.is_empty());
            tokio::select! {
                () = stop.cancelled() => return,
                changed = loaded.changed(), if !ended => match changed {
                    Ok(()) => {
                        let newest = Arc::clone(&loaded.borrow_and_update());
                        self.apply(newest);
                    }
                    // There is nothing to watch, such as with standard input alone.
                    Err(_) => ended = true,
                },
                Some((order, reply)) = orders.recv() => {
                    // Who asked may have gone away; what was ordered is done all the same.
                    let _ = reply.send(self.obey(&order));
                }
                () = tokio::time::sleep(BIND_AGAIN), if unserved => self.bind_again(),
            }
        }
    }

    fn obey(&mut self, order: &Order) -> Result<Arc<InForce>, String> {
        let now = self.in_force.borrow().clone();
        let now = now.ok_or("no configuration is in force yet")?;
        match order {
            Order::RollBack(wanted) => {
                let earlier = self.history.find(wanted.as_deref())?;
                let newest = self.waiting.take();
                self.waiting = newest.or_else(|| Some(Arc::clone(&now.configuration.loaded)));
                warn!(
                    sequence = earlier.sequence,
                    hash = %earlier.hash,
                    "rolled back by order; the files are not followed until `weir rollback --release`"
                );
                let configuration = Arc::clone(&earlier.configuration);
                self.put_in_force(configuration, earlier.resolve_time, Some(earlier.sequence));
            }
            Order::Release => {
                let newest = self.waiting.take();
                let newest = newest.ok_or("nothing is held: what the files say is in force")?;
                info!("released by order: the files are followed again");
                self.apply(newest);
            }
        }
        let then = self.in_force.borrow().clone();
        then.ok_or_else(|| "no configuration is in force".to_owned())
    }

    /// Resolves a reading and puts it in force, unless an earlier configuration is held.
    pub(crate) fn apply(&mut self, loaded: Arc<Loaded>) {
        if self.waiting.is_some() {
            warn!(
                "the files changed; what they say waits, as an earlier configuration is held: `weir rollback --release` puts it in force"
            );
            self.waiting = Some(loaded);
            return;
        }
        if loaded
            .findings
            .iter()
            .any(|it| it.severity == Severity::Error)
        {
            self.metrics.failed();
        }
        let start = Instant::now();
        let current = self.in_force.borrow().clone();
        if let Some(current) = current
            && !current.held
            && let Some(configuration) = current
                .configuration
                .with_endpoints(&loaded, &self.overrides)
        {
            // What the memo was last shown differs in nothing that it looks at.
            self.put_in_force(Arc::new(configuration), start.elapsed(), None);
            return;
        }
        let Self {
            context,
            overrides,
            memo,
            ..
        } = self;
        let resolved = catch_unwind(AssertUnwindSafe(|| {
            Configuration::resolve(loaded, context, overrides, memo)
        }));
        let Ok(configuration) = resolved else {
            self.memo = Memo::default();
            self.metrics.failed();
            error!(
                "the policy engine failed on these files, which is a defect of Weir; the last configuration stays in force"
            );
            return;
        };
        let resolve_time = start.elapsed();
        self.metrics.resolved(resolve_time);
        self.put_in_force(Arc::new(configuration), resolve_time, None);
    }

    /// Tries the ports again that could not be bound.
    fn bind_again(&self) {
        let Some(current) = self.in_force.borrow().clone() else {
            return;
        };
        let configuration = &current.configuration;
        let errors = self
            .proxy
            .apply(&configuration.resolution.plan, &configuration.endpoints);
        if errors != current.unserved.errors {
            self.publish(InForce {
                configuration: Arc::clone(configuration),
                sequence: current.sequence,
                restored: current.restored,
                held: current.held,
                hash: current.hash.clone(),
                applied: current.applied,
                resolve_time: current.resolve_time,
                apply_time: current.apply_time,
                addresses: self.proxy.addresses(),
                findings: current.findings.clone(),
                unserved: Unserved::of(errors, configuration),
                router: OnceLock::new(),
            });
        }
    }

    /// `restored`: the sequence of the earlier configuration that this is.
    fn put_in_force(
        &self,
        configuration: Arc<Configuration>,
        resolve_time: Duration,
        restored: Option<u64>,
    ) {
        let previous = self.in_force.borrow().clone();
        let plan = &configuration.resolution.plan;
        let unchanged = previous.as_deref().filter(|it| {
            it.unserved.errors.is_empty() && is_same(&it.configuration.resolution.plan, plan)
        });
        let start = Instant::now();
        let errors = match unchanged {
            None => self.proxy.apply(plan, &configuration.endpoints),
            Some(before) => {
                if before.configuration.endpoints != configuration.endpoints {
                    self.proxy.apply_endpoints(&configuration.endpoints);
                }
                Vec::new()
            }
        };
        let apply_time = start.elapsed();
        let applied = Timestamp::now();
        self.metrics.applied(apply_time, applied.as_second());
        self.publish(InForce {
            sequence: previous.as_ref().map_or(1, |it| it.sequence + 1),
            restored,
            held: self.waiting.is_some(),
            hash: unchanged.map_or_else(|| in_force::hash(plan), |it| it.hash.clone()),
            applied,
            resolve_time,
            apply_time,
            addresses: self.proxy.addresses(),
            findings: configuration.findings(&self.overrides, applied),
            unserved: Unserved::of(errors, &configuration),
            configuration,
            router: OnceLock::new(),
        });
    }

    fn publish(&self, new: InForce) {
        self.metrics.observe(observed(&new));
        let previous = self.in_force.borrow().clone();
        log(previous.as_deref(), &new);
        if let Some(statuses) = &self.statuses {
            statuses.send_replace(Some(Arc::new(new.statuses().clone())));
        }
        let new = Arc::new(new);
        if previous.is_none_or(|it| is_other(&it, &new)) {
            self.history.add(Arc::clone(&new));
        }
        self.in_force.send_replace(Some(new));
    }
}

/// Whether two plans are the same. What did not change is the same `Arc` in the next plan, so nothing is compared.
fn is_same(one: &Plan, two: &Plan) -> bool {
    one.listeners.len() == two.listeners.len()
        && one.clusters.len() == two.clusters.len()
        && one
            .listeners
            .iter()
            .zip(&two.listeners)
            .all(|(one, two)| Arc::ptr_eq(one, two))
        && one
            .clusters
            .values()
            .zip(two.clusters.values())
            .all(|(one, two)| Arc::ptr_eq(one, two))
}

/// Whether traffic is served in another way, or the files are followed that were not, or the other way round.
fn is_other(one: &InForce, two: &InForce) -> bool {
    one.hash != two.hash
        || one.configuration.endpoints != two.configuration.endpoints
        || one.held != two.held
}

fn observed(new: &InForce) -> Observed {
    let (errors, warnings) = findings::count(new.findings());
    Observed {
        errors,
        warnings,
        missing: new.configuration.loaded.missing.len(),
        listen_errors: new.unserved.errors.len(),
        held: new.held,
        certificates: certificates::ends(&new.configuration.resolution.plan),
    }
}

fn log(previous: Option<&InForce>, new: &InForce) {
    log_findings(previous, new);
    let Observed {
        errors,
        warnings,
        missing,
        listen_errors: _,
        held: _,
        certificates: _,
    } = observed(new);
    let Counts {
        gateways,
        listeners,
        routes,
        policies,
    } = new.configuration.counts();
    let changed = previous.is_none_or(|it| is_other(it, new));
    if changed {
        info!(
            hash = %new.hash,
            sequence = new.sequence,
            gateways,
            listeners,
            routes,
            policies,
            errors,
            warnings,
            missing,
            resolve_ms = millis(new.resolve_time),
            apply_ms = millis(new.apply_time),
            "configuration in force"
        );
    } else if previous.map(|it| findings::count(it.findings())) == Some((errors, warnings)) {
        debug!(hash = %new.hash, sequence = new.sequence, errors, warnings, missing, "the files changed, what is in force did not");
    } else {
        // Whoever saw an error is to see that it is mended, also where the last good version is what was meant.
        info!(hash = %new.hash, sequence = new.sequence, errors, warnings, missing, "the files changed, what is in force did not");
    }
    let nothing = BTreeMap::new();
    log_addresses(
        previous.map_or(&nothing, |it| &it.addresses),
        &new.addresses,
    );
    let known = previous.map_or(&[][..], |it| &it.unserved.errors);
    for error in new.unserved.errors.iter().filter(|it| !known.contains(it)) {
        let ListenError {
            port,
            address,
            listeners: _,
            message,
        } = error;
        error!(port, %address, "{message}");
    }
}

fn log_addresses(before: &BTreeMap<u16, SocketAddr>, now: &BTreeMap<u16, SocketAddr>) {
    for (port, address) in now
        .iter()
        .filter(|(port, address)| before.get(port) != Some(address))
    {
        info!(port, %address, "listening");
    }
    for (port, address) in before.iter().filter(|(port, _)| !now.contains_key(port)) {
        info!(port, %address, "no longer listening");
    }
}

/// Logs what was not wrong before. A finding that only moved to another line is known.
fn log_findings(previous: Option<&InForce>, new: &InForce) {
    let known: BTreeSet<_> = previous
        .into_iter()
        .flat_map(|it| &it.findings)
        .map(identity)
        .collect();
    let found: Vec<&Finding> = new
        .findings
        .iter()
        .filter(|finding| !known.contains(&identity(finding)))
        .collect();
    for Finding {
        location,
        severity,
        id,
        object,
        field,
        message,
    } in found.iter().take(LOGGED_FINDINGS)
    {
        let (file, line) = (
            location.as_ref().map(|it| it.file.as_str()),
            location.as_ref().map(|it| it.line),
        );
        let object = object.as_ref().map(tracing::field::display);
        let field = Some(field.as_str()).filter(|it| !it.is_empty());
        match severity {
            Severity::Error => error!(file, line, object, field, %id, "{message}"),
            Severity::Warning => warn!(file, line, object, field, %id, "{message}"),
        }
    }
    if found.len() > LOGGED_FINDINGS {
        warn!(
            more = found.len() - LOGGED_FINDINGS,
            "there are more findings; `weir check` and /api/findings have all"
        );
    }
}

fn identity(finding: &Finding) -> impl Ord {
    let Finding {
        location,
        severity,
        id,
        object,
        field,
        message,
    } = finding.clone();
    (
        location.map(|it| it.file),
        severity,
        id,
        object,
        field,
        message,
    )
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 100_000.0).round() / 100.0
}
