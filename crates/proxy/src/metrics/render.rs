//! The text form of the metrics, made when somebody asks for it.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use weir_plan::{ClusterName, ListenerName, RuleName};

use super::docs::DOCS;
use super::{
    BOUNDS, Classes, Counted, Divided, Durations, LimitName, LimitStats, ListenerStats, Metrics,
    OTHER, RuleStats, Scope,
};
use crate::cluster::{ClusterState, ClusterStats};
use crate::flags::Flag;
use crate::mirror::Mirrored;
use crate::worker::Shared;

/// All metrics, in the Prometheus text format.
pub(crate) fn render(shared: &Shared) -> String {
    let mut text = Text::default();
    let listeners = Listeners::of(&shared.metrics);
    let rules = listeners.rules(&shared.metrics);
    listeners.requests(&rules, &mut text);
    listeners.traffic(&mut text);
    retries(&rules, &mut text);
    listeners.limits(&shared.metrics, &mut text);
    let stats = shared.global.store.stats();
    text.family("weir_rate_limit_store_counters");
    text.value(&[], stats.counters);
    text.family("weir_rate_limit_store_evictions_total");
    text.value(&[], stats.evicted);
    clusters(&shared.clusters.clusters(), &shared.metrics, &mut text);
    downstream(shared, &mut text);
    text.family("weir_mirrored_requests_total");
    let Mirrored {
        active,
        answered,
        failed,
        cut_off,
        refused,
    } = &*shared.mirrored;
    for (result, counter) in [
        ("answered", answered),
        ("failed", failed),
        ("cut_off", cut_off),
        ("refused", refused),
    ] {
        text.value(&[result], counter.get());
    }
    text.family("weir_mirrored_requests_active");
    text.value(&[], active.load(Ordering::Relaxed));
    text.family("weir_access_log_dropped_total");
    text.value(&[], shared.access_log.dropped());
    text.out
}

/// Listeners by the text of their names.
struct Listeners(Vec<(String, Arc<ListenerStats>)>);

impl Listeners {
    fn of(metrics: &Metrics) -> Self {
        let known = metrics.listeners.lock();
        let named = |(name, stats): (&ListenerName, &Weak<ListenerStats>)| {
            Some((name.to_string(), stats.upgrade()?))
        };
        let unmatched = (String::new(), Arc::clone(&metrics.unmatched));
        Self(
            std::iter::once(unmatched)
                .chain(known.iter().filter_map(named))
                .collect(),
        )
    }

    fn requests(&self, rules: &Rules<'_>, text: &mut Text) {
        text.family("weir_requests_total");
        for (listener, stats) in &self.0 {
            classes(listener, "", &stats.unrouted, text);
        }
        for ((listener, rule), stats) in &rules.own {
            classes(listener, &rule.to_string(), &stats.classes, text);
        }
        if let Some(other) = &rules.other {
            classes(OTHER, OTHER, &other.classes, text);
        }
    }

    fn traffic(&self, text: &mut Text) {
        text.family("weir_requests_active");
        for (listener, stats) in &self.0 {
            text.value(&[listener], stats.active.load(Ordering::Relaxed));
        }
        text.family("weir_response_flags_total");
        for (listener, stats) in &self.0 {
            for (flag, counter) in Flag::ALL.iter().zip(&stats.flags) {
                text.value_if_any(&[listener, flag.text()], counter.get());
            }
        }
        text.family("weir_request_bytes_total");
        for (listener, stats) in &self.0 {
            text.value(&[listener], stats.received.load(Ordering::Relaxed));
        }
        text.family("weir_response_bytes_total");
        for (listener, stats) in &self.0 {
            text.value(&[listener], stats.sent.load(Ordering::Relaxed));
        }
        text.family("weir_request_duration_seconds");
        for (listener, stats) in &self.0 {
            text.histogram(listener, &stats.durations);
        }
    }

    /// The rules of all listeners.
    fn rules(&self, metrics: &Metrics) -> Rules<'_> {
        let mut rules = Vec::new();
        for (listener, stats) in &self.0 {
            let known = stats.rules.lock();
            let held = |(rule, stats): (&RuleName, &Weak<RuleStats>)| {
                Some(((listener.as_str(), rule.clone()), stats.upgrade()?))
            };
            rules.extend(known.iter().filter_map(held));
        }
        let others = &metrics.other_rules;
        others.divide("rules", rules, |it| &**it, |it| any(&**it))
    }

    fn limits(&self, metrics: &Metrics, text: &mut Text) {
        let mut limits = Vec::new();
        for (listener, stats) in &self.0 {
            let known = stats.limits.lock();
            let held = |(limit, stats): (&LimitName, &Weak<LimitStats>)| {
                Some(((listener.as_str(), limit.clone()), stats.upgrade()?))
            };
            limits.extend(known.iter().filter_map(held));
        }
        let others = &metrics.other_limits;
        let limits = others.divide("limits", limits, |it| &**it, |it| any(&**it));
        text.family("weir_rate_limit_requests_total");
        for ((listener, (scope, name)), stats) in &limits.own {
            let scope = match scope {
                Scope::Local => "local",
                Scope::Global => "global",
            };
            limit(&[listener, scope, &name.to_string()], stats, text);
        }
        if let Some(other) = &limits.other {
            limit(&[OTHER, OTHER, OTHER], other, text);
        }
    }
}

/// Rules of routes, under a listener each.
type Rules<'a> = Divided<(&'a str, RuleName), Arc<RuleStats>, RuleStats>;

/// Whether there is anything to show of it.
fn any(counted: &impl Counted) -> bool {
    counted.counters().iter().any(|counter| counter.get() > 0)
}

fn retries(rules: &Rules<'_>, text: &mut Text) {
    text.family("weir_retry_attempts_total");
    for ((listener, rule), stats) in &rules.own {
        text.value_if_any(&[listener, &rule.to_string()], stats.retries.get());
    }
    if let Some(other) = &rules.other {
        text.value_if_any(&[OTHER, OTHER], other.retries.get());
    }
}

fn limit(labels: &[&str; 3], stats: &LimitStats, text: &mut Text) {
    let LimitStats {
        ok,
        limited,
        shadowed,
        series: _,
    } = stats;
    let [listener, scope, name] = labels;
    for (result, counter) in [("ok", ok), ("limited", limited), ("shadowed", shadowed)] {
        text.value(&[listener, scope, name, result], counter.get());
    }
}

fn classes(listener: &str, rule: &str, classes: &Classes, text: &mut Text) {
    let names = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
    for (class, counter) in names.iter().zip(&classes.0) {
        text.value_if_any(&[listener, rule, class], counter.get());
    }
}

fn clusters(
    clusters: &BTreeMap<ClusterName, Arc<ClusterState>>,
    metrics: &Metrics,
    text: &mut Text,
) {
    type Gauge = fn(&ClusterState) -> u32;
    let gauges: [(_, Gauge); 4] = [
        ("weir_circuit_breaker_connections", |it| {
            it.breaker.connections.get()
        }),
        ("weir_circuit_breaker_pending_requests", |it| {
            it.breaker.pending.get()
        }),
        ("weir_circuit_breaker_requests", |it| {
            it.breaker.requests.get()
        }),
        ("weir_circuit_breaker_retries", |it| {
            it.breaker.retries.get()
        }),
    ];
    let Divided { own, other, others } = metrics.other_clusters.divide(
        "clusters",
        clusters,
        |it| &it.stats,
        |it| any(&it.stats) || gauges.iter().any(|(_, gauge)| gauge(it) > 0),
    );
    for (name, gauge) in gauges {
        text.family(name);
        for (cluster, state) in &own {
            text.value(&[cluster.as_str()], gauge(state));
        }
        if other.is_some() {
            let all = others.iter().map(|it| u64::from(gauge(it)));
            text.value(&[OTHER], all.sum::<u64>());
        }
    }
    type Counts = fn(&ClusterStats) -> Vec<(&'static [&'static str], u64)>;
    let counts: [(_, Counts); 5] = [
        ("weir_circuit_breaker_overflow_total", |it| {
            vec![
                (&["connections"], it.cx_overflow.get()),
                (&["pending_requests"], it.rq_pending_overflow.get()),
                (&["requests"], it.rq_active_overflow.get()),
                (&["retries"], it.rq_retry_overflow.get()),
            ]
        }),
        ("weir_upstream_requests_total", |it| {
            vec![(&[], it.rq_total.get())]
        }),
        ("weir_upstream_connections_total", |it| {
            vec![(&[], it.cx_total.get())]
        }),
        ("weir_upstream_connect_failures_total", |it| {
            let timeouts = it.cx_connect_timeout.get();
            let others = it.cx_connect_fail.get().saturating_sub(timeouts);
            vec![(&["refused"], others), (&["timeout"], timeouts)]
        }),
        ("weir_upstream_connections_closed_total", |it| {
            vec![
                (&["idle"], it.cx_idle_timeout.get()),
                (&["max_requests"], it.cx_max_requests.get()),
                (&["max_duration"], it.cx_max_duration_reached.get()),
            ]
        }),
    ];
    for (name, counts) in counts {
        text.family(name);
        let own = own.iter().map(|(name, it)| (name.as_str(), &it.stats));
        for (cluster, stats) in own.chain(other.as_ref().map(|it| (OTHER, it))) {
            for (labels, count) in counts(stats) {
                let labels = [&[cluster], labels].concat();
                text.value_if_any(&labels, count);
            }
        }
    }
}

fn downstream(shared: &Shared, text: &mut Text) {
    let downstream = &shared.downstream;
    text.family("weir_downstream_connections");
    text.value(&[], downstream.active());
    text.family("weir_downstream_connections_total");
    text.value(&[], downstream.cx_total.get());
    text.family("weir_downstream_connections_closed_total");
    for (reason, counter) in [
        ("overflow", &downstream.cx_overflow),
        ("limit", &downstream.cx_limited),
        ("proxy_protocol", &downstream.cx_proxy_protocol),
        ("inspection_timeout", &downstream.cx_inspection_timeout),
        ("protocol_error", &downstream.cx_protocol_error),
        ("tls_error", &downstream.cx_tls_error),
        ("tls_timeout", &downstream.cx_handshake_timeout),
        ("tls_overflow", &downstream.cx_handshake_overflow),
        ("tls_server_name", &downstream.cx_server_name),
        ("head_timeout", &downstream.cx_head_timeout),
        ("idle", &downstream.cx_idle_timeout),
        ("max_duration", &downstream.cx_max_duration),
        ("max_requests", &downstream.cx_max_requests),
    ] {
        text.value(&[reason], counter.get());
    }
    text.family("weir_downstream_tls_handshakes_total");
    text.value(&["full"], downstream.tls_full.get());
    text.value(&["resumed"], downstream.tls_resumed.get());
}

/// The text so far, and the family that values are being added to.
#[derive(Default)]
struct Text {
    out: String,
    name: &'static str,
    labels: &'static [&'static str],
}

impl Text {
    /// Begins a family of [`DOCS`].
    fn family(&mut self, name: &str) {
        let doc = DOCS.iter().find(|doc| doc.name == name);
        let doc = doc.expect("every metric is documented");
        self.name = doc.name;
        self.labels = doc.labels;
        self.write(format_args!("# HELP {} {}\n", doc.name, doc.help));
        self.write(format_args!("# TYPE {} {}\n", doc.name, doc.kind));
    }

    fn value(&mut self, labels: &[&str], value: impl Display) {
        self.line("", labels, None, value);
    }

    /// A counter of something that may never happen is left out until it does.
    fn value_if_any(&mut self, labels: &[&str], value: u64) {
        if value > 0 {
            self.value(labels, value);
        }
    }

    fn histogram(&mut self, label: &str, durations: &Durations) {
        let Durations {
            classes,
            sum_micros,
        } = durations;
        let mut count = 0;
        let bounds = BOUNDS.iter().map(|(_, text)| *text).chain(["+Inf"]);
        for (class, bound) in classes.iter().zip(bounds) {
            count += class.get();
            self.line("_bucket", &[label], Some(bound), count);
        }
        let micros = sum_micros.load(Ordering::Relaxed);
        let secs = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
        self.line("_sum", &[label], None, secs);
        self.line("_count", &[label], None, count);
    }

    fn line(&mut self, suffix: &str, labels: &[&str], bound: Option<&str>, value: impl Display) {
        let name = self.name;
        self.write(format_args!("{name}{suffix}"));
        let bound = bound.map(|bound| ("le", bound));
        let labels = self
            .labels
            .iter()
            .copied()
            .zip(labels.iter().copied())
            .chain(bound);
        let mut before = '{';
        for (label, value) in labels {
            self.write(format_args!("{before}{label}=\""));
            for char in value.chars() {
                match char {
                    '\\' => self.out.push_str("\\\\"),
                    '"' => self.out.push_str("\\\""),
                    '\n' => self.out.push_str("\\n"),
                    char => self.out.push(char),
                }
            }
            self.out.push('"');
            before = ',';
        }
        if before == ',' {
            self.out.push('}');
        }
        self.write(format_args!(" {value}\n"));
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        self.out.write_fmt(text).expect("a string takes any text");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_are_escaped() {
        let mut text = Text::default();
        text.family("weir_requests_active");
        text.value(&["a\"b\\c\nd"], 1);
        assert!(
            text.out
                .ends_with("weir_requests_active{listener=\"a\\\"b\\\\c\\nd\"} 1\n")
        );
    }

    #[test]
    fn names_are_ours_and_listed_once() {
        for (place, doc) in DOCS.iter().enumerate() {
            assert!(doc.name.starts_with("weir_"), "{}", doc.name);
            assert_eq!(
                doc.kind == "counter",
                doc.name.ends_with("_total"),
                "{}",
                doc.name
            );
            assert!(
                DOCS[..place].iter().all(|it| it.name != doc.name),
                "{}",
                doc.name
            );
        }
    }
}
