//! Clients for what `wrk` and `h2load` do not measure: requests at a fixed rate, and new TLS connections.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use super::HOST;
use super::load::report;
use crate::http::Client;

/// Kept connections, each with a share of the rate.
const KEPT: u32 = 64;
/// New connections at the same time.
const NEW: u32 = 16;

/// GETs at a fixed rate over kept connections. What each took counts from the moment at which it was due, so that a
/// proxy that holds one up is charged for those behind it.
pub(crate) fn at_rate(
    address: SocketAddr,
    path: &str,
    per_second: u32,
    length: Duration,
) -> Result<()> {
    let begun = Instant::now();
    let between = Duration::from_secs(1) * KEPT / per_second;
    let micros = at_once(KEPT, |index| {
        let mut client = Client::connect(address)?;
        let mut due = begun + between * index / KEPT;
        let mut micros = Vec::new();
        while due < begun + length {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let response = client.get(HOST, path)?;
            ensure!(response.status == 200, "{}", response.head);
            micros.push(due.elapsed().as_micros() as u64);
            due += between;
        }
        Ok(micros)
    })?;
    report(micros, begun.elapsed().as_micros());
    Ok(())
}

/// GETs, each on a new connection with a whole handshake of TLS 1.3.
pub(crate) fn handshakes(address: SocketAddr, path: &str, length: Duration) -> Result<()> {
    let begun = Instant::now();
    let mut provider = ring::default_provider();
    provider.cipher_suites = vec![ring::cipher_suite::TLS13_AES_128_GCM_SHA256];
    provider.kx_groups = vec![ring::kx_group::X25519];
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    let config = Arc::new(config);
    let request = format!("GET {path} HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n");
    let micros = at_once(NEW, |_| {
        let mut micros = Vec::new();
        while begun.elapsed() < length {
            let begun = Instant::now();
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            let connection =
                ClientConnection::new(Arc::clone(&config), ServerName::try_from(HOST)?)?;
            let mut stream = StreamOwned::new(connection, stream);
            stream.write_all(request.as_bytes())?;
            let mut response = [0; 4096];
            let read = stream.read(&mut response)?;
            ensure!(
                response[..read].starts_with(b"HTTP/1.1 200 "),
                "{}",
                String::from_utf8_lossy(&response[..read])
            );
            micros.push(begun.elapsed().as_micros() as u64);
        }
        Ok(micros)
    })?;
    report(micros, begun.elapsed().as_micros());
    Ok(())
}

/// What all of so many threads gather.
fn at_once(threads: u32, work: impl Fn(u32) -> Result<Vec<u64>> + Sync) -> Result<Vec<u64>> {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..threads)
            .map(|index| scope.spawn(move || work(index)))
            .collect();
        let mut all = Vec::new();
        for thread in threads {
            let found = thread.join().map_err(|_| anyhow!("a client panicked"))?;
            all.extend(found.context("a client failed")?);
        }
        Ok(all)
    })
}

/// Takes any certificate: what a client spends on it is not what is measured.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
