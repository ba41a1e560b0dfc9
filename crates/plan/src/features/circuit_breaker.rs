//! Limits on what is in flight towards one cluster. Every value is final.

use serde::Serialize;

/// The most that may be in flight towards a cluster at one time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CircuitBreaker {
    /// Connections to all endpoints together. 0 acts as 1: requests then go one after the other, as in Envoy.
    pub max_connections: u32,
    /// Requests that wait for a connection, those for which one is being made included.
    pub max_pending_requests: u32,
    /// Requests in progress.
    pub max_parallel_requests: u32,
    /// Retries in progress, those that wait for their back-off included.
    pub max_retries: RetryLimit,
    /// Requests over one connection before it is closed; none: any number.
    pub max_requests_per_connection: Option<u32>,
    /// Connections to one endpoint; none: only `max_connections` counts.
    pub max_connections_per_endpoint: Option<u32>,
}

/// How many retries may be in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum RetryLimit {
    /// This many.
    Count(u32),
    /// The larger of `floor` and this share of the requests that are active or pending.
    Budget {
        /// The share in parts of a million.
        share: crate::units::PerMillion,
        /// The least number.
        floor: u32,
    },
}

impl CircuitBreaker {
    /// What applies where no policy says anything: Envoy's thresholds, and 1024 retries as Envoy Gateway sets.
    pub const DEFAULT: Self = Self {
        max_connections: 1024,
        max_pending_requests: 1024,
        max_parallel_requests: 1024,
        max_retries: RetryLimit::Count(1024),
        max_requests_per_connection: None,
        max_connections_per_endpoint: None,
    };
}
