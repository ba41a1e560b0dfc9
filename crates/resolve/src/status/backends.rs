//! What Backends are told, and findings about those that are not accepted.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_plan::NamespacedName;

use super::{Condition, ConditionStatus};
use crate::Context;
use crate::api::{Backend, POLICY_GROUP};
use crate::backend_tls::Sources;
use crate::backend_tls::own::sources;
use crate::build::backends::check;
use crate::diagnostics::{Diagnostic, Diagnostics, FieldPath, ObjectRef, Severity};
use crate::memo::Changes;
use crate::resources::Resources;

/// What was said of Backends last time.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    conditions: Arc<BTreeMap<NamespacedName, Arc<[Condition]>>>,
    found: BTreeMap<NamespacedName, Diagnostic>,
}

/// The conditions of every Backend.
pub(crate) fn of_backends(
    resources: &Resources,
    context: &Context,
    changes: &Changes,
    memo: &mut Memo,
    found: &mut Diagnostics,
) -> Arc<BTreeMap<NamespacedName, Arc<[Condition]>>> {
    let Memo {
        conditions,
        found: known,
    } = memo;
    // What one refers to may be there now, or have gone.
    let refers = |(name, backend): &(&NamespacedName, &Arc<Backend>)| {
        backend.spec.tls.as_ref().is_some_and(|tls| {
            let Sources {
                config_maps,
                secrets,
            } = sources(name, tls);
            !changes.config_maps.is_disjoint(&config_maps) || !changes.secrets.is_disjoint(&secrets)
        })
    };
    let again = resources
        .backends
        .iter()
        .filter(refers)
        .map(|(name, _)| name);
    for name in changes.backends.iter().chain(again) {
        known.remove(name);
        let conditions = Arc::make_mut(conditions);
        let Some(backend) = resources.backends.get(name) else {
            conditions.remove(name);
            continue;
        };
        let accepted = accepted(name, backend, context, resources);
        if accepted.status == ConditionStatus::False {
            known.insert(name.clone(), finding(name, &accepted));
        }
        conditions.insert(name.clone(), [accepted].into());
    }
    known.values().for_each(|it| found.push(it.clone()));
    Arc::clone(conditions)
}

fn finding(name: &NamespacedName, refused: &Condition) -> Diagnostic {
    Diagnostic {
        object: ObjectRef {
            group: POLICY_GROUP.to_owned(),
            kind: "Backend".to_owned(),
            name: name.clone(),
        },
        field: FieldPath::new("spec"),
        severity: Severity::Error,
        id: "backend-not-accepted",
        message: refused.message.clone(),
    }
}

/// Reason and type are the right way round here; Envoy Gateway writes the type `Invalid` with the reason `Accepted`.
fn accepted(
    name: &NamespacedName,
    backend: &Backend,
    context: &Context,
    resources: &Resources,
) -> Condition {
    let generation = backend.metadata.generation;
    match check(name, backend, context, resources) {
        Ok(_) => Condition::yes(
            "Accepted",
            "Accepted",
            "The Backend was accepted",
            generation,
        ),
        Err(why) => {
            let message = format!("The Backend was not accepted: {}", why.message);
            Condition::no("Accepted", "Invalid", message, generation)
        }
    }
}
