//! `spec.telemetry`: traces and metrics of a route.
//!
//! Scope: route. Unset: the gateway's own. Invalid: operators that do not exist, tags without the value of their
//! type, shares over 1.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_plan::PerMillion;
use weir_plan::features::telemetry::{self as plan, RouteStatName, SpanNames, Tag};

use super::Faults;
use crate::api::scalar::Fraction;
use crate::diagnostics::FieldPath;
use crate::operators;

const FEATURE: &str = "Telemetry";
const OPERATORS: [&str; 4] = [
    "%ROUTE_NAME%",
    "%ROUTE_NAMESPACE%",
    "%ROUTE_KIND%",
    "%ROUTE_RULE_NAME%",
];

/// Traces and metrics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Telemetry {
    /// Traces.
    pub tracing: Option<Tracing>,
    /// Metrics.
    pub metrics: Option<Metrics>,
}

/// Traces.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LiteralTag {
    /// The text.
    #[serde(default)]
    pub value: String,
}

/// The value of something that has a name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamedTag {
    /// The name.
    #[serde(default)]
    pub name: String,
    /// What stands in where there is no such thing.
    pub default_value: Option<String>,
}

/// The names of spans.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SpanName {
    /// Towards the backend.
    pub client: Option<String>,
    /// From the client.
    pub server: Option<String>,
}

/// Metrics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// The name under which the route is counted; `%ROUTE_NAME%`, `%ROUTE_NAMESPACE%`, `%ROUTE_KIND%` and
    /// `%ROUTE_RULE_NAME%` are replaced. Default: it is not.
    pub route_stat_name: Option<String>,
}

pub(crate) fn lower(spec: Option<&Telemetry>, found: &mut Faults) -> plan::Telemetry {
    let Some(Telemetry { tracing, metrics }) = spec else {
        return plan::Telemetry::DEFAULT;
    };
    let name = metrics
        .as_ref()
        .and_then(|Metrics { route_stat_name }| route_stat_name.as_deref());
    if let Some(name) = name {
        check_stat_name(name, found);
    }
    plan::Telemetry {
        route_stat_name: name.map(|it| RouteStatName(it.into())),
        tracing: tracing.as_ref().map(|it| lower_tracing(it, found)),
    }
}

fn lower_tracing(tracing: &Tracing, found: &mut Faults) -> plan::Tracing {
    let Tracing {
        sampling_fraction,
        client_sampling_fraction,
        overall_sampling_fraction,
        custom_tags,
        tags,
        span_name,
    } = tracing;
    let mut share = |field: &str, name: &str, fraction: &Option<Fraction>| {
        let fraction = fraction.as_ref()?;
        let share = fraction.per_million().map(PerMillion);
        if share.is_none() {
            let text = format!("{name} must be a part of a whole");
            found.add(FEATURE, format!("telemetry.tracing.{field}"), text);
        }
        share
    };
    let sampling = share("samplingFraction", "SamplingFraction", sampling_fraction);
    let client_sampling = share(
        "clientSamplingFraction",
        "ClientSamplingFraction",
        client_sampling_fraction,
    );
    let overall_sampling = share(
        "overallSamplingFraction",
        "OverallSamplingFraction",
        overall_sampling_fraction,
    );
    let mut all: BTreeMap<Arc<str>, Tag> = BTreeMap::new();
    for (name, tag) in custom_tags.iter().flatten() {
        if let Some(tag) = lower_custom_tag(name, tag, found) {
            all.insert(name.as_str().into(), tag);
        }
    }
    for (name, format) in tags.iter().flatten() {
        let field = FieldPath::new("telemetry.tracing.tags").child(name);
        let format = checked(format, field.as_str(), &format!("tag {name}"), found);
        all.insert(name.as_str().into(), Tag::Format(format));
    }
    let span_names = span_name.as_ref().and_then(|SpanName { client, server }| {
        let mut name = |field: &str, text: &Option<String>| {
            let field = format!("telemetry.tracing.spanName.{field}");
            Some(checked(text.as_deref()?, &field, "SpanName", found))
        };
        let (client, server) = (name("client", client), name("server", server));
        Some(SpanNames {
            client: client?,
            server: server?,
        })
    });
    plan::Tracing {
        sampling: sampling.unwrap_or(plan::Tracing::DEFAULT_SAMPLING),
        client_sampling: client_sampling.unwrap_or(plan::Tracing::DEFAULT_CLIENT_SAMPLING),
        overall_sampling: overall_sampling.unwrap_or(plan::Tracing::DEFAULT_OVERALL_SAMPLING),
        tags: all,
        span_names,
    }
}

fn checked(format: &str, field: &str, what: &str, found: &mut Faults) -> Arc<str> {
    if let Err(why) = operators::check(format) {
        found.add(FEATURE, field, format!("invalid {what}: {why}"));
    }
    format.into()
}

fn lower_custom_tag(name: &str, tag: &CustomTag, found: &mut Faults) -> Option<Tag> {
    let CustomTag {
        r#type,
        literal,
        environment,
        request_header,
    } = tag;
    let shared = |it: &NamedTag| {
        (
            it.name.as_str().into(),
            it.default_value.as_deref().map(Into::into),
        )
    };
    let lowered = match r#type.as_deref() {
        None | Some("Literal") => literal
            .as_ref()
            .map(|LiteralTag { value }| Tag::Literal(value.as_str().into())),
        Some("Environment") => environment
            .as_ref()
            .map(shared)
            .map(|(name, default)| Tag::Environment { name, default }),
        Some("RequestHeader") => request_header
            .as_ref()
            .map(shared)
            .map(|(name, default)| Tag::RequestHeader { name, default }),
        Some(_) => None,
    };
    if lowered.is_none() {
        let text = format!(
            "custom tag {name} has no value of its type {}",
            r#type.as_deref().unwrap_or("Literal")
        );
        found.add(
            FEATURE,
            FieldPath::new("telemetry.tracing.customTags")
                .child(name)
                .as_str(),
            text,
        );
    }
    lowered
}

fn check_stat_name(name: &str, found: &mut Faults) {
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
    use serde_json::json;

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
            let spec = Telemetry {
                tracing: None,
                metrics,
            };
            let lowered = lower(Some(&spec), &mut found);
            assert_eq!(lowered.route_stat_name, Some(RouteStatName(name.into())));
            let expected = expected
                .map(|text| format!("Telemetry: unable to configure Route Stat Name: {text}"));
            assert_eq!(found.message(), expected, "{name}");
        }
    }

    fn traced(tracing: &serde_json::Value) -> (Option<plan::Tracing>, Option<String>) {
        let spec = serde_json::from_value(json!({"tracing": tracing})).unwrap();
        let mut found = Faults::default();
        (lower(Some(&spec), &mut found).tracing, found.message())
    }

    #[test]
    fn what_is_not_written_of_tracing_is_envoys() {
        let expected = plan::Tracing {
            sampling: PerMillion::ALWAYS,
            client_sampling: PerMillion(0),
            overall_sampling: PerMillion::ALWAYS,
            tags: BTreeMap::new(),
            span_names: None,
        };
        assert_eq!(traced(&json!({})), (Some(expected), None));
        assert_eq!(
            lower(None, &mut Faults::default()),
            plan::Telemetry::DEFAULT
        );
    }

    #[test]
    fn what_is_written_of_tracing_counts() {
        let (tracing, fault) = traced(&json!({
            "samplingFraction": {"numerator": 1}, "clientSamplingFraction": {"numerator": 1, "denominator": 4},
            "overallSamplingFraction": {"numerator": 1, "denominator": 2},
            "customTags": {
                "both": {"literal": {"value": "lost"}}, "a": {"literal": {"value": "x"}},
                "b": {"type": "Environment", "environment": {"name": "POD", "defaultValue": "-"}},
                "c": {"type": "RequestHeader", "requestHeader": {"name": "X-Id"}},
            },
            "tags": {"both": "%REQ(X-Id)%"},
            "spanName": {"client": "%UPSTREAM_CLUSTER%", "server": "s"},
        }));
        assert_eq!(fault, None);
        let expected = plan::Tracing {
            sampling: PerMillion(10_000),
            client_sampling: PerMillion(250_000),
            overall_sampling: PerMillion(500_000),
            tags: BTreeMap::from([
                ("both".into(), Tag::Format("%REQ(X-Id)%".into())),
                ("a".into(), Tag::Literal("x".into())),
                (
                    "b".into(),
                    Tag::Environment {
                        name: "POD".into(),
                        default: Some("-".into()),
                    },
                ),
                (
                    "c".into(),
                    Tag::RequestHeader {
                        name: "X-Id".into(),
                        default: None,
                    },
                ),
            ]),
            span_names: Some(SpanNames {
                client: "%UPSTREAM_CLUSTER%".into(),
                server: "s".into(),
            }),
        };
        assert_eq!(tracing, Some(expected));
    }

    #[test]
    fn faults_of_tracing() {
        for (tracing, expected) in [
            (
                json!({"samplingFraction": {"numerator": 2, "denominator": 1}}),
                "SamplingFraction must be a part of a whole.",
            ),
            (
                json!({"tags": {"a": "%NOPE%"}}),
                "invalid tag a: there is no operator NOPE.",
            ),
            (
                json!({"spanName": {"client": "%REQ%", "server": "s"}}),
                "invalid SpanName: operator REQ needs something in parentheses.",
            ),
            (
                json!({"customTags": {"a": {"type": "Environment"}}}),
                "custom tag a has no value of its type Environment.",
            ),
        ] {
            let (_, fault) = traced(&tracing);
            assert_eq!(fault, Some(format!("Telemetry: {expected}")), "{tracing}");
        }
    }
}
