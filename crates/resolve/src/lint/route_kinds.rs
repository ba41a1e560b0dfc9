//! Settings that do nothing, since the policy reaches no routes of a kind that they act on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_plan::{PolicyRef, RouteKind};

use crate::Resolution;
use crate::attach::object_ref;
use crate::diagnostics::{Diagnostics, FieldPath};
use crate::route_kinds;

/// The kinds of routes that a setting of a policy reaches, and whether it acts on any.
#[derive(Default)]
struct Reach {
    kinds: BTreeSet<RouteKind>,
    acts: bool,
}

pub(super) fn check(resolution: &Resolution, found: &mut Diagnostics) {
    let mut seen = BTreeSet::new();
    let mut settings: BTreeMap<(&PolicyRef, &'static str), Reach> = BTreeMap::new();
    for rule in &resolution.effective {
        let kind = rule.rule.kind;
        if !seen.insert((Arc::as_ptr(&rule.policy), kind)) {
            continue;
        }
        for (field, policy) in &rule.policy.from {
            if let Some((setting, acts_on)) = route_kinds::setting_of(field) {
                let reach = settings.entry((policy, setting)).or_default();
                reach.kinds.insert(kind);
                reach.acts |= acts_on.contains(&kind);
            }
        }
    }
    for ((policy, setting), Reach { kinds, acts }) in settings {
        if !acts {
            let kinds: Vec<String> = kinds.iter().map(|kind| format!("{kind}s")).collect();
            let message = format!(
                "this does nothing on {}, and the policy reaches no other routes; remove it",
                kinds.join(" and ")
            );
            let field = FieldPath::new(format!("spec.{setting}"));
            found.warning(
                &object_ref(&policy.name),
                field,
                "setting-not-for-kind",
                message,
            );
        }
    }
}
