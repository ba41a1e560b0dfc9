//! `spec.admissionControl`: requests are refused at random when too few of them succeed.
//!
//! Scope: cluster. Unset: off. Invalid: shares over 100, a window under a second, names that are no statuses.

use std::collections::BTreeSet;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_plan::Percent;
use weir_plan::features::admission_control::{self as plan, HttpSuccess as HttpSuccessPlan};

use super::Faults;
use crate::admission::GRPC_STATUSES;
use crate::api::scalar::DurationText;

/// When requests are refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdmissionControl {
    /// The time over which successes are counted, in whole seconds. Default 30s.
    pub sampling_window: Option<DurationText>,
    /// The success rate in percent from which on nothing is refused. Default 95.
    pub min_success_rate: Option<u32>,
    /// How steeply refusals grow: 1 (default) is linear, more is steeper.
    pub rejection_aggression: Option<u32>,
    /// Requests a second below which nothing is refused. Default 0.
    pub min_request_rate: Option<u32>,
    /// The largest share that is refused, in percent. Default 80.
    pub max_rejection_percent: Option<u32>,
    /// What counts as a success.
    pub success_criteria: Option<SuccessCriteria>,
}

/// What counts as a success.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SuccessCriteria {
    /// Of HTTP requests.
    pub http: Option<HttpSuccess>,
    /// Of gRPC requests.
    pub grpc: Option<GrpcSuccess>,
}

/// Successes of HTTP requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpSuccess {
    /// The statuses. Default: all below 500.
    pub status_codes: Option<Vec<i32>>,
}

/// Successes of gRPC requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GrpcSuccess {
    /// The statuses by name, such as `Ok`. Default: those that are not the server's fault.
    pub status_codes: Option<Vec<String>>,
}

const FEATURE: &str = "AdmissionControl";

pub(crate) fn lower(
    spec: Option<&AdmissionControl>,
    found: &mut Faults,
) -> Option<plan::AdmissionControl> {
    let AdmissionControl {
        sampling_window,
        min_success_rate,
        rejection_aggression,
        min_request_rate,
        max_rejection_percent,
        success_criteria,
    } = spec?;
    let window = found.duration_or_default(
        FEATURE,
        "admissionControl.samplingWindow",
        sampling_window.as_ref(),
        "the default of 30s applies",
    );
    // Envoy counts in whole seconds.
    let window = window.map(|it| Duration::from_secs(it.as_secs()));
    if window.is_some_and(|it| it.is_zero()) {
        let text = "SamplingWindow must be at least 1s";
        found.add(FEATURE, "admissionControl.samplingWindow", text);
    }
    if *rejection_aggression == Some(0) {
        let text = "RejectionAggression must be 1 or more";
        found.add(FEATURE, "admissionControl.rejectionAggression", text);
    }
    let mut percent = |field: &str, name: &str, least: u32, value: Option<u32>| {
        let value = value?;
        let percent = u8::try_from(value)
            .ok()
            .filter(|_| (least..=100).contains(&value));
        if percent.is_none() {
            let text =
                format!("{name} value {value} is out of range, must be between {least} and 100");
            found.add(FEATURE, format!("admissionControl.{field}"), text);
        }
        percent.map(Percent)
    };
    let min_success_rate = percent("minSuccessRate", "MinSuccessRate", 1, *min_success_rate);
    let max_rejection = percent(
        "maxRejectionPercent",
        "MaxRejectionPercent",
        0,
        *max_rejection_percent,
    );
    let SuccessCriteria { http, grpc } = success_criteria.clone().unwrap_or_default();
    Some(plan::AdmissionControl {
        sampling_window: window.unwrap_or(plan::AdmissionControl::DEFAULT_SAMPLING_WINDOW),
        min_success_rate: min_success_rate
            .unwrap_or(plan::AdmissionControl::DEFAULT_MIN_SUCCESS_RATE),
        rejection_aggression: rejection_aggression
            .unwrap_or(plan::AdmissionControl::DEFAULT_REJECTION_AGGRESSION),
        min_request_rate: min_request_rate.unwrap_or(0),
        max_rejection: max_rejection.unwrap_or(plan::AdmissionControl::DEFAULT_MAX_REJECTION),
        http_success: http_success(http.unwrap_or_default(), found),
        grpc_success: grpc_success(grpc.unwrap_or_default(), found),
    })
}

/// An empty list is as good as none.
fn http_success(HttpSuccess { status_codes }: HttpSuccess, found: &mut Faults) -> HttpSuccessPlan {
    let mut statuses = BTreeSet::new();
    for (index, status) in status_codes.unwrap_or_default().into_iter().enumerate() {
        match u16::try_from(status) {
            Ok(status @ 100..=599) => drop(statuses.insert(status)),
            Ok(_) | Err(_) => found.add(
                FEATURE,
                format!("admissionControl.successCriteria.http.statusCodes[{index}]"),
                format!("invalid HTTPStatus value {status}"),
            ),
        }
    }
    if statuses.is_empty() {
        HttpSuccessPlan::BelowServerErrors
    } else {
        HttpSuccessPlan::Statuses(statuses)
    }
}

fn grpc_success(GrpcSuccess { status_codes }: GrpcSuccess, found: &mut Faults) -> BTreeSet<u8> {
    let mut statuses = BTreeSet::new();
    for (index, name) in status_codes.unwrap_or_default().iter().enumerate() {
        match (0..).zip(GRPC_STATUSES).find(|(_, it)| **it == name) {
            Some((number, _)) => drop(statuses.insert(number)),
            None => found.add(
                FEATURE,
                format!("admissionControl.successCriteria.grpc.statusCodes[{index}]"),
                format!("{name} is no status of gRPC"),
            ),
        }
    }
    if statuses.is_empty() {
        statuses.extend(plan::AdmissionControl::DEFAULT_GRPC_SUCCESS);
    }
    statuses
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lowered(spec: &serde_json::Value) -> (Option<plan::AdmissionControl>, Option<String>) {
        let mut found = Faults::default();
        let spec = serde_json::from_value(spec.clone()).unwrap();
        (lower(Some(&spec), &mut found), found.message())
    }

    #[test]
    fn what_is_not_written_is_envoys() {
        let (lowered, fault) = lowered(&json!({"successCriteria": {"http": {"statusCodes": []}}}));
        let expected = plan::AdmissionControl {
            sampling_window: Duration::from_secs(30),
            min_success_rate: Percent(95),
            rejection_aggression: 1,
            min_request_rate: 0,
            max_rejection: Percent(80),
            http_success: HttpSuccessPlan::BelowServerErrors,
            grpc_success: [0, 1, 2, 3, 5, 6, 7, 9, 11, 12, 16].into(),
        };
        assert_eq!((lowered, fault), (Some(expected), None));
        assert_eq!(lower(None, &mut Faults::default()), None);
    }

    #[test]
    fn what_is_written_counts() {
        let (lowered, fault) = lowered(
            &json!({"samplingWindow": "1m500ms", "minSuccessRate": 90, "rejectionAggression": 2,
            "minRequestRate": 10, "maxRejectionPercent": 70, "successCriteria": {
                "http": {"statusCodes": [204, 200]}, "grpc": {"statusCodes": ["Cancelled", "Ok"]}}}),
        );
        let expected = plan::AdmissionControl {
            sampling_window: Duration::from_secs(60),
            min_success_rate: Percent(90),
            rejection_aggression: 2,
            min_request_rate: 10,
            max_rejection: Percent(70),
            http_success: HttpSuccessPlan::Statuses([200, 204].into()),
            grpc_success: [0, 1].into(),
        };
        assert_eq!((lowered, fault), (Some(expected), None));
    }

    #[test]
    fn faults() {
        for (spec, expected) in [
            (
                json!({"samplingWindow": "999ms"}),
                "SamplingWindow must be at least 1s.",
            ),
            (
                json!({"rejectionAggression": 0}),
                "RejectionAggression must be 1 or more.",
            ),
            (
                json!({"minSuccessRate": 0}),
                "MinSuccessRate value 0 is out of range, must be between 1 and 100.",
            ),
            (
                json!({"maxRejectionPercent": 101}),
                "MaxRejectionPercent value 101 is out of range, must be between 0 and 100.",
            ),
            (
                json!({"successCriteria": {"http": {"statusCodes": [99]}}}),
                "invalid HTTPStatus value 99.",
            ),
            (
                json!({"successCriteria": {"grpc": {"statusCodes": ["Fine"]}}}),
                "Fine is no status of gRPC.",
            ),
        ] {
            let (_, fault) = lowered(&spec);
            assert_eq!(
                fault,
                Some(format!("AdmissionControl: {expected}")),
                "{spec}"
            );
        }
    }
}
