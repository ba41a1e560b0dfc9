//! What applies to requests, in the reference's notation: a function for each feature.

use serde_json::{Value, json};
use weir_plan::Rate;
use weir_plan::features::fault_injection::{Abort, AbortStatus, Delay, FaultInjection};
use weir_plan::features::rate_limit::{
    CidrMatch, ClientMatch, DefaultBucket, FromMetadata, GlobalRateLimit, LimitValueMatch,
    LocalRateLimit, MetadataKey, MethodMatch, NamedMatch, PathPattern, RateLimit, RateLimitRule,
};
use weir_plan::features::retry::{BackOff, Retry};
use weir_plan::features::timeout::RouteTimeout;

use super::{add, duration, limit, percent};

pub(crate) fn route_timeout(timeout: &RouteTimeout) -> Value {
    let RouteTimeout {
        request,
        stream_idle,
        max_stream_duration,
    } = timeout;
    json!({"http": {
        "requestTimeout": limit(*request),
        "streamIdleTimeout": limit(*stream_idle),
        "maxStreamDuration": max_stream_duration.map(duration),
    }})
}

pub(crate) fn retry(retry: &Retry) -> Value {
    let Retry {
        num_retries,
        triggers,
        status_codes,
        per_try_timeout,
        back_off: BackOff { base, max },
        num_attempts_per_priority,
    } = retry;
    let triggers = serde_json::to_value(triggers).expect("triggers are words");
    let mut triggers: Vec<Value> = triggers.as_array().cloned().unwrap_or_default();
    triggers.sort_by_key(ToString::to_string);
    json!({
        "numRetries": num_retries,
        "numAttemptsPerPriority": num_attempts_per_priority,
        "retryOn": {"triggers": triggers, "httpStatusCodes": status_codes},
        "perRetry": {
            "timeout": per_try_timeout.map(duration),
            "backOff": {"baseInterval": duration(*base), "maxInterval": duration(*max)},
        },
    })
}

pub(crate) fn fault_injection(faults: &FaultInjection) -> Value {
    let FaultInjection { delay, abort } = faults;
    let delay = delay.map(|Delay { fixed, share }| {
        json!({"fixedDelay": duration(fixed), "percentage": percent(share)})
    });
    let abort = abort.map(|Abort { status, share }| match status {
        AbortStatus::HttpStatus(status) => {
            json!({"httpStatus": status, "percentage": percent(share)})
        }
        AbortStatus::GrpcStatus(status) => {
            json!({"grpcStatus": status, "percentage": percent(share)})
        }
    });
    json!({"delay": delay, "abort": abort})
}

pub(crate) fn rate_limit(limits: &RateLimit) -> Value {
    if *limits == RateLimit::NONE {
        return Value::Null;
    }
    let RateLimit { local, global } = limits;
    let local = local.as_ref().map(
        |LocalRateLimit {
             default,
             headers: _,
             rules,
         }| {
            let default = default.as_ref().map(
                |DefaultBucket {
                     name: _,
                     limit,
                     headers: _,
                 }| { rate(*limit) },
            );
            json!({"default": default, "rules": rules.iter().map(rule).collect::<Value>()})
        },
    );
    let global = global.as_ref().map(
        |GlobalRateLimit { rules }| json!({"rules": rules.iter().map(rule).collect::<Value>()}),
    );
    json!({"local": local, "global": global})
}

fn rule(rule: &RateLimitRule) -> Value {
    let RateLimitRule {
        name,
        matches,
        limit,
        request_cost,
        response_cost,
        from_metadata,
        shared,
        shadow,
        headers: _,
    } = rule;
    let FromMetadata {
        limit: limit_from,
        request_cost: request_cost_from,
        response_cost: response_cost_from,
    } = from_metadata;
    let format = |MetadataKey { namespace, key }: &MetadataKey| json!({"format": format!("%DYNAMIC_METADATA({namespace}:{key})%")});
    let number = |number: u64| json!({"number": number});
    let mut limit = rate(*limit);
    limit["fromMetadata"] = json!(limit_from);
    let mut projected = client_match(matches);
    add(
        &mut projected,
        json!({
            "name": name.to_string(),
            "limit": limit,
            "requestCost": request_cost_from.as_ref().map_or(number(*request_cost), format),
            "responseCost": response_cost_from.as_ref().map(format).or(response_cost.map(number)),
            "shared": shared,
            "shadowMode": shadow,
        }),
    );
    projected
}

fn client_match(matches: &ClientMatch) -> Value {
    let ClientMatch {
        headers,
        methods,
        path,
        source_cidr,
        query_params,
    } = matches;
    let headers = headers
        .iter()
        .map(|NamedMatch { name, value }| named(name.0.as_str(), value));
    let queries = query_params
        .iter()
        .map(|NamedMatch { name, value }| named(name, value));
    let methods = methods
        .iter()
        .map(|MethodMatch { method, invert }| json!({"exact": method.as_str(), "invert": invert}));
    let path = path.as_ref().map(|it| {
        let mut projected = match &it.value {
            PathPattern::Exact(path) => json!({"exact": **path}),
            // The reference writes out where a prefix may end.
            PathPattern::Prefix(path) if **path == *"/" => json!({"prefix": "/"}),
            PathPattern::Prefix(path) => {
                let path = path.trim_end_matches('/');
                json!({"safeRegex": format!(r"^{path}(/.*|\?.*|#.*|;.*|$)")})
            }
            PathPattern::Regex(pattern) => json!({"safeRegex": **pattern}),
        };
        projected["invert"] = json!(it.invert);
        projected
    });
    let cidr = source_cidr.as_ref().map(
        |CidrMatch {
             cidr,
             distinct,
             invert,
         }| { json!({"cidr": cidr.to_string(), "distinct": distinct, "invert": invert}) },
    );
    json!({
        "headerMatches": headers.collect::<Value>(),
        "queryParamMatches": queries.collect::<Value>(),
        "methodMatches": methods.collect::<Value>(),
        "pathMatch": path,
        "cidrMatch": cidr,
    })
}

fn named(name: &str, value: &LimitValueMatch) -> Value {
    match value {
        LimitValueMatch::Distinct => json!({"name": name, "distinct": true}),
        LimitValueMatch::Exact { value, invert } => {
            json!({"name": name, "exact": **value, "invert": invert})
        }
        LimitValueMatch::Regex { pattern, invert } => {
            json!({"name": name, "safeRegex": **pattern, "invert": invert})
        }
    }
}

fn rate(Rate { requests, unit }: Rate) -> Value {
    json!({"requests": requests, "unit": unit.to_string()})
}
