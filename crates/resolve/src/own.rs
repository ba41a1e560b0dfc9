//! What a rule of an HTTPRoute sets itself, in its `timeouts` and `retry`, as a policy would have written it.
//!
//! It comes before policies: a request timeout takes the place of theirs, and retries the place of all that they say
//! about retries.

use std::sync::Arc;

use gateway_api::experimental::httproutes::HttpRouteRules;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::api::scalar::parse_duration;
use crate::topology::routes::RouteObject;

/// The field of a policy in whose place a rule's own timeout is.
pub(crate) const REQUEST_TIMEOUT: &str = "timeout.http.requestTimeout";
/// The field of a policy in whose place a rule's own retries are.
pub(crate) const RETRY: &str = "retry";

/// What a rule sets itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct OwnSettings(Value);

impl OwnSettings {
    /// Its settings, in the form of those of a policy.
    pub fn settings(&self) -> &Value {
        &self.0
    }

    pub(crate) fn request_timeout(&self) -> Option<&str> {
        self.0.pointer("/timeout/http/requestTimeout")?.as_str()
    }

    pub(crate) fn retry(&self) -> Option<&Value> {
        self.0.get(RETRY)
    }

    /// Of each rule of a route.
    pub(crate) fn of_route(route: &RouteObject) -> Vec<Option<Arc<Self>>> {
        match route {
            RouteObject::Http(route) => {
                let rules = route.spec.rules.iter().flatten();
                rules.map(|it| Self::of(it).map(Arc::new)).collect()
            }
            RouteObject::Grpc(_)
            | RouteObject::Tcp(_)
            | RouteObject::Tls(_)
            | RouteObject::Udp(_) => Vec::new(),
        }
    }

    /// None where the rule says nothing that counts.
    pub(crate) fn of(rule: &HttpRouteRules) -> Option<Self> {
        let timeouts = rule.timeouts.as_ref();
        let request = timeouts.and_then(|it| duration(it.request.as_deref()));
        let backend_request = timeouts.and_then(|it| duration(it.backend_request.as_deref()));
        // Without retries in the rule there is one attempt to it, and its limit is the request's.
        let (request, per_try) = match rule.retry {
            None => (backend_request.or(request), None),
            Some(_) => (request, backend_request),
        };
        let mut settings = Map::new();
        if let Some(request) = request {
            settings.insert(
                "timeout".to_owned(),
                json!({"http": {"requestTimeout": request}}),
            );
        }
        if let Some(own) = &rule.retry {
            let retry = retry(
                own.attempts,
                own.backoff.as_deref(),
                own.codes.as_deref(),
                per_try,
            );
            settings.insert(RETRY.to_owned(), retry);
        }
        (!settings.is_empty()).then(|| Self(settings.into()))
    }
}

/// What is no duration does not count.
fn duration(text: Option<&str>) -> Option<&str> {
    text.filter(|it| parse_duration(it).is_some())
}

fn retry(
    attempts: Option<i64>,
    back_off: Option<&str>,
    codes: Option<&[i64]>,
    per_try: Option<&str>,
) -> Value {
    let positive = |text: &&str| parse_duration(text).is_some_and(|it| !it.is_zero());
    let mut retry = Map::new();
    if let Some(attempts) = attempts {
        let attempts = attempts.clamp(0, i32::MAX.into());
        retry.insert("numRetries".to_owned(), attempts.into());
    }
    let codes = codes.unwrap_or_default().iter();
    let codes: Vec<i64> = codes
        .copied()
        .filter(|it| (100..600).contains(it))
        .collect();
    if !codes.is_empty() {
        retry.insert("retryOn".to_owned(), json!({"httpStatusCodes": codes}));
    }
    let mut per_retry = Map::new();
    if let Some(base) = back_off.filter(positive) {
        per_retry.insert("backOff".to_owned(), json!({"baseInterval": base}));
    }
    if let Some(timeout) = per_try.filter(positive) {
        per_retry.insert("timeout".to_owned(), timeout.into());
    }
    if !per_retry.is_empty() {
        retry.insert("perRetry".to_owned(), per_retry.into());
    }
    retry.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_says_it_as_a_policy_would() {
        let timeout = |text: &str| json!({"timeout": {"http": {"requestTimeout": text}}});
        for (rule, expected) in [
            (json!({}), None),
            (json!({"timeouts": {}}), None),
            (json!({"timeouts": {"request": "3s"}}), Some(timeout("3s"))),
            (json!({"timeouts": {"request": "0s"}}), Some(timeout("0s"))),
            (json!({"timeouts": {"request": "soon"}}), None),
            (
                json!({"timeouts": {"request": "3s", "backendRequest": "2s"}}),
                Some(timeout("2s")),
            ),
            (json!({"retry": {}}), Some(json!({"retry": {}}))),
            (
                json!({
                    "timeouts": {"request": "3s", "backendRequest": "1s"},
                    "retry": {"attempts": 7, "backoff": "50ms", "codes": [500]},
                }),
                Some(json!({
                    "timeout": {"http": {"requestTimeout": "3s"}},
                    "retry": {
                        "numRetries": 7,
                        "retryOn": {"httpStatusCodes": [500]},
                        "perRetry": {"backOff": {"baseInterval": "50ms"}, "timeout": "1s"},
                    },
                })),
            ),
            (
                json!({"retry": {"attempts": -1, "backoff": "0s", "codes": [1, 70000]}}),
                Some(json!({"retry": {"numRetries": 0}})),
            ),
        ] {
            let own = OwnSettings::of(&serde_json::from_value(rule.clone()).unwrap());
            assert_eq!(own.map(|it| it.0), expected, "{rule}");
        }
    }
}
