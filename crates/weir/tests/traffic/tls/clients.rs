//! Certificates of clients: who is let in, and what is passed on.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::client::{Pair, Trust};
use super::{edge, listener};
use crate::backend::Backend;
use crate::client::{request, wait_until};
use crate::gateway::{Gateway, route, to};

/// Somebody who signs the certificates of clients.
pub(crate) struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new one.
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().expect("keys can be made");
        let mut params = CertificateParams::new(Vec::new()).expect("no names are fine");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("it can be made");
        Self {
            pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// A ConfigMap `ca` with its certificate.
    pub(crate) fn config_map(&self) -> String {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: ca}}\ndata:\n  ca.crt: |\n    {}\n",
            self.pem.replace('\n', "\n    ")
        )
    }

    /// A client with a certificate of this authority, valid from and until these years.
    pub(crate) fn client(&self, trust: &Trust, years: [i32; 2]) -> Trust {
        let key = KeyPair::generate().expect("keys can be made");
        let mut params = CertificateParams::new(vec!["client".to_owned()]).expect("a name");
        params.not_before = rcgen::date_time_ymd(years[0], 1, 1);
        params.not_after = rcgen::date_time_ymd(years[1], 1, 1);
        let certificate = params
            .signed_by(&key, &self.issuer)
            .expect("it can be signed");
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes());
        let resolver = rustls::ClientConfig::builder_with_provider(
            rustls::crypto::ring::default_provider().into(),
        )
        .with_safe_default_protocol_versions()
        .expect("the versions are known")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_client_auth_cert(chain, key.expect("it is a key"))
        .expect("both belong together")
        .client_auth_cert_resolver;
        trust.clone().change(|config| {
            config.client_auth_cert_resolver = resolver;
            // Each has sessions of its own.
            config.resumption = rustls::client::Resumption::in_memory_sessions(8);
        })
    }
}

fn with(mode: &str) -> String {
    edge(&[&listener("https", "", &["cert"])]).replace(
        "spec: {",
        &format!(
            "spec: {{tls: {{frontend: {{default: {{validation: {{mode: {mode}, \
             caCertificateRefs: [{{group: \"\", kind: ConfigMap, name: ca}}]}}}}}}}}, "
        ),
    )
}

#[test]
fn only_clients_with_a_valid_certificate_are_let_in_unless_anybody_is() {
    let (backend, pair) = (Backend::named("app"), Pair::of(&["shop.example.com"]));
    let (ours, theirs) = (Authority::new(), Authority::new());
    let trust = Trust::of(&[&pair]);
    let clients = [
        ("none", trust.clone(), false),
        ("ours", ours.client(&trust, [2020, 2100]), true),
        ("of another", theirs.client(&trust, [2020, 2100]), false),
        ("expired", ours.client(&trust, [2020, 2021]), false),
    ];
    let (secret, app) = (pair.secret("cert"), backend.yaml("app"));
    let route = route("app", &format!("[{{backendRefs: [{}]}}]", to("app")));
    let documents = |mode: &str, authority: &Authority| {
        [
            with(mode),
            secret.clone(),
            authority.config_map(),
            app.clone(),
            route.clone(),
        ]
    };
    let first = documents("AllowValidOnly", &ours);
    let mut gateway = Gateway::start(&first.each_ref().map(String::as_str));
    let address = gateway.address_of(443);
    // In TLS 1.3 a client may believe that it is in before it is told that it is not.
    let status = |trust: &Trust| {
        let mut client = trust.connect(address, "shop.example.com").ok()?.client();
        let forged = request(
            "GET",
            "shop.example.com",
            "/",
            &[("x-forwarded-client-cert", "Hash=0")],
            b"",
        );
        client.try_send(&forged).ok()?;
        client.try_receive().ok().map(|it| it.status)
    };
    for (name, client, valid) in &clients {
        // The second time, whoever was let in goes on with the session.
        for _ in 0..2 {
            assert_eq!(status(client), valid.then_some(200), "{name}");
        }
    }
    assert_eq!(backend.last().header("x-forwarded-client-cert"), None);

    let second = documents("AllowInsecureFallback", &ours);
    gateway.apply(&second.each_ref().map(String::as_str));
    for (name, client, _) in &clients {
        assert_eq!(status(client), Some(200), "{name}");
    }

    // Who was let in under another authority does not get in by way of an old session.
    let third = documents("AllowValidOnly", &theirs);
    gateway.apply(&third.each_ref().map(String::as_str));
    let let_in = clients
        .each_ref()
        .map(|(_, client, _)| status(client).is_some());
    assert_eq!(let_in, [false, false, true, false]);
    let closed = ["weir_downstream_connections_closed_total", "tls_error"];
    wait_until("those who were refused are counted", || {
        gateway.metric(&closed) >= 9.0
    });
}
