//! What earlier calls found out, kept to save work, and what changed since.
//!
//! An object that is the same `Arc` as last time did not change. Each step keeps its own part of the memo and redoes
//! what the changes touch; with an empty memo everything is a change, so both ways are one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_plan::NamespacedName;

use crate::api::{
    Backend, BackendTlsPolicy, BackendTrafficPolicy, ClientTrafficPolicy, ConfigMap, EnvoyProxy,
    Gateway, GatewayClass, HttpRouteFilter, ListenerSet, Namespace, ReferenceGrant, Secret,
    Service,
};
use crate::api::{GrpcRoute, HttpRoute, TcpRoute, TlsRoute, UdpRoute};
use crate::backend_tls::{self, BackendKind};
use crate::clients::Clients;
use crate::diagnostics::ObjectRef;
use crate::object::OtherPolicy;
use crate::resources::{Objects, Resources};
use crate::topology::attachments::Attachments;
use crate::topology::routes::RouteObject;
use crate::{Context, build, policies, status};

/// Results of earlier calls, kept to save work. It never changes what [`crate::resolve`] returns.
#[derive(Debug, Default)]
pub struct Memo {
    context: Option<Context>,
    seen: Seen,
    pub(crate) attachments: Attachments,
    pub(crate) policies: policies::Memo,
    pub(crate) clients: Option<Arc<Clients>>,
    pub(crate) build: build::Memo,
    pub(crate) backends: status::backends::Memo,
}

/// The objects of the last call, as far as changes of them are looked for here.
#[derive(Debug, Default)]
struct Seen {
    gateway_classes: Objects<GatewayClass>,
    gateways: Objects<Gateway>,
    listener_sets: Objects<ListenerSet>,
    namespaces: Objects<Namespace>,
    envoy_proxies: Objects<EnvoyProxy>,
    reference_grants: Objects<ReferenceGrant>,
    http_routes: Objects<HttpRoute>,
    grpc_routes: Objects<GrpcRoute>,
    tcp_routes: Objects<TcpRoute>,
    tls_routes: Objects<TlsRoute>,
    udp_routes: Objects<UdpRoute>,
    services: Objects<Service>,
    backends: Objects<Backend>,
    config_maps: Objects<ConfigMap>,
    secrets: Objects<Secret>,
    http_route_filters: Objects<HttpRouteFilter>,
    policies: Objects<BackendTrafficPolicy>,
    backend_tls_policies: Objects<BackendTlsPolicy>,
    client_policies: Objects<ClientTrafficPolicy>,
    other_policies: BTreeMap<ObjectRef, Arc<OtherPolicy>>,
}

/// What changed since the last call.
#[derive(Debug)]
pub(crate) struct Changes {
    /// Whether anything changed that makes Gateways ours or opens their listeners.
    pub(crate) gateways: bool,
    /// Whether a policy changed, or a ConfigMap that one may refer to.
    pub(crate) policies: bool,
    /// Whether a ClientTrafficPolicy changed.
    pub(crate) client_policies: bool,
    /// Whether a ReferenceGrant changed.
    pub(crate) grants: bool,
    /// The routes that came, went or changed.
    pub(crate) routes: Vec<Change<RouteObject>>,
    /// The Services that came, went or changed.
    pub(crate) services: BTreeSet<NamespacedName>,
    /// The Backends that came, went or changed.
    pub(crate) backends: BTreeSet<NamespacedName>,
    /// The HTTPRouteFilters that came, went or changed.
    pub(crate) http_route_filters: BTreeSet<NamespacedName>,
    /// The ConfigMaps that came, went or changed.
    pub(crate) config_maps: BTreeSet<NamespacedName>,
    /// The Secrets that came, went or changed, so that listeners may have other certificates.
    pub(crate) secrets: BTreeSet<NamespacedName>,
}

/// What became of one object.
#[derive(Debug)]
pub(crate) struct Change<T, K = NamespacedName> {
    /// Its name.
    pub(crate) name: K,
    /// What it was.
    pub(crate) old: Option<T>,
    /// What it is.
    pub(crate) new: Option<T>,
}

impl Memo {
    /// What changed since the last call, which this one becomes. Under another context all is new.
    pub(crate) fn changes(&mut self, resources: &Resources, context: &Context) -> Changes {
        if self
            .context
            .as_ref()
            .is_none_or(|last| !last.is_same(context))
        {
            *self = Self::default();
            self.context = Some(context.clone());
        }
        self.seen.changes(resources)
    }
}

impl Seen {
    fn changes(&mut self, now: &Resources) -> Changes {
        let gateways = [
            differs(&mut self.gateway_classes, &now.gateway_classes),
            differs(&mut self.gateways, &now.gateways),
            differs(&mut self.listener_sets, &now.listener_sets),
            differs(&mut self.namespaces, &now.namespaces),
            differs(&mut self.envoy_proxies, &now.envoy_proxies),
        ];
        let config_maps = names(&mut self.config_maps, &now.config_maps);
        let policies = [
            !config_maps.is_empty(),
            differs(&mut self.policies, &now.policies),
            differs(&mut self.other_policies, &now.other_policies),
        ];
        let mut routes = routes(&mut self.http_routes, &now.http_routes, RouteObject::Http);
        routes.extend(self::routes(
            &mut self.grpc_routes,
            &now.grpc_routes,
            RouteObject::Grpc,
        ));
        routes.extend(self::routes(
            &mut self.tcp_routes,
            &now.tcp_routes,
            RouteObject::Tcp,
        ));
        routes.extend(self::routes(
            &mut self.tls_routes,
            &now.tls_routes,
            RouteObject::Tls,
        ));
        routes.extend(self::routes(
            &mut self.udp_routes,
            &now.udp_routes,
            RouteObject::Udp,
        ));
        let mut services = names(&mut self.services, &now.services);
        let mut backends = names(&mut self.backends, &now.backends);
        // Who asks for TLS towards a backend changes the backend for all routes that refer to it.
        for change in since(&mut self.backend_tls_policies, &now.backend_tls_policies) {
            for policy in change.old.iter().chain(&change.new) {
                for (kind, name) in backend_tls::targets(&change.name, policy) {
                    match kind {
                        BackendKind::Service => services.insert(name),
                        BackendKind::Backend => backends.insert(name),
                    };
                }
            }
        }
        Changes {
            gateways: gateways.contains(&true),
            policies: policies.contains(&true),
            client_policies: differs(&mut self.client_policies, &now.client_policies),
            grants: differs(&mut self.reference_grants, &now.reference_grants),
            routes,
            services,
            backends,
            http_route_filters: names(&mut self.http_route_filters, &now.http_route_filters),
            config_maps,
            secrets: names(&mut self.secrets, &now.secrets),
        }
    }
}

fn differs<K: Name, T>(seen: &mut BTreeMap<K, Arc<T>>, now: &BTreeMap<K, Arc<T>>) -> bool {
    !since(seen, now).is_empty()
}

fn names<T>(seen: &mut Objects<T>, now: &Objects<T>) -> BTreeSet<NamespacedName> {
    since(seen, now)
        .into_iter()
        .map(|change| change.name)
        .collect()
}

fn routes<T>(
    seen: &mut Objects<T>,
    now: &Objects<T>,
    object: fn(Arc<T>) -> RouteObject,
) -> Vec<Change<RouteObject>> {
    since(seen, now)
        .into_iter()
        .map(|Change { name, old, new }| Change {
            name,
            old: old.map(object),
            new: new.map(object),
        })
        .collect()
}

/// What changed from `seen` to `now`, in the order of names. `seen` becomes `now`.
fn since<K: Name, T>(
    seen: &mut BTreeMap<K, Arc<T>>,
    now: &BTreeMap<K, Arc<T>>,
) -> Vec<Change<Arc<T>, K>> {
    let mut changes = Vec::new();
    let (mut old, mut new) = (seen.iter().peekable(), now.iter().peekable());
    loop {
        let (was, is) = match (old.peek(), new.peek()) {
            (None, None) => break,
            (Some((a, _)), Some((b, _))) if a.is(b) => (old.next(), new.next()),
            (Some((a, _)), Some((b, _))) if a < b => (old.next(), None),
            (Some(_), None) => (old.next(), None),
            (Some(_) | None, Some(_)) => (None, new.next()),
        };
        let same = matches!((was, is), (Some((_, was)), Some((_, is))) if Arc::ptr_eq(was, is));
        if let Some((name, _)) = is.or(was).filter(|_| !same) {
            changes.push(Change {
                name: name.clone(),
                old: was.map(|(_, it)| Arc::clone(it)),
                new: is.map(|(_, it)| Arc::clone(it)),
            });
        }
    }
    if seen.is_empty() {
        seen.clone_from(now);
    } else {
        for Change { name, old: _, new } in &changes {
            match new {
                Some(new) => seen.insert(name.clone(), Arc::clone(new)),
                None => seen.remove(name),
            };
        }
    }
    changes
}

/// What objects go by.
trait Name: Ord + Clone {
    /// Whether both are the same name; quick where they share their text, as names of unchanged objects do.
    fn is(&self, other: &Self) -> bool;
}

impl Name for NamespacedName {
    fn is(&self, other: &Self) -> bool {
        let shared =
            Arc::ptr_eq(&self.name, &other.name) && Arc::ptr_eq(&self.namespace, &other.namespace);
        shared || self == other
    }
}

impl Name for ObjectRef {
    fn is(&self, other: &Self) -> bool {
        self == other
    }
}

#[cfg(test)]
mod tests;
