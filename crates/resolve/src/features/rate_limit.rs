//! `spec.rateLimit`: how many requests are let through, counted in this process (local) or in a store (global).
//!
//! Scope: route. Unset: no limit. Rules keep the name of the policy that they were written in, also where policies
//! merge. Invalid: selectors that mean nothing, and local units that do not divide.

mod selectors;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_plan::features::rate_limit::{
    DefaultBucket, FromMetadata, GlobalRateLimit, LocalRateLimit, MetadataKey, RateLimit as Plan,
    RateLimitRule, RateLimitRuleName,
};
use weir_plan::{Rate, TimeUnit};

use super::Faults;

const FEATURE: &str = "RateLimit";
/// What Envoy takes for a cost at most.
const MAX_COST: u64 = 1_000_000_000;

/// How many requests are let through. Both kinds of limits may be given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RateLimit {
    /// Deprecated: `Global` or `Local`, where only one of the two counts.
    pub r#type: Option<String>,
    /// Limits that are counted in a store, for all gateways together.
    pub global: Option<Rules>,
    /// Limits that are counted in each process.
    pub local: Option<Rules>,
}

/// The rules of one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rules {
    /// In order: 256 global ones at most, 16 local ones.
    pub rules: Option<Vec<Rule>>,
}

/// One limit, and the requests that it counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// Which requests are counted; all conditions of all entries must hold. Absent or empty: every request. A local
    /// rule without selectors counts the requests that match no other rule; there may be one.
    pub client_selectors: Option<Vec<ClientSelector>>,
    /// What is allowed.
    pub limit: Limit,
    /// What a request costs. Global rules only.
    pub cost: Option<Cost>,
    /// Whether all routes under the policy share one count. Default false. Global rules only.
    pub shared: Option<bool>,
    /// Whether requests are counted but never refused. Default false.
    pub shadow_mode: Option<bool>,
    /// `Off` or `DraftVersion03`: whether `x-ratelimit-*` headers are sent. Default: they are.
    pub x_rate_limit_headers: Option<String>,
}

/// What is allowed in a unit of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limit {
    /// So many requests; 0: none.
    pub requests: i64,
    /// `Second`, `Minute`, `Hour`, `Day`, `Week`, `Month` (30 days) or `Year` (365 days).
    pub unit: String,
    /// Metadata of the request that may name another limit. Global rules only.
    pub from_metadata: Option<Metadata>,
}

/// A key of a request's metadata.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Metadata {
    /// The metadata's namespace.
    #[serde(default)]
    pub namespace: String,
    /// The key in it.
    #[serde(default)]
    pub key: String,
}

/// What a request costs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// On arrival. Default 1; 0: it is checked, not counted.
    pub request: Option<CostSpecifier>,
    /// When its response has ended, for the requests after it. Default: nothing.
    pub response: Option<CostSpecifier>,
}

/// Where a cost comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CostSpecifier {
    /// `Number` or `Metadata`.
    pub from: Option<String>,
    /// A number, 1000000000 at most.
    pub number: Option<u64>,
    /// Metadata of the request.
    pub metadata: Option<Metadata>,
}

/// Conditions on a request; at least one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientSelector {
    /// On headers; all must hold.
    pub headers: Option<Vec<ValueMatch>>,
    /// On the method; one must hold.
    pub methods: Option<Vec<MethodSelector>>,
    /// On the path.
    pub path: Option<PathSelector>,
    /// On the client's address.
    #[serde(rename = "sourceCIDR")]
    pub source_cidr: Option<CidrSelector>,
    /// On query parameters; all must hold.
    pub query_params: Option<Vec<ValueMatch>>,
}

/// A condition on a header or query parameter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ValueMatch {
    /// `Exact` (default), `RegularExpression`, or `Distinct`: each value has a count of its own.
    pub r#type: Option<String>,
    /// The name.
    #[serde(default)]
    pub name: String,
    /// The value; none for `Distinct`.
    pub value: Option<String>,
    /// Whether the opposite is meant. Default false; not for `Distinct`.
    pub invert: Option<bool>,
}

/// A method.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MethodSelector {
    /// The method.
    #[serde(default)]
    pub value: String,
    /// Whether the others are meant. Default false.
    pub invert: Option<bool>,
}

/// A condition on the path.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PathSelector {
    /// `PathPrefix` (default), `Exact` (with the query) or `RegularExpression`.
    pub r#type: Option<String>,
    /// The path. Default `/`.
    pub value: Option<String>,
    /// Whether the opposite is meant. Default false.
    pub invert: Option<bool>,
}

/// A condition on the client's address.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CidrSelector {
    /// `Exact` (default): one count for the range. `Distinct`: one for each address in it.
    pub r#type: Option<String>,
    /// The range.
    #[serde(default)]
    pub value: String,
    /// Whether addresses outside are meant. Default false.
    pub invert: Option<bool>,
}

/// The names of the rules, in the order of each list: the policy that a rule was written in, and its place there.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RuleNames {
    pub(crate) global: Vec<RateLimitRuleName>,
    pub(crate) local: Vec<RateLimitRuleName>,
}

/// `headers`: whether rules that do not say so send `x-ratelimit-*` headers.
pub(crate) fn lower(
    spec: Option<&RateLimit>,
    names: &RuleNames,
    headers: bool,
    found: &mut Faults,
) -> Plan {
    let Some(RateLimit {
        r#type,
        global,
        local,
    }) = spec
    else {
        return Plan::NONE;
    };
    let (with_global, with_local) = match r#type.as_deref() {
        None => (true, true),
        Some("Global") => (true, false),
        Some("Local") => (false, true),
        Some(other) => {
            found.add(
                FEATURE,
                "rateLimit.type",
                format!("invalid rateLimit type: {other}"),
            );
            (false, false)
        }
    };
    for (only, half, name) in [
        (!with_local && with_global, global, "global"),
        (!with_global && with_local, local, "local"),
    ] {
        if only && half.is_none() {
            found.add(
                FEATURE,
                format!("rateLimit.{name}"),
                format!("{name} configuration empty for rateLimit"),
            );
        }
    }
    for (only, half, name) in [
        (!with_global && with_local, global, "global"),
        (!with_local && with_global, local, "local"),
    ] {
        if only && half.is_some() {
            let word = r#type.as_deref().unwrap_or_default();
            let text = format!(
                "type {word} leaves it out; without type, both kinds of limits are in force"
            );
            found.ignored(FEATURE, format!("rateLimit.{name}"), text);
        }
    }
    fn listed(wanted: bool, half: Option<&Rules>) -> &[Rule] {
        half.filter(|_| wanted)
            .and_then(|Rules { rules }| rules.as_deref())
            .unwrap_or_default()
    }
    let (local, global) = (
        listed(with_local, local.as_ref()),
        listed(with_global, global.as_ref()),
    );
    Plan {
        local: lower_local(local, &names.local, headers, found),
        global: lower_global(global, &names.global, headers, found),
    }
}

fn lower_global(
    rules: &[Rule],
    names: &[RateLimitRuleName],
    headers: bool,
    found: &mut Faults,
) -> Option<GlobalRateLimit> {
    let rules: Vec<RateLimitRule> = rules
        .iter()
        .zip(names)
        .enumerate()
        .filter_map(|(index, (rule, name))| {
            let at = format!("rateLimit.global.rules[{index}]");
            let Rule {
                client_selectors,
                limit,
                cost,
                shared,
                shadow_mode,
                x_rate_limit_headers,
            } = rule;
            let Cost { request, response } = cost.clone().unwrap_or_default();
            let from_metadata = FromMetadata {
                limit: limit.from_metadata.as_ref().map(metadata_key),
                request_cost: cost_metadata(request.as_ref()),
                response_cost: cost_metadata(response.as_ref()),
            };
            Some(RateLimitRule {
                name: name.clone(),
                matches: selectors::lower(
                    client_selectors.as_deref().unwrap_or_default(),
                    &at,
                    found,
                )?,
                limit: rate(limit, &at, found)?,
                request_cost: number(request.as_ref(), &format!("{at}.cost.request"), found)
                    .unwrap_or(1),
                response_cost: number(response.as_ref(), &format!("{at}.cost.response"), found),
                from_metadata,
                shared: shared.unwrap_or(false),
                shadow: shadow_mode.unwrap_or(false),
                headers: sends_headers(x_rate_limit_headers.as_deref(), headers),
            })
        })
        .collect();
    (!rules.is_empty()).then_some(GlobalRateLimit { rules })
}

fn lower_local(
    rules: &[Rule],
    names: &[RateLimitRuleName],
    by_default: bool,
    found: &mut Faults,
) -> Option<LocalRateLimit> {
    let mut local = LocalRateLimit {
        default: None,
        headers: by_default,
        rules: Vec::new(),
    };
    let mut defaults: Vec<DefaultBucket> = Vec::new();
    for (index, (rule, name)) in rules.iter().zip(names).enumerate() {
        let at = format!("rateLimit.local.rules[{index}]");
        let Rule {
            client_selectors,
            limit,
            cost: _,
            shared: _,
            shadow_mode,
            x_rate_limit_headers,
        } = rule;
        let selectors = client_selectors.as_deref().unwrap_or_default();
        let (headers, name) = (
            sends_headers(x_rate_limit_headers.as_deref(), by_default),
            name.clone(),
        );
        let Some(limit) = rate(limit, &at, found) else {
            continue;
        };
        if selectors.is_empty() {
            if defaults
                .iter()
                .any(|other| other.name.policy == name.policy)
            {
                found.add(
                    FEATURE,
                    at,
                    "local rateLimit can not have more than one rule without clientSelectors",
                );
            }
            defaults.push(DefaultBucket {
                name,
                limit,
                // What the listener says counts first here, as in the reference.
                headers: headers && by_default,
            });
        } else if let Some(matches) = selectors::lower(selectors, &at, found) {
            let shadow = shadow_mode.unwrap_or(false);
            let (request_cost, response_cost, shared) = (1, None, false);
            local.rules.push(RateLimitRule {
                name,
                matches,
                limit,
                request_cost,
                response_cost,
                from_metadata: FromMetadata::NONE,
                shared,
                shadow,
                headers,
            });
        }
    }
    // Envoy refills all buckets of a policy in steps of the default one's unit; merged policies are judged each by itself.
    for RateLimitRule { name, limit, .. } in &local.rules {
        let default = defaults
            .iter()
            .find(|default| default.name.policy == name.policy);
        if default.is_some_and(|default| limit.unit.seconds() % default.limit.unit.seconds() != 0) {
            let at = names
                .iter()
                .position(|other| other == name)
                .unwrap_or_default();
            let text =
                "local rateLimit rule limit unit must be a multiple of the default limit unit";
            found.add(
                FEATURE,
                format!("rateLimit.local.rules[{at}].limit.unit"),
                text,
            );
            break;
        }
    }
    local.default = defaults.into_iter().next();
    (local.default.is_some() || !local.rules.is_empty()).then_some(local)
}

fn rate(
    Limit {
        requests,
        unit,
        from_metadata: _,
    }: &Limit,
    at: &str,
    found: &mut Faults,
) -> Option<Rate> {
    let requests = u32::try_from(*requests).ok();
    if requests.is_none() {
        found.add(
            FEATURE,
            format!("{at}.limit.requests"),
            "limit.requests must be between 0 and 4294967295",
        );
    }
    let known = match unit.as_str() {
        "Second" => Some(TimeUnit::Second),
        "Minute" => Some(TimeUnit::Minute),
        "Hour" => Some(TimeUnit::Hour),
        "Day" => Some(TimeUnit::Day),
        "Week" => Some(TimeUnit::Week),
        "Month" => Some(TimeUnit::Month),
        "Year" => Some(TimeUnit::Year),
        _ => None,
    };
    if known.is_none() {
        found.add(
            FEATURE,
            format!("{at}.limit.unit"),
            format!("invalid limit.unit value {unit}"),
        );
    }
    Some(Rate {
        requests: requests?,
        unit: known?,
    })
}

fn number(cost: Option<&CostSpecifier>, at: &str, found: &mut Faults) -> Option<u64> {
    let CostSpecifier {
        from: _,
        number,
        metadata: _,
    } = cost?;
    let number = (*number)?;
    if number > MAX_COST {
        found.add(
            FEATURE,
            format!("{at}.number"),
            format!("cost {number} is over {MAX_COST}"),
        );
    }
    Some(number)
}

fn cost_metadata(cost: Option<&CostSpecifier>) -> Option<MetadataKey> {
    cost?.metadata.as_ref().map(metadata_key)
}

fn metadata_key(Metadata { namespace, key }: &Metadata) -> MetadataKey {
    MetadataKey {
        namespace: namespace.as_str().into(),
        key: key.as_str().into(),
    }
}

fn sends_headers(option: Option<&str>, by_default: bool) -> bool {
    match option {
        Some("Off") => false,
        Some("DraftVersion03") => true,
        Some(_) | None => by_default,
    }
}

#[cfg(test)]
mod tests;
