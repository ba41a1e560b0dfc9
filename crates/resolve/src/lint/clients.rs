//! ClientTrafficPolicies: those without effect, places that were decided by name alone, and trust in everybody.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use serde_json::Value;
use weir_plan::{NamespacedName, PolicyRef};

use super::listed;
use crate::Resolution;
use crate::clients::{Clients, Placed, object_ref};
use crate::diagnostics::{Diagnostics, FieldPath};

pub(super) fn check(resolution: &Resolution, found: &mut Diagnostics) {
    let clients = &resolution.clients;
    let uses = uses(clients);
    for (name, placed) in &clients.policies {
        let object = object_ref(name);
        if let Some((field, why)) = without_effect(placed, uses.get(name)) {
            let message = format!("the policy has no effect: {why}");
            found.warning(&object, field, "policy-without-effect", message);
        }
        for (field, losers) in &placed.ties {
            let message = format!(
                "only its name puts the policy before {}, which has the same target and the same age; merge them into one, or \
                 give them different targets",
                listed(losers)
            );
            found.warning(&object, field.clone(), "tie-by-name", message);
        }
        for (field, network) in everybody(&placed.settings) {
            let message = format!(
                "{network} is everybody: whoever connects may say in x-forwarded-for that it is somebody else; name the networks \
                 of your own proxies"
            );
            found.warning(&object, field, "everybody-is-trusted", message);
        }
    }
}

/// What becomes of a policy on the listeners that it has to do with.
#[derive(Default)]
struct Uses<'a> {
    /// Whether it is in force on one.
    in_force: bool,
    /// Whether it hides another one there.
    hides: bool,
    /// The policies that are in force where it is not.
    hidden_by: BTreeSet<&'a PolicyRef>,
}

fn uses(clients: &Clients) -> BTreeMap<&NamespacedName, Uses<'_>> {
    let mut all: BTreeMap<&NamespacedName, Uses<'_>> = BTreeMap::new();
    for of in clients.listeners.values() {
        if let Some(policy) = &of.policy {
            let uses = all.entry(&policy.name).or_default();
            uses.in_force = true;
            uses.hides |= !of.lost.is_empty();
        }
        for lost in &of.lost {
            let uses = all.entry(&lost.policy.name).or_default();
            uses.hidden_by.extend(&of.policy);
        }
    }
    all
}

/// Where, and why nothing of a policy counts. What is wrong with its targets, findings about each of them say.
fn without_effect(
    Placed {
        settings, targets, ..
    }: &Placed,
    uses: Option<&Uses<'_>>,
) -> Option<(FieldPath, String)> {
    let place = targets.iter().find(|it| it.attached)?;
    let uses = uses?;
    let empty = settings
        .as_object()
        .is_some_and(|it| it.values().all(Value::is_null));
    let why = if uses.in_force {
        let nothing = empty && !uses.hides;
        nothing.then(|| {
            "it sets nothing, and hides no other policy; write settings, or remove it".to_owned()
        })?
    } else if uses.hidden_by.is_empty() {
        return None;
    } else {
        format!(
            "every listener under it has a more specific policy ({}); remove it",
            listed(uses.hidden_by.iter().copied())
        )
    };
    Some((place.field.clone(), why))
}

/// The trusted networks that are all there are.
fn everybody(settings: &Value) -> Vec<(FieldPath, IpNet)> {
    let at = FieldPath::new("clientIPDetection.xForwardedFor.trustedCIDRs");
    let networks = at.in_value(settings).and_then(Value::as_array);
    let numbered = networks.into_iter().flatten().enumerate();
    numbered
        .filter_map(|(index, text)| {
            let network: IpNet = text.as_str()?.parse().ok()?;
            let field = FieldPath::new("spec").join(at.index(index).as_str());
            (network.prefix_len() == 0).then_some((field, network))
        })
        .collect()
}
