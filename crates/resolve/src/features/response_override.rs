//! `spec.responseOverride`: other answers in place of a backend's or the gateway's own.
//!
//! Scope: route. Unset: none. Bodies may come from ConfigMaps in the namespace of the policy that wrote the list.
//! Invalid: a missing or empty ConfigMap, a status that cannot be sent, a bad expression. The plan has no type for it yet.

use k8s_openapi::api::core::v1::ConfigMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use weir_plan::NamespacedName;

use super::Faults;

const FEATURE: &str = "ResponseOverride";
/// The key of a ConfigMap that holds the body.
const BODY_KEY: &str = "response.body";

/// An answer in place of another; the first of the list that matches counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ResponseOverride {
    /// Which answers are replaced.
    pub r#match: Option<OverrideMatch>,
    /// `All` (default), `Local` (the gateway's own) or `Backend`.
    pub source: Option<String>,
    /// What is sent instead.
    pub response: Option<OverrideResponse>,
    /// Or where the client is sent.
    pub redirect: Option<OverrideRedirect>,
}

/// Which answers are replaced; both must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OverrideMatch {
    /// One of these statuses.
    pub status_codes: Option<Vec<StatusMatch>>,
    /// All of these headers.
    pub response_headers: Option<Vec<HeaderMatch>>,
}

/// A status or a range of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatusMatch {
    /// `Value` (default) or `Range`.
    pub r#type: Option<String>,
    /// For `Value`.
    pub value: Option<i64>,
    /// For `Range`.
    pub range: Option<StatusRange>,
}

/// A range of statuses, both ends included.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatusRange {
    /// The first.
    pub start: i64,
    /// The last.
    pub end: i64,
}

/// A condition on a header of the answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HeaderMatch {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its value.
    pub value: Option<StringMatch>,
}

/// A condition on a text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StringMatch {
    /// `Exact` (default), `Prefix`, `Suffix` or `RegularExpression`.
    pub r#type: Option<String>,
    /// The text.
    #[serde(default)]
    pub value: String,
}

/// What is sent instead. What is absent stays as it was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OverrideResponse {
    /// The content type.
    pub content_type: Option<String>,
    /// The body.
    pub body: Option<OverrideBody>,
    /// The status, 200 to 599.
    pub status_code: Option<i64>,
    /// Changes of headers.
    pub header: Option<HeaderChanges>,
}

/// A body.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OverrideBody {
    /// `Inline` (default) or `ValueRef`.
    pub r#type: Option<String>,
    /// The text; `%...%` operators are replaced.
    pub inline: Option<String>,
    /// A ConfigMap; its key `response.body`, else the first key.
    pub value_ref: Option<ValueRef>,
}

/// A reference to a ConfigMap.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ValueRef {
    /// Empty.
    pub group: Option<String>,
    /// `ConfigMap`.
    pub kind: Option<String>,
    /// Its name.
    #[serde(default)]
    pub name: String,
}

/// Changes of headers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HeaderChanges {
    /// Added.
    pub add: Option<Vec<HeaderValue>>,
    /// Replaced or created.
    pub set: Option<Vec<HeaderValue>>,
    /// Removed; the API allows none.
    pub remove: Option<Vec<Value>>,
}

/// A header.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HeaderValue {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its value.
    #[serde(default)]
    pub value: String,
}

/// Where the client is sent. What is absent is taken from the request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OverrideRedirect {
    /// `http` or `https`.
    pub scheme: Option<String>,
    /// The host name.
    pub hostname: Option<String>,
    /// The path.
    pub path: Option<RedirectPath>,
    /// The port.
    pub port: Option<i32>,
    /// 301 or 302 (default).
    pub status_code: Option<i64>,
}

/// The path of a redirect.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RedirectPath {
    /// `ReplaceFullPath`.
    pub r#type: Option<String>,
    /// The path.
    pub replace_full_path: Option<String>,
    /// Not allowed here.
    pub replace_prefix_match: Option<String>,
}

/// The ConfigMaps that bodies come from, in the given namespace.
pub(crate) fn config_maps<'a>(
    overrides: &'a [ResponseOverride],
    namespace: &'a str,
) -> impl Iterator<Item = (usize, NamespacedName)> + 'a {
    overrides
        .iter()
        .enumerate()
        .filter_map(move |(index, item)| {
            let body = item.response.as_ref()?.body.as_ref()?;
            let name = (body.r#type.as_deref() == Some("ValueRef"))
                .then_some(body.value_ref.as_ref()?.name.as_str())?;
            Some((index, NamespacedName::new(namespace, name)))
        })
}

/// `namespace` is that of the policy that wrote the list; `find` looks a ConfigMap up.
pub(crate) fn check(
    overrides: &[ResponseOverride],
    namespace: &str,
    find: &dyn Fn(&NamespacedName) -> Option<bool>,
    found: &mut Faults,
) {
    for (index, name) in config_maps(overrides, namespace) {
        let text = match find(&name) {
            None => format!("can't find the referenced configmap {name}"),
            Some(false) => {
                format!("can't find the key {BODY_KEY} in the referenced configmap {name}")
            }
            Some(true) => continue,
        };
        found.add(
            FEATURE,
            format!("responseOverride[{index}].response.body.valueRef"),
            text,
        );
    }
    for (
        index,
        ResponseOverride {
            r#match,
            source: _,
            response,
            redirect: _,
        },
    ) in overrides.iter().enumerate()
    {
        let at = format!("responseOverride[{index}]");
        if let Some(status) = response.as_ref().and_then(|it| it.status_code)
            && !(200..=599).contains(&status)
        {
            found.add(
                FEATURE,
                format!("{at}.response.statusCode"),
                format!("invalid StatusCode value {status}"),
            );
        }
        for header in r#match
            .iter()
            .filter_map(|it| it.response_headers.as_ref())
            .flatten()
        {
            let pattern = header
                .value
                .as_ref()
                .filter(|it| it.r#type.as_deref() == Some("RegularExpression"));
            if let Some(StringMatch { value, .. }) = pattern
                && regex::Regex::new(value).is_err()
            {
                found.add(
                    FEATURE,
                    format!("{at}.match.responseHeaders"),
                    format!("regex {value:?} is invalid"),
                );
            }
        }
    }
}

/// Whether a ConfigMap holds anything to send.
pub(crate) fn has_body(config_map: &ConfigMap) -> bool {
    config_map
        .data
        .as_ref()
        .is_some_and(|data| !data.is_empty())
        || config_map
            .binary_data
            .as_ref()
            .is_some_and(|data| !data.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn faults() {
        let body = |name: &str| json!([{"response": {"body": {"type": "ValueRef", "valueRef": {"kind": "ConfigMap", "name": name}}}}]);
        for (spec, expected) in [
            (body("full"), None),
            (
                body("empty"),
                Some("can't find the key response.body in the referenced configmap ns/empty."),
            ),
            (
                body("none"),
                Some("can't find the referenced configmap ns/none."),
            ),
            (
                json!([{"response": {"statusCode": 600}}]),
                Some("invalid StatusCode value 600."),
            ),
            (
                json!([{"match": {"responseHeaders": [{"name": "a", "value": {"type": "RegularExpression", "value": "*"}}]}}]),
                Some("regex \"*\" is invalid."),
            ),
        ] {
            let (overrides, mut found): (Vec<ResponseOverride>, _) =
                (serde_json::from_value(spec).unwrap(), Faults::default());
            let find = |name: &NamespacedName| match &*name.name {
                "full" => Some(true),
                "empty" => Some(false),
                _ => None,
            };
            check(&overrides, "ns", &find, &mut found);
            assert_eq!(
                found.message(),
                expected.map(|text| format!("ResponseOverride: {text}"))
            );
        }
    }
}
