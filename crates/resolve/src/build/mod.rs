//! From attachments and effective policies to the plan: listeners, virtual hosts, routes and clusters.
//!
//! Each route is built by itself and remembered with what it was built from. It is built again when any of that is
//! another, and only the tables of its listeners are put together anew.

mod action;
mod annotations;
mod backend_filters;
pub(crate) mod backends;
mod cors;
mod filters;
mod grpc;
mod in_force;
mod l4;
mod matches;
mod mirrors;
mod order;
pub(crate) mod route;
mod route_filter;
pub(crate) mod rules;
mod session;
mod table;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_plan::{NamespacedName, Plan, RouteKind};

use crate::Context;
use crate::backend_tls::BackendKind;
use crate::clients::{Clients, OfRoutes};
use crate::diagnostics::{Diagnostic, Diagnostics, ObjectRef};
use crate::effective::{Applied, EffectiveRule};
use crate::memo::Changes;
use crate::policies::Policies;
use crate::resources::Resources;
use crate::status::{RouteParentStatus, routes as status};
use crate::topology::ListenerKey;
use crate::topology::attachments::{Attachments, place};
use crate::topology::routes::{RouteDetail, route_ref};
pub(crate) use backends::UNSERVED as UNSERVED_BACKENDS;
pub(crate) use filters::header_name;
use route::Built;
use table::Table;

/// What was built last time.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    /// In the order of the topology.
    routes: Vec<BuiltRoute>,
    policies: Option<Arc<Policies>>,
    clients: Option<Arc<Clients>>,
    table: Table,
    statuses: Arc<BTreeMap<ObjectRef, Arc<[RouteParentStatus]>>>,
    attached: BTreeMap<ListenerKey, i32>,
    found: BTreeMap<(RouteKind, NamespacedName), Vec<Diagnostic>>,
}

/// A route, what it was built from, and what it was built to.
#[derive(Debug)]
struct BuiltRoute {
    detail: Arc<RouteDetail>,
    applied: Vec<Arc<Applied>>,
    /// What each of its listeners says of it.
    listeners: Vec<OfRoutes>,
    built: Box<Built>,
}

impl Memo {
    /// What applies to each rule on each listener that carries it.
    pub(crate) fn effective(&self) -> Vec<Arc<EffectiveRule>> {
        self.routes
            .iter()
            .flat_map(|it| &it.built.effective)
            .map(Arc::clone)
            .collect()
    }

    /// The status of every route of ours.
    pub(crate) fn statuses(&self) -> Arc<BTreeMap<ObjectRef, Arc<[RouteParentStatus]>>> {
        Arc::clone(&self.statuses)
    }

    /// The Gateways that serve a route with a reference to each backend.
    pub(crate) fn gateways_by_backend(
        &self,
    ) -> BTreeMap<(BackendKind, &NamespacedName), BTreeSet<&NamespacedName>> {
        let mut gateways: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for BuiltRoute { detail, built, .. } in &self.routes {
            let services = built.services.iter().map(|it| (BackendKind::Service, it));
            let backends = built.backends.iter().map(|it| (BackendKind::Backend, it));
            for backend in services.chain(backends) {
                let carriers = detail.carriers.iter().map(|it| &it.listener.gateway);
                gateways.entry(backend).or_default().extend(carriers);
            }
        }
        gateways
    }

    /// How many routes each listener has that are attached to it and accepted.
    pub(crate) fn attached(&self, listener: &ListenerKey) -> i32 {
        self.attached.get(listener).copied().unwrap_or(0)
    }
}

/// Builds the plan.
pub(crate) fn plan(
    resources: &Resources,
    attachments: &Attachments,
    (policies, clients): (&Arc<Policies>, &Arc<Clients>),
    context: &Context,
    changes: &Changes,
    memo: &mut Memo,
    found: &mut Diagnostics,
) -> Arc<Plan> {
    let same_policies = memo
        .policies
        .as_ref()
        .is_some_and(|it| Arc::ptr_eq(it, policies));
    let same_clients = memo
        .clients
        .as_ref()
        .is_some_and(|it| Arc::ptr_eq(it, clients));
    let (known, gone) = align(std::mem::take(&mut memo.routes), &attachments.routes);
    for gone in &gone {
        memo.replace(Some(gone), None);
    }
    let mut routes = Vec::with_capacity(known.len());
    for (index, (detail, known)) in attachments.routes.iter().zip(known).enumerate() {
        let applied = || applied(policies, index, detail);
        let listeners = || {
            let carriers = detail.carriers.iter();
            carriers.map(|it| clients.of_routes(&it.listener))
        };
        let route = match known {
            Some(known)
                if Arc::ptr_eq(&known.detail, detail)
                    && !known.is_touched(changes)
                    && (same_policies || same(applied(), &known.applied))
                    && (same_clients || listeners().eq(&known.listeners)) =>
            {
                known
            }
            known => {
                let applied: Vec<_> = applied().map(Arc::clone).collect();
                let listeners: Vec<_> = listeners().cloned().collect();
                let built = route::build(detail, &applied, &listeners, resources, context);
                let mut built = Box::new(built);
                if let Some(known) = &known {
                    built.keep(&known.built);
                }
                let new = BuiltRoute {
                    detail: Arc::clone(detail),
                    applied,
                    listeners,
                    built,
                };
                memo.replace(known.as_ref(), Some(&new));
                memo.set_status(&new, context);
                new
            }
        };
        routes.push(route);
    }
    memo.routes = routes;
    memo.policies = Some(Arc::clone(policies));
    memo.clients = Some(Arc::clone(clients));
    memo.found
        .values()
        .flatten()
        .for_each(|it| found.push(it.clone()));
    memo.table.plan(&attachments.gateways, clients)
}

/// What is known of each route of `now`, and what is no more. A route that changed its age is another.
fn align(
    before: Vec<BuiltRoute>,
    now: &[Arc<RouteDetail>],
) -> (Vec<Option<BuiltRoute>>, Vec<BuiltRoute>) {
    let mut before = before.into_iter().peekable();
    let (mut known, mut gone) = (Vec::with_capacity(now.len()), Vec::new());
    for detail in now {
        let mut same = before.next_if(|it| Arc::ptr_eq(&it.detail, detail));
        if same.is_none() {
            let now = place(&detail.node);
            gone.extend(std::iter::from_fn(|| {
                before.next_if(|it| place(&it.detail.node) < now)
            }));
            same = before.next_if(|it| place(&it.detail.node) == now);
        }
        known.push(same);
    }
    gone.extend(before);
    (known, gone)
}

/// What applies to each rule of a route on each of its carriers, rules innermost.
fn applied<'a>(
    policies: &'a Policies,
    index: usize,
    detail: &'a RouteDetail,
) -> impl Iterator<Item = &'a Arc<Applied>> {
    let rules = detail.node.rules.len();
    detail.carriers.iter().flat_map(move |carrier| {
        (0..rules).map(move |rule| policies.applications.get(index, rule, &carrier.listener))
    })
}

/// Whether an iterator gives the same pointers as a list has.
fn same<'a>(mut now: impl Iterator<Item = &'a Arc<Applied>>, before: &[Arc<Applied>]) -> bool {
    let mut before = before.iter();
    now.all(|now| before.next().is_some_and(|it| Arc::ptr_eq(it, now))) && before.next().is_none()
}

impl BuiltRoute {
    /// Whether anything that the route refers to changed.
    fn is_touched(&self, changes: &Changes) -> bool {
        let Changes {
            gateways: _,
            policies: _,
            client_policies: _,
            routes: _,
            grants,
            services,
            backends,
            http_route_filters,
            config_maps,
            secrets,
        } = changes;
        let touches = |changed: &BTreeSet<_>, used: &[NamespacedName]| {
            !changed.is_empty() && used.iter().any(|it| changed.contains(it))
        };
        *grants && self.built.crosses
            || touches(services, &self.built.services)
            || touches(backends, &self.built.backends)
            || touches(http_route_filters, &self.built.http_route_filters)
            || touches(config_maps, &self.built.config_maps)
            || touches(secrets, &self.built.secrets)
    }
}

impl Memo {
    /// Puts a route as it is now in place of what it was.
    fn replace(&mut self, old: Option<&BuiltRoute>, new: Option<&BuiltRoute>) {
        self.table
            .replace(old.map(|it| &*it.built), new.map(|it| &*it.built));
        for (route, by) in [(old, -1), (new, 1)] {
            let Some(BuiltRoute {
                detail,
                built,
                applied: _,
                listeners: _,
            }) = route
            else {
                continue;
            };
            for listener in status::attached_to(detail, &built.verdict) {
                *self.attached.entry(listener.clone()).or_default() += by;
            }
        }
        if let Some(BuiltRoute { detail, .. }) = old {
            self.found
                .remove(&(detail.node.kind, detail.node.name.clone()));
        }
        if let Some(BuiltRoute {
            detail,
            built,
            applied: _,
            listeners: _,
        }) = new
            && !built.found.is_empty()
        {
            self.found.insert(
                (detail.node.kind, detail.node.name.clone()),
                built.found.clone(),
            );
        }
        if let (Some(BuiltRoute { detail, .. }), None) = (old, new) {
            Arc::make_mut(&mut self.statuses)
                .remove(&route_ref(detail.node.kind, &detail.node.name));
        }
    }

    /// Leaves the map alone where nothing changes, as others share it.
    fn set_status(
        &mut self,
        BuiltRoute {
            detail,
            built,
            applied: _,
            listeners: _,
        }: &BuiltRoute,
        context: &Context,
    ) {
        let route = route_ref(detail.node.kind, &detail.node.name);
        let status = status::of_route(detail, &built.verdict, context);
        if self.statuses.get(&route) != Some(&status) {
            Arc::make_mut(&mut self.statuses).insert(route, status);
        }
    }
}
