//! Which route rule is carried by which listener.
//!
//! The result is what policies attach to: gateways with their listeners, and routes with their parents. It covers all
//! five route kinds; only the plan is limited to those that the data plane serves.

pub(crate) mod gateways;
pub(crate) mod listeners;
pub(crate) mod routes;
pub mod selectors;

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use weir_plan::{HostMatch, ListenerName, NamespacedName, RouteKind};

use crate::Context;
use crate::diagnostics::Diagnostics;
use crate::memo::{Change, Changes};
use crate::resources::Resources;
use gateways::GatewayDetail;
use routes::{Parents, RouteDetail, RouteObject};

/// Every Gateway and ListenerSet that is ours, and every route with at least one parent that is.
///
/// A node that did not change since the last call is the same `Arc`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Topology {
    /// Our Gateways, oldest first, then by namespace and name.
    pub gateways: Vec<Arc<GatewayNode>>,
    /// Our routes of all kinds, oldest first, then by namespace and name, then by kind.
    pub routes: Vec<Arc<RouteNode>>,
}

/// A Gateway of ours.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewayNode {
    /// Which.
    pub name: NamespacedName,
    /// When it was created; none sorts first.
    pub created: Option<Timestamp>,
    /// Its labels, for selectors.
    pub labels: Arc<BTreeMap<String, String>>,
    /// Its listeners: its own in the order written, then those of its ListenerSets.
    pub listeners: Vec<ListenerNode>,
    /// The ListenerSets whose parent it is, admitted or not.
    pub listener_sets: Vec<NamespacedName>,
}

/// A listener.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerNode {
    /// Which.
    pub key: ListenerKey,
    /// Its port.
    pub port: u16,
    /// Its protocol as written, such as `HTTP`.
    pub protocol: String,
    /// Its host names.
    pub hostname: HostMatch,
    /// Whether it serves (valid, and not in conflict with another).
    pub programmed: bool,
}

/// Names a listener wherever it was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerKey {
    /// The Gateway that serves it.
    pub gateway: NamespacedName,
    /// The ListenerSet that it was written in; none: the Gateway itself.
    pub listener_set: Option<NamespacedName>,
    /// Its name there.
    pub listener: Arc<str>,
}

/// A route with at least one parent of ours.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteNode {
    /// Its kind.
    pub kind: RouteKind,
    /// Which.
    pub name: NamespacedName,
    /// When it was created; none sorts first.
    pub created: Option<Timestamp>,
    /// Its labels, for selectors.
    pub labels: Arc<BTreeMap<String, String>>,
    /// The name of each rule, where it has one.
    pub rules: Vec<Option<Arc<str>>>,
    /// Those of its parentRefs that name a Gateway or ListenerSet of ours, in the order written.
    pub parents: Vec<ParentNode>,
}

/// A parentRef to a Gateway or ListenerSet of ours.
#[derive(Clone, Debug, PartialEq)]
pub struct ParentNode {
    /// Its place in `spec.parentRefs`.
    pub index: usize,
    /// The Gateway that it leads to.
    pub gateway: NamespacedName,
    /// The ListenerSet that it names; none: it names the Gateway.
    pub listener_set: Option<NamespacedName>,
    /// The section that it names.
    pub section: Option<Arc<str>>,
    /// The listeners that allow the route by kind and namespace, whatever their host names. Policies merge along
    /// these.
    pub allowed: Vec<ListenerKey>,
    /// The listeners that carry the route, with the host names that it has there.
    pub carried: Vec<(ListenerKey, Vec<HostMatch>)>,
}

impl ListenerKey {
    /// The listener's name in the plan. One of a ListenerSet is called `namespace/listenerset/listener` there.
    pub fn plan_name(&self) -> ListenerName {
        let listener = match &self.listener_set {
            Some(set) => format!("{set}/{}", self.listener).into(),
            None => Arc::clone(&self.listener),
        };
        ListenerName {
            gateway: self.gateway.clone(),
            listener,
        }
    }
}

/// When an object was created; none sorts first.
pub(crate) fn created(metadata: &ObjectMeta) -> Option<Timestamp> {
    metadata.creation_timestamp.as_ref().map(|time| time.0)
}

/// The topology, and what else statuses and the plan need to know about its nodes.
#[derive(Clone, Debug)]
pub(crate) struct Attachments {
    /// What policies attach to.
    pub(crate) topology: Topology,
    /// The details of each of `topology.gateways`.
    pub(crate) gateways: Vec<Arc<GatewayDetail>>,
    /// The details of each of `topology.routes`.
    pub(crate) routes: Vec<Arc<RouteDetail>>,
}

/// What was found out last time.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    gateways: Vec<Arc<GatewayDetail>>,
    routes: BTreeMap<Order, Arc<RouteDetail>>,
}

/// Oldest first, then by namespace and name, then by kind.
type Order = (Option<Timestamp>, NamespacedName, RouteKind);

/// Finds out which Gateways are ours and which routes their listeners carry.
pub(crate) fn attach(
    resources: &Resources,
    context: &Context,
    changes: &Changes,
    memo: &mut Memo,
    found: &mut Diagnostics,
) -> Attachments {
    if changes.gateways {
        let surveyed = gateways::survey(resources, context);
        memo.gateways = reuse(surveyed, std::mem::take(&mut memo.gateways));
    }
    let parents = Parents::new(&memo.gateways);
    for change in &changes.routes {
        let Change { name, old, new } = change;
        if let Some(old) = old {
            memo.routes.remove(&order(name, old));
        }
        if let Some(new) = new {
            let detail = routes::attach(name, new.clone(), &parents, resources);
            memo.routes.insert(order(name, new), Arc::new(detail));
        }
    }
    if changes.gateways {
        for detail in memo.routes.values_mut() {
            let again = routes::attach(
                &detail.node.name,
                detail.object.clone(),
                &parents,
                resources,
            );
            if again != **detail {
                *detail = Arc::new(again);
            }
        }
    }
    for it in memo.gateways.iter().flat_map(|it| &it.found) {
        found.push(it.clone());
    }
    for it in memo.routes.values().flat_map(|it| &it.found) {
        found.push(it.clone());
    }
    let ours = memo
        .routes
        .values()
        .filter(|it| !it.node.parents.is_empty());
    let routes: Vec<_> = ours.map(Arc::clone).collect();
    let topology = Topology {
        gateways: memo
            .gateways
            .iter()
            .map(|it| Arc::clone(&it.node))
            .collect(),
        routes: routes.iter().map(|it| Arc::clone(&it.node)).collect(),
    };
    Attachments {
        topology,
        gateways: memo.gateways.clone(),
        routes,
    }
}

fn order(name: &NamespacedName, route: &RouteObject) -> Order {
    let view = route.view();
    (created(view.metadata), name.clone(), view.kind)
}

/// What was found now, as the same `Arc` where it was found before.
fn reuse(now: Vec<GatewayDetail>, before: Vec<Arc<GatewayDetail>>) -> Vec<Arc<GatewayDetail>> {
    let before: BTreeMap<_, _> = before.iter().map(|it| (&it.node.name, it)).collect();
    now.into_iter()
        .map(|it| match before.get(&it.node.name) {
            Some(known) if ***known == it => Arc::clone(known),
            Some(known) if known.node == it.node => Arc::new(GatewayDetail {
                node: Arc::clone(&known.node),
                ..it
            }),
            Some(_) | None => Arc::new(it),
        })
        .collect()
}
