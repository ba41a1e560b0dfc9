//! `spec.healthCheck.passive`: endpoints that fail are left out for a while.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_plan::Percent;
use weir_plan::features::health_check as plan;

use super::{FEATURE, Faults, positive};
use crate::api::scalar::DurationText;

/// The gateway watches what comes back, and leaves out endpoints that fail.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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

/// None: endpoints are not watched.
pub(super) fn lower(
    spec: &PassiveHealthCheck,
    found: &mut Faults,
) -> Option<plan::PassiveHealthCheck> {
    let PassiveHealthCheck {
        split_external_local_origin_errors,
        interval,
        consecutive_local_origin_failures,
        consecutive_gateway_errors,
        consecutive_5xx_errors,
        base_ejection_time,
        max_ejection_percent,
        failure_percentage_threshold,
        always_eject_one_endpoint,
    } = spec;
    let unset = plan::PassiveHealthCheck::DEFAULT;
    let at = "healthCheck.passive";
    let mut read = |field: &str, name: &str, text: Option<&DurationText>| {
        positive(found, at, field, name, text, "no endpoint is left out")
    };
    let parsed = (
        read(
            "baseEjectionTime",
            "OutlierDetection.BaseEjectionTime",
            base_ejection_time.as_ref(),
        ),
        read("interval", "OutlierDetection.Interval", interval.as_ref()),
    );
    // One that is no duration takes the whole block with it, as in the reference.
    let unreadable = |text: Option<&DurationText>| text.is_some_and(|it| it.parse().is_none());
    if unreadable(base_ejection_time.as_ref()) || unreadable(interval.as_ref()) {
        return None;
    }
    let (base_ejection_time, interval) = parsed;
    let base_ejection_time = base_ejection_time.unwrap_or(unset.base_ejection_time);
    Some(plan::PassiveHealthCheck {
        interval: interval.unwrap_or(unset.interval),
        base_ejection_time,
        max_ejection_time: unset.max_ejection_time.max(base_ejection_time),
        max_ejection_percent: max_ejection(*max_ejection_percent, found)
            .unwrap_or(unset.max_ejection_percent),
        always_eject_one_endpoint: *always_eject_one_endpoint == Some(true),
        consecutive_5xx_errors: in_a_row(*consecutive_5xx_errors, unset.consecutive_5xx_errors),
        consecutive_gateway_errors: in_a_row(
            *consecutive_gateway_errors,
            unset.consecutive_gateway_errors,
        ),
        split_external_local_origin_errors: *split_external_local_origin_errors == Some(true),
        consecutive_local_origin_failures: in_a_row(
            *consecutive_local_origin_failures,
            unset.consecutive_local_origin_failures,
        ),
        failure_percentage_threshold: found.percent(
            FEATURE,
            "healthCheck.passive.failurePercentageThreshold",
            "OutlierDetection.FailurePercentageThreshold",
            *failure_percentage_threshold,
        ),
    })
}

/// Failures in a row. A count never comes to 0, so that, as in Envoy, means that they do not matter.
fn in_a_row(written: Option<u32>, unset: Option<u32>) -> Option<u32> {
    written.map_or(unset, |count| (count > 0).then_some(count))
}

fn max_ejection(percent: Option<i32>, found: &mut Faults) -> Option<Percent> {
    let (field, percent) = ("healthCheck.passive.maxEjectionPercent", percent?);
    if percent == 0 {
        // Envoy Gateway does not hand it on, and Envoy's own default takes its place.
        let text = "0 is read as the default of 10; without passive, no endpoint is left out";
        found.ignored(FEATURE, field, text);
        return None;
    }
    let share = u8::try_from(percent).ok().filter(|it| *it <= 100);
    if share.is_none() {
        let text = format!(
            "OutlierDetection.MaxEjectionPercent value {percent} is out of range, must be between 0 and 100"
        );
        found.add(FEATURE, field, text);
    }
    share.map(Percent)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;

    fn lowered(spec: Value) -> (plan::PassiveHealthCheck, Option<String>) {
        let (spec, mut found) = (serde_json::from_value(spec).unwrap(), Faults::default());
        (lower(&spec, &mut found).unwrap(), found.message())
    }

    #[test]
    fn what_is_absent_keeps_its_default() {
        let unset = plan::PassiveHealthCheck::DEFAULT;
        assert_eq!(lowered(json!({})), (unset.clone(), None));
        assert_eq!(lowered(json!({"maxEjectionPercent": 0})), (unset, None));
    }

    #[test]
    fn every_field() {
        let (plan, message) = lowered(json!({
            "splitExternalLocalOriginErrors": true, "interval": "8ms", "consecutiveLocalOriginFailures": 1,
            "consecutiveGatewayErrors": 2, "consecutive5XxErrors": 3, "baseEjectionTime": "160s",
            "maxEjectionPercent": 11, "failurePercentageThreshold": 80, "alwaysEjectOneEndpoint": true,
        }));
        let expected = plan::PassiveHealthCheck {
            interval: Duration::from_millis(8),
            base_ejection_time: Duration::from_secs(160),
            max_ejection_time: Duration::from_secs(300),
            max_ejection_percent: Percent(11),
            always_eject_one_endpoint: true,
            consecutive_5xx_errors: Some(3),
            consecutive_gateway_errors: Some(2),
            split_external_local_origin_errors: true,
            consecutive_local_origin_failures: Some(1),
            failure_percentage_threshold: Some(Percent(80)),
        };
        assert_eq!((plan, message), (expected, None));
    }

    #[test]
    fn edges() {
        let (plan, _) = lowered(
            json!({"consecutive5XxErrors": 0, "consecutiveGatewayErrors": 0,
            "consecutiveLocalOriginFailures": 0, "baseEjectionTime": "10m"}),
        );
        assert_eq!(plan.max_ejection_time, Duration::from_secs(600));
        let counts = [
            plan.consecutive_5xx_errors,
            plan.consecutive_gateway_errors,
            plan.consecutive_local_origin_failures,
        ];
        assert_eq!(counts, [None; 3]);
    }
}
