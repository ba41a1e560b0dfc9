//! Which policy sits at which place: attachment, and conflicts between policies that want the same place.
//!
//! The oldest policy has a place, then the first by namespace and name. What does not exist claims nothing; a policy
//! that turns out to be invalid keeps its claim.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use weir_plan::{NamespacedName, PolicyRef};

use crate::api::policy::MergeType;
use crate::api::{BackendTrafficPolicy, POLICY_GROUP};
use crate::diagnostics::{Diagnostics, FieldPath, ObjectRef};
use crate::memo::Changes;
use crate::precedence::{Chain, ChainPart};
use crate::protection::{self, Protections};
use crate::resources::Resources;
use crate::targeting::{AttachmentPoint, Finding, Places, PlacesMemo, Reach, Target, Targeting};
use crate::topology::{Topology, created};
use crate::{Context, explain};

/// The kind of the policies.
pub(crate) const KIND: &str = "BackendTrafficPolicy";

/// The policies in their order of precedence, and the places that they have.
#[derive(Clone, Debug, Default)]
pub(crate) struct PolicyIndex {
    /// Oldest first, then by namespace and name.
    pub(crate) policies: Vec<AttachedPolicy>,
    /// Who has each place.
    pub(crate) claims: Claims,
    /// Policies of other kinds that protect what they target.
    pub(crate) protections: Protections,
}

/// A policy by its place in [`PolicyIndex::policies`].
pub(crate) type PolicyId = usize;

/// A policy, and what became of its targets.
#[derive(Clone, Debug)]
pub(crate) struct AttachedPolicy {
    pub(crate) policy: Arc<BackendTrafficPolicy>,
    pub(crate) name: PolicyRef,
    pub(crate) created: Option<Timestamp>,
    pub(crate) merge_type: Option<MergeType>,
    /// In the order of the policy's targets.
    pub(crate) targets: Arc<[Target]>,
    /// What became of each of them.
    pub(crate) outcomes: Vec<Outcome>,
}

impl AttachedPolicy {
    /// The targets that there are, each with what became of it.
    pub(crate) fn reached(&self) -> impl Iterator<Item = (&Target, Outcome)> {
        self.targets.iter().zip(self.outcomes.iter().copied())
    }
}

/// What became of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The policy has the place.
    Attached,
    /// Another policy has it (or this one, which names it twice).
    Conflicted(PolicyId),
    /// The object has no such section.
    SectionMissing,
    /// No ReferenceGrant allows it.
    NotGranted,
}

/// Who has each place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claims {
    pub(crate) list: Vec<Claim>,
    routes: Vec<RouteClaims>,
    gateways: Vec<ChainPart>,
    listeners: BTreeMap<(usize, Arc<str>), usize>,
    sets: BTreeMap<NamespacedName, usize>,
    set_listeners: BTreeMap<(NamespacedName, Arc<str>), usize>,
}

/// Who has one place, and who wanted it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Claim {
    pub(crate) winner: Option<PolicyId>,
    pub(crate) losers: Vec<(PolicyId, Outcome)>,
}

#[derive(Clone, Debug, Default)]
struct RouteClaims {
    whole: ChainPart,
    rules: BTreeMap<Arc<str>, usize>,
}

/// Where the references of policies led last time, by the policies' addresses.
#[derive(Debug, Default)]
pub(crate) struct AttachMemo {
    call: u64,
    places: PlacesMemo,
    named: BTreeMap<usize, Named>,
}

/// Where the references of one policy lead. It is kept alive, so that no other can get its address.
#[derive(Debug)]
struct Named {
    targets: Arc<[Target]>,
    findings: Vec<Finding>,
    used: u64,
    _policy: Arc<BackendTrafficPolicy>,
}

impl AttachMemo {
    fn resolve(
        &mut self,
        places: &Places<'_>,
        policy: &Arc<BackendTrafficPolicy>,
        namespace: &str,
    ) -> &Named {
        let fresh = || {
            let targeting = Targeting {
                kind: KIND,
                namespace,
                spec: &policy.spec,
            };
            let (targets, findings) = places.resolve(targeting);
            Named {
                targets: targets.into(),
                findings,
                used: 0,
                _policy: Arc::clone(policy),
            }
        };
        let entry = self.named.entry(Arc::as_ptr(policy).addr());
        let named = entry.or_insert_with(fresh);
        named.used = self.call;
        named
    }
}

/// Finds the place of every policy.
pub(crate) fn index(
    resources: &Resources,
    topology: &Topology,
    context: &Context,
    changes: &Changes,
    memo: &mut AttachMemo,
    found: &mut Diagnostics,
) -> PolicyIndex {
    memo.call += 1;
    let moved = !memo.places.is_same(resources, topology);
    // Selectors look at namespaces, whose changes count among those of Gateways, and at grants.
    if moved || changes.gateways || changes.grants {
        memo.named.clear();
    }
    let places = Places::new(resources, topology, &memo.places);
    let mut ordered: Vec<(&NamespacedName, &Arc<BackendTrafficPolicy>)> =
        resources.policies.iter().collect();
    // The map is in the order of names already, and the sort is stable.
    ordered.sort_by_key(|(_, policy)| created(&policy.metadata));
    let mut claims = Claims::new(topology);
    let mut policies: Vec<AttachedPolicy> = Vec::with_capacity(ordered.len());
    let kind: Arc<str> = KIND.into();
    for (id, (name, policy)) in ordered.into_iter().enumerate() {
        let Named {
            targets, findings, ..
        } = memo.resolve(&places, policy, &name.namespace);
        for (field, finding, text) in findings {
            found.warning(&object_ref(name), field.clone(), finding, text);
        }
        let has = |field: &str| policy.spec.get(field).is_some_and(|it| !it.is_null());
        if has("targetRef") && has("targetRefs") {
            // Admitted only beside selectors.
            let text = "targetRefs does nothing beside targetRef; write all targets into the list";
            let field = FieldPath::new("spec.targetRefs");
            found.warning(&object_ref(name), field, "setting-ignored", text);
        }
        let merge_type = policy.merge_type();
        if let Some(MergeType::Unsupported(word)) = &merge_type {
            // However long it is.
            let word: String = word.chars().take(40).collect();
            let text = format!(
                "{word:?} is no way to merge: where there is a policy to merge into, this one is invalid, elsewhere it says \
                 nothing; use StrategicMerge or JSONMerge"
            );
            let field = FieldPath::new("spec.mergeType");
            found.warning(&object_ref(name), field, "setting-ignored", text);
        }
        let name = PolicyRef {
            kind: Arc::clone(&kind),
            name: name.clone(),
        };
        policies.push(AttachedPolicy {
            policy: Arc::clone(policy),
            created: created(&policy.metadata),
            merge_type,
            name,
            targets: Arc::clone(targets),
            outcomes: Vec::new(),
        });
        let outcomes: Vec<Outcome> = targets
            .iter()
            .map(|target| claims.claim(id, target))
            .collect();
        report(&policies, id, targets, &outcomes, found);
        policies[id].outcomes = outcomes;
    }
    let protections = protection::index(resources, &places, topology, context, found);
    let call = memo.call;
    memo.named.retain(|_, it| it.used == call);
    PolicyIndex {
        policies,
        claims,
        protections,
    }
}

/// How findings and statuses name a policy.
pub(crate) fn object_ref(name: &NamespacedName) -> ObjectRef {
    ObjectRef {
        group: POLICY_GROUP.to_owned(),
        kind: KIND.to_owned(),
        name: name.clone(),
    }
}

/// Says of each target that it has no place, and of a selector once how many of what it selects are taken.
fn report(
    policies: &[AttachedPolicy],
    id: PolicyId,
    targets: &[Target],
    outcomes: &[Outcome],
    found: &mut Diagnostics,
) {
    let object = object_ref(&policies[id].name.name);
    let mut taken: BTreeMap<&FieldPath, (PolicyId, usize)> = BTreeMap::new();
    for (target, outcome) in targets.iter().zip(outcomes) {
        match outcome {
            Outcome::Attached | Outcome::NotGranted => {}
            Outcome::Conflicted(winner) => {
                let (_, count) = taken.entry(&target.field).or_insert((*winner, 0));
                *count += 1;
            }
            Outcome::SectionMissing => found.error(
                &object,
                target.field.clone(),
                "section-not-found",
                explain::section_missing(&target.point),
            ),
        }
    }
    for (field, (winner, count)) in taken {
        let reason = explain::lost_to(policies, winner, id);
        let text = match count {
            1 => format!("the policy does nothing here: {reason}"),
            _ => format!(
                "the policy does nothing for {count} of the objects selected here; the first of them: {reason}"
            ),
        };
        found.error(&object, field.clone(), "policy-conflict", text);
    }
}

impl Claims {
    pub(crate) fn new(topology: &Topology) -> Self {
        Self {
            routes: vec![RouteClaims::default(); topology.routes.len()],
            gateways: vec![None; topology.gateways.len()],
            list: Vec::new(),
            listeners: BTreeMap::new(),
            sets: BTreeMap::new(),
            set_listeners: BTreeMap::new(),
        }
    }

    /// Lets a policy claim a place; policies come in their order of precedence.
    pub(crate) fn claim(&mut self, policy: PolicyId, target: &Target) -> Outcome {
        let Target {
            point,
            field: _,
            reach,
        } = target;
        let claim = match reach {
            Reach::Found => self.claim_of(point),
            // What has no place of its own is remembered at the object as a whole, for explanations.
            Reach::SectionMissing | Reach::NotGranted => self.claim_of(&whole(point)),
        };
        let claim = &mut self.list[claim];
        let outcome = match (reach, claim.winner) {
            (Reach::SectionMissing, _) => Outcome::SectionMissing,
            (Reach::NotGranted, _) => Outcome::NotGranted,
            (Reach::Found, Some(winner)) => Outcome::Conflicted(winner),
            (Reach::Found, None) => {
                claim.winner = Some(policy);
                return Outcome::Attached;
            }
        };
        claim.losers.push((policy, outcome));
        outcome
    }

    fn claim_of(&mut self, point: &AttachmentPoint) -> usize {
        let fresh = self.list.len();
        let claim = match point {
            AttachmentPoint::RouteRule { route, rule } => *self.routes[*route]
                .rules
                .entry(Arc::clone(rule))
                .or_insert(fresh),
            AttachmentPoint::Route(route) => *self.routes[*route].whole.get_or_insert(fresh),
            AttachmentPoint::ListenerSetListener { set, listener } => *self
                .set_listeners
                .entry((set.clone(), Arc::clone(listener)))
                .or_insert(fresh),
            AttachmentPoint::ListenerSet(set) => *self.sets.entry(set.clone()).or_insert(fresh),
            AttachmentPoint::Listener { gateway, listener } => *self
                .listeners
                .entry((*gateway, Arc::clone(listener)))
                .or_insert(fresh),
            AttachmentPoint::Gateway(gateway) => *self.gateways[*gateway].get_or_insert(fresh),
        };
        if claim == fresh {
            self.list.push(Claim::default());
        }
        claim
    }

    /// The claims on a route rule by itself: of the rule, and of the route.
    pub(crate) fn of_rule(&self, route: usize, rule: Option<&Arc<str>>) -> [ChainPart; 2] {
        let RouteClaims { whole, rules } = &self.routes[route];
        let named = rule
            .filter(|_| !rules.is_empty())
            .and_then(|name| rules.get(name));
        [named.copied(), *whole]
    }

    /// The claims on each listener, in the order of the topology: of the listener, its ListenerSet, its Gateway.
    pub(crate) fn of_listeners(&self, topology: &Topology) -> Vec<[ChainPart; 3]> {
        let gateways = topology.gateways.iter().enumerate();
        let listeners = gateways
            .flat_map(|(index, gateway)| gateway.listeners.iter().map(move |it| (index, it)));
        listeners
            .map(|(gateway, node)| {
                let name = Arc::clone(&node.key.listener);
                let (own, set) = match &node.key.listener_set {
                    None => (self.listeners.get(&(gateway, name)), None),
                    Some(set) => (
                        self.set_listeners.get(&(set.clone(), name)),
                        self.sets.get(set),
                    ),
                };
                [own.copied(), set.copied(), self.gateways[gateway]]
            })
            .collect()
    }

    /// The chain of a rule on a listener.
    pub(crate) fn chain(
        [rule, route]: [ChainPart; 2],
        [listener, set, gateway]: [ChainPart; 3],
    ) -> Chain {
        [rule, route, listener, set, gateway]
    }
}

/// The object of a section.
fn whole(point: &AttachmentPoint) -> AttachmentPoint {
    match point {
        AttachmentPoint::RouteRule { route, rule: _ } | AttachmentPoint::Route(route) => {
            AttachmentPoint::Route(*route)
        }
        AttachmentPoint::ListenerSetListener { set, listener: _ }
        | AttachmentPoint::ListenerSet(set) => AttachmentPoint::ListenerSet(set.clone()),
        AttachmentPoint::Listener {
            gateway,
            listener: _,
        }
        | AttachmentPoint::Gateway(gateway) => AttachmentPoint::Gateway(*gateway),
    }
}
