//! The kinds that are watched: where the API server has them, how much of each is kept, and which are told a status.

use kube_core::discovery::ApiResource;
use weir_resolve::api::{GATEWAY_GROUP, POLICY_GROUP};

/// A kind that is watched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) group: &'static str,
    pub(crate) kind: &'static str,
    /// Its name in paths of the API.
    pub(crate) plural: &'static str,
    /// Its versions that can be read, the best first.
    pub(crate) versions: &'static [&'static str],
    pub(crate) scope: Scope,
    pub(crate) keeps: Keeps,
    /// Whether statuses are written to it.
    pub(crate) status: bool,
}

/// Where objects of a kind live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Cluster,
    Namespaced,
}

/// Which objects of a kind are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// All.
    All,
    /// Those that others refer to; of the rest only the names are known.
    Referenced,
}

const GATEWAY_VERSIONS: &[&str] = &["v1", "v1beta1", "v1alpha3", "v1alpha2"];
const EXPERIMENTAL_GROUP: &str = "gateway.networking.x-k8s.io";

/// All kinds that are watched.
pub(crate) const KINDS: &[Kind] = &[
    cluster_wide(gateway_api("GatewayClass", "gatewayclasses", true)),
    gateway_api("Gateway", "gateways", true),
    gateway_api("ListenerSet", "listenersets", true),
    gateway_api("HTTPRoute", "httproutes", true),
    gateway_api("GRPCRoute", "grpcroutes", true),
    gateway_api("TCPRoute", "tcproutes", true),
    gateway_api("TLSRoute", "tlsroutes", true),
    gateway_api("UDPRoute", "udproutes", true),
    gateway_api("ReferenceGrant", "referencegrants", false),
    gateway_api("BackendTLSPolicy", "backendtlspolicies", true),
    cluster_wide(core("Namespace", "namespaces", Keeps::All)),
    core("Service", "services", Keeps::All),
    core("ConfigMap", "configmaps", Keeps::Referenced),
    core("Secret", "secrets", Keeps::Referenced),
    Kind {
        group: "discovery.k8s.io",
        ..core("EndpointSlice", "endpointslices", Keeps::All)
    },
    ours("Backend", "backends", true),
    ours("BackendTrafficPolicy", "backendtrafficpolicies", true),
    ours("ClientTrafficPolicy", "clienttrafficpolicies", true),
    ours("EnvoyExtensionPolicy", "envoyextensionpolicies", false),
    ours("EnvoyPatchPolicy", "envoypatchpolicies", false),
    ours("EnvoyProxy", "envoyproxies", false),
    ours("HTTPRouteFilter", "httproutefilters", false),
    ours("SecurityPolicy", "securitypolicies", false),
    Kind {
        group: EXPERIMENTAL_GROUP,
        ..ours("XBackendTrafficPolicy", "xbackendtrafficpolicies", false)
    },
];

const fn gateway_api(kind: &'static str, plural: &'static str, status: bool) -> Kind {
    Kind {
        group: GATEWAY_GROUP,
        kind,
        plural,
        versions: GATEWAY_VERSIONS,
        scope: Scope::Namespaced,
        keeps: Keeps::All,
        status,
    }
}

const fn ours(kind: &'static str, plural: &'static str, status: bool) -> Kind {
    Kind {
        group: POLICY_GROUP,
        versions: &["v1alpha1"],
        ..gateway_api(kind, plural, status)
    }
}

const fn core(kind: &'static str, plural: &'static str, keeps: Keeps) -> Kind {
    Kind {
        group: "",
        kind,
        plural,
        versions: &["v1"],
        scope: Scope::Namespaced,
        keeps,
        status: false,
    }
}

const fn cluster_wide(kind: Kind) -> Kind {
    Kind {
        scope: Scope::Cluster,
        ..kind
    }
}

impl Kind {
    /// Whether it comes with Kubernetes, so that it need not be looked for.
    pub(crate) fn is_built_in(&self) -> bool {
        matches!(self.group, "" | "discovery.k8s.io")
    }

    /// Its name as rules of RBAC and `kubectl` have it, such as `httproutes.gateway.networking.k8s.io`.
    pub(crate) fn resource(&self) -> String {
        match self.group {
            "" => self.plural.to_owned(),
            group => format!("{}.{group}", self.plural),
        }
    }

    /// `group/version`.
    pub(crate) fn api_version(&self, version: &str) -> String {
        match self.group {
            "" => version.to_owned(),
            group => format!("{group}/{version}"),
        }
    }

    /// What the client calls it.
    pub(crate) fn api_resource(&self, version: &str) -> ApiResource {
        ApiResource {
            group: self.group.to_owned(),
            version: version.to_owned(),
            api_version: self.api_version(version),
            kind: self.kind.to_owned(),
            plural: self.plural.to_owned(),
        }
    }
}
