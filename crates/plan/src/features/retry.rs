//! Further attempts after a failure.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use crate::units::{duration, optional_duration};

/// When and how often a request is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Retry {
    /// Attempts after the first.
    pub num_retries: u32,
    /// What counts as a failure.
    pub triggers: BTreeSet<RetryTrigger>,
    /// The statuses that [`RetryTrigger::RetriableStatusCodes`] means.
    pub status_codes: BTreeSet<u16>,
    /// The longest that one attempt may take until its response head; none: only the request's own limit counts.
    #[serde(serialize_with = "optional_duration")]
    pub per_try_timeout: Option<Duration>,
    /// The pause before an attempt.
    pub back_off: BackOff,
    /// Attempts at one priority before the next; none: priorities do not matter.
    pub num_attempts_per_priority: Option<u32>,
}

/// Fully jittered exponential back-off: before retry N (from 1), a random time below `min((2^N - 1) * base, max)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BackOff {
    /// The base.
    #[serde(serialize_with = "duration")]
    pub base: Duration,
    /// The most.
    #[serde(serialize_with = "duration")]
    pub max: Duration,
}

impl BackOff {
    /// Envoy's back-off.
    pub const DEFAULT: Self = Self {
        base: Duration::from_millis(25),
        max: Duration::from_millis(250),
    };
}

/// What counts as a failure worth another attempt. Names as in the API and in Envoy's `retry_on`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are those of the API")]
pub enum RetryTrigger {
    #[serde(rename = "5xx")]
    ServerError,
    GatewayError,
    Reset,
    ResetBeforeRequest,
    ConnectFailure,
    #[serde(rename = "retriable-4xx")]
    Retriable4xx,
    RefusedStream,
    RetriableStatusCodes,
    Cancelled,
    DeadlineExceeded,
    Internal,
    ResourceExhausted,
    Unavailable,
}
