//! Requests are refused at random while too few of them succeed.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use crate::units::{Percent, duration};

/// When requests are refused. With `n` requests in the window, `s` of them successful, a request is refused with the
/// probability `((n - s / min_success_rate) / (n + 1)) ^ (1 / rejection_aggression)`, where that is over 0 and at most
/// `max_rejection` (Envoy's admission control filter).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AdmissionControl {
    /// The time over which requests are counted, in whole seconds.
    #[serde(serialize_with = "duration")]
    pub sampling_window: Duration,
    /// The success rate from which on nothing is refused, 1 or more.
    pub min_success_rate: Percent,
    /// How steeply refusals grow, 1 or more: 1 is linear.
    pub rejection_aggression: u32,
    /// Requests a second, on average over the window, below which nothing is refused.
    pub min_request_rate: u32,
    /// The largest share that is refused.
    pub max_rejection: Percent,
    /// Which answers of HTTP are successes.
    pub http_success: HttpSuccess,
    /// Which statuses of gRPC are successes, by number.
    pub grpc_success: BTreeSet<u8>,
}

/// Which answers are successes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum HttpSuccess {
    /// All statuses below 500.
    BelowServerErrors,
    /// These statuses.
    Statuses(BTreeSet<u16>),
}

impl AdmissionControl {
    /// Envoy's sampling window.
    pub const DEFAULT_SAMPLING_WINDOW: Duration = Duration::from_secs(30);
    /// Envoy's threshold.
    pub const DEFAULT_MIN_SUCCESS_RATE: Percent = Percent(95);
    /// Linear, as in Envoy.
    pub const DEFAULT_REJECTION_AGGRESSION: u32 = 1;
    /// Envoy's cap.
    pub const DEFAULT_MAX_REJECTION: Percent = Percent(80);
    /// The statuses of gRPC that Envoy takes for successes: those that are not the server's fault. Ok, Cancelled,
    /// Unknown, InvalidArgument, NotFound, AlreadyExists, PermissionDenied, FailedPrecondition, OutOfRange,
    /// Unimplemented, Unauthenticated.
    pub const DEFAULT_GRPC_SUCCESS: [u8; 11] = [0, 1, 2, 3, 5, 6, 7, 9, 11, 12, 16];
}
