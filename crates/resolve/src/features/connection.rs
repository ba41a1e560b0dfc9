//! `spec.connection`, `tcpKeepalive`, `http2`, `proxyProtocol` and `useClientProtocol`: how connections to backends are
//! made and kept.
//!
//! Scope: cluster. Invalid: buffers and windows out of range, keepalive pings that cannot be sent. The plan has no type
//! for them yet.

use serde::{Deserialize, Serialize};

use super::Faults;
use crate::api::scalar::{DurationText, Quantity};

const WINDOWS: std::ops::RangeInclusive<i64> = 65_535..=2_147_483_647;

/// Buffers and preconnecting.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// Bytes that are buffered for a connection in each direction. Default 32768.
    pub buffer_limit: Option<Quantity>,
    /// Accepted for compatibility; the reference does nothing with it either.
    pub socket_buffer_limit: Option<Quantity>,
    /// Connections made before they are needed.
    pub preconnect: Option<Preconnect>,
}

/// Connections made before they are needed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Preconnect {
    /// For each endpoint, in percent of those needed, 100 to 300. Default 100.
    pub per_endpoint_percent: Option<u32>,
    /// For the cluster, in percent of those needed, 100 to 300. Default 100.
    pub predictive_percent: Option<u32>,
}

/// A PROXY header at the head of every connection to a backend.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProxyProtocol {
    /// `V1` (text) or `V2` (binary).
    pub version: Option<String>,
}

/// TCP keepalive of connections to backends. Present, even if empty: on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TcpKeepalive {
    /// Probes without an answer until a connection counts as dead. Default: the system's.
    pub probes: Option<u32>,
    /// Idle time before the first probe, in whole seconds. Default: the system's.
    pub idle_time: Option<DurationText>,
    /// Time between probes, in whole seconds. Default: the system's.
    pub interval: Option<DurationText>,
}

/// HTTP/2 towards backends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Http2 {
    /// The window of a stream, in bytes. Default 64Ki.
    pub initial_stream_window_size: Option<Quantity>,
    /// The window of a connection, in bytes. Default 1Mi.
    pub initial_connection_window_size: Option<Quantity>,
    /// Streams at one time over a connection. Default 1024.
    pub max_concurrent_streams: Option<u32>,
    /// `TerminateConnection` (default) or `TerminateStream`.
    pub on_invalid_message: Option<String>,
    /// Pings.
    pub connection_keepalive: Option<ConnectionKeepalive>,
}

/// HTTP/2 pings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionKeepalive {
    /// How often. Default: never.
    pub interval: Option<DurationText>,
    /// How long an answer may take.
    pub timeout: Option<DurationText>,
    /// A random part of the interval that is added, in percent. Default 15.
    pub interval_jitter: Option<u32>,
    /// Idle time after which a connection is pinged before it is used again. Default: never.
    pub idle_interval: Option<DurationText>,
}

pub(crate) fn check_keepalive(
    TcpKeepalive {
        probes: _,
        idle_time,
        interval,
    }: &TcpKeepalive,
    found: &mut Faults,
) {
    found.duration(
        "TCPKeepalive",
        "tcpKeepalive.idleTime",
        "IdleTime",
        idle_time.as_ref(),
    );
    found.duration(
        "TCPKeepalive",
        "tcpKeepalive.interval",
        "Interval",
        interval.as_ref(),
    );
}

pub(crate) fn check(spec: &Connection, found: &mut Faults) {
    let Connection {
        buffer_limit,
        socket_buffer_limit: _,
        preconnect,
    } = spec;
    if let Some(limit) = buffer_limit {
        let field = "connection.bufferLimit";
        match limit.value() {
            None => found.add(
                "BackendConnection",
                field,
                format!("invalid BufferLimit value {limit}"),
            ),
            Some(value) if u32::try_from(value).is_err() => {
                found.add(
                    "BackendConnection",
                    field,
                    format!("BufferLimit value {limit} is out of range"),
                );
            }
            Some(_) => {}
        }
    }
    let Some(Preconnect {
        per_endpoint_percent,
        predictive_percent,
    }) = preconnect
    else {
        return;
    };
    for (field, name, percent) in [
        (
            "perEndpointPercent",
            "PerEndpointPercent",
            per_endpoint_percent,
        ),
        ("predictivePercent", "PredictivePercent", predictive_percent),
    ] {
        if let Some(percent) = percent
            && !(100..=300).contains(percent)
        {
            let text = format!(
                "Preconnect.{name} value {percent} is out of range, must be between 100 and 300"
            );
            found.add(
                "BackendConnection",
                format!("connection.preconnect.{field}"),
                text,
            );
        }
    }
}

pub(crate) fn check_http2(spec: &Http2, found: &mut Faults) {
    let Http2 {
        initial_stream_window_size,
        initial_connection_window_size,
        max_concurrent_streams: _,
        on_invalid_message: _,
        connection_keepalive,
    } = spec;
    for (field, name, size) in [
        (
            "initialStreamWindowSize",
            "InitialStreamWindowSize",
            initial_stream_window_size,
        ),
        (
            "initialConnectionWindowSize",
            "InitialConnectionWindowSize",
            initial_connection_window_size,
        ),
    ] {
        let Some(size) = size else { continue };
        let text = match size.value() {
            None => format!("invalid {name} value {size}"),
            Some(value) if WINDOWS.contains(&value) => continue,
            Some(_) => {
                format!("{name} value {size} is out of range, must be between 65535 and 2147483647")
            }
        };
        found.add("HTTP2", format!("http2.{field}"), text);
    }
    let Some(ConnectionKeepalive {
        interval,
        timeout,
        interval_jitter: _,
        idle_interval,
    }) = connection_keepalive
    else {
        return;
    };
    let at = "http2.connectionKeepalive";
    if timeout.is_none() {
        found.add(
            "HTTP2",
            at,
            "invalid ConnectionKeepalive.Timeout: it is required",
        );
    }
    for (field, name, text) in [
        ("interval", "Interval", interval),
        ("timeout", "Timeout", timeout),
        ("idleInterval", "IdleInterval", idle_interval),
    ] {
        let Some(text) = text else { continue };
        if text.parse().is_none_or(|it| it.as_millis() == 0) {
            found.add(
                "HTTP2",
                format!("{at}.{field}"),
                format!("invalid ConnectionKeepalive.{name}: {text} is less than 1ms"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn faults_of_connection() {
        for (spec, expected) in [
            (json!({"bufferLimit": "100M"}), None),
            (json!({"bufferLimit": 0}), None),
            (
                json!({"bufferLimit": "1000G"}),
                Some("BackendConnection: BufferLimit value 1T is out of range."),
            ),
            (
                json!({"bufferLimit": "100m"}),
                Some("BackendConnection: invalid BufferLimit value 100m."),
            ),
            (
                json!({"preconnect": {"predictivePercent": 400}}),
                Some(
                    "BackendConnection: Preconnect.PredictivePercent value 400 is out of range, must be between 100 and 300.",
                ),
            ),
        ] {
            let mut found = Faults::default();
            check(&serde_json::from_value(spec.clone()).unwrap(), &mut found);
            assert_eq!(found.message().as_deref(), expected, "{spec}");
        }
    }

    #[test]
    fn faults_of_http2() {
        for (spec, expected) in [
            (
                json!({"initialStreamWindowSize": "1Mi", "initialConnectionWindowSize": "1Gi"}),
                None,
            ),
            (
                json!({"initialStreamWindowSize": "1Ki"}),
                Some(
                    "HTTP2: InitialStreamWindowSize value 1Ki is out of range, must be between 65535 and 2147483647.",
                ),
            ),
            (
                json!({"initialConnectionWindowSize": "9E9"}),
                Some("HTTP2: invalid InitialConnectionWindowSize value 9E9."),
            ),
            (
                json!({"connectionKeepalive": {"interval": "60s", "timeout": "10s", "idleInterval": "1ms"}}),
                None,
            ),
            (
                json!({"connectionKeepalive": {"interval": "60s"}}),
                Some("HTTP2: invalid ConnectionKeepalive.Timeout: it is required."),
            ),
            (
                json!({"connectionKeepalive": {"interval": "0s", "timeout": "1s"}}),
                Some("HTTP2: invalid ConnectionKeepalive.Interval: 0s is less than 1ms."),
            ),
        ] {
            let mut found = Faults::default();
            check_http2(&serde_json::from_value(spec.clone()).unwrap(), &mut found);
            assert_eq!(found.message().as_deref(), expected, "{spec}");
        }
    }
}
