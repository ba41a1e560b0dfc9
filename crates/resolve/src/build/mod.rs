//! From attachments and effective policies to the plan: listeners, virtual hosts, routes and clusters.
//!
//! Each route is built by itself and remembered with what it was built from. It is built again when any of that is
//! another, and only the tables of its listeners are put together anew.

pub(crate) mod backends;
mod filters;
mod matches;
mod order;
pub(crate) mod route;
pub(crate) mod rules;
mod table;

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_plan::Plan;

use crate::Context;
use crate::diagnostics::Diagnostics;
use crate::effective::{Applications, Applied, EffectiveRule};
use crate::memo::Changes;
use crate::resources::Resources;
use crate::status::{RouteParentStatus, routes as status};
use crate::topology::routes::RouteDetail;
use crate::topology::{Attachments, ListenerKey, RouteNode};
use route::Built;
use table::Table;

/// What was built last time.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    routes: Vec<BuiltRoute>,
    table: Table,
    attached: BTreeMap<ListenerKey, i32>,
}

/// A route, what it was built from, and what it was built to.
#[derive(Debug)]
pub(crate) struct BuiltRoute {
    /// What is known of its listeners.
    pub(crate) detail: Arc<RouteDetail>,
    applied: Vec<Arc<Applied>>,
    /// What it was built to.
    pub(crate) built: Built,
    /// Its status.
    pub(crate) status: Arc<[RouteParentStatus]>,
}

impl Memo {
    /// Every route of ours, in the order of the topology.
    pub(crate) fn routes(&self) -> &[BuiltRoute] {
        &self.routes
    }

    /// What applies to each rule on each listener that carries it.
    pub(crate) fn effective(&self) -> Vec<Arc<EffectiveRule>> {
        self.routes
            .iter()
            .flat_map(|it| &it.built.effective)
            .map(Arc::clone)
            .collect()
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
    applications: &Applications,
    context: &Context,
    changes: &Changes,
    memo: &mut Memo,
    found: &mut Diagnostics,
) -> Arc<Plan> {
    let mut before = std::mem::take(&mut memo.routes).into_iter().peekable();
    let mut routes = Vec::with_capacity(attachments.routes.len());
    for (index, detail) in attachments.routes.iter().enumerate() {
        while let Some(gone) = before.next_if(|it| key(&it.detail.node) < key(&detail.node)) {
            memo.replace(Some(&gone), None);
        }
        let known = before.next_if(|it| key(&it.detail.node) == key(&detail.node));
        let applied = || {
            detail.carriers.iter().flat_map(|carrier| {
                (0..detail.node.rules.len())
                    .map(|rule| applications.get(index, rule, &carrier.listener))
            })
        };
        let route = match known {
            Some(known) if known.is_current(detail, applied(), changes) => known,
            known => {
                let applied: Vec<_> = applied().cloned().collect();
                let mut built = route::build(detail, &applied, resources, context);
                if let Some(known) = &known {
                    built.keep(&known.built);
                }
                let status = status::of_route(detail, &built.verdict, context);
                let new = BuiltRoute {
                    detail: Arc::clone(detail),
                    applied,
                    built,
                    status,
                };
                memo.replace(known.as_ref(), Some(&new));
                new
            }
        };
        route
            .built
            .found
            .iter()
            .for_each(|it| found.push(it.clone()));
        routes.push(route);
    }
    for gone in before {
        memo.replace(Some(&gone), None);
    }
    memo.routes = routes;
    memo.table.plan(&attachments.topology.gateways)
}

impl BuiltRoute {
    fn is_current<'a>(
        &self,
        detail: &Arc<RouteDetail>,
        applied: impl Iterator<Item = &'a Arc<Applied>>,
        changes: &Changes,
    ) -> bool {
        let Built {
            services,
            backends,
            crosses,
            ..
        } = &self.built;
        let touched = (changes.grants && *crosses)
            || !changes.services.is_empty()
                && services.iter().any(|it| changes.services.contains(it))
            || !changes.backends.is_empty()
                && backends.iter().any(|it| changes.backends.contains(it));
        !touched && Arc::ptr_eq(&self.detail, detail) && same(applied, &self.applied)
    }
}

/// Whether an iterator gives the same pointers as a list has.
fn same<'a>(mut now: impl Iterator<Item = &'a Arc<Applied>>, before: &[Arc<Applied>]) -> bool {
    let mut before = before.iter();
    now.all(|now| before.next().is_some_and(|it| Arc::ptr_eq(it, now))) && before.next().is_none()
}

impl Memo {
    fn replace(&mut self, old: Option<&BuiltRoute>, new: Option<&BuiltRoute>) {
        self.table
            .replace(old.map(|it| &it.built), new.map(|it| &it.built));
        for (route, by) in [(old, -1), (new, 1)] {
            let Some(BuiltRoute { detail, built, .. }) = route else {
                continue;
            };
            for listener in status::attached_to(detail, &built.verdict) {
                *self.attached.entry(listener.clone()).or_default() += by;
            }
        }
    }
}

fn key(node: &RouteNode) -> impl Ord + '_ {
    (node.created, &node.name, node.kind)
}
