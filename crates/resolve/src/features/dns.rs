//! `spec.dns`: how host names of backends are resolved.
//!
//! Scope: cluster. Unset: every 30 s or when a record ends. Invalid: a refresh rate of 1 ms or less. The plan has no
//! type for it yet.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Faults;
use crate::api::scalar::DurationText;

/// How host names of backends are resolved.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dns {
    /// How often; more than 1ms. Default 30s.
    pub dns_refresh_rate: Option<DurationText>,
    /// Whether a record's own time to live counts instead. Default true.
    pub respect_dns_ttl: Option<bool>,
    /// `IPv4`, `IPv6`, `IPv4Preferred` (default), `IPv6Preferred` or `IPv4AndIPv6`.
    pub lookup_family: Option<String>,
}

pub(crate) fn check(
    Dns {
        dns_refresh_rate,
        respect_dns_ttl: _,
        lookup_family: _,
    }: &Dns,
    found: &mut Faults,
) {
    if let Some(text) = dns_refresh_rate
        && text.parse().is_none_or(|it| it <= Duration::from_millis(1))
    {
        found.add(
            "DNS",
            "dns.dnsRefreshRate",
            format!("invalid DNSRefreshRate value {text}"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refresh_rates() {
        for (text, expected) in [
            ("2ms", None),
            ("1ms", Some("DNS: invalid DNSRefreshRate value 1ms.")),
            ("x", Some("DNS: invalid DNSRefreshRate value x.")),
        ] {
            let mut found = Faults::default();
            let spec = Dns {
                dns_refresh_rate: Some(DurationText(text.to_owned())),
                respect_dns_ttl: None,
                lookup_family: None,
            };
            check(&spec, &mut found);
            assert_eq!(found.message().as_deref(), expected);
        }
    }
}
