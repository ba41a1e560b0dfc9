//! `spec.requestBuffer`: whole requests are held before they are forwarded.
//!
//! Scope: route. Unset: they are not. Invalid: no limit, or one out of range, or together with `httpUpgrade`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_plan::features::request_buffer as plan;

use super::Faults;
use crate::api::scalar::Quantity;

const FEATURE: &str = "RequestBuffer";

/// Whole requests are held before they are forwarded; larger ones get a 413.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RequestBuffer {
    /// The most bytes of a body; more than 0.
    pub limit: Option<Quantity>,
}

pub(crate) fn lower(
    spec: Option<&RequestBuffer>,
    found: &mut Faults,
) -> Option<plan::RequestBuffer> {
    let RequestBuffer { limit } = spec?;
    let value = limit.as_ref().map(|it| it.value());
    let text = match (limit, value) {
        (None, _) | (_, None | Some(Some(0))) => "limit must be greater than 0".to_owned(),
        (Some(_), Some(None)) => "limit must be convertible to an int64".to_owned(),
        (Some(limit), Some(Some(value))) => match u32::try_from(value) {
            Ok(limit) => return Some(plan::RequestBuffer { limit }),
            Err(_) => {
                format!("limit value {limit} is out of range, must be between 0 and 4294967295")
            }
        },
    };
    found.add(FEATURE, "requestBuffer.limit", text);
    None
}

/// A request cannot be held and upgraded. Admission refuses both in one policy; a merge can bring them together.
pub(crate) fn check_clash(found: &mut Faults) {
    found.add(
        FEATURE,
        "requestBuffer",
        "requestBuffer cannot be used together with httpUpgrade",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        for (limit, expected) in [
            (Some("4Mi"), None),
            (
                Some("5000Mi"),
                Some("limit value 5000Mi is out of range, must be between 0 and 4294967295."),
            ),
            (Some("100E"), Some("limit must be convertible to an int64.")),
            (Some("0"), Some("limit must be greater than 0.")),
            (None, Some("limit must be greater than 0.")),
        ] {
            let mut found = Faults::default();
            let spec = RequestBuffer {
                limit: limit.map(|text| Quantity::Text(text.to_owned())),
            };
            let lowered = lower(Some(&spec), &mut found);
            assert_eq!(
                lowered.map(|it| it.limit),
                expected.is_none().then_some(4 << 20)
            );
            assert_eq!(
                found.message(),
                expected.map(|text| format!("RequestBuffer: {text}"))
            );
        }
    }
}
