//! How an endpoint is chosen.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::units::{Percent, duration, optional_duration};

/// How an endpoint of a cluster is chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoadBalancer {
    /// The way among the endpoints of a locality.
    pub algorithm: Algorithm,
    /// The way among zones.
    pub zone_aware: Option<ZoneAware>,
    /// The request headers, in their order, that may name the endpoints to use: `IP:port`, or several with commas. The
    /// algorithm chooses where they name none of the cluster.
    pub endpoint_override: Vec<Arc<str>>,
}

impl LoadBalancer {
    /// Envoy Gateway's default.
    pub const DEFAULT: Self = Self {
        algorithm: Algorithm::LeastRequest { slow_start: None },
        zone_aware: None,
        endpoint_override: Vec::new(),
    };
}

/// The way an endpoint is chosen among those of a locality.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Algorithm {
    /// One after the other.
    RoundRobin {
        /// New endpoints get less.
        slow_start: Option<SlowStart>,
    },
    /// Of two drawn at random, the one with fewer requests in progress.
    LeastRequest {
        /// New endpoints get less.
        slow_start: Option<SlowStart>,
    },
    /// Any.
    Random,
    /// The one that a hash of the request leads to, by Maglev.
    ConsistentHash(ConsistentHash),
    /// One after the other, weighted by what endpoints report about themselves (ORCA).
    BackendUtilization(BackendUtilization),
    /// As a module from outside decides.
    DynamicModule(DynamicModule),
}

/// New endpoints get their share of requests little by little, from a tenth on, in proportion to the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SlowStart {
    /// How long it takes; more than 0.
    #[serde(serialize_with = "duration")]
    pub window: Duration,
}

/// A choice by hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConsistentHash {
    /// What is hashed. Requests without it go to any endpoint.
    pub key: HashKey,
    /// The number of places in the table of endpoints; a prime.
    pub table_size: u32,
}

impl ConsistentHash {
    /// Maglev's and Envoy's table size.
    pub const DEFAULT_TABLE_SIZE: u32 = 65_537;
    /// The largest table that Envoy makes.
    pub const MAX_TABLE_SIZE: u32 = 5_000_011;
}

/// What of a request is hashed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum HashKey {
    /// The client's IP address.
    SourceIp,
    /// The values of these headers, combined in order. Names are in lower case.
    Headers(Vec<Arc<str>>),
    /// The value of a cookie.
    Cookie(HashCookie),
    /// The values of these query parameters, combined in order.
    QueryParams(Vec<Arc<str>>),
}

/// A cookie that is hashed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HashCookie {
    /// Its name.
    pub name: Arc<str>,
    /// The cookie that clients without one get; none: they get none.
    pub generated: Option<GeneratedCookie>,
}

/// A cookie that clients get so that they come back to the same endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GeneratedCookie {
    /// How long it is good for; none: as long as the browser runs.
    #[serde(serialize_with = "optional_duration")]
    pub max_age: Option<Duration>,
    /// Further attributes, such as `SameSite`.
    pub attributes: BTreeMap<Arc<str>, Arc<str>>,
}

/// Weights from reports: requests per second, divided by the utilization and the penalty for errors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackendUtilization {
    /// How long reports must come before they count.
    #[serde(serialize_with = "duration")]
    pub blackout_period: Duration,
    /// How long a weight lasts without a report.
    #[serde(serialize_with = "duration")]
    pub weight_expiration_period: Duration,
    /// How often weights are computed; 100 ms or more.
    #[serde(serialize_with = "duration")]
    pub weight_update_period: Duration,
    /// How much the share of errors adds to the utilization, in percent.
    pub error_utilization_penalty_percent: u32,
    /// The reported metrics that stand for the utilization; the largest counts. Where none of them is reported:
    /// application utilization, then CPU utilization.
    pub metric_names: Vec<Arc<str>>,
    /// Whether the headers with reports stay in responses to clients.
    pub keep_response_headers: bool,
    /// Reports that are asked for, beside those in responses.
    pub out_of_band: Option<OutOfBand>,
    /// New endpoints get less.
    pub slow_start: Option<SlowStart>,
}

impl BackendUtilization {
    /// What an empty block means: Envoy's defaults.
    pub const DEFAULT: Self = Self {
        blackout_period: Duration::from_secs(10),
        weight_expiration_period: Duration::from_secs(180),
        weight_update_period: Duration::from_secs(1),
        error_utilization_penalty_percent: 100,
        metric_names: Vec::new(),
        keep_response_headers: false,
        out_of_band: None,
        slow_start: None,
    };
    /// The shortest time from one computation to the next, as in Envoy.
    pub const MIN_UPDATE_PERIOD: Duration = Duration::from_millis(100);
}

/// Reports that are asked for, from `xds.service.orca.v3.OpenRcaService`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutOfBand {
    /// How often.
    #[serde(serialize_with = "duration")]
    pub reporting_period: Duration,
    /// At which port; none: the one that requests go to.
    pub port: Option<u16>,
    /// Under which authority; none: the endpoint's own host name, else its address.
    pub authority: Option<Arc<str>>,
}

impl OutOfBand {
    /// What an empty block means: Envoy's period.
    pub const DEFAULT: Self = Self {
        reporting_period: Duration::from_secs(10),
        port: None,
        authority: None,
    };
}

/// An algorithm from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DynamicModule {
    /// The module.
    pub name: Arc<str>,
    /// The algorithm in it.
    pub lb_policy_name: Arc<str>,
    /// What it is given, as JSON; none: nothing.
    pub config: Option<Arc<str>>,
}

/// How requests are shared out among zones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum ZoneAware {
    /// Endpoints in the gateway's own zone come first.
    PreferLocal(PreferLocal),
    /// Each zone gets a share in proportion to its weight; zones that are not listed have 1.
    WeightedZones(BTreeMap<Arc<str>, u32>),
}

/// Endpoints in the gateway's own zone come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PreferLocal {
    /// The number of endpoints in all zones from which on zones matter.
    pub min_endpoints_threshold: u64,
    /// For which share of the requests zones matter.
    pub percentage_enabled: Percent,
    /// The number of endpoints in the own zone from which on all requests stay in it; none: as many stay as keeps the
    /// zones in balance.
    pub force_from: Option<u32>,
}

impl PreferLocal {
    /// What an empty block means: Envoy's defaults.
    pub const DEFAULT: Self = Self {
        min_endpoints_threshold: 6,
        percentage_enabled: Percent(100),
        force_from: None,
    };
}
