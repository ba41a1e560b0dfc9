//! From what a policy names as its targets to the places in the topology that it attaches to.
//!
//! The same for every kind of policy. What is not ours, or not there, has no place; findings say so.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use weir_plan::{NamespacedName, RouteKind};

use crate::api::target::{TargetNamespaces, TargetRef, TargetSelector, Targets};
use crate::api::{GATEWAY_GROUP, ListenerSet, POLICY_GROUP};
use crate::diagnostics::FieldPath;
use crate::references::{Referent, Referrer, permitted};
use crate::resources::{Objects, Resources};
use crate::topology::{Topology, created, selectors};

/// A place that a policy attaches to, most specific first. Routes and Gateways by their index in the topology.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AttachmentPoint {
    /// The rules of a route that have this name.
    RouteRule {
        /// The route.
        route: usize,
        /// The name.
        rule: Arc<str>,
    },
    /// A route.
    Route(usize),
    /// A listener of a ListenerSet.
    ListenerSetListener {
        /// The ListenerSet.
        set: NamespacedName,
        /// The listener's name in it.
        listener: Arc<str>,
    },
    /// A ListenerSet.
    ListenerSet(NamespacedName),
    /// A listener that a Gateway has itself.
    Listener {
        /// The Gateway.
        gateway: usize,
        /// The listener's name.
        listener: Arc<str>,
    },
    /// A Gateway with all its listeners, those of its ListenerSets included.
    Gateway(usize),
}

/// What became of one target of a policy.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Target {
    /// The place.
    pub(crate) point: AttachmentPoint,
    /// Where the policy names it.
    pub(crate) field: FieldPath,
    /// Whether it attaches there.
    pub(crate) reach: Reach,
}

/// Whether a policy reaches a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// It does.
    Found,
    /// The object has no such section.
    SectionMissing,
    /// The object is in another namespace, and no ReferenceGrant there allows it.
    NotGranted,
}

/// A policy, as far as its targets matter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Targeting<'a> {
    pub(crate) kind: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) spec: &'a Value,
}

/// Something to be told about a policy's targets: where, an id, and what.
pub(crate) type Finding = (FieldPath, &'static str, String);

/// What policies can attach to, ready to be looked up.
pub(crate) struct Places<'a> {
    resources: &'a Resources,
    topology: &'a Topology,
    /// Indices of routes, sorted by kind and name.
    routes: Arc<[usize]>,
    gateways: BTreeMap<&'a NamespacedName, usize>,
    /// ListenerSets with the Gateway that they belong to.
    listener_sets: BTreeMap<&'a NamespacedName, usize>,
    /// Indices of routes by each of their labels.
    labelled: OnceCell<BTreeMap<(&'a str, &'a str), Vec<usize>>>,
}

/// An object that a selector may choose.
struct Candidate<'a> {
    created: Option<Timestamp>,
    name: &'a NamespacedName,
    labels: &'a BTreeMap<String, String>,
    point: AttachmentPoint,
}

/// The objects that references lead to, as far as they are the same ones as before.
#[derive(Debug, Default)]
pub(crate) struct PlacesMemo {
    topology: Topology,
    listener_sets: Objects<ListenerSet>,
    by_name: Arc<[usize]>,
}

impl PlacesMemo {
    /// Whether references lead to the same places as last time. This call becomes the last.
    pub(crate) fn is_same(&mut self, resources: &Resources, now: &Topology) -> bool {
        fn same<T>(seen: &[Arc<T>], now: &[Arc<T>]) -> bool {
            seen.len() == now.len() && seen.iter().zip(now).all(|(a, b)| Arc::ptr_eq(a, b))
        }
        let sets = self.listener_sets.iter().zip(&resources.listener_sets);
        let same = same(&self.topology.routes, &now.routes)
            && same(&self.topology.gateways, &now.gateways)
            && self.listener_sets.len() == resources.listener_sets.len()
            && sets
                .into_iter()
                .all(|((a, x), (b, y))| a == b && Arc::ptr_eq(x, y));
        if !same {
            self.topology.clone_from(now);
            self.listener_sets.clone_from(&resources.listener_sets);
            let routes = &now.routes;
            let mut by_name: Vec<usize> = (0..routes.len()).collect();
            by_name.sort_by_key(|&index| (routes[index].kind, &routes[index].name));
            self.by_name = by_name.into();
        }
        same
    }
}

impl<'a> Places<'a> {
    /// `memo` has seen the topology.
    pub(crate) fn new(resources: &'a Resources, topology: &'a Topology, memo: &PlacesMemo) -> Self {
        let Topology {
            gateways,
            routes: _,
        } = topology;
        let listener_sets = gateways
            .iter()
            .enumerate()
            .flat_map(|(index, gateway)| gateway.listener_sets.iter().map(move |set| (set, index)));
        Self {
            resources,
            topology,
            routes: Arc::clone(&memo.by_name),
            gateways: gateways
                .iter()
                .enumerate()
                .map(|(index, gateway)| (&gateway.name, index))
                .collect(),
            listener_sets: listener_sets.collect(),
            labelled: OnceCell::new(),
        }
    }

    /// The places of a policy: those that selectors find, oldest object first, then those that references name, in
    /// their order. A place that a selector found is not named again.
    pub(crate) fn resolve(&self, policy: Targeting<'_>) -> (Vec<Target>, Vec<Finding>) {
        let mut findings = Vec::new();
        let Targets {
            target_ref,
            target_refs,
            target_selectors,
        } = match Targets::deserialize(policy.spec)
            .or_else(|_| Targets::deserialize(&without_nulls(policy.spec)))
        {
            Ok(targets) => targets,
            Err(error) => {
                findings.push((
                    FieldPath::new("spec"),
                    "invalid-target",
                    format!("the targets cannot be read: {error}"),
                ));
                return (Vec::new(), findings);
            }
        };
        let mut targets = self.selected(
            policy,
            target_selectors.as_deref().unwrap_or_default(),
            &mut findings,
        );
        let selected: BTreeSet<AttachmentPoint> =
            targets.iter().map(|it| it.point.clone()).collect();
        let refs: Vec<(FieldPath, TargetRef)> = match target_ref {
            Some(one) => vec![(FieldPath::new("spec.targetRef"), one)],
            None => {
                let at = FieldPath::new("spec.targetRefs");
                target_refs
                    .unwrap_or_default()
                    .into_iter()
                    .enumerate()
                    .map(|(index, it)| (at.index(index), it))
                    .collect()
            }
        };
        for (field, reference) in refs {
            match self.named(policy.namespace, &reference) {
                Some((point, reach)) if !selected.contains(&point) => targets.push(Target {
                    point,
                    field,
                    reach,
                }),
                Some(_) => {}
                None => {
                    let TargetRef {
                        group: _,
                        kind,
                        name,
                        section_name: _,
                    } = reference;
                    if !kind.is_empty() || !name.is_empty() {
                        let text = format!(
                            "there is no {kind} {}/{name} that is served here, so the policy does nothing for it",
                            policy.namespace
                        );
                        findings.push((field, "target-not-found", text));
                    }
                }
            }
        }
        (targets, findings)
    }

    /// The place of a reference, where the object is ours.
    fn named(&self, namespace: &str, reference: &TargetRef) -> Option<(AttachmentPoint, Reach)> {
        let TargetRef {
            group,
            kind,
            name,
            section_name,
        } = reference;
        if group.as_deref().is_some_and(|group| group != GATEWAY_GROUP) {
            return None;
        }
        let name = NamespacedName::new(namespace, name.as_str());
        let section: Option<Arc<str>> = section_name.as_deref().map(Into::into);
        let reach = |there: bool| {
            if there {
                Reach::Found
            } else {
                Reach::SectionMissing
            }
        };
        match kind.as_str() {
            "Gateway" => {
                let gateway = *self.gateways.get(&name)?;
                let Some(listener) = section else {
                    return Some((AttachmentPoint::Gateway(gateway), Reach::Found));
                };
                let listeners = &self.topology.gateways[gateway].listeners;
                let there = listeners
                    .iter()
                    .any(|it| it.key.listener_set.is_none() && it.key.listener == listener);
                Some((
                    AttachmentPoint::Listener { gateway, listener },
                    reach(there),
                ))
            }
            "ListenerSet" => {
                let (&set, _) = self.listener_sets.get_key_value(&name)?;
                let Some(listener) = section else {
                    return Some((AttachmentPoint::ListenerSet(name), Reach::Found));
                };
                let object = self.resources.listener_sets.get(set)?;
                let there = object.spec.listeners.iter().any(|it| *it.name == *listener);
                Some((
                    AttachmentPoint::ListenerSetListener {
                        set: name,
                        listener,
                    },
                    reach(there),
                ))
            }
            kind => {
                let kind = RouteKind::ALL.into_iter().find(|it| it.as_str() == kind)?;
                let routes = &self.topology.routes;
                let order =
                    |index: &usize| (routes[*index].kind, &routes[*index].name).cmp(&(kind, &name));
                let route = self.routes[self.routes.binary_search_by(order).ok()?];
                let Some(rule) = section else {
                    return Some((AttachmentPoint::Route(route), Reach::Found));
                };
                let there = routes[route].rules.iter().flatten().any(|it| *it == rule);
                Some((AttachmentPoint::RouteRule { route, rule }, reach(there)))
            }
        }
    }

    fn selected(
        &self,
        policy: Targeting<'_>,
        selectors: &[TargetSelector],
        findings: &mut Vec<Finding>,
    ) -> Vec<Target> {
        let mut chosen: Vec<(Candidate<'_>, Target)> = Vec::new();
        let mut seen = BTreeSet::new();
        for (index, selector) in selectors.iter().enumerate() {
            let field = FieldPath::new("spec.targetSelectors").index(index);
            let before = chosen.len();
            let labels = LabelSelector {
                match_labels: selector.match_labels.clone(),
                match_expressions: selector.match_expressions.clone(),
            };
            let namespaces = selector.namespaces.clone().unwrap_or_default();
            for candidate in self.candidates(selector) {
                if !selectors::matches(&labels, candidate.labels)
                    || !self.in_reach(policy.namespace, &namespaces, &candidate.name.namespace)
                    || !seen.insert(candidate.point.clone())
                {
                    continue;
                }
                let referrer = Referrer {
                    group: POLICY_GROUP,
                    kind: policy.kind,
                    namespace: policy.namespace,
                };
                let (namespace, name) = (&*candidate.name.namespace, &*candidate.name.name);
                let referent = Referent {
                    group: GATEWAY_GROUP,
                    kind: &selector.kind,
                    namespace,
                    name,
                };
                let granted = permitted(&self.resources.reference_grants, referrer, referent);
                if !granted {
                    let text = format!(
                        "{} {} is selected, but no ReferenceGrant in its namespace allows {} of {}",
                        selector.kind, candidate.name, policy.kind, policy.namespace
                    );
                    findings.push((field.clone(), "no-reference-grant", text));
                }
                let reach = if granted {
                    Reach::Found
                } else {
                    Reach::NotGranted
                };
                let target = Target {
                    point: candidate.point.clone(),
                    field: field.clone(),
                    reach,
                };
                chosen.push((candidate, target));
            }
            if let Some(why) = selectors::unreadable(&labels) {
                let text =
                    format!("it selects nothing, as Kubernetes reads no such selector: {why}");
                findings.push((field, "invalid-target", text));
            } else if chosen.len() == before {
                let text = format!("no {} that is served here is selected", selector.kind);
                findings.push((field, "selector-matches-nothing", text));
            }
        }
        chosen.sort_by(|(a, _), (b, _)| (a.created, a.name).cmp(&(b.created, b.name)));
        chosen.into_iter().map(|(_, target)| target).collect()
    }

    fn in_reach(&self, own: &str, namespaces: &TargetNamespaces, namespace: &str) -> bool {
        let TargetNamespaces { from, selector } = namespaces;
        match from.as_deref().unwrap_or_default() {
            "" | "Same" => namespace == own,
            "All" => true,
            "Selector" => selector.as_ref().is_some_and(|selector| {
                selectors::selects_namespace(selector, self.resources, namespace)
            }),
            _ => false,
        }
    }

    /// The objects that a selector could choose, by kind; routes narrowed down by the rarest of the labels asked for.
    fn candidates(&self, selector: &TargetSelector) -> Vec<Candidate<'a>> {
        let TargetSelector {
            group,
            kind,
            namespaces: _,
            match_labels: _,
            match_expressions: _,
        } = selector;
        if group.as_deref().is_some_and(|group| group != GATEWAY_GROUP) {
            return Vec::new();
        }
        match kind.as_str() {
            "Gateway" => {
                let gateways = self.topology.gateways.iter().enumerate();
                gateways
                    .map(|(index, it)| Candidate {
                        created: it.created,
                        name: &it.name,
                        labels: &it.labels,
                        point: AttachmentPoint::Gateway(index),
                    })
                    .collect()
            }
            "ListenerSet" => {
                static NO_LABELS: BTreeMap<String, String> = BTreeMap::new();
                let objects = self
                    .listener_sets
                    .keys()
                    .filter_map(|&set| self.resources.listener_sets.get_key_value(set));
                objects
                    .map(|(name, it)| Candidate {
                        created: created(&it.metadata),
                        name,
                        labels: it.metadata.labels.as_ref().unwrap_or(&NO_LABELS),
                        point: AttachmentPoint::ListenerSet(name.clone()),
                    })
                    .collect()
            }
            kind => {
                let Some(kind) = RouteKind::ALL.into_iter().find(|it| it.as_str() == kind) else {
                    return Vec::new();
                };
                let routes = &self.topology.routes;
                let indices = match self.narrowed(selector) {
                    Some(indices) => indices,
                    None => (0..routes.len()).collect(),
                };
                let routes = indices
                    .into_iter()
                    .map(|index| (index, &routes[index]))
                    .filter(|(_, it)| it.kind == kind);
                routes
                    .map(|(index, it)| Candidate {
                        created: it.created,
                        name: &it.name,
                        labels: &it.labels,
                        point: AttachmentPoint::Route(index),
                    })
                    .collect()
            }
        }
    }

    /// The routes that have the label, or one of the values of the expression, that the fewest have of those that a
    /// selector asks for. None where it asks for none by value.
    fn narrowed(&self, selector: &TargetSelector) -> Option<Vec<usize>> {
        let labels = selector.match_labels.iter().flatten();
        let labels = labels.map(|(key, value)| vec![self.with_label(key, value)]);
        let expressions = selector.match_expressions.iter().flatten();
        let expressions = expressions.filter(|it| it.operator == "In").map(|it| {
            let values: BTreeSet<&String> = it.values.iter().flatten().collect();
            values
                .into_iter()
                .map(|value| self.with_label(&it.key, value))
                .collect()
        });
        let rarest = labels
            .chain(expressions)
            .min_by_key(|lists: &Vec<&[usize]>| lists.iter().map(|it| it.len()).sum::<usize>());
        rarest.map(|lists| lists.concat())
    }

    fn with_label<'s>(&'s self, key: &'s str, value: &'s str) -> &'s [usize] {
        let known = self.labelled().get(&(key, value));
        known.map_or(&[], Vec::as_slice)
    }

    fn labelled(&self) -> &BTreeMap<(&'a str, &'a str), Vec<usize>> {
        self.labelled.get_or_init(|| {
            let mut index: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
            for (route, node) in self.topology.routes.iter().enumerate() {
                for (key, value) in node.labels.iter() {
                    index.entry((key, value)).or_default().push(route);
                }
            }
            index
        })
    }
}
/// The targets of a spec as an API server stores them, which drops nulls: of a label, for example.
fn without_nulls(spec: &Value) -> Value {
    fn pruned(value: &Value) -> Value {
        match value {
            Value::Object(fields) => fields
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key.clone(), pruned(value)))
                .collect(),
            Value::Array(items) => items.iter().map(pruned).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        }
    }
    let targets = ["targetRef", "targetRefs", "targetSelectors"];
    let fields = targets.map(|name| (name.to_owned(), pruned(&spec[name])));
    fields
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .collect()
}
