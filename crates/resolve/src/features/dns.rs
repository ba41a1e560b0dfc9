//! `spec.dns`: how host names of backends are resolved.
//!
//! Scope: cluster. Unset: [`plan::Dns::DEFAULT`], every 30 s or when a record ends. Invalid: a refresh rate of 1 ms or
//! less. A rate that is no duration and a family that is none are left out, as in the reference.

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
    let field = "dns.dnsRefreshRate";
    let rate = dns_refresh_rate.as_ref();
    let refresh_rate = found
        .duration_or_default(FEATURE, field, rate, "the default of 30s applies")
        .filter(|it| {
            let valid = *it > Duration::from_millis(1);
            if let (false, Some(text)) = (valid, rate) {
                found.add(
                    FEATURE,
                    field,
                    format!("invalid DNSRefreshRate value {text}"),
                );
            }
            valid
        });
    let lookup_family = lookup_family.as_deref().and_then(|word| {
        let family = lower_family(word);
        if family.is_none() {
            let text = format!(
                "{word:?} is no lookup family, so the default of IPv4Preferred applies; use IPv4, IPv6, IPv4Preferred, \
                 IPv6Preferred or IPv4AndIPv6"
            );
            found.ignored(FEATURE, "dns.lookupFamily", text);
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
        ] {
            assert_eq!(lowered(&spec).1.as_deref(), expected, "{spec}");
        }
    }
}
