//! Which of the settings that a policy writes are not enforced by the data plane in use.

use serde_json::Value;
use weir_plan::{Feature, Support};

use crate::diagnostics::FieldPath;

/// The settings of a spec that are not enforced, in the order of their paths.
pub(crate) fn unenforced(spec: &Value, support: fn(Feature) -> Support) -> Vec<FieldPath> {
    let mut paths = Vec::new();
    for (key, value) in spec
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, value)| !value.is_null())
    {
        let Some(feature) = feature(key) else {
            continue;
        };
        match support(feature) {
            Support::Full => {}
            Support::No => paths.push(FieldPath::new(format!("spec.{key}"))),
            Support::Partial(missing) => {
                let at = FieldPath::new(format!("spec.{key}"));
                walk(
                    value,
                    key,
                    &at,
                    &missing.split_whitespace().collect::<Vec<_>>(),
                    &mut paths,
                );
            }
        }
    }
    paths
}

/// Follows what is written; `plain` is the path below `spec` without the places in lists, as the table spells it.
fn walk(value: &Value, plain: &str, at: &FieldPath, missing: &[&str], paths: &mut Vec<FieldPath>) {
    let is_missing = missing.iter().any(|entry| match entry.split_once('=') {
        None => *entry == plain,
        Some((path, word)) => path == plain && value.as_str() == Some(word),
    });
    if value.is_null() {
        return;
    }
    if is_missing {
        paths.push(at.clone());
        return;
    }
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                walk(
                    value,
                    &format!("{plain}.{key}"),
                    &at.child(key),
                    missing,
                    paths,
                );
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(item, plain, &at.index(index), missing, paths);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The feature that a field of the spec belongs to; none for targets and `mergeType`.
fn feature(field: &str) -> Option<Feature> {
    Some(match field {
        "rateLimit" => Feature::RateLimit,
        "bandwidthLimit" => Feature::BandwidthLimit,
        "faultInjection" => Feature::FaultInjection,
        "admissionControl" => Feature::AdmissionControl,
        "retry" => Feature::Retry,
        "timeout" => Feature::Timeout,
        "compression" | "compressor" => Feature::Compression,
        "responseOverride" => Feature::ResponseOverride,
        "requestBuffer" => Feature::RequestBuffer,
        "httpUpgrade" => Feature::HttpUpgrade,
        "telemetry" => Feature::Telemetry,
        "loadBalancer" => Feature::LoadBalancer,
        "circuitBreaker" => Feature::CircuitBreaker,
        "healthCheck" => Feature::HealthCheck,
        "connection" | "tcpKeepalive" | "http2" | "proxyProtocol" | "useClientProtocol" => {
            Feature::Connection
        }
        "dns" => Feature::Dns,
        "routingType" => Feature::RoutingType,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn support(feature: Feature) -> Support {
        match feature.stem() {
            "timeout" => Support::Full,
            "rate_limit" => {
                Support::Partial("rateLimit.global.rules.limit.fromMetadata rateLimit.type=Local")
            }
            "load_balancer" => Support::Partial("loadBalancer.type=Random loadBalancer.slowStart"),
            _ => Support::No,
        }
    }

    #[test]
    fn what_is_written_and_not_enforced() {
        for (spec, expected) in [
            (
                json!({"timeout": {"tcp": {}}, "targetRefs": [], "mergeType": "JSONMerge"}),
                vec![],
            ),
            (
                json!({"dns": {}, "compressor": [], "retry": null}),
                vec!["spec.compressor", "spec.dns"],
            ),
            (
                json!({"loadBalancer": {"type": "RoundRobin", "slowStart": null}}),
                vec![],
            ),
            (
                json!({"loadBalancer": {"type": "Random", "slowStart": {"window": "1s"}}}),
                vec!["spec.loadBalancer.slowStart", "spec.loadBalancer.type"],
            ),
            (
                json!({"rateLimit": {"type": "Global", "global": {"rules": [{"limit": {}}, {"limit": {"fromMetadata": {"key": "a"}}}]}}}),
                vec!["spec.rateLimit.global.rules[1].limit.fromMetadata"],
            ),
        ] {
            let paths = unenforced(&spec, support);
            assert_eq!(
                paths.iter().map(FieldPath::as_str).collect::<Vec<_>>(),
                expected,
                "{spec}"
            );
        }
    }
}
