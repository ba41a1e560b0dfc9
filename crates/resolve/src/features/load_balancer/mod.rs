//! `spec.loadBalancer`: how an endpoint is chosen.
//!
//! Scope: cluster. Unset: LeastRequest. Invalid: a table size that is no prime, weights of 0, empty names. What the
//! algorithm in use cannot do, such as a slow start with `Random`, is left out and reported.

mod backend_utilization;
mod consistent_hash;
mod zone_aware;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use weir_plan::features::load_balancer as plan;

pub use self::backend_utilization::{BackendUtilization, OutOfBand};
pub use self::consistent_hash::{ConsistentHash, Cookie, Named};
pub use self::zone_aware::{ForceLocal, PreferLocal, WeightedZone, ZoneAware};
use super::Faults;
use crate::api::scalar::{DurationText, duration_error};

const FEATURE: &str = "LoadBalancer";

/// How an endpoint is chosen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoadBalancer {
    /// `ConsistentHash`, `LeastRequest`, `Random`, `RoundRobin`, `BackendUtilization` or `DynamicModule`. Default, where
    /// there is no `loadBalancer`: `LeastRequest`.
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

/// An algorithm from outside.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointOverride {
    /// Where the request names them; the first that does counts.
    pub extract_from: Option<Vec<OverrideSource>>,
}

/// Where a request names an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OverrideSource {
    /// A header that holds `IP:port`, or several with commas.
    pub header: Option<String>,
}

/// New endpoints get their share of requests little by little.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SlowStart {
    /// How long it takes.
    pub window: Option<DurationText>,
}

pub(crate) fn lower(spec: Option<&LoadBalancer>, found: &mut Faults) -> plan::LoadBalancer {
    let unset = plan::LoadBalancer::DEFAULT;
    let Some(LoadBalancer {
        r#type,
        consistent_hash,
        backend_utilization,
        dynamic_module,
        endpoint_override,
        slow_start,
        zone_aware,
    }) = spec
    else {
        return unset;
    };
    let word = r#type.as_deref().unwrap_or("LeastRequest");
    let mut algorithm = match word {
        "RoundRobin" => plan::Algorithm::RoundRobin { slow_start: None },
        "LeastRequest" => plan::Algorithm::LeastRequest { slow_start: None },
        "Random" => plan::Algorithm::Random,
        "ConsistentHash" => consistent_hash::lower(consistent_hash.as_ref(), found)
            .map_or(unset.algorithm, plan::Algorithm::ConsistentHash),
        "BackendUtilization" => plan::Algorithm::BackendUtilization(backend_utilization::lower(
            backend_utilization.as_ref(),
            found,
        )),
        "DynamicModule" => lower_module(dynamic_module.as_ref(), found)
            .map_or(unset.algorithm, plan::Algorithm::DynamicModule),
        _ => {
            let text = format!("unsupported LoadBalancer type {word}");
            found.add(FEATURE, "loadBalancer.type", text);
            unset.algorithm
        }
    };
    if let Some(SlowStart { window }) = slow_start {
        start_slowly(&mut algorithm, window.as_ref(), found);
    }
    let zone_aware = zone_aware
        .as_ref()
        .and_then(|it| zone_aware::lower(it, &algorithm, found));
    let sources = endpoint_override
        .iter()
        .flat_map(|it| it.extract_from.iter().flatten());
    let headers = sources.filter_map(|OverrideSource { header }| header.as_deref());
    plan::LoadBalancer {
        algorithm,
        zone_aware,
        endpoint_override: headers
            .filter(|name| !name.is_empty())
            .map(|name| name.to_ascii_lowercase().into())
            .collect(),
    }
}

fn start_slowly(
    algorithm: &mut plan::Algorithm,
    window: Option<&DurationText>,
    found: &mut Faults,
) {
    let field = "loadBalancer.slowStart";
    let parsed = window.and_then(DurationText::parse);
    if let (None, Some(DurationText(text))) = (parsed, window) {
        let field = "loadBalancer.slowStart.window";
        found.add(FEATURE, field, duration_error(text));
    }
    let start = parsed
        .filter(|it| !it.is_zero())
        .map(|window| plan::SlowStart { window });
    match algorithm {
        plan::Algorithm::RoundRobin { slow_start }
        | plan::Algorithm::LeastRequest { slow_start } => *slow_start = start,
        plan::Algorithm::BackendUtilization(it) => it.slow_start = start,
        plan::Algorithm::Random
        | plan::Algorithm::ConsistentHash(_)
        | plan::Algorithm::DynamicModule(_) => {
            let text = "slowStart goes with RoundRobin, LeastRequest and BackendUtilization only";
            found.ignored(FEATURE, field, text);
        }
    }
}

/// None: the policy is invalid.
fn lower_module(module: Option<&DynamicModule>, found: &mut Faults) -> Option<plan::DynamicModule> {
    let empty = DynamicModule::default();
    let DynamicModule {
        name,
        lb_policy_name,
        config,
    } = module.unwrap_or(&empty);
    let mut named = |field: &str, text: &Option<String>| {
        let text: Option<Arc<str>> = text
            .as_deref()
            .filter(|text| !text.is_empty())
            .map(Into::into);
        if text.is_none() {
            found.add(
                FEATURE,
                format!("loadBalancer.dynamicModule.{field}"),
                format!("DynamicModule: {field} must not be empty"),
            );
        }
        text
    };
    let name = named("name", name);
    let lb_policy_name = named("lbPolicyName", lb_policy_name);
    Some(plan::DynamicModule {
        name: name?,
        lb_policy_name: lb_policy_name?,
        config: config
            .as_ref()
            .filter(|it| !it.is_null())
            .map(|it| it.to_string().into()),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;

    fn lowered(spec: Value) -> (plan::LoadBalancer, Option<String>) {
        let (spec, mut found) = (serde_json::from_value(spec).unwrap(), Faults::default());
        (lower(Some(&spec), &mut found), found.message())
    }

    fn alone(algorithm: plan::Algorithm) -> plan::LoadBalancer {
        plan::LoadBalancer {
            algorithm,
            zone_aware: None,
            endpoint_override: Vec::new(),
        }
    }

    #[test]
    fn algorithms() {
        let slow = |secs| {
            Some(plan::SlowStart {
                window: Duration::from_secs(secs),
            })
        };
        let module = |config: Option<&str>| {
            plan::Algorithm::DynamicModule(plan::DynamicModule {
                name: "mod".into(),
                lb_policy_name: "sticky".into(),
                config: config.map(Into::into),
            })
        };
        for (spec, expected) in [
            (
                json!({}),
                plan::Algorithm::LeastRequest { slow_start: None },
            ),
            (
                json!({"type": "RoundRobin"}),
                plan::Algorithm::RoundRobin { slow_start: None },
            ),
            (
                json!({"type": "RoundRobin", "slowStart": {"window": "0s"}}),
                plan::Algorithm::RoundRobin { slow_start: None },
            ),
            (
                json!({"type": "RoundRobin", "slowStart": {"window": "1s"}}),
                plan::Algorithm::RoundRobin {
                    slow_start: slow(1),
                },
            ),
            (
                json!({"type": "LeastRequest", "slowStart": {"window": "300s"}}),
                plan::Algorithm::LeastRequest {
                    slow_start: slow(300),
                },
            ),
            (
                json!({"type": "BackendUtilization", "slowStart": {"window": "5m"}}),
                plan::Algorithm::BackendUtilization(plan::BackendUtilization {
                    slow_start: slow(300),
                    ..plan::BackendUtilization::DEFAULT
                }),
            ),
            (json!({"type": "Random"}), plan::Algorithm::Random),
            (
                json!({"type": "Random", "slowStart": {"window": "1s"}}),
                plan::Algorithm::Random,
            ),
            (
                json!({"type": "DynamicModule", "dynamicModule": {"name": "mod", "lbPolicyName": "sticky"}}),
                module(None),
            ),
            (
                json!({"type": "DynamicModule",
                    "dynamicModule": {"name": "mod", "lbPolicyName": "sticky", "config": {"a": [1]}}}),
                module(Some(r#"{"a":[1]}"#)),
            ),
        ] {
            assert_eq!(lowered(spec.clone()), (alone(expected), None), "{spec}");
        }
        assert_eq!(
            lower(None, &mut Faults::default()),
            plan::LoadBalancer::DEFAULT
        );
    }

    #[test]
    fn endpoints_that_requests_name() {
        let (plan, message) = lowered(json!({"type": "Random",
            "endpointOverride": {"extractFrom": [{"header": "X-Host"}, {}, {"header": "x-fallback-host"}]}}));
        let headers: Vec<_> = plan.endpoint_override.iter().map(|it| &**it).collect();
        assert_eq!(headers, ["x-host", "x-fallback-host"]);
        assert_eq!(message, None);
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
                hash(json!({"type": "Headers", "headers": [{"name": "a"}, {"name": ""}]})),
                Some("LoadBalancer: ConsistentHash: headers[1].name must not be empty."),
            ),
            (
                json!({"type": "Chance"}),
                Some("LoadBalancer: unsupported LoadBalancer type Chance."),
            ),
            (
                json!({"type": "DynamicModule", "dynamicModule": {"name": "mod"}}),
                Some("LoadBalancer: DynamicModule: lbPolicyName must not be empty."),
            ),
            (
                json!({"type": "Random", "slowStart": {"window": "x"}}),
                Some("LoadBalancer: time: invalid duration \"x\"."),
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
