//! Statuses as data: what every object is to be told. Sending them is the provider's job.

pub(crate) mod backend_tls;
pub(crate) mod backends;
pub(crate) mod gateways;
pub(crate) mod routes;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use weir_plan::{ListenerName, NamespacedName};

use crate::clients::Clients;
use crate::diagnostics::{Diagnostics, ObjectRef};
use crate::policies::Policies;
use crate::resources::Resources;
use crate::topology::ListenerKey;
use crate::topology::attachments::Attachments;
use crate::{Context, build};

/// The status of every object that has one. Maps in an `Arc` are the same one as before where nothing in them changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Statuses {
    /// GatewayClasses of ours.
    pub gateway_classes: BTreeMap<String, Vec<Condition>>,
    /// Gateways of ours.
    pub gateways: BTreeMap<NamespacedName, GatewayStatus>,
    /// ListenerSets with a parent of ours.
    pub listener_sets: BTreeMap<NamespacedName, GatewayStatus>,
    /// Routes of all kinds with a parent of ours.
    pub routes: Arc<BTreeMap<ObjectRef, Arc<[RouteParentStatus]>>>,
    /// BackendTrafficPolicies; those without ancestors have no status to be written.
    pub policies: Arc<BTreeMap<NamespacedName, Vec<PolicyAncestorStatus>>>,
    /// ClientTrafficPolicies, likewise.
    #[serde(skip_serializing_if = "no_entries")]
    pub client_policies: Arc<BTreeMap<NamespacedName, Vec<PolicyAncestorStatus>>>,
    /// BackendTLSPolicies whose backends routes of ours refer to.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub backend_tls_policies: BTreeMap<NamespacedName, Vec<PolicyAncestorStatus>>,
    /// Backends.
    pub backends: Arc<BTreeMap<NamespacedName, Arc<[Condition]>>>,
}

fn no_entries(map: &Arc<BTreeMap<NamespacedName, Vec<PolicyAncestorStatus>>>) -> bool {
    map.is_empty()
}

/// A condition. `lastTransitionTime` is stamped by whoever writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Its type, such as `Accepted`.
    pub r#type: String,
    /// `True`, `False` or `Unknown`.
    pub status: ConditionStatus,
    /// A word for machines.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// The generation of the object that was looked at.
    pub observed_generation: Option<i64>,
}

/// The truth of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the Gateway API names and explains them")]
pub enum ConditionStatus {
    True,
    False,
    Unknown,
}

impl fmt::Display for ConditionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        })
    }
}

/// The status of a Gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the Gateway API names and explains them")]
pub struct GatewayStatus {
    pub conditions: Vec<Condition>,
    pub listeners: Vec<ListenerStatus>,
}

/// The status of one listener.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the Gateway API names and explains them")]
pub struct ListenerStatus {
    pub name: String,
    pub supported_kinds: Vec<RouteGroupKind>,
    pub attached_routes: i32,
    pub conditions: Vec<Condition>,
}

/// A kind of route that a listener takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the Gateway API names and explains them")]
pub struct RouteGroupKind {
    pub group: String,
    pub kind: String,
}

/// What a route is told about one of its parents.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the Gateway API names and explains them")]
pub struct RouteParentStatus {
    pub parent_ref: ParentReference,
    pub controller_name: String,
    pub conditions: Vec<Condition>,
}

/// What a policy is told about one of its ancestors.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the Gateway API names and explains them")]
pub struct PolicyAncestorStatus {
    pub ancestor_ref: ParentReference,
    pub controller_name: String,
    pub conditions: Vec<Condition>,
}

/// A Gateway or ListenerSet, or a section of one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the Gateway API names and explains them")]
pub struct ParentReference {
    pub group: String,
    pub kind: String,
    pub namespace: Option<String>,
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
}

/// `Kind namespace/name`, with the section where it is one.
impl fmt::Display for ParentReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            group: _,
            kind,
            namespace,
            name,
            section_name,
            port: _,
        } = self;
        write!(f, "{kind} ")?;
        if let Some(namespace) = namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(name)?;
        match section_name {
            Some(section) => write!(f, " section {section}"),
            None => Ok(()),
        }
    }
}

impl Condition {
    /// A condition that holds.
    pub(crate) fn yes(
        r#type: &str,
        reason: &str,
        message: impl Into<String>,
        observed_generation: Option<i64>,
    ) -> Self {
        let (r#type, reason, message) = (r#type.to_owned(), reason.to_owned(), message.into());
        Self {
            r#type,
            status: ConditionStatus::True,
            reason,
            message,
            observed_generation,
        }
    }

    /// A condition that does not hold.
    pub(crate) fn no(
        r#type: &str,
        reason: &str,
        message: impl Into<String>,
        observed_generation: Option<i64>,
    ) -> Self {
        let (r#type, reason, message) = (r#type.to_owned(), reason.to_owned(), message.into());
        Self {
            r#type,
            status: ConditionStatus::False,
            reason,
            message,
            observed_generation,
        }
    }
}

/// The status of every object, put together.
pub(crate) fn report(
    resources: &Resources,
    attachments: &Attachments,
    built: &build::Memo,
    (policies, clients): (&Policies, &Clients),
    backends: Arc<BTreeMap<NamespacedName, Arc<[Condition]>>>,
    context: &Context,
    found: &mut Diagnostics,
) -> Statuses {
    let details = &attachments.gateways;
    let attached = |listener: &ListenerKey| built.attached(listener);
    let sets = details
        .iter()
        .flat_map(|gateway| gateway.sets.iter().map(move |set| (gateway, set)));
    Statuses {
        gateway_classes: gateways::of_classes(resources, context),
        gateways: details
            .iter()
            .map(|it| (it.node.name.clone(), gateways::of_gateway(it, attached)))
            .collect(),
        listener_sets: sets
            .map(|(it, set)| (set.name.clone(), gateways::of_set(it, set, attached)))
            .collect(),
        routes: built.statuses(),
        policies: Arc::clone(&policies.statuses),
        client_policies: Arc::clone(&clients.statuses),
        backend_tls_policies: backend_tls::of_policies(resources, built, context, found),
        backends,
    }
}

impl Statuses {
    /// Says of listeners that the data plane could not bind their port: `Programmed` becomes false for them, and for
    /// a Gateway or ListenerSet of which no listener is served any more.
    ///
    /// Which ports can be bound is known only to whoever runs the data plane.
    pub fn with_listen_error(&mut self, listeners: &[ListenerName], message: &str) {
        for name in listeners {
            // A listener of a ListenerSet is called `namespace/listenerset/listener` in the plan.
            let mut parts = name.listener.splitn(3, '/');
            let status = match (parts.next(), parts.next(), parts.next()) {
                (Some(namespace), Some(set), Some(listener)) => {
                    let set = self
                        .listener_sets
                        .get_mut(&NamespacedName::new(namespace, set));
                    set.map(|status| (status, listener))
                }
                _ => self
                    .gateways
                    .get_mut(&name.gateway)
                    .map(|status| (status, &*name.listener)),
            };
            if let Some((status, listener)) = status {
                status.not_programmed(listener, message);
            }
        }
    }
}

impl GatewayStatus {
    fn not_programmed(&mut self, listener: &str, message: &str) {
        let Self {
            conditions,
            listeners,
        } = self;
        let is = |it: &&mut Condition| it.r#type == "Programmed";
        for condition in listeners
            .iter_mut()
            .filter(|it| it.name == listener)
            .flat_map(|it| &mut it.conditions)
        {
            if condition.r#type == "Programmed" {
                *condition = Condition::no(
                    "Programmed",
                    "PortUnavailable",
                    message,
                    condition.observed_generation,
                );
            }
        }
        let served = |it: &ListenerStatus| {
            it.conditions
                .iter()
                .any(|it| it.r#type == "Programmed" && it.status == ConditionStatus::True)
        };
        if let Some(condition) = conditions
            .iter_mut()
            .find(is)
            .filter(|_| !listeners.iter().any(served))
        {
            let message = format!("no listener is served: {message}");
            *condition = Condition::no(
                "Programmed",
                "Invalid",
                message,
                condition.observed_generation,
            );
        }
    }
}
