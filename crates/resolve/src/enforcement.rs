//! Which settings are not enforced by the data plane in use: those that a policy writes, and each field of our kinds.

use serde_json::Value;
use weir_plan::{Feature, Support};

use crate::build::UNSERVED_BACKENDS;
use crate::diagnostics::FieldPath;

/// How far a field is enforced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enforced {
    /// As specified.
    Fully,
    /// With all of its values but these.
    AllBut(Vec<&'static str>),
    /// In part: some of the fields below it are not.
    Partly,
    /// Not at all.
    Not,
}

/// How far a field of one of our kinds is enforced. `path` is below `spec`; items of lists may be written as `[]`.
/// `clients` is how far what ClientTrafficPolicies say is.
pub(crate) fn of_field(
    kind: &str,
    path: &str,
    support: fn(Feature) -> Support,
    clients: Support,
) -> Enforced {
    let plain = path.replace("[]", "");
    let missing = match kind {
        "BackendTrafficPolicy" => {
            let top = plain.split('.').next().unwrap_or_default();
            match feature(top).map(support) {
                None | Some(Support::Full) => return Enforced::Fully,
                Some(Support::No) => return Enforced::Not,
                Some(Support::Partial(missing)) => missing,
            }
        }
        "ClientTrafficPolicy" => match clients {
            Support::Full => return Enforced::Fully,
            Support::No => return Enforced::Not,
            Support::Partial(missing) => missing,
        },
        "Backend" => UNSERVED_BACKENDS,
        _ => "",
    };
    let missing: Vec<&'static str> = missing.split_whitespace().collect();
    let below = |inner: &str, outer: &str| {
        let rest = inner.strip_prefix(outer);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    if missing
        .iter()
        .any(|entry| !entry.contains('=') && below(&plain, entry))
    {
        return Enforced::Not;
    }
    let values: Vec<&'static str> = missing
        .iter()
        .filter_map(|entry| entry.split_once('='))
        .filter(|(path, _)| *path == plain)
        .map(|(_, value)| value)
        .collect();
    if !values.is_empty() {
        return Enforced::AllBut(values);
    }
    let path = |entry: &'static str| entry.split_once('=').map_or(entry, |(path, _)| path);
    if missing.iter().any(|entry| below(path(entry), &plain)) {
        return Enforced::Partly;
    }
    Enforced::Fully
}

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

/// The settings of a ClientTrafficPolicy's spec that are not enforced, in the order of their paths.
pub(crate) fn unenforced_client_settings(spec: &Value, support: Support) -> Vec<FieldPath> {
    let mut paths = Vec::new();
    let settings = spec.as_object().into_iter().flatten();
    for (key, value) in settings.filter(|(key, it)| !key.starts_with("target") && !it.is_null()) {
        let at = FieldPath::new("spec").child(key);
        match support {
            Support::Full => {}
            Support::No => paths.push(at),
            Support::Partial(missing) => {
                let missing: Vec<&str> = missing.split_whitespace().collect();
                walk(value, key, &at, &missing, &mut paths);
            }
        }
    }
    paths
}

/// Follows what is written; `plain` is the path below `spec` without the places in lists, as the table spells it.
fn walk(value: &Value, plain: &str, at: &FieldPath, missing: &[&str], paths: &mut Vec<FieldPath>) {
    let is_missing = missing.iter().any(|entry| match entry.split_once('=') {
        None => *entry == plain,
        // Where the case of letters means something, admission has seen to it.
        Some((path, word)) => {
            path == plain
                && value
                    .as_str()
                    .is_some_and(|it| it.eq_ignore_ascii_case(word))
        }
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
pub(crate) fn feature(field: &str) -> Option<Feature> {
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
    fn each_field_says_how_far_it_is_enforced() {
        for (kind, path, expected) in [
            ("BackendTrafficPolicy", "timeout.tcp", Enforced::Fully),
            ("BackendTrafficPolicy", "mergeType", Enforced::Fully),
            ("BackendTrafficPolicy", "dns.lookupFamily", Enforced::Not),
            ("BackendTrafficPolicy", "loadBalancer", Enforced::Partly),
            (
                "BackendTrafficPolicy",
                "loadBalancer.type",
                Enforced::AllBut(vec!["Random"]),
            ),
            (
                "BackendTrafficPolicy",
                "loadBalancer.slowStart.window",
                Enforced::Not,
            ),
            (
                "BackendTrafficPolicy",
                "rateLimit.global.rules[].limit",
                Enforced::Partly,
            ),
            (
                "BackendTrafficPolicy",
                "rateLimit.global.rules[].limit.fromMetadata.key",
                Enforced::Not,
            ),
            (
                "BackendTrafficPolicy",
                "rateLimit.global.rules[].limit.requests",
                Enforced::Fully,
            ),
            ("Backend", "type", Enforced::AllBut(vec!["DynamicResolver"])),
            ("Backend", "tls", Enforced::Partly),
            ("Backend", "tls.sni", Enforced::Fully),
            ("Backend", "tls.fingerprints", Enforced::Not),
            ("Backend", "endpoints[].ip.port", Enforced::Fully),
        ] {
            assert_eq!(
                of_field(
                    kind,
                    path,
                    support,
                    Support::Partial("http3 tls.minVersion=1.0")
                ),
                expected,
                "{kind} {path}"
            );
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
                json!({"loadBalancer": {"type": "random"}}),
                vec!["spec.loadBalancer.type"],
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
