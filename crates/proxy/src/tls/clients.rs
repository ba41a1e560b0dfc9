//! Whether the certificate of a client is one to let it in with.
//!
//! Whatever is asked of certificates, that a client has the key of the one that it shows is looked at: it is part of
//! the handshake.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use regex::bytes::Regex;
use ring::digest;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};
use weir_plan::{ClientValidation, ClientValidationMode, Hash256, StringMatch, SubjectAltName};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::covers;
use crate::pattern::Patterns;

/// What decides on the certificates of clients.
///
/// # Errors
/// When the authorities cannot be trusted or the lists of revoked certificates cannot be read, which the engine has
/// seen to.
pub(super) fn verifier(
    clients: &ClientValidation,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let mut roots = RootCertStore::empty();
    for authority in &clients.authorities {
        roots.add(CertificateDer::from(authority.certificate.0.to_vec()))?;
    }
    let (mandatory, verified) = match clients.mode {
        ClientValidationMode::AllowValidOnly => (true, true),
        ClientValidationMode::VerifyIfGiven => (false, true),
        ClientValidationMode::RequireAny => (true, false),
        ClientValidationMode::AllowInsecureFallback => (false, false),
    };
    let hints = roots.subjects();
    let demands = if verified {
        Some(Demands::new(clients, roots, Arc::clone(&provider))?)
    } else {
        None
    };
    Ok(Arc::new(Clients {
        mandatory,
        hints,
        demands,
        provider,
    }))
}

#[derive(Debug)]
struct Clients {
    /// Whether clients need a certificate.
    mandatory: bool,
    /// The authorities that clients are told of.
    hints: Vec<DistinguishedName>,
    /// What a certificate must fulfil; none: whatever comes is taken.
    demands: Option<Demands>,
    provider: Arc<CryptoProvider>,
}

/// What a certificate must fulfil, all of it.
#[derive(Debug)]
struct Demands {
    /// The authorities, and what they have revoked.
    chain: Arc<dyn ClientCertVerifier>,
    allow_expired: bool,
    /// One of these; none: it does not matter.
    names: Vec<Name>,
    /// One of either; both empty: it does not matter.
    spki_hashes: Vec<Hash256>,
    certificate_hashes: Vec<Hash256>,
}

impl Demands {
    fn new(
        clients: &ClientValidation,
        roots: RootCertStore,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, Error> {
        let ClientValidation {
            authorities: _,
            mode: _,
            subject_alt_names,
            spki_hashes,
            certificate_hashes,
            allow_expired,
            revoked,
            revoked_leaf_only,
        } = clients;
        let lists = revoked.iter().map(|it| it.list.0.to_vec());
        let mut chain = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .with_crls(lists.map(CertificateRevocationListDer::from))
            .enforce_revocation_expiration();
        if *revoked_leaf_only {
            chain = chain.only_check_end_entity_revocation();
        }
        Ok(Self {
            chain: chain
                .build()
                .map_err(|error| Error::General(error.to_string()))?,
            allow_expired: *allow_expired,
            names: subject_alt_names.iter().map(Name::new).collect(),
            spki_hashes: spki_hashes.clone(),
            certificate_hashes: certificate_hashes.clone(),
        })
    }

    fn check(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let Self {
            chain,
            allow_expired,
            names,
            spki_hashes,
            certificate_hashes,
        } = self;
        let (_, parsed) =
            X509Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
        // One that has expired is looked at as on its last day: its authorities must have been valid then.
        let at = if *allow_expired {
            now.min(not_after(&parsed))
        } else {
            now
        };
        chain.verify_client_cert(certificate, intermediates, at)?;
        if !names.is_empty() && !has_any(&parsed, names) {
            return Err(CertificateError::NotValidForName.into());
        }
        let is_known = spki_hashes.contains(&hash(parsed.public_key().raw))
            || certificate_hashes.contains(&hash(certificate));
        let all_do = spki_hashes.is_empty() && certificate_hashes.is_empty();
        if !all_do && !is_known {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(())
    }
}

fn not_after(certificate: &X509Certificate<'_>) -> UnixTime {
    let seconds = certificate.validity().not_after.timestamp();
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

fn hash(bytes: &[u8]) -> Hash256 {
    let hash = digest::digest(&digest::SHA256, bytes);
    let bytes = hash.as_ref().try_into();
    Hash256(bytes.expect("a SHA-256 has 32 bytes"))
}

/// A name, one of its kind and what it must match.
#[derive(Debug)]
enum Name {
    Dns(Text),
    Email(Text),
    IpAddress(Text),
    Uri(Text),
}

#[derive(Debug)]
enum Text {
    Exact(Arc<str>),
    Prefix(Arc<str>),
    Suffix(Arc<str>),
    /// None: it cannot be compiled, and matches nothing.
    Expression(Option<Arc<Regex>>),
}

impl Name {
    fn new(name: &SubjectAltName) -> Self {
        match name {
            SubjectAltName::Dns(text) => Self::Dns(Text::new(text)),
            SubjectAltName::Email(text) => Self::Email(Text::new(text)),
            SubjectAltName::Uri(text) => Self::Uri(Text::new(text)),
            SubjectAltName::IpAddress(StringMatch::Exact(text)) => {
                // However it is written, it is one address.
                let address = text.parse::<IpAddr>().map(|it| it.to_string().into());
                Self::IpAddress(Text::Exact(address.unwrap_or_else(|_| Arc::clone(text))))
            }
            SubjectAltName::IpAddress(text) => Self::IpAddress(Text::new(text)),
        }
    }

    fn is(&self, name: &GeneralName<'_>) -> bool {
        match (self, name) {
            // The one kind of name whose letter case means nothing, and that has wildcards.
            (Self::Dns(Text::Exact(expected)), GeneralName::DNSName(name)) => {
                covers(&name.to_ascii_lowercase(), &expected.to_ascii_lowercase())
            }
            (Self::Dns(text), GeneralName::DNSName(name))
            | (Self::Email(text), GeneralName::RFC822Name(name))
            | (Self::Uri(text), GeneralName::URI(name)) => text.is(name),
            (Self::IpAddress(text), GeneralName::IPAddress(bytes)) => {
                address(bytes).is_some_and(|it| text.is(&it.to_string()))
            }
            _ => false,
        }
    }
}

impl Text {
    fn new(text: &StringMatch) -> Self {
        match text {
            StringMatch::Exact(text) => Self::Exact(Arc::clone(text)),
            StringMatch::Prefix(text) => Self::Prefix(Arc::clone(text)),
            StringMatch::Suffix(text) => Self::Suffix(Arc::clone(text)),
            StringMatch::RegularExpression(text) => {
                Self::Expression(Patterns::default().whole(text))
            }
        }
    }

    fn is(&self, text: &str) -> bool {
        match self {
            Self::Exact(expected) => **expected == *text,
            Self::Prefix(prefix) => text.starts_with(&**prefix),
            Self::Suffix(suffix) => text.ends_with(&**suffix),
            Self::Expression(regex) => regex
                .as_ref()
                .is_some_and(|it| it.is_match(text.as_bytes())),
        }
    }
}

fn has_any(certificate: &X509Certificate<'_>, names: &[Name]) -> bool {
    let extension = certificate.subject_alternative_name().ok().flatten();
    let mut own = extension.iter().flat_map(|it| &it.value.general_names);
    own.any(|name| names.iter().any(|it| it.is(name)))
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let sixteen = || <[u8; 16]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| sixteen()).ok()
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if let Some(demands) = &self.demands {
            demands.check(certificate, intermediates, now)?;
        }
        Ok(ClientCertVerified::assertion())
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
