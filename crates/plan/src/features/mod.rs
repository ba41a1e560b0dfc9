//! The plan types of each feature, one file per feature.

pub mod circuit_breaker;
pub mod connection;
pub mod dns;
pub mod fault_injection;
pub mod health_check;
pub mod load_balancer;
pub mod rate_limit;
pub mod retry;
pub mod timeout;
