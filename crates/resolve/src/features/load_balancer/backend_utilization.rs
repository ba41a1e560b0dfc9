//! `spec.loadBalancer.backendUtilization`: weights from what endpoints report about themselves.
//!
//! Periods of 0 are read as not written, as in the reference.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_plan::features::load_balancer as plan;

use super::{FEATURE, Faults};
use crate::api::scalar::{DurationText, duration_error};

/// Weights from what endpoints report about themselves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackendUtilization {
    /// How long reports must come before they count. Default 10s.
    pub blackout_period: Option<DurationText>,
    /// How long a weight lasts without a report. Default 3m.
    pub weight_expiration_period: Option<DurationText>,
    /// How often weights are computed. Default 1s.
    pub weight_update_period: Option<DurationText>,
    /// How much errors count, in percent. Default 100.
    pub error_utilization_penalty_percent: Option<u32>,
    /// Which metrics are read, before the utilization of application and CPU.
    pub metric_names_for_computing_utilization: Option<Vec<String>>,
    /// Whether report headers stay in the response. Default false.
    pub keep_response_headers: Option<bool>,
    /// Reports that are asked for, beside those in responses.
    pub out_of_band: Option<OutOfBand>,
}

/// Reports that are asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutOfBand {
    /// How often. Default 10s.
    pub reporting_period: Option<DurationText>,
    /// At which port. Default: the endpoint's.
    pub port: Option<i32>,
    /// Under which authority. Default: the endpoint's host name or address.
    pub authority: Option<String>,
}

pub(super) fn lower(
    spec: Option<&BackendUtilization>,
    found: &mut Faults,
) -> plan::BackendUtilization {
    let unset = plan::BackendUtilization::DEFAULT;
    let Some(BackendUtilization {
        blackout_period,
        weight_expiration_period,
        weight_update_period,
        error_utilization_penalty_percent,
        metric_names_for_computing_utilization,
        keep_response_headers,
        out_of_band,
    }) = spec
    else {
        return unset;
    };
    let blackout_period = period("blackoutPeriod", "BlackoutPeriod", blackout_period, found);
    let weight_expiration_period = period(
        "weightExpirationPeriod",
        "WeightExpirationPeriod",
        weight_expiration_period,
        found,
    );
    let weight_update_period = period(
        "weightUpdatePeriod",
        "WeightUpdatePeriod",
        weight_update_period,
        found,
    );
    let metric_names = metric_names_for_computing_utilization.iter().flatten();
    plan::BackendUtilization {
        blackout_period: blackout_period.unwrap_or(unset.blackout_period),
        weight_expiration_period: weight_expiration_period
            .unwrap_or(unset.weight_expiration_period),
        weight_update_period: weight_update_period
            .unwrap_or(unset.weight_update_period)
            .max(plan::BackendUtilization::MIN_UPDATE_PERIOD),
        error_utilization_penalty_percent: error_utilization_penalty_percent
            .unwrap_or(unset.error_utilization_penalty_percent),
        metric_names: metric_names.map(|name| name.as_str().into()).collect(),
        keep_response_headers: *keep_response_headers == Some(true),
        out_of_band: out_of_band.as_ref().map(|it| lower_out_of_band(it, found)),
        slow_start: unset.slow_start,
    }
}

fn period(
    field: &str,
    name: &str,
    text: &Option<DurationText>,
    found: &mut Faults,
) -> Option<Duration> {
    let field = format!("loadBalancer.backendUtilization.{field}");
    let text = text.as_ref()?;
    let period = text.parse();
    if period.is_none() {
        let why = duration_error(&text.0);
        found.add(
            FEATURE,
            field,
            format!("invalid {name} value {text}: {why}"),
        );
    }
    period.filter(|it| !it.is_zero())
}

fn lower_out_of_band(
    OutOfBand {
        reporting_period,
        port,
        authority,
    }: &OutOfBand,
    found: &mut Faults,
) -> plan::OutOfBand {
    let unset = plan::OutOfBand::DEFAULT;
    let reporting_period = period(
        "outOfBand.reportingPeriod",
        "OutOfBand ReportingPeriod",
        reporting_period,
        found,
    );
    let number = port
        .and_then(|port| u16::try_from(port).ok())
        .filter(|port| *port > 0);
    if let (None, Some(port)) = (number, port) {
        let field = "loadBalancer.backendUtilization.outOfBand.port";
        let text = format!("OutOfBand Port value {port} is not between 1 and 65535");
        found.add(FEATURE, field, text);
    }
    plan::OutOfBand {
        reporting_period: reporting_period.unwrap_or(unset.reporting_period),
        port: number,
        authority: authority
            .as_deref()
            .filter(|authority| !authority.is_empty())
            .map(Into::into),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn lowered(spec: &Value) -> (plan::BackendUtilization, Option<String>) {
        let (spec, mut found) = (
            serde_json::from_value(spec.clone()).unwrap(),
            Faults::default(),
        );
        (lower(Some(&spec), &mut found), found.message())
    }

    #[test]
    fn what_is_absent_or_0_keeps_its_default() {
        let unset = plan::BackendUtilization::DEFAULT;
        assert_eq!(lower(None, &mut Faults::default()), unset);
        for spec in [
            json!({}),
            json!({"blackoutPeriod": "0s", "weightExpirationPeriod": "0s", "weightUpdatePeriod": "0s"}),
        ] {
            assert_eq!(lowered(&spec), (unset.clone(), None), "{spec}");
        }
        let (plan, _) = lowered(&json!({"outOfBand": {}, "weightUpdatePeriod": "1ms"}));
        assert_eq!(plan.out_of_band, Some(plan::OutOfBand::DEFAULT));
        assert_eq!(plan.weight_update_period, Duration::from_millis(100));
    }

    #[test]
    fn every_field() {
        let (plan, message) = lowered(&json!({
            "blackoutPeriod": "11s", "weightExpirationPeriod": "60s", "weightUpdatePeriod": "10s",
            "errorUtilizationPenaltyPercent": 150, "keepResponseHeaders": true,
            "metricNamesForComputingUtilization": ["named_metrics.foo", "cpu_utilization"],
            "outOfBand": {"reportingPeriod": "5s", "port": 9001, "authority": "orca.example.com"},
        }));
        let expected = plan::BackendUtilization {
            blackout_period: Duration::from_secs(11),
            weight_expiration_period: Duration::from_secs(60),
            weight_update_period: Duration::from_secs(10),
            error_utilization_penalty_percent: 150,
            metric_names: vec!["named_metrics.foo".into(), "cpu_utilization".into()],
            keep_response_headers: true,
            out_of_band: Some(plan::OutOfBand {
                reporting_period: Duration::from_secs(5),
                port: Some(9001),
                authority: Some("orca.example.com".into()),
            }),
            slow_start: None,
        };
        assert_eq!((plan, message), (expected, None));
    }

    #[test]
    fn faults() {
        for (spec, expected) in [
            (
                json!({"blackoutPeriod": "x"}),
                "LoadBalancer: invalid BlackoutPeriod value x: time: invalid duration \"x\".",
            ),
            (
                json!({"weightExpirationPeriod": "x"}),
                "LoadBalancer: invalid WeightExpirationPeriod value x: time: invalid duration \"x\".",
            ),
            (
                json!({"weightUpdatePeriod": "x"}),
                "LoadBalancer: invalid WeightUpdatePeriod value x: time: invalid duration \"x\".",
            ),
            (
                json!({"outOfBand": {"reportingPeriod": "x"}}),
                "LoadBalancer: invalid OutOfBand ReportingPeriod value x: time: invalid duration \"x\".",
            ),
            (
                json!({"outOfBand": {"port": 0}}),
                "LoadBalancer: OutOfBand Port value 0 is not between 1 and 65535.",
            ),
        ] {
            assert_eq!(lowered(&spec).1.as_deref(), Some(expected), "{spec}");
        }
    }
}
