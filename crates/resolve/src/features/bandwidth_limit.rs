//! `spec.bandwidthLimit`: how many bytes a route lets through, in either direction.
//!
//! Scope: route. Unset: no limit. Invalid: less than 1 KiB a second.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_plan::features::bandwidth_limit as plan;

use super::Faults;
use crate::api::scalar::Quantity;

const FEATURE: &str = "BandwidthLimit";

/// How many bytes are let through; at least one direction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BandwidthLimit {
    /// Towards the backend.
    pub request: Option<RequestBandwidth>,
    /// From the backend.
    pub response: Option<ResponseBandwidth>,
}

/// The limit of requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RequestBandwidth {
    /// What is allowed.
    pub limit: Option<ByteRate>,
}

/// The limit of responses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResponseBandwidth {
    /// What is allowed.
    pub limit: Option<ByteRate>,
    /// Trailers that say how long the limit held things up. Default: none.
    pub response_trailers: Option<ResponseTrailers>,
}

/// Bytes in a unit of time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ByteRate {
    /// So many bytes, such as `10Mi`.
    pub value: Quantity,
    /// `Second`, `Minute` or `Hour`.
    pub unit: String,
}

/// Trailers that say how long the limit held things up, in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ResponseTrailers {
    /// Put in front of their names, with a dash. Default: nothing.
    pub prefix: Option<String>,
}

pub(crate) fn lower(
    spec: Option<&BandwidthLimit>,
    found: &mut Faults,
) -> Option<plan::BandwidthLimit> {
    let BandwidthLimit { request, response } = spec?;
    let request = request
        .as_ref()
        .and_then(|RequestBandwidth { limit }| rate("request", limit.as_ref()?, found));
    let response = response.as_ref().and_then(|it| lower_response(it, found));
    (request.is_some() || response.is_some()).then_some(plan::BandwidthLimit { request, response })
}

fn lower_response(
    ResponseBandwidth {
        limit,
        response_trailers,
    }: &ResponseBandwidth,
    found: &mut Faults,
) -> Option<plan::ResponseBandwidth> {
    let limit = limit.as_ref().and_then(|it| rate("response", it, found));
    let trailers = response_trailers
        .as_ref()
        .map(|ResponseTrailers { prefix }| prefix.as_deref().unwrap_or_default());
    if let Some(prefix) = trailers
        && http::HeaderName::from_bytes(format!("{prefix}-x").as_bytes()).is_err()
    {
        found.add(
            FEATURE,
            "bandwidthLimit.response.responseTrailers.prefix",
            format!("response: trailer prefix {prefix:?} is no header name"),
        );
    }
    Some(plan::ResponseBandwidth {
        limit: limit?,
        trailers: trailers.map(Into::into),
    })
}

/// A limit as Envoy counts it: in whole KiB a second, cut off below.
fn rate(
    direction: &str,
    ByteRate { value, unit }: &ByteRate,
    found: &mut Faults,
) -> Option<plan::KibibytesPerSecond> {
    let field = format!("bandwidthLimit.{direction}.limit");
    let seconds = match unit.as_str() {
        "Second" => 1,
        "Minute" => 60,
        "Hour" => 3_600,
        _ => {
            let text = format!("{direction}: invalid limit unit {unit}");
            found.add(FEATURE, field, text);
            return None;
        }
    };
    let text = match value.value() {
        None => format!("{direction} limit value must be convertible to an int64"),
        Some(bytes) if bytes < 0 => format!("{direction} limit value must be positive"),
        Some(bytes) if bytes < 1024 * seconds => format!(
            "{direction}: bandwidth limit of {bytes} bytes per {unit} is below the minimum of 1 KiB/s"
        ),
        Some(bytes) => {
            let kibibytes = u64::try_from(bytes / (seconds * 1024)).ok();
            return kibibytes.map(plan::KibibytesPerSecond);
        }
    };
    found.add(FEATURE, field, text);
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn limits_are_whole_kibibytes_a_second() {
        for (value, unit, expected) in [
            ("10Mi", "Second", 10_240),
            ("100Mi", "Minute", 1_706),
            ("3686400", "Hour", 1),
            ("7372799", "Hour", 1),
        ] {
            let spec = json!({
                "request": {"limit": {"value": value, "unit": unit}},
                "response": {"limit": {"value": value, "unit": unit}, "responseTrailers": {"prefix": "x"}},
            });
            let mut found = Faults::default();
            let lowered = lower(serde_json::from_value(spec).ok().as_ref(), &mut found);
            let limit = plan::KibibytesPerSecond(expected);
            let response = plan::ResponseBandwidth {
                limit,
                trailers: Some("x".into()),
            };
            let whole = plan::BandwidthLimit {
                request: Some(limit),
                response: Some(response),
            };
            assert_eq!(lowered, Some(whole), "{value} {unit}");
        }
        assert_eq!(lower(None, &mut Faults::default()), None);
    }

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
            lower(
                serde_json::from_value(spec.clone()).ok().as_ref(),
                &mut found,
            );
            assert_eq!(found.message().as_deref(), expected, "{spec}");
        }
    }
}
