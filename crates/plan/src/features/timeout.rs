//! Time limits of requests (route half) and connections (cluster half).

use std::time::Duration;

use serde::Serialize;

use crate::units::{duration, optional_duration};

/// Time limits of one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RouteTimeout {
    /// From the last byte of the request to the last byte of the response, all attempts included.
    #[serde(serialize_with = "optional_duration")]
    pub request: Option<Duration>,
    /// The longest pause in either direction.
    #[serde(serialize_with = "optional_duration")]
    pub stream_idle: Option<Duration>,
    /// From the request's head to the end of the response.
    #[serde(serialize_with = "optional_duration")]
    pub max_stream_duration: Option<Duration>,
}

impl RouteTimeout {
    /// Envoy's defaults: 15 s for a request, 5 min without activity.
    pub const DEFAULT: Self = Self {
        request: Some(Duration::from_secs(15)),
        stream_idle: Some(Duration::from_secs(300)),
        max_stream_duration: None,
    };
}

/// Time limits of the connections to a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClusterTimeout {
    /// For making a connection.
    #[serde(serialize_with = "duration")]
    pub connect: Duration,
    /// How long a connection may be without requests.
    #[serde(serialize_with = "optional_duration")]
    pub connection_idle: Option<Duration>,
    /// The age from which a connection takes no new requests.
    #[serde(serialize_with = "optional_duration")]
    pub max_connection_duration: Option<Duration>,
}

impl ClusterTimeout {
    /// Envoy Gateway's connect timeout and Envoy's idle timeout.
    pub const DEFAULT: Self = Self {
        connect: Duration::from_secs(10),
        connection_idle: Some(Duration::from_secs(3600)),
        max_connection_duration: None,
    };
}
