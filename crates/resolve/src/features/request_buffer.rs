//! `spec.requestBuffer`: whole requests are held before they are forwarded.
//!
//! Scope: route. Unset: they are not. Invalid: no limit, or one out of range, or together with `httpUpgrade`. The plan
//! has no type for it yet.

use serde::{Deserialize, Serialize};

use super::Faults;
use crate::api::scalar::Quantity;

const FEATURE: &str = "RequestBuffer";

/// Whole requests are held before they are forwarded; larger ones get a 413.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RequestBuffer {
    /// The most bytes of a body; more than 0.
    pub limit: Option<Quantity>,
}

pub(crate) fn check(RequestBuffer { limit }: &RequestBuffer, found: &mut Faults) {
    let field = "requestBuffer.limit";
    let Some(limit) = limit else {
        return found.add(FEATURE, field, "limit must be greater than 0");
    };
    match limit.value() {
        None => found.add(FEATURE, field, "limit must be convertible to an int64"),
        Some(0) => found.add(FEATURE, field, "limit must be greater than 0"),
        Some(value) if u32::try_from(value).is_err() => {
            let text =
                format!("limit value {limit} is out of range, must be between 0 and 4294967295");
            found.add(FEATURE, field, text);
        }
        Some(_) => {}
    }
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
            check(
                &RequestBuffer {
                    limit: limit.map(|text| Quantity::Text(text.to_owned())),
                },
                &mut found,
            );
            assert_eq!(
                found.message(),
                expected.map(|text| format!("RequestBuffer: {text}"))
            );
        }
    }
}
