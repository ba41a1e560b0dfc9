//! `spec.responseOverride`: other answers in place of a backend's or the gateway's own.
//!
//! Scope: route. Unset: none. Bodies may come from ConfigMaps in the namespace of the policy that wrote the list.
//! Invalid: a missing or empty ConfigMap, a status or header that cannot be sent, a bad expression or operator.

use k8s_openapi::api::core::v1::ConfigMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::ops::RangeInclusive;
use weir_plan::NamespacedName;
use weir_plan::features::rate_limit::HeaderNameText;
use weir_plan::features::response_override::{
    self as plan, InternalRedirect, ReplacedBody, ReplacedResponse, Replacement, ResponseSource,
    TextMatch,
};

use super::Faults;
use crate::expression;
use crate::operators;

const FEATURE: &str = "ResponseOverride";
/// The key of a ConfigMap that holds the body.
const BODY_KEY: &str = "response.body";

/// An answer in place of another; the first of the list that matches counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OverrideMatch {
    /// One of these statuses.
    pub status_codes: Option<Vec<StatusMatch>>,
    /// All of these headers.
    pub response_headers: Option<Vec<HeaderMatch>>,
}

/// A status or a range of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StatusMatch {
    /// `Value` (default) or `Range`.
    pub r#type: Option<String>,
    /// For `Value`.
    pub value: Option<i64>,
    /// For `Range`.
    pub range: Option<StatusRange>,
}

/// A range of statuses, both ends included.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StatusRange {
    /// The first.
    pub start: i64,
    /// The last.
    pub end: i64,
}

/// A condition on a header of the answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HeaderMatch {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its value.
    pub value: Option<StringMatch>,
}

/// A condition on a text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StringMatch {
    /// `Exact` (default), `Prefix`, `Suffix` or `RegularExpression`.
    pub r#type: Option<String>,
    /// The text.
    #[serde(default)]
    pub value: String,
}

/// What is sent instead. What is absent stays as it was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HeaderChanges {
    /// Added.
    pub add: Option<Vec<HeaderValue>>,
    /// Replaced or created.
    pub set: Option<Vec<HeaderValue>>,
    /// Removed; the API allows none.
    pub remove: Option<Vec<Value>>,
}

/// A header.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HeaderValue {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its value.
    #[serde(default)]
    pub value: String,
}

/// Where the client is sent. What is absent is taken from the request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
pub(crate) fn lower<'a>(
    overrides: &[ResponseOverride],
    namespace: &str,
    find: &dyn Fn(&NamespacedName) -> Option<&'a ConfigMap>,
    found: &mut Faults,
) -> Vec<plan::ResponseOverride> {
    // What they refer to comes first in a status message.
    let mut bodies: Vec<Option<ReplacedBody>> = vec![None; overrides.len()];
    for (index, name) in config_maps(overrides, namespace) {
        match body(&name, find(&name)) {
            Ok(body) => bodies[index] = Some(body),
            Err(text) => {
                let field = format!("responseOverride[{index}].response.body.valueRef");
                found.add(FEATURE, field, text);
            }
        }
    }
    overrides
        .iter()
        .zip(bodies)
        .enumerate()
        .map(|(index, (item, body))| {
            lower_one(item, body, &format!("responseOverride[{index}]"), found)
        })
        .collect()
}

fn lower_one(
    item: &ResponseOverride,
    body: Option<ReplacedBody>,
    at: &str,
    found: &mut Faults,
) -> plan::ResponseOverride {
    let ResponseOverride {
        r#match,
        source,
        response,
        redirect,
    } = item;
    let OverrideMatch {
        status_codes,
        response_headers,
    } = r#match.clone().unwrap_or_default();
    let headers = response_headers.unwrap_or_default();
    let headers = headers.iter().enumerate().filter_map(|(index, it)| {
        lower_header_match(it, &format!("{at}.match.responseHeaders[{index}]"), found)
    });
    let headers = headers.collect();
    let with = match redirect {
        Some(redirect) => Replacement::Redirect(lower_redirect(redirect, at, found)),
        None => {
            let response = response.clone().unwrap_or_default();
            Replacement::Response(lower_response(&response, body, at, found))
        }
    };
    plan::ResponseOverride {
        statuses: status_codes.iter().flatten().map(statuses).collect(),
        headers,
        source: match source.as_deref() {
            Some("Local") => ResponseSource::Local,
            Some("Backend") => ResponseSource::Backend,
            Some(_) | None => ResponseSource::All,
        },
        with,
    }
}

/// What no status can be stays a range that holds none.
fn statuses(
    StatusMatch {
        r#type: _,
        value,
        range,
    }: &StatusMatch,
) -> RangeInclusive<u16> {
    let bounded = |it: i64| u16::try_from(it.max(0)).unwrap_or(u16::MAX);
    match (value, range) {
        (_, Some(StatusRange { start, end })) => bounded(*start)..=bounded(*end),
        (Some(value), None) => bounded(*value)..=bounded(*value),
        (None, None) => 0..=0,
    }
}

fn lower_header_match(
    HeaderMatch { name, value }: &HeaderMatch,
    at: &str,
    found: &mut Faults,
) -> Option<plan::ResponseHeaderMatch> {
    let StringMatch { r#type, value } = value.clone().unwrap_or_default();
    let value = match r#type.as_deref() {
        None | Some("Exact") => TextMatch::Exact(value.into()),
        Some("Prefix") => TextMatch::Prefix(value.into()),
        Some("Suffix") => TextMatch::Suffix(value.into()),
        Some("RegularExpression") => {
            if let Err(why) = expression::groups(&value) {
                let field = format!("{at}.value.value");
                let text = format!("regex {value:?} is invalid: error parsing regexp: {why}");
                found.add(FEATURE, field, text);
            }
            TextMatch::Regex(value.into())
        }
        Some(other) => {
            let field = format!("{at}.value.type");
            found.add(FEATURE, field, format!("invalid match type {other}"));
            return None;
        }
    };
    let name = header_name(name, &format!("{at}.name"), found)?;
    Some(plan::ResponseHeaderMatch {
        name: HeaderNameText(name),
        value,
    })
}

fn lower_response(
    response: &OverrideResponse,
    config_map: Option<ReplacedBody>,
    at: &str,
    found: &mut Faults,
) -> ReplacedResponse {
    let OverrideResponse {
        content_type,
        body,
        status_code,
        header,
    } = response;
    let status = status_code.and_then(|status| {
        let valid = u16::try_from(status)
            .ok()
            .filter(|it| (200..=599).contains(it));
        if valid.is_none() {
            let field = format!("{at}.response.statusCode");
            found.add(FEATURE, field, format!("invalid StatusCode value {status}"));
        }
        valid
    });
    let inline = body.as_ref().and_then(|it| it.inline.as_deref());
    if let Some(Err(why)) = inline.map(operators::check) {
        let field = format!("{at}.response.body.inline");
        found.add(FEATURE, field, format!("invalid Body: {why}"));
    }
    let inline = inline.map(|text| ReplacedBody(text.as_bytes().into()));
    let HeaderChanges {
        add,
        set,
        remove: _,
    } = header.clone().unwrap_or_default();
    let mut headers = |field: &str, list: Option<Vec<HeaderValue>>| {
        let list = list.unwrap_or_default();
        let headers = list.iter().enumerate().filter_map(|(index, header)| {
            let at = format!("{at}.response.header.{field}[{index}]");
            lower_header(header, &at, found)
        });
        headers.collect()
    };
    ReplacedResponse {
        status,
        content_type: content_type.as_deref().map(Into::into),
        body: config_map.or(inline),
        headers: weir_plan::HeaderChanges {
            set: headers("set", set),
            add: headers("add", add),
            remove: Vec::new(),
        },
    }
}

fn lower_header(
    HeaderValue { name, value }: &HeaderValue,
    at: &str,
    found: &mut Faults,
) -> Option<(http::HeaderName, http::HeaderValue)> {
    if let Err(why) = operators::check(value) {
        let field = format!("{at}.value");
        found.add(
            FEATURE,
            field,
            format!("invalid value of header {name}: {why}"),
        );
    }
    let read = http::HeaderValue::from_str(value).ok();
    if read.is_none() {
        let text = format!("the value of header {name} cannot be sent");
        found.add(FEATURE, format!("{at}.value"), text);
    }
    let name = header_name(name, &format!("{at}.name"), found);
    Some((name?, read?))
}

fn header_name(name: &str, field: &str, found: &mut Faults) -> Option<http::HeaderName> {
    let read = http::HeaderName::from_bytes(name.as_bytes()).ok();
    if read.is_none() {
        found.add(FEATURE, field, format!("{name:?} is no name of a header"));
    }
    read
}

fn lower_redirect(redirect: &OverrideRedirect, at: &str, found: &mut Faults) -> InternalRedirect {
    let OverrideRedirect {
        scheme,
        hostname,
        path,
        port,
        status_code,
    } = redirect;
    let mut number = |field: &str, name: &str, value: Option<i64>, most: u16| {
        let value = value?;
        let fits = u16::try_from(value)
            .ok()
            .filter(|it| (1..=most).contains(it));
        if fits.is_none() {
            let field = format!("{at}.redirect.{field}");
            found.add(FEATURE, field, format!("invalid {name} value {value}"));
        }
        fits
    };
    InternalRedirect {
        scheme: scheme.as_deref().map(Into::into),
        hostname: hostname.as_deref().map(Into::into),
        path: path
            .as_ref()
            .and_then(|it| it.replace_full_path.as_deref())
            .map(Into::into),
        port: number("port", "Port", port.map(i64::from), u16::MAX),
        status: number("statusCode", "StatusCode", *status_code, 599)
            .unwrap_or(InternalRedirect::DEFAULT_STATUS),
    }
}

/// The body that the ConfigMap `name` holds.
///
/// # Errors
/// It is not there, or holds nothing.
pub(crate) fn body(
    name: &NamespacedName,
    config_map: Option<&ConfigMap>,
) -> Result<ReplacedBody, String> {
    match config_map.map(body_of) {
        Some(Some(body)) => Ok(body),
        None => Err(format!("can't find the referenced configmap {name}")),
        Some(None) => Err(format!(
            "can't find the key {BODY_KEY} in the referenced configmap {name}"
        )),
    }
}

/// What a ConfigMap holds to send: the key `response.body`, else the first key, of text before bytes.
fn body_of(config_map: &ConfigMap) -> Option<ReplacedBody> {
    let data = config_map.data.iter().flatten();
    let binary = config_map.binary_data.iter().flatten();
    let values: Vec<(&str, &[u8])> = data
        .map(|(key, value)| (key.as_str(), value.as_bytes()))
        .chain(binary.map(|(key, value)| (key.as_str(), value.0.as_slice())))
        .collect();
    let named = values.iter().find(|(key, _)| *key == BODY_KEY);
    let (_, body) = named.or(values.first())?;
    Some(ReplacedBody((*body).into()))
}

#[cfg(test)]
mod tests;
