//! Differences: which rules a change of resources gives another effective policy, and which listeners other settings for
//! their clients, field by field with the policies that wrote the values, and which policies it gives another status.
//!
//! Only policies are compared. What a route matches and where it forwards to is no part of them.

mod listeners;
mod text;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use weir_plan::{ListenerName, NamespacedName, PolicyRef, RouteKind, RuleName};

use crate::Resolution;
use crate::attach::KIND;
use crate::clients;
use crate::diagnostics::FieldPath;
use crate::effective::EffectiveRule;
use crate::explain::in_force::{self, Applying, Source};
use crate::status::{Condition, ConditionStatus, ParentReference, PolicyAncestorStatus, Statuses};

/// What differs between two resolutions. Its text form reads like that of a `diff`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// How far the change reaches.
    pub blast_radius: BlastRadius,
    /// What becomes of rules; those of which the same is to be said stand together.
    pub changes: Vec<Change>,
    /// What becomes of listeners by their ClientTrafficPolicies, likewise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<ListenerChange>,
    /// The policies whose status changes.
    pub policies: Vec<PolicyChange>,
}

/// How much a change touches. What is only on one side counts as touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BlastRadius {
    /// Routes with a rule whose effective policy changes on some listener.
    pub routes: Touched,
    /// Such rules.
    pub rules: Touched,
    /// The listeners on which they change, or what is said of their clients does.
    pub listeners: Touched,
    /// The policies whose status changes.
    pub policies: Touched,
}

/// How many of how many; `of` counts what is on either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the type says it")]
pub struct Touched {
    pub touched: usize,
    pub of: usize,
}

/// What becomes of some rules.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Whether they are on both sides.
    pub what: Presence,
    /// Which rules, on which listeners. Never empty.
    pub rules: Vec<Place>,
    /// Why they answer 500 (routes below HTTP: close connections), where that changes.
    pub invalid: Option<Sides<String>>,
    /// The fields whose value or origin changes.
    pub fields: Vec<FieldChange>,
}

/// What becomes of some listeners.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ListenerChange {
    /// Whether they are on both sides.
    pub what: Presence,
    /// Which. Never empty.
    pub listeners: Vec<ListenerName>,
    /// Why they serve no route for their policy's sake, where that changes.
    pub invalid: Option<Sides<String>>,
    /// The fields whose value or origin changes.
    pub fields: Vec<FieldChange>,
}

/// On which side something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// On the new side only.
    Added,
    /// On both sides.
    Changed,
    /// On the old side only.
    Removed,
}

/// A rule on a listener.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Place {
    /// The rule. One with a name is the same wherever it stands in its route; others are told apart by their index.
    pub rule: RuleName,
    /// The listener.
    pub listener: ListenerName,
}

/// Something on each side, where it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the type says it")]
pub struct Sides<T> {
    pub old: Option<T>,
    pub new: Option<T>,
}

/// A field that changes. Where a side has none, the default applies there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FieldChange {
    /// The field, below `spec`.
    pub field: FieldPath,
    /// What is written.
    #[serde(flatten)]
    pub written: Sides<Written>,
}

/// A value, and who wrote it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Written {
    /// The value as written.
    pub value: Value,
    /// Who wrote it: never [`Source::Default`].
    pub from: Source,
}

/// A policy whose status changes. Policies that reach nothing have no status.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PolicyChange {
    /// The policy.
    pub policy: PolicyRef,
    /// Whether it has a status on both sides.
    pub what: Presence,
    /// The conditions that change.
    pub conditions: Vec<ConditionChange>,
}

/// A condition that changes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConditionChange {
    /// The Gateway or ListenerSet, or section of one, that it is about.
    pub ancestor: ParentReference,
    /// The condition's type, such as `Accepted`.
    pub condition: String,
    /// What it says.
    #[serde(flatten)]
    pub verdict: Sides<Verdict>,
}

/// What a condition says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the Gateway API names and explains them")]
pub struct Verdict {
    pub status: ConditionStatus,
    pub reason: String,
    pub message: String,
}

/// What differs between two resolutions. The names of a route's rules are taken to be unique, as admission demands.
pub fn diff(old: &Resolution, new: &Resolution) -> Difference {
    let mut rules: BTreeMap<Key<'_>, Sides<&EffectiveRule>> = BTreeMap::new();
    for rule in &old.effective {
        side(&mut rules, key(rule)).old = Some(rule);
    }
    for rule in &new.effective {
        side(&mut rules, key(rule)).new = Some(rule);
    }
    let (mut routes, mut named, mut listeners) = (Count::new(), Count::new(), Count::new());
    // Listeners without routes count among the others.
    for plan in [&old.plan, &new.plan] {
        let names = plan.listeners.iter().map(|it| &it.name);
        for name in names.chain(plan.l4.iter().map(|it| &it.name)) {
            listeners.entry(name).or_default();
        }
    }
    let mut changes: Vec<Change> = Vec::new();
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    for (key, rule) in rules {
        let Key {
            kind,
            route,
            name,
            index,
            listener,
        } = key;
        let change = change(rule);
        *routes.entry((kind, route)).or_default() |= change.is_some();
        *named.entry((kind, route, name, index)).or_default() |= change.is_some();
        *listeners.entry(listener).or_default() |= change.is_some();
        if let Some(change) = change {
            let is_http = kind.is_http();
            let said = format!(
                "{:?}",
                (change.what, &change.invalid, is_http, &change.fields)
            );
            let at = *known.entry(said).or_insert(changes.len());
            match changes.get_mut(at) {
                Some(same) => same.rules.extend(change.rules),
                None => changes.push(change),
            }
        }
    }
    let of_clients = listeners::changes(old, new);
    for name in of_clients.iter().flat_map(|it| &it.listeners) {
        listeners.insert(name, true);
    }
    let (policies, of) = policies(old, new);
    Difference {
        blast_radius: BlastRadius {
            routes: touched(&routes),
            rules: touched(&named),
            listeners: touched(&listeners),
            policies: Touched {
                touched: policies.len(),
                of,
            },
        },
        changes,
        listeners: of_clients,
        policies,
    }
}

impl Difference {
    /// True where nothing differs.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.listeners.is_empty() && self.policies.is_empty()
    }
}

/// What makes a rule on a listener the same one on both sides.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a> {
    kind: RouteKind,
    route: &'a NamespacedName,
    name: Option<&'a str>,
    /// 0 where the rule has a name.
    index: usize,
    listener: &'a ListenerName,
}

fn key(EffectiveRule { rule, listener, .. }: &EffectiveRule) -> Key<'_> {
    let name = rule.rule.as_deref();
    Key {
        kind: rule.kind,
        route: &rule.route,
        name,
        index: if name.is_some() { 0 } else { rule.index },
        listener,
    }
}

/// For each thing, whether it is touched.
pub(crate) type Count<K> = BTreeMap<K, bool>;

pub(crate) fn touched<K>(count: &Count<K>) -> Touched {
    Touched {
        touched: count.values().filter(|touched| **touched).count(),
        of: count.len(),
    }
}

fn side<K: Ord, T>(all: &mut BTreeMap<K, Sides<T>>, key: K) -> &mut Sides<T> {
    all.entry(key).or_insert(Sides {
        old: None,
        new: None,
    })
}

fn presence<T>(sides: &Sides<T>) -> Presence {
    match (&sides.old, &sides.new) {
        (None, _) => Presence::Added,
        (Some(_), None) => Presence::Removed,
        (Some(_), Some(_)) => Presence::Changed,
    }
}

/// What becomes of one rule on a listener, if anything.
fn change(rule: Sides<&EffectiveRule>) -> Option<Change> {
    let what = presence(&rule);
    let Sides { old, new } = rule;
    let invalid = Sides {
        old: old.and_then(|it| it.refusal().map(str::to_owned)),
        new: new.and_then(|it| it.refusal().map(str::to_owned)),
    };
    let invalid = (invalid.old != invalid.new).then_some(invalid);
    let fields = fields(old, new);
    if what == Presence::Changed && invalid.is_none() && fields.is_empty() {
        return None;
    }
    let EffectiveRule { rule, listener, .. } = new.or(old)?;
    Some(Change {
        what,
        rules: vec![Place {
            rule: rule.clone(),
            listener: listener.clone(),
        }],
        invalid,
        fields,
    })
}

fn fields(old: Option<&EffectiveRule>, new: Option<&EffectiveRule>) -> Vec<FieldChange> {
    let written = |rule: Option<&EffectiveRule>| rule.map(|it| in_force::at(it).written());
    field_changes(written(old), written(new))
}

/// The fields that are not the same on both sides.
fn field_changes(old: Option<Vec<Applying>>, new: Option<Vec<Applying>>) -> Vec<FieldChange> {
    let mut all: BTreeMap<FieldPath, Sides<Written>> = BTreeMap::new();
    for Applying { field, value, from } in old.into_iter().flatten() {
        side(&mut all, field).old = Some(Written { value, from });
    }
    for Applying { field, value, from } in new.into_iter().flatten() {
        side(&mut all, field).new = Some(Written { value, from });
    }
    all.into_iter()
        .filter(|(_, it)| it.old != it.new)
        .map(|(field, written)| FieldChange { field, written })
        .collect()
}

/// The policies whose status changes, and how many have one on either side.
fn policies(old: &Resolution, new: &Resolution) -> (Vec<PolicyChange>, usize) {
    let mut all: BTreeMap<(&str, &NamespacedName), Sides<&[PolicyAncestorStatus]>> =
        BTreeMap::new();
    for (key, status) in statuses(old) {
        side(&mut all, key).old = Some(status);
    }
    for (key, status) in statuses(new) {
        side(&mut all, key).new = Some(status);
    }
    let of = all.len();
    let changed = all.into_iter().filter_map(|((kind, name), status)| {
        let conditions = conditions(&status);
        (!conditions.is_empty()).then(|| PolicyChange {
            policy: PolicyRef {
                kind: kind.into(),
                name: name.clone(),
            },
            what: presence(&status),
            conditions,
        })
    });
    (changed.collect(), of)
}

/// The statuses of policies by kind and name.
fn statuses(
    of: &Resolution,
) -> impl Iterator<Item = ((&'static str, &NamespacedName), &[PolicyAncestorStatus])> {
    let Statuses {
        policies,
        client_policies,
        ..
    } = &of.statuses;
    [(KIND, policies), (clients::KIND, client_policies)]
        .into_iter()
        .flat_map(|(kind, all)| {
            all.iter()
                .map(move |(name, status)| ((kind, name), status.as_slice()))
        })
}

fn conditions(Sides { old, new }: &Sides<&[PolicyAncestorStatus]>) -> Vec<ConditionChange> {
    let mut all: BTreeMap<(&ParentReference, &str), Sides<Verdict>> = BTreeMap::new();
    for (key, verdict) in old.iter().copied().flatten().flat_map(verdicts) {
        side(&mut all, key).old = Some(verdict);
    }
    for (key, verdict) in new.iter().copied().flatten().flat_map(verdicts) {
        side(&mut all, key).new = Some(verdict);
    }
    all.into_iter()
        .filter(|(_, it)| it.old != it.new)
        .map(|((ancestor, condition), verdict)| ConditionChange {
            ancestor: ancestor.clone(),
            condition: condition.to_owned(),
            verdict,
        })
        .collect()
}

fn verdicts(
    status: &PolicyAncestorStatus,
) -> impl Iterator<Item = ((&ParentReference, &str), Verdict)> {
    status.conditions.iter().map(|it| {
        let Condition {
            r#type,
            status: truth,
            reason,
            message,
            observed_generation: _,
        } = it;
        let verdict = Verdict {
            status: *truth,
            reason: reason.clone(),
            message: message.clone(),
        };
        ((&status.ancestor_ref, r#type.as_str()), verdict)
    })
}
