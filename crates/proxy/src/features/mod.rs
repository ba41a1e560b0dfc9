//! The enforcement of each feature, one file per feature.

pub(crate) mod circuit_breaker;
pub(crate) mod load_balancer;
