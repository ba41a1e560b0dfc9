//! The settings of a rule, split by what they act on: one field per feature.

use serde::Serialize;

use crate::features::circuit_breaker::CircuitBreaker;
use crate::features::connection::Connection;
use crate::features::dns::Dns;
use crate::features::fault_injection::FaultInjection;
use crate::features::health_check::HealthCheck;
use crate::features::load_balancer::LoadBalancer;
use crate::features::rate_limit::RateLimit;
use crate::features::retry::Retry;
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
    /// Delays and failures made on purpose.
    pub fault_injection: Option<FaultInjection>,
}

impl RoutePolicy {
    /// What applies where no policy says anything.
    pub const DEFAULT: Self = Self {
        timeout: RouteTimeout::DEFAULT,
        retry: None,
        rate_limit: RateLimit::NONE,
        fault_injection: None,
    };
}

/// What applies to the connections and endpoints of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClusterPolicy {
    /// Limits on what is in flight.
    pub circuit_breaker: CircuitBreaker,
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
        timeout: ClusterTimeout::DEFAULT,
        load_balancer: LoadBalancer::DEFAULT,
        health_check: HealthCheck::DEFAULT,
        connection: Connection::DEFAULT,
        dns: Dns::DEFAULT,
    };
}
