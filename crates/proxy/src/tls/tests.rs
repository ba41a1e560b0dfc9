//! Handshakes on real sockets: what a listener speaks with whom, by each of its settings.

mod clients;
mod revoked;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::client::Resumption;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, ServerConfig, ServerConnection,
    StreamOwned, version,
};
use weir_plan::{
    Certificate, CertificateName, CipherSuite, Curve, Der, NamespacedName, PrivateKey, TlsVersion,
};

use super::*;

const HOST: &str = "shop.example.com";
const PATIENCE: Duration = Duration::from_secs(30);

/// A listener with the defaults, and a client that trusts it.
fn pair() -> (ListenerTls, ClientConfig) {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("keys can be made");
    let params = CertificateParams::new(vec![HOST.to_owned()]).expect("a host name");
    let certificate = params.self_signed(&key).expect("it can be made");
    let mut roots = RootCertStore::empty();
    roots
        .add(certificate.der().clone())
        .expect("it is a certificate");
    let client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the versions are known")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tls = ListenerTls {
        certificates: vec![Arc::new(Certificate {
            name: CertificateName::of_secret(&NamespacedName::new("default", "cert")),
            fingerprints: Vec::new(),
            hostnames: vec![HOST.into()],
            not_before: 0,
            not_after: i64::MAX,
            chain: vec![Der(certificate.der().as_ref().into())],
            key: PrivateKey(key.serialize_der().into()),
        })],
        min_version: TlsVersion::V1_2,
        max_version: TlsVersion::V1_3,
        ciphers: ListenerTls::CIPHERS.to_vec(),
        curves: ListenerTls::CURVES.to_vec(),
        alpn: ListenerTls::ALPN.to_vec(),
        clients: None,
    };
    (tls, client)
}

/// What a client and a listener have agreed on.
#[derive(Debug, PartialEq, Eq)]
struct Agreed {
    version: rustls::ProtocolVersion,
    cipher: rustls::CipherSuite,
    curve: rustls::NamedGroup,
    alpn: Option<Vec<u8>>,
    resumed: bool,
}

/// A handshake, and a byte after it, without which a client of TLS 1.3 does not know that it has been let in. The error
/// is the listener's.
fn shake(server: &Arc<ServerConfig>, client: &ClientConfig) -> Result<Agreed, String> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there are ports");
    let address = listener.local_addr().expect("it is bound");
    let server = Arc::clone(server);
    let accepted = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().map_err(|error| error.to_string())?;
        let _ = socket.set_read_timeout(Some(PATIENCE));
        let mut session = ServerConnection::new(server).map_err(|error| error.to_string())?;
        let shaken = session.complete_io(&mut socket);
        let said = shaken.and_then(|_| session.writer().write_all(b"!"));
        said.and_then(|()| session.complete_io(&mut socket))
            .map_err(|error| error.to_string())
    });
    let socket = TcpStream::connect(address).expect("somebody listens");
    let _ = socket.set_read_timeout(Some(PATIENCE));
    let name = ServerName::try_from(HOST).expect("a host name");
    let session = ClientConnection::new(Arc::new(client.clone()), name).expect("it can begin");
    let mut stream = StreamOwned::new(session, socket);
    let read = stream.read_exact(&mut [0]);
    let session = &stream.conn;
    let agreed = read.ok().map(|()| Agreed {
        version: session.protocol_version().expect("it is agreed on"),
        cipher: session
            .negotiated_cipher_suite()
            .expect("so is this")
            .suite(),
        curve: session
            .negotiated_key_exchange_group()
            .map_or(rustls::NamedGroup::Unknown(0), |it| it.name()),
        alpn: session.alpn_protocol().map(<[u8]>::to_vec),
        resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
    });
    drop(stream);
    accepted.join().expect("it does not panic")?;
    Ok(agreed.expect("the listener let it in"))
}

fn server(tls: &ListenerTls) -> Arc<ServerConfig> {
    Arc::new(server_config(tls).expect("it can be served"))
}

#[test]
fn versions_are_spoken_from_the_oldest_to_the_newest() {
    use TlsVersion::{V1_2, V1_3};
    let (tls, client) = pair();
    let client_of = |versions: &[&'static rustls::SupportedProtocolVersion]| {
        let mut roots = RootCertStore::empty();
        let Certificate { chain, .. } = &*tls.certificates[0];
        roots
            .add(CertificateDer::from(chain[0].0.to_vec()))
            .expect("it is a certificate");
        ClientConfig::builder_with_provider(client.crypto_provider().clone())
            .with_protocol_versions(versions)
            .expect("they are known")
            .with_root_certificates(roots)
            .with_no_client_auth()
    };
    let old = client_of(&[&version::TLS12]);
    let new = client_of(&[&version::TLS13]);
    let both = client_of(&[&version::TLS12, &version::TLS13]);
    let (one_two, one_three) = (
        Some(rustls::ProtocolVersion::TLSv1_2),
        Some(rustls::ProtocolVersion::TLSv1_3),
    );
    // (the listener's versions, what comes of a client of 1.2, of 1.3, and of both)
    let cases = [
        (V1_2, V1_3, [one_two, one_three, one_three]),
        (V1_2, V1_2, [one_two, None, one_two]),
        (V1_3, V1_3, [None, one_three, one_three]),
    ];
    for (min_version, max_version, expected) in cases {
        let server = server(&ListenerTls {
            min_version,
            max_version,
            ..tls.clone()
        });
        for (client, expected) in [&old, &new, &both].into_iter().zip(expected) {
            let agreed = shake(&server, client).ok().map(|it| it.version);
            assert_eq!(agreed, expected, "{min_version:?} to {max_version:?}");
        }
    }
}

#[test]
fn of_ciphers_that_are_chosen_the_listeners_favourite_is_taken() {
    use CipherSuite as C;
    use rustls::CipherSuite as R;
    let (tls, client) = pair();
    let (aes128, aes256, chacha) = (
        R::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        R::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        R::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    );
    let cases = [
        // The client's favourite of all.
        (ListenerTls::CIPHERS.to_vec(), Some(aes256)),
        (vec![C::EcdheEcdsaAes128GcmSha256], Some(aes128)),
        (
            vec![C::EcdheEcdsaChacha20Poly1305, C::EcdheEcdsaAes256GcmSha384],
            Some(chacha),
        ),
        (
            vec![C::EcdheEcdsaAes128GcmSha256, C::EcdheEcdsaChacha20Poly1305],
            Some(aes128),
        ),
        (
            vec![C::EcdheRsaAes256GcmSha384, C::EcdheEcdsaAes256GcmSha384],
            Some(aes256),
        ),
        // The certificate is not of RSA.
        (
            vec![
                C::EcdheRsaAes128GcmSha256,
                C::EcdheRsaAes256GcmSha384,
                C::EcdheRsaChacha20Poly1305,
            ],
            None,
        ),
    ];
    for (ciphers, expected) in cases {
        let old = server(&ListenerTls {
            max_version: TlsVersion::V1_2,
            ciphers: ciphers.clone(),
            ..tls.clone()
        });
        let agreed = shake(&old, &client).ok().map(|it| it.cipher);
        assert_eq!(agreed, expected, "{ciphers:?}");
        // They are those of TLS 1.2 only.
        let new = server(&ListenerTls {
            ciphers: ciphers.clone(),
            ..tls.clone()
        });
        let agreed = shake(&new, &client).expect("TLS 1.3 is spoken");
        assert_eq!(agreed.cipher, R::TLS13_AES_256_GCM_SHA384, "{ciphers:?}");
    }
}

#[test]
fn keys_are_agreed_on_over_a_curve_of_both() {
    use rustls::NamedGroup as G;
    let (tls, client) = pair();
    let offering = |groups: &[Curve]| {
        let provider = algorithms::provider(&ListenerTls::CIPHERS, groups);
        let mut roots = RootCertStore::empty();
        let chain = &tls.certificates[0].chain;
        roots
            .add(CertificateDer::from(chain[0].0.to_vec()))
            .expect("it is a certificate");
        ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .expect("the versions are known")
            .with_root_certificates(roots)
            .with_no_client_auth()
    };
    let cases = [
        (
            ListenerTls::CURVES.to_vec(),
            client.clone(),
            Some(G::X25519),
        ),
        (vec![Curve::P384], client.clone(), Some(G::secp384r1)),
        // Of those that both have, the client's favourite.
        (vec![Curve::P384, Curve::P256], client, Some(G::secp256r1)),
        (
            vec![Curve::P256],
            offering(&[Curve::P256]),
            Some(G::secp256r1),
        ),
        (
            vec![Curve::P256],
            offering(&[Curve::X25519, Curve::P384]),
            None,
        ),
    ];
    for (curves, client, expected) in cases {
        let server = server(&ListenerTls {
            curves: curves.clone(),
            ..tls.clone()
        });
        let agreed = shake(&server, &client).ok().map(|it| it.curve);
        assert_eq!(agreed, expected, "{curves:?}");
    }
}

#[test]
fn a_protocol_of_both_is_spoken_the_listeners_favourite_first() {
    use AlpnProtocol::{H2, Http10, Http11};
    let (tls, client) = pair();
    type Offered = &'static [&'static str];
    type Chosen = Result<Option<&'static str>, ()>;
    // (what the listener has, what the client offers, what comes of it: an error, none, or one)
    let cases: [(&[_], Offered, Chosen); 12] = [
        (&[H2, Http11], &["http/1.1", "h2"], Ok(Some("h2"))),
        (&[Http11, H2], &["h2", "http/1.1"], Ok(Some("http/1.1"))),
        (&[H2, Http11], &["http/1.1"], Ok(Some("http/1.1"))),
        (&[Http11], &["h2", "http/1.1"], Ok(Some("http/1.1"))),
        (&[Http10, Http11], &["http/1.0"], Ok(Some("http/1.0"))),
        (&[H2], &["h2"], Ok(Some("h2"))),
        (&[H2, Http11], &[], Ok(None)),
        (&[H2], &[], Ok(None)),
        (&[H2], &["http/1.1"], Err(())),
        (&[H2, Http11], &["gopher"], Err(())),
        (&[], &["h2", "http/1.1"], Ok(None)),
        (&[], &["gopher"], Ok(None)),
    ];
    for (alpn, offered, expected) in cases {
        let server = server(&ListenerTls {
            alpn: alpn.to_vec(),
            ..tls.clone()
        });
        let mut client = client.clone();
        client.alpn_protocols = offered.iter().map(|it| it.as_bytes().to_vec()).collect();
        let agreed = shake(&server, &client).map(|it| it.alpn).map_err(|_| ());
        let expected = expected.map(|it| it.map(|it| it.as_bytes().to_vec()));
        assert_eq!(agreed, expected, "{alpn:?} for {offered:?}");
    }
}

#[test]
fn a_wildcard_stands_for_one_label() {
    let cases = [
        ("a.example.com", "a.example.com", true),
        ("a.example.com", "b.example.com", false),
        ("*.example.com", "a.example.com", true),
        ("*.example.com", "a.b.example.com", false),
        ("*.example.com", "example.com", false),
        ("*.example.com", ".example.com", false),
        ("*", "com", false),
    ];
    for (pattern, name, expected) in cases {
        assert_eq!(covers(pattern, name), expected, "{pattern} for {name}");
    }
}
