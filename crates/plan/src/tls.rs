//! TLS as a listener ends it: the certificates that it shows, and the versions that it speaks.
//!
//! Keys are compared by what they are and printed by nobody: of a certificate there is its name, its fingerprints, the
//! host names in it, and when it ends.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::client::StringMatch;
use crate::name::CertificateName;

/// How a listener speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListenerTls {
    /// What it can show to a client, in the order written; never empty.
    pub certificates: Vec<Arc<Certificate>>,
    /// The oldest version that it speaks.
    pub min_version: TlsVersion,
    /// The newest version that it speaks, not older than the oldest.
    pub max_version: TlsVersion,
    /// The cipher suites that it speaks in TLS 1.2, its favourites first; never empty. Where they are all that there are,
    /// the client's favourite is taken.
    pub ciphers: Vec<CipherSuite>,
    /// The curves that keys are agreed on over; never empty. The client's favourite among them is taken.
    pub curves: Vec<Curve>,
    /// The protocols that it offers by ALPN, its favourites first; empty: it does not take part in ALPN, and HTTP/1.1 is
    /// spoken.
    pub alpn: Vec<AlpnProtocol>,
    /// What the certificates of clients are held against; none: clients need none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clients: Option<ClientValidation>,
}

impl ListenerTls {
    /// All cipher suites of TLS 1.2 that are spoken, in Envoy's order: those with forward secrecy and authenticated encryption.
    pub const CIPHERS: [CipherSuite; 6] = [
        CipherSuite::EcdheEcdsaAes128GcmSha256,
        CipherSuite::EcdheEcdsaChacha20Poly1305,
        CipherSuite::EcdheRsaAes128GcmSha256,
        CipherSuite::EcdheRsaChacha20Poly1305,
        CipherSuite::EcdheEcdsaAes256GcmSha384,
        CipherSuite::EcdheRsaAes256GcmSha384,
    ];
    /// All curves that are spoken.
    pub const CURVES: [Curve; 3] = [Curve::X25519, Curve::P256, Curve::P384];
    /// The protocols that are offered where nothing else is said.
    pub const ALPN: [AlpnProtocol; 2] = [AlpnProtocol::H2, AlpnProtocol::Http11];
}

/// A cipher suite of TLS 1.2, in the words of OpenSSL and Envoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[expect(missing_docs, reason = "the names are those of the API")]
pub enum CipherSuite {
    #[serde(rename = "ECDHE-ECDSA-AES128-GCM-SHA256")]
    EcdheEcdsaAes128GcmSha256,
    #[serde(rename = "ECDHE-RSA-AES128-GCM-SHA256")]
    EcdheRsaAes128GcmSha256,
    #[serde(rename = "ECDHE-ECDSA-AES256-GCM-SHA384")]
    EcdheEcdsaAes256GcmSha384,
    #[serde(rename = "ECDHE-RSA-AES256-GCM-SHA384")]
    EcdheRsaAes256GcmSha384,
    #[serde(rename = "ECDHE-ECDSA-CHACHA20-POLY1305")]
    EcdheEcdsaChacha20Poly1305,
    #[serde(rename = "ECDHE-RSA-CHACHA20-POLY1305")]
    EcdheRsaChacha20Poly1305,
}

impl CipherSuite {
    /// The names in an entry of a list: one, or those of suites of equal rank, which Envoy writes as `[A|B]`.
    pub fn names(entry: &str) -> impl Iterator<Item = &str> {
        entry.trim_matches(['[', ']']).split('|')
    }

    /// The one of this name, OpenSSL's or IANA's; none: it is not spoken.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "ECDHE-ECDSA-AES128-GCM-SHA256" | "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" => {
                Self::EcdheEcdsaAes128GcmSha256
            }
            "ECDHE-RSA-AES128-GCM-SHA256" | "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" => {
                Self::EcdheRsaAes128GcmSha256
            }
            "ECDHE-ECDSA-AES256-GCM-SHA384" | "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384" => {
                Self::EcdheEcdsaAes256GcmSha384
            }
            "ECDHE-RSA-AES256-GCM-SHA384" | "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" => {
                Self::EcdheRsaAes256GcmSha384
            }
            "ECDHE-ECDSA-CHACHA20-POLY1305" | "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256" => {
                Self::EcdheEcdsaChacha20Poly1305
            }
            "ECDHE-RSA-CHACHA20-POLY1305" | "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256" => {
                Self::EcdheRsaChacha20Poly1305
            }
            _ => return None,
        })
    }
}

impl Curve {
    /// The one of this name, Envoy's or IANA's; none: it is not spoken.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "X25519" | "x25519" => Self::X25519,
            "P-256" | "secp256r1" => Self::P256,
            "P-384" | "secp384r1" => Self::P384,
            _ => return None,
        })
    }
}

impl AlpnProtocol {
    /// The one of this name; none: it is not spoken.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "h2" => Self::H2,
            "http/1.1" => Self::Http11,
            "http/1.0" => Self::Http10,
            _ => return None,
        })
    }
}

/// A curve, in the words of OpenSSL and Envoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[expect(missing_docs, reason = "the names are those of the API")]
pub enum Curve {
    X25519,
    #[serde(rename = "P-256")]
    P256,
    #[serde(rename = "P-384")]
    P384,
}

/// A protocol that ALPN chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum AlpnProtocol {
    /// HTTP/2.
    #[serde(rename = "h2")]
    H2,
    /// HTTP/1.1.
    #[serde(rename = "http/1.1")]
    Http11,
    /// HTTP/1.0.
    #[serde(rename = "http/1.0")]
    Http10,
}

/// Which clients are let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClientValidation {
    /// Who must have signed a certificate; empty only where the mode does not ask.
    pub authorities: Vec<Authority>,
    /// What becomes of clients without a valid one.
    pub mode: ClientValidationMode,
    /// What a certificate must have in it, any of these; empty: it does not matter.
    pub subject_alt_names: Vec<SubjectAltName>,
    /// The public keys (the SHA-256 of their SPKI in DER) and certificates (the SHA-256 of their DER) that are let in, any of these
    /// two lists; both empty: it does not matter.
    pub spki_hashes: Vec<Hash256>,
    /// See `spki_hashes`.
    pub certificate_hashes: Vec<Hash256>,
    /// Whether a certificate may be past its time.
    pub allow_expired: bool,
    /// Lists of certificates that are revoked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revoked: Vec<RevocationList>,
    /// Whether only the client's own certificate is looked up in them, and not those of its chain.
    pub revoked_leaf_only: bool,
}

/// A list of revoked certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RevocationList {
    /// Its SHA-256 in hexadecimal digits.
    pub fingerprint: Arc<str>,
    /// The list.
    #[serde(skip)]
    pub list: Der,
}

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash256(pub [u8; 32]);

impl fmt::Display for Hash256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Hash256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A name that a client's certificate has as a subject alternative name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum SubjectAltName {
    /// A host name.
    Dns(StringMatch),
    /// A mail address.
    Email(StringMatch),
    /// An address as text.
    IpAddress(StringMatch),
    /// A URI.
    Uri(StringMatch),
}

/// What becomes of clients without a valid certificate, in the words of the Gateway API and of Envoy Gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum ClientValidationMode {
    /// Their handshake is refused.
    AllowValidOnly,
    /// They are let in: it is for backends to look after themselves.
    AllowInsecureFallback,
    /// Those without any are let in, those with one that is not valid are refused.
    VerifyIfGiven,
    /// Those without any are refused, those with one are let in, valid or not.
    RequireAny,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum TlsVersion {
    /// TLS 1.2, RFC 5246.
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3, RFC 8446.
    #[serde(rename = "1.3")]
    V1_3,
}

/// A certificate with its chain and its private key. Both belong together and can be used: who makes one has seen to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
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

/// A certificate, or a list of revoked ones, in DER.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Der(pub Arc<[u8]>);

/// A private key in DER.
#[derive(Clone, PartialEq, Eq, Hash)]
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
    pub server_name: UpstreamServerName,
    /// Whom an endpoint's certificate must be for, any of these; empty: for the server name.
    pub names: Vec<SubjectName>,
    /// Who must have signed it.
    pub trust: Trust,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// The newest version that is spoken, not older than the oldest.
    pub max_version: TlsVersion,
    /// The cipher suites that are offered in TLS 1.2, the favourites first; never empty.
    pub ciphers: Vec<CipherSuite>,
    /// The curves that keys are agreed on over, the favourites first; never empty.
    pub curves: Vec<Curve>,
    /// The protocols that are offered by ALPN, the favourites first; empty: the endpoint is not asked.
    pub alpn: Vec<AlpnProtocol>,
    /// What is shown to endpoints that ask for a certificate; none: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Arc<Certificate>>,
}

/// What endpoints are called.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum UpstreamServerName {
    /// All alike.
    Fixed(Arc<str>),
    /// Each by its own host name, else by the name that is resolved. One that has an address only is asked for no name, and
    /// the address must be in its certificate.
    OfEndpoint,
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
    /// Anybody's: an endpoint may be whoever it is.
    Anybody,
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
