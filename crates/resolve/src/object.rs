//! `Object`: one object of a kind that the engine reads. How it is read from a document is in [`crate::reader`].

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use weir_plan::NamespacedName;

use crate::api::{
    Backend, BackendTlsPolicy, BackendTrafficPolicy, ClientTrafficPolicy, ConfigMap, EndpointSlice,
    EnvoyProxy, GATEWAY_GROUP, Gateway, GatewayClass, GrpcRoute, HttpRoute, HttpRouteFilter,
    ListenerSet, Namespace, ObjectMeta, POLICY_GROUP, ReferenceGrant, Secret, Service, TcpRoute,
    TlsRoute, UdpRoute,
};
use crate::diagnostics::{Diagnostic, ObjectRef};
use crate::reader::{Admission, read};

/// An object of a kind that the engine reads.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the kinds speak for themselves")]
pub enum Object {
    GatewayClass(Arc<GatewayClass>),
    Gateway(Arc<Gateway>),
    ListenerSet(Arc<ListenerSet>),
    HttpRoute(Arc<HttpRoute>),
    GrpcRoute(Arc<GrpcRoute>),
    TcpRoute(Arc<TcpRoute>),
    TlsRoute(Arc<TlsRoute>),
    UdpRoute(Arc<UdpRoute>),
    ReferenceGrant(Arc<ReferenceGrant>),
    Namespace(Arc<Namespace>),
    Service(Arc<Service>),
    EndpointSlice(Arc<EndpointSlice>),
    ConfigMap(Arc<ConfigMap>),
    Secret(Arc<Secret>),
    Backend(Arc<Backend>),
    EnvoyProxy(Arc<EnvoyProxy>),
    HttpRouteFilter(Arc<HttpRouteFilter>),
    BackendTrafficPolicy(Arc<BackendTrafficPolicy>),
    BackendTlsPolicy(Arc<BackendTlsPolicy>),
    ClientTrafficPolicy(Arc<ClientTrafficPolicy>),
    /// A policy of a kind that is not enforced, such as SecurityPolicy: who it is, and its spec for its targets.
    OtherPolicy(Arc<OtherPolicy>),
}

/// A policy of a kind that is not enforced.
#[derive(Clone, Debug, PartialEq)]
pub struct OtherPolicy {
    /// Which.
    pub object: ObjectRef,
    /// Its spec as written: `targetRef`, `targetRefs` and `targetSelectors` are read from it.
    pub spec: Value,
    /// Its annotations, which may [ignore findings](crate::lint::IGNORE).
    pub annotations: BTreeMap<String, String>,
}

/// What came of reading a document: an object, if its kind concerns us, and warnings; or all that is wrong.
pub type Reading = Result<(Option<Object>, Vec<Diagnostic>), Vec<Diagnostic>>;

impl Object {
    /// Reads one object from a document.
    ///
    /// `Ok` carries the object and warnings about it. `Err` carries what is wrong: unknown fields (with a suggestion),
    /// wrong types, and what admission refuses. `Ok(None)` is an object of a kind that does not concern us.
    /// An absent namespace becomes `default`. The `status` is not read.
    pub fn read(document: Value) -> Reading {
        read(document, Admission::Whole)
    }

    /// Reads one object as Go programs read files: unknown fields are warnings, names of a policy's fields may differ in
    /// upper and lower case, and nothing is refused but what does not have the right types.
    ///
    /// For objects that were admitted elsewhere, and for cases that are to reach the engine without admission.
    pub fn read_unadmitted(document: Value) -> Reading {
        read(document, Admission::None)
    }

    /// Group, kind, namespace and name.
    pub fn object_ref(&self) -> ObjectRef {
        let gateway_api = |kind, metadata| reference(GATEWAY_GROUP, kind, metadata);
        match self {
            Self::GatewayClass(it) => gateway_api("GatewayClass", &it.metadata),
            Self::Gateway(it) => gateway_api("Gateway", &it.metadata),
            Self::ListenerSet(it) => gateway_api("ListenerSet", &it.metadata),
            Self::HttpRoute(it) => gateway_api("HTTPRoute", &it.metadata),
            Self::GrpcRoute(it) => gateway_api("GRPCRoute", &it.metadata),
            Self::TcpRoute(it) => gateway_api("TCPRoute", &it.metadata),
            Self::TlsRoute(it) => gateway_api("TLSRoute", &it.metadata),
            Self::UdpRoute(it) => gateway_api("UDPRoute", &it.metadata),
            Self::ReferenceGrant(it) => gateway_api("ReferenceGrant", &it.metadata),
            Self::Namespace(it) => reference("", "Namespace", &it.metadata),
            Self::Service(it) => reference("", "Service", &it.metadata),
            Self::EndpointSlice(it) => reference(DISCOVERY_GROUP, "EndpointSlice", &it.metadata),
            Self::ConfigMap(it) => reference("", "ConfigMap", &it.metadata),
            Self::Secret(it) => reference("", "Secret", &it.metadata),
            Self::Backend(it) => reference(POLICY_GROUP, "Backend", &it.metadata),
            Self::EnvoyProxy(it) => reference(POLICY_GROUP, "EnvoyProxy", &it.metadata),
            Self::HttpRouteFilter(it) => reference(POLICY_GROUP, "HTTPRouteFilter", &it.metadata),
            Self::BackendTlsPolicy(it) => gateway_api("BackendTLSPolicy", &it.metadata),
            Self::BackendTrafficPolicy(it) => {
                reference(POLICY_GROUP, "BackendTrafficPolicy", &it.metadata)
            }
            Self::ClientTrafficPolicy(it) => {
                reference(POLICY_GROUP, "ClientTrafficPolicy", &it.metadata)
            }
            Self::OtherPolicy(it) => it.object.clone(),
        }
    }

    /// Whether both are the same object in memory, so that nothing has to be compared or computed again.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::GatewayClass(a), Self::GatewayClass(b)) => Arc::ptr_eq(a, b),
            (Self::Gateway(a), Self::Gateway(b)) => Arc::ptr_eq(a, b),
            (Self::ListenerSet(a), Self::ListenerSet(b)) => Arc::ptr_eq(a, b),
            (Self::HttpRoute(a), Self::HttpRoute(b)) => Arc::ptr_eq(a, b),
            (Self::GrpcRoute(a), Self::GrpcRoute(b)) => Arc::ptr_eq(a, b),
            (Self::TcpRoute(a), Self::TcpRoute(b)) => Arc::ptr_eq(a, b),
            (Self::TlsRoute(a), Self::TlsRoute(b)) => Arc::ptr_eq(a, b),
            (Self::UdpRoute(a), Self::UdpRoute(b)) => Arc::ptr_eq(a, b),
            (Self::ReferenceGrant(a), Self::ReferenceGrant(b)) => Arc::ptr_eq(a, b),
            (Self::Namespace(a), Self::Namespace(b)) => Arc::ptr_eq(a, b),
            (Self::Service(a), Self::Service(b)) => Arc::ptr_eq(a, b),
            (Self::EndpointSlice(a), Self::EndpointSlice(b)) => Arc::ptr_eq(a, b),
            (Self::ConfigMap(a), Self::ConfigMap(b)) => Arc::ptr_eq(a, b),
            (Self::Secret(a), Self::Secret(b)) => Arc::ptr_eq(a, b),
            (Self::Backend(a), Self::Backend(b)) => Arc::ptr_eq(a, b),
            (Self::EnvoyProxy(a), Self::EnvoyProxy(b)) => Arc::ptr_eq(a, b),
            (Self::HttpRouteFilter(a), Self::HttpRouteFilter(b)) => Arc::ptr_eq(a, b),
            (Self::BackendTrafficPolicy(a), Self::BackendTrafficPolicy(b)) => Arc::ptr_eq(a, b),
            (Self::BackendTlsPolicy(a), Self::BackendTlsPolicy(b)) => Arc::ptr_eq(a, b),
            (Self::ClientTrafficPolicy(a), Self::ClientTrafficPolicy(b)) => Arc::ptr_eq(a, b),
            (Self::OtherPolicy(a), Self::OtherPolicy(b)) => Arc::ptr_eq(a, b),
            (
                Self::GatewayClass(_)
                | Self::Gateway(_)
                | Self::ListenerSet(_)
                | Self::HttpRoute(_)
                | Self::GrpcRoute(_)
                | Self::TcpRoute(_)
                | Self::TlsRoute(_)
                | Self::UdpRoute(_)
                | Self::ReferenceGrant(_)
                | Self::Namespace(_)
                | Self::Service(_)
                | Self::EndpointSlice(_)
                | Self::ConfigMap(_)
                | Self::Secret(_)
                | Self::Backend(_)
                | Self::EnvoyProxy(_)
                | Self::HttpRouteFilter(_)
                | Self::BackendTrafficPolicy(_)
                | Self::BackendTlsPolicy(_)
                | Self::ClientTrafficPolicy(_)
                | Self::OtherPolicy(_),
                _,
            ) => false,
        }
    }
}

/// The group of EndpointSlices.
pub(crate) const DISCOVERY_GROUP: &str = "discovery.k8s.io";

fn reference(group: &str, kind: &str, metadata: &ObjectMeta) -> ObjectRef {
    let part = |text: &Option<String>| text.as_deref().unwrap_or_default().to_owned();
    let name = NamespacedName::new(part(&metadata.namespace), part(&metadata.name));
    ObjectRef {
        group: group.to_owned(),
        kind: kind.to_owned(),
        name,
    }
}
