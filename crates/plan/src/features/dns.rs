//! How host names of endpoints are resolved.

use std::time::Duration;

use serde::Serialize;

use crate::units::duration;

/// How host names of the endpoints of a cluster are resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dns {
    /// How often, where a record's own time to live does not say.
    #[serde(serialize_with = "duration")]
    pub refresh_rate: Duration,
    /// Whether a record's own time to live counts in place of `refresh_rate`, unless it is 0.
    pub respect_ttl: bool,
    /// Which addresses are asked for and used.
    pub lookup_family: DnsLookupFamily,
}

impl Dns {
    /// Envoy Gateway's defaults.
    pub const DEFAULT: Self = Self {
        refresh_rate: Duration::from_secs(30),
        respect_ttl: true,
        lookup_family: DnsLookupFamily::V4Preferred,
    };
}

/// Which addresses of a host name are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum DnsLookupFamily {
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
    /// IPv4, and IPv6 where there are none.
    V4Preferred,
    /// IPv6, and IPv4 where there are none.
    V6Preferred,
    /// Both; connections race for the first that works.
    All,
}
