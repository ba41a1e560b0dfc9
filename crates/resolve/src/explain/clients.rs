//! What ClientTrafficPolicies come to: what applies to the clients of a listener and who set it, and what a policy does on
//! each listener under it.

mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use weir_plan::{ListenerName, NamespacedName, PolicyRef};

use super::in_force::{Applying, Source, leaves};
use super::policy::{TargetExplanation, missing_targets};
use crate::Resolution;
use crate::clients::{self, KIND, OfListener, Placed, defaults};
use crate::diagnostics::FieldPath;
use crate::diff::{self, Touched};
use crate::effective::Lost;
use crate::merge::{self, Side};
use crate::status::PolicyAncestorStatus;

/// What applies to the clients of a listener. Its text form is a tree.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ListenerExplanation {
    /// The listener.
    pub listener: ListenerName,
    /// The policy in force.
    pub policy: Option<PolicyRef>,
    /// Every setting that somebody wrote, and the defaults of those that apply always.
    pub settings: Vec<Applying>,
    /// What the policy in force sets in vain.
    pub displaced: Vec<DisplacedOnPort>,
    /// The policies that are not in force here, and why.
    pub lost: Vec<Lost>,
    /// Why no route is served.
    pub invalid: Option<String>,
}

/// A setting that does not hold on a listener, as another policy has set it for all connections to the port.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DisplacedOnPort {
    /// The field, below `spec`.
    pub field: FieldPath,
    /// Its value.
    pub value: Value,
    /// The policy that says so.
    pub from: PolicyRef,
    /// The policy whose setting holds.
    pub by: PolicyRef,
}

/// What a ClientTrafficPolicy affects. Its text form is a tree.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClientPolicyExplanation {
    /// The policy.
    pub policy: PolicyRef,
    /// What became of its targets.
    pub targets: Vec<TargetExplanation>,
    /// On how many of the listeners that it has to do with anything of it holds.
    pub listeners: Touched,
    /// What it does on them; those on which it does the same stand together.
    pub effects: Vec<ListenerEffect>,
    /// What it is told.
    pub status: Vec<PolicyAncestorStatus>,
}

/// What a policy does on some listeners.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ListenerEffect {
    /// Why it is not in force; none: it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
    /// Why it is invalid there, so that no route is served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invalid: Option<String>,
    /// Its settings that hold there all the same, as they hold for all connections to the port.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub of_port: Vec<FieldPath>,
    /// What it sets in vain.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub displaced: Vec<DisplacedOnPort>,
    /// The listeners. Never empty.
    pub listeners: Vec<ListenerName>,
}

/// What applies to the clients of all listeners that are wanted, in the order of their names.
pub fn listeners(
    resolution: &Resolution,
    wanted: impl Fn(&ListenerName) -> bool,
) -> Vec<ListenerExplanation> {
    let told = told(resolution);
    let plan = &resolution.plan;
    let http: BTreeSet<&ListenerName> = plan.listeners.iter().map(|it| &it.name).collect();
    let mut all: BTreeSet<&ListenerName> = told.keys().copied().collect();
    all.extend(&http);
    all.extend(plan.l4.iter().map(|it| &it.name));
    let wanted = all.into_iter().filter(|it| wanted(it));
    wanted
        .map(|name| {
            let of = told.get(name);
            let (mut settings, displaced) =
                of.map_or_else(Default::default, |of| written(resolution, of));
            let invalid = of.and_then(|it| it.invalid.as_deref().map(str::to_owned));
            if http.contains(name) && invalid.is_none() {
                settings.extend(defaults::of_absent(&settings));
                settings.sort_by(|a, b| a.field.cmp(&b.field));
            }
            ListenerExplanation {
                listener: name.clone(),
                policy: of.and_then(|it| it.policy.clone()),
                settings,
                displaced,
                lost: of.map(|it| it.lost.clone()).unwrap_or_default(),
                invalid,
            }
        })
        .collect()
}

/// What a policy affects; none where there is no such policy.
pub fn policy(resolution: &Resolution, name: &NamespacedName) -> Option<ClientPolicyExplanation> {
    let Placed {
        settings: _,
        targets,
        ties: _,
    } = resolution.clients.policies.get(name)?;
    let policy = PolicyRef {
        kind: KIND.into(),
        name: name.clone(),
    };
    let mut effects: Vec<ListenerEffect> = Vec::new();
    let mut count: BTreeMap<&ListenerName, bool> = BTreeMap::new();
    for (listener, of) in told(resolution) {
        let Some(effect) = effect(resolution, &policy, listener, of) else {
            continue;
        };
        let holds = effect.lost.is_none() || !effect.of_port.is_empty();
        count.insert(listener, holds);
        let same = |it: &&mut ListenerEffect| {
            (&it.lost, &it.invalid, &it.of_port, &it.displaced)
                == (
                    &effect.lost,
                    &effect.invalid,
                    &effect.of_port,
                    &effect.displaced,
                )
        };
        match effects.iter_mut().find(same) {
            Some(known) => known.listeners.extend(effect.listeners),
            None => effects.push(effect),
        }
    }
    let missing = missing_targets(resolution, clients::object_ref(name));
    let status = resolution.statuses.client_policies.get(name);
    Some(ClientPolicyExplanation {
        policy,
        targets: targets.iter().cloned().chain(missing).collect(),
        listeners: diff::touched(&count),
        effects,
        status: status.cloned().unwrap_or_default(),
    })
}

/// The names of all ClientTrafficPolicies for which `wanted` holds.
pub fn named(
    resolution: &Resolution,
    wanted: impl Fn(&NamespacedName) -> bool,
) -> Vec<&NamespacedName> {
    let names = resolution.clients.policies.keys();
    names.filter(|name| wanted(name)).collect()
}

/// The listeners that a policy has to do with, by their names in the plan.
pub(crate) fn told(resolution: &Resolution) -> BTreeMap<&ListenerName, &OfListener> {
    let listeners = resolution.clients.listeners.values();
    listeners.map(|of| (&of.name, &**of)).collect()
}

/// What somebody wrote for the clients of a listener, and what of its own policy does not hold.
pub(crate) fn written(
    resolution: &Resolution,
    of: &OfListener,
) -> (Vec<Applying>, Vec<DisplacedOnPort>) {
    let is_of_port =
        |field: &FieldPath, fields: &[&str]| fields.iter().any(|it| field.is_within(it));
    let mut settings = Vec::new();
    let mut displaced = Vec::new();
    for (fields, policy) in &of.port {
        if let Some(placed) = resolution.clients.policies.get(&policy.name) {
            let of_port = leaves_of(policy, &placed.settings);
            settings.extend(
                of_port
                    .into_iter()
                    .filter(|it| is_of_port(&it.field, fields)),
            );
        }
    }
    if let Some(policy) = of.policy.as_ref().filter(|_| of.invalid.is_none()) {
        for it in leaves_of(policy, &of.settings) {
            let holder = of
                .port
                .iter()
                .find(|(fields, _)| is_of_port(&it.field, fields));
            match holder {
                None => settings.push(it),
                Some((_, by)) if by == policy => {}
                Some((fields, by)) => {
                    let lost = |(field, _): &(FieldPath, PolicyRef)| {
                        let field = field.as_str().trim_start_matches("spec.");
                        fields.contains(&field)
                    };
                    if of.displaced.iter().any(lost) {
                        displaced.push(DisplacedOnPort {
                            field: it.field,
                            value: it.value,
                            from: policy.clone(),
                            by: by.clone(),
                        });
                    }
                }
            }
        }
    }
    settings.sort_by(|a, b| a.field.cmp(&b.field));
    (settings, displaced)
}

fn leaves_of(policy: &PolicyRef, settings: &Arc<Value>) -> Vec<Applying> {
    let merged = merge::alone(Side { policy, settings });
    let mut all = Vec::new();
    leaves(
        &merged.settings,
        FieldPath::default(),
        &mut |field, value| {
            if !field.as_str().is_empty() {
                all.push(Applying {
                    field,
                    value: value.clone(),
                    from: Source::Policy(policy.clone()),
                });
            }
        },
    );
    all
}

fn effect(
    resolution: &Resolution,
    policy: &PolicyRef,
    listener: &ListenerName,
    of: &OfListener,
) -> Option<ListenerEffect> {
    let lost = of.lost.iter().find(|it| it.policy == *policy);
    let own = of.policy.as_ref() == Some(policy);
    let (settings, displaced) = written(resolution, of);
    let from = Source::Policy(policy.clone());
    let of_port: Vec<FieldPath> = settings
        .into_iter()
        .filter(|it| !own && it.from == from)
        .map(|it| it.field)
        .collect();
    if !own && lost.is_none() && of_port.is_empty() {
        return None;
    }
    Some(ListenerEffect {
        lost: match lost {
            Some(lost) => Some(lost.reason.clone()),
            None => (!own).then(|| "it does not target the listener".to_owned()),
        },
        invalid: of.invalid.as_deref().filter(|_| own).map(str::to_owned),
        of_port,
        displaced: if own { displaced } else { Vec::new() },
        listeners: vec![listener.clone()],
    })
}
