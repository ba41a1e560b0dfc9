//! Policies that have a place and no effect, and places that were decided by name alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_plan::PolicyRef;

use super::listed;
use crate::Resolution;
use crate::attach::{AttachedPolicy, Outcome, PolicyId, PolicyIndex, object_ref};
use crate::diagnostics::{Diagnostics, FieldPath};
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
    let mut in_force: BTreeSet<&PolicyRef> = BTreeSet::new();
    let mut hidden_by: BTreeMap<&PolicyRef, BTreeSet<&PolicyRef>> = BTreeMap::new();
    for rule in &resolution.effective {
        if seen.insert(Arc::as_ptr(&rule.policy)) {
            in_force.extend(&rule.policy.policies);
            for lost in &rule.policy.lost {
                let hidden = hidden_by.entry(&lost.policy).or_default();
                hidden.extend(rule.policy.policies.first());
            }
        }
    }
    for policy in policies
        .iter()
        .filter(|policy| !in_force.contains(&policy.name))
    {
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
        let message = match hidden_by.get(&policy.name) {
            Some(winners) => format!(
                "the policy has no effect: every rule under it has a more specific policy ({}); remove it, or write a \
                 mergeType there",
                listed(winners.iter().copied())
            ),
            None if places.peek().is_none() => {
                "the policy has no effect: it names no target; write targetRefs".to_owned()
            }
            None if places.all(|it| carried_nowhere(&it.point, &resolution.policies.topology)) => {
                "the policy has no effect: no listener carries its routes".to_owned()
            }
            // A Gateway without routes, which may get some.
            None => continue,
        };
        let object = object_ref(&policy.name.name);
        found.warning(&object, field, "policy-without-effect", message);
    }
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
