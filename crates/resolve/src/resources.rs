//! `Resources`: the snapshot of all objects that every provider fills and the engine resolves.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_plan::NamespacedName;

use crate::api::{
    Backend, BackendTlsPolicy, BackendTrafficPolicy, ClientTrafficPolicy, ConfigMap, EndpointSlice,
    EnvoyProxy, Gateway, GatewayClass, GrpcRoute, HttpRoute, HttpRouteFilter, ListenerSet,
    Namespace, ReferenceGrant, Secret, Service, TcpRoute, TlsRoute, UdpRoute,
};
use crate::diagnostics::ObjectRef;
use crate::object::{Object, OtherPolicy};

/// Objects of one kind by name.
pub type Objects<T> = BTreeMap<NamespacedName, Arc<T>>;

/// All objects at one moment. Cheap to clone: the objects are shared.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the kinds speak for themselves")]
pub struct Resources {
    /// Named without a namespace.
    pub gateway_classes: Objects<GatewayClass>,
    pub gateways: Objects<Gateway>,
    pub listener_sets: Objects<ListenerSet>,
    pub http_routes: Objects<HttpRoute>,
    pub grpc_routes: Objects<GrpcRoute>,
    pub tcp_routes: Objects<TcpRoute>,
    pub tls_routes: Objects<TlsRoute>,
    pub udp_routes: Objects<UdpRoute>,
    pub reference_grants: Objects<ReferenceGrant>,
    /// Named without a namespace.
    pub namespaces: Objects<Namespace>,
    pub services: Objects<Service>,
    pub endpoint_slices: Objects<EndpointSlice>,
    pub config_maps: Objects<ConfigMap>,
    pub secrets: Objects<Secret>,
    pub backends: Objects<Backend>,
    pub envoy_proxies: Objects<EnvoyProxy>,
    pub http_route_filters: Objects<HttpRouteFilter>,
    pub policies: Objects<BackendTrafficPolicy>,
    pub backend_tls_policies: Objects<BackendTlsPolicy>,
    pub client_policies: Objects<ClientTrafficPolicy>,
    pub other_policies: BTreeMap<ObjectRef, Arc<OtherPolicy>>,
}

impl Resources {
    /// Adds an object, in place of one of the same kind and name.
    pub fn insert(&mut self, object: Object) {
        let reference = object.object_ref();
        let name = reference.name.clone();
        match object {
            Object::GatewayClass(it) => drop(self.gateway_classes.insert(name, it)),
            Object::Gateway(it) => drop(self.gateways.insert(name, it)),
            Object::ListenerSet(it) => drop(self.listener_sets.insert(name, it)),
            Object::HttpRoute(it) => drop(self.http_routes.insert(name, it)),
            Object::GrpcRoute(it) => drop(self.grpc_routes.insert(name, it)),
            Object::TcpRoute(it) => drop(self.tcp_routes.insert(name, it)),
            Object::TlsRoute(it) => drop(self.tls_routes.insert(name, it)),
            Object::UdpRoute(it) => drop(self.udp_routes.insert(name, it)),
            Object::ReferenceGrant(it) => drop(self.reference_grants.insert(name, it)),
            Object::Namespace(it) => drop(self.namespaces.insert(name, it)),
            Object::Service(it) => drop(self.services.insert(name, it)),
            Object::EndpointSlice(it) => drop(self.endpoint_slices.insert(name, it)),
            Object::ConfigMap(it) => drop(self.config_maps.insert(name, it)),
            Object::Secret(it) => drop(self.secrets.insert(name, it)),
            Object::Backend(it) => drop(self.backends.insert(name, it)),
            Object::EnvoyProxy(it) => drop(self.envoy_proxies.insert(name, it)),
            Object::HttpRouteFilter(it) => drop(self.http_route_filters.insert(name, it)),
            Object::BackendTrafficPolicy(it) => drop(self.policies.insert(name, it)),
            Object::BackendTlsPolicy(it) => drop(self.backend_tls_policies.insert(name, it)),
            Object::ClientTrafficPolicy(it) => drop(self.client_policies.insert(name, it)),
            Object::OtherPolicy(it) => drop(self.other_policies.insert(reference, it)),
        }
    }

    /// All objects, kind by kind in the order of their names.
    pub fn objects(&self) -> impl Iterator<Item = Object> {
        let Self {
            gateway_classes,
            gateways,
            listener_sets,
            http_routes,
            grpc_routes,
            tcp_routes,
            tls_routes,
            udp_routes,
            reference_grants,
            namespaces,
            services,
            endpoint_slices,
            config_maps,
            secrets,
            backends,
            envoy_proxies,
            http_route_filters,
            policies,
            backend_tls_policies,
            client_policies,
            other_policies,
        } = self;
        fn of<'a, K, T>(
            objects: &'a BTreeMap<K, Arc<T>>,
            object: fn(Arc<T>) -> Object,
        ) -> impl Iterator<Item = Object> + 'a {
            objects.values().map(move |it| object(Arc::clone(it)))
        }
        of(gateway_classes, Object::GatewayClass)
            .chain(of(gateways, Object::Gateway))
            .chain(of(listener_sets, Object::ListenerSet))
            .chain(of(http_routes, Object::HttpRoute))
            .chain(of(grpc_routes, Object::GrpcRoute))
            .chain(of(tcp_routes, Object::TcpRoute))
            .chain(of(tls_routes, Object::TlsRoute))
            .chain(of(udp_routes, Object::UdpRoute))
            .chain(of(reference_grants, Object::ReferenceGrant))
            .chain(of(namespaces, Object::Namespace))
            .chain(of(services, Object::Service))
            .chain(of(endpoint_slices, Object::EndpointSlice))
            .chain(of(config_maps, Object::ConfigMap))
            .chain(of(secrets, Object::Secret))
            .chain(of(backends, Object::Backend))
            .chain(of(envoy_proxies, Object::EnvoyProxy))
            .chain(of(http_route_filters, Object::HttpRouteFilter))
            .chain(of(policies, Object::BackendTrafficPolicy))
            .chain(of(backend_tls_policies, Object::BackendTlsPolicy))
            .chain(of(client_policies, Object::ClientTrafficPolicy))
            .chain(of(other_policies, Object::OtherPolicy))
    }

    /// Whether both have the same objects in memory, EndpointSlices aside: then they resolve to the same, and at most the
    /// [endpoints](crate::endpoints) differ.
    pub fn is_same_but_endpoints(&self, other: &Self) -> bool {
        let is_other = |it: &Object| !matches!(it, Object::EndpointSlice(_));
        let (ours, theirs) = (self.objects(), other.objects());
        let (mut ours, mut theirs) = (ours.filter(is_other), theirs.filter(is_other));
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => return true,
                (Some(one), Some(two)) if one.is_same(&two) => {}
                (_, _) => return false,
            }
        }
    }

    /// Takes out the object of this kind and name.
    pub fn remove(&mut self, object: &Object) {
        let reference = object.object_ref();
        let name = &reference.name;
        match object {
            Object::GatewayClass(_) => drop(self.gateway_classes.remove(name)),
            Object::Gateway(_) => drop(self.gateways.remove(name)),
            Object::ListenerSet(_) => drop(self.listener_sets.remove(name)),
            Object::HttpRoute(_) => drop(self.http_routes.remove(name)),
            Object::GrpcRoute(_) => drop(self.grpc_routes.remove(name)),
            Object::TcpRoute(_) => drop(self.tcp_routes.remove(name)),
            Object::TlsRoute(_) => drop(self.tls_routes.remove(name)),
            Object::UdpRoute(_) => drop(self.udp_routes.remove(name)),
            Object::ReferenceGrant(_) => drop(self.reference_grants.remove(name)),
            Object::Namespace(_) => drop(self.namespaces.remove(name)),
            Object::Service(_) => drop(self.services.remove(name)),
            Object::EndpointSlice(_) => drop(self.endpoint_slices.remove(name)),
            Object::ConfigMap(_) => drop(self.config_maps.remove(name)),
            Object::Secret(_) => drop(self.secrets.remove(name)),
            Object::Backend(_) => drop(self.backends.remove(name)),
            Object::EnvoyProxy(_) => drop(self.envoy_proxies.remove(name)),
            Object::HttpRouteFilter(_) => drop(self.http_route_filters.remove(name)),
            Object::BackendTrafficPolicy(_) => drop(self.policies.remove(name)),
            Object::BackendTlsPolicy(_) => drop(self.backend_tls_policies.remove(name)),
            Object::ClientTrafficPolicy(_) => drop(self.client_policies.remove(name)),
            Object::OtherPolicy(_) => drop(self.other_policies.remove(&reference)),
        }
    }
}
