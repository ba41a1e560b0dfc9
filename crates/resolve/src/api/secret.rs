//! Secrets, of which only what the gateway may be told to use is kept: the certificate of one of type `kubernetes.io/tls`,
//! and the credential of one that has a key of that name.
//!
//! The bytes of a key are in [`Certificate::key`], a credential is in [`Secret::credential`], and both are nowhere else;
//! nothing here prints them.

use std::sync::Arc;

use weir_plan::{Authority, Certificate, RevocationList, SecretValue};

use super::ObjectMeta;

/// The type of Secrets that hold a certificate and its key.
pub const TLS_SECRET: &str = "kubernetes.io/tls";
/// The key of a Secret that holds a credential.
pub const CREDENTIAL: &str = "credential";

/// The key of a Secret or ConfigMap that holds the certificates of authorities in PEM.
pub const AUTHORITIES: &str = "ca.crt";
/// The key of a Secret or ConfigMap that holds lists of revoked certificates in PEM.
pub const REVOKED: &str = "ca.crl";

/// A Secret.
#[derive(Clone, Debug, PartialEq)]
pub struct Secret {
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// Its type, `Opaque` where it says none.
    pub r#type: String,
    /// The certificate and key of a Secret of type [`TLS_SECRET`], or why they cannot be used; none: of another type,
    /// whose data is not kept.
    pub certificate: Option<Result<Arc<Certificate>, Unusable>>,
    /// What its key [`AUTHORITIES`] holds, or why it cannot be used; none: it has no such key, or nothing in it.
    pub authorities: Option<Result<Arc<[Authority]>, String>>,
    /// What its key [`REVOKED`] holds, likewise.
    pub revoked: Option<Result<Arc<[RevocationList]>, String>>,
    /// What its key [`CREDENTIAL`] holds; none: it has no such key, or nothing in it.
    pub credential: Option<Credential>,
}

/// Why the data of a Secret cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// The entry that is at fault: `tls.crt` or `tls.key`.
    pub entry: &'static str,
    /// What is wrong with it, without any of its content.
    pub message: String,
}

/// What a Secret holds for a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// The value of the header.
    Value(SecretValue),
    /// Something that no header can carry, such as a line break.
    Unfit,
}
