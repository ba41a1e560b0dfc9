//! TLS towards endpoints: whom they have to be, and what is made once for all clusters that ask for the same.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::SingleCertAndKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use weir_plan::{
    AlpnProtocol, Endpoint, EndpointAddress, SubjectName, Trust, UpstreamServerName, UpstreamTls,
};

use crate::tls::{HTTP_2, algorithms, certified, protocol};

/// Speaks TLS as a cluster asks for it.
pub(crate) struct Connector {
    configs: Result<Configs, String>,
    /// The name of all endpoints; none: each has its own.
    name: Option<ServerName<'static>>,
    /// Whether it does not matter who an endpoint is.
    anybody: bool,
}

/// What is offered to endpoints, to all requests and to those that only HTTP/1.1 will do for.
struct Configs {
    all: Arc<ClientConfig>,
    only_http1: Arc<ClientConfig>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

impl Connector {
    /// Begins to speak TLS. With whether the endpoint has chosen HTTP/2.
    ///
    /// # Errors
    /// When the endpoint is not whom it has to be, or does not speak TLS; in words.
    pub(super) async fn connect<S>(
        &self,
        stream: S,
        endpoint: &Endpoint,
        only_http1: bool,
    ) -> Result<(TlsStream<S>, bool), String>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let configs = self.configs.as_ref().map_err(Clone::clone)?;
        let config = match only_http1 {
            true => &configs.only_http1,
            false => &configs.all,
        };
        let name = match &self.name {
            Some(name) => name.clone(),
            None => self.name_of(endpoint)?,
        };
        let connector = TlsConnector::from(Arc::clone(config));
        let connected = connector.connect(name, stream).await;
        let stream = connected.map_err(|error| format!("TLS: {error}"))?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP_2);
        Ok((stream, http2))
    }

    /// What an endpoint is called, where each has a name of its own.
    fn name_of(&self, endpoint: &Endpoint) -> Result<ServerName<'static>, String> {
        let name = match (&endpoint.hostname, &endpoint.address) {
            (Some(name), _) | (None, EndpointAddress::Fqdn(name, _)) => name,
            (None, EndpointAddress::Ip(address)) => return Ok(address.ip().into()),
            // It is asked for no name.
            (None, EndpointAddress::Unix(_)) if self.anybody => {
                return Ok(IpAddr::V4(Ipv4Addr::LOCALHOST).into());
            }
            (None, EndpointAddress::Unix(path)) => {
                return Err(format!(
                    "TLS: unix:{path} has no name that its certificate could be for"
                ));
            }
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        ServerName::try_from(name.to_owned()).map_err(|error| format!("TLS: {name}: {error}"))
    }

    /// Whether endpoints are offered protocols to choose from.
    pub(super) fn has_alpn(&self) -> bool {
        let configs = self.configs.as_ref();
        configs.is_ok_and(|it| !it.all.alpn_protocols.is_empty())
    }
}

/// The connectors of a process, each for all clusters that ask for the same.
#[derive(Debug, Default)]
pub(crate) struct Connectors(Mutex<HashMap<Arc<UpstreamTls>, Weak<Connector>>>);

impl Connectors {
    /// The one for these settings.
    pub(crate) fn get(&self, tls: &Arc<UpstreamTls>) -> Arc<Connector> {
        let mut known = self.0.lock();
        if let Some(known) = known.get(tls).and_then(Weak::upgrade) {
            return known;
        }
        known.retain(|_, it| it.strong_count() > 0);
        let connector = Arc::new(connector(tls));
        known.insert(Arc::clone(tls), Arc::downgrade(&connector));
        connector
    }
}

fn connector(tls: &UpstreamTls) -> Connector {
    let cannot = |error: &dyn fmt::Display| format!("TLS cannot be spoken: {error}");
    let (name, named) = match &tls.server_name {
        UpstreamServerName::OfEndpoint => (None, Ok(())),
        UpstreamServerName::Fixed(name) => match ServerName::try_from(name.to_string()) {
            Ok(name) => (Some(name), Ok(())),
            Err(error) => (None, Err(cannot(&error))),
        },
    };
    let configs = configs(tls).map_err(|error| cannot(&error));
    Connector {
        configs: named.and(configs),
        name,
        anybody: tls.trust == Trust::Anybody,
    }
}

fn configs(tls: &UpstreamTls) -> Result<Configs, Error> {
    let UpstreamTls {
        server_name: _,
        names,
        trust,
        min_version,
        max_version,
        ciphers,
        curves,
        alpn,
        certificate,
    } = tls;
    let roots = match trust {
        Trust::System => Some(Arc::clone(system())),
        Trust::Authorities(authorities) => {
            let mut roots = RootCertStore::empty();
            for authority in authorities {
                roots.add(CertificateDer::from(authority.certificate.0.to_vec()))?;
            }
            Some(Arc::new(roots))
        }
        Trust::Anybody => None,
    };
    let provider = Arc::new(algorithms::provider(ciphers, curves));
    let verifier = Names {
        roots,
        names: names.clone(),
        provider: Arc::clone(&provider),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&algorithms::versions(*min_version, *max_version))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match certificate {
        Some(certificate) => {
            let certified = certified(certificate)?;
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.iter().map(|it| protocol(*it).to_vec()).collect();
    let mut only_http1 = config.clone();
    if only_http1.alpn_protocols.iter().any(|it| it == HTTP_2) {
        only_http1.alpn_protocols = vec![protocol(AlpnProtocol::Http11).to_vec()];
    }
    Ok(Configs {
        all: Arc::new(config),
        only_http1: Arc::new(only_http1),
    })
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

/// Takes a certificate that the roots vouch for and that has one of the names; without roots, any. That an endpoint has
/// the key of its certificate is looked at in both cases.
#[derive(Debug)]
struct Names {
    roots: Option<Arc<RootCertStore>>,
    /// None: the server name that is asked for.
    names: Vec<SubjectName>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Names {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(roots) = &self.roots else {
            return Ok(ServerCertVerified::assertion());
        };
        let parsed = ParsedCertificate::try_from(certificate)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, now, algorithms)?;
        if self.names.is_empty() {
            verify_server_name(&parsed, server_name)?;
            return Ok(ServerCertVerified::assertion());
        }
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
