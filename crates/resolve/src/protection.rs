//! Policies of other kinds: those that protect what they target fail closed, all are reported.
//!
//! A SecurityPolicy that is not enforced must not leave a route open, so rules under it answer 500 unless the operator
//! allows it.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::Context;
use crate::api::POLICY_GROUP;
use crate::attach::Claims;
use crate::diagnostics::{Diagnostics, FieldPath};
use crate::object::OtherPolicy;
use crate::precedence::Chain;
use crate::resources::Resources;
use crate::targeting::{Places, Target, Targeting};
use crate::topology::Topology;

/// The policies that protect something, and what they protect.
#[derive(Clone, Debug, Default)]
pub(crate) struct Protections {
    pub(crate) policies: Vec<Arc<OtherPolicy>>,
    pub(crate) claims: Claims,
}

/// Finds what is protected by policies that are not enforced.
pub(crate) fn index(
    resources: &Resources,
    places: &Places<'_>,
    topology: &Topology,
    context: &Context,
    found: &mut Diagnostics,
) -> Protections {
    let mut protections = Protections {
        policies: Vec::new(),
        claims: Claims::new(topology),
    };
    for (object, policy) in &resources.other_policies {
        let whole = FieldPath::default();
        if !protects(policy) {
            let text = format!(
                "{} is not enforced; what it asks for does not happen",
                object.kind
            );
            found.warning(object, whole, "policy-not-enforced", text);
            continue;
        }
        if context.allow_unenforced {
            let text = format!(
                "{} is not enforced, and what it protects is served all the same",
                object.kind
            );
            found.warning(object, whole, "protection-not-enforced", text);
            continue;
        }
        let targeting = |spec| Targeting {
            kind: &object.kind,
            namespace: &object.name.namespace,
            spec,
        };
        let (mut targets, findings) = places.resolve(targeting(&policy.spec));
        let mut what = "what it protects";
        if !names_targets(policy) || findings.iter().any(|(_, id, _)| *id == "invalid-target") {
            // Nobody can tell what it was to protect.
            what = "everything in its namespace";
            targets = places.resolve(targeting(&everything())).0;
        }
        let text = format!("{} is not enforced, so {what} answers 500", object.kind);
        found.error(object, whole, "protection-not-enforced", text);
        for (field, id, text) in findings {
            found.warning(object, field, id, text);
        }
        let id = protections.policies.len();
        protections.policies.push(Arc::clone(policy));
        for Target {
            point,
            field,
            reach,
        } in targets
        {
            protections.claims.claim(
                id,
                &Target {
                    point,
                    field,
                    reach,
                },
            );
        }
    }
    protections
}

/// Whether a policy says what it targets.
fn names_targets(policy: &OtherPolicy) -> bool {
    let ways = ["targetRef", "targetRefs", "targetSelectors"];
    let there = |way: &&str| policy.spec.get(way).is_some_and(|it| !it.is_null());
    ways.iter().any(there)
}

/// A spec that targets all that a policy can target in its own namespace.
fn everything() -> Value {
    let kinds = [
        "Gateway",
        "ListenerSet",
        "HTTPRoute",
        "GRPCRoute",
        "TCPRoute",
        "TLSRoute",
        "UDPRoute",
    ];
    json!({ "targetSelectors": kinds.map(|kind| json!({ "kind": kind })) })
}

/// Whether what a policy targets is unsafe without it.
fn protects(policy: &OtherPolicy) -> bool {
    policy.object.group == POLICY_GROUP && policy.object.kind == "SecurityPolicy"
}

impl Protections {
    /// The policies that protect a rule on a listener.
    pub(crate) fn of(&self, chain: &Chain) -> Vec<&Arc<OtherPolicy>> {
        let Self { policies, claims } = self;
        let claimed = chain.iter().filter_map(|part| claims.list[(*part)?].winner);
        claimed.map(|id| &policies[id]).collect()
    }

    /// Why a rule under these policies answers 500.
    pub(crate) fn refusal(policies: &[&Arc<OtherPolicy>]) -> Option<String> {
        let names: Vec<String> = policies
            .iter()
            .map(|policy| policy.object.to_string())
            .collect();
        (!names.is_empty()).then(|| {
            format!(
                "protected by {}, which is not enforced here",
                names.join(" and ")
            )
        })
    }
}
