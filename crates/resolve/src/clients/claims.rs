//! Where each policy sits: its targets, and who has a place when several want it. Of equals the oldest has it, then the
//! first by namespace and name.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;
use weir_plan::{NamespacedName, PolicyRef};

use super::{KIND, Placed};
use crate::api::{ClientTrafficPolicy, POLICY_GROUP};
use crate::attach::{Claims as Places, Outcome, PolicyId};
use crate::diagnostics::{Diagnostics, FieldPath, ObjectRef};
use crate::effective::Lost;
use crate::explain;
use crate::explain::policy::{NOT_GRANTED, TargetExplanation, described};
use crate::precedence::ChainPart;
use crate::resources::Resources;
use crate::targeting::{self, AttachmentPoint, PlacesMemo, Target, Targeting};
use crate::topology::{Topology, created};

/// The policies in their order of precedence, and the places that they have.
pub(super) struct Claims {
    /// The Gateways. There are no routes in it: nothing here attaches to them.
    pub(super) topology: Topology,
    /// Oldest first, then by namespace and name.
    pub(super) policies: Vec<Claimant>,
    places: Places,
    /// The claims on each listener, in the order of the topology: its own, its ListenerSet's, its Gateway's.
    listeners: Vec<[ChainPart; 3]>,
}

/// A policy, and what became of its targets.
pub(super) struct Claimant {
    pub(super) policy: Arc<ClientTrafficPolicy>,
    pub(super) name: PolicyRef,
    pub(super) settings: Arc<Value>,
    pub(super) targets: Vec<(Target, Outcome)>,
    created: Option<Timestamp>,
}

/// Who has a listener.
pub(super) struct Standing {
    pub(super) policy: Option<PolicyId>,
    /// Whether it has the listener as part of a whole Gateway.
    pub(super) by_gateway: bool,
    /// The policy of the whole Gateway, if another has the listener.
    pub(super) gateways: Option<PolicyId>,
    pub(super) lost: Vec<Lost>,
}

/// Finds the place of every policy.
pub(super) fn index(resources: &Resources, topology: &Topology, found: &mut Diagnostics) -> Claims {
    let topology = Topology {
        gateways: topology.gateways.clone(),
        routes: Vec::new(),
    };
    let mut ordered: Vec<(&NamespacedName, &Arc<ClientTrafficPolicy>)> =
        resources.client_policies.iter().collect();
    // The map is in the order of names already, and the sort is stable.
    ordered.sort_by_key(|(_, policy)| created(&policy.metadata));
    let places = targeting::Places::new(resources, &topology, &PlacesMemo::default());
    let mut claims = Places::new(&topology);
    let kind: Arc<str> = KIND.into();
    let mut policies: Vec<Claimant> = Vec::with_capacity(ordered.len());
    for (id, (name, policy)) in ordered.into_iter().enumerate() {
        let object = object_ref(name);
        let (targets, findings) = places.resolve(Targeting {
            kind: KIND,
            namespace: &name.namespace,
            spec: &policy.spec,
        });
        for (field, finding, text) in findings {
            found.warning(&object, field, finding, text);
        }
        let targets = targets.into_iter().map(|target| {
            let outcome = claims.claim(id, &target);
            (target, outcome)
        });
        policies.push(Claimant {
            name: PolicyRef {
                kind: Arc::clone(&kind),
                name: name.clone(),
            },
            created: created(&policy.metadata),
            settings: Arc::new(policy.settings()),
            targets: targets.collect(),
            policy: Arc::clone(policy),
        });
    }
    let listeners = claims.of_listeners(&topology);
    drop(places);
    let claims = Claims {
        topology,
        policies,
        places: claims,
        listeners,
    };
    claims.report(found);
    claims
}

/// How findings and statuses name a policy.
pub(crate) fn object_ref(name: &NamespacedName) -> ObjectRef {
    ObjectRef {
        group: POLICY_GROUP.to_owned(),
        kind: KIND.to_owned(),
        name: name.clone(),
    }
}

impl Claims {
    /// Who has the listener with this place in the topology, and who wanted it.
    pub(super) fn standing(&self, listener: usize) -> Standing {
        let mut standing = Standing {
            policy: None,
            by_gateway: false,
            gateways: None,
            lost: Vec::new(),
        };
        let mut lost: Vec<(PolicyId, String)> = Vec::new();
        for (part, claim) in self.listeners[listener].iter().enumerate() {
            let Some(claim) = claim.map(|it| &self.places.list[it]) else {
                continue;
            };
            match (claim.winner, standing.policy) {
                (Some(winner), None) => {
                    standing.policy = Some(winner);
                    standing.by_gateway = part == 2;
                }
                (Some(loser), Some(winner)) if loser != winner => {
                    if part == 2 {
                        standing.gateways = Some(loser);
                    }
                    let name = &self.policies[winner].name;
                    lost.push((loser, format!("replaced by a more specific policy: {name}")));
                }
                (Some(_) | None, _) => {}
            }
            for (loser, outcome) in &claim.losers {
                if let Outcome::Conflicted(winner) = outcome {
                    lost.push((*loser, self.lost_to(*winner, *loser)));
                }
            }
        }
        lost.sort();
        standing.lost = lost
            .into_iter()
            .map(|(id, reason)| Lost {
                policy: self.policies[id].name.clone(),
                reason,
            })
            .collect();
        standing
    }

    fn lost_to(&self, winner: PolicyId, loser: PolicyId) -> String {
        let (winning, losing) = (&self.policies[winner], &self.policies[loser]);
        explain::lost_by_age(
            &winning.name,
            winner == loser,
            (winning.created, losing.created),
        )
    }

    /// Says of each target that it has no place.
    fn report(&self, found: &mut Diagnostics) {
        for (id, claimant) in self.policies.iter().enumerate() {
            let object = object_ref(&claimant.name.name);
            for (target, outcome) in &claimant.targets {
                let at = || target.field.clone();
                if let Some(text) = self.refusal(id, target, *outcome) {
                    let finding = match outcome {
                        Outcome::SectionMissing => "section-not-found",
                        Outcome::Attached | Outcome::NotGranted | Outcome::Conflicted(_) => {
                            "policy-conflict"
                        }
                    };
                    found.error(&object, at(), finding, text);
                }
            }
        }
    }

    /// Why a policy has no place at a target; that no ReferenceGrant allows it has been said.
    fn refusal(&self, id: PolicyId, target: &Target, outcome: Outcome) -> Option<String> {
        match outcome {
            Outcome::Attached | Outcome::NotGranted => None,
            Outcome::SectionMissing => Some(explain::section_missing(&target.point)),
            Outcome::Conflicted(winner) => Some(format!(
                "the policy does nothing here: {}",
                self.lost_to(winner, id)
            )),
        }
    }

    /// What became of each policy, for explanations.
    pub(super) fn placed(&self) -> BTreeMap<NamespacedName, Placed> {
        let each = self.policies.iter().enumerate();
        each.map(|(id, it)| {
            let targets = it
                .targets
                .iter()
                .map(|(target, outcome)| TargetExplanation {
                    field: target.field.clone(),
                    target: Some(described(&target.point, &self.topology)),
                    attached: *outcome == Outcome::Attached,
                    reason: match outcome {
                        Outcome::Attached => None,
                        Outcome::Conflicted(winner) => Some(self.lost_to(*winner, id)),
                        Outcome::SectionMissing => Some(explain::section_missing(&target.point)),
                        Outcome::NotGranted => Some(NOT_GRANTED.to_owned()),
                    },
                });
            let placed = Placed {
                settings: Arc::clone(&it.settings),
                targets: targets.collect(),
                ties: self.ties(id),
            };
            (it.name.name.clone(), placed)
        })
        .collect()
    }

    /// The targets that a policy has for its name alone, and who has not for that.
    fn ties(&self, id: PolicyId) -> Vec<(FieldPath, Vec<PolicyRef>)> {
        let Claimant {
            targets, created, ..
        } = &self.policies[id];
        let younger = self.policies.iter().skip(id + 1);
        let tied: Vec<&Claimant> = younger.take_while(|it| it.created == *created).collect();
        let targets = targets.iter().filter_map(|(target, _)| {
            let lost = |it: &&Claimant| {
                let mut all = it.targets.iter();
                all.any(|(other, outcome)| {
                    other.point == target.point && *outcome == Outcome::Conflicted(id)
                })
            };
            let losers = tied.iter().copied().filter(lost);
            let losers: Vec<PolicyRef> = losers.map(|it| it.name.clone()).collect();
            (!losers.is_empty()).then(|| (target.field.clone(), losers))
        });
        targets.collect()
    }

    /// The object of a place, by kind and name, and the listener in it.
    pub(super) fn object<'a>(
        &'a self,
        point: &'a AttachmentPoint,
    ) -> (&'static str, &'a NamespacedName, Option<&'a Arc<str>>) {
        let gateways = &self.topology.gateways;
        match point {
            AttachmentPoint::Gateway(gateway) => ("Gateway", &gateways[*gateway].name, None),
            AttachmentPoint::Listener { gateway, listener } => {
                ("Gateway", &gateways[*gateway].name, Some(listener))
            }
            AttachmentPoint::ListenerSet(set) => ("ListenerSet", set, None),
            AttachmentPoint::ListenerSetListener { set, listener } => {
                ("ListenerSet", set, Some(listener))
            }
            AttachmentPoint::Route(route) | AttachmentPoint::RouteRule { route, rule: _ } => {
                // There are no routes among the places.
                let node = &self.topology.routes[*route];
                (node.kind.as_str(), &node.name, None)
            }
        }
    }
}
