//! `spec.loadBalancer.consistentHash`: the endpoint that a hash of the request leads to.
//!
//! Invalid: empty names, and a table size that is no prime or too large.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_plan::features::load_balancer as plan;

use super::{FEATURE, Faults};
use crate::api::scalar::DurationText;

/// What is hashed to choose an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsistentHash {
    /// `SourceIP`, `Headers`, `Cookie`, `QueryParams`, or the deprecated `Header`.
    pub r#type: Option<String>,
    /// Deprecated: one header.
    pub header: Option<Named>,
    /// Headers, combined in order.
    pub headers: Option<Vec<Named>>,
    /// A cookie.
    pub cookie: Option<Cookie>,
    /// Query parameters, combined in order.
    pub query_params: Option<Vec<Named>>,
    /// The size of the table, a prime from 2 to 5000011. Default 65537.
    pub table_size: Option<u64>,
}

/// A header or query parameter by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Named {
    /// Its name.
    #[serde(default)]
    pub name: String,
}

/// A cookie that is hashed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cookie {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// How long a cookie made by the gateway is good for; `0s`: as long as the browser runs. Default: none is made.
    pub ttl: Option<DurationText>,
    /// Attributes of a cookie made by the gateway.
    pub attributes: Option<BTreeMap<String, String>>,
}

/// None: the policy is invalid.
pub(super) fn lower(
    spec: Option<&ConsistentHash>,
    found: &mut Faults,
) -> Option<plan::ConsistentHash> {
    let empty = ConsistentHash::default();
    let ConsistentHash {
        r#type,
        header,
        headers,
        cookie,
        query_params,
        table_size,
    } = spec.unwrap_or(&empty);
    let key = match r#type.as_deref().unwrap_or_default() {
        "SourceIP" => Some(plan::HashKey::SourceIp),
        "Header" => header.as_ref().map(|header| {
            check_name("header.name", &header.name, found);
            plan::HashKey::Headers(header_names(std::slice::from_ref(header)))
        }),
        "Headers" => headers.as_deref().map(|headers| {
            check_names("headers", headers, found);
            plan::HashKey::Headers(header_names(headers))
        }),
        "Cookie" => cookie
            .as_ref()
            .map(|it| plan::HashKey::Cookie(lower_cookie(it, found))),
        "QueryParams" => query_params.as_deref().map(|params| {
            check_names("queryParams", params, found);
            let names = params.iter().map(|it| it.name.as_str().into());
            plan::HashKey::QueryParams(names.collect())
        }),
        _ => None,
    };
    let size = table_size.map_or(Some(plan::ConsistentHash::DEFAULT_TABLE_SIZE), |size| {
        let size = u32::try_from(size).ok();
        size.filter(|it| *it <= plan::ConsistentHash::MAX_TABLE_SIZE && is_prime(*it))
    });
    if let (None, Some(size)) = (size, table_size) {
        let text = format!("ConsistentHash: invalid TableSize value {size}");
        found.add(FEATURE, "loadBalancer.consistentHash.tableSize", text);
    }
    if key.is_none() {
        let text = "ConsistentHash: type must be SourceIP, Headers, Cookie or QueryParams, and the field of that name be set";
        found.add(FEATURE, "loadBalancer.consistentHash.type", text);
    }
    Some(plan::ConsistentHash {
        key: key?,
        table_size: size?,
    })
}

fn header_names(headers: &[Named]) -> Vec<Arc<str>> {
    headers
        .iter()
        .map(|it| it.name.to_ascii_lowercase().into())
        .collect()
}

fn check_names(field: &str, named: &[Named], found: &mut Faults) {
    if named.is_empty() {
        let field = format!("loadBalancer.consistentHash.{field}");
        let text = "without a name nothing is hashed, and endpoints are chosen at random";
        found.ignored(FEATURE, field, text);
    }
    for (index, Named { name }) in named.iter().enumerate() {
        check_name(&format!("{field}[{index}].name"), name, found);
    }
}

fn check_name(field: &str, name: &str, found: &mut Faults) {
    if name.is_empty() {
        found.add(
            FEATURE,
            format!("loadBalancer.consistentHash.{field}"),
            format!("ConsistentHash: {field} must not be empty"),
        );
    }
}

fn lower_cookie(
    Cookie {
        name,
        ttl,
        attributes,
    }: &Cookie,
    found: &mut Faults,
) -> plan::HashCookie {
    check_name("cookie.name", name, found);
    let ttl = found.duration_or_default(
        FEATURE,
        "loadBalancer.consistentHash.cookie.ttl",
        ttl.as_ref(),
        "no cookie is made",
    );
    let attributes = attributes.iter().flatten();
    let attributes: BTreeMap<_, _> = attributes
        .map(|(key, value)| (key.as_str().into(), value.as_str().into()))
        .collect();
    plan::HashCookie {
        name: name.as_str().into(),
        generated: ttl.map(|ttl| plan::GeneratedCookie {
            max_age: (!ttl.is_zero()).then_some(ttl),
            attributes,
        }),
    }
}

fn is_prime(number: u32) -> bool {
    number >= 2
        && (2..)
            .take_while(|divisor| divisor * divisor <= number)
            .all(|divisor| !number.is_multiple_of(divisor))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;

    fn lowered(spec: &Value) -> (Option<plan::ConsistentHash>, Option<String>) {
        let (spec, mut found) = (
            serde_json::from_value(spec.clone()).unwrap(),
            Faults::default(),
        );
        (lower(Some(&spec), &mut found), found.message())
    }

    #[test]
    fn every_key() {
        let cookie = |generated| {
            plan::HashKey::Cookie(plan::HashCookie {
                name: "Test".into(),
                generated,
            })
        };
        for (spec, key) in [
            (json!({"type": "SourceIP"}), plan::HashKey::SourceIp),
            (
                json!({"type": "Header", "header": {"name": "X-User"}}),
                plan::HashKey::Headers(vec!["x-user".into()]),
            ),
            (
                json!({"type": "Headers", "headers": [{"name": "X-User"}, {"name": "a"}]}),
                plan::HashKey::Headers(vec!["x-user".into(), "a".into()]),
            ),
            (
                json!({"type": "QueryParams", "queryParams": [{"name": "Test"}, {"name": "a"}]}),
                plan::HashKey::QueryParams(vec!["Test".into(), "a".into()]),
            ),
            (
                json!({"type": "Cookie", "cookie": {"name": "Test", "attributes": {"SameSite": "Strict"}}}),
                cookie(None),
            ),
            (
                json!({"type": "Cookie", "cookie": {"name": "Test", "ttl": "0s"}}),
                cookie(Some(plan::GeneratedCookie {
                    max_age: None,
                    attributes: BTreeMap::new(),
                })),
            ),
            (
                json!({"type": "Cookie",
                    "cookie": {"name": "Test", "ttl": "60s", "attributes": {"SameSite": "Strict"}}}),
                cookie(Some(plan::GeneratedCookie {
                    max_age: Some(Duration::from_secs(60)),
                    attributes: BTreeMap::from([("SameSite".into(), "Strict".into())]),
                })),
            ),
            // What another type would use does not count.
            (
                json!({"type": "SourceIP", "cookie": {"name": ""}}),
                plan::HashKey::SourceIp,
            ),
        ] {
            let expected = plan::ConsistentHash {
                key,
                table_size: 65_537,
            };
            assert_eq!(lowered(&spec), (Some(expected), None), "{spec}");
        }
    }

    #[test]
    fn table_sizes() {
        for (size, expected) in [
            (2, Some(2)),
            (524_287, Some(524_287)),
            (5_000_011, Some(5_000_011)),
            (0, None),
            (1, None),
            (1024, None),
            (5_000_012, None),
            // A prime, and too large.
            (5_000_077, None),
            (u64::from(u32::MAX) + 16, None),
        ] {
            let (plan, message) = lowered(&json!({"type": "SourceIP", "tableSize": size}));
            assert_eq!(plan.map(|it| it.table_size), expected);
            let text = format!("LoadBalancer: ConsistentHash: invalid TableSize value {size}.");
            assert_eq!(message, expected.is_none().then_some(text));
        }
    }

    #[test]
    fn keys_that_do_not_say_what_is_hashed() {
        for spec in [
            json!({}),
            json!({"type": "Body"}),
            json!({"type": "Headers"}),
            json!({"type": "Cookie", "headers": [{"name": "a"}]}),
        ] {
            let expected = "LoadBalancer: ConsistentHash: type must be SourceIP, Headers, Cookie or QueryParams, \
                            and the field of that name be set.";
            assert_eq!(lowered(&spec), (None, Some(expected.to_owned())), "{spec}");
        }
    }
}
