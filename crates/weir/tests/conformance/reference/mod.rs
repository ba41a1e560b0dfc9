//! The routes and settings of a case's `expect.yaml`, the reference's own plan, as [`Settings`].
//!
//! The reference leaves out what its data plane has as a default, and writes some settings of which others take the
//! place; our plan holds final values only. Here the one becomes the other, by the rules of `enforcement-semantics.md`.

mod features;

use serde_json::{Map, Value, json};

use super::settings::Routes;

/// What applies where nothing is written: a path, and the value. A default within a feature counts where the feature is
/// on, which is where the first path is there.
const DEFAULTS: &[(&str, &str, &str)] = &[
    ("", "timeout.tcp.connectTimeout", r#""10s""#),
    ("", "timeout.http.connectionIdleTimeout", r#""1h""#),
    ("", "loadBalancer", r#"{"leastRequest": {}}"#),
    ("", "circuitBreaker.maxConnections", "1024"),
    ("", "circuitBreaker.maxPendingRequests", "1024"),
    ("", "circuitBreaker.maxParallelRequests", "1024"),
    ("", "circuitBreaker.maxParallelRetries", "1024"),
    ("", "backendConnection.bufferLimit", "32768"),
    ("", "backendConnection.preconnect.perEndpointPercent", "100"),
    ("", "backendConnection.preconnect.predictivePercent", "100"),
    ("", "healthCheck.panicThreshold", "50"),
    ("", "dns.dnsRefreshRate", r#""30s""#),
    ("", "dns.respectDnsTtl", "true"),
    ("", "dns.lookupFamily", r#""IPv4Preferred""#),
    (
        "loadBalancer.consistentHash",
        "loadBalancer.consistentHash.tableSize",
        "65537",
    ),
    (
        "loadBalancer.preferLocal",
        "loadBalancer.preferLocal.minEndpointsThreshold",
        "6",
    ),
    (
        "loadBalancer.preferLocal",
        "loadBalancer.preferLocal.percentageEnabled",
        "100",
    ),
    (
        "loadBalancer.backendUtilization",
        "loadBalancer.backendUtilization.blackoutPeriod",
        r#""10s""#,
    ),
    (
        "loadBalancer.backendUtilization",
        "loadBalancer.backendUtilization.weightExpirationPeriod",
        r#""3m""#,
    ),
    (
        "loadBalancer.backendUtilization",
        "loadBalancer.backendUtilization.weightUpdatePeriod",
        r#""1s""#,
    ),
    (
        "loadBalancer.backendUtilization",
        "loadBalancer.backendUtilization.errorUtilizationPenaltyPercent",
        "100",
    ),
    (
        "loadBalancer.backendUtilization.outOfBand",
        "loadBalancer.backendUtilization.outOfBand.reportingPeriod",
        r#""10s""#,
    ),
    (
        "healthCheck.active",
        "healthCheck.active.timeout",
        r#""1s""#,
    ),
    (
        "healthCheck.active",
        "healthCheck.active.interval",
        r#""3s""#,
    ),
    (
        "healthCheck.active",
        "healthCheck.active.initialJitter",
        r#""0s""#,
    ),
    (
        "healthCheck.active",
        "healthCheck.active.unhealthyThreshold",
        "3",
    ),
    (
        "healthCheck.active",
        "healthCheck.active.healthyThreshold",
        "1",
    ),
    (
        "healthCheck.active.http",
        "healthCheck.active.http.method",
        r#""GET""#,
    ),
    (
        "healthCheck.active.http",
        "healthCheck.active.http.expectedStatuses",
        "[200]",
    ),
    (
        "healthCheck.passive",
        "healthCheck.passive.interval",
        r#""3s""#,
    ),
    (
        "healthCheck.passive",
        "healthCheck.passive.baseEjectionTime",
        r#""30s""#,
    ),
    (
        "healthCheck.passive",
        "healthCheck.passive.maxEjectionPercent",
        "10",
    ),
    (
        "healthCheck.passive",
        "healthCheck.passive.consecutive5XxErrors",
        "5",
    ),
    (
        "healthCheck.passive",
        "healthCheck.passive.consecutiveGatewayErrors",
        "0",
    ),
    (
        "healthCheck.passive",
        "healthCheck.passive.consecutiveLocalOriginFailures",
        "5",
    ),
    (
        "admissionControl",
        "admissionControl.samplingWindow",
        r#""30s""#,
    ),
    ("admissionControl", "admissionControl.minSuccessRate", "95"),
    (
        "admissionControl",
        "admissionControl.rejectionAggression",
        "1",
    ),
    ("admissionControl", "admissionControl.minRequestRate", "0"),
    (
        "admissionControl",
        "admissionControl.maxRejectionPercent",
        "80",
    ),
    (
        "admissionControl",
        "admissionControl.successCriteria.http.statusCodes",
        r#""below 500""#,
    ),
    (
        "admissionControl",
        "admissionControl.successCriteria.grpc.statusCodes",
        r#"["Ok", "Cancelled", "Unknown", "InvalidArgument", "NotFound", "AlreadyExists", "PermissionDenied",
            "FailedPrecondition", "OutOfRange", "Unimplemented", "Unauthenticated"]"#,
    ),
    ("retry", "retry.numRetries", "2"),
    ("retry", "retry.perRetry.backOff.baseInterval", r#""25ms""#),
];

/// The defaults of requests, which L4 routes have none of.
const HTTP_DEFAULTS: &[(&str, &str, &str)] = &[
    ("", "timeout.http.requestTimeout", r#""15s""#),
    ("", "timeout.http.streamIdleTimeout", r#""5m""#),
    // Each under the other's name, see `http2`.
    ("", "http2.initialStreamWindowSize", "1048576"),
    ("", "http2.initialConnectionWindowSize", "65536"),
    ("", "http2.maxConcurrentStreams", "1024"),
    (
        "http2.connectionKeepalive",
        "http2.connectionKeepalive.intervalJitter",
        "15",
    ),
];

/// The routes of a `plan` section: gateways, their listeners, and the routes of each.
pub(crate) fn routes(plan: &Value) -> Routes {
    let mut routes = Routes::default();
    for listeners in plan.as_object().into_iter().flat_map(Map::values) {
        for (listener, list) in listeners.as_object().into_iter().flatten() {
            for route in list.as_array().into_iter().flatten() {
                let host = route["hostname"].as_str().unwrap_or_default();
                let name = format!("{listener} {}", name(route));
                routes.push(format!("{listener} {host}"), name, &settings(route));
            }
        }
    }
    routes
}

/// `HOST KIND/NAMESPACE/NAME/rule/INDEX/match/INDEX`; a route of L4 has neither host nor match.
fn name(route: &Value) -> String {
    let name = route["name"].as_str().unwrap_or_default();
    // `match/-1` is the match of a rule that has none.
    let name = name.replace("/match/-1/", "/match/0/");
    match route["hostname"].as_str() {
        Some(host) => {
            let (name, _host) = name.rsplit_once('/').unwrap_or((&name, ""));
            format!("{host} {name}")
        }
        None => name,
    }
}

fn settings(route: &Value) -> Value {
    if let Some(status) = route.pointer("/directResponse/statusCode") {
        return json!({"directResponse": status});
    }
    let is_http = route["hostname"].is_string();
    let name = route["name"].as_str().unwrap_or_default();
    let is_udp = name.starts_with("udproute/");
    let mut settings = if is_http {
        route["traffic"].clone()
    } else {
        without(route, &["name", "metadata", "settings", "hostname"])
    };
    if settings.is_null() {
        settings = json!({});
    }
    if is_http {
        features::timeouts(&mut settings, &route["timeout"]);
        fill(&mut settings, HTTP_DEFAULTS.iter());
    }
    let defaults = DEFAULTS.iter().filter(|(_, path, _)| {
        let of_datagrams = path.starts_with("loadBalancer") || path.starts_with("dns");
        of_datagrams || !is_udp
    });
    fill(&mut settings, defaults);
    features::retry(&mut settings);
    features::breaker(&mut settings);
    features::load_balancer(&mut settings);
    features::admission_control(&mut settings);
    if is_http {
        features::bodies(&mut settings);
        features::tracing(&mut settings);
    }
    features::response_override(&mut settings);
    features::health_check(&mut settings);
    if let Some(dns) = settings["dns"].as_object_mut() {
        // The policy that wrote it.
        dns.remove("name");
    }
    features::rate_limit(&mut settings);
    if is_http {
        features::http2(&mut settings);
    }
    settings["useClientProtocol"] = route["useClientProtocol"].clone();
    settings["statName"] = route["statName"].clone();
    settings["policy"] = route
        .pointer("/metadata/policies/0")
        .map_or(Value::Null, |it| {
            json!(format!(
                "{}/{}",
                it["namespace"].as_str().unwrap_or_default(),
                it["name"].as_str().unwrap_or_default()
            ))
        });
    settings["backends"] = backends(&route["settings"]);
    settings
}

fn fill<'a>(settings: &mut Value, defaults: impl Iterator<Item = &'a (&'a str, &'a str, &'a str)>) {
    for (feature, path, value) in defaults {
        if (feature.is_empty() || at(settings, feature).is_some()) && at(settings, path).is_none() {
            let value = serde_json::from_str(value).expect("the table holds JSON");
            set(settings, path, value);
        }
    }
}

/// What stands behind a rule: for each backend its weight, what is spoken to it, and its endpoints.
fn backends(settings: &Value) -> Value {
    settings
        .as_array()
        .into_iter()
        .flatten()
        .map(|it| without(it, &["name", "addressType"]))
        .collect()
}

fn without(value: &Value, keys: &[&str]) -> Value {
    let fields = value.as_object().into_iter().flatten();
    fields
        .filter(|(key, _)| !keys.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn sort(list: &mut Value) {
    if let Some(list) = list.as_array_mut() {
        list.sort_by_key(ToString::to_string);
        list.dedup();
    }
}

fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    value.pointer(&format!("/{}", path.replace('.', "/")))
}

fn set(value: &mut Value, path: &str, to: Value) {
    let mut place = value;
    for key in path.split('.') {
        place = &mut place[key];
    }
    *place = to;
}
