//! The status of policies: what each is told about each Gateway or ListenerSet that it reaches.
//!
//! The texts, and the order in which they are found out, are those of the reference implementation: from rules and
//! routes to Gateways, and within each from the oldest policy on.

mod ancestors;
mod relations;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_plan::NamespacedName;

use crate::Context;
use crate::api::GATEWAY_GROUP;
use crate::attach::{AttachedPolicy, KIND, Outcome, PolicyId, PolicyIndex, object_ref};
use crate::diagnostics::Diagnostics;
use crate::effective::Applications;
use crate::enforcement;
use crate::precedence;
use crate::status::{ConditionStatus, ParentReference, PolicyAncestorStatus};
use crate::targeting::AttachmentPoint;
use crate::topology::{ListenerKey, ParentNode, Topology};
pub(crate) use ancestors::Ancestors;
use relations::Relations;

/// The status of every policy that reaches anything of ours. Settings that are not enforced are reported as well.
pub(crate) fn report(
    topology: &Topology,
    index: &PolicyIndex,
    applications: &Applications,
    context: &Context,
    found: &mut Diagnostics,
) -> BTreeMap<NamespacedName, Vec<PolicyAncestorStatus>> {
    let ancestors = index
        .policies
        .iter()
        .map(|it| Ancestors::new(it.policy.metadata.generation))
        .collect();
    let mut report = Report {
        topology,
        index,
        applications,
        gateways: topology
            .gateways
            .iter()
            .enumerate()
            .map(|(index, gateway)| (&gateway.name, index))
            .collect(),
        relations: Relations::new(topology),
        rules: BTreeMap::new(),
        ancestors,
    };
    for phase in 0..PHASES {
        for (id, policy) in index.policies.iter().enumerate() {
            for (target, outcome) in policy
                .reached()
                .filter(|(target, _)| self::phase(&target.point) == phase)
            {
                report.target(id, &target.point, outcome);
            }
        }
    }
    let mut statuses = BTreeMap::new();
    for (mut ancestors, AttachedPolicy { policy, name, .. }) in
        report.ancestors.into_iter().zip(&index.policies)
    {
        let unenforced = enforcement::unenforced(&policy.spec, context.support);
        if !unenforced.is_empty() {
            for path in &unenforced {
                let text = "the data plane in use does not enforce this setting";
                found.warning(
                    &object_ref(&name.name),
                    path.clone(),
                    "setting-not-enforced",
                    text,
                );
            }
            ancestors.not_enforced(&Ancestors::of_data_plane(&unenforced));
        }
        let ancestors = ancestors.finish(&context.controller_name);
        if !ancestors.is_empty() {
            statuses.insert(name.name.clone(), ancestors);
        }
    }
    statuses
}

const PHASES: usize = 6;

/// When a target is looked at.
fn phase(point: &AttachmentPoint) -> usize {
    match point {
        AttachmentPoint::RouteRule { .. } => 0,
        AttachmentPoint::Route(_) => 1,
        AttachmentPoint::ListenerSetListener { .. } => 2,
        AttachmentPoint::ListenerSet(_) => 3,
        AttachmentPoint::Listener { .. } => 4,
        AttachmentPoint::Gateway(_) => 5,
    }
}

struct Report<'a> {
    topology: &'a Topology,
    index: &'a PolicyIndex,
    applications: &'a Applications,
    gateways: BTreeMap<&'a NamespacedName, usize>,
    relations: Relations<'a>,
    /// The rules of each route that have policies of their own.
    rules: BTreeMap<usize, BTreeSet<Arc<str>>>,
    ancestors: Vec<Ancestors>,
}

impl Report<'_> {
    fn target(&mut self, id: PolicyId, point: &AttachmentPoint, outcome: Outcome) {
        match point {
            // As if it were not there: its owner did not allow the policy to know of it.
            _ if outcome == Outcome::NotGranted => {}
            AttachmentPoint::RouteRule { route, rule } => {
                if outcome != Outcome::SectionMissing {
                    self.rules
                        .entry(*route)
                        .or_default()
                        .insert(Arc::clone(rule));
                }
                self.route(id, point, *route, outcome);
            }
            AttachmentPoint::Route(route) => self.route(id, point, *route, outcome),
            AttachmentPoint::ListenerSetListener { .. } | AttachmentPoint::ListenerSet(_) => {
                let Some(ancestor) = self.attach_above(id, point, outcome) else {
                    return;
                };
                let overridden = self.relations.conditions(point);
                self.ancestors[id].accept(&ancestor);
                self.ancestors[id].conditions(&ancestor, overridden);
                self.ancestors[id].warn(&ancestor, &self.index.policies[id].policy.spec);
            }
            AttachmentPoint::Listener { .. } | AttachmentPoint::Gateway(_) => {
                let Some(ancestor) = self.attach_above(id, point, outcome) else {
                    return;
                };
                let overridden = self.relations.conditions(point);
                self.ancestors[id].accept(&ancestor);
                self.ancestors[id].warn(&ancestor, &self.index.policies[id].policy.spec);
                self.ancestors[id].conditions(&ancestor, overridden);
            }
        }
    }

    fn route(&mut self, id: PolicyId, point: &AttachmentPoint, route: usize, outcome: Outcome) {
        let node = &self.topology.routes[route];
        let mut refs = Vec::with_capacity(node.parents.len());
        for parent in &node.parents {
            // Whatever becomes of the policy; the reference counts it, too.
            self.relations
                .overrides(self.scope(parent), AttachmentPoint::Route(route));
            refs.push(reference(parent, parent.section.as_deref()));
        }
        if let Some((reason, message)) = self.refusal(point, outcome) {
            refs.iter()
                .for_each(|it| self.ancestors[id].reject(it, reason, &message));
            return;
        }
        let AttachedPolicy {
            policy, merge_type, ..
        } = &self.index.policies[id];
        if merge_type.is_some() {
            for parent in &node.parents {
                parent
                    .allowed
                    .iter()
                    .for_each(|listener| self.merge(id, route, parent, listener));
            }
        } else if let Some(message) = self
            .applications
            .lowered(id, None)
            .and_then(|it| it.invalid.as_deref())
        {
            refs.iter()
                .for_each(|it| self.ancestors[id].reject(it, "Invalid", message));
        }
        refs.iter().for_each(|it| self.ancestors[id].accept(it));
        refs.iter()
            .for_each(|it| self.ancestors[id].warn(it, &policy.spec));
        if let (AttachmentPoint::Route(_), Some(rules)) = (point, self.rules.get(&route)) {
            let rules: Vec<&str> = rules.iter().map(|rule| &**rule).collect();
            let message = format!(
                "This policy is being overridden by other backendTrafficPolicy for these route rules: [{}]",
                rules.join(" ")
            );
            for it in &refs {
                self.ancestors[id].conditions(it, vec![("Overridden", message.clone())]);
            }
        }
    }

    /// A policy of a route or rule that asks to be merged, on one listener.
    fn merge(&mut self, id: PolicyId, route: usize, node: &ParentNode, listener: &ListenerKey) {
        let claims = &self.index.claims;
        let parent = precedence::parent(claims, &self.applications.claims_on(listener));
        let lowered = self
            .applications
            .lowered(id, parent.map(|(_, parent)| parent));
        let ancestor = reference(node, Some(&listener.listener));
        if let Some(message) = lowered.and_then(|it| it.invalid.as_deref()) {
            self.ancestors[id].reject(&ancestor, "Invalid", message);
        } else if let Some((at, parent)) = parent {
            let message = format!(
                "Merged with policy {}",
                self.index.policies[parent].name.name
            );
            self.ancestors[id].set(
                &ancestor,
                "Merged",
                ConditionStatus::True,
                "Merged",
                &message,
            );
            let gateway = self
                .gateways
                .get(&listener.gateway)
                .copied()
                .unwrap_or_default();
            let name = Arc::clone(&listener.listener);
            let scope = match (at, &listener.listener_set) {
                (0, None) => AttachmentPoint::Listener {
                    gateway,
                    listener: name,
                },
                (0, Some(set)) => AttachmentPoint::ListenerSetListener {
                    set: set.clone(),
                    listener: name,
                },
                (1, Some(set)) => AttachmentPoint::ListenerSet(set.clone()),
                (_, _) => AttachmentPoint::Gateway(gateway),
            };
            self.relations.merges(scope, AttachmentPoint::Route(route));
        }
    }

    /// A policy above routes: its ancestor, where it has its place.
    fn attach_above(
        &mut self,
        id: PolicyId,
        point: &AttachmentPoint,
        outcome: Outcome,
    ) -> Option<ParentReference> {
        let gateways = &self.topology.gateways;
        let (kind, name, section) = match point {
            AttachmentPoint::Gateway(gateway) => ("Gateway", &gateways[*gateway].name, None),
            AttachmentPoint::Listener { gateway, listener } => {
                ("Gateway", &gateways[*gateway].name, Some(listener))
            }
            AttachmentPoint::ListenerSet(set) => ("ListenerSet", set, None),
            AttachmentPoint::ListenerSetListener { set, listener } => {
                ("ListenerSet", set, Some(listener))
            }
            AttachmentPoint::Route(_) | AttachmentPoint::RouteRule { .. } => return None,
        };
        let ancestor = parent_reference(kind, name, section.map(|it| &**it));
        if let Some((reason, message)) = self.refusal(point, outcome) {
            self.ancestors[id].reject(&ancestor, reason, &message);
            return None;
        }
        match point {
            AttachmentPoint::Listener {
                gateway,
                listener: _,
            } => {
                self.relations
                    .overrides(AttachmentPoint::Gateway(*gateway), point.clone());
            }
            AttachmentPoint::ListenerSetListener { set, listener: _ } => {
                self.relations
                    .overrides(AttachmentPoint::ListenerSet(set.clone()), point.clone());
            }
            AttachmentPoint::ListenerSet(set) => {
                if let Some(gateway) = gateways
                    .iter()
                    .position(|gateway| gateway.listener_sets.contains(set))
                {
                    self.relations
                        .overrides(AttachmentPoint::Gateway(gateway), point.clone());
                }
            }
            AttachmentPoint::Gateway(_)
            | AttachmentPoint::Route(_)
            | AttachmentPoint::RouteRule { .. } => {}
        }
        if let Some(message) = self
            .applications
            .lowered(id, None)
            .and_then(|it| it.invalid.as_deref())
        {
            self.ancestors[id].reject(&ancestor, "Invalid", message);
        }
        Some(ancestor)
    }

    /// Why a policy has no place at a target.
    fn refusal(&self, point: &AttachmentPoint, outcome: Outcome) -> Option<(&'static str, String)> {
        let Topology { gateways, routes } = self.topology;
        let (kind, name, section) = match point {
            AttachmentPoint::RouteRule { route, rule } => (
                routes[*route].kind.as_str(),
                &routes[*route].name,
                Some(rule),
            ),
            AttachmentPoint::Route(route) => {
                (routes[*route].kind.as_str(), &routes[*route].name, None)
            }
            AttachmentPoint::ListenerSetListener { set, listener } => {
                ("ListenerSet", set, Some(listener))
            }
            AttachmentPoint::ListenerSet(set) => ("ListenerSet", set, None),
            AttachmentPoint::Listener { gateway, listener } => {
                ("Gateway", &gateways[*gateway].name, Some(listener))
            }
            AttachmentPoint::Gateway(gateway) => ("Gateway", &gateways[*gateway].name, None),
        };
        match outcome {
            Outcome::Attached | Outcome::NotGranted => None,
            Outcome::SectionMissing => {
                let section = section.map_or("", |it| &**it);
                Some((
                    "TargetNotFound",
                    format!("No section name {section} found for {kind} {name}"),
                ))
            }
            Outcome::Conflicted(_) => {
                let target = match (point, section) {
                    (AttachmentPoint::RouteRule { .. }, Some(rule)) => {
                        format!("RouteRule {}/{rule}", name.name)
                    }
                    (AttachmentPoint::ListenerSetListener { .. }, Some(listener)) => {
                        format!("Listener {}/{listener}", name.name)
                    }
                    (AttachmentPoint::Listener { .. }, Some(listener)) => {
                        format!("Listener {name}/{listener}")
                    }
                    (_, _) => format!("{kind} {}", name.name),
                };
                Some((
                    "Conflicted",
                    format!("Unable to target {target}, another {KIND} has already attached to it"),
                ))
            }
        }
    }

    /// The scope that a parentRef names.
    fn scope(&self, parent: &ParentNode) -> AttachmentPoint {
        let gateway = self
            .gateways
            .get(&parent.gateway)
            .copied()
            .unwrap_or_default();
        match (&parent.listener_set, &parent.section) {
            (None, None) => AttachmentPoint::Gateway(gateway),
            (None, Some(listener)) => AttachmentPoint::Listener {
                gateway,
                listener: Arc::clone(listener),
            },
            (Some(set), None) => AttachmentPoint::ListenerSet(set.clone()),
            (Some(set), Some(listener)) => AttachmentPoint::ListenerSetListener {
                set: set.clone(),
                listener: Arc::clone(listener),
            },
        }
    }
}

fn reference(parent: &ParentNode, section: Option<&str>) -> ParentReference {
    match &parent.listener_set {
        None => parent_reference("Gateway", &parent.gateway, section),
        Some(set) => parent_reference("ListenerSet", set, section),
    }
}

/// Names a Gateway or ListenerSet, or a section of one, as an ancestor.
pub(crate) fn parent_reference(
    kind: &str,
    name: &NamespacedName,
    section: Option<&str>,
) -> ParentReference {
    ParentReference {
        group: GATEWAY_GROUP.to_owned(),
        kind: kind.to_owned(),
        namespace: Some(name.namespace.to_string()),
        name: name.name.to_string(),
        section_name: section.map(str::to_owned),
        port: None,
    }
}
