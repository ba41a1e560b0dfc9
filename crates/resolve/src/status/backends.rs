//! What Backends are told, and findings about those that are not accepted.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_plan::NamespacedName;

use super::Condition;
use crate::Context;
use crate::api::{Backend, POLICY_GROUP};
use crate::build::backends::check;
use crate::diagnostics::{Diagnostics, FieldPath, ObjectRef};
use crate::memo::Changes;
use crate::resources::Resources;

/// The conditions of every Backend as of last time.
pub(crate) type Memo = BTreeMap<NamespacedName, Arc<[Condition]>>;

/// The conditions of every Backend.
pub(crate) fn of_backends(
    resources: &Resources,
    context: &Context,
    changes: &Changes,
    memo: &mut Memo,
    found: &mut Diagnostics,
) -> BTreeMap<NamespacedName, Arc<[Condition]>> {
    for name in &changes.backends {
        match resources.backends.get(name) {
            Some(backend) => memo.insert(name.clone(), [accepted(backend, context)].into()),
            None => memo.remove(name),
        };
    }
    for (name, conditions) in &*memo {
        for refused in conditions.iter().filter(|it| it.reason == "Invalid") {
            let (group, kind) = (POLICY_GROUP.to_owned(), "Backend".to_owned());
            let object = ObjectRef {
                group,
                kind,
                name: name.clone(),
            };
            found.error(
                &object,
                FieldPath::new("spec"),
                "backend-not-accepted",
                refused.message.clone(),
            );
        }
    }
    memo.clone()
}

/// Reason and type are the right way round here; Envoy Gateway writes the type `Invalid` with the reason `Accepted`.
fn accepted(backend: &Backend, context: &Context) -> Condition {
    let generation = backend.metadata.generation;
    match check(backend, context) {
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
