//! Finds out what applies to every rule of every route, and remembers it: what the same policies come to is merged and
//! lowered once, and again only when one of them changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};
use weir_plan::{ClusterPolicy, Origin, PolicyRef, RoutePolicy};

use super::{Applications, Applied, Combination, EffectivePolicy, Lost, RouteSpan};
use crate::api::BackendTrafficPolicy;
use crate::api::policy::MergeType;
use crate::attach::{
    AttachMemo, AttachedPolicy, Claim, Claims, Outcome, PolicyId, PolicyIndex, object_ref,
};
use crate::diagnostics::{Diagnostics, FieldPath};
use crate::features::Fault;
use crate::lower::{self, Lowered};
use crate::merge::{self, Merged, Side};
use crate::object::OtherPolicy;
use crate::precedence::{self, Chain, ChainPart, ROUTE_PARTS, Standing};
use crate::protection::Protections;
use crate::resources::Resources;
use crate::targeting::AttachmentPoint;
use crate::topology::{ListenerKey, RouteNode, Topology};

/// What earlier calls merged and lowered. Policies are told apart by their address; those remembered are kept alive, so
/// that no other can get it.
#[derive(Debug, Default)]
pub(crate) struct EffectiveMemo {
    /// The number of the call; what the last one did not use is forgotten.
    call: u64,
    lowered: BTreeMap<[usize; 2], Remembered<Lowered>>,
    /// By all policies of a chain.
    applied: BTreeMap<Vec<usize>, Remembered<Applied>>,
    none: Option<Arc<Applied>>,
    pub(crate) attach: AttachMemo,
}

#[derive(Debug)]
struct Remembered<T> {
    result: Arc<T>,
    /// What the policies in force came to when this was made of it.
    of: Option<Arc<Lowered>>,
    used: u64,
    _policies: Vec<Arc<BackendTrafficPolicy>>,
    _guards: Vec<Arc<OtherPolicy>>,
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
    memo.call += 1;
    let listeners: BTreeMap<ListenerKey, usize> = topology
        .gateways
        .iter()
        .flat_map(|gateway| &gateway.listeners)
        .enumerate()
        .map(|(id, node)| (node.key.clone(), id))
        .collect();
    let PolicyIndex {
        policies,
        claims,
        protections,
    } = index;
    let listener_claims = claims.of_listeners(topology);
    let guarded =
        (!protections.policies.is_empty()).then(|| protections.claims.of_listeners(topology));
    let mut work = Work {
        resources,
        index,
        memo,
        key: Vec::new(),
        whole_listeners: vec![None; listener_claims.len()],
        combinations: BTreeMap::new(),
    };

    let mut routes = Vec::with_capacity(topology.routes.len());
    let (mut route_listeners, mut applied) = (Vec::new(), Vec::new());
    let mut last: Option<(&ListenerKey, usize)> = None;
    for (route, node) in topology.routes.iter().enumerate() {
        let start = route_listeners.len();
        for key in listener_keys(node) {
            // Most routes have the listener of the route before.
            let known = last.filter(|(other, _)| *other == key).map(|(_, id)| id);
            let Some(id) = known.or_else(|| listeners.get(key).copied()) else {
                continue;
            };
            last = Some((key, id));
            if !route_listeners[start..].contains(&id) {
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
            let own = claims.of_rule(route, rule.as_ref());
            let own_guards = guarded
                .as_ref()
                .map(|_| protections.claims.of_rule(route, rule.as_ref()));
            for &listener in &route_listeners[start..] {
                let chain = Claims::chain(own, listener_claims[listener]);
                let guards = guarded
                    .as_ref()
                    .zip(own_guards)
                    .map(|(of, own)| Claims::chain(own, of[listener]));
                applied.push(work.apply(&chain, &guards.unwrap_or_default(), listener));
            }
        }
    }
    work.for_status(topology, &listeners, &listener_claims);
    let Work { combinations, .. } = work;
    report(policies, &combinations, found);
    let call = memo.call;
    memo.lowered.retain(|_, it| it.used == call);
    memo.applied.retain(|_, it| it.used == call);
    Applications {
        listeners,
        listener_claims,
        routes,
        route_listeners,
        applied,
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
        merge_type: None,
        lost: Vec::new(),
        invalid: None,
        refused: None,
    };
    let effective = Arc::new(effective);
    Arc::new(Applied {
        effective,
        quiet: Arc::clone(&route),
        route,
        cluster,
        routing_type: None,
        origin: Origin {
            policies: Vec::new(),
        },
        invalid: None,
        refused: None,
    })
}

/// One call of [`of_each`].
struct Work<'a> {
    resources: &'a Resources,
    index: &'a PolicyIndex,
    memo: &'a mut EffectiveMemo,
    /// The key of a chain, in one allocation for all.
    key: Vec<usize>,
    /// What applies on each listener to rules without claims of their own, which most are.
    whole_listeners: Vec<Option<Arc<Applied>>>,
    combinations: BTreeMap<Combination, Arc<Lowered>>,
}

impl Work<'_> {
    /// What applies in a chain that ends at a listener.
    fn apply(&mut self, chain: &Chain, guards: &Chain, listener: usize) -> Arc<Applied> {
        let is_whole = [chain, guards]
            .iter()
            .all(|it| it[..ROUTE_PARTS] == [None; ROUTE_PARTS]);
        if let Some(known) = self.whole_listeners[listener].as_ref().filter(|_| is_whole) {
            return Arc::clone(known);
        }
        let applied = self.applied(chain, guards);
        if is_whole {
            self.whole_listeners[listener] = Some(Arc::clone(&applied));
        }
        applied
    }

    fn applied(&mut self, chain: &Chain, guards: &Chain) -> Arc<Applied> {
        let PolicyIndex {
            policies,
            claims,
            protections,
        } = self.index;
        let standing = precedence::standing(claims, policies, chain);
        let Standing { policy, parent } = standing;
        let lowered = policy.map(|policy| self.lowered(policy, parent));
        let guards = protections.of(guards);
        self.key.clear();
        self.key
            .extend(guards.iter().map(|guard| Arc::as_ptr(guard).addr()));
        for claim in chain {
            self.key.push(0);
            self.key.extend(
                claim
                    .iter()
                    .flat_map(|claim| takers(&claims.list[*claim]))
                    .flat_map(|(id, outcome)| [Arc::as_ptr(&policies[id].policy).addr(), outcome]),
            );
        }
        if self.key.iter().all(|part| *part == 0) {
            return Arc::clone(self.memo.none.get_or_insert_with(no_policy));
        }
        let call = self.memo.call;
        if let Some(known) = self.memo.applied.get_mut(&self.key)
            && known.of.as_ref().map(Arc::as_ptr) == lowered.as_ref().map(Arc::as_ptr)
        {
            known.used = call;
            return Arc::clone(&known.result);
        }
        let lost = precedence::lost(claims, policies, chain, &standing);
        let refusal = Protections::refusal(&guards);
        let result = Arc::new(applied(
            lowered.as_deref(),
            policies,
            &standing,
            lost,
            refusal,
        ));
        let all = chain
            .iter()
            .flatten()
            .flat_map(|claim| takers(&claims.list[*claim]));
        let remembered = Remembered {
            result: Arc::clone(&result),
            of: lowered,
            used: call,
            _policies: all
                .map(|(id, _)| Arc::clone(&policies[id].policy))
                .collect(),
            _guards: guards.into_iter().map(Arc::clone).collect(),
        };
        self.memo.applied.insert(self.key.clone(), remembered);
        result
    }

    /// What a policy comes to, merged into another where one is given.
    fn lowered(&mut self, policy: PolicyId, parent: Option<PolicyId>) -> Arc<Lowered> {
        if let Some(known) = self.combinations.get(&(policy, parent)) {
            return Arc::clone(known);
        }
        let policies = &self.index.policies;
        let address = |id: PolicyId| Arc::as_ptr(&policies[id].policy).addr();
        let (key, call) = ([address(policy), parent.map_or(0, address)], self.memo.call);
        let known = self
            .memo
            .lowered
            .get_mut(&key)
            .filter(|it| it.result.is_current(self.resources));
        let result = if let Some(known) = known {
            known.used = call;
            Arc::clone(&known.result)
        } else {
            let result = Arc::new(combine(policies, policy, parent, self.resources));
            let both = [Some(policy), parent].into_iter().flatten();
            let remembered = Remembered {
                result: Arc::clone(&result),
                of: None,
                used: call,
                _policies: both.map(|id| Arc::clone(&policies[id].policy)).collect(),
                _guards: Vec::new(),
            };
            self.memo.lowered.insert(key, remembered);
            result
        };
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
        for (id, policy) in policies.iter().enumerate() {
            let AttachedPolicy { merge_type, .. } = policy;
            for (target, _) in policy
                .reached()
                .filter(|(_, outcome)| *outcome == Outcome::Attached)
            {
                let route = match &target.point {
                    AttachmentPoint::RouteRule { route, rule: _ }
                    | AttachmentPoint::Route(route) => Some(*route),
                    AttachmentPoint::ListenerSetListener { .. }
                    | AttachmentPoint::ListenerSet(_)
                    | AttachmentPoint::Listener { .. }
                    | AttachmentPoint::Gateway(_) => None,
                };
                let Some(route) = route.filter(|_| merge_type.is_some()) else {
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
}

fn report(
    policies: &[AttachedPolicy],
    combinations: &BTreeMap<Combination, Arc<Lowered>>,
    found: &mut Diagnostics,
) {
    for ((policy, _), lowered) in combinations {
        for Fault {
            feature: _,
            field,
            text,
            fatal,
        } in &lowered.faults.list
        {
            let object = object_ref(&policies[*policy].name.name);
            let field = FieldPath::new(format!("spec.{field}").trim_end_matches('.'));
            if *fatal {
                found.error(&object, field, "invalid-policy", text);
            } else {
                found.warning(&object, field, "setting-ignored", text);
            }
        }
    }
}

/// Who has a place and who wanted it, each with what became of them.
fn takers(claim: &Claim) -> impl Iterator<Item = (PolicyId, usize)> {
    let losers = claim
        .losers
        .iter()
        .map(|(id, outcome)| (*id, outcome_key(*outcome)));
    claim
        .winner
        .map(|id| (id, outcome_key(Outcome::Attached)))
        .into_iter()
        .chain(losers)
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
    let base = merge::without_nulls(policies[parent].policy.settings());
    let base = Side {
        policy: &policies[parent].name,
        settings: &base,
    };
    match &policies[policy].merge_type {
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
    let invalid = [refusal.clone(), lowered.and_then(|it| it.invalid.clone())];
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
        merge_type: parent
            .and(policy)
            .and_then(|id| policies[id].merge_type.as_ref()?.as_str()),
        lost,
        invalid: invalid.clone(),
        refused: refusal.clone(),
    };
    Applied {
        effective: Arc::new(effective),
        route: lowered.map_or_else(
            || Arc::new(RoutePolicy::DEFAULT),
            |it| Arc::clone(&it.route),
        ),
        quiet: lowered.map_or_else(
            || Arc::new(RoutePolicy::DEFAULT),
            |it| Arc::clone(&it.quiet),
        ),
        cluster: lowered.map_or_else(
            || Arc::new(ClusterPolicy::DEFAULT),
            |it| Arc::clone(&it.cluster),
        ),
        routing_type: lowered.and_then(|it| it.routing_type),
        origin: Origin { policies: names },
        invalid,
        refused: refusal,
    }
}
