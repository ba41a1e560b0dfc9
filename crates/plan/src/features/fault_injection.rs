//! Delays and failures made on purpose.

use std::time::Duration;

use serde::Serialize;

use crate::units::{PerMillion, duration};

/// What is done to a share of the requests before anything else. Both draws are independent; the delay comes first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FaultInjection {
    /// A pause.
    pub delay: Option<Delay>,
    /// An answer in place of the backend's.
    pub abort: Option<Abort>,
}

/// A pause before forwarding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Delay {
    /// How long.
    #[serde(serialize_with = "duration")]
    pub fixed: Duration,
    /// For which share of the requests.
    pub share: PerMillion,
}

/// An answer in place of the backend's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Abort {
    /// Which.
    pub status: AbortStatus,
    /// For which share of the requests.
    pub share: PerMillion,
}

/// The status of an abort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum AbortStatus {
    /// An HTTP status (a gRPC request gets the gRPC status that it maps to).
    HttpStatus(u16),
    /// A gRPC status (a request that is not gRPC gets HTTP 200).
    GrpcStatus(u8),
}
