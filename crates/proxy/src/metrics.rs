//! Counts of what happened, and their text form for Prometheus.
//!
//! The counts lie in the state of listeners, rules, limits and clusters, where requests add to them without looking
//! anything up. Labels are bounded by the plan in force, what a plan no longer has is forgotten; and by [`series`].

mod docs;
mod render;
mod series;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::StatusCode;
use parking_lot::Mutex;
use weir_plan::features::rate_limit::RateLimitRuleName;
use weir_plan::{ListenerName, RuleName};

use crate::cluster::{ClusterStats, Counter};
use crate::flags::{Flag, Flags};
pub use docs::{DOCS, MetricDoc};
pub(crate) use render::render;
pub use series::MOST as MOST_SERIES;
pub(crate) use series::{Counted, Divided, OTHER, Others, Series};

/// The counts of a process, those of clusters and connections apart.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    listeners: Mutex<BTreeMap<ListenerName, Weak<ListenerStats>>>,
    /// Requests that no listener answers for.
    pub(crate) unmatched: Arc<ListenerStats>,
    other_rules: Others<RuleStats>,
    other_limits: Others<LimitStats>,
    other_clusters: Others<ClusterStats>,
}

/// What one listener counts.
#[derive(Debug, Default)]
pub(crate) struct ListenerStats {
    /// Requests in progress.
    active: AtomicI64,
    /// Requests without a route, by class of status.
    unrouted: Classes,
    flags: [Counter; Flag::ALL.len()],
    received: AtomicU64,
    sent: AtomicU64,
    durations: Durations,
    rules: Mutex<BTreeMap<RuleName, Weak<RuleStats>>>,
    limits: Mutex<BTreeMap<LimitName, Weak<LimitStats>>>,
}

/// What one rule of a route counts under one listener.
#[derive(Debug, Default)]
pub(crate) struct RuleStats {
    /// Requests, by class of status.
    classes: Classes,
    /// Attempts after the first.
    pub(crate) retries: Counter,
    series: Series<Self>,
}

/// The local or global limits of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    Local,
    Global,
}

/// Names a rule of a limit.
pub(crate) type LimitName = (Scope, RateLimitRuleName);

/// What one rule of a limit counts under one listener.
#[derive(Debug, Default)]
pub(crate) struct LimitStats {
    /// Requests within the limit.
    pub(crate) ok: Counter,
    /// Requests refused.
    pub(crate) limited: Counter,
    /// Requests that would have been refused, but for shadow mode.
    pub(crate) shadowed: Counter,
    series: Series<Self>,
}

/// Requests by class of status: none (the client went away), 1xx, ... 5xx.
#[derive(Debug, Default)]
struct Classes([Counter; 6]);

/// Durations in classes of seconds, as Prometheus has histograms.
#[derive(Debug, Default)]
struct Durations {
    /// How many were at most as long as each of [`BOUNDS`], but longer than the one before; then the rest.
    classes: [Counter; BOUNDS.len() + 1],
    sum_micros: AtomicU64,
}

/// Upper bounds of the classes of durations.
const BOUNDS: [(Duration, &str); 14] = [
    (Duration::from_micros(500), "0.0005"),
    (Duration::from_millis(1), "0.001"),
    (Duration::from_micros(2_500), "0.0025"),
    (Duration::from_millis(5), "0.005"),
    (Duration::from_millis(10), "0.01"),
    (Duration::from_millis(25), "0.025"),
    (Duration::from_millis(50), "0.05"),
    (Duration::from_millis(100), "0.1"),
    (Duration::from_millis(250), "0.25"),
    (Duration::from_millis(500), "0.5"),
    (Duration::from_secs(1), "1"),
    (Duration::from_millis(2_500), "2.5"),
    (Duration::from_secs(10), "10"),
    (Duration::from_secs(60), "60"),
];

/// How one request ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended<'a> {
    /// None: no response began.
    pub(crate) status: Option<StatusCode>,
    pub(crate) flags: &'a Flags,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) duration: Duration,
}

impl Metrics {
    /// Requests in progress, on all listeners.
    pub(crate) fn active_requests(&self) -> usize {
        let listeners = self.listeners.lock();
        let of_listeners = listeners.values().filter_map(Weak::upgrade);
        let active = of_listeners
            .chain([Arc::clone(&self.unmatched)])
            .map(|it| it.active.load(Ordering::Relaxed));
        usize::try_from(active.sum::<i64>()).unwrap_or(0)
    }

    /// The counts of a listener, which go on while something holds them.
    pub(crate) fn listener(&self, name: &ListenerName) -> Arc<ListenerStats> {
        kept(&mut self.listeners.lock(), name)
    }

    /// Forgets what nothing holds any more.
    pub(crate) fn forget_gone(&self) {
        let mut listeners = self.listeners.lock();
        listeners.retain(|_, it| it.strong_count() > 0);
        for listener in listeners.values().filter_map(Weak::upgrade) {
            let held = |strong: usize| strong > 0;
            listener
                .rules
                .lock()
                .retain(|_, it| held(it.strong_count()));
            listener
                .limits
                .lock()
                .retain(|_, it| held(it.strong_count()));
        }
    }
}

impl Counted for RuleStats {
    fn counters(&self) -> Vec<&Counter> {
        let Self {
            classes: Classes(classes),
            retries,
            series: _,
        } = self;
        classes.iter().chain([retries]).collect()
    }

    fn series(&self) -> &Series<Self> {
        &self.series
    }
}

impl Drop for RuleStats {
    fn drop(&mut self) {
        Series::leave(self);
    }
}

impl Counted for LimitStats {
    fn counters(&self) -> Vec<&Counter> {
        let Self {
            ok,
            limited,
            shadowed,
            series: _,
        } = self;
        vec![ok, limited, shadowed]
    }

    fn series(&self) -> &Series<Self> {
        &self.series
    }
}

impl Drop for LimitStats {
    fn drop(&mut self) {
        Series::leave(self);
    }
}

impl ListenerStats {
    /// The counts of a rule.
    pub(crate) fn rule(&self, name: &RuleName) -> Arc<RuleStats> {
        kept(&mut self.rules.lock(), name)
    }

    /// The counts of a rule of a limit.
    pub(crate) fn limit(&self, name: &LimitName) -> Arc<LimitStats> {
        kept(&mut self.limits.lock(), name)
    }

    /// A request begins.
    pub(crate) fn begin(&self) {
        self.active.fetch_add(1, Ordering::Relaxed);
    }

    /// A request that began has ended.
    pub(crate) fn end(&self, rule: Option<&RuleStats>, ended: &Ended<'_>) {
        let Ended {
            status,
            flags,
            received,
            sent,
            duration,
        } = *ended;
        self.active.fetch_sub(1, Ordering::Relaxed);
        rule.map_or(&self.unrouted, |rule| &rule.classes)
            .count(status);
        for flag in flags.iter() {
            self.flags[flag as usize].count();
        }
        if received > 0 {
            self.received.fetch_add(received, Ordering::Relaxed);
        }
        if sent > 0 {
            self.sent.fetch_add(sent, Ordering::Relaxed);
        }
        self.durations.count(duration);
    }
}

impl Classes {
    fn count(&self, status: Option<StatusCode>) {
        let class = status.map_or(0, |status| usize::from(status.as_u16() / 100));
        self.0[class.min(5)].count();
    }
}

impl Durations {
    fn count(&self, duration: Duration) {
        let class = BOUNDS.partition_point(|(bound, _)| *bound < duration);
        self.classes[class].count();
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }
}

/// What a map still has for a name, or something new.
fn kept<N: Ord + Clone, T: Default>(map: &mut BTreeMap<N, Weak<T>>, name: &N) -> Arc<T> {
    if let Some(known) = map.get(name).and_then(Weak::upgrade) {
        return known;
    }
    let new = Arc::default();
    map.insert(name.clone(), Arc::downgrade(&new));
    new
}
