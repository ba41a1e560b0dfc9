//! `spec.circuitBreaker`: the most that may be in flight towards the backends of a rule.
//!
//! Scope: cluster. Unset: [`plan::CircuitBreaker::DEFAULT`]. Invalid: a limit outside 0 to 4294967295.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_plan::PerMillion;
use weir_plan::features::circuit_breaker as plan;

use super::Faults;
use crate::api::scalar::Fraction;

const FEATURE: &str = "CircuitBreaker";

/// Limits what is in flight towards the backends of a route rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CircuitBreaker {
    /// The most connections open at one time; further requests wait. Default 1024.
    pub max_connections: Option<i64>,
    /// The most requests that wait for a connection; further ones get a 503. Default 1024.
    pub max_pending_requests: Option<i64>,
    /// The most requests in progress; further ones get a 503. Default 1024.
    pub max_parallel_requests: Option<i64>,
    /// The most retries in progress; further ones are not made. Default 1024.
    pub max_parallel_retries: Option<i64>,
    /// The most requests over one connection, which is then closed. Default and 0: any number.
    pub max_requests_per_connection: Option<i64>,
    /// Limits for each endpoint.
    pub per_endpoint: Option<PerEndpoint>,
    /// Retries as a share of the requests, in place of `maxParallelRetries`.
    pub retry_budget: Option<RetryBudget>,
}

/// Limits for each endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PerEndpoint {
    /// The most connections open to one endpoint at one time. Default 1024.
    pub max_connections: Option<i64>,
}

/// Retries as a share of the requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetryBudget {
    /// The share of the requests that are active or pending.
    pub percent: Option<Fraction>,
    /// The number of retries that is always allowed. Default 3.
    pub min_retry_concurrency: Option<u32>,
}

pub(crate) fn lower(spec: Option<&CircuitBreaker>, found: &mut Faults) -> plan::CircuitBreaker {
    let unset = plan::CircuitBreaker::DEFAULT;
    let Some(CircuitBreaker {
        max_connections,
        max_pending_requests,
        max_parallel_requests,
        max_parallel_retries,
        max_requests_per_connection,
        per_endpoint,
        retry_budget,
    }) = spec
    else {
        return unset;
    };
    let mut limit = |field: &str, name: &str, value: Option<i64>| {
        let value = value?;
        let limit = u32::try_from(value).ok();
        if limit.is_none() {
            found.add(
                FEATURE,
                format!("circuitBreaker.{field}"),
                format!("invalid {name} value {value}"),
            );
        }
        limit
    };
    let max_connections = limit("maxConnections", "MaxConnections", *max_connections);
    let max_parallel_requests = limit(
        "maxParallelRequests",
        "MaxParallelRequests",
        *max_parallel_requests,
    );
    let max_pending_requests = limit(
        "maxPendingRequests",
        "MaxPendingRequests",
        *max_pending_requests,
    );
    let max_parallel_retries = limit(
        "maxParallelRetries",
        "MaxParallelRetries",
        *max_parallel_retries,
    );
    let max_requests_per_connection = limit(
        "maxRequestsPerConnection",
        "MaxRequestsPerConnection",
        *max_requests_per_connection,
    );
    let max_connections_per_endpoint =
        per_endpoint
            .as_ref()
            .and_then(|PerEndpoint { max_connections }| {
                let Some(value) = *max_connections else {
                    return Some(1024);
                };
                let limit = u32::try_from(value).ok();
                if limit.is_none() {
                    let text = format!(
                        "{value} is out of range, so there is no such limit; use 0 to 4294967295"
                    );
                    found.ignored(FEATURE, "circuitBreaker.perEndpoint.maxConnections", text);
                }
                limit
            });
    let max_retries = match retry_budget {
        None => max_parallel_retries.map_or(unset.max_retries, plan::RetryLimit::Count),
        Some(budget) => {
            if max_parallel_retries.is_some() {
                let text = "retryBudget takes its place";
                found.ignored(FEATURE, "circuitBreaker.maxParallelRetries", text);
            }
            lower_budget(budget, found)
        }
    };
    plan::CircuitBreaker {
        max_connections: max_connections.unwrap_or(unset.max_connections),
        max_pending_requests: max_pending_requests.unwrap_or(unset.max_pending_requests),
        max_parallel_requests: max_parallel_requests.unwrap_or(unset.max_parallel_requests),
        max_retries,
        max_requests_per_connection: max_requests_per_connection.filter(|&limit| limit > 0),
        max_connections_per_endpoint,
    }
}

fn lower_budget(
    RetryBudget {
        percent,
        min_retry_concurrency,
    }: &RetryBudget,
    found: &mut Faults,
) -> plan::RetryLimit {
    let share = match percent {
        None => 200_000,
        Some(percent) => percent.per_million().unwrap_or_else(|| {
            found.add(
                FEATURE,
                "circuitBreaker.retryBudget.percent",
                "invalid RetryBudget.Percent value",
            );
            0
        }),
    };
    plan::RetryLimit::Budget {
        share: PerMillion(share),
        floor: min_retry_concurrency.unwrap_or(3),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lowered(spec: serde_json::Value) -> (plan::CircuitBreaker, Option<String>) {
        let (spec, mut found) = (serde_json::from_value(spec).unwrap(), Faults::default());
        (lower(Some(&spec), &mut found), found.message())
    }

    #[test]
    fn what_is_absent_keeps_its_default() {
        let (plan, message) = lowered(json!({"maxConnections": 5}));
        assert_eq!(
            plan,
            plan::CircuitBreaker {
                max_connections: 5,
                ..plan::CircuitBreaker::DEFAULT
            }
        );
        assert_eq!(message, None);
        assert_eq!(
            lower(None, &mut Faults::default()),
            plan::CircuitBreaker::DEFAULT
        );
    }

    #[test]
    fn every_field() {
        let (plan, message) = lowered(json!({
            "maxConnections": 1, "maxPendingRequests": 2, "maxParallelRequests": 4_294_967_295_u32,
            "maxParallelRetries": 4, "maxRequestsPerConnection": 5, "perEndpoint": {"maxConnections": 6},
            "retryBudget": {"percent": {"numerator": 10}, "minRetryConcurrency": 7},
        }));
        assert_eq!(message, None);
        assert_eq!(
            plan,
            plan::CircuitBreaker {
                max_connections: 1,
                max_pending_requests: 2,
                max_parallel_requests: u32::MAX,
                max_retries: plan::RetryLimit::Budget {
                    share: PerMillion(100_000),
                    floor: 7
                },
                max_requests_per_connection: Some(5),
                max_connections_per_endpoint: Some(6),
            }
        );
    }

    #[test]
    fn edges() {
        assert_eq!(
            lowered(json!({"maxRequestsPerConnection": 0}))
                .0
                .max_requests_per_connection,
            None
        );
        assert_eq!(
            lowered(json!({"perEndpoint": {}}))
                .0
                .max_connections_per_endpoint,
            Some(1024)
        );
        assert_eq!(lowered(json!({"maxConnections": 0})).0.max_connections, 0);
        for (spec, expected) in [
            (
                json!({"maxConnections": -1}),
                "CircuitBreaker: invalid MaxConnections value -1.",
            ),
            (
                json!({"maxPendingRequests": 4_294_967_296_i64}),
                "CircuitBreaker: invalid MaxPendingRequests value 4294967296.",
            ),
        ] {
            assert_eq!(lowered(spec).1.as_deref(), Some(expected));
        }
    }
}
