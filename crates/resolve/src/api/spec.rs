//! The typed form of a policy's spec: one field per setting. The types of each setting are in [`crate::features`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::target::{TargetRef, TargetSelector};
use crate::features::admission_control::AdmissionControl;
use crate::features::bandwidth_limit::BandwidthLimit;
use crate::features::circuit_breaker::CircuitBreaker;
use crate::features::compression::Compression;
use crate::features::connection::{Connection, Http2, ProxyProtocol, TcpKeepalive};
use crate::features::dns::Dns;
use crate::features::fault_injection::FaultInjection;
use crate::features::health_check::HealthCheck;
use crate::features::http_upgrade::HttpUpgrade;
use crate::features::load_balancer::LoadBalancer;
use crate::features::rate_limit::RateLimit;
use crate::features::request_buffer::RequestBuffer;
use crate::features::response_override::ResponseOverride;
use crate::features::retry::Retry;
use crate::features::telemetry::Telemetry;
use crate::features::timeout::Timeout;

/// What a BackendTrafficPolicy can say. Every field is optional; what is absent keeps its default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackendTrafficPolicySpec {
    /// Deprecated: the one object that the policy applies to.
    pub target_ref: Option<TargetRef>,
    /// The objects that the policy applies to.
    pub target_refs: Option<Vec<TargetRef>>,
    /// The objects that the policy applies to, by label.
    pub target_selectors: Option<Vec<TargetSelector>>,
    /// `StrategicMerge` or `JSONMerge`: merged into the closest policy of a listener or Gateway. Absent: it replaces
    /// all less specific policies. For routes and their rules only.
    pub merge_type: Option<String>,
    /// How an endpoint is chosen.
    pub load_balancer: Option<LoadBalancer>,
    /// Further attempts after a failure.
    pub retry: Option<Retry>,
    /// A PROXY header at the head of every connection to a backend.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// TCP keepalive of connections to backends.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// Which endpoints are taken for healthy.
    pub health_check: Option<HealthCheck>,
    /// Limits on what is in flight.
    pub circuit_breaker: Option<CircuitBreaker>,
    /// Time limits.
    pub timeout: Option<Timeout>,
    /// Buffers and preconnecting.
    pub connection: Option<Connection>,
    /// How host names of backends are resolved.
    pub dns: Option<Dns>,
    /// HTTP/2 towards backends.
    pub http2: Option<Http2>,
    /// Limits on how many requests are let through.
    pub rate_limit: Option<RateLimit>,
    /// Limits on how many bytes are let through.
    pub bandwidth_limit: Option<BandwidthLimit>,
    /// Delays and failures made on purpose.
    pub fault_injection: Option<FaultInjection>,
    /// Rejections by success rate.
    pub admission_control: Option<AdmissionControl>,
    /// Whether backends are spoken to in the HTTP version of the client; default false.
    pub use_client_protocol: Option<bool>,
    /// Deprecated: compression of responses, in order of preference.
    pub compression: Option<Vec<Compression>>,
    /// Compression of responses, in order of preference.
    pub compressor: Option<Vec<Compression>>,
    /// Other answers in place of a backend's or the gateway's own; the first that matches counts.
    pub response_override: Option<Vec<ResponseOverride>>,
    /// The protocols that a request may be upgraded to; default `websocket`.
    pub http_upgrade: Option<Vec<HttpUpgrade>>,
    /// Whole requests are held before they are forwarded.
    pub request_buffer: Option<RequestBuffer>,
    /// Traces and metrics.
    pub telemetry: Option<Telemetry>,
    /// `Service` (its cluster IP) or `Endpoint` (its endpoints; the default).
    pub routing_type: Option<String>,
}
