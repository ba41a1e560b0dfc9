//! Which settings act on which kinds of routes. The others do nothing there: no finding of admission, no effect.

use serde_json::Value;
use weir_plan::RouteKind;

use crate::diagnostics::FieldPath;

const ALL: &[RouteKind] = &RouteKind::ALL;
/// Those whose packets belong to connections.
const CONNECTIONS: &[RouteKind] = &[
    RouteKind::Http,
    RouteKind::Grpc,
    RouteKind::Tcp,
    RouteKind::Tls,
];
const REQUESTS: &[RouteKind] = &[RouteKind::Http, RouteKind::Grpc];
const HTTP: &[RouteKind] = &[RouteKind::Http];

/// Every setting of a policy, and the kinds that it acts on; where its parts differ, each part.
const ACTS_ON: &[(&str, &[RouteKind])] = &[
    ("admissionControl", REQUESTS),
    ("bandwidthLimit", REQUESTS),
    ("circuitBreaker", CONNECTIONS),
    ("compression", REQUESTS),
    ("compressor", REQUESTS),
    ("connection", CONNECTIONS),
    ("dns", ALL),
    ("faultInjection", REQUESTS),
    ("healthCheck", CONNECTIONS),
    ("http2", REQUESTS),
    ("httpUpgrade", HTTP),
    ("loadBalancer", ALL),
    ("proxyProtocol", CONNECTIONS),
    ("rateLimit", REQUESTS),
    ("requestBuffer", REQUESTS),
    ("responseOverride", REQUESTS),
    ("retry", REQUESTS),
    ("routingType", ALL),
    ("tcpKeepalive", CONNECTIONS),
    ("telemetry.metrics", CONNECTIONS),
    ("telemetry.tracing", REQUESTS),
    ("timeout.http", REQUESTS),
    ("timeout.tcp", CONNECTIONS),
    ("useClientProtocol", REQUESTS),
];

/// Whether a setting, by its path below `spec`, does something on routes of a kind.
pub(crate) fn acts_on(field: &FieldPath, kind: RouteKind) -> bool {
    setting_of(field).is_none_or(|(_, kinds)| kinds.contains(&kind))
}

/// The entry of the table that a field belongs to, and the kinds that it acts on. None where it holds several.
pub(crate) fn setting_of(field: &FieldPath) -> Option<(&'static str, &'static [RouteKind])> {
    let mut all = ACTS_ON.iter().copied();
    all.find(|(setting, _)| field.is_within(setting))
}

/// Leaves of settings those that act on routes of a kind.
pub(crate) fn keep_acting(settings: &mut Value, kind: RouteKind) {
    let all = ACTS_ON.iter();
    for (setting, _) in all.filter(|(_, kinds)| !kinds.contains(&kind)) {
        remove(settings, setting);
    }
}

/// Takes a field away, and what is empty without it.
pub(crate) fn remove(settings: &mut Value, path: &str) {
    let Some(object) = settings.as_object_mut() else {
        return;
    };
    match path.split_once('.') {
        None => drop(object.remove(path)),
        Some((name, rest)) => {
            let Some(inner) = object.get_mut(name) else {
                return;
            };
            let had = |it: &Value| it.as_object().is_some_and(|it| !it.is_empty());
            let before = had(inner);
            remove(inner, rest);
            if before && !had(inner) {
                object.remove(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;
    use weir_plan::Support;

    use super::*;
    use crate::crd;

    #[test]
    fn every_setting_is_decided_on() {
        let mut settings: BTreeSet<&str> = ACTS_ON.iter().map(|(setting, _)| *setting).collect();
        let kinds = crd::reference::kinds(|_| Support::Full, Support::Full);
        let fields = &kinds[0].fields;
        let no_settings = ["mergeType", "targetRef", "targetRefs", "targetSelectors"];
        for field in fields.iter().map(|it| it.path.as_str()) {
            let top = field.split(['.', '[']).next().unwrap_or_default();
            let has_parts = settings
                .iter()
                .any(|it| it.starts_with(&format!("{field}.")));
            let known = setting_of(&FieldPath::new(field)).is_some();
            assert!(known || has_parts || no_settings.contains(&top), "{field}");
        }
        settings.retain(|it| fields.iter().all(|field| field.path != *it));
        assert_eq!(settings, BTreeSet::new());
    }

    #[test]
    fn what_does_nothing_is_left_out() {
        let settings = json!({
            "retry": {"numRetries": 1},
            "timeout": {"http": {"requestTimeout": "1s"}},
            "circuitBreaker": {"maxConnections": 1},
            "routingType": "Service",
            "connection": {},
        });
        for (kind, expected) in [
            (RouteKind::Http, settings.clone()),
            (
                RouteKind::Tcp,
                json!({"circuitBreaker": {"maxConnections": 1}, "routingType": "Service", "connection": {}}),
            ),
            (RouteKind::Udp, json!({"routingType": "Service"})),
        ] {
            let mut settings = settings.clone();
            keep_acting(&mut settings, kind);
            assert_eq!(settings, expected, "{kind}");
        }
        for (field, kind, acts) in [
            ("httpUpgrade[0].type", RouteKind::Grpc, false),
            ("httpUpgrade[0].type", RouteKind::Http, true),
            ("timeout.tcp.connectTimeout", RouteKind::Tls, true),
            ("timeout", RouteKind::Tls, true),
        ] {
            assert_eq!(acts_on(&FieldPath::new(field), kind), acts, "{field}");
        }
    }
}
