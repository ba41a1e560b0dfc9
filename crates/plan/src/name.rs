//! Names: what listeners, routes, clusters and endpoint sets are called, spelled in one place each.
//!
//! State that outlives a plan (counts, buckets, health) is keyed by these names, so they must not change
//! while the thing they name stays the same.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

/// The namespace and name of an object. Its text form is `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespacedName {
    /// The object's namespace; never empty.
    pub namespace: Arc<str>,
    /// The object's name.
    pub name: Arc<str>,
}

impl NamespacedName {
    /// A name from its two parts.
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for NamespacedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl Serialize for NamespacedName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The route kinds of the Gateway API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum RouteKind {
    /// `HTTPRoute`
    #[serde(rename = "HTTPRoute")]
    Http,
    /// `GRPCRoute`
    #[serde(rename = "GRPCRoute")]
    Grpc,
    /// `TCPRoute`
    #[serde(rename = "TCPRoute")]
    Tcp,
    /// `TLSRoute`
    #[serde(rename = "TLSRoute")]
    Tls,
    /// `UDPRoute`
    #[serde(rename = "UDPRoute")]
    Udp,
}

impl RouteKind {
    /// Every kind, in the order in which they are listed.
    pub const ALL: [Self; 5] = [Self::Http, Self::Grpc, Self::Tcp, Self::Tls, Self::Udp];

    /// The kind as resources spell it, such as `HTTPRoute`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "HTTPRoute",
            Self::Grpc => "GRPCRoute",
            Self::Tcp => "TCPRoute",
            Self::Tls => "TLSRoute",
            Self::Udp => "UDPRoute",
        }
    }

    /// True for the kinds whose requests the proxy reads (HTTPRoute, GRPCRoute).
    pub const fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Grpc)
    }
}

impl fmt::Display for RouteKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A listener of a Gateway. Its text form is `namespace/gateway/listener`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerName {
    /// The Gateway.
    pub gateway: NamespacedName,
    /// The listener's name within the Gateway.
    pub listener: Arc<str>,
}

impl fmt::Display for ListenerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.gateway, self.listener)
    }
}

impl Serialize for ListenerName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One rule of one route: `HTTPRoute/namespace/name/rule/0`, or `.../rule:checkout` where the rule has a name.
///
/// A rule's name keeps its identity when other rules are put in front of it; an index does not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleName {
    /// The kind of the route.
    pub kind: RouteKind,
    /// The route.
    pub route: NamespacedName,
    /// The place of the rule in the route, from 0.
    pub index: usize,
    /// The rule's own name, where it has one.
    pub rule: Option<Arc<str>>,
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rule {
            Some(rule) => write!(f, "{}/{}/rule:{rule}", self.kind, self.route),
            None => write!(f, "{}/{}/rule/{}", self.kind, self.route, self.index),
        }
    }
}

impl Serialize for RuleName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

macro_rules! text_name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text form.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The text form, shared.
            pub fn shared(&self) -> Arc<str> {
                Arc::clone(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_name! {
    /// One entry of a listener's route table: a rule, one of its matches, and a host name. Unique in a listener.
    RouteName
}

impl RouteName {
    /// `RULE/match/INDEX/HOST`, with `*` for the host of a route without host names.
    pub fn of(rule: &RuleName, match_index: usize, host: &str) -> Self {
        Self(format!("{rule}/match/{match_index}/{host}").into())
    }
}

text_name! {
    /// What requests of a rule are sent to; breaker counts and pools belong to it.
    ClusterName
}

impl ClusterName {
    /// `RULE@GATEWAY`: the cluster of a rule's backends, one per Gateway.
    ///
    /// `listener` is given where the effective policy of the rule differs between listeners of the Gateway;
    /// `backend` where each backend of the rule has a cluster of its own.
    pub fn of_rule(
        rule: &RuleName,
        gateway: &NamespacedName,
        listener: Option<&str>,
        backend: Option<usize>,
    ) -> Self {
        let backend = backend.map_or_else(String::new, |it| format!("/backend/{it}"));
        Self::of_part(rule, &backend, gateway, listener)
    }

    /// `RULE/mirror/N@GATEWAY`: the cluster of the mirror that the rule's filter of this place names. `listener` as
    /// above.
    pub fn of_mirror(
        rule: &RuleName,
        gateway: &NamespacedName,
        listener: Option<&str>,
        filter: usize,
    ) -> Self {
        Self::of_part(rule, &format!("/mirror/{filter}"), gateway, listener)
    }

    fn of_part(
        rule: &RuleName,
        part: &str,
        gateway: &NamespacedName,
        listener: Option<&str>,
    ) -> Self {
        let listener = listener.map_or_else(String::new, |it| format!("/{it}"));
        Self(format!("{rule}{part}@{gateway}{listener}").into())
    }
}

text_name! {
    /// A set of endpoints that changes apart from the plan: a Service's port or a Backend.
    EndpointsName
}

impl EndpointsName {
    /// The endpoints of one port of a Service: `Service/namespace/name:port`.
    pub fn of_service(service: &NamespacedName, port: u16) -> Self {
        Self(format!("Service/{service}:{port}").into())
    }

    /// The same of a port for datagrams: `Service/namespace/name:port/udp`.
    pub fn of_udp_service(service: &NamespacedName, port: u16) -> Self {
        Self(format!("Service/{service}:{port}/udp").into())
    }

    /// The cluster IP of a Service, with one of its ports, as the only endpoint:
    /// `Service/namespace/name:port/cluster-ip`.
    pub fn of_cluster_ip(service: &NamespacedName, port: u16) -> Self {
        Self(format!("Service/{service}:{port}/cluster-ip").into())
    }

    /// The endpoints of a Backend: `Backend/namespace/name`.
    pub fn of_backend(backend: &NamespacedName) -> Self {
        Self(format!("Backend/{backend}").into())
    }
}

text_name! {
    /// A certificate that listeners show, wherever its bytes come from.
    CertificateName
}

impl CertificateName {
    /// The certificate in a Secret: `Secret/namespace/name`.
    pub fn of_secret(secret: &NamespacedName) -> Self {
        Self(format!("Secret/{secret}").into())
    }
}

/// A policy, as status, logs and explanations name it: `kind/namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyRef {
    /// The policy's kind, such as `BackendTrafficPolicy`.
    pub kind: Arc<str>,
    /// The policy.
    pub name: NamespacedName,
}

impl fmt::Display for PolicyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

impl Serialize for PolicyRef {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where a value came from: the policies that contributed to it, most specific first. Empty: defaults only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Origin {
    /// The policies, most specific first.
    pub policies: Vec<PolicyRef>,
}
