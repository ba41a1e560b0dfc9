//! `spec.connection`, `tcpKeepalive`, `http2`, `proxyProtocol` and `useClientProtocol`: how connections to backends are
//! made and kept.
//!
//! Scope: cluster. Unset: [`plan::Connection::DEFAULT`]. Invalid: buffers and windows out of range, keepalive pings that
//! cannot be sent.

pub(crate) mod http2;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_plan::features::connection as plan;

pub use self::http2::{ConnectionKeepalive, Http2};
use super::Faults;
use crate::api::scalar::{DurationText, Quantity};

const FEATURE: &str = "BackendConnection";
/// What connections made before they are needed may come to, in percent.
const PRECONNECT: std::ops::RangeInclusive<u32> = 100..=300;

/// Buffers and preconnecting.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Preconnect {
    /// For each endpoint, in percent of those needed, 100 to 300. Default 100.
    pub per_endpoint_percent: Option<u32>,
    /// For the cluster, in percent of those needed, 100 to 300. Default 100.
    pub predictive_percent: Option<u32>,
}

/// A PROXY header at the head of every connection to a backend.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProxyProtocol {
    /// `V1` (text) or `V2` (binary).
    pub version: Option<String>,
}

/// TCP keepalive of connections to backends. Present, even if empty: on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TcpKeepalive {
    /// Probes without an answer until a connection counts as dead. Default: the system's.
    pub probes: Option<u32>,
    /// Idle time before the first probe, in whole seconds. Default: the system's.
    pub idle_time: Option<DurationText>,
    /// Time between probes, in whole seconds. Default: the system's.
    pub interval: Option<DurationText>,
}

/// `tcpKeepalive`, which messages call `feature`; none: off, as where one of its numbers is 0.
pub(crate) fn lower_keepalive(
    feature: &'static str,
    spec: Option<&TcpKeepalive>,
    found: &mut Faults,
) -> Option<plan::TcpKeepalive> {
    let TcpKeepalive {
        probes,
        idle_time,
        interval,
    } = spec?;
    let mut seconds = |field, name, text: &Option<DurationText>| {
        let time = found.duration(feature, field, name, text.as_ref())?;
        let seconds = Duration::from_secs(time.as_secs());
        if seconds.is_zero() && !time.is_zero() {
            let text = "less than a second counts as 0, which switches keepalive off";
            found.ignored(feature, field, text);
        }
        Some(seconds)
    };
    let idle_time = seconds("tcpKeepalive.idleTime", "IdleTime", idle_time);
    let interval = seconds("tcpKeepalive.interval", "Interval", interval);
    let off = *probes == Some(0) || [idle_time, interval].contains(&Some(Duration::ZERO));
    (!off).then_some(plan::TcpKeepalive {
        probes: *probes,
        idle_time,
        interval,
    })
}

/// `connection`: the buffer limit, and connections made before they are needed.
pub(crate) fn lower_buffers(
    spec: Option<&Connection>,
    found: &mut Faults,
) -> (u32, plan::Preconnect) {
    let default_limit = plan::Connection::DEFAULT.buffer_limit;
    let default_preconnect = plan::Preconnect::DEFAULT;
    let Some(Connection {
        buffer_limit,
        socket_buffer_limit: _,
        preconnect,
    }) = spec
    else {
        return (default_limit, default_preconnect);
    };
    let limit = buffer_limit.as_ref().and_then(|limit| {
        let text = match limit.value().map(u32::try_from) {
            Some(Ok(value)) => return Some(value),
            Some(Err(_)) => format!("BufferLimit value {limit} is out of range"),
            None => format!("invalid BufferLimit value {limit}"),
        };
        found.add(FEATURE, "connection.bufferLimit", text);
        None
    });
    let preconnect = preconnect
        .as_ref()
        .map_or(default_preconnect, |it| lower_preconnect(it, found));
    (limit.unwrap_or(default_limit), preconnect)
}

fn lower_preconnect(
    Preconnect {
        per_endpoint_percent,
        predictive_percent,
    }: &Preconnect,
    found: &mut Faults,
) -> plan::Preconnect {
    let mut percent = |field: &str, name: &str, percent: Option<u32>| {
        let percent = percent.unwrap_or(100);
        if !PRECONNECT.contains(&percent) {
            found.add(
                FEATURE,
                format!("connection.preconnect.{field}"),
                format!(
                    "Preconnect.{name} value {percent} is out of range, must be between 100 and 300"
                ),
            );
        }
        u16::try_from(percent).unwrap_or(u16::MAX)
    };
    plan::Preconnect {
        per_endpoint_percent: percent(
            "perEndpointPercent",
            "PerEndpointPercent",
            *per_endpoint_percent,
        ),
        predictive_percent: percent(
            "predictivePercent",
            "PredictivePercent",
            *predictive_percent,
        ),
    }
}

/// `proxyProtocol`; none: no header.
pub(crate) fn lower_proxy_protocol(
    spec: Option<&ProxyProtocol>,
    found: &mut Faults,
) -> Option<plan::ProxyProtocol> {
    let ProxyProtocol { version } = spec?;
    match version.as_deref().unwrap_or_default() {
        "V1" => Some(plan::ProxyProtocol::V1),
        "V2" => Some(plan::ProxyProtocol::V2),
        other => {
            let text = format!("invalid Version value {other:?}, must be V1 or V2");
            found.add("ProxyProtocol", "proxyProtocol.version", text);
            None
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
            let spec_read = serde_json::from_value(spec.clone()).unwrap();
            lower_buffers(Some(&spec_read), &mut found);
            assert_eq!(found.message().as_deref(), expected, "{spec}");
        }
    }

    #[test]
    fn buffers() {
        let preconnect = |per_endpoint_percent, predictive_percent| plan::Preconnect {
            per_endpoint_percent,
            predictive_percent,
        };
        for (spec, expected) in [
            (json!(null), (32_768, preconnect(100, 100))),
            (json!({"preconnect": {}}), (32_768, preconnect(100, 100))),
            (
                json!({"bufferLimit": "100M", "socketBufferLimit": "1Ki",
                    "preconnect": {"perEndpointPercent": 105, "predictivePercent": 300}}),
                (100_000_000, preconnect(105, 300)),
            ),
            (json!({"bufferLimit": 0}), (0, preconnect(100, 100))),
        ] {
            let mut found = Faults::default();
            let read: Option<Connection> = serde_json::from_value(spec.clone()).unwrap();
            assert_eq!(lower_buffers(read.as_ref(), &mut found), expected, "{spec}");
            assert_eq!(found.message(), None);
        }
    }

    #[test]
    fn keepalive() {
        let keepalive = |probes, idle: Option<u64>, interval: Option<u64>| {
            Some(plan::TcpKeepalive {
                probes,
                idle_time: idle.map(Duration::from_secs),
                interval: interval.map(Duration::from_secs),
            })
        };
        for (spec, expected) in [
            (json!(null), None),
            (json!({}), keepalive(None, None, None)),
            (
                json!({"probes": 3, "idleTime": "20m", "interval": "60s"}),
                keepalive(Some(3), Some(1200), Some(60)),
            ),
            (
                json!({"interval": "1s500ms"}),
                keepalive(None, None, Some(1)),
            ),
            (json!({"idleTime": "500ms"}), None),
            (json!({"probes": 0}), None),
        ] {
            let mut found = Faults::default();
            let read: Option<TcpKeepalive> = serde_json::from_value(spec.clone()).unwrap();
            assert_eq!(
                lower_keepalive("TCPKeepalive", read.as_ref(), &mut found),
                expected,
                "{spec}"
            );
            assert_eq!(found.message(), None);
        }
        let mut found = Faults::default();
        let spec = TcpKeepalive {
            probes: None,
            idle_time: Some(DurationText("x".to_owned())),
            interval: None,
        };
        lower_keepalive("TCPKeepalive", Some(&spec), &mut found);
        let expected = "TCPKeepalive: invalid IdleTime value x.";
        assert_eq!(found.message().as_deref(), Some(expected));
    }

    #[test]
    fn versions_of_the_proxy_protocol() {
        for (spec, expected, message) in [
            (json!(null), None, None),
            (
                json!({"version": "V1"}),
                Some(plan::ProxyProtocol::V1),
                None,
            ),
            (
                json!({"version": "V2"}),
                Some(plan::ProxyProtocol::V2),
                None,
            ),
            (
                json!({"version": "V3"}),
                None,
                Some("ProxyProtocol: invalid Version value \"V3\", must be V1 or V2."),
            ),
        ] {
            let mut found = Faults::default();
            let read: Option<ProxyProtocol> = serde_json::from_value(spec.clone()).unwrap();
            assert_eq!(lower_proxy_protocol(read.as_ref(), &mut found), expected);
            assert_eq!(found.message().as_deref(), message, "{spec}");
        }
    }
}
