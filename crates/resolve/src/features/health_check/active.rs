//! `spec.healthCheck.active`: when the gateway asks the endpoints, and how often they must fail or succeed.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_plan::features::health_check as plan;

use super::probe::{self, GrpcHealthCheck, HttpHealthCheck, TcpHealthCheck};
use super::{FEATURE, Faults, positive};
use crate::api::scalar::DurationText;

/// The gateway asks the endpoints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActiveHealthCheck {
    /// `HTTP`, `TCP` or `GRPC`.
    pub r#type: Option<String>,
    /// How long an answer may take. Default 1s.
    pub timeout: Option<DurationText>,
    /// How often. Default 3s.
    pub interval: Option<DurationText>,
    /// The most that the first question waits, at random. Default 0s.
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

/// Where to ask.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HealthCheckOverrides {
    /// The port.
    pub port: Option<i32>,
}

/// A log of health checks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HealthCheckLog {
    /// Where to. Default: standard output.
    pub sinks: Option<Vec<LogSink>>,
    /// Which results. Default: all.
    pub matches: Option<Vec<String>>,
}

/// Where a log goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LogSink {
    /// `File`.
    pub r#type: Option<String>,
    /// For `File`.
    pub file: Option<FileSink>,
}

/// A file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FileSink {
    /// Its path.
    pub path: Option<String>,
}

/// None: the policy is invalid, because it does not say how to ask.
pub(super) fn lower(
    active: &ActiveHealthCheck,
    found: &mut Faults,
) -> Option<plan::ActiveHealthCheck> {
    let ActiveHealthCheck {
        r#type,
        timeout,
        interval,
        initial_jitter,
        unhealthy_threshold,
        healthy_threshold,
        http,
        tcp,
        grpc,
        overrides,
        health_check_log,
    } = active;
    let at = "healthCheck.active";
    let timeout = positive(
        found,
        at,
        "timeout",
        "HealthCheck.Timeout",
        timeout.as_ref(),
        "the default of 1s applies",
    );
    let interval = positive(
        found,
        at,
        "interval",
        "HealthCheck.Interval",
        interval.as_ref(),
        "the default of 3s applies",
    );
    let initial_jitter = found.duration_or_default(
        FEATURE,
        "healthCheck.active.initialJitter",
        initial_jitter.as_ref(),
        "there is none",
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
    let kind = r#type.as_deref().unwrap_or_default();
    let probe = match kind {
        "HTTP" => probe::of_http(http.as_ref(), found),
        "TCP" => probe::of_tcp(tcp.as_ref(), found),
        "GRPC" => Some(probe::of_grpc(grpc.as_ref())),
        _ => None,
    };
    let port = overrides.as_ref().and_then(|it| lower_port(it, found));
    let log = health_check_log.as_ref().map(|it| lower_log(it, found));
    if !["HTTP", "TCP", "GRPC"].contains(&kind) {
        let text = format!("type {kind:?} is no kind of health check, use HTTP, TCP or GRPC");
        found.add(FEATURE, format!("{at}.type"), text);
    }
    Some(plan::ActiveHealthCheck {
        probe: probe?,
        timeout: timeout.unwrap_or(plan::ActiveHealthCheck::DEFAULT_TIMEOUT),
        interval: interval.unwrap_or(plan::ActiveHealthCheck::DEFAULT_INTERVAL),
        initial_jitter: initial_jitter.unwrap_or_default(),
        unhealthy_threshold: unhealthy_threshold
            .unwrap_or(plan::ActiveHealthCheck::DEFAULT_UNHEALTHY_THRESHOLD),
        healthy_threshold: healthy_threshold
            .unwrap_or(plan::ActiveHealthCheck::DEFAULT_HEALTHY_THRESHOLD),
        port,
        log,
    })
}

fn lower_port(
    HealthCheckOverrides { port }: &HealthCheckOverrides,
    found: &mut Faults,
) -> Option<u16> {
    let number = port.and_then(|port| u16::try_from(port).ok());
    let number = number.filter(|port| *port > 0);
    if number.is_none() {
        found.add(
            FEATURE,
            "healthCheck.active.overrides.port",
            "field HealthCheckOverrides.Port must be between 1 and 65535",
        );
    }
    number
}

fn lower_log(
    HealthCheckLog { sinks, matches }: &HealthCheckLog,
    found: &mut Faults,
) -> plan::HealthCheckLog {
    let sink = sinks.iter().flatten().next();
    let path = sink.and_then(|LogSink { r#type: _, file }| {
        let FileSink { path } = file.as_ref()?;
        path.as_deref()
    });
    let mut results = BTreeSet::new();
    for (index, word) in matches.iter().flatten().enumerate() {
        match logged_result(word) {
            Some(result) => drop(results.insert(result)),
            None => found.add(
                FEATURE,
                format!("healthCheck.active.healthCheckLog.matches[{index}]"),
                format!("unsupported HealthCheckLog match {word}"),
            ),
        }
    }
    if results.is_empty() {
        results = BTreeSet::from(plan::LoggedResult::ALL);
    }
    plan::HealthCheckLog {
        path: path.unwrap_or(plan::HealthCheckLog::DEFAULT_PATH).into(),
        results,
    }
}

fn logged_result(word: &str) -> Option<plan::LoggedResult> {
    Some(match word {
        "Failure" => plan::LoggedResult::Failure,
        "FailureSeriesStart" => plan::LoggedResult::FailureSeriesStart,
        "Success" => plan::LoggedResult::Success,
        "HealthyTransition" => plan::LoggedResult::HealthyTransition,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Method;
    use serde_json::{Value, json};

    use super::*;

    fn lowered(spec: &Value) -> plan::ActiveHealthCheck {
        let spec = serde_json::from_value(spec.clone()).unwrap();
        let mut found = Faults::default();
        let plan = lower(&spec, &mut found);
        assert_eq!(found.message(), None);
        plan.expect("a valid check")
    }

    fn bytes(text: &str) -> Option<plan::Payload> {
        Some(plan::Payload(text.as_bytes().into()))
    }

    #[test]
    fn what_is_absent_keeps_its_default() {
        let expected = |probe| plan::ActiveHealthCheck {
            probe,
            timeout: Duration::from_secs(1),
            interval: Duration::from_secs(3),
            initial_jitter: Duration::ZERO,
            unhealthy_threshold: 3,
            healthy_threshold: 1,
            port: None,
            log: None,
        };
        let tcp = plan::Probe::Tcp {
            send: None,
            receive: None,
        };
        let grpc = plan::Probe::Grpc { service: "".into() };
        let http = plan::Probe::Http(plan::HttpProbe {
            host: None,
            path: "/healthz".into(),
            method: Method::GET,
            expected_statuses: BTreeSet::from([200]),
            retriable_statuses: BTreeSet::new(),
            expected_response: None,
            request_body: None,
        });
        for (spec, probe) in [
            (json!({"type": "TCP", "tcp": {}}), tcp),
            (json!({"type": "GRPC"}), grpc.clone()),
            (json!({"type": "GRPC", "grpc": {}}), grpc),
            (json!({"type": "HTTP", "http": {"path": "/healthz"}}), http),
        ] {
            assert_eq!(lowered(&spec), expected(probe), "{spec}");
        }
    }

    #[test]
    fn every_field() {
        let plan = lowered(&json!({
            "type": "HTTP", "timeout": "500ms", "interval": "5s", "initialJitter": "15s",
            "unhealthyThreshold": 4, "healthyThreshold": 2,
            "http": {
                "hostname": "foo.bar", "path": "/healthz?x=1", "method": "post",
                "expectedStatuses": [201, 200, 201], "retriableStatuses": [503, 429, 200],
                "expectedResponse": {"type": "Binary", "binary": "RXZlcnl0aGluZyBPSw=="},
                "requestBody": {"type": "Text", "text": "ping"},
            },
            "overrides": {"port": 9090},
            "healthCheckLog": {
                "sinks": [{"type": "File", "file": {"path": "/var/log/checks"}}],
                "matches": ["Failure", "HealthyTransition"],
            },
        }));
        let expected = plan::ActiveHealthCheck {
            probe: plan::Probe::Http(plan::HttpProbe {
                host: Some("foo.bar".into()),
                path: "/healthz?x=1".into(),
                method: Method::POST,
                expected_statuses: BTreeSet::from([200, 201]),
                retriable_statuses: BTreeSet::from([429, 503]),
                expected_response: bytes("Everything OK"),
                request_body: bytes("ping"),
            }),
            timeout: Duration::from_millis(500),
            interval: Duration::from_secs(5),
            initial_jitter: Duration::from_secs(15),
            unhealthy_threshold: 4,
            healthy_threshold: 2,
            port: Some(9090),
            log: Some(plan::HealthCheckLog {
                path: "/var/log/checks".into(),
                results: BTreeSet::from([
                    plan::LoggedResult::Failure,
                    plan::LoggedResult::HealthyTransition,
                ]),
            }),
        };
        assert_eq!(plan, expected);
    }

    #[test]
    fn a_log_has_all_results_unless_some_are_named() {
        let spec = json!({"type": "TCP", "tcp": {}, "healthCheckLog": {}});
        let expected = plan::HealthCheckLog {
            path: "/dev/stdout".into(),
            results: BTreeSet::from(plan::LoggedResult::ALL),
        };
        assert_eq!(lowered(&spec).log, Some(expected));
    }
}
