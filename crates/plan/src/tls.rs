//! TLS as a listener ends it: the certificates that it shows, and the versions that it speaks.
//!
//! Keys are compared by what they are and printed by nobody: of a certificate there is its name, its fingerprints, the
//! host names in it, and when it ends.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::name::CertificateName;

/// How a listener speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListenerTls {
    /// What it can show to a client, in the order written; never empty.
    pub certificates: Vec<Arc<Certificate>>,
    /// The oldest version that it speaks.
    pub min_version: TlsVersion,
    /// What the certificates of clients are held against; none: clients need none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clients: Option<ClientValidation>,
}

/// Which clients are let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClientValidation {
    /// Who must have signed a certificate; never empty.
    pub authorities: Vec<Authority>,
    /// What becomes of clients without a valid one.
    pub mode: ClientValidationMode,
}

/// What becomes of clients without a valid certificate, in the words of the Gateway API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum ClientValidationMode {
    /// Their handshake is refused.
    AllowValidOnly,
    /// They are let in: it is for backends to look after themselves.
    AllowInsecureFallback,
}

/// A certificate authority that is trusted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Authority {
    /// The SHA-256 of its certificate in hexadecimal digits.
    pub fingerprint: Arc<str>,
    /// Its certificate.
    #[serde(skip)]
    pub certificate: Der,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum TlsVersion {
    /// TLS 1.2, RFC 5246.
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3, RFC 8446.
    #[serde(rename = "1.3")]
    V1_3,
}

/// A certificate with its chain and its private key. Both belong together and can be used: who makes one has seen to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Certificate {
    /// Where it comes from.
    pub name: CertificateName,
    /// The SHA-256 of each certificate of the chain in hexadecimal digits, the server's own first.
    pub fingerprints: Vec<Arc<str>>,
    /// The host names that it is for, wildcards such as `*.example.com` included.
    pub hostnames: Vec<Arc<str>>,
    /// The first second of the Unix epoch at which it is valid.
    pub not_before: i64,
    /// The last second of the Unix epoch at which it is valid.
    pub not_after: i64,
    /// The chain in DER, the server's own certificate first; never empty.
    #[serde(skip)]
    pub chain: Vec<Der>,
    /// The private key in DER: PKCS#8, PKCS#1 or SEC1.
    #[serde(skip)]
    pub key: PrivateKey,
}

/// A certificate in DER.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Der(pub Arc<[u8]>);

/// A private key in DER.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey(pub Arc<[u8]>);

impl fmt::Debug for Der {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Der({} bytes)", self.0.len())
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}

/// How TLS is spoken to endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct UpstreamTls {
    /// The server name (SNI) that is asked for.
    pub server_name: Arc<str>,
    /// Whom an endpoint's certificate must be for, any of these; never empty.
    pub names: Vec<SubjectName>,
    /// Who must have signed it.
    pub trust: Trust,
}

/// A name in a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum SubjectName {
    /// A host name. One with a wildcard must be in the certificate as it is written.
    Hostname(Arc<str>),
    /// A URI, letter for letter.
    Uri(Arc<str>),
}

/// Whose signatures count.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Trust {
    /// Those of these authorities; never empty.
    Authorities(Vec<Authority>),
    /// Those that the system trusts.
    System,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_shows_nowhere_and_counts_in_comparisons() {
        let with = |key: &[u8]| Certificate {
            name: CertificateName::of_secret(&crate::NamespacedName::new("default", "cert")),
            fingerprints: vec!["ab".into()],
            hostnames: vec!["example.com".into()],
            not_before: 0,
            not_after: 1,
            chain: vec![Der(b"chain-bytes".as_slice().into())],
            key: PrivateKey(key.into()),
        };
        let certificate = with(b"key-bytes");
        assert_ne!(certificate, with(b"other"));
        let shown = format!("{certificate:?} {certificate:#?}");
        for secret in ["key-bytes", "107, 101, 121", "chain-bytes"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.contains("Secret/default/cert"), "{shown}");
    }
}
