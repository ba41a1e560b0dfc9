//! `HTTPRouteFilter` (`gateway.envoyproxy.io/v1alpha1`): what a rule of an HTTPRoute or GRPCRoute does beyond the filters
//! of the Gateway API. Rules of its namespace refer to it by a filter of type `ExtensionRef`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::features::response_override::{HeaderChanges, OverrideBody};

/// A filter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HttpRouteFilter {
    /// The object's name, labels and so on.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What the author wants.
    pub spec: HttpRouteFilterSpec,
}

/// What a filter does. All of it, where several are given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteFilterSpec {
    /// Changes of the URL before forwarding. Unset: none.
    pub url_rewrite: Option<UrlRewriteFilter>,
    /// The answer that the gateway gives by itself. Unset: none.
    pub direct_response: Option<DirectResponseFilter>,
    /// A credential that is added to requests. Unset: none.
    pub credential_injection: Option<CredentialInjection>,
    /// What requests must look like besides the rule's matches, any of them; 8 at most. Unset: anything.
    pub matches: Option<Vec<FilterMatch>>,
}

/// Changes of the URL.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UrlRewriteFilter {
    /// The host name that the backend sees. Unset: the client's.
    pub hostname: Option<HostnameRewrite>,
    /// The path that the backend sees. Unset: the client's.
    pub path: Option<RegexPathRewrite>,
    /// Whether the client's host name is appended to `X-Forwarded-Host` where it is changed; default true.
    pub append_x_forwarded_host: Option<bool>,
}

/// Where the host name comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostnameRewrite {
    /// `Header` (a header of the request), `Backend` (the endpoint's own name) or `PathRegex` (from the path).
    #[serde(default)]
    pub r#type: String,
    /// For `Header`: its name.
    pub header: Option<String>,
    /// For `PathRegex`: how the path becomes the host name.
    pub path_regex: Option<RegexSubstitution>,
}

/// A change of the path.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegexPathRewrite {
    /// `ReplaceRegexMatch`.
    #[serde(default)]
    pub r#type: String,
    /// What is replaced in the path, and by what.
    pub replace_regex_match: Option<RegexSubstitution>,
}

/// A replacement of all that a regular expression matches in a path without its query.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RegexSubstitution {
    /// The expression (RE2).
    #[serde(default)]
    pub pattern: String,
    /// What takes the place of each match; `\1` to `\9` stand for the groups of the expression, `\0` for the whole match.
    #[serde(default)]
    pub substitution: String,
}

/// An answer of the gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DirectResponseFilter {
    /// The content type. Unset: `text/plain` where there is a body.
    pub content_type: Option<String>,
    /// The body. Unset: none.
    pub body: Option<OverrideBody>,
    /// The status, 200 to 599; default 200. For a GRPCRoute it must not be 2xx.
    pub status_code: Option<i64>,
    /// Headers of the answer. Unset: none.
    pub header: Option<HeaderChanges>,
}

/// A credential that is added to requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CredentialInjection {
    /// The header that carries it; default `Authorization`.
    pub header: Option<String>,
    /// Whether it takes the place of one that the client sends; default false.
    pub overwrite: Option<bool>,
    /// The credential.
    #[serde(default)]
    pub credential: InjectedCredential,
}

/// A credential.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InjectedCredential {
    /// The Secret whose key `credential` holds it.
    #[serde(default)]
    pub value_ref: SecretRef,
}

/// A reference to a Secret, or where authorities are meant to a ConfigMap as well.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SecretRef {
    /// Empty.
    pub group: Option<String>,
    /// `Secret` (default), or for authorities and lists of revoked certificates `ConfigMap`.
    pub kind: Option<String>,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its namespace. Unset: that of what refers to it. Another needs a ReferenceGrant.
    pub namespace: Option<String>,
}

/// A further match; all of its parts must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FilterMatch {
    /// Cookies, 1 to 16.
    pub cookies: Option<Vec<CookieMatch>>,
}

/// A condition on a cookie.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CookieMatch {
    /// `Exact` (default) or `RegularExpression`.
    pub r#type: Option<String>,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its value.
    #[serde(default)]
    pub value: String,
}
