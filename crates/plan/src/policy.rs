//! The settings of a rule, split by what they act on: one field per feature.

use serde::Serialize;

use crate::features::admission_control::AdmissionControl;
use crate::features::bandwidth_limit::BandwidthLimit;
use crate::features::circuit_breaker::CircuitBreaker;
use crate::features::compression::Compressor;
use crate::features::connection::Connection;
use crate::features::dns::Dns;
use crate::features::fault_injection::FaultInjection;
use crate::features::health_check::HealthCheck;
use crate::features::http_upgrade::HttpUpgrades;
use crate::features::load_balancer::LoadBalancer;
use crate::features::rate_limit::RateLimit;
use crate::features::request_buffer::RequestBuffer;
use crate::features::response_override::ResponseOverride;
use crate::features::retry::Retry;
use crate::features::telemetry::Telemetry;
use crate::features::timeout::{ClusterTimeout, RouteTimeout};

/// What applies to requests and responses of a rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RoutePolicy {
    /// Time limits of a request.
    pub timeout: RouteTimeout,
    /// Further attempts after a failure.
    pub retry: Option<Retry>,
    /// Limits on how many requests are let through.
    pub rate_limit: RateLimit,
    /// Limits on how many bytes are let through.
    pub bandwidth_limit: Option<BandwidthLimit>,
    /// Delays and failures made on purpose.
    pub fault_injection: Option<FaultInjection>,
    /// The ways to compress responses; empty: they are not.
    pub compression: Vec<Compressor>,
    /// Other answers in place of some, the first that matches; empty: none.
    pub response_override: Vec<ResponseOverride>,
    /// Whole requests are held before they are forwarded.
    pub request_buffer: Option<RequestBuffer>,
    /// The protocols that a request may be upgraded to.
    pub http_upgrade: HttpUpgrades,
    /// Traces and metrics.
    pub telemetry: Telemetry,
}

impl RoutePolicy {
    /// What applies where no policy says anything.
    pub const DEFAULT: Self = Self {
        timeout: RouteTimeout::DEFAULT,
        retry: None,
        rate_limit: RateLimit::NONE,
        bandwidth_limit: None,
        fault_injection: None,
        compression: Vec::new(),
        response_override: Vec::new(),
        request_buffer: None,
        http_upgrade: HttpUpgrades::DEFAULT,
        telemetry: Telemetry::DEFAULT,
    };
}

/// What applies to the connections and endpoints of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClusterPolicy {
    /// Limits on what is in flight.
    pub circuit_breaker: CircuitBreaker,
    /// Refusals at random while too few requests succeed.
    pub admission_control: Option<AdmissionControl>,
    /// Time limits of a connection.
    pub timeout: ClusterTimeout,
    /// How an endpoint is chosen.
    pub load_balancer: LoadBalancer,
    /// Which endpoints are taken for healthy.
    pub health_check: HealthCheck,
    /// How connections are made and kept.
    pub connection: Connection,
    /// How host names of endpoints are resolved.
    pub dns: Dns,
}

impl ClusterPolicy {
    /// What applies where no policy says anything.
    pub const DEFAULT: Self = Self {
        circuit_breaker: CircuitBreaker::DEFAULT,
        admission_control: None,
        timeout: ClusterTimeout::DEFAULT,
        load_balancer: LoadBalancer::DEFAULT,
        health_check: HealthCheck::DEFAULT,
        connection: Connection::DEFAULT,
        dns: Dns::DEFAULT,
    };
}
