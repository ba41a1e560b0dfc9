//! Finds out what applies to every rule of every route, and remembers it: what the same policies come to is merged and
//! lowered once, and again only when one of them changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};
use weir_plan::{ClusterPolicy, Origin, PolicyRef, RoutePolicy};

use super::{Applications, Applied, Combination, EffectivePolicy, Lost, RouteSpan};
use crate::api::BackendTrafficPolicy;
use crate::api::policy::MergeType;
use crate::attach::{AttachedPolicy, Claims, Outcome, PolicyId, PolicyIndex, object_ref};
use crate::diagnostics::{Diagnostics, FieldPath};
use crate::features::Fault;
use crate::lower::{self, Lowered};
use crate::merge::{self, Merged, Side};
use crate::precedence::{self, Chain, ChainPart, Standing};
use crate::protection::Protections;
use crate::resources::Resources;
use crate::targeting::AttachmentPoint;
use crate::topology::{ListenerKey, RouteNode, Topology};

/// What earlier calls merged and lowered. Policies are told apart by their address; those remembered are kept alive, so
/// that no other can get it.
#[derive(Debug, Default)]
pub(crate) struct EffectiveMemo {
    lowered: BTreeMap<[usize; 2], Remembered<Lowered>>,
    /// By all policies of a chain, with what those in force came to.
    applied: BTreeMap<Vec<usize>, (Came, Remembered<Applied>)>,
    none: Option<Arc<Applied>>,
}

/// What the policies in force come to, where there are any.
type Came = Option<Arc<Lowered>>;

#[derive(Clone, Debug)]
struct Remembered<T> {
    result: Arc<T>,
    _alive: Vec<Arc<BackendTrafficPolicy>>,
}

/// Finds out what applies to every rule of every route.
pub(crate) fn of_each(
    resources: &Resources,
    topology: &Topology,
    index: &PolicyIndex,
    memo: &mut EffectiveMemo,
    found: &mut Diagnostics,
) -> Applications {
    let none = Arc::clone(memo.none.get_or_insert_with(no_policy));
    let mut work = Work {
        resources,
        index,
        old: std::mem::take(memo),
        new: EffectiveMemo {
            lowered: BTreeMap::new(),
            applied: BTreeMap::new(),
            none: Some(Arc::clone(&none)),
        },
        distinct: vec![none],
        chains: BTreeMap::new(),
        combinations: BTreeMap::new(),
    };
    let listeners: BTreeMap<ListenerKey, usize> = topology
        .gateways
        .iter()
        .flat_map(|gateway| &gateway.listeners)
        .enumerate()
        .map(|(id, node)| (node.key.clone(), id))
        .collect();
    let listener_claims = index.claims.of_listeners(topology);
    let protected = (!index.protections.policies.is_empty())
        .then(|| index.protections.claims.of_listeners(topology));

    let mut routes = Vec::with_capacity(topology.routes.len());
    let (mut route_listeners, mut applied) = (Vec::new(), Vec::new());
    for (route, node) in topology.routes.iter().enumerate() {
        let start = route_listeners.len();
        for key in listener_keys(node) {
            if let Some(id) = listeners
                .get(key)
                .copied()
                .filter(|id| !route_listeners[start..].contains(id))
            {
                route_listeners.push(id);
            }
        }
        let width = route_listeners.len() - start;
        routes.push(RouteSpan {
            listeners: start,
            width,
            applied: applied.len(),
            rules: node.rules.len(),
        });
        for rule in &node.rules {
            let own = index.claims.of_rule(route, rule.as_ref());
            let own_protection = index.protections.claims.of_rule(route, rule.as_ref());
            for &listener in &route_listeners[start..] {
                let chain = Claims::chain(own, listener_claims[listener]);
                let protection = protected
                    .as_ref()
                    .map(|of| Claims::chain(own_protection, of[listener]));
                applied.push(work.apply(chain, protection.unwrap_or_default()));
            }
        }
    }
    work.for_status(topology, &listeners, &listener_claims);
    work.report(found);
    let Work {
        new,
        distinct,
        combinations,
        ..
    } = work;
    *memo = new;
    let none = Arc::clone(&distinct[0]);
    Applications {
        listeners,
        listener_claims,
        routes,
        route_listeners,
        applied,
        distinct,
        combinations,
        none,
    }
}

fn listener_keys(node: &RouteNode) -> impl Iterator<Item = &ListenerKey> {
    node.parents.iter().flat_map(|parent| {
        parent
            .allowed
            .iter()
            .chain(parent.carried.iter().map(|(key, _)| key))
    })
}

fn no_policy() -> Arc<Applied> {
    let (route, cluster) = (
        Arc::new(RoutePolicy::DEFAULT),
        Arc::new(ClusterPolicy::DEFAULT),
    );
    let effective = EffectivePolicy {
        policies: Vec::new(),
        settings: Value::Object(Map::new()),
        from: BTreeMap::new(),
        lost: Vec::new(),
        invalid: None,
    };
    let effective = Arc::new(effective);
    Arc::new(Applied {
        effective,
        route,
        cluster,
        origin: Origin {
            policies: Vec::new(),
        },
        invalid: None,
    })
}

/// One call of [`of_each`].
struct Work<'a> {
    resources: &'a Resources,
    index: &'a PolicyIndex,
    old: EffectiveMemo,
    new: EffectiveMemo,
    distinct: Vec<Arc<Applied>>,
    chains: BTreeMap<(Chain, Chain), usize>,
    combinations: BTreeMap<Combination, Arc<Lowered>>,
}

impl Work<'_> {
    /// The index in `distinct` of what applies in a chain.
    fn apply(&mut self, chain: Chain, protection: Chain) -> usize {
        if chain == Chain::default() && protection == Chain::default() {
            return 0;
        }
        if let Some(known) = self.chains.get(&(chain, protection)) {
            return *known;
        }
        let applied = self.applied(&chain, &protection);
        self.distinct.push(applied);
        let index = self.distinct.len() - 1;
        self.chains.insert((chain, protection), index);
        index
    }

    fn applied(&mut self, chain: &Chain, protection: &Chain) -> Arc<Applied> {
        let PolicyIndex {
            policies,
            claims,
            protections,
        } = self.index;
        let standing = precedence::standing(claims, policies, chain);
        let Standing { policy, parent } = standing;
        let lowered = policy.map(|policy| self.lowered(policy, parent));
        let guards = protections.of(protection);
        let mut key: Vec<usize> = guards
            .iter()
            .map(|guard| Arc::as_ptr(guard).addr())
            .collect();
        let mut alive = Vec::new();
        for claim in chain {
            key.push(0);
            let Some(claim) = claim.map(|claim| &claims.list[claim]) else {
                continue;
            };
            let losers = claim
                .losers
                .iter()
                .map(|(id, outcome)| (*id, outcome_key(*outcome)));
            for (id, outcome) in claim.winner.map(|id| (id, 1)).into_iter().chain(losers) {
                key.extend([Arc::as_ptr(&policies[id].policy).addr(), outcome]);
                alive.push(Arc::clone(&policies[id].policy));
            }
        }
        let same = |of: &Came| of.as_ref().map(Arc::as_ptr) == lowered.as_ref().map(Arc::as_ptr);
        let remembered = self.old.applied.remove(&key).filter(|(of, _)| same(of));
        let of = lowered.clone();
        let (_, remembered) = self.new.applied.entry(key).or_insert_with(|| {
            remembered.unwrap_or_else(|| {
                let lost = precedence::lost(claims, policies, chain, &standing);
                let lowered = lowered.as_deref();
                let result = Arc::new(applied(
                    lowered,
                    policies,
                    &standing,
                    lost,
                    Protections::refusal(&guards),
                ));
                (
                    of,
                    Remembered {
                        result,
                        _alive: alive,
                    },
                )
            })
        });
        Arc::clone(&remembered.result)
    }

    /// What a policy comes to, merged into another where one is given.
    fn lowered(&mut self, policy: PolicyId, parent: Option<PolicyId>) -> Arc<Lowered> {
        if let Some(known) = self.combinations.get(&(policy, parent)) {
            return Arc::clone(known);
        }
        let policies = &self.index.policies;
        let address = |id: PolicyId| Arc::as_ptr(&policies[id].policy).addr();
        let key = [address(policy), parent.map_or(0, address)];
        let remembered = self
            .old
            .lowered
            .remove(&key)
            .filter(|it| it.result.is_current(self.resources));
        let remembered = remembered.unwrap_or_else(|| Remembered {
            result: Arc::new(combine(policies, policy, parent, self.resources)),
            _alive: [Some(policy), parent]
                .into_iter()
                .flatten()
                .map(|id| Arc::clone(&policies[id].policy))
                .collect(),
        });
        let result = Arc::clone(&remembered.result);
        self.new.lowered.insert(key, remembered);
        self.combinations
            .insert((policy, parent), Arc::clone(&result));
        result
    }

    /// What statuses ask for beyond what applies somewhere.
    fn for_status(
        &mut self,
        topology: &Topology,
        listeners: &BTreeMap<ListenerKey, usize>,
        listener_claims: &[[ChainPart; 3]],
    ) {
        let PolicyIndex {
            policies,
            claims,
            protections: _,
        } = self.index;
        for (
            id,
            AttachedPolicy {
                policy, targets, ..
            },
        ) in policies.iter().enumerate()
        {
            for (point, _) in targets
                .iter()
                .filter(|(_, outcome)| *outcome == Outcome::Attached)
            {
                let route = match point {
                    AttachmentPoint::RouteRule { route, rule: _ }
                    | AttachmentPoint::Route(route) => Some(*route),
                    AttachmentPoint::ListenerSetListener { .. }
                    | AttachmentPoint::ListenerSet(_)
                    | AttachmentPoint::Listener { .. }
                    | AttachmentPoint::Gateway(_) => None,
                };
                let Some(route) = route.filter(|_| policy.merge_type().is_some()) else {
                    self.lowered(id, None);
                    continue;
                };
                let allowed = topology.routes[route]
                    .parents
                    .iter()
                    .flat_map(|parent| &parent.allowed);
                for listener in allowed.filter_map(|key| listeners.get(key)) {
                    let parent = precedence::parent(claims, &listener_claims[*listener]);
                    self.lowered(id, parent.map(|(_, parent)| parent));
                }
            }
        }
    }

    fn report(&self, found: &mut Diagnostics) {
        for ((policy, _), lowered) in &self.combinations {
            for Fault {
                feature: _,
                field,
                text,
                fatal,
            } in &lowered.faults.list
            {
                let object = object_ref(&self.index.policies[*policy].name.name);
                let field = FieldPath::new(format!("spec.{field}").trim_end_matches('.'));
                if *fatal {
                    found.error(&object, field, "invalid-policy", text);
                } else {
                    found.warning(&object, field, "setting-ignored", text);
                }
            }
        }
    }
}

fn outcome_key(outcome: Outcome) -> usize {
    match outcome {
        Outcome::Attached => 1,
        Outcome::Conflicted(_) => 2,
        Outcome::SectionMissing => 3,
        Outcome::NotGranted => 4,
    }
}

fn combine(
    policies: &[AttachedPolicy],
    policy: PolicyId,
    parent: Option<PolicyId>,
    resources: &Resources,
) -> Lowered {
    let child = policies[policy].policy.settings();
    let child = Side {
        policy: &policies[policy].name,
        settings: &child,
    };
    let Some(parent) = parent else {
        return lower::lower(merge::alone(child), resources);
    };
    let base = policies[parent].policy.settings();
    let base = Side {
        policy: &policies[parent].name,
        settings: &base,
    };
    match policies[policy].policy.merge_type() {
        Some(MergeType::StrategicMerge) => lower::lower(merge::strategic(child, base), resources),
        Some(MergeType::JsonMerge) => lower::lower(merge::json(child, base), resources),
        Some(MergeType::Unsupported(word)) => lower::unmerged(
            merge::alone(child),
            format!("error merging policies: unsupported merge type: {word}"),
        ),
        None => lower::lower(merge::alone(child), resources),
    }
}

fn applied(
    lowered: Option<&Lowered>,
    policies: &[AttachedPolicy],
    standing: &Standing,
    lost: Vec<(PolicyId, String)>,
    refusal: Option<String>,
) -> Applied {
    let Standing { policy, parent } = *standing;
    let names: Vec<PolicyRef> = [policy, parent]
        .into_iter()
        .flatten()
        .map(|id| policies[id].name.clone())
        .collect();
    let invalid = [refusal, lowered.and_then(|it| it.invalid.clone())];
    let invalid = invalid
        .into_iter()
        .flatten()
        .reduce(|one, other| format!("{one}; {other}"));
    let (settings, from) = match lowered {
        Some(Lowered {
            merged:
                Merged {
                    settings,
                    from,
                    rules: _,
                },
            ..
        }) => (settings.clone(), from.clone()),
        None => (Value::Object(Map::new()), BTreeMap::new()),
    };
    let lost = lost
        .into_iter()
        .map(|(id, reason)| Lost {
            policy: policies[id].name.clone(),
            reason,
        })
        .collect();
    let effective = EffectivePolicy {
        policies: names.clone(),
        settings,
        from,
        lost,
        invalid: invalid.clone(),
    };
    Applied {
        effective: Arc::new(effective),
        route: lowered.map_or_else(
            || Arc::new(RoutePolicy::DEFAULT),
            |it| Arc::clone(&it.route),
        ),
        cluster: lowered.map_or_else(
            || Arc::new(ClusterPolicy::DEFAULT),
            |it| Arc::clone(&it.cluster),
        ),
        origin: Origin { policies: names },
        invalid,
    }
}
