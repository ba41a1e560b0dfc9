//! Policies that have a place and no effect, and places that were decided by name alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use weir_plan::PolicyRef;

use super::listed;
use crate::Resolution;
use crate::attach::{AttachedPolicy, Outcome, PolicyId, PolicyIndex, object_ref};
use crate::diagnostics::{Diagnostics, FieldPath};
use crate::effective::{EffectivePolicy, EffectiveRule};
use crate::explain::{Displacement, in_force};
use crate::targeting::AttachmentPoint;
use crate::topology::Topology;

pub(super) fn check(resolution: &Resolution, found: &mut Diagnostics) {
    let PolicyIndex {
        policies,
        claims: _,
        protections: _,
    } = &resolution.policies.index;
    without_effect(resolution, policies, found);
    ties(policies, found);
}

fn without_effect(resolution: &Resolution, policies: &[AttachedPolicy], found: &mut Diagnostics) {
    let mut seen = BTreeSet::new();
    let mut in_force: BTreeMap<&PolicyRef, Uses<'_>> = BTreeMap::new();
    let mut hidden_by: BTreeMap<&PolicyRef, BTreeSet<&PolicyRef>> = BTreeMap::new();
    for rule in &resolution.effective {
        let own = rule.own.as_ref().map(Arc::as_ptr);
        if !seen.insert((Arc::as_ptr(&rule.policy), own, rule.rule.kind)) {
            continue;
        }
        for policy in &rule.policy.policies {
            let uses = in_force.entry(policy).or_default();
            match in_vain(rule, policy) {
                Some(reason) => drop(uses.in_vain.insert(reason)),
                None => uses.effect = true,
            }
        }
        for lost in &rule.policy.lost {
            let hidden = hidden_by.entry(&lost.policy).or_default();
            hidden.extend(rule.policy.policies.first());
        }
    }
    for policy in policies {
        let mut places = policy
            .reached()
            .filter(|(_, outcome)| *outcome == Outcome::Attached)
            .map(|(target, _)| target)
            .peekable();
        let field = match places.peek() {
            Some(target) => target.field.clone(),
            None if names_nothing(policy) => FieldPath::new("spec"),
            // Its targets are not there, or taken; findings about each of them say so.
            None => continue,
        };
        let why = match (in_force.get(&policy.name), hidden_by.get(&policy.name)) {
            (Some(uses), _) if uses.effect => continue,
            (Some(_), _) if sets_nothing(policy) => SETS_NOTHING.to_owned(),
            (Some(Uses { in_vain, .. }), _) => match why(in_vain) {
                Some(why) => why,
                None => continue,
            },
            (None, Some(winners)) => format!(
                "every rule under it has a more specific policy ({}); remove it, or write a mergeType there",
                listed(winners.iter().copied())
            ),
            (None, None) if places.peek().is_none() => {
                "it names no target; write targetRefs".to_owned()
            }
            (None, None)
                if places.all(|it| carried_nowhere(&it.point, &resolution.policies.topology)) =>
            {
                "no listener carries its routes".to_owned()
            }
            // A Gateway without routes, which may get some.
            (None, None) => continue,
        };
        let object = object_ref(&policy.name.name);
        let message = format!("the policy has no effect: {why}");
        found.warning(&object, field, "policy-without-effect", message);
    }
}

const SETS_NOTHING: &str =
    "it sets nothing, and hides no other policy; write settings, or remove it";

fn sets_nothing(policy: &AttachedPolicy) -> bool {
    let settings = policy.policy.settings();
    is_nothing(&settings)
}

/// Whether no field below a value has another one than null.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.values().all(is_nothing),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => false,
    }
}

/// What a policy does where it is in force.
#[derive(Default)]
struct Uses<'a> {
    /// Whether anything counts somewhere.
    effect: bool,
    /// Why nothing does elsewhere.
    in_vain: BTreeSet<InVain<'a>>,
}

/// Why nothing of a policy in force counts at a rule.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum InVain<'a> {
    /// It sets nothing, and hides nothing.
    Empty,
    /// This policy, merged into it, replaces all of it.
    Replaced(&'a PolicyRef),
    /// The rule has timeouts and retries of its own.
    Own,
    /// It is all for other kinds of routes, which is a finding of its own.
    Kind,
}

/// None where something counts, or where another finding says more.
fn in_vain<'a>(rule: &'a EffectiveRule, policy: &PolicyRef) -> Option<InVain<'a>> {
    let EffectivePolicy {
        policies,
        settings,
        merge_type: _,
        from,
        lost,
        invalid,
        refused: _,
    } = &*rule.policy;
    // Without it, the policies that lost to it would count.
    if !lost.is_empty() || invalid.is_some() {
        return None;
    }
    let child = policies.first().filter(|child| *child != policy);
    let merges = child.is_none() && policies.len() > 1;
    let (mut sets, mut by_rule) = (false, false);
    let its = from.iter().filter(|(_, owner)| *owner == policy);
    let is_set = |field: &FieldPath| field.in_value(settings).is_some_and(|it| !it.is_null());
    for (field, _) in its.filter(|(field, _)| is_set(field)) {
        sets = true;
        match in_force::displaced(rule, field)? {
            Displacement::OwnTimeouts | Displacement::OwnRetry => by_rule = true,
            Displacement::Kind(_) => {}
        }
    }
    match (sets, child) {
        // What is merged may delete something, and `override-changes-nothing` is about the rest.
        _ if merges => None,
        (true, _) if by_rule => Some(InVain::Own),
        (true, _) => Some(InVain::Kind),
        (false, Some(child)) => Some(InVain::Replaced(child)),
        (false, None) => Some(InVain::Empty),
    }
}

/// What is said of a policy of which nothing counts anywhere.
fn why(in_vain: &BTreeSet<InVain<'_>>) -> Option<String> {
    let replacing = in_vain.iter().filter_map(|it| match it {
        InVain::Replaced(child) => Some(*child),
        InVain::Empty | InVain::Own | InVain::Kind => None,
    });
    let replacing: Vec<&PolicyRef> = replacing.collect();
    let mut reasons = Vec::new();
    if in_vain.contains(&InVain::Empty) {
        return Some(SETS_NOTHING.to_owned());
    }
    if !replacing.is_empty() {
        let list = listed(replacing);
        reasons.push(format!(
            "policies that are merged into it replace all that it sets ({list})"
        ));
    }
    if in_vain.contains(&InVain::Own) {
        let own =
            "the rules under it have timeouts and retries of their own in place of its settings";
        reasons.push(own.to_owned());
    }
    (!reasons.is_empty()).then(|| format!("{}; remove it", reasons.join(", and ")))
}

fn names_nothing(policy: &AttachedPolicy) -> bool {
    let spec = &policy.policy.spec;
    ["targetRef", "targetRefs", "targetSelectors"]
        .iter()
        .all(|key| {
            spec.get(key).is_none_or(|targets| {
                targets.is_null() || targets.as_array().is_some_and(Vec::is_empty)
            })
        })
}

fn carried_nowhere(point: &AttachmentPoint, topology: &Topology) -> bool {
    match point {
        AttachmentPoint::RouteRule { route, rule: _ } | AttachmentPoint::Route(route) => {
            let parents = &topology.routes[*route].parents;
            parents.iter().all(|parent| parent.carried.is_empty())
        }
        AttachmentPoint::ListenerSetListener { .. }
        | AttachmentPoint::ListenerSet(_)
        | AttachmentPoint::Listener { .. }
        | AttachmentPoint::Gateway(_) => false,
    }
}

/// Says it to the winner, who keeps the place only as long as nothing is renamed. The others are told that they lost.
fn ties(policies: &[AttachedPolicy], found: &mut Diagnostics) {
    let mut tied: BTreeMap<PolicyId, (&AttachmentPoint, BTreeSet<&PolicyRef>)> = BTreeMap::new();
    for (id, policy) in policies.iter().enumerate() {
        for (target, outcome) in policy.reached() {
            if let Outcome::Conflicted(winner) = outcome
                && winner != id
                && policies[winner].created == policy.created
            {
                let (_, losers) = tied
                    .entry(winner)
                    .or_insert((&target.point, BTreeSet::new()));
                losers.insert(&policy.name);
            }
        }
    }
    for (winner, (point, losers)) in tied {
        let AttachedPolicy { name, targets, .. } = &policies[winner];
        let target = targets.iter().find(|it| it.point == *point);
        let field = target.map_or_else(|| FieldPath::new("spec"), |it| it.field.clone());
        let message = format!(
            "only its name puts the policy before {}, which has the same target and the same age; merge them into one, or \
             give them different targets",
            listed(losers)
        );
        found.warning(&object_ref(&name.name), field, "tie-by-name", message);
    }
}
