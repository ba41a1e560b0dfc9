//! `spec.healthCheck`: which endpoints are taken for healthy, by asking them (active) and by what comes back (passive).
//!
//! Scope: cluster. Unset: all are. Invalid: intervals of 0, empty payloads, methods that do not exist. The plan has no
//! type for it yet.

use serde::{Deserialize, Serialize};

use super::Faults;
use crate::api::scalar::DurationText;

const FEATURE: &str = "HealthCheck";
const METHODS: [&str; 8] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH",
];

/// Which endpoints are taken for healthy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// The gateway asks the endpoints.
    pub active: Option<ActiveHealthCheck>,
    /// The gateway watches what comes back.
    pub passive: Option<PassiveHealthCheck>,
    /// The share of healthy endpoints, in percent, below which all are used; 0: never. Default 50.
    pub panic_threshold: Option<u32>,
}

/// The gateway asks the endpoints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActiveHealthCheck {
    /// `HTTP`, `TCP` or `GRPC`.
    pub r#type: Option<String>,
    /// How long an answer may take. Default 1s.
    pub timeout: Option<DurationText>,
    /// How often. Default 3s.
    pub interval: Option<DurationText>,
    /// The most that the first question waits, at random. Default 0.
    pub initial_jitter: Option<DurationText>,
    /// Failures until an endpoint is unhealthy. Default 3.
    pub unhealthy_threshold: Option<u32>,
    /// Successes until it is healthy again. Default 1.
    pub healthy_threshold: Option<u32>,
    /// For `HTTP`.
    pub http: Option<HttpHealthCheck>,
    /// For `TCP`.
    pub tcp: Option<TcpHealthCheck>,
    /// For `GRPC`.
    pub grpc: Option<GrpcHealthCheck>,
    /// Where to ask, other than where requests go.
    pub overrides: Option<HealthCheckOverrides>,
    /// A log of the results.
    pub health_check_log: Option<HealthCheckLog>,
}

/// An HTTP request that asks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpHealthCheck {
    /// Its host name. Default: the endpoint's, else the route's.
    pub hostname: Option<String>,
    /// Its path.
    pub path: Option<String>,
    /// Its method. Default GET.
    pub method: Option<String>,
    /// Statuses that mean healthy. Default 200.
    pub expected_statuses: Option<Vec<i32>>,
    /// Statuses that count as a failure rather than mean unhealthy at once.
    pub retriable_statuses: Option<Vec<i32>>,
    /// What the body must contain.
    pub expected_response: Option<Payload>,
    /// The body sent, with POST and PUT.
    pub request_body: Option<Payload>,
}

/// A connection that asks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TcpHealthCheck {
    /// What is sent. Default: nothing.
    pub send: Option<Payload>,
    /// What must come back. Default: nothing.
    pub receive: Option<Payload>,
}

/// A call of the gRPC health service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GrpcHealthCheck {
    /// The service asked about. Default: the server as a whole.
    pub service: Option<String>,
}

/// Where to ask.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HealthCheckOverrides {
    /// The port.
    pub port: Option<i32>,
}

/// Bytes, written in one of two ways.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Payload {
    /// `Text` or `Binary`.
    pub r#type: Option<String>,
    /// As text.
    pub text: Option<String>,
    /// In base64.
    pub binary: Option<String>,
}

/// A log of health checks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HealthCheckLog {
    /// Where to. Default: standard output.
    pub sinks: Option<Vec<LogSink>>,
    /// Which results. Default: all.
    pub matches: Option<Vec<String>>,
}

/// Where a log goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LogSink {
    /// `File`.
    pub r#type: Option<String>,
    /// For `File`.
    pub file: Option<FileSink>,
}

/// A file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FileSink {
    /// Its path.
    pub path: Option<String>,
}

/// The gateway watches what comes back, and leaves out endpoints that fail.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PassiveHealthCheck {
    /// Whether failures to connect are counted apart. Default false.
    pub split_external_local_origin_errors: Option<bool>,
    /// How often endpoints are judged. Default 3s.
    pub interval: Option<DurationText>,
    /// Failures to connect in a row. Default 5.
    pub consecutive_local_origin_failures: Option<u32>,
    /// Statuses 502, 503 and 504 in a row. Default: they do not matter by themselves.
    pub consecutive_gateway_errors: Option<u32>,
    /// Server errors in a row. Default 5.
    #[serde(rename = "consecutive5XxErrors")]
    pub consecutive_5xx_errors: Option<u32>,
    /// How long an endpoint is left out, times how often it was. Default 30s.
    pub base_ejection_time: Option<DurationText>,
    /// The largest share that is left out, in percent. Default 10.
    pub max_ejection_percent: Option<i32>,
    /// A share of failures, in percent. Default: it does not matter.
    pub failure_percentage_threshold: Option<u32>,
    /// Whether one endpoint may be left out whatever the share. Default false.
    pub always_eject_one_endpoint: Option<bool>,
}

pub(crate) fn check(spec: &HealthCheck, found: &mut Faults) {
    let HealthCheck {
        active,
        passive,
        panic_threshold,
    } = spec;
    if panic_threshold.is_some_and(|percent| percent > 100) {
        found.add(
            FEATURE,
            "healthCheck.panicThreshold",
            "PanicThreshold value is outside of 0-100 range",
        );
    }
    if let Some(active) = active {
        check_active(active, found);
    }
    if let Some(passive) = passive {
        let at = "healthCheck.passive";
        positive(
            found,
            at,
            "baseEjectionTime",
            "OutlierDetection.BaseEjectionTime",
            passive.base_ejection_time.as_ref(),
        );
        positive(
            found,
            at,
            "interval",
            "OutlierDetection.Interval",
            passive.interval.as_ref(),
        );
    }
}

fn check_active(active: &ActiveHealthCheck, found: &mut Faults) {
    let ActiveHealthCheck {
        r#type: _,
        timeout,
        interval,
        initial_jitter,
        unhealthy_threshold,
        healthy_threshold,
        http,
        tcp,
        grpc: _,
        overrides,
        health_check_log: _,
    } = active;
    let at = "healthCheck.active";
    positive(
        found,
        at,
        "timeout",
        "HealthCheck.Timeout",
        timeout.as_ref(),
    );
    positive(
        found,
        at,
        "interval",
        "HealthCheck.Interval",
        interval.as_ref(),
    );
    found.duration(
        FEATURE,
        "healthCheck.active.initialJitter",
        "HealthCheck.InitialJitter",
        initial_jitter.as_ref(),
    );
    for (field, name, threshold) in [
        (
            "unhealthyThreshold",
            "UnhealthyThreshold",
            unhealthy_threshold,
        ),
        ("healthyThreshold", "HealthyThreshold", healthy_threshold),
    ] {
        if *threshold == Some(0) {
            found.add(
                FEATURE,
                format!("{at}.{field}"),
                format!("field HealthCheck.{name} should be greater than 0"),
            );
        }
    }
    if let Some(http) = http {
        check_http(http, found);
    }
    if let Some(TcpHealthCheck { send, receive }) = tcp {
        payload(found, "healthCheck.active.tcp.send", send.as_ref());
        payload(found, "healthCheck.active.tcp.receive", receive.as_ref());
    }
    if let Some(HealthCheckOverrides { port }) = overrides
        && !port.is_some_and(|port| (1..=65_535).contains(&port))
    {
        found.add(
            FEATURE,
            "healthCheck.active.overrides.port",
            "field HealthCheckOverrides.Port must be between 1 and 65535",
        );
    }
}

fn check_http(http: &HttpHealthCheck, found: &mut Faults) {
    let HttpHealthCheck {
        hostname: _,
        path,
        method,
        expected_statuses,
        retriable_statuses,
        expected_response,
        request_body,
    } = http;
    let at = "healthCheck.active.http";
    if path.as_deref().is_none_or(str::is_empty) {
        found.add(
            FEATURE,
            format!("{at}.path"),
            "field HTTPHealthChecker.Path should be specified",
        );
    }
    if let Some(method) = method
        && !METHODS.contains(&method.to_ascii_uppercase().as_str())
    {
        let text = "only one of the GET, HEAD, POST, DELETE, OPTIONS, TRACE, PATCH of HTTPHealthChecker.Method could be set";
        found.add(FEATURE, format!("{at}.method"), text);
    }
    for (field, statuses) in [
        ("expectedStatuses", expected_statuses),
        ("retriableStatuses", retriable_statuses),
    ] {
        if let Some(index) = statuses
            .iter()
            .flatten()
            .position(|status| !(100..=599).contains(status))
        {
            found.add(
                FEATURE,
                format!("{at}.{field}[{index}]"),
                "HTTPStatus should be in [200,600)",
            );
        }
    }
    payload(
        found,
        &format!("{at}.expectedResponse"),
        expected_response.as_ref(),
    );
    payload(found, &format!("{at}.requestBody"), request_body.as_ref());
}

fn positive(found: &mut Faults, at: &str, field: &str, name: &str, text: Option<&DurationText>) {
    let at = format!("{at}.{field}");
    if found
        .duration(FEATURE, &at, name, text)
        .is_some_and(|it| it.is_zero())
    {
        found.add(FEATURE, at, format!("field {name} must be specified"));
    }
}

fn payload(found: &mut Faults, at: &str, payload: Option<&Payload>) {
    let Some(Payload {
        r#type: _,
        text,
        binary,
    }) = payload
    else {
        return;
    };
    if text.as_deref().unwrap_or_default().is_empty()
        && binary.as_deref().unwrap_or_default().is_empty()
    {
        found.add(
            FEATURE,
            at,
            "one of Text, Binary fields must be set in payload",
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn faults() {
        let http = |http: serde_json::Value| json!({"active": {"type": "HTTP", "http": http}});
        for (spec, expected) in [
            (
                json!({"active": {"type": "TCP", "tcp": {}}, "passive": {}, "panicThreshold": 0}),
                None,
            ),
            (http(json!({"path": "/", "method": "put"})), None),
            (
                json!({"active": {"timeout": "0s"}}),
                Some("field HealthCheck.Timeout must be specified."),
            ),
            (
                json!({"active": {"interval": "0s"}}),
                Some("field HealthCheck.Interval must be specified."),
            ),
            (
                json!({"active": {"interval": "x"}}),
                Some("invalid HealthCheck.Interval value x."),
            ),
            (
                json!({"active": {"healthyThreshold": 0}}),
                Some("field HealthCheck.HealthyThreshold should be greater than 0."),
            ),
            (
                http(json!({})),
                Some("field HTTPHealthChecker.Path should be specified."),
            ),
            (
                http(json!({"path": "/", "method": "FOO"})),
                Some(
                    "only one of the GET, HEAD, POST, DELETE, OPTIONS, TRACE, PATCH of HTTPHealthChecker.Method could be set.",
                ),
            ),
            (
                http(json!({"path": "/", "expectedStatuses": [99]})),
                Some("HTTPStatus should be in [200,600)."),
            ),
            (
                http(json!({"path": "/", "requestBody": {"type": "Text", "text": ""}})),
                Some("one of Text, Binary fields must be set in payload."),
            ),
            (
                json!({"active": {"overrides": {}}}),
                Some("field HealthCheckOverrides.Port must be between 1 and 65535."),
            ),
            (
                json!({"passive": {"interval": "0s"}}),
                Some("field OutlierDetection.Interval must be specified."),
            ),
            (
                json!({"passive": {"baseEjectionTime": "0s"}}),
                Some("field OutlierDetection.BaseEjectionTime must be specified."),
            ),
            (
                json!({"panicThreshold": 101}),
                Some("PanicThreshold value is outside of 0-100 range."),
            ),
        ] {
            let mut found = Faults::default();
            check(&serde_json::from_value(spec.clone()).unwrap(), &mut found);
            assert_eq!(
                found.message(),
                expected.map(|text| format!("HealthCheck: {text}")),
                "{spec}"
            );
        }
    }
}
