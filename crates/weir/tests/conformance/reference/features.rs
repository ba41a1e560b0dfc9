//! Each feature of the reference's plan in the notation in which it is compared.

use serde_json::{Map, Value, json};
use weir_resolve::api::scalar::{Quantity, parse_duration};

use super::super::projection::{GRPC_STATUSES, base64};
use super::{at, set, sort, without};

/// What counts as a failure where `retryOn` has no triggers.
const DEFAULT_TRIGGERS: [&str; 5] = [
    "cancelled",
    "connect-failure",
    "refused-stream",
    "retriable-status-codes",
    "unavailable",
];

/// The rule's own limit, if it has one, comes before the policy's. A limit of the request raises the one of silence.
pub(super) fn timeouts(settings: &mut Value, own: &Value) {
    let of_policy = settings.pointer("/timeout/http/requestTimeout").cloned();
    let request = if own.is_null() {
        of_policy
    } else {
        Some(own.clone())
    };
    // Without end, which is the default.
    for limit in ["maxStreamDuration", "maxConnectionDuration"] {
        let limit = settings.pointer_mut(&format!("/timeout/http/{limit}"));
        if let Some(limit) = limit.filter(|it| **it == "0s") {
            limit.take();
        }
    }
    let Some(request) = request else { return };
    set(settings, "timeout.http.requestTimeout", request.clone());
    let idle = settings.pointer("/timeout/http/streamIdleTimeout");
    if idle.is_none() {
        let limit = request.as_str().and_then(parse_duration);
        let idle = limit
            .filter(|it| !it.is_zero())
            .map_or(0, |it| it.as_secs().max(3600));
        set(
            settings,
            "timeout.http.streamIdleTimeout",
            json!(format!("{idle}s")),
        );
    }
}

pub(super) fn retry(settings: &mut Value) {
    let Some(retry) = settings.get_mut("retry") else {
        return;
    };
    let triggers = &mut retry["retryOn"]["triggers"];
    if triggers.is_null() {
        *triggers = json!(DEFAULT_TRIGGERS);
        if retry["retryOn"]["httpStatusCodes"].is_null() {
            retry["retryOn"]["httpStatusCodes"] = json!([503]);
        }
    }
    sort(&mut retry["retryOn"]["triggers"]);
    sort(&mut retry["retryOn"]["httpStatusCodes"]);
    if at(settings, "retry.perRetry.backOff.maxInterval").is_none() {
        let base = at(settings, "retry.perRetry.backOff.baseInterval").and_then(Value::as_str);
        let base = base.and_then(parse_duration).unwrap_or_default();
        let max = format!("{}ms", base.as_millis() * 10);
        set(settings, "retry.perRetry.backOff.maxInterval", json!(max));
    }
}

/// A budget takes the place of a number of retries.
pub(super) fn breaker(settings: &mut Value) {
    if let Some(breaker) = settings["circuitBreaker"].as_object_mut()
        && breaker.contains_key("retryBudget")
    {
        breaker.remove("maxParallelRetries");
    }
}

/// Zones come in the order of their names, and a single header in the list of headers.
pub(super) fn load_balancer(settings: &mut Value) {
    let balancer = &mut settings["loadBalancer"];
    if let Some(zones) = balancer
        .get_mut("weightedZones")
        .and_then(Value::as_array_mut)
    {
        zones.sort_by_key(|it| it["zone"].to_string());
    }
    let hash = balancer
        .get_mut("consistentHash")
        .and_then(Value::as_object_mut);
    if let Some(hash) = hash
        && let Some(header) = hash.remove("header")
    {
        hash.insert("headers".to_owned(), json!([header]));
    }
}

/// What counts as a success, in the order of the numbers.
pub(super) fn admission_control(settings: &mut Value) {
    let criteria = settings.pointer_mut("/admissionControl/successCriteria");
    let Some(criteria) = criteria else { return };
    sort(&mut criteria["http"]["statusCodes"]);
    if let Some(names) = criteria["grpc"]["statusCodes"].as_array_mut() {
        names.sort_by_key(|name| GRPC_STATUSES.iter().position(|it| name == it));
    }
}

/// Sizes are numbers of bytes. Without a list, WebSocket is what may be upgraded to, unless bodies are buffered.
pub(super) fn bodies(settings: &mut Value) {
    for compressor in settings["compression"].as_array_mut().into_iter().flatten() {
        if compressor["minContentLength"].is_null() {
            compressor["minContentLength"] = json!(30);
        }
    }
    let limit = settings.pointer_mut("/requestBuffer/limit");
    let buffered = limit.is_some();
    if let Some(limit) = limit {
        let text = limit.as_str().unwrap_or_default().to_owned();
        *limit = json!(Quantity::Text(text).value());
    }
    if settings["httpUpgrade"].is_null() && !buffered {
        settings["httpUpgrade"] = json!([{"type": "websocket"}]);
    }
}

/// Shares are millionths. Tags are one map, in which those that are written as formats win.
pub(super) fn tracing(settings: &mut Value) {
    let Some(tracing) = settings.pointer_mut("/telemetry/tracing") else {
        return;
    };
    for (share, default) in [
        ("samplingFraction", 1_000_000),
        ("clientSamplingFraction", 0),
        ("overallSamplingFraction", 1_000_000),
    ] {
        let fraction = &tracing[share];
        let numerator = fraction["numerator"].as_u64();
        let denominator = fraction["denominator"].as_u64().unwrap_or(100);
        tracing[share] = json!(numerator.map_or(default, |it| it * 1_000_000 / denominator));
    }
    let mut tags = Map::new();
    for tag in tracing["customTags"]
        .take()
        .as_array()
        .into_iter()
        .flatten()
    {
        let key = tag["key"].as_str().unwrap_or_default();
        tags.insert(key.to_owned(), without(&tag["value"], &["type"]));
    }
    for tag in tracing["tags"].take().as_array().into_iter().flatten() {
        let key = tag["key"].as_str().unwrap_or_default();
        tags.insert(key.to_owned(), json!({"format": tag["value"]}));
    }
    tracing["tags"] = Value::Object(tags);
}

/// A single status is a range. The names are those of filters.
pub(super) fn response_override(settings: &mut Value) {
    let Some(overrides) = settings["responseOverride"].as_object_mut() else {
        return;
    };
    overrides.remove("name");
    let rules = overrides.get_mut("rules").and_then(Value::as_array_mut);
    for rule in rules.into_iter().flatten() {
        *rule = without(rule, &["name"]);
        let statuses = rule.pointer_mut("/match/statusCodes");
        for status in statuses.and_then(Value::as_array_mut).into_iter().flatten() {
            *status = if status["range"].is_null() {
                json!({"start": status["value"], "end": status["value"]})
            } else {
                status["range"].take()
            };
        }
        if let Some(redirect) = rule["redirect"].as_object_mut() {
            redirect.entry("statusCode").or_insert(json!(302));
        }
    }
}

/// Payloads are bytes, however they are written.
pub(super) fn health_check(settings: &mut Value) {
    for path in [
        "http/expectedResponse",
        "http/requestBody",
        "tcp/send",
        "tcp/receive",
    ] {
        let payload = settings.pointer_mut(&format!("/healthCheck/active/{path}"));
        if let Some(payload) = payload.filter(|it| it["text"].is_string()) {
            let text = payload["text"].as_str().unwrap_or_default();
            *payload = json!({"binary": base64(text.as_bytes())});
        }
    }
    for list in ["expectedStatuses", "retriableStatuses"] {
        let list = settings.pointer_mut(&format!("/healthCheck/active/http/{list}"));
        if let Some(list) = list {
            sort(list);
        }
    }
}

/// 4294967295 a second is how the reference writes that requests which match no rule are not limited.
pub(super) fn rate_limit(settings: &mut Value) {
    let unlimited = json!({"requests": u32::MAX, "unit": "Second"});
    if let Some(local) = settings
        .pointer_mut("/rateLimit/local")
        .and_then(Value::as_object_mut)
        && local.get("default") == Some(&unlimited)
    {
        local.remove("default");
    }
    for kind in ["local", "global"] {
        let rules = settings.pointer_mut(&format!("/rateLimit/{kind}/rules"));
        for rule in rules.and_then(Value::as_array_mut).into_iter().flatten() {
            if rule["requestCost"].is_null() {
                rule["requestCost"] = json!({"number": 1});
            }
            if let Some(cidr) = rule["cidrMatch"].as_object_mut() {
                // Both follow from the range.
                cidr.remove("maskLen");
                cidr.remove("isIPv6");
            }
        }
    }
}

/// The reference's plan calls each window by the name of the other, as the values in its input and in the configuration
/// that it makes of the plan (`xds.yaml`) show.
pub(super) fn http2(settings: &mut Value) {
    let windows = ["initialStreamWindowSize", "initialConnectionWindowSize"];
    let written = windows.map(|it| settings["http2"][it].take());
    let [of_connection, of_stream] = written;
    settings["http2"][windows[0]] = of_stream;
    settings["http2"][windows[1]] = of_connection;
}
