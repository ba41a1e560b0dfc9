//! `spec.bandwidthLimit`: how many bytes a route lets through, in either direction.
//!
//! Scope: route. Unset: no limit. Invalid: less than 1 KiB a second. The plan has no type for it yet.

use serde::{Deserialize, Serialize};

use super::Faults;
use crate::api::scalar::Quantity;

const FEATURE: &str = "BandwidthLimit";

/// How many bytes are let through; at least one direction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BandwidthLimit {
    /// Towards the backend.
    pub request: Option<RequestBandwidth>,
    /// From the backend.
    pub response: Option<ResponseBandwidth>,
}

/// The limit of requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RequestBandwidth {
    /// What is allowed.
    pub limit: Option<ByteRate>,
}

/// The limit of responses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResponseBandwidth {
    /// What is allowed.
    pub limit: Option<ByteRate>,
    /// Trailers that say how long the limit held things up. Default: none.
    pub response_trailers: Option<ResponseTrailers>,
}

/// Bytes in a unit of time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ByteRate {
    /// So many bytes, such as `10Mi`.
    pub value: Quantity,
    /// `Second`, `Minute` or `Hour`.
    pub unit: String,
}

/// Trailers that say how long the limit held things up, in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ResponseTrailers {
    /// Put in front of their names, with a dash. Default: nothing.
    pub prefix: Option<String>,
}

pub(crate) fn check(BandwidthLimit { request, response }: &BandwidthLimit, found: &mut Faults) {
    if let Some(RequestBandwidth { limit: Some(limit) }) = request {
        check_rate("request", limit, found);
    }
    let Some(ResponseBandwidth {
        limit,
        response_trailers,
    }) = response
    else {
        return;
    };
    if let Some(limit) = limit {
        check_rate("response", limit, found);
    }
    let prefix = response_trailers
        .as_ref()
        .and_then(|it| it.prefix.as_deref())
        .unwrap_or_default();
    if http::HeaderName::from_bytes(format!("{prefix}-x").as_bytes()).is_err() {
        let field = "bandwidthLimit.response.responseTrailers.prefix";
        found.add(
            FEATURE,
            field,
            format!("response: trailer prefix {prefix:?} is no header name"),
        );
    }
}

fn check_rate(direction: &str, ByteRate { value, unit }: &ByteRate, found: &mut Faults) {
    let field = format!("bandwidthLimit.{direction}.limit");
    let seconds = match unit.as_str() {
        "Second" => 1,
        "Minute" => 60,
        "Hour" => 3_600,
        _ => {
            return found.add(
                FEATURE,
                field,
                format!("{direction}: invalid limit unit {unit}"),
            );
        }
    };
    match value.value() {
        None => found.add(
            FEATURE,
            field,
            format!("{direction} limit value must be convertible to an int64"),
        ),
        Some(bytes) if bytes < 0 => found.add(
            FEATURE,
            field,
            format!("{direction} limit value must be positive"),
        ),
        Some(bytes) if bytes < 1024 * seconds => {
            let text = format!(
                "{direction}: bandwidth limit of {bytes} bytes per {unit} is below the minimum of 1 KiB/s"
            );
            found.add(FEATURE, field, text);
        }
        Some(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn faults() {
        for (spec, expected) in [
            (
                json!({"request": {"limit": {"value": "10Mi", "unit": "Second"}}}),
                None,
            ),
            (
                json!({"request": {"limit": {"value": 1023, "unit": "Second"}}}),
                Some(
                    "BandwidthLimit: request: bandwidth limit of 1023 bytes per Second is below the minimum of 1 KiB/s.",
                ),
            ),
            (
                json!({"response": {"limit": {"value": "61439", "unit": "Minute"}}}),
                Some(
                    "BandwidthLimit: response: bandwidth limit of 61439 bytes per Minute is below the minimum of 1 KiB/s.",
                ),
            ),
            (
                json!({"response": {"limit": {"value": -1, "unit": "Hour"}}}),
                Some("BandwidthLimit: response limit value must be positive."),
            ),
            (
                json!({"response": {"limit": {"value": "100E", "unit": "Hour"}}}),
                Some("BandwidthLimit: response limit value must be convertible to an int64."),
            ),
            (
                json!({"response": {"responseTrailers": {"prefix": "a b"}}}),
                Some("BandwidthLimit: response: trailer prefix \"a b\" is no header name."),
            ),
        ] {
            let mut found = Faults::default();
            check(&serde_json::from_value(spec.clone()).unwrap(), &mut found);
            assert_eq!(found.message().as_deref(), expected, "{spec}");
        }
    }
}
