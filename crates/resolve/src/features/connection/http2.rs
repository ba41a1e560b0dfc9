//! `spec.http2`: how HTTP/2 is spoken to backends, where it is.
//!
//! Invalid: windows and numbers of streams out of range, pings that cannot be sent.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_plan::features::connection as plan;

use super::Faults;
use crate::api::scalar::{DurationText, Quantity, duration_error};

const FEATURE: &str = "HTTP2";
const WINDOWS: std::ops::RangeInclusive<i64> = 65_535..=2_147_483_647;
const STREAMS: std::ops::RangeInclusive<u32> = 1..=2_147_483_647;

/// HTTP/2 towards backends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionKeepalive {
    /// How often. Default: never.
    pub interval: Option<DurationText>,
    /// How long an answer may take, 1ms or more. It must be given.
    pub timeout: Option<DurationText>,
    /// A random part of the interval that is added, in percent. Default 15.
    pub interval_jitter: Option<u32>,
    /// Idle time after which a connection is pinged before it is used again. Default: never.
    pub idle_interval: Option<DurationText>,
}

pub(crate) fn lower(spec: Option<&Http2>, found: &mut Faults) -> plan::Http2 {
    let unset = plan::Http2::DEFAULT;
    let Some(Http2 {
        initial_stream_window_size,
        initial_connection_window_size,
        max_concurrent_streams,
        on_invalid_message,
        connection_keepalive,
    }) = spec
    else {
        return unset;
    };
    let initial_stream_window_size = window(
        "initialStreamWindowSize",
        "InitialStreamWindowSize",
        initial_stream_window_size.as_ref(),
        found,
    );
    let initial_connection_window_size = window(
        "initialConnectionWindowSize",
        "InitialConnectionWindowSize",
        initial_connection_window_size.as_ref(),
        found,
    );
    if let Some(streams) = max_concurrent_streams
        && !STREAMS.contains(streams)
    {
        let text = format!(
            "MaxConcurrentStreams value {streams} is out of range, must be between 1 and 2147483647"
        );
        found.add(FEATURE, "http2.maxConcurrentStreams", text);
    }
    let on_invalid_message = on_invalid_message.as_deref();
    plan::Http2 {
        initial_stream_window_size: initial_stream_window_size
            .unwrap_or(unset.initial_stream_window_size),
        initial_connection_window_size: initial_connection_window_size
            .unwrap_or(unset.initial_connection_window_size),
        max_concurrent_streams: max_concurrent_streams.unwrap_or(unset.max_concurrent_streams),
        on_invalid_message: on_invalid_message.map_or(unset.on_invalid_message, |word| {
            lower_on_invalid_message(word, found)
        }),
        connection_keepalive: connection_keepalive
            .as_ref()
            .and_then(|it| lower_keepalive(it, found)),
    }
}

fn window(field: &str, name: &str, size: Option<&Quantity>, found: &mut Faults) -> Option<u32> {
    let size = size?;
    let text = match size.value() {
        None => format!("invalid {name} value {size}"),
        Some(value) if WINDOWS.contains(&value) => return u32::try_from(value).ok(),
        Some(_) => {
            format!("{name} value {size} is out of range, must be between 65535 and 2147483647")
        }
    };
    found.add(FEATURE, format!("http2.{field}"), text);
    None
}

fn lower_on_invalid_message(word: &str, found: &mut Faults) -> plan::OnInvalidMessage {
    match word {
        "TerminateConnection" => plan::OnInvalidMessage::TerminateConnection,
        "TerminateStream" => plan::OnInvalidMessage::TerminateStream,
        _ => {
            let text = format!(
                "{word:?} is nothing that a message can end, so the default applies; use TerminateConnection or TerminateStream"
            );
            found.ignored(FEATURE, "http2.onInvalidMessage", text);
            plan::Http2::DEFAULT.on_invalid_message
        }
    }
}

/// None: no pings, as where neither of the intervals is written.
fn lower_keepalive(
    ConnectionKeepalive {
        interval,
        timeout,
        interval_jitter,
        idle_interval,
    }: &ConnectionKeepalive,
    found: &mut Faults,
) -> Option<plan::ConnectionKeepalive> {
    let at = "http2.connectionKeepalive";
    if timeout.is_none() {
        let text = "invalid ConnectionKeepalive.Timeout: it is required";
        found.add(FEATURE, format!("{at}.timeout"), text);
    }
    let mut read = |field: &str, name: &str, text: &Option<DurationText>| {
        let text = text.as_ref()?;
        let time = text.parse();
        let why = match time {
            None => duration_error(&text.0),
            Some(time) if time < Duration::from_millis(1) => format!("{text} is less than 1ms"),
            Some(_) => return time,
        };
        let why = format!("invalid ConnectionKeepalive.{name}: {why}");
        found.add(FEATURE, format!("{at}.{field}"), why);
        None
    };
    let interval = read("interval", "Interval", interval);
    let timeout = read("timeout", "Timeout", timeout);
    let idle_interval = read("idleInterval", "IdleInterval", idle_interval);
    let interval_jitter = found.percent(
        FEATURE,
        "http2.connectionKeepalive.intervalJitter",
        "ConnectionKeepalive.IntervalJitter",
        *interval_jitter,
    );
    (interval.is_some() || idle_interval.is_some()).then_some(plan::ConnectionKeepalive {
        interval,
        timeout: timeout?,
        interval_jitter: interval_jitter
            .unwrap_or(plan::ConnectionKeepalive::DEFAULT_INTERVAL_JITTER),
        idle_interval,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use weir_plan::Percent;

    use super::*;

    fn lowered(spec: &Value) -> (plan::Http2, Option<String>) {
        let (spec, mut found) = (
            serde_json::from_value(spec.clone()).unwrap(),
            Faults::default(),
        );
        (lower(Some(&spec), &mut found), found.message())
    }

    #[test]
    fn what_is_absent_keeps_its_default() {
        let unset = plan::Http2::DEFAULT;
        assert_eq!(lower(None, &mut Faults::default()), unset);
        for spec in [
            json!({}),
            json!({"onInvalidMessage": "TerminateEverything"}),
            json!({"connectionKeepalive": {"timeout": "1s"}}),
        ] {
            assert_eq!(lowered(&spec), (unset.clone(), None), "{spec}");
        }
        let (plan, message) =
            lowered(&json!({"connectionKeepalive": {"idleInterval": "30s", "timeout": "10s"}}));
        let keepalive = plan::ConnectionKeepalive {
            interval: None,
            timeout: Duration::from_secs(10),
            interval_jitter: Percent(15),
            idle_interval: Some(Duration::from_secs(30)),
        };
        assert_eq!(
            (plan.connection_keepalive, message),
            (Some(keepalive), None)
        );
    }

    #[test]
    fn every_field() {
        let (plan, message) = lowered(&json!({
            "initialStreamWindowSize": "2Mi", "initialConnectionWindowSize": "1Gi", "maxConcurrentStreams": 500,
            "onInvalidMessage": "TerminateStream",
            "connectionKeepalive":
                {"interval": "60s", "timeout": "10s", "intervalJitter": 20, "idleInterval": "30s"},
        }));
        let expected = plan::Http2 {
            initial_stream_window_size: 2_097_152,
            initial_connection_window_size: 1_073_741_824,
            max_concurrent_streams: 500,
            on_invalid_message: plan::OnInvalidMessage::TerminateStream,
            connection_keepalive: Some(plan::ConnectionKeepalive {
                interval: Some(Duration::from_secs(60)),
                timeout: Duration::from_secs(10),
                interval_jitter: Percent(20),
                idle_interval: Some(Duration::from_secs(30)),
            }),
        };
        assert_eq!((plan, message), (expected, None));
    }

    #[test]
    fn faults() {
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
            (
                json!({"connectionKeepalive": {"interval": "1s", "timeout": "1s", "intervalJitter": 101}}),
                Some(
                    "HTTP2: ConnectionKeepalive.IntervalJitter value 101 is out of range, must be between 0 and 100.",
                ),
            ),
            (
                json!({"maxConcurrentStreams": 0}),
                Some(
                    "HTTP2: MaxConcurrentStreams value 0 is out of range, must be between 1 and 2147483647.",
                ),
            ),
        ] {
            assert_eq!(lowered(&spec).1.as_deref(), expected, "{spec}");
        }
    }
}
