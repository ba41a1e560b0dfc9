//! TLS towards endpoints: whom they have to be, and what is made once for all clusters that ask for the same.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::ring::default_provider;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use weir_plan::{SubjectName, Trust, UpstreamTls};

use crate::tls::HTTP_2;

/// Speaks TLS as a cluster asks for it.
pub(crate) struct Connector {
    config: Result<(Arc<ClientConfig>, ServerName<'static>), String>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

impl Connector {
    /// Begins to speak TLS.
    ///
    /// # Errors
    /// When the endpoint is not whom it has to be, or does not speak TLS; in words.
    pub(super) async fn connect<S>(&self, stream: S) -> Result<TlsStream<S>, String>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (config, name) = self.config.as_ref().map_err(Clone::clone)?;
        let connector = TlsConnector::from(Arc::clone(config));
        let connected = connector.connect(name.clone(), stream).await;
        let stream = connected.map_err(|error| format!("TLS: {error}"))?;
        if config.alpn_protocols == [HTTP_2] && stream.get_ref().1.alpn_protocol() != Some(HTTP_2) {
            return Err("TLS: the endpoint does not speak HTTP/2".to_owned());
        }
        Ok(stream)
    }
}

/// The connectors of a process, each for all clusters that ask for the same.
#[derive(Debug, Default)]
pub(crate) struct Connectors(Mutex<HashMap<Key, Weak<Connector>>>);

/// What a connector is made from: the settings, and whether HTTP/2 is spoken within.
type Key = (Arc<UpstreamTls>, bool);

impl Connectors {
    /// The one for these settings, and HTTP/2 or HTTP/1.1 within.
    pub(crate) fn get(&self, tls: &Arc<UpstreamTls>, http2: bool) -> Arc<Connector> {
        let mut known = self.0.lock();
        let key = (Arc::clone(tls), http2);
        if let Some(known) = known.get(&key).and_then(Weak::upgrade) {
            return known;
        }
        known.retain(|_, it| it.strong_count() > 0);
        let config = config(tls, http2).map_err(|error| format!("TLS cannot be spoken: {error}"));
        let connector = Arc::new(Connector { config });
        known.insert(key, Arc::downgrade(&connector));
        connector
    }
}

fn config(
    tls: &UpstreamTls,
    http2: bool,
) -> Result<(Arc<ClientConfig>, ServerName<'static>), Error> {
    let UpstreamTls {
        server_name,
        names,
        trust,
    } = tls;
    let general = |error: &dyn fmt::Display| Error::General(error.to_string());
    let server_name =
        ServerName::try_from(server_name.to_string()).map_err(|error| general(&error))?;
    let roots = match trust {
        Trust::System => Arc::clone(system()),
        Trust::Authorities(authorities) => {
            let mut roots = RootCertStore::empty();
            for authority in authorities {
                roots.add(CertificateDer::from(authority.certificate.0.to_vec()))?;
            }
            Arc::new(roots)
        }
    };
    let provider = Arc::new(default_provider());
    let verifier = Names {
        roots,
        names: names.clone(),
        provider: Arc::clone(&provider),
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    let protocol: &[u8] = if http2 { HTTP_2 } else { b"http/1.1" };
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok((Arc::new(config), server_name))
}

/// What the system trusts, read when it is first needed.
fn system() -> &'static Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "some of the authorities that the system trusts cannot be read");
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            tracing::error!("the system trusts no authority, so that no backend that asks for those can be reached");
        }
        Arc::new(roots)
    })
}

/// Takes a certificate that the roots vouch for and that has one of the names.
#[derive(Debug)]
struct Names {
    roots: Arc<RootCertStore>,
    names: Vec<SubjectName>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Names {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots,
            intermediates,
            now,
            algorithms,
        )?;
        if self.names.iter().any(|it| has(&parsed, certificate, it)) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::NotValidForName.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Whether a certificate has a name.
fn has(
    parsed: &ParsedCertificate<'_>,
    certificate: &CertificateDer<'_>,
    name: &SubjectName,
) -> bool {
    let Ok(raw) = webpki::EndEntityCert::try_from(certificate) else {
        return false;
    };
    match name {
        SubjectName::Hostname(name) => match ServerName::try_from(&**name) {
            Ok(name) => verify_server_name(parsed, &name).is_ok(),
            // One with a wildcard is no name of a server.
            Err(_) => raw
                .valid_dns_names()
                .any(|it| it.eq_ignore_ascii_case(name)),
        },
        SubjectName::Uri(uri) => raw.valid_uri_names().any(|it| it == &**uri),
    }
}
