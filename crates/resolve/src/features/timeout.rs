//! `spec.timeout`: how long things may take.
//!
//! Scope: requests (route half) and connections (cluster half). Unset: Envoy's defaults. Invalid: what is no duration,
//! and a connect timeout of 0.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_plan::features::timeout::{ClusterTimeout, RouteTimeout};

use super::Faults;
use crate::api::scalar::DurationText;

const FEATURE: &str = "Timeout";
const HOUR: Duration = Duration::from_secs(3600);

/// Time limits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Timeout {
    /// Of connections.
    pub tcp: Option<TcpTimeout>,
    /// Of HTTP requests and connections.
    pub http: Option<HttpTimeout>,
}

/// Time limits of connections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TcpTimeout {
    /// For making a connection, TLS included. Default 10s.
    pub connect_timeout: Option<DurationText>,
}

/// Time limits of HTTP requests and connections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpTimeout {
    /// How long a connection to a backend may be without requests. Default 1h; `0s`: for ever.
    pub connection_idle_timeout: Option<DurationText>,
    /// The age from which a connection to a backend takes no new requests. Default and `0s`: none.
    pub max_connection_duration: Option<DurationText>,
    /// From the end of the request to the end of the response, all attempts included. Default 15s; `0s`: no limit. An
    /// HTTPRoute's own timeouts come first.
    pub request_timeout: Option<DurationText>,
    /// From the head of the request to the end of the response. Default and `0s`: no limit.
    pub max_stream_duration: Option<DurationText>,
    /// The longest pause in either direction; `0s`: no limit. Default: 5m, or where a request timeout is set the
    /// longer of it and 1h.
    pub stream_idle_timeout: Option<DurationText>,
}

pub(crate) fn lower(spec: Option<&Timeout>, found: &mut Faults) -> (RouteTimeout, ClusterTimeout) {
    let (route, cluster) = (RouteTimeout::DEFAULT, ClusterTimeout::DEFAULT);
    let Some(Timeout { tcp, http }) = spec else {
        return (route, cluster);
    };
    let mut connect = cluster.connect;
    if let Some(TcpTimeout {
        connect_timeout: Some(text),
    }) = tcp
    {
        match text.parse() {
            Some(it) if !it.is_zero() => connect = it,
            _ => found.add(
                FEATURE,
                "timeout.tcp.connectTimeout",
                format!("invalid ConnectTimeout value {text}"),
            ),
        }
    }
    let HttpTimeout {
        connection_idle_timeout,
        max_connection_duration,
        request_timeout,
        max_stream_duration,
        stream_idle_timeout,
    } = http.clone().unwrap_or_default();
    let mut read = |field: &str, name: &str, text: Option<DurationText>| {
        found.duration(
            FEATURE,
            &format!("timeout.http.{field}"),
            name,
            text.as_ref(),
        )
    };
    let connection_idle = read(
        "connectionIdleTimeout",
        "ConnectionIdleTimeout",
        connection_idle_timeout,
    );
    let max_connection = read(
        "maxConnectionDuration",
        "MaxConnectionDuration",
        max_connection_duration,
    );
    let request = read("requestTimeout", "RequestTimeout", request_timeout);
    let max_stream = read(
        "maxStreamDuration",
        "MaxStreamDuration",
        max_stream_duration,
    );
    let stream_idle = read(
        "streamIdleTimeout",
        "StreamIdleTimeout",
        stream_idle_timeout,
    );

    let mut timeout = RouteTimeout {
        max_stream_duration: max_stream.and_then(limit),
        ..route
    };
    if let Some(request) = request {
        timeout = with_request(&timeout, request, false);
    }
    if let Some(idle) = stream_idle {
        timeout.stream_idle = limit(idle);
    }
    let cluster = ClusterTimeout {
        connect,
        connection_idle: connection_idle.map_or(cluster.connection_idle, limit),
        max_connection_duration: max_connection.and_then(limit),
    };
    (timeout, cluster)
}

/// These limits with another request timeout; 0 for none. The idle timeout follows it where no policy wrote one.
pub(crate) fn with_request(
    timeout: &RouteTimeout,
    request: Duration,
    idle_written: bool,
) -> RouteTimeout {
    let RouteTimeout {
        request: _,
        stream_idle,
        max_stream_duration,
    } = timeout;
    let request = limit(request);
    RouteTimeout {
        request,
        stream_idle: if idle_written {
            *stream_idle
        } else {
            request.map(|it| it.max(HOUR))
        },
        max_stream_duration: *max_stream_duration,
    }
}

/// A limit, where 0 means none.
fn limit(duration: Duration) -> Option<Duration> {
    (!duration.is_zero()).then_some(duration)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn lowered(spec: Value) -> (RouteTimeout, ClusterTimeout, Option<String>) {
        let (spec, mut found) = (serde_json::from_value(spec).unwrap(), Faults::default());
        let (route, cluster) = lower(Some(&spec), &mut found);
        (route, cluster, found.message())
    }

    #[test]
    fn the_idle_timeout_follows_the_request_timeout() {
        let secs = Duration::from_secs;
        for (http, request, idle) in [
            (json!({}), Some(secs(15)), Some(secs(300))),
            (json!({"requestTimeout": "2s"}), Some(secs(2)), Some(HOUR)),
            (
                json!({"requestTimeout": "2h"}),
                Some(secs(7200)),
                Some(secs(7200)),
            ),
            (json!({"requestTimeout": "0s"}), None, None),
            (
                json!({"requestTimeout": "2s", "streamIdleTimeout": "1s"}),
                Some(secs(2)),
                Some(secs(1)),
            ),
            (
                json!({"requestTimeout": "2s", "streamIdleTimeout": "0s"}),
                Some(secs(2)),
                None,
            ),
            (
                json!({"streamIdleTimeout": "20s"}),
                Some(secs(15)),
                Some(secs(20)),
            ),
        ] {
            let (route, _, message) = lowered(json!({"http": http}));
            assert_eq!(
                (route.request, route.stream_idle, message),
                (request, idle, None),
                "{http}"
            );
        }
    }

    #[test]
    fn zero_means_no_limit_but_for_connecting() {
        let (route, cluster, message) = lowered(
            json!({"http": {"connectionIdleTimeout": "0s", "maxConnectionDuration": "0s", "maxStreamDuration": "0s"}}),
        );
        assert_eq!(
            (
                route.max_stream_duration,
                cluster.connection_idle,
                cluster.max_connection_duration
            ),
            (None, None, None)
        );
        assert_eq!(message, None);
        let (_, cluster, message) = lowered(json!({"tcp": {"connectTimeout": "0s"}}));
        assert_eq!(cluster.connect, Duration::from_secs(10));
        assert_eq!(
            message.as_deref(),
            Some("Timeout: invalid ConnectTimeout value 0s.")
        );
    }

    #[test]
    fn what_is_no_duration_is_invalid() {
        for (spec, expected) in [
            (
                json!({"http": {"maxConnectionDuration": "22mib"}}),
                "Timeout: invalid MaxConnectionDuration value 22mib.",
            ),
            (
                json!({"tcp": {"connectTimeout": "20kib"}}),
                "Timeout: invalid ConnectTimeout value 20kib.",
            ),
        ] {
            assert_eq!(lowered(spec).2.as_deref(), Some(expected));
        }
    }
}
