//! The proof on live traffic: every feature on real sockets, what is let through and what is refused.
//!
//! Each module is one feature. A gateway is made from YAML as users write it, backends do what the test says, and
//! clients speak raw HTTP/1.1.

// Whether the data plane may be shared by threads is asked deeper than the default allows: bodies hold connections, which
// hold bodies.
#![recursion_limit = "256"]

mod access_log;
mod attachment;
mod backend;
mod client;
mod fault_injection;
mod frames;
mod framing;
mod gateway;

mod backend_tls;
mod circuit_breaker;
mod client_traffic;
mod connect;
mod cors;
mod extended_connect;
mod gateway_api;
mod grpc;
mod grpc_mirror;
mod headers;
mod http2;
mod http2_upstream;
mod http_upgrade;
mod identity;
mod leaks;
mod load_balancer;
mod local_replies;
mod messages;
mod mirror;
mod own_tls;
mod rate_limit_global;
mod rate_limit_local;
mod redirect;
mod reload;
mod retry;
mod route_filter;
mod routing;
mod routing_type;
mod seed;
mod selectors;
mod session;
mod smuggling;
mod streaming;
mod timeout;
mod tls;
mod tunnel;
