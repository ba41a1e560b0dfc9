//! `spec.loadBalancer`: how an endpoint is chosen.
//!
//! Scope: cluster. Unset: LeastRequest. Invalid: a table size that is no prime, weights of 0, empty names. Algorithms
//! that the plan has no type for yet are reported as not enforced, and LeastRequest stands in for them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use weir_plan::features::load_balancer as plan;

use super::Faults;
use crate::api::scalar::DurationText;

const FEATURE: &str = "LoadBalancer";

/// How an endpoint is chosen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadBalancer {
    /// `ConsistentHash`, `LeastRequest`, `Random`, `RoundRobin`, `BackendUtilization` or `DynamicModule`.
    pub r#type: Option<String>,
    /// For `ConsistentHash`: what is hashed.
    pub consistent_hash: Option<ConsistentHash>,
    /// For `BackendUtilization`: how reports are read.
    pub backend_utilization: Option<BackendUtilization>,
    /// For `DynamicModule`: which.
    pub dynamic_module: Option<DynamicModule>,
    /// Endpoints that a request names itself.
    pub endpoint_override: Option<EndpointOverride>,
    /// New endpoints get their share of requests little by little.
    pub slow_start: Option<SlowStart>,
    /// Endpoints in zones.
    pub zone_aware: Option<ZoneAware>,
}

/// What is hashed to choose an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Named {
    /// Its name.
    #[serde(default)]
    pub name: String,
}

/// A cookie that is hashed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cookie {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// How long a cookie made by the gateway is good for; `0s`: as long as the browser runs. Default: none is made.
    pub ttl: Option<DurationText>,
    /// Attributes of a cookie made by the gateway.
    pub attributes: Option<BTreeMap<String, String>>,
}

/// Weights from what endpoints report about themselves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendUtilization {
    /// How long reports must come before they count. Default 10s.
    pub blackout_period: Option<DurationText>,
    /// How long a weight lasts without a report. Default 3m.
    pub weight_expiration_period: Option<DurationText>,
    /// How often weights are computed. Default 1s.
    pub weight_update_period: Option<DurationText>,
    /// How much errors count, in percent. Default 100.
    pub error_utilization_penalty_percent: Option<u32>,
    /// Which metrics are read, before the utilization of application and CPU.
    pub metric_names_for_computing_utilization: Option<Vec<String>>,
    /// Whether report headers stay in the response. Default false.
    pub keep_response_headers: Option<bool>,
    /// Reports that are asked for, beside those in responses.
    pub out_of_band: Option<OutOfBand>,
}

/// Reports that are asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutOfBand {
    /// How often. Default 10s.
    pub reporting_period: Option<DurationText>,
    /// At which port. Default: the endpoint's.
    pub port: Option<i32>,
    /// Under which authority. Default: the endpoint's host name or address.
    pub authority: Option<String>,
}

/// An algorithm from outside.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DynamicModule {
    /// The module.
    pub name: Option<String>,
    /// The algorithm in it.
    pub lb_policy_name: Option<String>,
    /// What it is given.
    pub config: Option<Value>,
}

/// Endpoints that a request names itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointOverride {
    /// Where the request names them; the first that does counts.
    pub extract_from: Option<Vec<OverrideSource>>,
}

/// Where a request names an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OverrideSource {
    /// A header that holds `IP:port`, or several with commas.
    pub header: Option<String>,
}

/// New endpoints get their share of requests little by little.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SlowStart {
    /// How long it takes.
    pub window: Option<DurationText>,
}

/// Endpoints in zones: one of the two.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ZoneAware {
    /// Endpoints in the gateway's own zone come first.
    pub prefer_local: Option<PreferLocal>,
    /// Each zone gets a share.
    pub weighted_zones: Option<Vec<WeightedZone>>,
}

/// Endpoints in the gateway's own zone come first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PreferLocal {
    /// Even where that unbalances the zones.
    pub force: Option<ForceLocal>,
    /// Endpoints in all from which on it matters. Default 6.
    pub min_endpoints_threshold: Option<u64>,
    /// For which share of the requests, in percent. Default 100.
    pub percentage_enabled: Option<u32>,
}

/// Requests stay in the zone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForceLocal {
    /// Endpoints in the zone from which on they do. Default 1.
    pub min_endpoints_in_zone_threshold: Option<u32>,
}

/// The share of one zone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WeightedZone {
    /// The zone.
    #[serde(default)]
    pub zone: String,
    /// Its weight, 1 or more. Zones that are not listed have 1.
    #[serde(default)]
    pub weight: u32,
}

pub(crate) fn lower(spec: Option<&LoadBalancer>, found: &mut Faults) -> plan::LoadBalancer {
    let Some(LoadBalancer {
        r#type,
        consistent_hash,
        backend_utilization,
        dynamic_module: _,
        endpoint_override: _,
        slow_start,
        zone_aware,
    }) = spec
    else {
        return plan::LoadBalancer::DEFAULT;
    };
    let r#type = r#type.as_deref().unwrap_or_default();
    if let Some(hash) = consistent_hash
        && r#type == "ConsistentHash"
    {
        check_hash(hash, found);
    }
    if let Some(utilization) = backend_utilization
        && r#type == "BackendUtilization"
    {
        check_utilization(utilization, found);
    }
    if let Some(SlowStart { window }) = slow_start {
        found.duration(
            FEATURE,
            "loadBalancer.slowStart.window",
            "SlowStart.Window",
            window.as_ref(),
        );
    }
    let zones = zone_aware
        .as_ref()
        .and_then(|it| it.weighted_zones.as_deref())
        .unwrap_or_default();
    for (index, WeightedZone { zone, weight }) in zones.iter().enumerate() {
        if *weight == 0 {
            let field = format!("loadBalancer.zoneAware.weightedZones[{index}].weight");
            found.add(
                FEATURE,
                field,
                format!("weight of zone {zone} must be 1 or more"),
            );
        }
    }
    match r#type {
        "RoundRobin" => plan::LoadBalancer::RoundRobin,
        _ => plan::LoadBalancer::LeastRequest,
    }
}

fn check_hash(hash: &ConsistentHash, found: &mut Faults) {
    let ConsistentHash {
        r#type: _,
        header,
        headers,
        cookie,
        query_params,
        table_size,
    } = hash;
    let mut name = |field: String, name: &str| {
        if name.is_empty() {
            found.add(
                FEATURE,
                format!("loadBalancer.consistentHash.{field}"),
                format!("ConsistentHash: {field} must not be empty"),
            );
        }
    };
    if let Some(header) = header {
        name("header.name".to_owned(), &header.name);
    }
    for (index, header) in headers.iter().flatten().enumerate() {
        name(format!("headers[{index}].name"), &header.name);
    }
    if let Some(cookie) = cookie {
        name("cookie.name".to_owned(), &cookie.name);
    }
    for (index, param) in query_params.iter().flatten().enumerate() {
        name(format!("queryParams[{index}].name"), &param.name);
    }
    if let Some(size) = table_size
        && (*size > 5_000_011 || !is_prime(*size))
    {
        let text = format!("ConsistentHash: invalid TableSize value {size}");
        found.add(FEATURE, "loadBalancer.consistentHash.tableSize", text);
    }
}

fn check_utilization(utilization: &BackendUtilization, found: &mut Faults) {
    let BackendUtilization {
        blackout_period,
        weight_expiration_period,
        weight_update_period,
        out_of_band,
        ..
    } = utilization;
    let reporting_period = out_of_band
        .as_ref()
        .and_then(|it| it.reporting_period.clone());
    for (field, name, text) in [
        ("blackoutPeriod", "BlackoutPeriod", blackout_period),
        (
            "weightExpirationPeriod",
            "WeightExpirationPeriod",
            weight_expiration_period,
        ),
        (
            "weightUpdatePeriod",
            "WeightUpdatePeriod",
            weight_update_period,
        ),
        (
            "outOfBand.reportingPeriod",
            "OutOfBand ReportingPeriod",
            &reporting_period,
        ),
    ] {
        found.duration(
            FEATURE,
            &format!("loadBalancer.backendUtilization.{field}"),
            name,
            text.as_ref(),
        );
    }
}

fn is_prime(number: u64) -> bool {
    number >= 2
        && (2..)
            .take_while(|divisor| divisor * divisor <= number)
            .all(|divisor| !number.is_multiple_of(divisor))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn lowered(spec: Value) -> (plan::LoadBalancer, Option<String>) {
        let (spec, mut found) = (serde_json::from_value(spec).unwrap(), Faults::default());
        (lower(Some(&spec), &mut found), found.message())
    }

    #[test]
    fn algorithms() {
        for (word, expected) in [
            ("RoundRobin", plan::LoadBalancer::RoundRobin),
            ("LeastRequest", plan::LoadBalancer::LeastRequest),
            ("Random", plan::LoadBalancer::LeastRequest),
        ] {
            assert_eq!(lowered(json!({"type": word})), (expected, None));
        }
        assert_eq!(
            lower(None, &mut Faults::default()),
            plan::LoadBalancer::LeastRequest
        );
    }

    #[test]
    fn faults() {
        let hash = |more: Value| {
            let mut hash = json!({"type": "SourceIP"});
            hash.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            json!({"type": "ConsistentHash", "consistentHash": hash})
        };
        for (spec, expected) in [
            (
                hash(json!({"tableSize": 1024})),
                Some("LoadBalancer: ConsistentHash: invalid TableSize value 1024."),
            ),
            (
                hash(json!({"tableSize": 5_000_012})),
                Some("LoadBalancer: ConsistentHash: invalid TableSize value 5000012."),
            ),
            (
                hash(json!({"tableSize": 1})),
                Some("LoadBalancer: ConsistentHash: invalid TableSize value 1."),
            ),
            (hash(json!({"tableSize": 524_287})), None),
            (hash(json!({"tableSize": 5_000_011})), None),
            (
                hash(json!({"headers": [{"name": "a"}, {"name": ""}]})),
                Some("LoadBalancer: ConsistentHash: headers[1].name must not be empty."),
            ),
            (
                json!({"type": "RoundRobin", "zoneAware": {"weightedZones": [{"zone": "a", "weight": 0}]}}),
                Some("LoadBalancer: weight of zone a must be 1 or more."),
            ),
        ] {
            assert_eq!(lowered(spec.clone()).1.as_deref(), expected, "{spec}");
        }
    }
}
