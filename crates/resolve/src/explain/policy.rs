//! What a policy affects: what became of its targets, what it does to each rule under them, and how far it reaches.

pub(super) mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use weir_plan::features::rate_limit::{
    DefaultBucket, LimitValueMatch, NamedMatch, RateLimit, RateLimitRule, RateLimitRuleName,
};
use weir_plan::{NamespacedName, PolicyRef, Rate};

use super::in_force::{self, Displacement, Source};
use crate::Resolution;
use crate::attach::{AttachedPolicy, Outcome, PolicyIndex, object_ref};
use crate::diagnostics::{FieldPath, ObjectRef};
use crate::diff::{self, Place, Touched};
use crate::effective::{EffectivePolicy, EffectiveRule};
use crate::merge::{self, Side};
use crate::status::PolicyAncestorStatus;
use crate::targeting::AttachmentPoint;
use crate::topology::Topology;

/// What a policy affects. Its text form is a tree.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyExplanation {
    /// The policy.
    pub policy: PolicyRef,
    /// What became of its targets.
    pub targets: Vec<TargetExplanation>,
    /// How much it contributes to.
    pub blast_radius: BlastRadius,
    /// What it does to the rules under its targets; those with which it does the same stand together.
    pub effects: Vec<Effect>,
    /// The limits among its settings, where they are in force, and how many buckets each has.
    pub limits: Vec<LimitExplanation>,
    /// What it is told.
    pub status: Vec<PolicyAncestorStatus>,
}

/// What became of one target, or of one entry that finds none.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetExplanation {
    /// Where the policy names it: an entry of `targetRefs`, or of `targetSelectors` that selects it.
    pub field: FieldPath,
    /// The target, such as `HTTPRoute shop/web, rule pay`; none: nothing is found.
    pub target: Option<String>,
    /// Whether the policy has its place there.
    pub attached: bool,
    /// Why it has not.
    pub reason: Option<String>,
}

/// What a policy contributes settings to, of all that is under its targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the type says it")]
pub struct BlastRadius {
    pub routes: Touched,
    pub rules: Touched,
    pub listeners: Touched,
}

/// What a policy does to some rules.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Effect {
    /// What it does.
    #[serde(flatten)]
    pub role: Role,
    /// Whether anything of it counts there. A policy that sets nothing does: it hides others.
    pub counts: bool,
    /// What it sets in vain there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub displaced: Vec<DisplacedFields>,
    /// Why the rules answer 500, or close connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invalid: Option<String>,
    /// The rules, on their listeners. Never empty.
    pub rules: Vec<Place>,
}

/// Settings that do not count at a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct DisplacedFields {
    /// Why.
    pub reason: Displacement,
    /// Which, lists as a whole.
    pub fields: BTreeSet<FieldPath>,
}

/// What a policy does to a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "role", rename_all = "camelCase")]
pub enum Role {
    /// It is the only one.
    Whole,
    /// It is merged into another policy, and comes before that.
    MergedInto {
        /// The other.
        policy: PolicyRef,
    },
    /// Another policy is merged into it.
    Beneath {
        /// The other.
        policy: PolicyRef,
        /// Its settings that are in force, lists as a whole.
        sets: Vec<FieldPath>,
        /// Its settings that the other replaces or takes away.
        loses: Vec<FieldPath>,
    },
    /// It is not in force.
    Lost {
        /// Why.
        reason: String,
    },
}

/// One rate limit, where it is in force.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitExplanation {
    /// Where it is written.
    pub field: FieldPath,
    /// What it allows.
    pub limit: Rate,
    /// How many buckets (or counts) it has: one for each entry of a route table, or one where it is shared.
    pub buckets: usize,
    /// Whether each of these is one for each value that clients send.
    pub per_value: bool,
}

/// What a policy affects; none where there is no such policy.
pub fn policy(resolution: &Resolution, name: &NamespacedName) -> Option<PolicyExplanation> {
    let PolicyIndex {
        policies,
        claims: _,
        protections: _,
    } = &resolution.policies.index;
    let attached = policies.iter().find(|it| it.name.name == *name)?;
    let (effects, blast_radius) = effects(resolution, attached);
    Some(PolicyExplanation {
        policy: attached.name.clone(),
        targets: targets(resolution, policies, attached),
        blast_radius,
        effects,
        limits: limits(resolution, &attached.name),
        status: resolution
            .statuses
            .policies
            .get(name)
            .cloned()
            .unwrap_or_default(),
    })
}

/// The names of all policies for which `wanted` holds.
pub fn named(
    resolution: &Resolution,
    wanted: impl Fn(&NamespacedName) -> bool,
) -> Vec<&NamespacedName> {
    let policies = resolution.policies.index.policies.iter();
    let mut names: Vec<&NamespacedName> = policies
        .map(|it| &it.name.name)
        .filter(|name| wanted(name))
        .collect();
    names.sort();
    names
}

fn targets(
    resolution: &Resolution,
    policies: &[AttachedPolicy],
    policy: &AttachedPolicy,
) -> Vec<TargetExplanation> {
    let id = policies.iter().position(|it| it.name == policy.name);
    let found = policy.reached().map(|(target, outcome)| {
        let reason = match outcome {
            Outcome::Attached => None,
            Outcome::Conflicted(winner) => {
                Some(super::lost_to(policies, winner, id.unwrap_or(winner)))
            }
            Outcome::SectionMissing => Some(super::section_missing(&target.point)),
            Outcome::NotGranted => Some(NOT_GRANTED.to_owned()),
        };
        TargetExplanation {
            field: target.field.clone(),
            target: Some(described(&target.point, &resolution.policies.topology)),
            attached: outcome == Outcome::Attached,
            reason,
        }
    });
    found
        .chain(missing_targets(resolution, object_ref(&policy.name.name)))
        .collect()
}

/// Why a policy does not reach a target in another namespace.
pub(crate) const NOT_GRANTED: &str = "no ReferenceGrant in the namespace of its target allows it";

/// The targets of a policy that lead nowhere. They are known from the findings, which are sorted by object.
pub(super) fn missing_targets(
    resolution: &Resolution,
    object: ObjectRef,
) -> impl Iterator<Item = TargetExplanation> {
    let all = &resolution.diagnostics;
    let from = all.partition_point(|it| it.object < object);
    all[from..]
        .iter()
        .take_while(move |it| it.object == object)
        .filter(|it| {
            matches!(
                it.id,
                "target-not-found" | "selector-matches-nothing" | "invalid-target"
            )
        })
        .map(|it| TargetExplanation {
            field: it.field.clone(),
            target: None,
            attached: false,
            reason: Some(it.message.clone()),
        })
}

/// A place in words.
pub(crate) fn described(point: &AttachmentPoint, topology: &Topology) -> String {
    let Topology { gateways, routes } = topology;
    match point {
        AttachmentPoint::RouteRule { route, rule } => {
            let node = &routes[*route];
            format!("{} {}, rule {rule}", node.kind, node.name)
        }
        AttachmentPoint::Route(route) => {
            let node = &routes[*route];
            format!("{} {}", node.kind, node.name)
        }
        AttachmentPoint::ListenerSetListener { set, listener } => {
            format!("ListenerSet {set}, listener {listener}")
        }
        AttachmentPoint::ListenerSet(set) => format!("ListenerSet {set}"),
        AttachmentPoint::Listener { gateway, listener } => {
            format!("Gateway {}, listener {listener}", gateways[*gateway].name)
        }
        AttachmentPoint::Gateway(gateway) => format!("Gateway {}", gateways[*gateway].name),
    }
}

fn effects(resolution: &Resolution, policy: &AttachedPolicy) -> (Vec<Effect>, BlastRadius) {
    let settings = policy.policy.settings();
    let alone = merge::alone(Side {
        policy: &policy.name,
        settings: &settings,
    });
    let is_set = |it: &&FieldPath| it.in_value(&settings).is_some_and(|it| !it.is_null());
    let set = alone.from.keys().filter(is_set);
    // The type of rate limits chooses among a policy's own; merging leaves it out.
    let mut written: BTreeSet<FieldPath> = set.map(FieldPath::whole_list).collect();
    written.remove(&FieldPath::new("rateLimit.type"));
    let mut grouped: BTreeMap<(Part, Option<&str>), Vec<&EffectiveRule>> = BTreeMap::new();
    // Rules to which the same applies share it, so each part is found out once.
    let mut known: BTreeMap<_, Option<Part>> = BTreeMap::new();
    for rule in &resolution.effective {
        let own = rule.own.as_ref().map(Arc::as_ptr);
        let part = known
            .entry((Arc::as_ptr(&rule.policy), own, rule.rule.kind))
            .or_insert_with(|| part(rule, &policy.name, &written));
        if let Some(part) = part {
            let key = (part.clone(), rule.refusal());
            grouped.entry(key).or_default().push(rule);
        }
    }
    let (mut routes, mut rules, mut listeners) =
        (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let mut effects = Vec::with_capacity(grouped.len());
    for ((part, invalid), mut places) in grouped {
        let Part {
            role,
            counts,
            displaced,
        } = part;
        places.sort_by_key(|it| (&it.listener, &it.rule));
        for it in &places {
            *routes.entry((it.rule.kind, &it.rule.route)).or_default() |= counts;
            *rules.entry(&it.rule).or_default() |= counts;
            *listeners.entry(&it.listener).or_default() |= counts;
        }
        effects.push(Effect {
            role,
            counts,
            displaced,
            invalid: invalid.map(str::to_owned),
            rules: places
                .into_iter()
                .map(|it| Place {
                    rule: it.rule.clone(),
                    listener: it.listener.clone(),
                })
                .collect(),
        });
    }
    let blast_radius = BlastRadius {
        routes: diff::touched(&routes),
        rules: diff::touched(&rules),
        listeners: diff::touched(&listeners),
    };
    (effects, blast_radius)
}

/// What a policy does to a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Part {
    role: Role,
    counts: bool,
    displaced: Vec<DisplacedFields>,
}

fn part(rule: &EffectiveRule, policy: &PolicyRef, written: &BTreeSet<FieldPath>) -> Option<Part> {
    // Most rules have nothing to do with it.
    let EffectivePolicy { policies, lost, .. } = &*rule.policy;
    if !policies.contains(policy) && lost.iter().all(|it| it.policy != *policy) {
        return None;
    }
    let in_force = in_force::at(rule);
    let sets: BTreeSet<FieldPath> = in_force
        .from
        .iter()
        .filter(|(_, owner)| matches!(owner, Source::Policy(it) if it == policy))
        .map(|(field, _)| field.whole_list())
        .collect();
    let mut displaced: BTreeMap<Displacement, BTreeSet<FieldPath>> = BTreeMap::new();
    for it in in_force.displaced.iter().filter(|it| it.from == *policy) {
        let fields = displaced.entry(it.reason).or_default();
        fields.insert(it.field.whole_list());
    }
    let displaced_fields: BTreeSet<&FieldPath> = displaced.values().flatten().collect();
    let is_parent = matches!(in_force.policies.as_slice(), [_, parent] if parent == policy);
    let counts = !sets.is_empty() || (written.is_empty() && !is_parent);
    let role = match in_force.policies.as_slice() {
        [only] if only == policy => Role::Whole,
        [child, parent] if child == policy => Role::MergedInto {
            policy: parent.clone(),
        },
        [child, parent] if parent == policy => Role::Beneath {
            policy: child.clone(),
            loses: written
                .difference(&sets)
                .filter(|it| !displaced_fields.contains(it))
                .cloned()
                .collect(),
            sets: sets.into_iter().collect(),
        },
        _ => {
            let lost = in_force.lost.into_iter().find(|it| it.policy == *policy);
            return lost.map(|it| Part {
                role: Role::Lost { reason: it.reason },
                counts: false,
                displaced: Vec::new(),
            });
        }
    };
    let displaced = displaced.into_iter();
    Some(Part {
        role,
        counts,
        displaced: displaced
            .map(|(reason, fields)| DisplacedFields { reason, fields })
            .collect(),
    })
}

fn limits(resolution: &Resolution, policy: &PolicyRef) -> Vec<LimitExplanation> {
    let mut all: BTreeMap<(&str, usize), LimitExplanation> = BTreeMap::new();
    let mut count = |half: &'static str, name: &RateLimitRuleName, limit, shared, per_value| {
        if name.policy == policy.name {
            let field = FieldPath::new(format!("spec.rateLimit.{half}.rules")).index(name.index);
            let it = all.entry((half, name.index)).or_insert(LimitExplanation {
                field,
                limit,
                buckets: 0,
                per_value,
            });
            it.buckets = if shared { 1 } else { it.buckets + 1 };
        }
    };
    let entries = resolution.plan.listeners.iter().flat_map(|it| &it.hosts);
    for entry in entries.flat_map(|host| &host.routes) {
        if !entry.rule.origin.policies.contains(policy) {
            continue;
        }
        let RateLimit { local, global } = &entry.rule.policy.rate_limit;
        if let Some(local) = local {
            if let Some(DefaultBucket { name, limit, .. }) = &local.default {
                count("local", name, *limit, false, false);
            }
            for rule in &local.rules {
                count("local", &rule.name, rule.limit, false, is_per_value(rule));
            }
        }
        for rule in global.iter().flat_map(|it| &it.rules) {
            let per_value = is_per_value(rule);
            count("global", &rule.name, rule.limit, rule.shared, per_value);
        }
    }
    all.into_values().collect()
}

fn is_per_value(rule: &RateLimitRule) -> bool {
    fn distinct<N>(matches: &[NamedMatch<N>]) -> bool {
        let mut values = matches.iter().map(|it| &it.value);
        values.any(|it| *it == LimitValueMatch::Distinct)
    }
    let of = &rule.matches;
    distinct(&of.headers)
        || distinct(&of.query_params)
        || of.source_cidr.as_ref().is_some_and(|it| it.distinct)
}
