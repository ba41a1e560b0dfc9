//! Lints: what is valid, takes effect, and is probably not what somebody meant.
//!
//! A step of its own behind the engine, for whoever asks: it changes neither plan nor statuses, and traffic does not wait
//! for it. Each file has one subject. What the same policies come to is looked at once, so that the work grows with the
//! number of policies and rules. Only what can be proved is said.

mod backends;
mod clients;
mod deprecated;
mod effect;
mod limits;
mod redundant;
mod retries;
mod route_kinds;
mod silence;

use std::collections::BTreeSet;
use std::sync::Arc;

use weir_plan::PolicyRef;

use crate::Resolution;
use crate::attach::{Claims, object_ref};
use crate::diagnostics::{Diagnostic, Diagnostics, FieldPath};
use crate::effective::{Applied, EffectivePolicy};
use crate::policies::Policies;
use crate::precedence::Chain;
use crate::resources::Resources;

pub use silence::{IGNORE, Ignored, WARNINGS};

/// What is questionable about `resources`, of which `resolution` was made: warnings, sorted by object and place.
///
/// What objects ignore is not left out; [`Ignored`] has it.
pub fn lint(resources: &Resources, resolution: &Resolution) -> Vec<Diagnostic> {
    let found = &mut Diagnostics::default();
    let in_force = in_force(&resolution.policies);
    backends::check(resources, found);
    clients::check(resolution, found);
    deprecated::check(resources, found);
    silence::check(resources, found);
    effect::check(resolution, found);
    redundant::check(&resolution.policies, &in_force, found);
    retries::check(resolution, &in_force, found);
    route_kinds::check(resolution, found);
    limits::check(&resolution.plan, &in_force, found);
    std::mem::take(found).into_sorted()
}

/// Something that applies, and the claims above one of the rules to which it does.
struct InForce<'a> {
    applied: &'a Arc<Applied>,
    chain: Chain,
}

/// All that applies somewhere by some policy, each once.
fn in_force(policies: &Policies) -> Vec<InForce<'_>> {
    let Policies {
        topology,
        index,
        applications,
        ..
    } = policies;
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for (route, rule, listener, applied) in applications.each() {
        if !applied.effective.policies.is_empty() && seen.insert(Arc::as_ptr(applied)) {
            let name = topology.routes[route].rules[rule].as_ref();
            let chain = Claims::chain(index.claims.of_rule(route, name), listener);
            all.push(InForce { applied, chain });
        }
    }
    all
}

/// Warns about a setting, by its path below `spec`, at the policy that wrote it; nothing where none did.
fn warn_at_setting(
    effective: &EffectivePolicy,
    setting: &str,
    id: &'static str,
    message: String,
    found: &mut Diagnostics,
) {
    if let Some(policy) = effective.from.get(&FieldPath::new(setting)) {
        let field = FieldPath::new(format!("spec.{setting}"));
        found.warning(&object_ref(&policy.name), field, id, message);
    }
}

/// Names on one line: the first three, and how many others there are.
fn listed<'a>(policies: impl IntoIterator<Item = &'a PolicyRef>) -> String {
    const SHOWN: usize = 3;
    let all: Vec<&PolicyRef> = policies.into_iter().collect();
    let mut text = all
        .iter()
        .take(SHOWN)
        .map(|it| it.to_string())
        .collect::<Vec<_>>()
        .join(", ");
    match all.len().saturating_sub(SHOWN) {
        0 => {}
        1 => text.push_str(" and 1 other"),
        more => text.push_str(&format!(" and {more} others")),
    }
    text
}
