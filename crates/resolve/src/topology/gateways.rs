//! Which Gateways are ours, and what their listeners are: their own, and those of the ListenerSets that they admit.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_plan::{Certificate, ListenerTls, NamespacedName};

use super::clients::Clients;
use super::listeners::{self, Claims, Listener, Problem, label_selector};
use super::selectors::Namespaces;
use super::tls;
use super::{GatewayNode, ListenerKey, ListenerNode, created};
use crate::api::{GATEWAY_GROUP, Gateway, GatewayClass, ListenerSet, POLICY_GROUP};
use crate::diagnostics::{Diagnostic, Diagnostics, FieldPath, ObjectRef};
use crate::features::routing_type::{OfGateway, RoutingType};
use crate::resources::Resources;
use crate::{Addresses, Context};
use gateway_api::experimental::gateways::GatewayAllowedListenersNamespacesFrom as From;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

/// A Gateway of ours, with what its status and its routes need to know.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GatewayDetail {
    /// The object.
    pub(crate) object: Arc<Gateway>,
    /// What policies attach to.
    pub(crate) node: Arc<GatewayNode>,
    /// What each listener of `node` says, in the same order.
    pub(crate) listeners: Vec<Listener>,
    /// How each of these speaks TLS, where it does.
    pub(crate) tls: Vec<Option<Arc<ListenerTls>>>,
    /// Its ListenerSets, oldest first.
    pub(crate) sets: Vec<SetDetail>,
    /// What it shows to backends, or why it cannot; none: nothing.
    pub(crate) client_certificate: Option<Result<Arc<Certificate>, Problem>>,
    /// What is worth saying about it and its ListenerSets.
    pub(crate) found: Vec<Diagnostic>,
}

/// A ListenerSet whose parent is a Gateway of ours.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SetDetail {
    /// Which.
    pub(crate) name: NamespacedName,
    /// The object.
    pub(crate) object: Arc<ListenerSet>,
    /// Whether the Gateway takes it.
    pub(crate) admitted: bool,
}

impl GatewayDetail {
    /// The listeners with their nodes.
    pub(crate) fn listeners(&self) -> impl Iterator<Item = (&ListenerNode, &Listener)> {
        self.node.listeners.iter().zip(&self.listeners)
    }
}

/// Names a Gateway in findings.
pub(crate) fn gateway_ref(name: &NamespacedName) -> ObjectRef {
    ObjectRef {
        group: GATEWAY_GROUP.to_owned(),
        kind: "Gateway".to_owned(),
        name: name.clone(),
    }
}

/// Names a ListenerSet in findings.
pub(crate) fn set_ref(name: &NamespacedName) -> ObjectRef {
    ObjectRef {
        group: GATEWAY_GROUP.to_owned(),
        kind: "ListenerSet".to_owned(),
        name: name.clone(),
    }
}

/// Whether a class is ours: by its controller's name, or because every class is.
pub(crate) fn is_ours(controller_name: &str, context: &Context) -> bool {
    context.every_class || controller_name == context.controller_name
}

/// All Gateways of ours, oldest first, with their listeners settled against each other.
pub(crate) fn survey(resources: &Resources, context: &Context) -> Vec<GatewayDetail> {
    let mut ours: Vec<_> = resources
        .gateways
        .iter()
        .filter_map(|(name, gateway)| {
            Some((
                name,
                gateway,
                class_finding(name, gateway, resources, context)?,
            ))
        })
        .collect();
    ours.sort_by(|(a, x, _), (b, y, _)| {
        (created(&x.metadata), *a).cmp(&(created(&y.metadata), *b))
    });
    let mut sets = sets_by_gateway(resources);
    let mut claims = Claims::default();
    ours.into_iter()
        .map(|(name, gateway, found)| {
            match context.addresses {
                Addresses::Shared => {}
                Addresses::PerGateway => claims = Claims::default(),
            }
            let sets = sets.remove(name).unwrap_or_default();
            detail(name, gateway, sets, found, resources, &mut claims)
        })
        .collect()
}

/// `None` where a Gateway is not ours; else what is to be said about its class.
fn class_finding(
    name: &NamespacedName,
    gateway: &Gateway,
    resources: &Resources,
    context: &Context,
) -> Option<Diagnostics> {
    let mut found = Diagnostics::default();
    let class = &gateway.spec.gateway_class_name;
    match resources
        .gateway_classes
        .get(&NamespacedName::new("", class.as_str()))
    {
        Some(class) => is_ours(&class.spec.controller_name, context).then_some(found),
        None if context.every_class => {
            let message =
                format!("there is no GatewayClass {class}; the Gateway is served all the same");
            found.warning(
                &gateway_ref(name),
                FieldPath::new("spec.gatewayClassName"),
                "gateway-class-not-found",
                message,
            );
            Some(found)
        }
        None => None,
    }
}

/// The ListenerSets of each Gateway, oldest first, ours or not.
fn sets_by_gateway(
    resources: &Resources,
) -> BTreeMap<NamespacedName, Vec<(&NamespacedName, &Arc<ListenerSet>)>> {
    let mut sets: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (name, set) in &resources.listener_sets {
        let parent = &set.spec.parent_ref;
        let (group, kind) = (parent.group.as_deref(), parent.kind.as_deref());
        if group.unwrap_or(GATEWAY_GROUP) == GATEWAY_GROUP && kind.unwrap_or("Gateway") == "Gateway"
        {
            let namespace = parent.namespace.as_deref().unwrap_or(&name.namespace);
            let gateway = NamespacedName::new(namespace, parent.name.as_str());
            sets.entry(gateway).or_default().push((name, set));
        }
    }
    for sets in sets.values_mut() {
        sets.sort_by(|(a, x), (b, y)| (created(&x.metadata), *a).cmp(&(created(&y.metadata), *b)));
    }
    sets
}

fn detail(
    name: &NamespacedName,
    gateway: &Arc<Gateway>,
    sets: Vec<(&NamespacedName, &Arc<ListenerSet>)>,
    mut found: Diagnostics,
    resources: &Resources,
    claims: &mut Claims,
) -> GatewayDetail {
    let object = gateway_ref(name);
    let mut all = Vec::new();
    let clients = Clients::of(gateway, &object, resources, &mut found);
    let own = distinct(
        listeners::of_gateway(gateway, &name.namespace),
        &object,
        &mut found,
    );
    all.extend(
        settle(own, &object, &clients, resources, claims, &mut found)
            .into_iter()
            .map(|it| (None, it)),
    );
    let allowed = allowed_listeners(gateway, &name.namespace);
    let sets: Vec<_> = sets
        .into_iter()
        .map(|(set_name, set)| {
            let admitted = allowed.allow(resources, &set_name.namespace);
            let object = set_ref(set_name);
            if admitted {
                let listeners = distinct(
                    listeners::of_set(set, &set_name.namespace),
                    &object,
                    &mut found,
                );
                let listeners = settle(listeners, &object, &clients, resources, claims, &mut found);
                all.extend(listeners.into_iter().map(|it| (Some(set_name.clone()), it)));
            } else {
                let message = format!(
                    "Gateway {name} does not allow it; see the Gateway's spec.allowedListeners"
                );
                found.error(
                    &object,
                    FieldPath::new("spec.parentRef"),
                    "not-allowed",
                    message,
                );
            }
            SetDetail {
                name: set_name.clone(),
                object: Arc::clone(set),
                admitted,
            }
        })
        .collect();
    unread_settings(gateway, &object, resources, &mut found);
    let routing_type = routing_type(gateway, &name.namespace, resources);
    let client_certificate = tls::of_client(gateway, &object, resources);
    if let Some(Err(problem)) = &client_certificate {
        let at = FieldPath::new("spec.tls.backend.clientCertificateRef");
        let message = format!(
            "{}; no certificate is shown to backends",
            problem.message.trim_end_matches('.')
        );
        found.error(&object, at, "invalid-certificate-ref", message);
    }
    let shown = client_certificate.as_ref().and_then(|it| it.as_ref().ok());
    let node = GatewayNode {
        name: name.clone(),
        created: created(&gateway.metadata),
        labels: Arc::new(gateway.metadata.labels.clone().unwrap_or_default()),
        listeners: all
            .iter()
            .map(|(set, (it, _))| {
                let (routing_type, shown) = (routing_type.clone(), shown.cloned());
                node_of(name, set.as_ref(), it, routing_type, shown)
            })
            .collect(),
        listener_sets: sets.iter().map(|set| set.name.clone()).collect(),
    };
    let (listeners, tls) = all.into_iter().map(|(_, listener)| listener).unzip();
    GatewayDetail {
        object: Arc::clone(gateway),
        node: Arc::new(node),
        listeners,
        tls,
        sets,
        client_certificate,
        found: found.into_sorted(),
    }
}

fn node_of(
    gateway: &NamespacedName,
    set: Option<&NamespacedName>,
    listener: &Listener,
    routing_type: Option<OfGateway>,
    client_certificate: Option<Arc<Certificate>>,
) -> ListenerNode {
    ListenerNode {
        key: ListenerKey {
            gateway: gateway.clone(),
            listener_set: set.cloned(),
            listener: listener.name.as_str().into(),
        },
        port: listener.port,
        protocol: listener.protocol.clone(),
        hostname: listener.hostname.clone(),
        programmed: listener.problem.is_none(),
        routing_type,
        client_certificate,
        transport: listener.transport(),
    }
}

/// What the EnvoyProxy says that a Gateway refers to, or its class does.
fn routing_type(gateway: &Gateway, namespace: &str, resources: &Resources) -> Option<OfGateway> {
    let own = gateway.spec.infrastructure.as_ref();
    let own = own.and_then(|it| it.parameters_ref.as_ref());
    let own = own
        .filter(|it| it.group == POLICY_GROUP && it.kind == "EnvoyProxy")
        .map(|it| NamespacedName::new(namespace, it.name.as_str()));
    let of_class = || envoy_proxy_of(class_of(gateway, resources)?);
    // The Gateway's own takes the place of the class's.
    let envoy_proxy = own.or_else(of_class)?;
    let proxy = resources.envoy_proxies.get(&envoy_proxy)?;
    Some(OfGateway {
        routing_type: RoutingType::parse(proxy.spec.routing_type.as_deref()?)?,
        envoy_proxy,
    })
}

fn class_of<'a>(gateway: &Gateway, resources: &'a Resources) -> Option<&'a GatewayClass> {
    let class = NamespacedName::new("", gateway.spec.gateway_class_name.as_str());
    resources.gateway_classes.get(&class).map(|it| &**it)
}

/// The EnvoyProxy that a class refers to, whether it is there or not.
pub(crate) fn envoy_proxy_of(class: &GatewayClass) -> Option<NamespacedName> {
    let it = class.spec.parameters_ref.as_ref()?;
    let is_ours = it.group == POLICY_GROUP && it.kind == "EnvoyProxy";
    is_ours.then(|| {
        NamespacedName::new(
            it.namespace.as_deref().unwrap_or_default(),
            it.name.as_str(),
        )
    })
}

/// Listener names are unique where they are written; the first of several counts.
fn distinct(
    listeners: Vec<Listener>,
    object: &ObjectRef,
    found: &mut Diagnostics,
) -> Vec<Listener> {
    let mut names = std::collections::BTreeSet::new();
    let (first, again): (Vec<_>, Vec<_>) = listeners
        .into_iter()
        .partition(|listener| names.insert(listener.name.clone()));
    for listener in again {
        let message = format!(
            "listener name {} is used twice; this one is left out",
            listener.name
        );
        found.error(
            object,
            listener_field(&listener).child("name"),
            "duplicate-name",
            message,
        );
    }
    first
}

/// Settles which listeners serve, and how each of them speaks TLS.
fn settle(
    mut listeners: Vec<Listener>,
    object: &ObjectRef,
    clients: &Clients,
    resources: &Resources,
    claims: &mut Claims,
    found: &mut Diagnostics,
) -> Vec<(Listener, Option<Arc<ListenerTls>>)> {
    // A listener without its certificate keeps its place: a missing Secret gives nobody's traffic away.
    claims.settle(&mut listeners, &object.to_string());
    let tls: Vec<_> = listeners
        .iter_mut()
        .map(|it| tls::resolve(it, object, &listener_field(it), clients, resources, found))
        .collect();
    for listener in &listeners {
        let field = listener_field(listener);
        // Which reference is at fault has been said.
        if let Some(problem) = &listener.problem
            && listener.unresolved.as_ref() != Some(problem)
        {
            let message = format!(
                "listener {} is not served: {}",
                listener.name, problem.message
            );
            found.error(object, field.clone(), "listener-not-served", message);
        }
        if !listener.refused_kinds.is_empty() && listener.problem.is_none() {
            let kinds = listener.refused_kinds.join(", ");
            let message = format!(
                "listener {} does not serve {kinds} in this version of Weir",
                listener.name
            );
            found.warning(
                object,
                field.child("allowedRoutes").child("kinds"),
                "kind-not-served",
                message,
            );
        }
    }
    listeners.into_iter().zip(tls).collect()
}

fn listener_field(listener: &Listener) -> FieldPath {
    FieldPath::new("spec.listeners").index(listener.index)
}

/// The namespaces whose ListenerSets a Gateway takes; none unless it says so.
fn allowed_listeners(gateway: &Gateway, namespace: &str) -> Namespaces {
    let allowed = gateway
        .spec
        .allowed_listeners
        .as_ref()
        .and_then(|it| it.namespaces.as_ref());
    let selector = allowed.and_then(|it| it.selector.as_ref());
    match allowed.and_then(|it| it.from.as_ref()) {
        Some(From::All) => Namespaces::All,
        Some(From::Same) => Namespaces::Same(namespace.to_owned()),
        Some(From::Selector) => selector.map_or(Namespaces::None, |it| {
            Namespaces::Selector(label_selector!(it))
        }),
        Some(From::None) | None => Namespaces::None,
    }
}

/// Says which settings of a Gateway have no effect here.
fn unread_settings(
    gateway: &Gateway,
    object: &ObjectRef,
    resources: &Resources,
    found: &mut Diagnostics,
) {
    let spec = &gateway.spec;
    let parameters = spec
        .infrastructure
        .as_ref()
        .and_then(|it| it.parameters_ref.as_ref());
    let unread = [
        (
            spec.addresses.as_ref().is_some_and(|it| !it.is_empty()),
            "addresses",
            "Weir listens on the address that --bind gives",
        ),
        (
            parameters.is_some_and(|it| {
                let name = NamespacedName::new(&*object.name.namespace, it.name.as_str());
                let is_proxy = it.group == POLICY_GROUP && it.kind == "EnvoyProxy";
                !is_proxy || !resources.envoy_proxies.contains_key(&name)
            }),
            "infrastructure.parametersRef",
            "it refers to no EnvoyProxy that is there",
        ),
        (
            class_of(gateway, resources).is_some_and(|class| {
                let proxy = envoy_proxy_of(class);
                class.spec.parameters_ref.is_some()
                    && proxy.is_none_or(|name| !resources.envoy_proxies.contains_key(&name))
            }),
            "gatewayClassName",
            "the parametersRef of its class refers to no EnvoyProxy that is there",
        ),
        (
            spec.default_scope.is_some(),
            "defaultScope",
            "routes attach to the Gateways that they name",
        ),
    ];
    for (written, field, why) in unread {
        if written {
            let message = format!("spec.{field} has no effect: {why}");
            found.warning(
                object,
                FieldPath::new("spec").join(field),
                "not-enforced",
                message,
            );
        }
    }
}
