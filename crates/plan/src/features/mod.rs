//! The plan types of each feature, one file per feature.

pub mod admission_control;
pub mod bandwidth_limit;
pub mod circuit_breaker;
pub mod compression;
pub mod connection;
pub mod dns;
pub mod fault_injection;
pub mod health_check;
pub mod http_upgrade;
pub mod load_balancer;
pub mod rate_limit;
pub mod request_buffer;
pub mod response_override;
pub mod retry;
pub mod telemetry;
pub mod timeout;
