//! How the data plane is set up, apart from the plan.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use weir_limiter::Clock;

use crate::access_log::TextFormat;

/// How the data plane is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Worker threads, 1 or more.
    pub workers: usize,
    /// The address that listeners are bound to.
    pub bind: IpAddr,
    /// Local ports in place of those that Gateways name; 0: any free one.
    pub port_map: BTreeMap<u16, u16>,
    /// Bounds on what comes from outside.
    pub limits: Limits,
    /// Where requests are logged.
    pub access_log: AccessLogOptions,
    /// The time that limits go by.
    pub clock: Clock,
    /// The seed of every random choice; none: from the system.
    pub seed: Option<u64>,
}

/// Which requests are logged, what of them, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLogOptions {
    /// Where.
    pub target: AccessLogTarget,
    /// What a line has.
    pub form: AccessLogForm,
    /// How many of a million requests are logged, among those below status 500 without a response flag; all others are.
    pub per_million: u32,
}

/// All requests, and all of each.
impl From<AccessLogTarget> for AccessLogOptions {
    fn from(target: AccessLogTarget) -> Self {
        Self {
            target,
            form: AccessLogForm::Json(None),
            per_million: 1_000_000,
        }
    }
}

/// What a line of the access log has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLogForm {
    /// A JSON object with these of the keys [`crate::ACCESS_LOG_KEYS`]; none: with all of them.
    Json(Option<Vec<String>>),
    /// A text of Envoy's command operators.
    Text(TextFormat),
}

/// Where requests are logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLogTarget {
    /// Nowhere.
    Off,
    /// On standard output.
    Stdout,
    /// In a file, at its end.
    File(PathBuf),
}

/// Bounds on what comes from outside. The defaults are Envoy's or Envoy Gateway's where they have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections from clients at one time; more are closed at once. Default 16384.
    pub max_connections: usize,
    /// Bytes of a request's head, the request line included; more is answered 431. Default 61440 (60 KiB).
    pub max_head_bytes: usize,
    /// Headers of a request; more is answered 431. Default 100.
    pub max_headers: usize,
    /// Bytes of a request's target; more is answered 414. Default 8192.
    pub max_uri_bytes: usize,
    /// How long a client may take for its TLS handshake. Default 10 s.
    pub handshake_timeout: Duration,
    /// TLS handshakes at one time, per worker; where there are more, the oldest is given up. Default 1024.
    pub max_handshakes: usize,
    /// How long a client may take to send a request's head. Default 10 s.
    pub head_timeout: Duration,
    /// How long a connection may be without a request. Default 1 h.
    pub idle_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 16_384,
            max_head_bytes: 60 * 1024,
            max_headers: 100,
            max_uri_bytes: 8_192,
            handshake_timeout: Duration::from_secs(10),
            max_handshakes: 1_024,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(3_600),
        }
    }
}
