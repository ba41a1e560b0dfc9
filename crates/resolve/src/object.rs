//! From one document to one object: which kinds are read, which fields they have, and what is wrong with it.

use std::sync::Arc;

use serde_json::Value;
use weir_plan::NamespacedName;

use crate::api::{
    Backend, BackendTrafficPolicy, ConfigMap, EndpointSlice, GrpcRoute, Gateway, GatewayClass, HttpRoute, ListenerSet,
    Namespace, ReferenceGrant, Service, TcpRoute, TlsRoute, UdpRoute,
};
use crate::diagnostics::{Diagnostic, ObjectRef};

/// An object of a kind that the engine reads.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
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
    Backend(Arc<Backend>),
    BackendTrafficPolicy(Arc<BackendTrafficPolicy>),
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
}

impl Object {
    /// Reads one object from a document.
    ///
    /// `Ok` carries the object and warnings about it. `Err` carries what is wrong: unknown fields (with a suggestion),
    /// wrong types, and what admission refuses. `Ok(None)` is an object of a kind that does not concern us.
    /// An absent namespace becomes `default`.
    pub fn read(document: Value) -> Result<(Option<Self>, Vec<Diagnostic>), Vec<Diagnostic>> {
        let _ = document;
        todo!()
    }

    /// Group, kind, namespace and name.
    pub fn object_ref(&self) -> ObjectRef {
        let _ = NamespacedName::new("", "");
        todo!()
    }
}
