//! The TLS side of a plan, compiled: which listener a client means by the name it asks for, and what it is shown there.
//!
//! A listener whose TLS settings and certificates stay keeps its configuration, and with it the keys of its session
//! tickets: sessions resume across workers and plans. It has tickets of its own, so that none opens another listener.

pub(crate) mod algorithms;
mod clients;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use rustls::crypto::ring::{Ticketer, sign};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{
    ClientHello, ResolvesServerCert, ServerSessionMemoryCache, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SignatureAlgorithm};
use weir_plan::{AlpnProtocol, Certificate, Listener, ListenerName, ListenerTls, Plan};

use crate::router::ByHost;

/// What is spoken within TLS, by its name in ALPN.
pub(crate) const HTTP_2: &[u8] = b"h2";
/// Sessions of clients that resume without tickets (TLS 1.2), per listener.
const SESSIONS: usize = 1_024;

/// The ports of a plan that speak TLS.
#[derive(Debug, Default)]
pub(crate) struct TlsPorts {
    ports: HashMap<u16, Arc<TlsPort>>,
    listeners: HashMap<ListenerName, Arc<TlsListener>>,
}

/// The listeners of one port.
#[derive(Debug, Default)]
pub(crate) struct TlsPort {
    by_name: ByHost<Arc<TlsListener>>,
}

/// A listener that speaks TLS.
#[derive(Debug)]
pub(crate) struct TlsListener {
    pub(crate) name: ListenerName,
    pub(crate) config: Arc<ServerConfig>,
    /// What `config` was made from.
    tls: Arc<ListenerTls>,
}

impl TlsPorts {
    /// Compiles a plan; what stays is taken over from the previous one.
    pub(crate) fn build(plan: &Plan, previous: Option<&Self>) -> Self {
        let mut listeners = HashMap::new();
        let mut ports: HashMap<u16, TlsPort> = HashMap::new();
        for listener in &plan.listeners {
            let Some(tls) = &listener.tls else { continue };
            let port = ports.entry(listener.port).or_default();
            let known = previous.and_then(|it| it.listeners.get(&listener.name));
            let made = match known.filter(|it| it.tls == *tls) {
                Some(known) => Some(Arc::clone(known)),
                None => TlsListener::new(listener, tls),
            };
            if let Some(made) = made {
                port.by_name.insert(&listener.hostname, Arc::clone(&made));
                listeners.insert(listener.name.clone(), made);
            }
        }
        let ports = ports.into_iter().map(|(port, it)| (port, Arc::new(it)));
        Self {
            ports: ports.collect(),
            listeners,
        }
    }

    /// A port, where it speaks TLS.
    pub(crate) fn port(&self, number: u16) -> Option<&Arc<TlsPort>> {
        self.ports.get(&number)
    }
}

impl TlsPort {
    /// The listener that a client means by this server name, or without any.
    pub(crate) fn choose(&self, server_name: Option<&str>) -> Option<&Arc<TlsListener>> {
        self.by_name.get(server_name.unwrap_or_default())
    }
}

impl TlsListener {
    /// None: none of its certificates can be used, which is logged.
    fn new(listener: &Listener, tls: &Arc<ListenerTls>) -> Option<Arc<Self>> {
        match server_config(tls) {
            Ok(config) => Some(Arc::new(Self {
                name: listener.name.clone(),
                config: Arc::new(config),
                tls: Arc::clone(tls),
            })),
            Err(error) => {
                let listener = &listener.name;
                tracing::error!(%listener, %error, "the listener's certificates cannot be used, though they were looked at");
                None
            }
        }
    }
}

fn server_config(tls: &ListenerTls) -> Result<ServerConfig, rustls::Error> {
    let ListenerTls {
        certificates,
        min_version,
        max_version,
        ciphers,
        curves,
        alpn,
        clients,
    } = tls;
    let certificates = certificates.iter().map(|it| Shown::new(it));
    let certificates = Certificates(certificates.collect::<Result<_, _>>()?);
    let provider = Arc::new(algorithms::provider(ciphers, curves));
    let verifier = match clients {
        Some(clients) => clients::verifier(clients, Arc::clone(&provider))?,
        None => WebPkiClientVerifier::no_client_auth(),
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&algorithms::versions(*min_version, *max_version))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(certificates));
    // Clients know best which of all is quick for them; who chooses some has an order in mind.
    config.ignore_client_order = *ciphers != ListenerTls::CIPHERS;
    config.alpn_protocols = alpn.iter().map(|it| protocol(*it).to_vec()).collect();
    config.ticketer = Ticketer::new()?;
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
    Ok(config)
}

/// The name of a protocol in ALPN.
pub(crate) const fn protocol(protocol: AlpnProtocol) -> &'static [u8] {
    match protocol {
        AlpnProtocol::H2 => HTTP_2,
        AlpnProtocol::Http11 => b"http/1.1",
        AlpnProtocol::Http10 => b"http/1.0",
    }
}

/// A certificate with its key, for whoever shows it.
pub(crate) fn certified(certificate: &Certificate) -> Result<CertifiedKey, rustls::Error> {
    let Certificate {
        name: _,
        fingerprints: _,
        hostnames: _,
        not_before: _,
        not_after: _,
        chain,
        key,
    } = certificate;
    let unusable = |error: &str| rustls::Error::General(error.to_owned());
    let key = PrivateKeyDer::try_from(&*key.0).map_err(unusable)?;
    let chain = chain.iter().map(|it| CertificateDer::from(it.0.to_vec()));
    Ok(CertifiedKey::new(
        chain.collect(),
        sign::any_supported_type(&key)?,
    ))
}

/// The certificates of a listener, in the order written.
#[derive(Debug)]
struct Certificates(Box<[Shown]>);

#[derive(Debug)]
struct Shown {
    hostnames: Vec<Arc<str>>,
    certified: Arc<CertifiedKey>,
}

impl Shown {
    fn new(certificate: &Certificate) -> Result<Self, rustls::Error> {
        Ok(Self {
            hostnames: certificate.hostnames.clone(),
            certified: Arc::new(certified(certificate)?),
        })
    }

    fn is_for(&self, server_name: &str) -> bool {
        self.hostnames.iter().any(|it| covers(it, server_name))
    }
}

impl ResolvesServerCert for Certificates {
    /// The first that the client can check, among those for the name that it asks for where there are any; ECDSA before
    /// RSA, which costs the server more. A client that could check none is shown the first.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let Self(all) = self;
        let schemes = hello.signature_schemes();
        let usable = all
            .iter()
            .filter(|it| it.certified.key.choose_scheme(schemes).is_some());
        let rank = |it: &&Shown| {
            let named = hello.server_name().is_some_and(|name| it.is_for(name));
            let rsa = it.certified.key.algorithm() == SignatureAlgorithm::RSA;
            (!named, rsa)
        };
        let chosen = usable.min_by_key(rank).or(all.first())?;
        Some(Arc::clone(&chosen.certified))
    }
}

/// Whether a host name of a certificate means this one; a `*` stands for one label.
fn covers(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(suffix) => name.split_once('.').is_some_and(|(first, rest)| {
            !first.is_empty() && suffix.strip_prefix('.') == Some(rest)
        }),
        None => pattern == name,
    }
}
