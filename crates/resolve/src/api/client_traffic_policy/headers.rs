//! `spec.headers` of a ClientTrafficPolicy.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::StringMatch;
use crate::api::scalar::Quantity;
use crate::features::response_override::HeaderValue;

/// What becomes of headers, and which ones are added.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientHeaders {
    /// Whether `x-envoy-` headers are added to requests and responses; default false.
    pub enable_envoy_headers: Option<bool>,
    /// Whether `x-ratelimit-` headers are left out; default false.
    pub disable_rate_limit_headers: Option<bool>,
    /// What becomes of what clients say of certificates in `x-forwarded-client-cert`.
    pub x_forwarded_client_cert: Option<XForwardedClientCert>,
    /// What becomes of headers with an underscore in their name: `Allow`, `RejectRequest` (default) or `DropHeader`.
    pub with_underscores_action: Option<String>,
    /// Deprecated: whether a client's `x-request-id` is kept, and one is made where there is none.
    #[serde(rename = "preserveXRequestID")]
    pub preserve_x_request_id: Option<bool>,
    /// What becomes of `x-request-id`: `PreserveOrGenerate`, `Preserve`, `Generate` (default) or `Disable`.
    #[serde(rename = "requestID")]
    pub request_id: Option<String>,
    /// Changes of a request before anything else is done with it.
    pub early_request_headers: Option<HeaderModifier>,
    /// Changes of a response after all else.
    pub late_response_headers: Option<HeaderModifier>,
    /// The host that clients ask for.
    pub host: Option<HostSettings>,
    /// Bytes of a request's headers, 1Ki to 8192Ki, rounded up to whole KiB; more is answered 431. Default: what the process
    /// takes.
    pub max_request_header_limit: Option<Quantity>,
}

/// What becomes of `x-forwarded-client-cert`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct XForwardedClientCert {
    /// `Sanitize` (it is removed; the default), `ForwardOnly`, `AppendForward`, `SanitizeSet` or `AlwaysForwardOnly`.
    pub mode: Option<String>,
    /// For `AppendForward` and `SanitizeSet`: what is told besides the hash: `Subject`, `Cert`, `Chain`, `DNS`, `URI`.
    pub cert_details_to_add: Option<Vec<String>>,
}

/// Changes of headers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeaderModifier {
    /// Replaced or created.
    pub set: Option<Vec<HeaderValue>>,
    /// Added to those that are there.
    pub add: Option<Vec<HeaderValue>>,
    /// Added where there is none of the name.
    pub add_if_absent: Option<Vec<HeaderValue>>,
    /// Removed by name.
    pub remove: Option<Vec<String>>,
    /// Removed where the name matches any of these.
    pub remove_on_match: Option<Vec<StringMatch>>,
}

/// The host that clients ask for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostSettings {
    /// Whether a dot at its end is removed; default false.
    pub strip_trailing_host_dot: Option<bool>,
}
