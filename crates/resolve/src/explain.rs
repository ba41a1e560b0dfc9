//! Explanations: what applies to a rule, which policy set each field, and which policies lost and why.
//!
//! Statuses keep the reference's texts; where those claim more than is true, this tells what happens.

pub mod clients;
pub mod in_force;
pub mod policy;
mod text;

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use weir_plan::{
    L4Action, ListenerName, NamespacedName, PolicyRef, Route, RouteAction, RouteKind, RouteName,
    RouteRule, RuleName, SplitTarget,
};

use crate::Resolution;
use crate::attach::{AttachedPolicy, PolicyId};
use crate::effective::{EffectiveRule, Lost};
use crate::precedence::Standing;
use crate::targeting::AttachmentPoint;

pub use in_force::{Applying, Displaced, Displacement, InForce, Source};
pub(crate) use text::refusal;

/// What applies to one rule on one listener. Its text form is a tree.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The rule.
    pub rule: RuleName,
    /// The listener.
    pub listener: ListenerName,
    /// The policies in force, most specific first.
    pub policies: Vec<PolicyRef>,
    /// How the first is merged into the second, where there are two.
    pub merge_type: Option<&'static str>,
    /// Every setting that somebody wrote, and the defaults of those that apply always.
    pub settings: Vec<Applying>,
    /// What policies in force set in vain.
    pub displaced: Vec<Displaced>,
    /// The policies that are not in force here, and why.
    pub lost: Vec<Lost>,
    /// Why the rule answers 500, or closes connections.
    pub invalid: Option<String>,
    /// Whether the access log leaves its requests out, because an annotation of the route says so.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unlogged: bool,
    /// How many entries of the listener's route table (matches times host names) the rule has. Each has a bucket of its
    /// own for every local rate limit, and a count of its own for every global one that is not shared.
    pub route_entries: usize,
}

/// What applies to the rules of a route, on each listener that carries it. `rule` narrows it down to the rule of this
/// name or index.
pub fn route(
    resolution: &Resolution,
    kind: RouteKind,
    name: &NamespacedName,
    rule: Option<&str>,
) -> Vec<Explanation> {
    rules(resolution, |it| {
        let named =
            |rule: &str| it.rule.rule.as_deref() == Some(rule) || it.rule.index.to_string() == rule;
        it.rule.kind == kind && it.rule.route == *name && rule.is_none_or(named)
    })
}

/// What applies to all rules that are wanted, in the order of rules and listeners.
pub fn rules(resolution: &Resolution, wanted: impl Fn(&EffectiveRule) -> bool) -> Vec<Explanation> {
    let mut rules: Vec<&EffectiveRule> = resolution
        .effective
        .iter()
        .map(|it| &**it)
        .filter(|it| wanted(it))
        .collect();
    rules.sort_by_key(|it| (&it.rule, &it.listener));
    let mut entries: BTreeMap<(&RuleName, &ListenerName), Entries> = rules
        .iter()
        .map(|it| ((&it.rule, &it.listener), Entries::default()))
        .collect();
    for listener in &resolution.plan.listeners {
        for route in listener.hosts.iter().flat_map(|host| &host.routes) {
            if let Some(count) = entries.get_mut(&(&route.rule.name, &listener.name)) {
                count.number += 1;
                count.forwarded = is_forwarded(&route.rule);
                count.unlogged = route.rule.unlogged;
            }
        }
    }
    for listener in &resolution.plan.l4 {
        for route in &listener.routes {
            if let Some(count) = entries.get_mut(&(&route.name, &listener.name)) {
                count.forwarded = matches!(route.action, L4Action::Forward { .. });
            }
        }
    }
    let count = |it: &EffectiveRule| {
        entries
            .get(&(&it.rule, &it.listener))
            .copied()
            .unwrap_or_default()
    };
    rules.into_iter().map(|it| explain(it, count(it))).collect()
}

/// What the plan has for a rule on a listener.
#[derive(Clone, Copy, Default)]
struct Entries {
    /// The entries of the listener's route table.
    number: usize,
    /// Whether it is sent to a backend.
    forwarded: bool,
    /// Whether the access log leaves its requests out.
    unlogged: bool,
}

/// What applies to an entry of a listener's route table, which is what a request takes.
pub fn entry(
    resolution: &Resolution,
    listener: &ListenerName,
    entry: &RouteName,
) -> Option<Explanation> {
    let rule = &routes(resolution, listener)
        .find(|it| it.name == *entry)?
        .rule
        .name;
    rules(resolution, |it| {
        it.rule == *rule && it.listener == *listener
    })
    .pop()
}

fn explain(rule: &EffectiveRule, entries: Entries) -> Explanation {
    let Entries {
        number,
        forwarded,
        unlogged,
    } = entries;
    let in_force = in_force::at(rule);
    // What is answered by the gateway has no defaults: what policies wrote is all there is to say.
    let settings = if forwarded {
        in_force.with_defaults(rule.rule.kind)
    } else {
        in_force.written()
    };
    let InForce {
        policies,
        merge_type,
        settings: _,
        from: _,
        displaced,
        lost,
        refusal,
    } = in_force;
    Explanation {
        rule: rule.rule.clone(),
        listener: rule.listener.clone(),
        policies,
        merge_type,
        settings,
        displaced,
        lost,
        invalid: refusal,
        unlogged,
        route_entries: number,
    }
}

/// Whether requests of a rule get to a backend.
fn is_forwarded(rule: &RouteRule) -> bool {
    let RouteAction::Forward(forward) = &rule.action else {
        return false;
    };
    let mut targets = forward.targets.iter();
    targets.any(|it| matches!(it.target, SplitTarget::Cluster(_)))
}

fn routes<'a>(
    resolution: &'a Resolution,
    listener: &'a ListenerName,
) -> impl Iterator<Item = &'a Route> {
    let listeners = resolution
        .plan
        .listeners
        .iter()
        .filter(|it| it.name == *listener);
    listeners
        .flat_map(|it| &it.hosts)
        .flat_map(|host| &host.routes)
        .map(|route| &**route)
}

/// A value on one line: texts without quotes where nothing in them could be mistaken for the end of the line.
pub(crate) fn value_text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) if !text.contains(char::is_control) => text.into(),
        Value::String(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::Array(_)
        | Value::Object(_) => value.to_string().into(),
    }
}

/// Why a policy lost a place to another.
pub(crate) fn lost_to(policies: &[AttachedPolicy], winner: PolicyId, loser: PolicyId) -> String {
    let (winning, losing) = (&policies[winner], &policies[loser]);
    let ages = (winning.created, losing.created);
    lost_by_age(&winning.name, winner == loser, ages)
}

/// Why a policy lost a place to one of this name; `itself`: they are one. With their ages, the winner's first.
pub(crate) fn lost_by_age(
    winner: &PolicyRef,
    itself: bool,
    (winning, losing): (Option<Timestamp>, Option<Timestamp>),
) -> String {
    if itself {
        "it names this target twice".to_owned()
    } else if winning == losing {
        format!("{winner}, of the same age, has the same target and comes first by name")
    } else {
        let since = |created: Option<Timestamp>| {
            created.map_or("an unknown time".to_owned(), |it| it.to_string())
        };
        format!(
            "older policy won: {winner} has the same target since {}, this one since {}",
            since(winning),
            since(losing)
        )
    }
}

/// Why a policy that has its place does not take effect. `of_route`: its place is a route or a rule of one.
pub(crate) fn hidden(
    policies: &[AttachedPolicy],
    Standing { policy, parent }: &Standing,
    of_route: bool,
) -> String {
    let name =
        |id: &Option<PolicyId>| id.map_or_else(String::new, |id| policies[id].name.to_string());
    let merges = policy.is_some_and(|id| policies[id].merge_type.is_some());
    match (merges, parent) {
        (true, Some(_)) if of_route => format!(
            "replaced by {}: a rule's policy is merged into that of a listener or Gateway ({}), never into a route's",
            name(policy),
            name(parent)
        ),
        (true, Some(_)) => format!(
            "a closer policy, {}, is the one that {} is merged into",
            name(parent),
            name(policy)
        ),
        (true, None) => format!(
            "replaced by {}, whose mergeType does not reach the policy of a route",
            name(policy)
        ),
        (false, _) => format!(
            "replaced by a more specific policy without mergeType: {}",
            name(policy)
        ),
    }
}

/// Why a policy has no place in a section.
pub(crate) fn section_missing(point: &AttachmentPoint) -> String {
    let (what, name) = match point {
        AttachmentPoint::RouteRule { route: _, rule } => ("the route has no rule named", rule),
        AttachmentPoint::ListenerSetListener { set: _, listener } => {
            ("the ListenerSet has no listener named", listener)
        }
        AttachmentPoint::Listener {
            gateway: _,
            listener,
        } => ("the Gateway has no listener of its own named", listener),
        AttachmentPoint::Route(_)
        | AttachmentPoint::ListenerSet(_)
        | AttachmentPoint::Gateway(_) => {
            return "the policy does nothing here".to_owned();
        }
    };
    format!("section not found, so the policy does nothing here: {what} {name}")
}
