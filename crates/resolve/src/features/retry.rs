//! `spec.retry`: when and how often a request is tried again.
//!
//! Scope: route. Unset: no retries. An HTTPRoute rule's own `retry` replaces the whole block. Invalid: back-off
//! intervals of 0, or a longest one below the base or without one.

use std::collections::BTreeSet;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_plan::features::retry::{self as plan, RetryTrigger};

use super::Faults;
use crate::api::scalar::DurationText;

const FEATURE: &str = "Retry";
/// Attempts after the first where nothing is written.
const NUM_RETRIES: u32 = 2;

/// When and how often a request is tried again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// Attempts after the first. Default 2.
    pub num_retries: Option<i32>,
    /// Attempts at one priority of endpoints before the next. Default and 0: priorities do not matter.
    pub num_attempts_per_priority: Option<i32>,
    /// What counts as a failure. Default: `connect-failure`, `refused-stream`, `unavailable`, `cancelled` and the
    /// status 503.
    pub retry_on: Option<RetryOn>,
    /// How long an attempt may take, and the pauses in between.
    pub per_retry: Option<PerRetry>,
}

/// What counts as a failure.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetryOn {
    /// In place of the default triggers; without `httpStatusCodes` no status counts then.
    pub triggers: Option<Vec<String>>,
    /// The statuses that `retriable-status-codes` means, in place of 503.
    pub http_status_codes: Option<Vec<i64>>,
}

/// One attempt and the pause before it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PerRetry {
    /// The longest that an attempt may take. Default: as long as the whole request may.
    pub timeout: Option<DurationText>,
    /// The pauses.
    #[serde(alias = "backoff")]
    pub back_off: Option<BackOff>,
}

/// Pauses that grow from attempt to attempt, each cut short at random.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackOff {
    /// The base; more than 0. Default 25ms.
    pub base_interval: Option<DurationText>,
    /// The longest pause; the base or more, which must then be given. Default ten times the base.
    pub max_interval: Option<DurationText>,
}

pub(crate) fn lower(spec: Option<&Retry>, found: &mut Faults) -> Option<plan::Retry> {
    let Retry {
        num_retries,
        num_attempts_per_priority,
        retry_on,
        per_retry,
    } = spec?;
    let num_retries = num_retries
        .map_or(Some(NUM_RETRIES), |number| u32::try_from(number).ok())
        .unwrap_or_else(|| {
            found.add(FEATURE, "retry.numRetries", "numRetries must be 0 or more");
            0
        });
    let RetryOn {
        triggers,
        http_status_codes,
    } = retry_on.clone().unwrap_or_default();
    let triggers: Vec<String> = triggers.unwrap_or_default();
    let codes = http_status_codes.unwrap_or_default();
    let status_codes = status_codes(&codes, triggers.is_empty(), found);
    let asked = |it: &String| it == "retriable-status-codes";
    if !codes.is_empty() && !triggers.is_empty() && !triggers.iter().any(asked) {
        let text = "without the trigger retriable-status-codes no status counts";
        found.ignored(FEATURE, "retry.retryOn.httpStatusCodes", text);
    }
    let triggers = if triggers.is_empty() {
        default_triggers()
    } else {
        lower_triggers(&triggers, found)
    };
    let PerRetry { timeout, back_off } = per_retry.clone().unwrap_or_default();
    let per_try_timeout = found.duration(
        FEATURE,
        "retry.perRetry.timeout",
        "PerRetry.Timeout",
        timeout.as_ref(),
    );
    let back_off = back_off
        .as_ref()
        .map_or(plan::BackOff::DEFAULT, |back_off| {
            lower_back_off(back_off, found)
        });
    (num_retries > 0).then_some(plan::Retry {
        num_retries,
        triggers,
        status_codes,
        per_try_timeout: per_try_timeout.filter(|it| !it.is_zero()),
        back_off,
        num_attempts_per_priority: num_attempts_per_priority
            .and_then(|number| u32::try_from(number).ok())
            .filter(|&number| number > 0),
    })
}

/// Pauses from a base to ten times as much.
fn growing_from(base: Duration) -> plan::BackOff {
    plan::BackOff {
        base,
        max: base.saturating_mul(10),
    }
}

/// The triggers that count where none are written.
fn default_triggers() -> BTreeSet<RetryTrigger> {
    BTreeSet::from([
        RetryTrigger::ConnectFailure,
        RetryTrigger::RefusedStream,
        RetryTrigger::Unavailable,
        RetryTrigger::Cancelled,
        RetryTrigger::RetriableStatusCodes,
    ])
}

fn lower_triggers(words: &[String], found: &mut Faults) -> BTreeSet<RetryTrigger> {
    let mut triggers = BTreeSet::new();
    for (index, word) in words.iter().enumerate() {
        match trigger(word) {
            Some(trigger) => drop(triggers.insert(trigger)),
            None => {
                found.add(
                    FEATURE,
                    format!("retry.retryOn.triggers[{index}]"),
                    format!("unsupported RetryOn trigger {word}"),
                );
            }
        }
    }
    triggers
}

fn trigger(word: &str) -> Option<RetryTrigger> {
    Some(match word {
        "5xx" => RetryTrigger::ServerError,
        "gateway-error" => RetryTrigger::GatewayError,
        "reset" => RetryTrigger::Reset,
        "reset-before-request" => RetryTrigger::ResetBeforeRequest,
        "connect-failure" => RetryTrigger::ConnectFailure,
        "retriable-4xx" => RetryTrigger::Retriable4xx,
        "refused-stream" => RetryTrigger::RefusedStream,
        "retriable-status-codes" => RetryTrigger::RetriableStatusCodes,
        "cancelled" => RetryTrigger::Cancelled,
        "deadline-exceeded" => RetryTrigger::DeadlineExceeded,
        "internal" => RetryTrigger::Internal,
        "resource-exhausted" => RetryTrigger::ResourceExhausted,
        "unavailable" => RetryTrigger::Unavailable,
        _ => return None,
    })
}

fn status_codes(codes: &[i64], default_applies: bool, found: &mut Faults) -> BTreeSet<u16> {
    if codes.is_empty() {
        return if default_applies {
            BTreeSet::from([503])
        } else {
            BTreeSet::new()
        };
    }
    let mut known = BTreeSet::new();
    for (index, code) in codes.iter().enumerate() {
        match u16::try_from(*code) {
            Ok(code @ 100..=599) => drop(known.insert(code)),
            _ => found.add(
                FEATURE,
                format!("retry.retryOn.httpStatusCodes[{index}]"),
                format!("invalid HTTPStatusCodes value {code}"),
            ),
        }
    }
    known
}

fn lower_back_off(
    BackOff {
        base_interval,
        max_interval,
    }: &BackOff,
    found: &mut Faults,
) -> plan::BackOff {
    let (base_field, max_field) = (
        "retry.perRetry.backOff.baseInterval",
        "retry.perRetry.backOff.maxInterval",
    );
    let base = found.duration(FEATURE, base_field, "BaseInterval", base_interval.as_ref());
    let max = found.duration(FEATURE, max_field, "MaxInterval", max_interval.as_ref());
    match (base, max) {
        (Some(base), _) if base.is_zero() => {
            found.add(FEATURE, base_field, "baseInterval cannot be set to 0s");
        }
        (_, Some(max)) if max.is_zero() => {
            found.add(FEATURE, max_field, "maxInterval cannot be set to 0s");
        }
        (Some(base), Some(max)) if max < base => {
            found.add(
                FEATURE,
                max_field,
                "maxInterval cannot be less than baseInterval",
            );
        }
        (None, Some(_)) => found.add(
            FEATURE,
            max_field,
            "maxInterval cannot be set without baseInterval",
        ),
        (Some(_) | None, _) => {}
    }
    match base {
        None => plan::BackOff::DEFAULT,
        Some(base) => max.map_or_else(|| growing_from(base), |max| plan::BackOff { base, max }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn lowered(spec: Value) -> (Option<plan::Retry>, Option<String>) {
        let (spec, mut found) = (serde_json::from_value(spec).unwrap(), Faults::default());
        (lower(Some(&spec), &mut found), found.message())
    }

    #[test]
    fn triggers_and_statuses_replace_each_other_as_in_the_reference() {
        let default = default_triggers();
        let only = |trigger| BTreeSet::from([trigger]);
        for (retry_on, triggers, codes) in [
            (json!({}), default.clone(), vec![503]),
            (
                json!({"triggers": [], "httpStatusCodes": []}),
                default.clone(),
                vec![503],
            ),
            (
                json!({"httpStatusCodes": [429, 500, 429]}),
                default.clone(),
                vec![429, 500],
            ),
            (
                json!({"triggers": ["reset"]}),
                only(RetryTrigger::Reset),
                vec![],
            ),
            (
                json!({"triggers": ["5xx", "5xx"], "httpStatusCodes": [503]}),
                only(RetryTrigger::ServerError),
                vec![503],
            ),
        ] {
            let (plan, message) = lowered(json!({"retryOn": retry_on}));
            let plan = plan.unwrap();
            assert_eq!(message, None);
            assert_eq!(
                (
                    plan.triggers,
                    plan.status_codes.into_iter().collect::<Vec<_>>()
                ),
                (triggers, codes),
                "{retry_on}"
            );
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(lowered(json!({})).0.unwrap().num_retries, 2);
        assert_eq!(lowered(json!({"numRetries": 0})).0, None);
        for (number, expected) in [(0, None), (-3, None), (4, Some(4))] {
            let plan = lowered(json!({"numAttemptsPerPriority": number}))
                .0
                .unwrap();
            assert_eq!(plan.num_attempts_per_priority, expected);
        }
    }

    #[test]
    fn back_off() {
        let millis = Duration::from_millis;
        for (spec, base, max, message) in [
            (json!({}), 25, 250, None),
            (json!({"baseInterval": "100ms"}), 100, 1000, None),
            (
                json!({"baseInterval": "100ms", "maxInterval": "10s"}),
                100,
                10_000,
                None,
            ),
            (
                json!({"baseInterval": "0s"}),
                0,
                0,
                Some("Retry: baseInterval cannot be set to 0s."),
            ),
            (
                json!({"baseInterval": "1s", "maxInterval": "0s"}),
                1000,
                0,
                Some("Retry: maxInterval cannot be set to 0s."),
            ),
            (
                json!({"baseInterval": "2s", "maxInterval": "1s"}),
                2000,
                1000,
                Some("Retry: maxInterval cannot be less than baseInterval."),
            ),
            (
                json!({"maxInterval": "1s"}),
                25,
                250,
                Some("Retry: maxInterval cannot be set without baseInterval."),
            ),
        ] {
            for key in ["backOff", "backoff"] {
                let (plan, found) = lowered(json!({"perRetry": {key: spec}}));
                assert_eq!(
                    plan.unwrap().back_off,
                    plan::BackOff {
                        base: millis(base),
                        max: millis(max)
                    },
                    "{spec}"
                );
                assert_eq!(found.as_deref(), message, "{spec}");
            }
        }
    }
}
