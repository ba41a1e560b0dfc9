//! How connections to endpoints are made and kept: buffers, TCP, HTTP/2, the PROXY protocol.

use std::time::Duration;

use serde::Serialize;

use crate::units::{Percent, duration, optional_duration};

/// How connections to the endpoints of a cluster are made and kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Connection {
    /// Bytes that are buffered for a connection in each direction before its sender is slowed down.
    pub buffer_limit: u32,
    /// Connections made before they are needed.
    pub preconnect: Preconnect,
    /// Probes of idle TCP connections.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// How HTTP/2 is spoken, where it is.
    pub http2: Http2,
    /// The header that says at the head of every connection whom it is for.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Whether requests go on in the HTTP version in which they came, whatever the backend says that it speaks.
    pub use_client_protocol: bool,
}

impl Connection {
    /// What applies where no policy says anything: Envoy Gateway's buffers, and nothing else but Envoy's defaults.
    pub const DEFAULT: Self = Self {
        buffer_limit: 32_768,
        preconnect: Preconnect::DEFAULT,
        tcp_keepalive: None,
        http2: Http2::DEFAULT,
        proxy_protocol: None,
        use_client_protocol: false,
    };
}

/// Connections made before they are needed, in percent of those needed: 100 makes none, 300 is the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Preconnect {
    /// To the endpoints that have connections.
    pub per_endpoint_percent: u16,
    /// To the endpoints that would be chosen next.
    pub predictive_percent: u16,
}

impl Preconnect {
    /// Envoy's ratios of 1.
    pub const DEFAULT: Self = Self {
        per_endpoint_percent: 100,
        predictive_percent: 100,
    };
}

/// Probes of idle TCP connections. What is not given is up to the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TcpKeepalive {
    /// Probes without an answer until a connection counts as dead; 1 or more.
    pub probes: Option<u32>,
    /// Idle time before the first probe, in whole seconds; 1 s or more.
    #[serde(serialize_with = "optional_duration")]
    pub idle_time: Option<Duration>,
    /// Time between probes, in whole seconds; 1 s or more.
    #[serde(serialize_with = "optional_duration")]
    pub interval: Option<Duration>,
}

/// How HTTP/2 is spoken to endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Http2 {
    /// The window of a stream, in bytes.
    pub initial_stream_window_size: u32,
    /// The window of a connection, in bytes.
    pub initial_connection_window_size: u32,
    /// Streams at one time over a connection, if the endpoint allows as many.
    pub max_concurrent_streams: u32,
    /// What a malformed message ends.
    pub on_invalid_message: OnInvalidMessage,
    /// Pings.
    pub connection_keepalive: Option<ConnectionKeepalive>,
}

impl Http2 {
    /// Envoy Gateway's windows, and Envoy's number of streams.
    pub const DEFAULT: Self = Self {
        initial_stream_window_size: 65_536,
        initial_connection_window_size: 1_048_576,
        max_concurrent_streams: 1024,
        on_invalid_message: OnInvalidMessage::TerminateConnection,
        connection_keepalive: None,
    };
}

/// What a malformed message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum OnInvalidMessage {
    /// The connection, with all streams on it.
    TerminateConnection,
    /// Its stream alone.
    TerminateStream,
}

/// HTTP/2 pings; at least one of `interval` and `idle_interval` is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ConnectionKeepalive {
    /// How often; none: not regularly.
    #[serde(serialize_with = "optional_duration")]
    pub interval: Option<Duration>,
    /// How long an answer may take before the connection counts as dead.
    #[serde(serialize_with = "duration")]
    pub timeout: Duration,
    /// The largest random part of the interval that is added to it.
    pub interval_jitter: Percent,
    /// Idle time after which a connection is pinged before it is used again; none: it is not.
    #[serde(serialize_with = "optional_duration")]
    pub idle_interval: Option<Duration>,
}

impl ConnectionKeepalive {
    /// Envoy's jitter.
    pub const DEFAULT_INTERVAL_JITTER: Percent = Percent(15);
}

/// The form of the PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum ProxyProtocol {
    /// Text.
    V1,
    /// Binary.
    V2,
}
