//! Certificates by the clock: which of those that listeners show are not valid now, or not for much longer.
//!
//! The engine reads no clock, so this is asked here, whenever findings are gathered.

use std::collections::BTreeMap;

use jiff::Timestamp;
use weir_plan::{Certificate, NamespacedName, Plan};
use weir_resolve::{Diagnostic, FieldPath, ObjectRef, Severity};

/// How long before its end a certificate is worth a word.
const SOON: i64 = 14 * 24 * 60 * 60;

/// What is to be said about the certificates of a plan at a moment. They are shown to clients whatever their dates are.
pub(crate) fn findings(plan: &Plan, now: Timestamp) -> Vec<Diagnostic> {
    let now = now.as_second();
    let found = of(plan).into_values().filter_map(|certificate| {
        let date = |second| {
            Timestamp::from_second(second).map_or_else(|_| "?".to_owned(), |it| it.to_string())
        };
        let Certificate {
            name,
            fingerprints: _,
            hostnames: _,
            not_before,
            not_after,
            chain: _,
            key: _,
        } = certificate;
        let (id, message) = if *not_after < now {
            let message = format!(
                "the certificate ended at {}: clients refuse it; renew it",
                date(*not_after)
            );
            ("certificate-expired", message)
        } else if *not_before > now {
            let message = format!(
                "the certificate begins at {}: clients refuse it until then",
                date(*not_before)
            );
            ("certificate-not-yet-valid", message)
        } else if *not_after - now < SOON {
            let message = format!("the certificate ends at {}: renew it", date(*not_after));
            ("certificate-expires-soon", message)
        } else {
            return None;
        };
        Some(Diagnostic {
            object: secret(name.as_str())?,
            field: FieldPath::default(),
            severity: Severity::Warning,
            id,
            message,
        })
    });
    found.collect()
}

/// When the certificates of a plan end, by name, in seconds since the Unix epoch.
pub(crate) fn ends(plan: &Plan) -> BTreeMap<String, i64> {
    let all = of(plan).into_iter();
    all.map(|(name, it)| (name.to_owned(), it.not_after))
        .collect()
}

fn of(plan: &Plan) -> BTreeMap<&str, &Certificate> {
    let tls = plan.listeners.iter().filter_map(|it| it.tls.as_ref());
    tls.flat_map(|it| &it.certificates)
        .map(|it| (it.name.as_str(), &**it))
        .collect()
}

/// The Secret that a certificate is in, by its name `Secret/namespace/name`.
fn secret(name: &str) -> Option<ObjectRef> {
    let (namespace, name) = name.strip_prefix("Secret/")?.split_once('/')?;
    Some(ObjectRef {
        group: String::new(),
        kind: "Secret".to_owned(),
        name: NamespacedName::new(namespace, name),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use weir_plan::{
        CertificateName, Der, HostMatch, Listener, ListenerName, ListenerTls, PrivateKey,
        TlsVersion,
    };

    use super::*;

    fn plan(not_before: i64, not_after: i64) -> Plan {
        let certificate = Certificate {
            name: CertificateName::of_secret(&NamespacedName::new("default", "cert")),
            fingerprints: Vec::new(),
            hostnames: Vec::new(),
            not_before,
            not_after,
            chain: vec![Der(Arc::new([]))],
            key: PrivateKey(Arc::new([])),
        };
        let listener = Listener {
            name: ListenerName {
                gateway: NamespacedName::new("default", "edge"),
                listener: "https".into(),
            },
            port: 443,
            hostname: HostMatch::Any,
            tls: Some(Arc::new(ListenerTls {
                certificates: vec![Arc::new(certificate)],
                min_version: TlsVersion::V1_2,
                max_version: TlsVersion::V1_3,
                ciphers: ListenerTls::CIPHERS.to_vec(),
                curves: ListenerTls::CURVES.to_vec(),
                alpn: ListenerTls::ALPN.to_vec(),
                clients: None,
            })),
            client: None,
            hosts: Vec::new(),
        };
        Plan {
            listeners: vec![Arc::new(listener)],
            clusters: BTreeMap::new(),
            l4: Vec::new(),
        }
    }

    #[test]
    fn dates_are_held_against_the_clock() {
        const DAY: i64 = 24 * 60 * 60;
        let now = Timestamp::from_second(1_000 * DAY).unwrap();
        let cases = [
            (0, 999, Some("certificate-expired")),
            (0, 1_001, Some("certificate-expires-soon")),
            (0, 1_013, Some("certificate-expires-soon")),
            (0, 1_015, None),
            (1_001, 2_000, Some("certificate-not-yet-valid")),
        ];
        for (from, to, expected) in cases {
            let found = findings(&plan(from * DAY, to * DAY), now);
            let id = found.first().map(|it| it.id);
            assert_eq!(id, expected, "{from} {to}");
        }
        let found = findings(&plan(0, 999 * DAY), now);
        assert_eq!(found[0].object.to_string(), "Secret default/cert");
        assert!(
            found[0].message.contains("1972-09-26T00:00:00Z"),
            "{}",
            found[0].message
        );
        assert_eq!(ends(&plan(0, 7))["Secret/default/cert"], 7);
    }
}
