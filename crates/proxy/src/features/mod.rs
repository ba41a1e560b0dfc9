//! The enforcement of each feature, one file per feature.

pub(crate) mod circuit_breaker;
pub(crate) mod fault_injection;
pub(crate) mod http_upgrade;
pub(crate) mod load_balancer;
pub(crate) mod rate_limit;
pub(crate) mod retry;
pub(crate) mod timeout;
