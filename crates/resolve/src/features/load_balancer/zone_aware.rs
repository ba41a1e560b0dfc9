//! `spec.loadBalancer.zoneAware`: how requests are shared out among zones.
//!
//! Invalid: zones with a weight of 0.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_plan::features::load_balancer as plan;

use super::{FEATURE, Faults};

/// Endpoints in zones: one of the two.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ZoneAware {
    /// Endpoints in the gateway's own zone come first.
    pub prefer_local: Option<PreferLocal>,
    /// Each zone gets a share.
    pub weighted_zones: Option<Vec<WeightedZone>>,
}

/// Endpoints in the gateway's own zone come first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForceLocal {
    /// Endpoints in the zone from which on they do. Default 1.
    pub min_endpoints_in_zone_threshold: Option<u32>,
}

/// The share of one zone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WeightedZone {
    /// The zone.
    #[serde(default)]
    pub zone: String,
    /// Its weight, 1 or more. Zones that are not listed have 1.
    #[serde(default)]
    pub weight: u32,
}

/// None: zones do not matter.
pub(super) fn lower(
    ZoneAware {
        prefer_local,
        weighted_zones,
    }: &ZoneAware,
    algorithm: &plan::Algorithm,
    found: &mut Faults,
) -> Option<plan::ZoneAware> {
    let (local_goes, weights_go) = match algorithm {
        plan::Algorithm::RoundRobin { slow_start: _ }
        | plan::Algorithm::LeastRequest { slow_start: _ }
        | plan::Algorithm::Random => (true, true),
        plan::Algorithm::ConsistentHash(_) | plan::Algorithm::BackendUtilization(_) => {
            (false, true)
        }
        plan::Algorithm::DynamicModule(_) => (false, false),
    };
    let zones = weighted_zones.as_deref().unwrap_or_default();
    for (index, WeightedZone { zone, weight }) in zones.iter().enumerate() {
        if *weight == 0 {
            let field = format!("loadBalancer.zoneAware.weightedZones[{index}].weight");
            let text = format!("weight of zone {zone} must be 1 or more");
            found.add(FEATURE, field, text);
        }
    }
    let local = prefer_local.as_ref().map(|it| lower_local(it, found));
    if local.is_some() && !local_goes {
        let text = "preferLocal goes with RoundRobin, LeastRequest and Random only";
        found.ignored(FEATURE, "loadBalancer.zoneAware.preferLocal", text);
    }
    let weighted = !zones.is_empty();
    let local = local.filter(|_| local_goes);
    if weighted && (!weights_go || local.is_some()) {
        let text = "weightedZones does not go with preferLocal or DynamicModule";
        found.ignored(FEATURE, "loadBalancer.zoneAware.weightedZones", text);
    }
    let weights = || {
        let weight = |it: &WeightedZone| (it.zone.as_str().into(), it.weight);
        plan::ZoneAware::WeightedZones(zones.iter().map(weight).collect())
    };
    local
        .map(plan::ZoneAware::PreferLocal)
        .or_else(|| (weighted && weights_go).then(weights))
}

fn lower_local(
    PreferLocal {
        force,
        min_endpoints_threshold,
        percentage_enabled,
    }: &PreferLocal,
    found: &mut Faults,
) -> plan::PreferLocal {
    let unset = plan::PreferLocal::DEFAULT;
    let percentage = found.percent(
        FEATURE,
        "loadBalancer.zoneAware.preferLocal.percentageEnabled",
        "PreferLocal.PercentageEnabled",
        *percentage_enabled,
    );
    let force = force.as_ref();
    plan::PreferLocal {
        min_endpoints_threshold: min_endpoints_threshold.unwrap_or(unset.min_endpoints_threshold),
        percentage_enabled: percentage.unwrap_or(unset.percentage_enabled),
        force_from: force.map(
            |ForceLocal {
                 min_endpoints_in_zone_threshold,
             }| min_endpoints_in_zone_threshold.unwrap_or(1),
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use weir_plan::Percent;

    use super::*;
    use crate::features::load_balancer::{self, LoadBalancer};

    /// What it comes to, and the fields that are left out.
    fn lowered(r#type: &str, zones: &Value) -> (Option<plan::ZoneAware>, Vec<String>) {
        let spec = json!({"type": r#type, "zoneAware": zones, "consistentHash": {"type": "SourceIP"},
            "dynamicModule": {"name": "mod", "lbPolicyName": "sticky"}});
        let spec: LoadBalancer = serde_json::from_value(spec).unwrap();
        let mut found = Faults::default();
        let plan = load_balancer::lower(Some(&spec), &mut found);
        assert_eq!(found.message(), None);
        let ignored = found.list.into_iter().map(|fault| fault.field);
        (plan.zone_aware, ignored.collect())
    }

    fn local(threshold: u64, percentage: u8, force_from: Option<u32>) -> Option<plan::ZoneAware> {
        Some(plan::ZoneAware::PreferLocal(plan::PreferLocal {
            min_endpoints_threshold: threshold,
            percentage_enabled: Percent(percentage),
            force_from,
        }))
    }

    fn weighted() -> Option<plan::ZoneAware> {
        let zones = [("a".into(), 70), ("b".into(), 30)];
        Some(plan::ZoneAware::WeightedZones(zones.into()))
    }

    const WEIGHTS: &str = r#"[{"zone": "a", "weight": 70}, {"zone": "b", "weight": 30}]"#;

    #[test]
    fn defaults_and_every_field() {
        let weights: Value = serde_json::from_str(WEIGHTS).unwrap();
        for (spec, expected) in [
            (json!({}), None),
            (json!({"weightedZones": []}), None),
            (json!({"preferLocal": {}}), local(6, 100, None)),
            (
                json!({"preferLocal": {"force": {}}}),
                local(6, 100, Some(1)),
            ),
            (
                json!({"preferLocal": {"minEndpointsThreshold": 3, "percentageEnabled": 0,
                    "force": {"minEndpointsInZoneThreshold": 2}}}),
                local(3, 0, Some(2)),
            ),
            (json!({"weightedZones": weights}), weighted()),
        ] {
            assert_eq!(lowered("Random", &spec), (expected, vec![]), "{spec}");
        }
    }

    #[test]
    fn what_an_algorithm_cannot_do_is_left_out() {
        let weights: Value = serde_json::from_str(WEIGHTS).unwrap();
        let both = json!({"preferLocal": {}, "weightedZones": weights});
        let [prefer_local, weighted_zones] =
            ["preferLocal", "weightedZones"].map(|field| format!("loadBalancer.zoneAware.{field}"));
        for (kind, expected, ignored) in [
            ("LeastRequest", local(6, 100, None), vec![&weighted_zones]),
            ("ConsistentHash", weighted(), vec![&prefer_local]),
            ("BackendUtilization", weighted(), vec![&prefer_local]),
            ("DynamicModule", None, vec![&prefer_local, &weighted_zones]),
        ] {
            let (plan, left_out) = lowered(kind, &both);
            assert_eq!(plan, expected, "{kind}");
            assert_eq!(left_out.iter().collect::<Vec<_>>(), ignored, "{kind}");
        }
    }
}
