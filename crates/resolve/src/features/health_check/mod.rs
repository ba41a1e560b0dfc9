//! `spec.healthCheck`: which endpoints are taken for healthy, by asking them (active) and by what comes back (passive).
//!
//! Scope: cluster. Unset: all are ([`plan::HealthCheck::DEFAULT`]). Invalid: intervals of 0, empty payloads, methods that
//! do not exist.

mod active;
mod passive;
mod probe;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_plan::Percent;
use weir_plan::features::health_check as plan;

pub use self::active::{
    ActiveHealthCheck, FileSink, HealthCheckLog, HealthCheckOverrides, LogSink,
};
pub use self::passive::PassiveHealthCheck;
pub use self::probe::{GrpcHealthCheck, HttpHealthCheck, Payload, TcpHealthCheck};
use super::Faults;
use crate::api::scalar::DurationText;

const FEATURE: &str = "HealthCheck";

/// Which endpoints are taken for healthy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// The gateway asks the endpoints.
    pub active: Option<ActiveHealthCheck>,
    /// The gateway watches what comes back.
    pub passive: Option<PassiveHealthCheck>,
    /// The share of healthy endpoints, in percent, below which all are used; 0: never. Default 50.
    pub panic_threshold: Option<u32>,
}

pub(crate) fn lower(spec: Option<&HealthCheck>, found: &mut Faults) -> plan::HealthCheck {
    let unset = plan::HealthCheck::DEFAULT;
    let Some(HealthCheck {
        active,
        passive,
        panic_threshold,
    }) = spec
    else {
        return unset;
    };
    let panic_threshold = panic_threshold.and_then(|percent| {
        let threshold = u8::try_from(percent).ok().filter(|it| *it <= 100);
        if threshold.is_none() {
            let text = "PanicThreshold value is outside of 0-100 range";
            found.add(FEATURE, "healthCheck.panicThreshold", text);
        }
        threshold.map(Percent)
    });
    let active = active.as_ref().and_then(|it| active::lower(it, found));
    let passive = passive.as_ref().and_then(|it| passive::lower(it, found));
    plan::HealthCheck {
        active,
        passive,
        panic_threshold: panic_threshold.unwrap_or(unset.panic_threshold),
    }
}

/// Parses a duration of more than 0. What is no duration is left out; `then` tells what applies.
fn positive(
    found: &mut Faults,
    at: &str,
    field: &str,
    name: &str,
    text: Option<&DurationText>,
    then: &str,
) -> Option<Duration> {
    let at = format!("{at}.{field}");
    let time = found.duration_or_default(FEATURE, &at, text, then)?;
    if time.is_zero() {
        found.add(FEATURE, at, format!("field {name} must be specified"));
    }
    (!time.is_zero()).then_some(time)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lowered(spec: &serde_json::Value) -> (plan::HealthCheck, Option<String>) {
        let spec = serde_json::from_value(spec.clone()).unwrap();
        let mut found = Faults::default();
        (lower(Some(&spec), &mut found), found.message())
    }

    #[test]
    fn what_is_absent_keeps_its_default() {
        let unset = plan::HealthCheck::DEFAULT;
        assert_eq!(lower(None, &mut Faults::default()), unset);
        assert_eq!(lowered(&json!({})), (unset.clone(), None));
        for percent in [0, 50, 100] {
            let expected = plan::HealthCheck {
                panic_threshold: Percent(percent),
                ..unset.clone()
            };
            assert_eq!(lowered(&json!({"panicThreshold": percent})).0, expected);
        }
    }

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
                json!({"active": {"interval": "1s"}}),
                Some("type \"\" is no kind of health check, use HTTP, TCP or GRPC."),
            ),
            (
                json!({"active": {"type": "TCP", "tcp": {}, "healthCheckLog": {"matches": ["Fail"]}}}),
                Some("unsupported HealthCheckLog match Fail."),
            ),
            (
                json!({"passive": {"maxEjectionPercent": 101}}),
                Some(
                    "OutlierDetection.MaxEjectionPercent value 101 is out of range, must be between 0 and 100.",
                ),
            ),
            (
                json!({"panicThreshold": 101}),
                Some("PanicThreshold value is outside of 0-100 range."),
            ),
        ] {
            assert_eq!(
                lowered(&spec).1,
                expected.map(|text| format!("HealthCheck: {text}")),
                "{spec}"
            );
        }
    }
}
