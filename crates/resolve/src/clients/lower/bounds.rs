//! `connection` and `timeout` of a ClientTrafficPolicy, lowered: how many connections there may be, and how long clients may take.

use std::sync::Arc;
use std::time::Duration;

use weir_plan::{ClientConnection, ClientTimeout, ConnectionLimit};

use crate::api::client_traffic_policy as api;
use crate::api::scalar::{DurationText, Quantity};
use crate::features::Faults;

/// What `connectionInspectionTimeout: 0s` comes to: everything is bounded.
const LONGEST_INSPECTION: Duration = Duration::from_secs(86_400);

pub(super) struct Connection {
    pub(super) connection: ClientConnection,
    pub(super) limit: Option<ConnectionLimit>,
    pub(super) buffer_bytes: Option<u32>,
}

pub(super) fn connection(written: api::ClientConnection, found: &mut Faults) -> Connection {
    const FEATURE: &str = "Connection";
    let api::ClientConnection {
        connection_limit,
        buffer_limit,
        socket_buffer_limit,
        max_accept_per_socket_event: _,
    } = written;
    let api::ConnectionLimit {
        value,
        close_delay,
        max_connection_duration,
        max_requests_per_connection,
        max_stream_duration,
    } = connection_limit.unwrap_or_default();
    let mut duration = |field: &str, name: &str, text: Option<DurationText>| {
        let field = format!("connection.connectionLimit.{field}");
        found.duration(FEATURE, &field, name, text.as_ref())
    };
    let close_delay = duration("closeDelay", "CloseDelay", close_delay);
    let max_duration = duration(
        "maxConnectionDuration",
        "MaxConnectionDuration",
        max_connection_duration,
    );
    let max_stream = duration(
        "maxStreamDuration",
        "MaxStreamDuration",
        max_stream_duration,
    );
    let mut bytes = |field: &str, name: &str, size: Option<Quantity>| {
        let size = size?;
        let text = match size.value().map(u32::try_from) {
            Some(Ok(bytes)) => return Some(bytes),
            Some(Err(_)) => format!(
                "{name} value {size} is out of range, must be between 0 and {}",
                u32::MAX
            ),
            None => format!("invalid {name} value {size}"),
        };
        found.add(FEATURE, format!("connection.{field}"), text);
        None
    };
    let buffer_limit = bytes("bufferLimit", "BufferLimit", buffer_limit);
    let buffer_bytes = bytes(
        "socketBufferLimit",
        "SocketBufferLimit",
        socket_buffer_limit,
    );
    let value = value.and_then(|it| u64::try_from(it).ok());
    Connection {
        connection: ClientConnection {
            max_duration: max_duration.and_then(limit),
            max_requests: max_requests_per_connection.filter(|it| *it > 0),
            max_stream_duration: max_stream.and_then(limit),
            buffer_limit: buffer_limit.unwrap_or(ClientConnection::DEFAULT.buffer_limit),
        },
        limit: value.map(|value| ConnectionLimit {
            value,
            close_delay: close_delay.unwrap_or_default(),
        }),
        buffer_bytes,
    }
}

pub(super) struct Timeouts {
    pub(super) timeout: ClientTimeout,
    pub(super) stream_idle: Option<(Arc<str>, Option<Duration>)>,
    pub(super) inspection_timeout: Option<Duration>,
    pub(super) handshake_timeout: Option<Option<Duration>>,
}

pub(super) fn timeout(written: api::ClientTimeout, found: &mut Faults) -> Timeouts {
    let api::ClientTimeout { tcp, http } = written;
    let api::ClientTcpTimeout {
        idle_timeout: tcp_idle,
        tls_handshake_timeout,
        connection_inspection_timeout,
    } = tcp.unwrap_or_default();
    let api::ClientHttpTimeout {
        request_received_timeout,
        request_headers_received_timeout,
        idle_timeout,
        stream_idle_timeout,
    } = http.unwrap_or_default();
    let mut read = |field: &str, name: &str, text: Option<DurationText>| {
        let field = format!("timeout.{field}");
        found.duration("Timeout", &field, name, text.as_ref())
    };
    let tcp_idle = read("tcp.idleTimeout", "TCP IdleTimeout", tcp_idle);
    let handshake = read(
        "tcp.tlsHandshakeTimeout",
        "TCP TLSHandshakeTimeout",
        tls_handshake_timeout,
    );
    let inspection = read(
        "tcp.connectionInspectionTimeout",
        "TCP ConnectionInspectionTimeout",
        connection_inspection_timeout,
    );
    let request = read(
        "http.requestReceivedTimeout",
        "HTTP RequestReceivedTimeout",
        request_received_timeout,
    );
    let request_headers = read(
        "http.requestHeadersReceivedTimeout",
        "HTTP RequestHeadersReceivedTimeout",
        request_headers_received_timeout,
    );
    let idle = read("http.idleTimeout", "HTTP IdleTimeout", idle_timeout);
    let written = stream_idle_timeout.as_ref().map(|it| it.0.as_str().into());
    let stream_idle = read(
        "http.streamIdleTimeout",
        "HTTP StreamIdleTimeout",
        stream_idle_timeout,
    );
    let default = ClientTimeout::DEFAULT;
    Timeouts {
        timeout: ClientTimeout {
            idle: idle.map_or(default.idle, limit),
            request_received: request.and_then(limit),
            request_headers_received: request_headers.and_then(limit),
            tcp_idle: tcp_idle.map_or(default.tcp_idle, limit),
        },
        stream_idle: written.zip(stream_idle.map(limit)),
        inspection_timeout: inspection.map(|it| limit(it).unwrap_or(LONGEST_INSPECTION)),
        handshake_timeout: handshake.map(limit),
    }
}

/// A limit, where 0 means none.
fn limit(duration: Duration) -> Option<Duration> {
    (!duration.is_zero()).then_some(duration)
}
