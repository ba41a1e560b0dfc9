//! Which listeners carry a route of any kind, and why others do not.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use weir_plan::{Certificate, HostMatch, NamespacedName, RouteKind};

use super::gateways::{GatewayDetail, SetDetail};
use super::listeners::{Listener, serves};
use super::{ListenerKey, ListenerNode, ParentNode, RouteNode, created};
use crate::api::{GATEWAY_GROUP, GrpcRoute, HttpRoute, TcpRoute, TlsRoute, UdpRoute};
use crate::diagnostics::{Diagnostic, Diagnostics, FieldPath, ObjectRef};
use crate::features::routing_type::OfGateway;
use crate::resources::Resources;

/// A route of any kind, shared with the resources.
#[derive(Clone, Debug)]
pub(crate) enum RouteObject {
    Http(Arc<HttpRoute>),
    Grpc(Arc<GrpcRoute>),
    Tcp(Arc<TcpRoute>),
    Tls(Arc<TlsRoute>),
    Udp(Arc<UdpRoute>),
}

impl PartialEq for RouteObject {
    /// Objects never change in place, so the same pointer is the same route.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Http(a), Self::Http(b)) => Arc::ptr_eq(a, b),
            (Self::Grpc(a), Self::Grpc(b)) => Arc::ptr_eq(a, b),
            (Self::Tcp(a), Self::Tcp(b)) => Arc::ptr_eq(a, b),
            (Self::Tls(a), Self::Tls(b)) => Arc::ptr_eq(a, b),
            (Self::Udp(a), Self::Udp(b)) => Arc::ptr_eq(a, b),
            (Self::Http(_) | Self::Grpc(_) | Self::Tcp(_) | Self::Tls(_) | Self::Udp(_), _) => {
                false
            }
        }
    }
}

/// A route with what its status and its plan need to know of its listeners.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RouteDetail {
    /// The object.
    pub(crate) object: RouteObject,
    /// What policies attach to. Without parents of ours it is no part of the topology.
    pub(crate) node: Arc<RouteNode>,
    /// Why each parent of `node` does not take the route, in the same order.
    pub(crate) refusals: Vec<Option<Refusal>>,
    /// Every listener that carries the route, once, in the order of its parents.
    pub(crate) carriers: Vec<Carrier>,
    /// What is worth saying about its parents.
    pub(crate) found: Vec<Diagnostic>,
}

/// A listener that carries a route.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Carrier {
    /// Which.
    pub(crate) listener: ListenerKey,
    /// The host names that the route has there, in the order written.
    pub(crate) hosts: Vec<HostMatch>,
    /// Whether the data plane serves the route there.
    pub(crate) served: bool,
    /// Where requests to Services go, where an EnvoyProxy and no policy says it.
    pub(crate) routing_type: Option<OfGateway>,
    /// What its Gateway shows to backends that ask for a certificate.
    pub(crate) client_certificate: Option<Arc<Certificate>>,
}

/// Why a parent does not take a route: the condition `Accepted=False`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refusal {
    /// A word for machines.
    pub(crate) reason: &'static str,
    /// A sentence for people.
    pub(crate) message: String,
}

/// A parentRef, whatever the kind of its route.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ParentRef<'a> {
    pub(crate) group: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) namespace: Option<&'a str>,
    pub(crate) name: &'a str,
    pub(crate) section: Option<&'a str>,
    pub(crate) port: Option<i32>,
}

/// What all kinds of routes have in common.
#[derive(Debug)]
pub(crate) struct View<'a> {
    pub(crate) kind: RouteKind,
    pub(crate) metadata: &'a ObjectMeta,
    pub(crate) parents: Vec<ParentRef<'a>>,
    hostnames: &'a [String],
    rules: Vec<Option<&'a str>>,
    default_gateways: bool,
}

/// Reads a route: alike in the API, five types in its Rust form.
macro_rules! view {
    ($kind:expr, $route:expr, $hostnames:expr, $rules:expr) => {
        View {
            kind: $kind,
            metadata: &$route.metadata,
            parents: $route
                .spec
                .parent_refs
                .iter()
                .flatten()
                .map(|it| ParentRef {
                    group: it.group.as_deref().unwrap_or(GATEWAY_GROUP),
                    kind: it.kind.as_deref().unwrap_or("Gateway"),
                    namespace: it.namespace.as_deref(),
                    name: &it.name,
                    section: it.section_name.as_deref().filter(|it| !it.is_empty()),
                    port: it.port,
                })
                .collect(),
            hostnames: $hostnames,
            rules: $rules,
            default_gateways: $route.spec.use_default_gateways.is_some(),
        }
    };
}

impl RouteObject {
    /// Its kind.
    pub(crate) fn kind(&self) -> RouteKind {
        match self {
            Self::Http(_) => RouteKind::Http,
            Self::Grpc(_) => RouteKind::Grpc,
            Self::Tcp(_) => RouteKind::Tcp,
            Self::Tls(_) => RouteKind::Tls,
            Self::Udp(_) => RouteKind::Udp,
        }
    }

    /// What all kinds of routes have in common.
    pub(crate) fn view(&self) -> View<'_> {
        match self {
            Self::Http(route) => {
                let hostnames = route.spec.hostnames.as_deref().unwrap_or_default();
                // A route without rules has one that matches everything: the API's default.
                let rules = route.spec.rules.as_ref().map_or_else(
                    || vec![None],
                    |rules| rules.iter().map(|rule| rule.name.as_deref()).collect(),
                );
                view!(RouteKind::Http, route, hostnames, rules)
            }
            Self::Grpc(route) => {
                let hostnames = route.spec.hostnames.as_deref().unwrap_or_default();
                let rules = route
                    .spec
                    .rules
                    .iter()
                    .flatten()
                    .map(|rule| rule.name.as_deref());
                view!(RouteKind::Grpc, route, hostnames, rules.collect())
            }
            Self::Tcp(route) => {
                let rules = route.spec.rules.iter().map(|rule| rule.name.as_deref());
                view!(RouteKind::Tcp, route, &[], rules.collect())
            }
            Self::Tls(route) => {
                let rules = route.spec.rules.iter().map(|rule| rule.name.as_deref());
                view!(
                    RouteKind::Tls,
                    route,
                    &route.spec.hostnames,
                    rules.collect()
                )
            }
            Self::Udp(route) => {
                let rules = route.spec.rules.iter().map(|rule| rule.name.as_deref());
                view!(RouteKind::Udp, route, &[], rules.collect())
            }
        }
    }
}

/// Names a route in findings and statuses.
pub(crate) fn route_ref(kind: RouteKind, name: &NamespacedName) -> ObjectRef {
    ObjectRef {
        group: GATEWAY_GROUP.to_owned(),
        kind: kind.as_str().to_owned(),
        name: name.clone(),
    }
}

/// The Gateways of ours and their ListenerSets by name.
#[derive(Debug)]
pub(crate) struct Parents<'a> {
    gateways: BTreeMap<&'a NamespacedName, &'a GatewayDetail>,
    sets: BTreeMap<&'a NamespacedName, (&'a GatewayDetail, &'a SetDetail)>,
}

impl<'a> Parents<'a> {
    /// An index of Gateways.
    pub(crate) fn new(gateways: &'a [Arc<GatewayDetail>]) -> Self {
        let sets = gateways.iter().flat_map(|gateway| {
            gateway
                .sets
                .iter()
                .map(move |set| (&set.name, (&**gateway, set)))
        });
        Self {
            sets: sets.collect(),
            gateways: gateways.iter().map(|it| (&it.node.name, &**it)).collect(),
        }
    }

    fn find(&self, parent: ParentRef<'_>, name: &NamespacedName) -> Option<Parent<'a>> {
        match parent.kind {
            _ if parent.group != GATEWAY_GROUP => None,
            "Gateway" => Some(Parent {
                gateway: self.gateways.get(name)?,
                set: None,
            }),
            "ListenerSet" => self.sets.get(name).map(|(gateway, set)| Parent {
                gateway,
                set: Some(set),
            }),
            _ => None,
        }
    }
}

struct Parent<'a> {
    gateway: &'a GatewayDetail,
    set: Option<&'a SetDetail>,
}

/// Finds the listeners of a route.
pub(crate) fn attach(
    name: &NamespacedName,
    object: RouteObject,
    parents: &Parents<'_>,
    resources: &Resources,
) -> RouteDetail {
    let view = object.view();
    let reference = route_ref(view.kind, name);
    let hostnames: Vec<_> = view
        .hostnames
        .iter()
        .map(|it| HostMatch::parse(it))
        .collect();
    let mut found = Diagnostics::default();
    let mut nodes = Vec::with_capacity(view.parents.len());
    let mut refusals = Vec::with_capacity(view.parents.len());
    let mut carriers: Vec<Carrier> = Vec::new();
    for (index, parent) in view.parents.iter().enumerate() {
        let parent_name =
            NamespacedName::new(parent.namespace.unwrap_or(&name.namespace), parent.name);
        let field = || FieldPath::new("spec.parentRefs").index(index);
        let Some(to) = parents.find(*parent, &parent_name) else {
            if is_missing(*parent, &parent_name, resources) {
                let message = format!("there is no {} {parent_name}", parent.kind);
                found.error(&reference, field(), "parent-not-found", message);
            }
            continue;
        };
        let mut attachment = Attachment::default();
        for (node, listener) in to.listeners() {
            attachment.consider(
                *parent,
                node,
                listener,
                (view.kind, &name.namespace, &hostnames),
                resources,
            );
        }
        let refusal = attachment.refusal(view.kind, *parent, &to);
        if let Some(refusal) = &refusal {
            found.error(&reference, field(), "not-accepted", refusal.message.clone());
        }
        for carrier in attachment.carriers {
            match carriers
                .iter_mut()
                .find(|it| it.listener == carrier.listener)
            {
                Some(known) => known.add(&carrier.hosts),
                None => carriers.push(carrier),
            }
        }
        refusals.push(refusal);
        nodes.push(ParentNode {
            index,
            gateway: to.gateway.node.name.clone(),
            listener_set: to.set.map(|set| set.name.clone()),
            section: parent.section.map(Into::into),
            allowed: attachment.allowed,
            carried: attachment.carried,
        });
    }
    if view.default_gateways {
        let message = "spec.useDefaultGateways has no effect: name the Gateways in spec.parentRefs";
        found.warning(
            &reference,
            FieldPath::new("spec.useDefaultGateways"),
            "not-enforced",
            message,
        );
    }
    let node = RouteNode {
        kind: view.kind,
        name: name.clone(),
        created: created(view.metadata),
        labels: Arc::new(view.metadata.labels.clone().unwrap_or_default()),
        rules: view.rules.iter().map(|name| name.map(Into::into)).collect(),
        parents: nodes,
    };
    RouteDetail {
        node: Arc::new(node),
        refusals,
        carriers,
        found: found.into_sorted(),
        object,
    }
}

/// Whether what a parentRef names is of a kind that we know and is not there.
fn is_missing(parent: ParentRef<'_>, name: &NamespacedName, resources: &Resources) -> bool {
    parent.group == GATEWAY_GROUP
        && match parent.kind {
            "Gateway" => !resources.gateways.contains_key(name),
            "ListenerSet" => !resources.listener_sets.contains_key(name),
            _ => false,
        }
}

impl Parent<'_> {
    /// The listeners that belong to what the parentRef names: a Gateway's own, or those of a ListenerSet.
    fn listeners(&self) -> impl Iterator<Item = (&ListenerNode, &Listener)> {
        let set = self.set.map(|set| &set.name);
        self.gateway
            .listeners()
            .filter(move |(node, _)| node.key.listener_set.as_ref() == set)
    }
}

impl Carrier {
    fn add(&mut self, hosts: &[HostMatch]) {
        for host in hosts {
            if !self.hosts.contains(host) {
                self.hosts.push(host.clone());
            }
        }
    }
}

/// How far a route got with the listeners of one parent.
#[derive(Default)]
struct Attachment {
    selected: bool,
    allowed: Vec<ListenerKey>,
    carried: Vec<(ListenerKey, Vec<HostMatch>)>,
    carriers: Vec<Carrier>,
    not_ready: Vec<String>,
}

impl Attachment {
    fn consider(
        &mut self,
        parent: ParentRef<'_>,
        node: &ListenerNode,
        listener: &Listener,
        (kind, namespace, hostnames): (RouteKind, &str, &[HostMatch]),
        resources: &Resources,
    ) {
        if parent
            .section
            .is_some_and(|section| *section != *node.key.listener)
            || parent.port.is_some_and(|port| port != i32::from(node.port))
        {
            return;
        }
        self.selected = true;
        if !listener.kinds.contains(&kind) || !listener.namespaces.allow(resources, namespace) {
            return;
        }
        self.allowed.push(node.key.clone());
        let hosts = intersect(&node.hostname, hostnames);
        if hosts.is_empty() {
            return;
        }
        if let Some(problem) = &listener.problem {
            self.not_ready
                .push(format!("listener {}: {}", listener.name, problem.message));
        }
        self.carried.push((node.key.clone(), hosts.clone()));
        let served = node.programmed && serves(kind);
        self.carriers.push(Carrier {
            listener: node.key.clone(),
            hosts,
            served,
            routing_type: node.routing_type.clone(),
            client_certificate: node.client_certificate.clone(),
        });
    }

    fn refusal(&self, kind: RouteKind, parent: ParentRef<'_>, to: &Parent<'_>) -> Option<Refusal> {
        let (reason, message) = if to.set.is_some_and(|set| !set.admitted) {
            (
                "NoMatchingParent",
                format!("the Gateway does not allow ListenerSet {}", parent.name),
            )
        } else if !self.selected {
            ("NoMatchingParent", no_such_section(parent))
        } else if self.allowed.is_empty() {
            let mut message = format!(
                "no listener of {} {} allows {kind}s of this namespace",
                parent.kind, parent.name
            );
            // Nobody should go and look for a listener that would take it.
            if !serves(kind) {
                message = format!("{message}, and {}", not_served(kind));
            }
            ("NotAllowedByListeners", message)
        } else if !serves(kind) {
            ("UnsupportedValue", not_served(kind))
        } else if self.carried.is_empty() {
            (
                "NoMatchingListenerHostname",
                "no host name of the route is one of the listeners'".to_owned(),
            )
        } else if self.carriers.iter().all(|it| !it.served) {
            (
                "NoReadyListeners",
                format!(
                    "no listener of the parent is served: {}",
                    self.not_ready.join("; ")
                ),
            )
        } else {
            return None;
        };
        Some(Refusal { reason, message })
    }
}

fn not_served(kind: RouteKind) -> String {
    format!("this version of Weir does not serve {kind}; it serves HTTPRoute and GRPCRoute")
}

fn no_such_section(parent: ParentRef<'_>) -> String {
    let ParentRef {
        kind,
        name,
        section,
        port,
        ..
    } = parent;
    match (section, port) {
        (Some(section), Some(port)) => {
            format!("{kind} {name} has no listener {section} with port {port}")
        }
        (Some(section), None) => format!("{kind} {name} has no listener {section}"),
        (None, Some(port)) => format!("{kind} {name} has no listener with port {port}"),
        (None, None) => format!("{kind} {name} has no listeners"),
    }
}

/// The host names that a route has on a listener: those that both mean, each once.
fn intersect(listener: &HostMatch, route: &[HostMatch]) -> Vec<HostMatch> {
    if route.is_empty() {
        return vec![listener.clone()];
    }
    let mut hosts: Vec<HostMatch> = Vec::new();
    for host in route.iter().filter_map(|it| listener.intersection(it)) {
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    hosts
}
