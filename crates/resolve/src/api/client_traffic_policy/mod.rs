//! `ClientTrafficPolicy` (`gateway.envoyproxy.io/v1alpha1`): how listeners deal with their clients.
//!
//! As with BackendTrafficPolicy the spec is kept as it was written, for explanations and for its targets;
//! [`ClientTrafficPolicySpec`] is the typed form that it is lowered from.

pub mod headers;
pub mod tls;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::headers::ClientHeaders;
use self::tls::ClientTls;
use super::scalar::{DurationText, Quantity};
use super::target::{TargetRef, TargetSelector};
use crate::features::connection::{ConnectionKeepalive, TcpKeepalive};

/// A policy as written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientTrafficPolicy {
    /// The object's name, labels, age and so on.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What the author wrote.
    pub spec: Value,
}

impl ClientTrafficPolicy {
    /// The settings alone: the spec without targets. Anything but an object counts as an empty one.
    pub fn settings(&self) -> Value {
        let mut settings = self.spec.as_object().cloned().unwrap_or_default();
        for key in ["targetRef", "targetRefs", "targetSelectors"] {
            settings.remove(key);
        }
        Value::Object(settings)
    }
}

/// What a ClientTrafficPolicy can say. Every field is optional; what is absent keeps its default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientTrafficPolicySpec {
    /// Deprecated: the one Gateway or ListenerSet that the policy applies to.
    pub target_ref: Option<TargetRef>,
    /// The Gateways and ListenerSets that the policy applies to, or listeners of theirs.
    pub target_refs: Option<Vec<TargetRef>>,
    /// The Gateways and ListenerSets that the policy applies to, by label.
    pub target_selectors: Option<Vec<TargetSelector>>,
    /// Probes of idle TCP connections. Unset: none.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// Deprecated: whether a PROXY header must come first. `proxyProtocol` takes its place.
    pub enable_proxy_protocol: Option<bool>,
    /// A PROXY header, version 1 or 2, comes first and says who the client is. Unset: there is none.
    pub proxy_protocol: Option<ClientProxyProtocol>,
    /// Whose address counts as the client's. Unset: the peer's of the connection, and nobody is trusted.
    #[serde(rename = "clientIPDetection")]
    pub client_ip_detection: Option<ClientIpDetection>,
    /// TLS of HTTPS listeners.
    pub tls: Option<ClientTls>,
    /// What becomes of the paths that clients ask for.
    pub path: Option<PathSettings>,
    /// What becomes of headers, and which ones are added.
    pub headers: Option<ClientHeaders>,
    /// How long clients may take.
    pub timeout: Option<ClientTimeout>,
    /// How many connections there may be, how long they live, and what they buffer.
    pub connection: Option<ClientConnection>,
    /// HTTP/1.
    pub http1: Option<ClientHttp1>,
    /// HTTP/2.
    pub http2: Option<ClientHttp2>,
    /// HTTP/3 besides TCP. Unset: off.
    pub http3: Option<Empty>,
    /// gRPC.
    pub grpc: Option<ClientGrpc>,
    /// A path that the listener answers by itself. Unset: none.
    pub health_check: Option<ClientHealthCheck>,
    /// Which `:scheme` backends see: `Preserve` (that of the client's request; the default) or `MatchBackend`.
    pub scheme: Option<String>,
}

/// Nothing: that it is there says it all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Empty {}

/// A PROXY header in front of everything else.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClientProxyProtocol {
    /// Whether connections without one are served, too; default false: they are closed.
    pub optional: Option<bool>,
}

/// Whose address counts as the client's: exactly one of the ways.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientIpDetection {
    /// The one in `X-Forwarded-For`.
    pub x_forwarded_for: Option<XForwardedFor>,
    /// The one in a header of its own.
    pub custom_header: Option<CustomHeader>,
    /// The peer's of the connection, whatever headers say.
    #[serde(rename = "directSourceIP")]
    pub direct_source_ip: Option<Empty>,
}

/// The client's address in `X-Forwarded-For`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct XForwardedFor {
    /// The client is this many addresses from the right; 0: the peer. Where there are fewer, the peer is.
    pub num_trusted_hops: Option<u32>,
    /// The client is the first address from the right that is in none of these networks, where the peer is in one; the
    /// leftmost where all are.
    #[serde(rename = "trustedCIDRs")]
    pub trusted_cidrs: Option<Vec<String>>,
    /// Whether the peer's address is not appended to the header; default false.
    pub disable_x_forwarded_for_append: Option<bool>,
}

/// The client's address in a header of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CustomHeader {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Whether requests without an address in it are answered 403; default false: the peer's counts.
    pub fail_closed: Option<bool>,
}

/// What becomes of paths.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PathSettings {
    /// What becomes of `%2F` and `%5C`: `KeepUnchanged`, `RejectRequest` (400), `UnescapeAndForward` or
    /// `UnescapeAndRedirect` (307; the default).
    pub escaped_slashes_action: Option<String>,
    /// Whether slashes beside one another stay as they are; default false: they become one.
    pub disable_merge_slashes: Option<bool>,
}

/// How long clients may take.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClientTimeout {
    /// Of connections.
    pub tcp: Option<ClientTcpTimeout>,
    /// Of HTTP requests and connections.
    pub http: Option<ClientHttpTimeout>,
}

/// Time limits of connections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientTcpTimeout {
    /// The longest pause of a connection of a TCPRoute or TLSRoute. Default 1h; `0s`: no limit.
    pub idle_timeout: Option<DurationText>,
    /// From the first byte of the TLS handshake to its end. Default and `0s`: what the process allows.
    pub tls_handshake_timeout: Option<DurationText>,
    /// Until the PROXY header and the ClientHello have come. Default 15s; `0s`: no limit.
    pub connection_inspection_timeout: Option<DurationText>,
}

/// Time limits of HTTP.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientHttpTimeout {
    /// From the first byte of a request to its last. Default and `0s`: no limit.
    pub request_received_timeout: Option<DurationText>,
    /// From the first byte of a request's head to its last. Default and `0s`: what the process allows.
    pub request_headers_received_timeout: Option<DurationText>,
    /// How long a connection may be without a request. Default 1h; `0s`: no limit.
    pub idle_timeout: Option<DurationText>,
    /// The longest pause of a request or response, where no BackendTrafficPolicy says another. `0s`: no limit.
    pub stream_idle_timeout: Option<DurationText>,
}

/// How many connections there may be, and what they may take.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientConnection {
    /// How many there may be, and how long they live.
    pub connection_limit: Option<ConnectionLimit>,
    /// Bytes that are buffered for a connection in each direction. Default 32768.
    pub buffer_limit: Option<Quantity>,
    /// Bytes of the kernel's buffer of a socket in each direction. Default: the system's choice.
    pub socket_buffer_limit: Option<Quantity>,
    /// Connections that are accepted one after the other before anything else is done.
    pub max_accept_per_socket_event: Option<i64>,
}

/// Limits on connections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionLimit {
    /// How many may be open at one time, 1 or more. Default: no limit.
    pub value: Option<i64>,
    /// How long those above the limit are kept, unread, before they are closed. Default: not at all.
    pub close_delay: Option<DurationText>,
    /// The age from which a connection is drained. Default and `0s`: none.
    pub max_connection_duration: Option<DurationText>,
    /// The number of requests after which a connection is closed. Default and 0: none.
    pub max_requests_per_connection: Option<u32>,
    /// How long one request with its response may take. Default and `0s`: no limit.
    pub max_stream_duration: Option<DurationText>,
}

/// How HTTP/1 is spoken.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientHttp1 {
    /// Whether trailers are passed on; default true.
    pub enable_trailers: Option<bool>,
    /// Whether the letter case of header names stays as it came; default false.
    pub preserve_header_case: Option<bool>,
    /// HTTP/1.0.
    pub http10: Option<Http10>,
    /// Upgrades that are overlooked.
    pub ignored_upgrade_types: Option<Vec<StringMatch>>,
    /// Whether a connection that has lived long enough is closed between two requests, rather than with the next one;
    /// default false.
    pub disable_safe_max_connection_duration: Option<bool>,
}

/// How HTTP/1.0 is spoken.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Http10 {
    /// Whether requests without a host get the listener's host name, or else the only one that its routes have; default
    /// false.
    pub use_default_host: Option<bool>,
}

/// How HTTP/2 is spoken.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientHttp2 {
    /// The window of a stream, in bytes. Default 64Ki.
    pub initial_stream_window_size: Option<Quantity>,
    /// The window of a connection, in bytes. Default 1Mi.
    pub initial_connection_window_size: Option<Quantity>,
    /// Streams at one time over a connection. Default 100.
    pub max_concurrent_streams: Option<u32>,
    /// `TerminateConnection` (default) or `TerminateStream`.
    pub on_invalid_message: Option<String>,
    /// Pings.
    pub connection_keepalive: Option<ConnectionKeepalive>,
}

/// gRPC.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientGrpc {
    /// Whether gRPC-Web becomes gRPC.
    pub enable_web: Option<bool>,
}

/// A path that the listener answers by itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClientHealthCheck {
    /// The path, which is answered 200.
    #[serde(default)]
    pub path: String,
}

/// A match on a text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StringMatch {
    /// `Exact` (default), `Prefix`, `Suffix` or `RegularExpression` (RE2).
    pub r#type: Option<String>,
    /// What it is held against.
    #[serde(default)]
    pub value: String,
}
