//! Which endpoints of a cluster are taken for healthy: by asking them (active), and by what comes back (passive).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde::{Serialize, Serializer};

use crate::units::{Percent, duration};

/// Which endpoints are taken for healthy, and what becomes of requests when few are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HealthCheck {
    /// The gateway asks the endpoints.
    pub active: Option<ActiveHealthCheck>,
    /// The gateway watches what comes back.
    pub passive: Option<PassiveHealthCheck>,
    /// The share of healthy endpoints of a priority below which all of them are used. 0: never.
    pub panic_threshold: Percent,
}

impl HealthCheck {
    /// What applies where no policy says anything: no checks, and Envoy's panic threshold.
    pub const DEFAULT: Self = Self {
        active: None,
        passive: None,
        panic_threshold: Percent(50),
    };
}

/// How endpoints are asked. An endpoint is unhealthy until its first success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ActiveHealthCheck {
    /// What is sent, and which answers mean healthy.
    pub probe: Probe,
    /// How long an answer may take; more than 0.
    #[serde(serialize_with = "duration")]
    pub timeout: Duration,
    /// The time from one question to the next; more than 0.
    #[serde(serialize_with = "duration")]
    pub interval: Duration,
    /// The first question waits a random time up to this; 0: it does not wait.
    #[serde(serialize_with = "duration")]
    pub initial_jitter: Duration,
    /// Failures in a row until a healthy endpoint is unhealthy; 1 or more.
    pub unhealthy_threshold: u32,
    /// Successes in a row until an unhealthy endpoint is healthy again; 1 or more.
    pub healthy_threshold: u32,
    /// The port that is asked; none: the one that requests go to.
    pub port: Option<u16>,
    /// A log of the results.
    pub log: Option<HealthCheckLog>,
}

impl ActiveHealthCheck {
    /// Envoy Gateway's timeout.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);
    /// Envoy Gateway's interval.
    pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(3);
    /// Envoy Gateway's threshold.
    pub const DEFAULT_UNHEALTHY_THRESHOLD: u32 = 3;
    /// Envoy Gateway's threshold.
    pub const DEFAULT_HEALTHY_THRESHOLD: u32 = 1;
}

/// A question to an endpoint, and what answer means healthy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Probe {
    /// An HTTP request.
    Http(HttpProbe),
    /// A connection.
    Tcp {
        /// What is sent; none: nothing.
        send: Option<Payload>,
        /// What must come back; none: it is enough that the connection is made.
        receive: Option<Payload>,
    },
    /// A call of `grpc.health.v1.Health/Check`.
    Grpc {
        /// The service asked about; empty: the server as a whole.
        service: Arc<str>,
    },
}

/// An HTTP request that asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HttpProbe {
    /// Its host name; none: the endpoint's own, and where that has none, the route's.
    pub host: Option<Arc<str>>,
    /// Its path, with the query.
    pub path: Arc<str>,
    /// Its method.
    #[serde(serialize_with = "method")]
    pub method: Method,
    /// The statuses that mean healthy; never empty. They come before `retriable_statuses`.
    pub expected_statuses: BTreeSet<u16>,
    /// The statuses that count as one failure. All others make an endpoint unhealthy at once.
    pub retriable_statuses: BTreeSet<u16>,
    /// What the beginning of the body must contain.
    pub expected_response: Option<Payload>,
    /// The body that is sent.
    pub request_body: Option<Payload>,
}

fn method<S: Serializer>(method: &Method, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(method.as_str())
}

/// Bytes of a question or an answer; never empty. Their text form escapes what is not printable ASCII.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload(pub Arc<[u8]>);

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.escape_ascii())
    }
}

/// A log of health checks, a JSON object a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HealthCheckLog {
    /// The file that is written to.
    pub path: Arc<str>,
    /// Which results are logged; never empty.
    pub results: BTreeSet<LoggedResult>,
}

impl HealthCheckLog {
    /// Envoy Gateway's default: the standard output.
    pub const DEFAULT_PATH: &str = "/dev/stdout";
}

/// A result of a check that may be logged. The names are those of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum LoggedResult {
    /// Every failure.
    Failure,
    /// The first failure of a row.
    FailureSeriesStart,
    /// Every success.
    Success,
    /// The first success, and each that makes an endpoint healthy.
    HealthyTransition,
}

impl LoggedResult {
    /// Every result.
    pub const ALL: [Self; 4] = [
        Self::Failure,
        Self::FailureSeriesStart,
        Self::Success,
        Self::HealthyTransition,
    ];
}

/// When endpoints that fail are left out for a while (Envoy's outlier detection).
///
/// Endpoints whose share of successes stands out are left out too, as in Envoy, which the API cannot say: with five or
/// more endpoints that had 100 requests in an interval each, those below the mean less 1.9 standard deviations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PassiveHealthCheck {
    /// How often endpoints are judged and let in again; more than 0.
    #[serde(serialize_with = "duration")]
    pub interval: Duration,
    /// How long an endpoint is left out, times how often it was in a row; more than 0.
    #[serde(serialize_with = "duration")]
    pub base_ejection_time: Duration,
    /// The longest that an endpoint is left out.
    #[serde(serialize_with = "duration")]
    pub max_ejection_time: Duration,
    /// The largest share of a cluster's endpoints that is left out at one time; more than 0.
    pub max_ejection_percent: Percent,
    /// Whether one endpoint may be left out whatever `max_ejection_percent` says.
    pub always_eject_one_endpoint: bool,
    /// Statuses of 500 and more in a row; none: they do not matter.
    pub consecutive_5xx_errors: Option<u32>,
    /// Statuses 502, 503 and 504 in a row; none: they do not matter by themselves.
    pub consecutive_gateway_errors: Option<u32>,
    /// Whether failures of the gateway to reach an endpoint are counted apart. If not, they count as server errors.
    pub split_external_local_origin_errors: bool,
    /// Failures to reach an endpoint in a row, where those are counted apart; none: they do not matter.
    pub consecutive_local_origin_failures: Option<u32>,
    /// The share of failures from which on an endpoint is left out, where there are five endpoints and it had 50
    /// requests in an interval; none: it does not matter.
    pub failure_percentage_threshold: Option<Percent>,
}

impl PassiveHealthCheck {
    /// What an empty block means: the defaults of Envoy Gateway's schema, and Envoy's own for the longest time.
    pub const DEFAULT: Self = Self {
        interval: Duration::from_secs(3),
        base_ejection_time: Duration::from_secs(30),
        max_ejection_time: Duration::from_secs(300),
        max_ejection_percent: Percent(10),
        always_eject_one_endpoint: false,
        consecutive_5xx_errors: Some(5),
        consecutive_gateway_errors: None,
        split_external_local_origin_errors: false,
        consecutive_local_origin_failures: Some(5),
        failure_percentage_threshold: None,
    };
}
