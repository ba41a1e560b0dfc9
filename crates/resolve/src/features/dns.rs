//! `spec.dns`: how host names of backends are resolved.
//!
//! Scope: cluster. Unset: [`plan::Dns::DEFAULT`], every 30 s or when a record ends. Invalid: a refresh rate of 1 ms or
//! less.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_plan::features::dns as plan;

use super::Faults;
use crate::api::scalar::DurationText;

const FEATURE: &str = "DNS";

/// How host names of backends are resolved.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Dns {
    /// How often; more than 1ms. Default 30s.
    pub dns_refresh_rate: Option<DurationText>,
    /// Whether a record's own time to live counts instead. Default true.
    pub respect_dns_ttl: Option<bool>,
    /// `IPv4`, `IPv6`, `IPv4Preferred` (default), `IPv6Preferred` or `IPv4AndIPv6`.
    pub lookup_family: Option<String>,
}

pub(crate) fn lower(spec: Option<&Dns>, found: &mut Faults) -> plan::Dns {
    let unset = plan::Dns::DEFAULT;
    let Some(Dns {
        dns_refresh_rate,
        respect_dns_ttl,
        lookup_family,
    }) = spec
    else {
        return unset;
    };
    let refresh_rate = dns_refresh_rate.as_ref().and_then(|text| {
        let rate = text.parse().filter(|it| *it > Duration::from_millis(1));
        if rate.is_none() {
            let text = format!("invalid DNSRefreshRate value {text}");
            found.add(FEATURE, "dns.dnsRefreshRate", text);
        }
        rate
    });
    let lookup_family = lookup_family.as_deref().and_then(|word| {
        let family = lower_family(word);
        if family.is_none() {
            let text = format!("invalid LookupFamily value {word}");
            found.add(FEATURE, "dns.lookupFamily", text);
        }
        family
    });
    plan::Dns {
        refresh_rate: refresh_rate.unwrap_or(unset.refresh_rate),
        respect_ttl: respect_dns_ttl.unwrap_or(unset.respect_ttl),
        lookup_family: lookup_family.unwrap_or(unset.lookup_family),
    }
}

fn lower_family(word: &str) -> Option<plan::DnsLookupFamily> {
    Some(match word {
        "IPv4" => plan::DnsLookupFamily::V4,
        "IPv6" => plan::DnsLookupFamily::V6,
        "IPv4Preferred" => plan::DnsLookupFamily::V4Preferred,
        "IPv6Preferred" => plan::DnsLookupFamily::V6Preferred,
        "IPv4AndIPv6" => plan::DnsLookupFamily::All,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn lowered(spec: &Value) -> (plan::Dns, Option<String>) {
        let (spec, mut found) = (
            serde_json::from_value(spec.clone()).unwrap(),
            Faults::default(),
        );
        (lower(Some(&spec), &mut found), found.message())
    }

    #[test]
    fn what_is_absent_keeps_its_default() {
        assert_eq!(lower(None, &mut Faults::default()), plan::Dns::DEFAULT);
        assert_eq!(lowered(&json!({})), (plan::Dns::DEFAULT, None));
        let (plan, _) = lowered(&json!({"dnsRefreshRate": "5s"}));
        let expected = plan::Dns {
            refresh_rate: Duration::from_secs(5),
            respect_ttl: true,
            lookup_family: plan::DnsLookupFamily::V4Preferred,
        };
        assert_eq!(plan, expected);
    }

    #[test]
    fn every_field() {
        for (word, lookup_family) in [
            ("IPv4", plan::DnsLookupFamily::V4),
            ("IPv6", plan::DnsLookupFamily::V6),
            ("IPv4Preferred", plan::DnsLookupFamily::V4Preferred),
            ("IPv6Preferred", plan::DnsLookupFamily::V6Preferred),
            ("IPv4AndIPv6", plan::DnsLookupFamily::All),
        ] {
            let spec =
                json!({"dnsRefreshRate": "1m", "respectDnsTtl": false, "lookupFamily": word});
            let expected = plan::Dns {
                refresh_rate: Duration::from_secs(60),
                respect_ttl: false,
                lookup_family,
            };
            assert_eq!(lowered(&spec), (expected, None));
        }
    }

    #[test]
    fn faults() {
        for (spec, expected) in [
            (json!({"dnsRefreshRate": "2ms"}), None),
            (
                json!({"dnsRefreshRate": "1ms"}),
                Some("DNS: invalid DNSRefreshRate value 1ms."),
            ),
            (
                json!({"dnsRefreshRate": "x"}),
                Some("DNS: invalid DNSRefreshRate value x."),
            ),
            (
                json!({"lookupFamily": "IPv5"}),
                Some("DNS: invalid LookupFamily value IPv5."),
            ),
        ] {
            assert_eq!(lowered(&spec).1.as_deref(), expected, "{spec}");
        }
    }
}
