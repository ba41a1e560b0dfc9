//! What a rule does beyond header changes, redirects and rewrites: cross-origin requests, mirrors, credentials,
//! sessions.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use serde::{Serialize, Serializer};

use crate::features::rate_limit::HeaderNameText;
use crate::name::ClusterName;
use crate::units::{PerMillion, optional_duration};

/// Which pages of other origins may use the answers of a rule. The gateway answers preflight requests by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cors {
    /// The origins, any of which.
    pub allow_origins: Vec<OriginMatch>,
    /// Whether requests may come with credentials. If so, no header of an answer says `*`.
    pub allow_credentials: bool,
    /// The methods.
    pub allow_methods: CorsList,
    /// The request headers.
    pub allow_headers: CorsList,
    /// The response headers that pages may read.
    pub expose_headers: CorsList,
    /// For how many seconds the answer to a preflight request holds.
    pub max_age: u32,
}

/// An origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum OriginMatch {
    /// All of them.
    Any,
    /// Those of a scheme, host and port.
    Of {
        /// `http` or `https`.
        scheme: Arc<str>,
        /// The host in lower case. A `*` in it stands for any text, dots included, which is not empty.
        host: Arc<str>,
        /// The port, that of the scheme where none is written.
        port: u16,
    },
}

/// A list of methods or headers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum CorsList {
    /// All that a request asks for.
    Any,
    /// These, as a header says them: `GET, PUT`. Empty: none, and no header.
    #[serde(untagged)]
    These(#[serde(serialize_with = "text")] HeaderValue),
}

/// A copy of requests that is sent elsewhere. Nobody waits for its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mirror {
    /// The share of the requests that is copied; each mirror draws by itself.
    pub share: PerMillion,
    /// Where the copies go.
    pub cluster: ClusterName,
}

/// A credential that a rule's requests carry to its backends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Credential {
    /// The header that carries it.
    pub header: HeaderNameText,
    /// Whether it takes the place of what a client sends in that header; otherwise the client's goes first.
    pub overwrite: bool,
    /// The credential.
    pub value: SecretValue,
}

/// What keeps the requests of a client on the endpoint that answered its first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SessionPersistence {
    /// What the client brings back.
    pub carrier: SessionCarrier,
    /// How long a session lasts from its beginning. None: as long as the client brings it back.
    #[serde(serialize_with = "optional_duration")]
    pub absolute_timeout: Option<Duration>,
    /// How long a session lasts from its last request. None: as long as it does otherwise.
    #[serde(serialize_with = "optional_duration")]
    pub idle_timeout: Option<Duration>,
}

/// What a client brings back to stay on its endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum SessionCarrier {
    /// A cookie.
    Cookie {
        /// Its name.
        name: Arc<str>,
        /// Whether a browser is to keep it until the session's end, or until it is closed.
        permanent: bool,
    },
    /// A header, of the response first and then of requests.
    Header(HeaderNameText),
}

/// A header's value that nobody is to see: it shows as `[redacted]` wherever a plan is printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(HeaderValue);

impl SecretValue {
    /// A value that is kept secret, also by what compresses headers.
    pub fn new(mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        Self(value)
    }

    /// The value itself, for those who send it.
    pub const fn reveal(&self) -> &HeaderValue {
        &self.0
    }
}

const REDACTED: &str = "[redacted]";

impl std::fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for SecretValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

fn text<S: Serializer>(value: &HeaderValue, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(value.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_compared_and_never_shown() {
        let secret = |text: &'static str| SecretValue::new(HeaderValue::from_static(text));
        assert_eq!(secret("hunter2"), secret("hunter2"));
        assert_ne!(secret("hunter2"), secret("hunter3"));
        assert_eq!(format!("{:?}", secret("hunter2")), REDACTED);
        assert_eq!(secret("hunter2").reveal(), "hunter2");
    }
}
