//! How an endpoint is chosen.

use serde::Serialize;

/// The way an endpoint is chosen among those of a locality.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum LoadBalancer {
    /// One after the other.
    RoundRobin,
    /// Of two drawn at random, the one with fewer requests in progress.
    LeastRequest,
}

impl LoadBalancer {
    /// Envoy Gateway's default.
    pub const DEFAULT: Self = Self::LeastRequest;
}
