//! `spec.telemetry`: traces and metrics of a route.
//!
//! Scope: route. Unset: the gateway's own. Invalid: operators that do not exist in the name of a route's metrics. The
//! plan has no type for it yet.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Faults;
use crate::api::scalar::Fraction;

const FEATURE: &str = "Telemetry";
const OPERATORS: [&str; 4] = [
    "%ROUTE_NAME%",
    "%ROUTE_NAMESPACE%",
    "%ROUTE_KIND%",
    "%ROUTE_RULE_NAME%",
];

/// Traces and metrics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Telemetry {
    /// Traces.
    pub tracing: Option<Tracing>,
    /// Metrics.
    pub metrics: Option<Metrics>,
}

/// Traces.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tracing {
    /// The share that is traced at random. Default: all.
    pub sampling_fraction: Option<Fraction>,
    /// The share of what clients ask to be traced. Default: none.
    pub client_sampling_fraction: Option<Fraction>,
    /// The largest share in all. Default: all.
    pub overall_sampling_fraction: Option<Fraction>,
    /// Deprecated: tags by name.
    pub custom_tags: Option<BTreeMap<String, CustomTag>>,
    /// Tags by name; `%...%` operators are replaced.
    pub tags: Option<BTreeMap<String, String>>,
    /// The names of spans; `%...%` operators are replaced.
    pub span_name: Option<SpanName>,
}

/// Deprecated: a tag.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CustomTag {
    /// `Literal` (default), `Environment` or `RequestHeader`.
    pub r#type: Option<String>,
    /// For `Literal`.
    pub literal: Option<LiteralTag>,
    /// For `Environment`.
    pub environment: Option<NamedTag>,
    /// For `RequestHeader`.
    pub request_header: Option<NamedTag>,
}

/// A fixed text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LiteralTag {
    /// The text.
    #[serde(default)]
    pub value: String,
}

/// The value of something that has a name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NamedTag {
    /// The name.
    #[serde(default)]
    pub name: String,
    /// What stands in where there is no such thing.
    pub default_value: Option<String>,
}

/// The names of spans.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SpanName {
    /// Towards the backend.
    pub client: Option<String>,
    /// From the client.
    pub server: Option<String>,
}

/// Metrics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// The name under which the route is counted; `%ROUTE_NAME%`, `%ROUTE_NAMESPACE%`, `%ROUTE_KIND%` and
    /// `%ROUTE_RULE_NAME%` are replaced. Default: it is not.
    pub route_stat_name: Option<String>,
}

pub(crate) fn check(
    Telemetry {
        tracing: _,
        metrics,
    }: &Telemetry,
    found: &mut Faults,
) {
    let Some(name) = metrics
        .as_ref()
        .and_then(|it| it.route_stat_name.as_deref())
    else {
        return;
    };
    let mut rest = OPERATORS
        .iter()
        .fold(name.to_owned(), |rest, operator| rest.replace(operator, ""));
    let mut unsupported = Vec::new();
    while let Some((before, operator, after)) = next_operator(&rest) {
        unsupported.push(operator.to_owned());
        rest = format!("{before}{after}");
    }
    let text = if !unsupported.is_empty() {
        format!(
            "unable to configure Route Stat Name: unsupported operators: [{}]",
            unsupported.join(" ")
        )
    } else if rest.contains('%') {
        "unable to configure Route Stat Name: unable to configure stat name with invalid operator"
            .to_owned()
    } else {
        return;
    };
    found.add(FEATURE, "telemetry.metrics.routeStatName", text);
}

/// The first `%...%` of a text, and what stands around it.
fn next_operator(text: &str) -> Option<(&str, &str, &str)> {
    let start = text.find('%')?;
    let length = text[start + 1..].find('%')? + 2;
    Some((
        &text[..start],
        &text[start..start + length],
        &text[start + length..],
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_metrics() {
        for (name, expected) in [
            ("plain", None),
            (
                "%ROUTE_KIND%/%ROUTE_NAMESPACE%/%ROUTE_NAME%/%ROUTE_RULE_NAME%",
                None,
            ),
            (
                "%ROUTE_NAME%-%FOO%%BAR%",
                Some("unsupported operators: [%FOO% %BAR%]."),
            ),
            (
                "100%",
                Some("unable to configure stat name with invalid operator."),
            ),
        ] {
            let mut found = Faults::default();
            let metrics = Some(Metrics {
                route_stat_name: Some(name.to_owned()),
            });
            check(
                &Telemetry {
                    tracing: None,
                    metrics,
                },
                &mut found,
            );
            let expected = expected
                .map(|text| format!("Telemetry: unable to configure Route Stat Name: {text}"));
            assert_eq!(found.message(), expected, "{name}");
        }
    }
}
