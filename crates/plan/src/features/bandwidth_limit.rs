//! How many bytes a route lets through.

use std::sync::Arc;

use serde::Serialize;

/// Limits of one route, each for all of its requests together. At least one of them is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BandwidthLimit {
    /// Towards the backend.
    pub request: Option<KibibytesPerSecond>,
    /// From the backend.
    pub response: Option<ResponseBandwidth>,
}

/// The limit of responses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ResponseBandwidth {
    /// What is allowed.
    pub limit: KibibytesPerSecond,
    /// What is put in front of the names of the trailers that say how long both limits held things up, in
    /// milliseconds: `PREFIX-bandwidth-response-delay-ms`, or without prefix and dash where it is empty. None: no
    /// trailers.
    pub trailers: Option<Arc<str>>,
}

/// Whole KiB (1024 bytes) a second, 1 or more: the unit of Envoy's bandwidth limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct KibibytesPerSecond(pub u64);
