//! Overrides that change nothing: a policy without which the same would apply, and settings of a merged policy that are
//! those of the policy that it is merged into.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use weir_plan::PolicyRef;

use super::{InForce, listed};
use crate::admission;
use crate::attach::{AttachedPolicy, Outcome, PolicyId, PolicyIndex, object_ref};
use crate::diagnostics::{Diagnostics, FieldPath};
use crate::policies::Policies;
use crate::precedence::{self, Chain, Standing};

const ID: &str = "override-changes-nothing";

pub(super) fn check(policies: &Policies, in_force: &[InForce<'_>], found: &mut Diagnostics) {
    let mut uses: BTreeMap<PolicyId, Uses> = BTreeMap::new();
    for InForce { applied: _, chain } in in_force {
        let standing =
            precedence::standing(&policies.index.claims, &policies.index.policies, chain);
        let Some(policy) = standing.policy else {
            continue;
        };
        let uses = uses.entry(policy).or_default();
        let next =
            without(policies, policy, chain).filter(|next| is_same(policies, &standing, next));
        match next {
            Some(next) => uses
                .same_as
                .extend(next.policy.into_iter().chain(next.parent)),
            None => uses.changes = true,
        }
        match standing.parent {
            Some(parent) => drop(uses.parents.insert(parent)),
            None => uses.alone = true,
        }
    }
    let list = &policies.index.policies;
    for (id, uses) in uses {
        let Uses {
            changes,
            same_as,
            parents,
            alone,
        } = uses;
        let object = object_ref(&list[id].name.name);
        let names = |ids: &BTreeSet<PolicyId>| {
            let names: Vec<&PolicyRef> = ids.iter().map(|id| &list[*id].name).collect();
            listed(names)
        };
        if !changes {
            let message = format!(
                "the policy changes nothing: without it the same settings would come from {}; remove it",
                names(&same_as)
            );
            found.warning(&object, FieldPath::new("spec"), ID, message);
        } else if !alone {
            for setting in settings_in_common(&list[id], parents.iter().map(|id| &list[*id])) {
                let message = format!(
                    "this changes nothing: {} says the same, and the policy is merged into it; leave it out",
                    names(&parents)
                );
                found.warning(&object, setting, ID, message);
            }
        }
    }
}

/// Where a policy is the most specific one, what it does there.
#[derive(Default)]
struct Uses {
    /// Whether something else would apply somewhere without it.
    changes: bool,
    /// Otherwise, which policies the same would come from.
    same_as: BTreeSet<PolicyId>,
    /// The policies that it is merged into.
    parents: BTreeSet<PolicyId>,
    /// Whether it is in force somewhere without being merged.
    alone: bool,
}

/// What would take effect in a chain without a policy; none where nothing would, or where another waits for its place.
fn without(policies: &Policies, policy: PolicyId, chain: &Chain) -> Option<Standing> {
    let PolicyIndex {
        policies: list,
        claims,
        protections: _,
    } = &policies.index;
    let its = |claim: usize| claims.list[claim].winner == Some(policy);
    let waited_for = chain.iter().flatten().any(|&claim| {
        let mut losers = claims.list[claim].losers.iter();
        its(claim) && losers.any(|(_, outcome)| matches!(outcome, Outcome::Conflicted(_)))
    });
    if waited_for {
        return None;
    }
    let rest = chain.map(|part| part.filter(|&claim| !its(claim)));
    Some(precedence::standing(claims, list, &rest)).filter(|it| it.policy.is_some())
}

/// Whether both come to the same settings. Counts of rate limits that routes share, and bodies that are looked up beside
/// a policy, belong to the policy that they are written in, so with these nothing is the same.
fn is_same(policies: &Policies, now: &Standing, next: &Standing) -> bool {
    let lowered = |standing: &Standing| {
        let Standing { policy, parent } = *standing;
        policies.applications.lowered(policy?, parent)
    };
    let (Some(now), Some(next)) = (lowered(now), lowered(next)) else {
        return false;
    };
    let settings = &now.merged.settings;
    let belongs_to_policy = settings.get("responseOverride").is_some()
        || settings
            .pointer("/rateLimit/global/rules")
            .and_then(Value::as_array)
            .is_some_and(|rules| rules.iter().any(|it| it["shared"] == true));
    now.invalid.is_none()
        && next.invalid.is_none()
        && !belongs_to_policy
        && *settings == next.merged.settings
}

/// The settings that a policy could leave out, as all policies that it is merged into say the same.
fn settings_in_common<'a>(
    policy: &AttachedPolicy,
    mut parents: impl Iterator<Item = &'a AttachedPolicy>,
) -> Vec<FieldPath> {
    let spec = &policy.policy.spec;
    let Some(first) = parents.next() else {
        return Vec::new();
    };
    let mut common = Vec::new();
    in_common(spec, &first.policy.spec, &mut Vec::new(), &mut common);
    for parent in parents {
        common.retain(|path| {
            let of = |spec| at(spec, path);
            of(&parent.policy.spec) == of(spec)
        });
    }
    // What the schema asks for beside the policy's own settings has to stay.
    common.retain(|path| admission::policy::check(&less(spec, path)).is_empty());
    let field = |path: Path<'_>| {
        path.iter()
            .fold(FieldPath::new("spec"), |field, key| field.child(key))
    };
    common.into_iter().map(field).collect()
}

/// The keys that lead to a setting.
type Path<'a> = Vec<&'a str>;

/// The largest settings that both have. Rate limits are left out: their rules belong to the policy they are written in.
fn in_common<'a>(
    child: &'a Value,
    parent: &Value,
    path: &mut Path<'a>,
    common: &mut Vec<Path<'a>>,
) {
    const NO_SETTINGS: [&str; 5] = [
        "targetRef",
        "targetRefs",
        "targetSelectors",
        "mergeType",
        "rateLimit",
    ];
    let (Value::Object(child), Value::Object(parent)) = (child, parent) else {
        return;
    };
    for (key, value) in child {
        let Some(inherited) = parent.get(key) else {
            continue;
        };
        if value.is_null() || (path.is_empty() && NO_SETTINGS.contains(&key.as_str())) {
            continue;
        }
        path.push(key);
        if value == inherited {
            common.push(path.clone());
        } else {
            in_common(value, inherited, path, common);
        }
        path.pop();
    }
}

fn at<'a>(spec: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(spec, |value, key| value.get(key))
}

/// A spec without one of its settings.
fn less(spec: &Value, path: &[&str]) -> Value {
    let mut spec = spec.clone();
    if let Some((last, above)) = path.split_last()
        && let Some(fields) = above
            .iter()
            .try_fold(&mut spec, |value, key| value.get_mut(key))
            .and_then(Value::as_object_mut)
    {
        fields.remove(*last);
    }
    spec
}
