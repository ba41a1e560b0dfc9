//! `spec.tls` of a ClientTrafficPolicy.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Empty, StringMatch};
use crate::api::http_route_filter::SecretRef;

/// TLS of HTTPS listeners.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientTls {
    /// The oldest version: `Auto`, `1.0`, `1.1`, `1.2` (default) or `1.3`. None older than 1.2 is spoken.
    pub min_version: Option<String>,
    /// The newest version: `Auto`, `1.0`, `1.1`, `1.2` or `1.3` (default).
    pub max_version: Option<String>,
    /// Cipher suites for TLS 1.2, in the words of OpenSSL or of the IANA, in order of preference. Default: those with forward
    /// secrecy and authenticated encryption.
    pub ciphers: Option<Vec<String>>,
    /// Curves: `X25519`, `P-256`, `P-384`, in order of preference. Default: these.
    pub ecdh_curves: Option<Vec<String>>,
    /// Signature algorithms that the gateway uses and takes.
    pub signature_algorithms: Option<Vec<String>>,
    /// Protocols for ALPN: `h2`, `http/1.1`, `http/1.0`, in order of preference. Default `h2` and `http/1.1`; an empty list: no
    /// ALPN.
    pub alpn_protocols: Option<Vec<String>>,
    /// Certificates of clients. It takes the place of what the Gateway says.
    pub client_validation: Option<ClientValidation>,
    /// Sessions.
    pub session: Option<TlsSession>,
    /// Fingerprints of clients' handshakes: `JA3`, `JA4`.
    pub fingerprints: Option<Vec<String>>,
}

/// Which certificates clients must have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientValidation {
    /// `Request` (asked for, and every client is let in), `RequireAny` (there must be one, valid or not), `VerifyIfGiven`
    /// (none or a valid one) or `RequireAndVerify` (a valid one; the default).
    pub mode: Option<String>,
    /// Deprecated: whether clients without a certificate are let in, as in the mode `VerifyIfGiven`; default false.
    pub optional: Option<bool>,
    /// The Secrets and ConfigMaps whose entry `ca.crt` holds the authorities, 8 at most.
    pub ca_certificate_refs: Option<Vec<SecretRef>>,
    /// SHA-256 hashes of public keys (SPKI in DER) that are let in, in base64. Unset: any.
    pub spki_hashes: Option<Vec<String>>,
    /// SHA-256 hashes of certificates (DER) that are let in, in hexadecimal digits. Unset: any.
    pub certificate_hashes: Option<Vec<String>>,
    /// Names of which a certificate must have one. Unset: any.
    pub subject_alt_names: Option<SubjectAltNames>,
    /// Lists of revoked certificates.
    pub crl: Option<RevocationLists>,
    /// Whether a certificate may be past its time; default false.
    pub allow_expired_certificate: Option<bool>,
}

/// Names of which a certificate must have one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubjectAltNames {
    /// Host names.
    pub dns_names: Option<Vec<StringMatch>>,
    /// Mail addresses.
    pub email_addresses: Option<Vec<StringMatch>>,
    /// IP addresses, as text.
    pub ip_addresses: Option<Vec<StringMatch>>,
    /// URIs.
    pub uris: Option<Vec<StringMatch>>,
    /// Names of other kinds.
    pub other_names: Option<Vec<OtherName>>,
}

/// A name of another kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OtherName {
    /// Its kind, an object identifier.
    #[serde(default)]
    pub oid: String,
    /// `Exact` (default), `Prefix`, `Suffix` or `RegularExpression` (RE2).
    pub r#type: Option<String>,
    /// What it is held against.
    #[serde(default)]
    pub value: String,
}

/// Lists of revoked certificates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevocationLists {
    /// The Secrets and ConfigMaps whose entry `ca.crl` holds them in PEM, 1 to 8.
    pub refs: Option<Vec<SecretRef>>,
    /// Whether only the client's own certificate is looked up, and not those of its chain; default false.
    pub only_verify_leaf_certificate: Option<bool>,
}

/// Sessions of TLS.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TlsSession {
    /// How they are resumed.
    pub resumption: Option<SessionResumption>,
}

/// How sessions are resumed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionResumption {
    /// By tickets that clients keep.
    pub stateless: Option<Empty>,
    /// By what the gateway keeps.
    pub stateful: Option<Empty>,
}
