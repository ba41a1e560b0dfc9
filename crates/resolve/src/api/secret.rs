//! Secrets, of which only what the gateway may be told to use is kept: the credential of one that has a key of that name.
//!
//! The credential is in [`Secret::credential`] and nowhere else; nothing here prints it.

use weir_plan::SecretValue;

use super::ObjectMeta;

/// The key of a Secret that holds a credential.
pub const CREDENTIAL: &str = "credential";

/// A Secret.
#[derive(Clone, Debug, PartialEq)]
pub struct Secret {
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// What its key [`CREDENTIAL`] holds; none: it has no such key, or nothing in it.
    pub credential: Option<Credential>,
}

/// What a Secret holds for a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// The value of the header.
    Value(SecretValue),
    /// Something that no header can carry, such as a line break.
    Unfit,
}
