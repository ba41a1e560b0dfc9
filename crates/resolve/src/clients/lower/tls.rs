//! `tls` of a ClientTrafficPolicy, lowered: what it puts in place of what the listener says, and which clients it lets in.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use weir_plan::{
    AlpnProtocol, Authority, CipherSuite, ClientValidation, ClientValidationMode, Curve, Hash256,
    ListenerTls, RevocationList, SubjectAltName, TlsVersion,
};

use super::{TLS, string_matches};
use crate::api::client_traffic_policy::tls as api;
use crate::clients::references::Referring;
use crate::features::Faults;
use crate::resources::Resources;

/// What a policy says of TLS; none: nothing.
#[derive(Debug, Default)]
pub(in crate::clients) struct TlsSettings {
    min_version: Option<TlsVersion>,
    max_version: Option<TlsVersion>,
    ciphers: Option<Vec<CipherSuite>>,
    curves: Option<Vec<Curve>>,
    alpn: Option<Vec<AlpnProtocol>>,
    clients: Option<ClientValidation>,
}

impl TlsSettings {
    /// A listener's TLS under the policy, or why there is none.
    pub(in crate::clients) fn apply(&self, listener: &ListenerTls) -> Result<ListenerTls, String> {
        let Self {
            min_version,
            max_version,
            ciphers,
            curves,
            alpn,
            clients,
        } = self;
        let ListenerTls {
            certificates,
            min_version: least,
            max_version: most,
            ciphers: _,
            curves: _,
            alpn: _,
            clients: _,
        } = listener;
        let least = min_version.unwrap_or(*least);
        let most = max_version.unwrap_or(*most);
        if least > most {
            return Err("the listener's weir.dev/tls-min-version is above maxVersion".to_owned());
        }
        Ok(ListenerTls {
            certificates: certificates.clone(),
            min_version: least,
            max_version: most,
            ciphers: ciphers.clone().unwrap_or_else(|| listener.ciphers.clone()),
            curves: curves.clone().unwrap_or_else(|| listener.curves.clone()),
            alpn: alpn.clone().unwrap_or_else(|| listener.alpn.clone()),
            clients: clients.clone().or_else(|| listener.clients.clone()),
        })
    }
}

pub(super) fn lower(
    written: Option<api::ClientTls>,
    namespace: &str,
    resources: &Resources,
    found: &mut Faults,
) -> TlsSettings {
    let Some(api::ClientTls {
        min_version,
        max_version,
        ciphers,
        ecdh_curves,
        signature_algorithms: _,
        alpn_protocols,
        client_validation,
        session: _,
        fingerprints: _,
    }) = written
    else {
        return TlsSettings::default();
    };
    let min_version = min_version.map(|word| match word.as_str() {
        "1.3" => TlsVersion::V1_3,
        // The table of what is enforced has the older ones.
        _ => TlsVersion::V1_2,
    });
    let max_version = max_version.map(|word| match word.as_str() {
        "1.2" => TlsVersion::V1_2,
        "1.0" | "1.1" => {
            let text =
                format!("invalid MaxVersion value {word}, no version older than 1.2 is spoken");
            found.add(TLS, "tls.maxVersion", text);
            TlsVersion::V1_2
        }
        _ => TlsVersion::V1_3,
    });
    let ciphers = ciphers.filter(|it| !it.is_empty()).map(|words| {
        let groups = words.iter().map(|it| CipherSuite::names(it));
        known(groups, "ciphers", "Ciphers", CipherSuite::named, found)
    });
    let curves = ecdh_curves.filter(|it| !it.is_empty()).map(|words| {
        known(
            alone(&words),
            "ecdhCurves",
            "ECDHCurves",
            Curve::named,
            found,
        )
    });
    let alpn = alpn_protocols.map(|words| {
        if words.is_empty() {
            Vec::new()
        } else {
            known(
                alone(&words),
                "alpnProtocols",
                "ALPNProtocols",
                AlpnProtocol::named,
                found,
            )
        }
    });
    TlsSettings {
        min_version,
        max_version,
        ciphers,
        curves,
        alpn,
        clients: client_validation.and_then(|it| clients(it, namespace, resources, found)),
    }
}

/// Entries of one word each.
fn alone(words: &[String]) -> impl Iterator<Item = [&str; 1]> {
    words.iter().map(|it| [it.as_str()])
}

/// What is known of the words in these entries, each once. Others are left out; the policy is invalid where none is left.
fn known<'a, T: PartialEq>(
    entries: impl Iterator<Item = impl IntoIterator<Item = &'a str>>,
    field: &str,
    name: &str,
    read: fn(&str) -> Option<T>,
    found: &mut Faults,
) -> Vec<T> {
    let mut all = Vec::new();
    let mut words = Vec::new();
    for (index, entry) in entries.enumerate() {
        words.extend(entry.into_iter().map(|word| (index, word)));
    }
    for &(index, word) in &words {
        match read(word) {
            Some(it) if all.contains(&it) => {}
            Some(it) => all.push(it),
            None => {
                let at = format!("tls.{field}[{index}]");
                found.ignored(TLS, at, format!("{word:?} is not spoken, and left out"));
            }
        }
    }
    if all.is_empty() {
        let words: Vec<&str> = words.into_iter().map(|(_, word)| word).collect();
        let text = format!("none of {name} is spoken: {}", words.join(", "));
        found.add(TLS, format!("tls.{field}"), text);
    }
    all
}

/// Which clients are let in; none: what says so cannot be used, and the policy is invalid.
fn clients(
    written: api::ClientValidation,
    namespace: &str,
    resources: &Resources,
    found: &mut Faults,
) -> Option<ClientValidation> {
    let api::ClientValidation {
        mode,
        optional,
        ca_certificate_refs,
        spki_hashes,
        certificate_hashes,
        subject_alt_names,
        crl,
        allow_expired_certificate,
    } = written;
    let at = "tls.clientValidation";
    let mode = match (mode.as_deref(), optional) {
        (Some("Request"), _) => ClientValidationMode::AllowInsecureFallback,
        (Some("RequireAny"), _) => ClientValidationMode::RequireAny,
        (Some("VerifyIfGiven"), _) | (None, Some(true)) => ClientValidationMode::VerifyIfGiven,
        (Some(_), _) | (None, Some(false) | None) => ClientValidationMode::AllowValidOnly,
    };
    let referring = Referring {
        namespace,
        resources,
    };
    let mut authorities: Vec<Authority> = Vec::new();
    for (index, reference) in ca_certificate_refs.iter().flatten().enumerate() {
        match referring.authorities(reference) {
            Ok(some) => authorities.extend(some),
            Err(why) => found.add(TLS, format!("{at}.caCertificateRefs[{index}]"), why),
        }
    }
    let verifies = match mode {
        ClientValidationMode::AllowValidOnly | ClientValidationMode::VerifyIfGiven => true,
        ClientValidationMode::AllowInsecureFallback | ClientValidationMode::RequireAny => false,
    };
    if verifies && ca_certificate_refs.iter().flatten().next().is_none() {
        let text = "there are no caCertificateRefs to hold the certificates of clients against";
        found.add(TLS, format!("{at}.caCertificateRefs"), text);
    }
    let mut revoked: Vec<RevocationList> = Vec::new();
    let api::RevocationLists {
        refs,
        only_verify_leaf_certificate,
    } = crl.unwrap_or_default();
    for (index, reference) in refs.iter().flatten().enumerate() {
        match referring.revoked(reference) {
            Ok(some) => revoked.extend(some),
            Err(why) => found.add(TLS, format!("{at}.crl.refs[{index}]"), why),
        }
    }
    let spki = |text: &str| <[u8; 32]>::try_from(STANDARD.decode(text).ok()?).ok();
    let validation = ClientValidation {
        authorities,
        mode,
        subject_alt_names: names(subject_alt_names.unwrap_or_default(), found),
        spki_hashes: hashes(spki_hashes, ("spkiHashes", "SPKIHashes"), spki, found),
        certificate_hashes: hashes(
            certificate_hashes,
            ("certificateHashes", "CertificateHashes"),
            hexadecimal,
            found,
        ),
        allow_expired: allow_expired_certificate == Some(true),
        revoked,
        revoked_leaf_only: only_verify_leaf_certificate == Some(true),
    };
    let invalid = found
        .list
        .iter()
        .any(|it| it.fatal && it.field.starts_with(at));
    (!invalid).then_some(validation)
}

fn hashes(
    written: Option<Vec<String>>,
    (field, name): (&str, &str),
    read: impl Fn(&str) -> Option<[u8; 32]>,
    found: &mut Faults,
) -> Vec<Hash256> {
    let all = written.into_iter().flatten().enumerate();
    all.filter_map(|(index, text)| {
        let hash = read(&text);
        if hash.is_none() {
            let at = format!("tls.clientValidation.{field}[{index}]");
            found.add(
                TLS,
                at,
                format!("invalid {name} value {text}, which is no SHA-256"),
            );
        }
        hash.map(Hash256)
    })
    .collect()
}

/// 32 bytes in hexadecimal digits, with or without colons between them.
fn hexadecimal(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u32> = text
        .chars()
        .filter(|it| *it != ':')
        .map(|it| it.to_digit(16))
        .collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes: Vec<u8> = pairs
        .iter()
        .filter_map(|[high, low]| u8::try_from(high * 16 + low).ok())
        .collect();
    rest.is_empty().then(|| bytes.try_into().ok()).flatten()
}

fn names(written: api::SubjectAltNames, found: &mut Faults) -> Vec<SubjectAltName> {
    let api::SubjectAltNames {
        dns_names,
        email_addresses,
        ip_addresses,
        uris,
        other_names,
    } = written;
    let at = "tls.clientValidation.subjectAltNames";
    if other_names.is_some_and(|it| !it.is_empty()) {
        let text = "otherNames cannot be enforced, and what they protect may not be left open";
        found.add(TLS, format!("{at}.otherNames"), text);
    }
    let lists = [
        (dns_names, "dnsNames", SubjectAltName::Dns as fn(_) -> _),
        (email_addresses, "emailAddresses", SubjectAltName::Email),
        (ip_addresses, "ipAddresses", SubjectAltName::IpAddress),
        (uris, "uris", SubjectAltName::Uri),
    ];
    let mut all = Vec::new();
    for (written, field, kind) in lists {
        let at = format!("{at}.{field}");
        all.extend(
            string_matches(written.as_deref(), (TLS, &at), found)
                .into_iter()
                .map(kind),
        );
    }
    all
}
