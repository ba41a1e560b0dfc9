//! `Backend` (`gateway.envoyproxy.io/v1alpha1`): endpoints that are no Kubernetes Service.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// `Endpoints` (default), or `DynamicResolver`: the host that a request names is resolved.
    pub r#type: Option<String>,
    /// The endpoints, 1 to 256; names are not mixed with addresses.
    #[serde(default)]
    pub endpoints: Vec<BackendEndpoint>,
    /// What they speak beyond HTTP/1.1: `gateway.envoyproxy.io/h2c`, `.../ws`, `.../wss`.
    #[serde(default)]
    pub app_protocols: Vec<String>,
    /// Whether it only stands in when the primary backends fail; default false.
    pub fallback: Option<bool>,
    /// TLS towards the endpoints. Unset: none, unless a BackendTLSPolicy asks for it.
    pub tls: Option<BackendTls>,
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
    /// Its zone, for load balancing by zone.
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

/// TLS towards endpoints. One of `caCertificateRefs`, `wellKnownCACertificates` and `insecureSkipVerify` says whom to
/// trust, unless a BackendTLSPolicy does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackendTls {
    /// ConfigMaps or Secrets of the same namespace, whose key `ca.crt` has the authorities that are trusted.
    #[serde(rename = "caCertificateRefs")]
    pub ca_certificate_refs: Option<Vec<CaCertificateRef>>,
    /// `System`: the authorities that the system trusts.
    #[serde(rename = "wellKnownCACertificates")]
    pub well_known_ca_certificates: Option<String>,
    /// Whether any certificate will do; default false.
    pub insecure_skip_verify: Option<bool>,
    /// The name that endpoints are asked for, and that has to be in their certificates. Default: each endpoint's `hostname`,
    /// else the name that is resolved, else its address.
    pub sni: Option<String>,
    /// Whether that name is the endpoint's own `hostname`, as it is without `sni` in any case; default false.
    #[serde(rename = "autoSNIFromEndpointHostname")]
    pub auto_sni_from_endpoint_hostname: Option<bool>,
    /// The Secret of the same namespace with the certificate that is shown to endpoints. Unset: the gateway's own.
    pub client_certificate_ref: Option<ClientCertificateRef>,
    /// The oldest version of TLS; `Auto` leaves it to the data plane. Default 1.2.
    pub min_version: Option<String>,
    /// The newest version of TLS; `Auto` leaves it to the data plane. Default 1.3.
    pub max_version: Option<String>,
    /// The cipher suites up to TLS 1.2, in order of preference. Unset: the data plane's.
    pub ciphers: Option<Vec<String>>,
    /// The curves of key exchanges, in order of preference. Unset: the data plane's.
    pub ecdh_curves: Option<Vec<String>>,
    /// The algorithms of signatures that are taken. Unset: the data plane's.
    pub signature_algorithms: Option<Vec<String>>,
    /// The protocols that are offered (ALPN); empty: none. Unset: what the
    /// backend's protocol asks for, or `h2` and `http/1.1` where nothing says which.
    pub alpn_protocols: Option<Vec<String>>,
    /// Fingerprints of clients. They mean nothing towards a backend.
    pub fingerprints: Option<Vec<String>>,
}

/// Where authorities are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CaCertificateRef {
    /// The group of its kind; empty: the core group.
    #[serde(default)]
    pub group: String,
    /// `ConfigMap` or `Secret`.
    #[serde(default)]
    pub kind: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
}

/// Where a certificate and its key are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClientCertificateRef {
    /// The group of its kind. Default: the core group.
    pub group: Option<String>,
    /// `Secret`, the default.
    pub kind: Option<String>,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its namespace, which must be the Backend's. Default: that one.
    pub namespace: Option<String>,
}
