//! Whether the certificate of a client is one to let it in with.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use weir_plan::{ClientValidation, ClientValidationMode};

/// What decides on the certificates of clients.
///
/// # Errors
/// When none of the authorities can be trusted, which the engine has seen to.
pub(super) fn verifier(
    clients: &ClientValidation,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let ClientValidation {
        authorities,
        mode,
        subject_alt_names: _,
        spki_hashes: _,
        certificate_hashes: _,
        allow_expired: _,
        revoked: _,
        revoked_leaf_only: _,
    } = clients;
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(CertificateDer::from(authority.certificate.0.to_vec()))?;
    }
    let strict = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| Error::General(error.to_string()))?;
    Ok(match mode {
        ClientValidationMode::AllowValidOnly | ClientValidationMode::VerifyIfGiven => strict,
        ClientValidationMode::AllowInsecureFallback | ClientValidationMode::RequireAny => {
            Arc::new(AnyOrNone(strict))
        }
    })
}

/// Asks for a certificate, and takes whatever comes, or nothing. That a client has the key of the certificate that it
/// shows is still looked at: it is part of the handshake.
#[derive(Debug)]
struct AnyOrNone(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for AnyOrNone {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
