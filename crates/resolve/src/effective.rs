//! The effective policy of a route rule on a listener, and where each of its fields came from.

mod each;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use weir_plan::{ClusterPolicy, ListenerName, Origin, PolicyRef, RoutePolicy, RuleName};

use crate::attach::PolicyId;
use crate::diagnostics::FieldPath;
use crate::features::routing_type::{OfGateway, RoutingType};
use crate::lower::Lowered;
use crate::own::OwnSettings;
use crate::precedence::ChainPart;
use crate::topology::ListenerKey;

pub(crate) use each::{EffectiveMemo, of_each};

/// What applies to one rule on one listener.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EffectiveRule {
    /// The rule.
    pub rule: RuleName,
    /// The listener.
    pub listener: ListenerName,
    /// What policies say; shared by rules for which they say the same.
    pub policy: Arc<EffectivePolicy>,
    /// What the rule sets itself, which comes before policies.
    pub own: Option<Arc<OwnSettings>>,
    /// What its Gateway says where no policy does.
    pub routing_type: Option<OfGateway>,
    /// What its listener's ClientTrafficPolicy says of pauses, which counts where no other policy says anything.
    pub stream_idle: Option<StreamIdle>,
    /// Why its listener serves no route: its ClientTrafficPolicy is invalid.
    pub unserved: Option<Arc<str>>,
}

/// How long a request may pause by a ClientTrafficPolicy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StreamIdle {
    /// The policy.
    pub policy: PolicyRef,
    /// What it says.
    pub written: Arc<str>,
    /// What that comes to; none: for ever.
    #[serde(skip)]
    pub limit: Option<Duration>,
}

impl EffectiveRule {
    /// Why nothing of the rule is served: requests are answered 500, connections of routes below HTTP are closed.
    pub fn refusal(&self) -> Option<&str> {
        if let Some(why) = &self.unserved {
            return Some(why);
        }
        let EffectivePolicy {
            invalid, refused, ..
        } = &*self.policy;
        if self.rule.kind.is_http() {
            invalid.as_deref()
        } else {
            refused.as_deref()
        }
    }

    /// Why the rule is served as if it had no policy: it is invalid, and the route one below HTTP.
    pub fn left_out(&self) -> Option<&str> {
        let EffectivePolicy {
            invalid, refused, ..
        } = &*self.policy;
        let goes_on = !self.rule.kind.is_http() && refused.is_none();
        invalid.as_deref().filter(|_| goes_on)
    }
}

/// Settings as written (merged where policies merge), with the policy that each came from.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectivePolicy {
    /// The policies that contribute, most specific first.
    pub policies: Vec<PolicyRef>,
    /// The settings: a policy's `spec` without its targets and `mergeType`. An empty object where no policy applies.
    pub settings: Value,
    /// How the first policy is merged into the second, where there are two.
    pub merge_type: Option<&'static str>,
    /// For each leaf of `settings`, the policy that set it.
    pub from: BTreeMap<FieldPath, PolicyRef>,
    /// The policies that target this rule or something above it and do not take effect here, with the reason.
    pub lost: Vec<Lost>,
    /// Why rules of HTTP and gRPC routes answer 500, where the policy is invalid: the text of the policy's status. See
    /// [`EffectiveRule::refusal`].
    pub invalid: Option<String>,
    /// Why rules of routes of any kind are not served; it is part of `invalid` as well.
    pub refused: Option<String>,
}

/// A policy that does not take effect.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Lost {
    /// Which.
    pub policy: PolicyRef,
    /// Why, such as "replaced by a more specific policy without mergeType" or "older policy won".
    pub reason: String,
}

/// An effective policy, and what it comes to in the plan. Shared by all rules to which the same policies apply.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The settings as written.
    pub effective: Arc<EffectivePolicy>,
    /// What applies to requests. The defaults where `invalid` says something.
    pub route: Arc<RoutePolicy>,
    /// The same on listeners that keep the headers of rate limits back.
    pub quiet: Arc<RoutePolicy>,
    /// What applies to connections, likewise.
    pub cluster: Arc<ClusterPolicy>,
    /// Where requests to Services go, likewise; none: as the gateway says.
    pub routing_type: Option<RoutingType>,
    /// The policies that contribute.
    pub origin: Origin,
    /// Why rules of HTTP and gRPC routes answer 500. Other routes go on without the policy.
    pub invalid: Option<String>,
    /// Why routes of any kind are not served at all: something protects them that is not enforced.
    pub refused: Option<String>,
}

/// What applies to every rule of every route on each of its listeners.
#[derive(Clone, Debug)]
pub struct Applications {
    listeners: BTreeMap<ListenerKey, usize>,
    /// The claims on each listener.
    listener_claims: Vec<[ChainPart; 3]>,
    routes: Vec<RouteSpan>,
    /// The listeners of each route, one route after the other.
    route_listeners: Vec<usize>,
    /// For each rule of each route, what applies on each of the route's listeners.
    applied: Vec<Arc<Applied>>,
    combinations: BTreeMap<Combination, Arc<Lowered>>,
    none: Arc<Applied>,
}

/// Where a route's part of [`Applications`] begins.
#[derive(Clone, Copy, Debug)]
struct RouteSpan {
    listeners: usize,
    width: usize,
    applied: usize,
    rules: usize,
}

/// A policy, and the one that it is merged into.
type Combination = (PolicyId, Option<PolicyId>);

impl Applications {
    /// What applies to a rule of a route (by their indices in the topology) on a listener that carries it.
    pub fn get(
        &self,
        route_index: usize,
        rule_index: usize,
        listener: &ListenerKey,
    ) -> &Arc<Applied> {
        let known = self
            .listeners
            .get(listener)
            .zip(self.routes.get(route_index));
        let applied = known.and_then(|(id, span)| {
            let RouteSpan {
                listeners,
                width,
                applied,
                rules,
            } = *span;
            let at = self.route_listeners[listeners..listeners + width]
                .iter()
                .position(|other| other == id)?;
            (rule_index < rules).then(|| &self.applied[applied + rule_index * width + at])
        });
        applied.unwrap_or(&self.none)
    }

    /// Every rule on every listener of its route: the route and the rule by their indices in the topology, the claims on
    /// the listener, and what applies.
    pub(crate) fn each(
        &self,
    ) -> impl Iterator<Item = (usize, usize, [ChainPart; 3], &Arc<Applied>)> {
        self.routes
            .iter()
            .enumerate()
            .flat_map(move |(route, span)| {
                let RouteSpan {
                    listeners,
                    width,
                    applied,
                    rules,
                } = *span;
                let places = (0..rules).flat_map(move |rule| (0..width).map(move |at| (rule, at)));
                places.map(move |(rule, at)| {
                    let listener = self.listener_claims[self.route_listeners[listeners + at]];
                    (
                        route,
                        rule,
                        listener,
                        &self.applied[applied + rule * width + at],
                    )
                })
            })
    }

    /// What a policy comes to, merged into another where one is given.
    pub(crate) fn lowered(&self, policy: PolicyId, parent: Option<PolicyId>) -> Option<&Lowered> {
        self.combinations.get(&(policy, parent)).map(|it| &**it)
    }

    /// The claims on a listener.
    pub(crate) fn claims_on(&self, listener: &ListenerKey) -> [ChainPart; 3] {
        self.listeners
            .get(listener)
            .map(|id| self.listener_claims[*id])
            .unwrap_or_default()
    }
}
