//! Which route rule is carried by which listener.
//!
//! The result is what policies attach to: gateways with their listeners, and routes with their parents. It covers all
//! five route kinds; only the plan is limited to those that the data plane serves.

pub(crate) mod attachments;
pub(crate) mod clients;
pub(crate) mod gateways;
pub(crate) mod listeners;
pub(crate) mod routes;
pub mod selectors;
#[cfg(test)]
mod tests;
pub(crate) mod tls;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::features::routing_type::OfGateway;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use weir_plan::{Certificate, HostMatch, ListenerName, NamespacedName, RouteKind, Transport};

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
    /// Where requests to Services go, where an EnvoyProxy and no policy says it.
    pub routing_type: Option<OfGateway>,
    /// What its Gateway shows to backends that ask for a certificate.
    pub client_certificate: Option<Arc<Certificate>>,
    /// What comes in over it, where it is a valid listener for a protocol below HTTP.
    pub transport: Option<Transport>,
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
