//! What BackendTLSPolicies are told: for each Gateway that sends requests to their backends, whether they take effect.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_plan::NamespacedName;

use super::{Condition, ParentReference, PolicyAncestorStatus};
use crate::api::{BackendTlsPolicy, GATEWAY_GROUP};
use crate::backend_tls::{Meaning, Refusal, Winning, meaning, targets, winning};
use crate::diagnostics::{Diagnostics, FieldPath, ObjectRef};
use crate::features::sentence;
use crate::resources::Resources;
use crate::{Context, build};

/// How many ancestors the API allows.
const MAX_ANCESTORS: usize = 16;

/// The statuses of all policies with an ancestor of ours, and findings about those that do not take effect.
pub(crate) fn of_policies(
    resources: &Resources,
    built: &build::Memo,
    context: &Context,
    found: &mut Diagnostics,
) -> BTreeMap<NamespacedName, Vec<PolicyAncestorStatus>> {
    if resources.backend_tls_policies.is_empty() {
        return BTreeMap::new();
    }
    let by_backend = built.gateways_by_backend();
    let all = resources.backend_tls_policies.iter();
    let told = all.filter_map(|(name, policy)| {
        let conditions = conditions(name, policy, resources, found);
        let gateways: BTreeSet<_> = targets(name, policy)
            .iter()
            .filter_map(|(kind, target)| by_backend.get(&(*kind, target)))
            .flatten()
            .copied()
            .collect();
        let ancestors = gateways.into_iter().take(MAX_ANCESTORS);
        let ancestors: Vec<_> = ancestors
            .map(|gateway| PolicyAncestorStatus {
                ancestor_ref: ParentReference {
                    group: GATEWAY_GROUP.to_owned(),
                    kind: "Gateway".to_owned(),
                    namespace: Some(gateway.namespace.to_string()),
                    name: gateway.name.to_string(),
                    section_name: None,
                    port: None,
                },
                controller_name: context.controller_name.clone(),
                conditions: conditions.clone(),
            })
            .collect();
        (!ancestors.is_empty()).then(|| (name.clone(), ancestors))
    });
    told.collect()
}

fn conditions(
    name: &NamespacedName,
    policy: &Arc<BackendTlsPolicy>,
    resources: &Resources,
    found: &mut Diagnostics,
) -> Vec<Condition> {
    let generation = policy.metadata.generation;
    let object = ObjectRef {
        group: GATEWAY_GROUP.to_owned(),
        kind: "BackendTLSPolicy".to_owned(),
        name: name.clone(),
    };
    let at = FieldPath::new("spec.targetRefs");
    let accepted = match winning(resources, name, policy) {
        Winning::Everywhere => None,
        Winning::Nowhere(by) => {
            let message = format!("Policy conflicts with BackendTLSPolicy {by}.");
            found.error(&object, at, "target-taken", message.clone());
            Some(Condition::no("Accepted", "Conflicted", message, generation))
        }
        Winning::InPart(message) => {
            found.warning(&object, at, "target-taken", message);
            None
        }
    };
    let Meaning {
        validation,
        unresolved,
    } = meaning(resources, &name.namespace, policy);
    let field = FieldPath::new("spec.validation");
    if let Some(Refusal { reason: _, message }) = &unresolved {
        let at = field.child("caCertificateRefs");
        found.error(&object, at, "invalid-certificate-ref", message.clone());
    }
    let refused = validation.err().map(|Refusal { reason, message }| {
        if unresolved.is_none() {
            found.error(&object, field, "not-accepted", message.clone());
        }
        Condition::no("Accepted", reason, sentence(&message), generation)
    });
    let fine = || {
        Condition::yes(
            "Accepted",
            "Accepted",
            "Policy has been accepted.",
            generation,
        )
    };
    let accepted = accepted.or(refused).unwrap_or_else(fine);
    let resolved = match unresolved {
        Some(Refusal { reason, message }) => {
            Condition::no("ResolvedRefs", reason, sentence(&message), generation)
        }
        None => Condition::yes(
            "ResolvedRefs",
            "ResolvedRefs",
            "Resolved all the Object references.",
            generation,
        ),
    };
    vec![accepted, resolved]
}
