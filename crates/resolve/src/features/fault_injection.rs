//! `spec.faultInjection`: delays and failures made on purpose, to see what clients make of them.
//!
//! Scope: route. Unset: off. Invalid: a delay of 0, an abort status of 600.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_plan::PerMillion;
use weir_plan::features::fault_injection as plan;

use super::Faults;
use crate::api::scalar::DurationText;

const FEATURE: &str = "FaultInjection";

/// What is done to a share of the requests. The two draws are independent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FaultInjection {
    /// A pause before forwarding.
    pub delay: Option<Delay>,
    /// An answer in place of the backend's.
    pub abort: Option<Abort>,
}

/// A pause before forwarding.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Delay {
    /// How long; more than 0.
    pub fixed_delay: Option<DurationText>,
    /// For which share of the requests, 0 to 100. Default 100.
    pub percentage: Option<f32>,
}

/// An answer in place of the backend's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Abort {
    /// An HTTP status, 200 to 599.
    pub http_status: Option<i32>,
    /// A gRPC status, 0 to 16, instead.
    pub grpc_status: Option<i32>,
    /// For which share of the requests, 0 to 100. Default 100.
    pub percentage: Option<f32>,
}

pub(crate) fn lower(
    spec: Option<&FaultInjection>,
    found: &mut Faults,
) -> Option<plan::FaultInjection> {
    let FaultInjection { delay, abort } = spec?;
    let fixed = delay.as_ref().and_then(|it| it.fixed_delay.as_ref());
    let dropped = "nothing is injected";
    let field = "faultInjection.delay.fixedDelay";
    let parsed = found.duration_or_default(FEATURE, field, fixed, dropped);
    if fixed.is_some() && parsed.is_none() {
        return None;
    }
    let delay = delay.as_ref().and_then(|delay| lower_delay(delay, found));
    let abort = abort.as_ref().and_then(|abort| lower_abort(abort, found));
    (delay.is_some() || abort.is_some()).then_some(plan::FaultInjection { delay, abort })
}

fn lower_delay(
    Delay {
        fixed_delay,
        percentage,
    }: &Delay,
    found: &mut Faults,
) -> Option<plan::Delay> {
    let field = "faultInjection.delay.fixedDelay";
    let Some(text) = fixed_delay else {
        found.add(FEATURE, field, "delay.fixedDelay is required");
        return None;
    };
    let fixed = text.parse().filter(|it| !it.is_zero());
    if fixed.is_none() {
        found.add(FEATURE, field, format!("invalid FixedDelay value {text}"));
    }
    Some(plan::Delay {
        fixed: fixed?,
        share: share("faultInjection.delay.percentage", *percentage, found),
    })
}

fn lower_abort(abort: &Abort, found: &mut Faults) -> Option<plan::Abort> {
    let Abort {
        http_status,
        grpc_status,
        percentage,
    } = abort;
    let status = match (http_status, grpc_status) {
        // Only a merge can bring both together; the reference then takes the gRPC status.
        (_, Some(code @ 0..=16)) => plan::AbortStatus::GrpcStatus(u8::try_from(*code).ok()?),
        (_, Some(code)) => {
            found.add(
                FEATURE,
                "faultInjection.abort.grpcStatus",
                format!("invalid GrpcStatus value {code}"),
            );
            return None;
        }
        (Some(code @ 200..=599), None) => plan::AbortStatus::HttpStatus(u16::try_from(*code).ok()?),
        // The schema lets 600 through; nothing can send it.
        (Some(600), None) => {
            found.add(
                FEATURE,
                "faultInjection.abort.httpStatus",
                "invalid HTTPStatus value 600",
            );
            return None;
        }
        (Some(code), None) => {
            found.ignored(
                FEATURE,
                "faultInjection.abort.httpStatus",
                format!("{code} is no status of a response, so nothing is aborted; use 200 to 599"),
            );
            return None;
        }
        (None, None) => {
            found.ignored(
                FEATURE,
                "faultInjection.abort",
                "without httpStatus or grpcStatus nothing is aborted",
            );
            return None;
        }
    };
    Some(plan::Abort {
        status,
        share: share("faultInjection.abort.percentage", *percentage, found),
    })
}

fn share(field: &str, percentage: Option<f32>, found: &mut Faults) -> PerMillion {
    if let Some(percentage) = percentage.filter(|it| !(0.0..=100.0).contains(it)) {
        let text = format!("{percentage} is cut off: shares are between 0 and 100");
        found.ignored(FEATURE, field, text);
    }
    percentage.map_or(PerMillion::ALWAYS, PerMillion::from_percent)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;

    fn lowered(spec: Value) -> (Option<plan::FaultInjection>, Option<String>) {
        let (spec, mut found) = (serde_json::from_value(spec).unwrap(), Faults::default());
        (lower(Some(&spec), &mut found), found.message())
    }

    #[test]
    fn delay_and_abort() {
        let (plan, message) = lowered(json!({
            "delay": {"fixedDelay": "5.4s", "percentage": 80}, "abort": {"httpStatus": 500, "percentage": 0.01},
        }));
        assert_eq!(message, None);
        assert_eq!(
            plan,
            Some(plan::FaultInjection {
                delay: Some(plan::Delay {
                    fixed: Duration::from_millis(5400),
                    share: PerMillion(800_000)
                }),
                abort: Some(plan::Abort {
                    status: plan::AbortStatus::HttpStatus(500),
                    share: PerMillion(100)
                }),
            })
        );
        let abort = lowered(json!({"abort": {"grpcStatus": 14}}))
            .0
            .unwrap()
            .abort
            .unwrap();
        assert_eq!(
            abort,
            plan::Abort {
                status: plan::AbortStatus::GrpcStatus(14),
                share: PerMillion::ALWAYS
            }
        );
    }

    #[test]
    fn what_cannot_be_sent() {
        for (spec, expected) in [
            (
                json!({"delay": {"fixedDelay": "0s"}}),
                Some("FaultInjection: invalid FixedDelay value 0s."),
            ),
            (
                json!({"delay": {"fixedDelay": "soon"}, "abort": {"httpStatus": 500}}),
                None,
            ),
            (
                json!({"abort": {"httpStatus": 600}}),
                Some("FaultInjection: invalid HTTPStatus value 600."),
            ),
            (
                json!({"abort": {"grpcStatus": 17}}),
                Some("FaultInjection: invalid GrpcStatus value 17."),
            ),
            (json!({"abort": {"httpStatus": 14}}), None),
            (json!({"abort": {}}), None),
        ] {
            let (plan, message) = lowered(spec.clone());
            assert_eq!((plan, message.as_deref()), (None, expected), "{spec}");
        }
    }
}
