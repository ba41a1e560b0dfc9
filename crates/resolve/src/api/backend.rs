//! `Backend` (`gateway.envoyproxy.io/v1alpha1`): endpoints that are no Kubernetes Service.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Endpoints outside Kubernetes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Backend {
    /// The object's name, labels and so on.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What the author wants.
    pub spec: BackendSpec,
}

/// The endpoints and how to speak to them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackendSpec {
    /// `Endpoints` (the default) or `DynamicResolver`.
    pub r#type: Option<String>,
    /// The endpoints, 1 to 256; names are not mixed with addresses.
    #[serde(default)]
    pub endpoints: Vec<BackendEndpoint>,
    /// What they speak beyond HTTP/1.1: `gateway.envoyproxy.io/h2c`, `.../ws`, `.../wss`.
    #[serde(default)]
    pub app_protocols: Vec<String>,
    /// Whether it only stands in when the primary backends fail.
    pub fallback: Option<bool>,
    /// TLS towards the endpoints, as written.
    pub tls: Option<Value>,
}

/// One endpoint: exactly one of `fqdn`, `ip` and `unix`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackendEndpoint {
    /// A host name for health checks, rewrites and SNI.
    pub hostname: Option<String>,
    /// A host name to resolve.
    pub fqdn: Option<FqdnEndpoint>,
    /// An address.
    pub ip: Option<IpEndpoint>,
    /// A Unix domain socket.
    pub unix: Option<UnixEndpoint>,
    /// Its zone.
    pub zone: Option<String>,
}

/// A host name and port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FqdnEndpoint {
    /// The host name.
    pub hostname: String,
    /// The port.
    pub port: i32,
}

/// An IP address and port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IpEndpoint {
    /// The address.
    pub address: String,
    /// The port.
    pub port: i32,
}

/// A Unix domain socket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UnixEndpoint {
    /// Its path, 108 bytes at most.
    pub path: String,
}
