//! The text form of the metrics, made when somebody asks for it.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use weir_plan::{ClusterName, ListenerName};

use super::docs::DOCS;
use super::{BOUNDS, Classes, Durations, LimitStats, ListenerStats, Metrics, Scope};
use crate::cluster::{ClusterState, ClusterStats};
use crate::flags::Flag;
use crate::mirror::Mirrored;
use crate::worker::Shared;

/// All metrics, in the Prometheus text format.
pub(crate) fn render(shared: &Shared) -> String {
    let mut text = Text::default();
    let listeners = Listeners::of(&shared.metrics);
    listeners.requests(&mut text);
    listeners.traffic(&mut text);
    listeners.retries(&mut text);
    listeners.limits(&mut text);
    let stats = shared.global.store.stats();
    text.family("weir_rate_limit_store_counters");
    text.value(&[], stats.counters);
    text.family("weir_rate_limit_store_evictions_total");
    text.value(&[], stats.evicted);
    clusters(&shared.clusters.clusters(), &mut text);
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

    fn requests(&self, text: &mut Text) {
        text.family("weir_requests_total");
        for (listener, stats) in &self.0 {
            classes(listener, "", &stats.unrouted, text);
            for (rule, stats) in stats.rules.lock().iter() {
                if let Some(stats) = stats.upgrade() {
                    classes(listener, &rule.to_string(), &stats.classes, text);
                }
            }
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

    fn retries(&self, text: &mut Text) {
        text.family("weir_retry_attempts_total");
        for (listener, stats) in &self.0 {
            for (rule, stats) in stats.rules.lock().iter() {
                if let Some(stats) = stats.upgrade() {
                    text.value_if_any(&[listener, &rule.to_string()], stats.retries.get());
                }
            }
        }
    }

    fn limits(&self, text: &mut Text) {
        text.family("weir_rate_limit_requests_total");
        for (listener, stats) in &self.0 {
            for ((scope, name), stats) in stats.limits.lock().iter() {
                let Some(stats) = stats.upgrade() else {
                    continue;
                };
                let LimitStats {
                    ok,
                    limited,
                    shadowed,
                } = &*stats;
                let scope = match scope {
                    Scope::Local => "local",
                    Scope::Global => "global",
                };
                let name = name.to_string();
                for (result, counter) in [("ok", ok), ("limited", limited), ("shadowed", shadowed)]
                {
                    text.value(&[listener, scope, &name, result], counter.get());
                }
            }
        }
    }
}

fn classes(listener: &str, rule: &str, classes: &Classes, text: &mut Text) {
    let names = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
    for (class, counter) in names.iter().zip(&classes.0) {
        text.value_if_any(&[listener, rule, class], counter.get());
    }
}

fn clusters(clusters: &BTreeMap<ClusterName, Arc<ClusterState>>, text: &mut Text) {
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
    for (name, gauge) in gauges {
        text.family(name);
        for (cluster, state) in clusters {
            text.value(&[cluster.as_str()], gauge(state));
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
        for (cluster, state) in clusters {
            for (labels, count) in counts(&state.stats) {
                let labels = [&[cluster.as_str()], labels].concat();
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
        ("protocol_error", &downstream.cx_protocol_error),
        ("tls_error", &downstream.cx_tls_error),
        ("tls_timeout", &downstream.cx_handshake_timeout),
        ("tls_overflow", &downstream.cx_handshake_overflow),
        ("tls_server_name", &downstream.cx_server_name),
        ("head_timeout", &downstream.cx_head_timeout),
        ("idle", &downstream.cx_idle_timeout),
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
