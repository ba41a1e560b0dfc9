//! The topology kept up to date: what changed is found out again, the rest stays the same `Arc`.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use weir_plan::{NamespacedName, RouteKind};

use super::gateways::{self, GatewayDetail};
use super::routes::{self, Parents, RouteDetail, RouteObject};
use super::{RouteNode, Topology, created};
use crate::Context;
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::memo::{Change, Changes};
use crate::resources::{Objects, Resources};

/// So many changed routes are put in their places one by one; more are sorted together with all others.
const FEW: usize = 32;

/// The topology, and what else statuses and the plan need to know about its nodes.
#[derive(Debug, Default)]
pub(crate) struct Attachments {
    /// What policies attach to.
    pub(crate) topology: Topology,
    /// The details of each of `topology.gateways`.
    pub(crate) gateways: Vec<Arc<GatewayDetail>>,
    /// The details of each of `topology.routes`.
    pub(crate) routes: Vec<Arc<RouteDetail>>,
    /// Whether any node of `topology` is another than in the last call.
    pub(crate) changed: bool,
    /// What is worth saying about routes, ours or not.
    found: BTreeMap<Order, Vec<Diagnostic>>,
}

/// The place of a route: oldest first, then by namespace and name, then by kind.
type Order = (Option<Timestamp>, NamespacedName, RouteKind);

/// The place of a route that has a node.
pub(crate) fn place(node: &RouteNode) -> (Option<Timestamp>, &NamespacedName, RouteKind) {
    (node.created, &node.name, node.kind)
}

/// Finds out which Gateways are ours and which routes their listeners carry.
pub(crate) fn update<'a>(
    resources: &Resources,
    context: &Context,
    changes: &Changes,
    attachments: &'a mut Attachments,
    found: &mut Diagnostics,
) -> &'a Attachments {
    attachments.changed = false;
    let mut gateways_changed = changes.gateways;
    let certificates =
        !changes.secrets.is_empty() || changes.grants || !changes.config_maps.is_empty();
    if changes.gateways || certificates {
        let surveyed = gateways::survey(resources, context);
        gateways_changed |= attachments.set_gateways(surveyed);
    }
    if gateways_changed || changes.routes.len() > FEW {
        attachments.set_routes(resources, gateways_changed);
    } else {
        for change in &changes.routes {
            attachments.change_route(change, resources);
        }
    }
    let Attachments {
        gateways,
        found: of_routes,
        ..
    } = &*attachments;
    for finding in gateways
        .iter()
        .flat_map(|it| &it.found)
        .chain(of_routes.values().flatten())
    {
        found.push(finding.clone());
    }
    attachments
}

impl Attachments {
    /// Takes the Gateways as they are now. Says whether routes have to be looked at again: another certificate of a
    /// listener that serves, as every renewal is, concerns none.
    fn set_gateways(&mut self, surveyed: Vec<GatewayDetail>) -> bool {
        let before: BTreeMap<_, _> = self.gateways.iter().map(|it| (&it.node.name, it)).collect();
        let reuse = |it: GatewayDetail| match before.get(&it.node.name) {
            Some(known) if ***known == it => Arc::clone(known),
            Some(known) if known.node == it.node => Arc::new(GatewayDetail {
                node: Arc::clone(&known.node),
                ..it
            }),
            Some(_) | None => Arc::new(it),
        };
        let gateways: Vec<_> = surveyed.into_iter().map(reuse).collect();
        let concerns_routes = gateways.len() != self.gateways.len()
            || gateways.iter().zip(&self.gateways).any(|(now, before)| {
                !Arc::ptr_eq(&now.node, &before.node) || now.listeners != before.listeners
            });
        self.gateways = gateways;
        let nodes: Vec<_> = self
            .gateways
            .iter()
            .map(|it| Arc::clone(&it.node))
            .collect();
        self.changed |= !same(&nodes, &self.topology.gateways);
        self.topology.gateways = nodes;
        concerns_routes
    }

    /// Finds out about all routes; those whose object is the same only where Gateways changed.
    fn set_routes(&mut self, resources: &Resources, gateways_changed: bool) {
        let parents = Parents::new(&self.gateways);
        let before: BTreeMap<_, _> = self
            .routes
            .iter()
            .map(|it| ((&it.node.name, it.node.kind), it))
            .collect();
        let mut found = BTreeMap::new();
        let mut routes = Vec::with_capacity(self.routes.len());
        each_route(resources, |name, object| {
            let known = before.get(&(name, object.kind())).copied();
            let detail = match known.filter(|known| !gateways_changed && known.object == object) {
                Some(known) => Arc::clone(known),
                None => reuse(routes::attach(name, object, &parents, resources), known),
            };
            if !detail.found.is_empty() {
                found.insert(owned(place(&detail.node)), detail.found.clone());
            }
            if !detail.node.parents.is_empty() {
                routes.push(detail);
            }
        });
        routes.sort_by(|a, b| place(&a.node).cmp(&place(&b.node)));
        let nodes: Vec<_> = routes.iter().map(|it| Arc::clone(&it.node)).collect();
        self.changed |= !same(&nodes, &self.topology.routes);
        (self.topology.routes, self.routes, self.found) = (nodes, routes, found);
    }

    fn change_route(
        &mut self,
        Change { name, old, new }: &Change<RouteObject>,
        resources: &Resources,
    ) {
        let mut known = None;
        if let Some(old) = old {
            let order = order(name, old);
            self.found.remove(&order);
            if let Ok(index) = self.find(&order) {
                self.topology.routes.remove(index);
                known = Some(self.routes.remove(index));
            }
        }
        let old_node = known.as_ref().map(|it| Arc::clone(&it.node));
        let mut new_node = None;
        if let Some(new) = new {
            let order = order(name, new);
            let parents = Parents::new(&self.gateways);
            let detail = reuse(
                routes::attach(name, new.clone(), &parents, resources),
                known.as_ref(),
            );
            if !detail.found.is_empty() {
                self.found.insert(order.clone(), detail.found.clone());
            }
            if let Err(index) = self.find(&order)
                && !detail.node.parents.is_empty()
            {
                new_node = Some(Arc::clone(&detail.node));
                self.topology.routes.insert(index, Arc::clone(&detail.node));
                self.routes.insert(index, detail);
            }
        }
        self.changed |= match (old_node, new_node) {
            (Some(old), Some(new)) => !Arc::ptr_eq(&old, &new),
            (None, None) => false,
            (Some(_), None) | (None, Some(_)) => true,
        };
    }

    /// The index of a route, or where it belongs.
    fn find(&self, (created, name, kind): &Order) -> Result<usize, usize> {
        self.routes
            .binary_search_by(|it| place(&it.node).cmp(&(*created, name, *kind)))
    }
}

/// What was found out now, as the same `Arc` where it was found out before.
fn reuse(now: RouteDetail, known: Option<&Arc<RouteDetail>>) -> Arc<RouteDetail> {
    match known {
        Some(known) if **known == now => Arc::clone(known),
        Some(known) if known.node == now.node => Arc::new(RouteDetail {
            node: Arc::clone(&known.node),
            ..now
        }),
        Some(_) | None => Arc::new(now),
    }
}

fn each_route(resources: &Resources, mut each: impl FnMut(&NamespacedName, RouteObject)) {
    fn of_kind<T>(
        objects: &Objects<T>,
        object: fn(Arc<T>) -> RouteObject,
        each: &mut impl FnMut(&NamespacedName, RouteObject),
    ) {
        objects
            .iter()
            .for_each(|(name, it)| each(name, object(Arc::clone(it))));
    }
    of_kind(&resources.http_routes, RouteObject::Http, &mut each);
    of_kind(&resources.grpc_routes, RouteObject::Grpc, &mut each);
    of_kind(&resources.tcp_routes, RouteObject::Tcp, &mut each);
    of_kind(&resources.tls_routes, RouteObject::Tls, &mut each);
    of_kind(&resources.udp_routes, RouteObject::Udp, &mut each);
}

fn order(name: &NamespacedName, route: &RouteObject) -> Order {
    let view = route.view();
    (created(view.metadata), name.clone(), view.kind)
}

fn owned((created, name, kind): (Option<Timestamp>, &NamespacedName, RouteKind)) -> Order {
    (created, name.clone(), kind)
}

fn same<T>(now: &[Arc<T>], before: &[Arc<T>]) -> bool {
    now.len() == before.len()
        && now
            .iter()
            .zip(before)
            .all(|(now, before)| Arc::ptr_eq(now, before))
}
