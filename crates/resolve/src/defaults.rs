//! The values of settings that nobody wrote, as their authors would have written them.
//!
//! Explanations show them, and the tests hold them against what [`crate::lower`] does with absent fields and against
//! what the descriptions of the fields say. Settings whose absence means that something is off have none.

use serde_json::{Value, json};
use weir_plan::features::timeout::RouteTimeout;
use weir_plan::units::format_duration;

use crate::api::scalar::parse_duration;
use crate::diagnostics::FieldPath;
use crate::features::timeout;

/// The default of one field.
struct DefaultValue {
    /// The object that makes the default count when it is there, below `spec`; `[]` stands for the items of a list.
    /// Empty: it counts always.
    of: &'static str,
    /// The field, below that object.
    field: &'static str,
    value: Is,
}

/// What a field is where nobody wrote it.
enum Is {
    Text(&'static str),
    Number(u64),
    Flag(bool),
    Words(&'static [&'static str]),
    /// It depends on the rest of the object; none: nothing applies.
    Depends(fn(&Value) -> Option<Value>),
}

use Is::{Depends, Flag, Number, Text, Words};

const fn of(of: &'static str, field: &'static str, value: Is) -> DefaultValue {
    DefaultValue { of, field, value }
}

const DEFAULTS: &[DefaultValue] = &[
    of("", "circuitBreaker.maxConnections", Number(1024)),
    of("", "circuitBreaker.maxParallelRequests", Number(1024)),
    of(
        "",
        "circuitBreaker.maxParallelRetries",
        Depends(max_retries),
    ),
    of("", "circuitBreaker.maxPendingRequests", Number(1024)),
    of("circuitBreaker.perEndpoint", "maxConnections", Number(1024)),
    of(
        "circuitBreaker.retryBudget",
        "minRetryConcurrency",
        Number(3),
    ),
    of("", "timeout.http.connectionIdleTimeout", Text("1h")),
    of("", "timeout.http.requestTimeout", Text("15s")),
    of("", "timeout.http.streamIdleTimeout", Depends(stream_idle)),
    of("", "timeout.tcp.connectTimeout", Text("10s")),
    of("", "loadBalancer.type", Text("LeastRequest")),
    of(
        "loadBalancer.backendUtilization",
        "blackoutPeriod",
        Text("10s"),
    ),
    of(
        "loadBalancer.backendUtilization",
        "errorUtilizationPenaltyPercent",
        Number(100),
    ),
    of(
        "loadBalancer.backendUtilization",
        "keepResponseHeaders",
        Flag(false),
    ),
    of(
        "loadBalancer.backendUtilization",
        "weightExpirationPeriod",
        Text("3m"),
    ),
    of(
        "loadBalancer.backendUtilization",
        "weightUpdatePeriod",
        Text("1s"),
    ),
    of(
        "loadBalancer.backendUtilization.outOfBand",
        "reportingPeriod",
        Text("10s"),
    ),
    of("loadBalancer.consistentHash", "tableSize", Number(65_537)),
    of(
        "loadBalancer.zoneAware.preferLocal",
        "minEndpointsThreshold",
        Number(6),
    ),
    of(
        "loadBalancer.zoneAware.preferLocal",
        "percentageEnabled",
        Number(100),
    ),
    of(
        "loadBalancer.zoneAware.preferLocal.force",
        "minEndpointsInZoneThreshold",
        Number(1),
    ),
    of("retry", "numRetries", Number(2)),
    of("retry", "perRetry.backOff.baseInterval", Text("25ms")),
    of(
        "retry",
        "perRetry.backOff.maxInterval",
        Depends(longest_pause),
    ),
    of(
        "retry",
        "retryOn.httpStatusCodes",
        Depends(retried_statuses),
    ),
    of(
        "retry",
        "retryOn.triggers",
        Words(&[
            "connect-failure",
            "refused-stream",
            "unavailable",
            "cancelled",
            "retriable-status-codes",
        ]),
    ),
    of("healthCheck", "panicThreshold", Number(50)),
    of("healthCheck.active", "healthyThreshold", Number(1)),
    of("healthCheck.active", "initialJitter", Text("0s")),
    of("healthCheck.active", "interval", Text("3s")),
    of("healthCheck.active", "timeout", Text("1s")),
    of("healthCheck.active", "unhealthyThreshold", Number(3)),
    of(
        "healthCheck.active.http",
        "expectedStatuses",
        Depends(|_| Some(json!([200]))),
    ),
    of("healthCheck.active.http", "method", Text("GET")),
    of("healthCheck.passive", "alwaysEjectOneEndpoint", Flag(false)),
    of("healthCheck.passive", "baseEjectionTime", Text("30s")),
    of("healthCheck.passive", "consecutive5XxErrors", Number(5)),
    of(
        "healthCheck.passive",
        "consecutiveLocalOriginFailures",
        Number(5),
    ),
    of("healthCheck.passive", "interval", Text("3s")),
    of("healthCheck.passive", "maxEjectionPercent", Number(10)),
    of(
        "healthCheck.passive",
        "splitExternalLocalOriginErrors",
        Flag(false),
    ),
    of("connection", "bufferLimit", Number(32_768)),
    of("connection.preconnect", "perEndpointPercent", Number(100)),
    of("connection.preconnect", "predictivePercent", Number(100)),
    of("dns", "dnsRefreshRate", Text("30s")),
    of("dns", "lookupFamily", Text("IPv4Preferred")),
    of("dns", "respectDnsTtl", Flag(true)),
    of("http2", "initialConnectionWindowSize", Text("1Mi")),
    of("http2", "initialStreamWindowSize", Text("64Ki")),
    of("http2", "maxConcurrentStreams", Number(1024)),
    of("http2", "onInvalidMessage", Text("TerminateConnection")),
    of("http2.connectionKeepalive", "intervalJitter", Number(15)),
    of(
        "rateLimit.global.rules[]",
        "cost.request.number",
        Depends(request_cost),
    ),
    of("rateLimit.global.rules[]", "shadowMode", Flag(false)),
    of("rateLimit.global.rules[]", "shared", Flag(false)),
    of("rateLimit.local.rules[]", "shadowMode", Flag(false)),
    of("faultInjection.abort", "percentage", Number(100)),
    of("faultInjection.delay", "percentage", Number(100)),
    of("admissionControl", "maxRejectionPercent", Number(80)),
    of("admissionControl", "minRequestRate", Number(0)),
    of("admissionControl", "minSuccessRate", Number(95)),
    of("admissionControl", "rejectionAggression", Number(1)),
    of("admissionControl", "samplingWindow", Text("30s")),
    of("compression[]", "minContentLength", Number(30)),
    of("compressor[]", "minContentLength", Number(30)),
    of("responseOverride[]", "source", Text("All")),
    of("responseOverride[].redirect", "statusCode", Number(302)),
    of(
        "telemetry.tracing",
        "clientSamplingFraction.denominator",
        Number(100),
    ),
    of(
        "telemetry.tracing",
        "clientSamplingFraction.numerator",
        Depends(|it| share(it, "clientSamplingFraction", 0)),
    ),
    of(
        "telemetry.tracing",
        "overallSamplingFraction.denominator",
        Number(100),
    ),
    of(
        "telemetry.tracing",
        "overallSamplingFraction.numerator",
        Depends(|it| share(it, "overallSamplingFraction", 100)),
    ),
    of(
        "telemetry.tracing",
        "samplingFraction.denominator",
        Number(100),
    ),
    of(
        "telemetry.tracing",
        "samplingFraction.numerator",
        Depends(|it| share(it, "samplingFraction", 100)),
    ),
];

/// The defaults that count in settings, for the fields that they leave out.
pub(crate) fn of_absent(settings: &Value) -> Vec<(FieldPath, Value)> {
    let mut all = Vec::new();
    for DefaultValue { of, field, value } in DEFAULTS {
        for (at, object) in objects(settings, of) {
            let pointer = format!("/{}", field.replace('.', "/"));
            if object.pointer(&pointer).is_some_and(|it| !it.is_null()) {
                continue;
            }
            if let Some(value) = value.within(object) {
                let field = field.split('.').fold(at, |at, step| at.child(step));
                all.push((field, value));
            }
        }
    }
    all
}

/// The objects that a path with `[]` leads to, and where they are.
fn objects<'a>(settings: &'a Value, path: &str) -> Vec<(FieldPath, &'a Value)> {
    let mut found = vec![(FieldPath::default(), settings)];
    for step in path.split('.').filter(|step| !step.is_empty()) {
        let name = step.strip_suffix("[]");
        let below = found.into_iter().filter_map(|(at, value)| {
            let key = name.unwrap_or(step);
            Some((at.child(key), value.get(key)?))
        });
        found = match name {
            None => below.collect(),
            Some(_) => below
                .flat_map(|(at, list)| {
                    let items = list.as_array().into_iter().flatten().enumerate();
                    items.map(move |(index, item)| (at.index(index), item))
                })
                .collect(),
        };
    }
    found.retain(|(_, value)| value.is_object());
    found
}

impl Is {
    fn within(&self, object: &Value) -> Option<Value> {
        match self {
            Text(text) => Some(json!(text)),
            Number(number) => Some(json!(number)),
            Flag(flag) => Some(json!(flag)),
            Words(words) => Some(json!(words)),
            Depends(value) => value(object),
        }
    }
}

/// A retry budget takes the place of the number.
fn max_retries(settings: &Value) -> Option<Value> {
    let budget = &settings["circuitBreaker"]["retryBudget"];
    budget.is_null().then(|| json!(1024))
}

/// A fraction is written whole: where it is there, its numerator is.
fn share(object: &Value, field: &str, percent: u32) -> Option<Value> {
    object[field].is_null().then(|| json!(percent))
}

/// The longest pause without activity follows the request timeout.
fn stream_idle(settings: &Value) -> Option<Value> {
    let request = settings["timeout"]["http"]["requestTimeout"].as_str();
    let request = request.and_then(parse_duration);
    let timeout = match request {
        None => RouteTimeout::DEFAULT,
        Some(request) => timeout::with_request(&RouteTimeout::DEFAULT, request, false),
    };
    Some(json!(format_duration(
        timeout.stream_idle.unwrap_or_default()
    )))
}

/// Ten times the base.
fn longest_pause(retry: &Value) -> Option<Value> {
    let base = retry["perRetry"]["backOff"]["baseInterval"].as_str();
    let base = parse_duration(base.unwrap_or("25ms"))?;
    Some(json!(format_duration(base.saturating_mul(10))))
}

/// The status 503, unless triggers are written.
fn retried_statuses(retry: &Value) -> Option<Value> {
    let triggers = retry["retryOn"]["triggers"].as_array();
    triggers.is_none_or(Vec::is_empty).then(|| json!([503]))
}

/// 1, where the cost does not come from elsewhere.
fn request_cost(rule: &Value) -> Option<Value> {
    rule["cost"]["request"].is_null().then(|| json!(1))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use weir_plan::{ClusterPolicy, NamespacedName, PolicyRef, RoutePolicy};

    use super::*;
    use crate::crd;
    use crate::lower::lower;
    use crate::merge::{self, Side};
    use crate::resources::Resources;

    /// Policies that have each object with a default, and none of the fields that have one.
    fn samples() -> Vec<Value> {
        vec![
            json!({}),
            json!({
                "circuitBreaker": {"perEndpoint": {}, "retryBudget": {}},
                "loadBalancer": {"type": "ConsistentHash", "consistentHash": {"type": "SourceIP"}},
                "retry": {},
                "healthCheck": {"active": {"type": "HTTP", "http": {"path": "/"}}, "passive": {}},
                "connection": {"preconnect": {}},
                "dns": {},
                "http2": {"connectionKeepalive": {"interval": "1s", "timeout": "1s"}},
                "rateLimit": {
                    "global": {"rules": [{"limit": {"requests": 1, "unit": "Hour"}}]},
                    "local": {"rules": [{"limit": {"requests": 1, "unit": "Hour"}}]},
                },
                "faultInjection": {"abort": {"httpStatus": 500}, "delay": {"fixedDelay": "1s"}},
                "admissionControl": {},
                "compressor": [{"type": "Gzip", "gzip": {}}],
                "responseOverride": [
                    {"match": {"statusCodes": [{"type": "Value", "value": 404}]}, "redirect": {"hostname": "a"}},
                ],
                "telemetry": {"tracing": {}},
            }),
            json!({
                "loadBalancer": {"type": "BackendUtilization", "backendUtilization": {"outOfBand": {}}},
                "timeout": {"http": {"requestTimeout": "2h"}},
                "retry": {"perRetry": {"backOff": {"baseInterval": "40ms"}}},
                "compression": [{"type": "Gzip"}],
            }),
            json!({
                "loadBalancer": {"type": "RoundRobin", "zoneAware": {"preferLocal": {"force": {}}}},
                "retry": {"retryOn": {"triggers": ["5xx"]}},
                "timeout": {"http": {"requestTimeout": "0s"}},
            }),
        ]
    }

    fn lowered(settings: &Value) -> (Arc<RoutePolicy>, Arc<ClusterPolicy>) {
        let policy = PolicyRef {
            kind: "BackendTrafficPolicy".into(),
            name: NamespacedName::new("ns", "policy"),
        };
        let merged = merge::alone(Side {
            policy: &policy,
            settings,
        });
        let lowered = lower(merged, &Resources::default());
        assert_eq!(lowered.faults.list, [], "{settings}");
        (lowered.route, lowered.cluster)
    }

    fn set(settings: &mut Value, path: &FieldPath, value: Value) {
        let mut place = settings;
        for step in path.as_str().split(['.', '[']) {
            place = match step.strip_suffix(']') {
                None => &mut place[step],
                Some(index) => &mut place[index.parse::<usize>().unwrap()],
            };
        }
        *place = value;
    }

    #[test]
    fn a_default_says_what_its_absence_does() {
        for sample in samples() {
            let mut written = sample.clone();
            for (path, value) in of_absent(&sample) {
                set(&mut written, &path, value);
            }
            // A cost says where it comes from.
            if let Some(rules) = written.pointer_mut("/rateLimit/global/rules/0/cost/request") {
                rules["from"] = json!("Number");
            }
            assert_eq!(lowered(&written), lowered(&sample), "{written}");
            assert_eq!(of_absent(&written), [], "{written}");
        }
    }

    #[test]
    fn every_default_is_tried() {
        let tried: Vec<String> = samples()
            .iter()
            .flat_map(of_absent)
            .map(|(path, _)| path.as_str().replace("[0]", "[]"))
            .collect();
        for DefaultValue {
            of,
            field,
            value: _,
        } in DEFAULTS
        {
            let path = format!("{of}.{field}");
            let path = path.trim_start_matches('.');
            assert!(tried.iter().any(|it| it == path), "{path}");
        }
    }

    #[test]
    fn descriptions_say_the_defaults() {
        let definitions = crd::definitions();
        let spec = &definitions[0].definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
            ["spec"];
        let mut silent = Vec::new();
        for DefaultValue { of, field, value } in DEFAULTS {
            let value = match value {
                Text(text) => (*text).to_owned(),
                Number(number) => number.to_string(),
                Flag(flag) => flag.to_string(),
                Words(_) | Depends(_) => continue,
            };
            let path = format!("{of}.{field}");
            let mut schema = spec;
            for step in path.split('.').filter(|step| !step.is_empty()) {
                schema = &schema["properties"][step.trim_end_matches("[]")];
                if step.ends_with("[]") {
                    schema = &schema["items"];
                }
            }
            let description = schema["description"].as_str().unwrap_or_default();
            let says = description.to_ascii_lowercase().contains("default")
                && description.contains(&value);
            if !says {
                silent.push(format!("{path}: {value}: {description}"));
            }
        }
        assert_eq!(silent, Vec::<String>::new());
    }
}
