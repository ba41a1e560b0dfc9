//! Which certificates of clients are let in, by each thing that can be asked of them.

use std::collections::BTreeMap;

use rcgen::{
    BasicConstraints, CertifiedIssuer, DnType, IsCa, KeyUsagePurpose, PublicKeyData, SanType,
    SerialNumber, date_time_ymd,
};
use ring::digest;
use weir_plan::{
    Authority, ClientValidation, ClientValidationMode, Hash256, HostMatch, StringMatch,
    SubjectAltName,
};

use super::*;

pub(super) type Issuer = CertifiedIssuer<'static, KeyPair>;

/// What a certificate of a client is made from.
#[derive(Clone)]
pub(super) struct Made {
    pub(super) serial: u64,
    pub(super) years: [i32; 2],
    pub(super) names: Vec<SanType>,
}

impl Made {
    pub(super) fn new() -> Self {
        Self {
            serial: 7,
            years: [2020, 2100],
            names: Vec::new(),
        }
    }
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("keys can be made")
}

fn authority_params(name: &str, years: [i32; 2]) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).expect("no names are fine");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, name);
    [params.not_before, params.not_after] = years.map(|it| date_time_ymd(it, 1, 1));
    params
}

pub(super) fn authority(name: &str) -> Issuer {
    let params = authority_params(name, [2000, 2100]);
    CertifiedIssuer::self_signed(params, key()).expect("it can be made")
}

/// An authority that another vouches for.
pub(super) fn below(above: &Issuer, name: &str, years: [i32; 2]) -> Issuer {
    let mut params = authority_params(name, years);
    params.serial_number = Some(SerialNumber::from(99_u64));
    CertifiedIssuer::signed_by(params, key(), above).expect("it can be signed")
}

/// Shows a certificate of this authority, with the chain to it.
pub(super) fn showing(
    client: &ClientConfig,
    issuer: &Issuer,
    chain: &[&Issuer],
    made: &Made,
) -> ClientConfig {
    let Made {
        serial,
        years,
        names,
    } = made;
    let own = key();
    let mut params = CertificateParams::new(Vec::new()).expect("no names are fine");
    params.serial_number = Some(SerialNumber::from(*serial));
    params.subject_alt_names.clone_from(names);
    params.use_authority_key_identifier_extension = true;
    [params.not_before, params.not_after] = years.map(|it| date_time_ymd(it, 1, 1));
    let certificate = params.signed_by(&own, issuer).expect("it can be signed");
    let chain = chain.iter().map(|it| it.der().clone());
    let chain = std::iter::once(certificate.der().clone()).chain(chain);
    with_certificate(client, chain.collect(), &own)
}

fn with_certificate(
    client: &ClientConfig,
    chain: Vec<CertificateDer<'static>>,
    key: &KeyPair,
) -> ClientConfig {
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("it is a key");
    let shown = ClientConfig::builder_with_provider(client.crypto_provider().clone())
        .with_safe_default_protocol_versions()
        .expect("the versions are known")
        .with_root_certificates(RootCertStore::empty())
        .with_client_auth_cert(chain, key)
        .expect("both belong together");
    let mut client = client.clone();
    client.client_auth_cert_resolver = shown.client_auth_cert_resolver;
    // Each has sessions of its own.
    client.resumption = Resumption::in_memory_sessions(8);
    client
}

pub(super) fn validation(authorities: &[&Issuer]) -> ClientValidation {
    let authorities = authorities.iter().map(|it| Authority {
        fingerprint: "".into(),
        certificate: Der(it.der().as_ref().into()),
    });
    ClientValidation {
        authorities: authorities.collect(),
        mode: ClientValidationMode::AllowValidOnly,
        subject_alt_names: Vec::new(),
        spki_hashes: Vec::new(),
        certificate_hashes: Vec::new(),
        allow_expired: false,
        revoked: Vec::new(),
        revoked_leaf_only: false,
    }
}

/// Whether a client is let in.
pub(super) fn lets_in(tls: &ListenerTls, clients: ClientValidation, client: &ClientConfig) -> bool {
    let server = server(&ListenerTls {
        clients: Some(clients),
        ..tls.clone()
    });
    shake(&server, client).is_ok()
}

#[test]
fn a_mode_says_who_needs_a_certificate_and_which() {
    use ClientValidationMode::{AllowInsecureFallback, AllowValidOnly, RequireAny, VerifyIfGiven};
    let (tls, client) = pair();
    let (ours, theirs) = (authority("ours"), authority("theirs"));
    let clients = [
        client.clone(),
        showing(&client, &ours, &[], &Made::new()),
        showing(&client, &theirs, &[], &Made::new()),
    ];
    // (the mode, whether clients are let in without one, with a valid one, with another)
    let cases = [
        (AllowValidOnly, [false, true, false]),
        (VerifyIfGiven, [true, true, false]),
        (RequireAny, [false, true, true]),
        (AllowInsecureFallback, [true, true, true]),
    ];
    for (mode, expected) in cases {
        let asked = ClientValidation {
            mode,
            ..validation(&[&ours])
        };
        let let_in = clients
            .each_ref()
            .map(|it| lets_in(&tls, asked.clone(), it));
        assert_eq!(let_in, expected, "{mode:?}");
    }
    for (mode, expected) in [(RequireAny, false), (AllowInsecureFallback, true)] {
        let asked = ClientValidation {
            mode,
            ..validation(&[])
        };
        let let_in = clients
            .each_ref()
            .map(|it| lets_in(&tls, asked.clone(), it));
        assert_eq!(
            let_in,
            [expected, true, true],
            "{mode:?} without authorities"
        );
    }
}

#[test]
fn a_certificate_of_which_a_client_has_no_key_lets_nobody_in() {
    let (tls, client) = pair();
    let (ours, own) = (authority("ours"), key());
    let params = CertificateParams::new(Vec::new()).expect("no names are fine");
    let certificate = params.signed_by(&own, &ours).expect("it can be signed");
    let chain = vec![certificate.der().clone()];
    let mut stolen = with_certificate(&client, chain, &own);
    let other = rustls::crypto::ring::sign::any_supported_type(
        &PrivateKeyDer::try_from(key().serialize_der()).expect("it is a key"),
    )
    .expect("it can sign");
    stolen.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(
        CertifiedKey::new(vec![certificate.der().clone()], other),
    ));
    for mode in [
        ClientValidationMode::AllowValidOnly,
        ClientValidationMode::AllowInsecureFallback,
        ClientValidationMode::RequireAny,
    ] {
        let asked = ClientValidation {
            mode,
            ..validation(&[&ours])
        };
        assert!(!lets_in(&tls, asked, &stolen), "{mode:?}");
    }
}

#[test]
fn one_of_the_names_is_in_the_certificate() {
    use StringMatch::{Exact, Prefix, RegularExpression, Suffix};
    use SubjectAltName::{Dns, Email, IpAddress, Uri};
    let (tls, client) = pair();
    let ours = authority("ours");
    let ia5 = |text: &str| text.try_into().expect("it is ASCII");
    let made = Made {
        names: vec![
            SanType::DnsName(ia5("Client.example.com")),
            SanType::DnsName(ia5("*.wild.example.com")),
            SanType::Rfc822Name(ia5("ann@example.com")),
            SanType::IpAddress([192, 0, 2, 7].into()),
            SanType::IpAddress("2001:db8::7".parse().expect("an address")),
            SanType::URI(ia5("spiffe://example.com/ns/a/sa/b")),
        ],
        ..Made::new()
    };
    let named = showing(&client, &ours, &[], &made);
    let nameless = showing(&client, &ours, &[], &Made::new());
    let cases: [(&[SubjectAltName], bool); 26] = [
        (&[], true),
        (&[Dns(Exact("client.EXAMPLE.com".into()))], true),
        (&[Dns(Exact("a.wild.example.com".into()))], true),
        (&[Dns(Exact("a.b.wild.example.com".into()))], false),
        (&[Dns(Exact("other.example.com".into()))], false),
        (&[Dns(Exact("lient.example.com".into()))], false),
        (&[Dns(Prefix("Client.".into()))], true),
        (&[Dns(Prefix("example".into()))], false),
        (&[Dns(Suffix(".example.com".into()))], true),
        (&[Dns(Suffix(".example.org".into()))], false),
        (&[Dns(RegularExpression("[A-Z]lient\\..*".into()))], true),
        (&[Dns(RegularExpression("lient".into()))], false),
        (&[Dns(RegularExpression("(".into()))], false),
        (&[Email(Exact("ann@example.com".into()))], true),
        (&[Email(Exact("bob@example.com".into()))], false),
        (&[Email(Suffix("@example.com".into()))], true),
        (&[Dns(Exact("ann@example.com".into()))], false),
        (&[IpAddress(Exact("192.0.2.7".into()))], true),
        (&[IpAddress(Exact("192.0.2.8".into()))], false),
        (&[IpAddress(Exact("2001:0DB8:0:0::7".into()))], true),
        (&[IpAddress(Prefix("192.0.2.".into()))], true),
        (&[Uri(Prefix("spiffe://example.com/ns/a/".into()))], true),
        (&[Uri(Exact("spiffe://example.com/ns/a".into()))], false),
        (&[Email(Prefix("spiffe".into()))], false),
        (
            &[Uri(Exact("x:y".into())), Email(Prefix("ann@".into()))],
            true,
        ),
        (
            &[Uri(Exact("x:y".into())), Email(Prefix("bob@".into()))],
            false,
        ),
    ];
    for (names, expected) in cases {
        let asked = ClientValidation {
            subject_alt_names: names.to_vec(),
            ..validation(&[&ours])
        };
        let let_in = [&named, &nameless].map(|it| lets_in(&tls, asked.clone(), it));
        assert_eq!(let_in, [expected, names.is_empty()], "{names:?}");
    }
    // A name alone proves nothing.
    let asked = ClientValidation {
        subject_alt_names: vec![Dns(Suffix("example.com".into()))],
        ..validation(&[&authority("theirs")])
    };
    assert!(!lets_in(&tls, asked, &named));
}

#[test]
fn a_hash_names_a_key_or_a_certificate() {
    let (tls, client) = pair();
    let ours = authority("ours");
    let own = key();
    let params = CertificateParams::new(Vec::new()).expect("no names are fine");
    let certificate = params.signed_by(&own, &ours).expect("it can be signed");
    let sha256 = |bytes: &[u8]| {
        let hash = digest::digest(&digest::SHA256, bytes);
        Hash256(hash.as_ref().try_into().expect("it has 32 bytes"))
    };
    let of_certificate = sha256(certificate.der());
    let of_key = sha256(&own.subject_public_key_info());
    let known = with_certificate(&client, vec![certificate.der().clone()], &own);
    let other = showing(&client, &ours, &[], &Made::new());
    let nobody = Hash256([0; 32]);
    // (hashes of keys, of certificates, whether the one whose they are is let in)
    let cases: [(&[_], &[_], bool); 8] = [
        (&[of_key], &[], true),
        (&[], &[of_certificate], true),
        (&[nobody], &[of_certificate], true),
        (&[of_key], &[nobody], true),
        (&[nobody, of_key], &[], true),
        (&[nobody], &[nobody], false),
        (&[of_certificate], &[], false),
        (&[], &[of_key], false),
    ];
    for (keys, certificates, expected) in cases {
        let asked = ClientValidation {
            spki_hashes: keys.to_vec(),
            certificate_hashes: certificates.to_vec(),
            ..validation(&[&ours])
        };
        let let_in = [&known, &other].map(|it| lets_in(&tls, asked.clone(), it));
        assert_eq!(let_in, [expected, false], "{keys:?} {certificates:?}");
    }
}

#[test]
fn only_that_its_time_is_over_is_overlooked() {
    let (tls, client) = pair();
    let (ours, theirs) = (authority("ours"), authority("theirs"));
    let between = below(&ours, "between", [2000, 2100]);
    let ended = below(&ours, "ended", [2000, 2010]);
    let until = |years| Made {
        years,
        ..Made::new()
    };
    let (past, future, now) = (until([2001, 2002]), until([2090, 2100]), Made::new());
    let past_ended = until([2001, 2015]);
    // (the certificate, whether it is let in, and where expired ones are)
    let cases = [
        ("valid", showing(&client, &ours, &[], &now), [true, true]),
        (
            "expired",
            showing(&client, &ours, &[], &past),
            [false, true],
        ),
        (
            "expired, with a chain",
            showing(&client, &between, &[&between], &past),
            [false, true],
        ),
        (
            "not yet valid",
            showing(&client, &ours, &[], &future),
            [false, false],
        ),
        (
            "expired, of another",
            showing(&client, &theirs, &[], &past),
            [false, false],
        ),
        (
            "its authority has expired, and it has not",
            showing(&client, &ended, &[&ended], &now),
            [false, false],
        ),
        (
            "its authority had expired before it did",
            showing(&client, &ended, &[&ended], &past_ended),
            [false, false],
        ),
    ];
    for (name, client, expected) in cases {
        let let_in = [false, true].map(|allow_expired| {
            let asked = ClientValidation {
                allow_expired,
                ..validation(&[&ours])
            };
            lets_in(&tls, asked, &client)
        });
        assert_eq!(let_in, expected, "{name}");
    }
}

#[test]
fn other_demands_end_the_sessions_that_were_begun_under_the_old_ones() {
    let (tls, client) = pair();
    let ours = authority("ours");
    let client = showing(&client, &ours, &[], &Made::new());
    let asking = |clients: ClientValidation| {
        Arc::new(ListenerTls {
            clients: Some(clients),
            ..tls.clone()
        })
    };
    let plain = validation(&[&ours]);
    let changes = [
        asking(ClientValidation {
            allow_expired: true,
            ..plain.clone()
        }),
        asking(ClientValidation {
            revoked_leaf_only: true,
            ..plain.clone()
        }),
        asking(ClientValidation {
            mode: ClientValidationMode::VerifyIfGiven,
            ..plain.clone()
        }),
        Arc::new(ListenerTls {
            max_version: TlsVersion::V1_2,
            ..(*asking(plain.clone())).clone()
        }),
    ];
    let resumed = |ports: &TlsPorts| {
        let port = ports.port(443).expect("it speaks TLS");
        let listener = port.choose(Some(HOST)).expect("there is one");
        shake(&listener.config, &client)
            .expect("it is let in")
            .resumed
    };
    for change in changes {
        let before = TlsPorts::build(&plan(&asking(plain.clone())), None);
        let _ = resumed(&before);
        let same = TlsPorts::build(&plan(&asking(plain.clone())), Some(&before));
        assert!(resumed(&same), "nothing has changed");
        let after = TlsPorts::build(&plan(&change), Some(&same));
        assert!(!resumed(&after), "{change:?}");
    }
}

/// One listener on port 443.
fn plan(tls: &Arc<ListenerTls>) -> Plan {
    Plan {
        listeners: vec![Arc::new(Listener {
            name: ListenerName {
                gateway: NamespacedName::new("default", "edge"),
                listener: "https".into(),
            },
            port: 443,
            hostname: HostMatch::Any,
            tls: Some(Arc::clone(tls)),
            client: None,
            hosts: Vec::new(),
        })],
        clusters: BTreeMap::new(),
        l4: Vec::new(),
    }
}
