//! Clients that speak TLS, and certificates for tests: made on the spot, trusted by the clients that are told to.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};

use crate::client::{Client, PATIENCE};

/// An RSA key, which takes too long to make: it protects nothing.
const RSA_KEY: &str = include_str!("../input/rsa.pem");

/// A certificate with its key.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) chain: String,
    pub(crate) key: String,
    pub(crate) der: CertificateDer<'static>,
}

impl Pair {
    /// For these host names, with an ECDSA key.
    pub(crate) fn of(names: &[&str]) -> Self {
        Self::signed(
            &params(names),
            &KeyPair::generate().expect("keys can be made"),
        )
    }

    /// The same with an RSA key.
    pub(crate) fn rsa(names: &[&str]) -> Self {
        let key = KeyPair::from_pem(RSA_KEY).expect("it is a key");
        Self::signed(&params(names), &key)
    }

    /// One that ended in the year 2001.
    pub(crate) fn expired(names: &[&str]) -> Self {
        let mut params = params(names);
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        Self::signed(&params, &KeyPair::generate().expect("keys can be made"))
    }

    /// For this URI, and no host name.
    pub(crate) fn with_uri(uri: &str) -> Self {
        let mut params = params(&[]);
        let uri = uri.try_into().expect("it is ASCII");
        params.subject_alt_names = vec![rcgen::SanType::URI(uri)];
        Self::signed(&params, &KeyPair::generate().expect("keys can be made"))
    }

    fn signed(params: &CertificateParams, key: &KeyPair) -> Self {
        let certificate = params.self_signed(key).expect("a certificate can be made");
        Self {
            chain: certificate.pem(),
            key: key.serialize_pem(),
            der: certificate.der().clone(),
        }
    }

    /// A Secret that holds it.
    pub(crate) fn secret(&self, name: &str) -> String {
        let indented = |text: &str| text.replace('\n', "\n    ");
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\ntype: kubernetes.io/tls\nstringData:\n  \
             tls.crt: |\n    {}\n  tls.key: |\n    {}\n",
            indented(&self.chain),
            indented(&self.key)
        )
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|it| (*it).to_owned()).collect();
    CertificateParams::new(names).expect("they are host names")
}

/// A client that trusts these certificates. Clients of one trust share their sessions.
#[derive(Clone, Debug)]
pub(crate) struct Trust(pub(crate) ClientConfig);

impl Trust {
    pub(crate) fn of(pairs: &[&Pair]) -> Self {
        Self::with(default_provider(), pairs)
    }

    /// With algorithms of its own.
    pub(crate) fn with(provider: CryptoProvider, pairs: &[&Pair]) -> Self {
        let mut roots = RootCertStore::empty();
        for pair in pairs {
            roots.add(pair.der.clone()).expect("it is a certificate");
        }
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .expect("the versions are known")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self(config)
    }

    /// With other settings.
    pub(crate) fn change(mut self, change: impl FnOnce(&mut ClientConfig)) -> Self {
        change(&mut self.0);
        self
    }

    /// Connects, and completes the handshake.
    pub(crate) fn connect(&self, address: SocketAddr, server_name: &str) -> io::Result<Secured> {
        self.connect_behind(b"", address, server_name)
    }

    /// The same behind bytes in clear text.
    pub(crate) fn connect_behind(
        &self,
        first: &[u8],
        address: SocketAddr,
        server_name: &str,
    ) -> io::Result<Secured> {
        let mut socket = TcpStream::connect_timeout(&address, PATIENCE)?;
        socket.write_all(first)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from(server_name.to_owned()).expect("a host name");
        let session = ClientConnection::new(Arc::new(self.0.clone()), name);
        let session = session.map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(session, socket);
        stream.conn.complete_io(&mut stream.sock)?;
        Ok(Secured(stream))
    }
}

/// A connection whose handshake is complete.
#[derive(Debug)]
pub(crate) struct Secured(StreamOwned<ClientConnection, TcpStream>);

impl Secured {
    /// Whether the server has shown this certificate. A session that was resumed has shown it before.
    pub(crate) fn shows(&self, pair: &Pair) -> bool {
        self.0
            .conn
            .peer_certificates()
            .is_some_and(|chain| chain[0] == pair.der)
    }

    pub(crate) fn is_resumed(&self) -> bool {
        self.0.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    pub(crate) fn alpn(&self) -> Option<&[u8]> {
        self.0.conn.alpn_protocol()
    }

    /// Speaks HTTP/1.1 over it.
    pub(crate) fn client(self) -> Client {
        Client::speaking_over(self.0)
    }
}
