//! `spec.admissionControl`: requests are refused at random when too few of them succeed.
//!
//! Scope: cluster. Unset: off. The plan has no type for it yet.

use serde::{Deserialize, Serialize};

use super::Faults;
use crate::api::scalar::DurationText;

/// When requests are refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SuccessCriteria {
    /// Of HTTP requests.
    pub http: Option<HttpSuccess>,
    /// Of gRPC requests.
    pub grpc: Option<GrpcSuccess>,
}

/// Successes of HTTP requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpSuccess {
    /// The statuses. Default: all below 500.
    pub status_codes: Option<Vec<i32>>,
}

/// Successes of gRPC requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcSuccess {
    /// The statuses by name, such as `Ok`. Default: those that are not the server's fault.
    pub status_codes: Option<Vec<String>>,
}

pub(crate) fn check(spec: &AdmissionControl, found: &mut Faults) {
    let window = spec.sampling_window.as_ref();
    found.duration(
        "AdmissionControl",
        "admissionControl.samplingWindow",
        "SamplingWindow",
        window,
    );
}
