//! Which of the policies above a rule takes effect, and why the others do not.
//!
//! Rule, route, listener, ListenerSet, Gateway: the most specific policy counts, whatever it says. With `mergeType` the
//! policy of a rule or route is merged into the closest one of a listener, ListenerSet or Gateway; never into a route's.

use crate::attach::{AttachedPolicy, Claims, Outcome, PolicyId};
use crate::explain;

/// A claim in [`Claims::list`], where there is one.
pub(crate) type ChainPart = Option<usize>;

/// The claims above a rule on a listener, most specific first: on the rule, the route, the listener, the listener's
/// ListenerSet and its Gateway.
pub(crate) type Chain = [ChainPart; 5];

/// How many parts of a chain are routes and their rules, whose policies may merge.
pub(crate) const ROUTE_PARTS: usize = 2;

/// What takes effect.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Standing {
    /// The most specific policy.
    pub(crate) policy: Option<PolicyId>,
    /// The policy that it is merged into, where it says so.
    pub(crate) parent: Option<PolicyId>,
}

/// The policies that take effect in a chain.
pub(crate) fn standing(claims: &Claims, policies: &[AttachedPolicy], chain: &Chain) -> Standing {
    let winner = |part: &ChainPart| part.and_then(|claim| claims.list[claim].winner);
    let Some(at) = chain.iter().position(|part| winner(part).is_some()) else {
        return Standing::default();
    };
    let policy = winner(&chain[at]);
    let merges = at < ROUTE_PARTS && policy.is_some_and(|id| policies[id].merge_type.is_some());
    let parent = if merges {
        parent(claims, &[chain[2], chain[3], chain[4]]).map(|(_, id)| id)
    } else {
        None
    };
    Standing { policy, parent }
}

/// The policy that one of a route is merged into on a listener: the closest, with its place among the three.
pub(crate) fn parent(claims: &Claims, listener: &[ChainPart; 3]) -> Option<(usize, PolicyId)> {
    listener
        .iter()
        .enumerate()
        .find_map(|(at, part)| Some((at, claims.list[(*part)?].winner?)))
}

/// The policies in a chain that do not take effect, most specific first, with the reasons.
pub(crate) fn lost(
    claims: &Claims,
    policies: &[AttachedPolicy],
    chain: &Chain,
    standing: &Standing,
) -> Vec<(PolicyId, String)> {
    let mut lost: Vec<(PolicyId, String)> = Vec::new();
    for (at, claim) in chain
        .iter()
        .enumerate()
        .filter_map(|(at, part)| Some((at, &claims.list[(*part)?])))
    {
        let hidden = claim
            .winner
            .filter(|id| standing.policy != Some(*id) && standing.parent != Some(*id));
        lost.extend(hidden.map(|id| (id, explain::hidden(policies, standing, at < ROUTE_PARTS))));
        for &(id, outcome) in &claim.losers {
            let reason = match outcome {
                // A policy that names a place twice has not lost it.
                Outcome::Attached => continue,
                Outcome::Conflicted(winner) if winner == id => continue,
                Outcome::Conflicted(winner) => explain::lost_to(policies, winner, id),
                Outcome::SectionMissing => {
                    "section not found: it names a section that the object does not have".to_owned()
                }
                Outcome::NotGranted => {
                    "no ReferenceGrant in the namespace of its target allows it".to_owned()
                }
            };
            lost.push((id, reason));
        }
    }
    // A policy that sits at several places of the chain is in force if it is at one of them.
    lost.retain(|(id, _)| standing.policy != Some(*id) && standing.parent != Some(*id));
    let mut seen = std::collections::BTreeSet::new();
    lost.retain(|(id, _)| seen.insert(*id));
    lost
}
