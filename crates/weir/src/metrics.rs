//! The process's own metrics: what became of configurations. Those of traffic are the proxy's.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use weir_resolve::Severity;

use crate::findings;

/// Counts and times of configurations.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    applied: Counter<u64, AtomicU64>,
    failed: Counter<u64, AtomicU64>,
    findings: Family<FindingLabels, Gauge>,
    missing: Gauge,
    listen_errors: Gauge,
    held: Gauge,
    resident: Gauge,
    overloaded: Gauge,
    certificates: Family<CertificateLabels, Gauge<i64, AtomicI64>>,
    last_applied: Gauge<i64, AtomicI64>,
    resolve: Histogram,
    apply: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FindingLabels {
    severity: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CertificateLabels {
    certificate: String,
}

/// What there is to be said about a configuration in force.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    pub(crate) errors: usize,
    pub(crate) warnings: usize,
    pub(crate) missing: usize,
    pub(crate) listen_errors: usize,
    /// Whether an earlier configuration is held.
    pub(crate) held: bool,
    /// When each certificate ends, in seconds since the Unix epoch.
    pub(crate) certificates: BTreeMap<String, i64>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let times = || Histogram::new(exponential_buckets(0.000_25, 4.0, 9));
        let (resolve, apply) = (times(), times());
        let (applied, failed, missing, listen_errors, held) = (
            Counter::default(),
            Counter::default(),
            Gauge::default(),
            Gauge::default(),
            Gauge::default(),
        );
        let (last_applied, findings) =
            (Gauge::default(), Family::<FindingLabels, Gauge>::default());
        let certificates = Family::<CertificateLabels, Gauge<i64, AtomicI64>>::default();
        let mut registry = Registry::with_prefix("weir");
        registry.register(
            "build",
            "The version",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        registry.register(
            "config_applied",
            "Configurations put in force",
            applied.clone(),
        );
        registry.register(
            "config_failed",
            "Readings of the files that were broken in part or whole, so that something last good stays in force",
            failed.clone(),
        );
        registry.register(
            "config_findings",
            "What is wrong in the files now",
            findings.clone(),
        );
        registry.register(
            "config_missing",
            "What is not served because it was never good",
            missing.clone(),
        );
        registry.register(
            "config_unbound_ports",
            "Ports of the plan that cannot be bound",
            listen_errors.clone(),
        );
        let (resident, overloaded) = (Gauge::default(), Gauge::default());
        registry.register_with_unit(
            "process_resident_memory",
            "Memory that the process holds",
            Unit::Bytes,
            resident.clone(),
        );
        registry.register(
            "overloaded",
            "1 while new connections and requests are refused for want of memory",
            overloaded.clone(),
        );
        registry.register(
            "config_held",
            "1 while an earlier configuration is held in force, and the files are not followed",
            held.clone(),
        );
        registry.register_with_unit(
            "certificate_not_after_timestamp",
            "When a certificate that listeners show ends, since the Unix epoch",
            Unit::Seconds,
            certificates.clone(),
        );
        registry.register_with_unit(
            "config_last_applied_timestamp",
            "When a configuration was put in force last, since the Unix epoch",
            Unit::Seconds,
            last_applied.clone(),
        );
        registry.register_with_unit(
            "config_resolve",
            "From files read to a plan",
            Unit::Seconds,
            resolve.clone(),
        );
        registry.register_with_unit(
            "config_apply",
            "From a plan to traffic served by it",
            Unit::Seconds,
            apply.clone(),
        );
        Self {
            registry,
            applied,
            failed,
            findings,
            missing,
            listen_errors,
            held,
            resident,
            overloaded,
            certificates,
            last_applied,
            resolve,
            apply,
        }
    }

    /// A configuration was resolved in this time.
    pub(crate) fn resolved(&self, took: Duration) {
        self.resolve.observe(took.as_secs_f64());
    }

    /// A configuration was put in force in this time, at a moment in seconds since the Unix epoch.
    pub(crate) fn applied(&self, took: Duration, unix_seconds: i64) {
        self.applied.inc();
        self.apply.observe(took.as_secs_f64());
        self.last_applied.set(unix_seconds);
    }

    /// A reading of the files was broken in part or whole.
    pub(crate) fn failed(&self) {
        self.failed.inc();
    }

    /// What is true of the configuration in force.
    pub(crate) fn observe(&self, observed: Observed) {
        let Observed {
            errors,
            warnings,
            missing,
            listen_errors,
            held,
            certificates,
        } = observed;
        for (severity, count) in [(Severity::Error, errors), (Severity::Warning, warnings)] {
            let labels = FindingLabels {
                severity: findings::word(severity),
            };
            self.findings.get_or_create(&labels).set(gauge(count));
        }
        self.missing.set(gauge(missing));
        self.listen_errors.set(gauge(listen_errors));
        self.held.set(i64::from(held));
        // Those that are shown no more go.
        self.certificates.clear();
        for (certificate, end) in certificates {
            let labels = CertificateLabels { certificate };
            self.certificates.get_or_create(&labels).set(end);
        }
    }

    /// The memory of the process in bytes, and whether new work is refused for it.
    pub(crate) fn memory(&self, resident: u64, refusing: bool) {
        self.resident
            .set(i64::try_from(resident).unwrap_or(i64::MAX));
        self.overloaded.set(i64::from(refusing));
    }

    /// The proxy's metrics with these at their end, in the OpenMetrics text format.
    pub(crate) fn appended_to(&self, mut proxy: String) -> String {
        // The end mark comes once, at the end of all.
        let end = proxy.strip_suffix("# EOF\n").unwrap_or(&proxy).len();
        proxy.truncate(end);
        encode(&mut proxy, &self.registry).expect("a String takes all that is written to it");
        proxy
    }
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_follow_those_of_the_proxy_before_one_end_mark() {
        let metrics = Metrics::new();
        metrics.resolved(Duration::from_millis(2));
        metrics.applied(Duration::from_millis(1), 1_700_000_000);
        metrics.failed();
        metrics.memory(4096, true);
        metrics.observe(Observed {
            errors: 1,
            warnings: 2,
            missing: 3,
            listen_errors: 4,
            held: true,
            certificates: [("Secret/default/cert".to_owned(), 5)].into(),
        });
        let text = metrics.appended_to("proxy_metric 1\n# EOF\n".to_owned());
        for line in [
            "proxy_metric 1",
            "weir_config_applied_total 1",
            "weir_config_failed_total 1",
            "weir_config_findings{severity=\"error\"} 1",
            "weir_config_findings{severity=\"warning\"} 2",
            "weir_config_missing 3",
            "weir_config_unbound_ports 4",
            "weir_config_held 1",
            "weir_process_resident_memory_bytes 4096",
            "weir_overloaded 1",
            "weir_certificate_not_after_timestamp_seconds{certificate=\"Secret/default/cert\"} 5",
            "weir_config_last_applied_timestamp_seconds 1700000000",
            "weir_config_resolve_seconds_count 1",
            "weir_config_apply_seconds_count 1",
        ] {
            assert!(
                text.lines().any(|it| it == line),
                "{line} is not in\n{text}"
            );
        }
        assert_eq!(text.matches("# EOF").count(), 1);
        assert!(text.ends_with("# EOF\n"));
    }
}
