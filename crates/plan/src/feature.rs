//! The one list of features that a policy can ask for, and how far a data plane enforces one.

use std::fmt;

use serde::Serialize;

/// A feature of a BackendTrafficPolicy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are those of the API")]
pub enum Feature {
    RateLimit,
    BandwidthLimit,
    FaultInjection,
    AdmissionControl,
    Retry,
    Timeout,
    Compression,
    ResponseOverride,
    RequestBuffer,
    HttpUpgrade,
    Telemetry,
    LoadBalancer,
    CircuitBreaker,
    HealthCheck,
    Connection,
    Dns,
    RoutingType,
}

impl Feature {
    /// Every feature.
    pub const ALL: [Self; 17] = [
        Self::RateLimit,
        Self::BandwidthLimit,
        Self::FaultInjection,
        Self::AdmissionControl,
        Self::Retry,
        Self::Timeout,
        Self::Compression,
        Self::ResponseOverride,
        Self::RequestBuffer,
        Self::HttpUpgrade,
        Self::Telemetry,
        Self::LoadBalancer,
        Self::CircuitBreaker,
        Self::HealthCheck,
        Self::Connection,
        Self::Dns,
        Self::RoutingType,
    ];

    /// The stem under which the feature's files, metrics and log fields are found, such as `circuit_breaker`.
    pub const fn stem(self) -> &'static str {
        match self {
            Self::RateLimit => "rate_limit",
            Self::BandwidthLimit => "bandwidth_limit",
            Self::FaultInjection => "fault_injection",
            Self::AdmissionControl => "admission_control",
            Self::Retry => "retry",
            Self::Timeout => "timeout",
            Self::Compression => "compression",
            Self::ResponseOverride => "response_override",
            Self::RequestBuffer => "request_buffer",
            Self::HttpUpgrade => "http_upgrade",
            Self::Telemetry => "telemetry",
            Self::LoadBalancer => "load_balancer",
            Self::CircuitBreaker => "circuit_breaker",
            Self::HealthCheck => "health_check",
            Self::Connection => "connection",
            Self::Dns => "dns",
            Self::RoutingType => "routing_type",
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.stem())
    }
}

/// How far a data plane enforces a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Support {
    /// As specified.
    Full,
    /// In part; the text says what is missing.
    Partial(&'static str),
    /// Not at all.
    No,
}
