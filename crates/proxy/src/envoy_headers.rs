//! The `x-envoy-` headers that Envoy's router adds where a listener asks for them: what the gateway tells backends of a
//! request, and clients of an answer.

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;
use weir_plan::features::retry::Retry;

use crate::exchange::Exchange;
use crate::flags::Flag;
use crate::rejection::Rejection;

const EXPECTED_TIMEOUT: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");
const ORIGINAL_PATH: HeaderName = HeaderName::from_static("x-envoy-original-path");
const SERVICE_TIME: HeaderName = HeaderName::from_static("x-envoy-upstream-service-time");
const OVERLOADED: HeaderName = HeaderName::from_static("x-envoy-overloaded");
const RATE_LIMITED: HeaderName = HeaderName::from_static("x-envoy-ratelimited");

/// Tells an endpoint how long it has, in milliseconds: for this attempt, or for what is left of the whole.
pub(crate) fn expected_timeout(
    exchange: &Exchange,
    policy: Option<&Retry>,
    headers: &mut HeaderMap,
) {
    if !are_wanted(exchange) {
        return;
    }
    let left = exchange.limits.left(Instant::now());
    let attempt = policy.and_then(|it| it.per_try_timeout);
    if let Some(expected) = [left, attempt].into_iter().flatten().min() {
        // 0 would mean that there is no limit.
        let millis = u64::try_from(expected.as_millis()).unwrap_or(u64::MAX);
        headers.insert(EXPECTED_TIMEOUT, HeaderValue::from(millis.max(1)));
    }
}

/// Tells an endpoint which path was asked for, in front of a rewrite.
pub(crate) fn original_path(exchange: &Exchange, path: &PathAndQuery, headers: &mut HeaderMap) {
    if are_wanted(exchange)
        && let Ok(path) = HeaderValue::try_from(path.as_str())
    {
        headers.insert(ORIGINAL_PATH, path);
    }
}

/// Tells a client how long an endpoint took, in milliseconds, since the request was forwarded.
pub(crate) fn service_time(exchange: &Exchange, forwarded: Instant, headers: &mut HeaderMap) {
    if are_wanted(exchange) {
        let millis = u64::try_from(forwarded.elapsed().as_millis()).unwrap_or(u64::MAX);
        headers.insert(SERVICE_TIME, HeaderValue::from(millis));
    }
}

/// What tells a client that it was refused for a circuit breaker or for a global limit.
pub(crate) fn of_rejection(
    exchange: &Exchange,
    rejection: &Rejection,
) -> Option<(HeaderName, HeaderValue)> {
    let name = match rejection.flag {
        Some(Flag::UpstreamOverflow) => OVERLOADED,
        Some(Flag::RateLimited) if rejection.details == "request_rate_limited" => RATE_LIMITED,
        Some(_) | None => return None,
    };
    are_wanted(exchange).then(|| (name, HeaderValue::from_static("true")))
}

fn are_wanted(exchange: &Exchange) -> bool {
    exchange.settings.policy().headers.envoy_headers
}
