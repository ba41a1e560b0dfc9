//! What ClientTrafficPolicies are told about each Gateway and ListenerSet that they target: the reference's texts, in the
//! order in which it finds them out, sections before the objects that they are part of.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use weir_plan::NamespacedName;

use super::claims::{Claimant, Claims, object_ref};
use super::listeners::Used;
use super::{KIND, lower};
use crate::attach::{Outcome, PolicyId};
use crate::diagnostics::{Diagnostics, FieldPath};
use crate::policy_status::{Ancestors, parent_reference};
use crate::status::{ConditionStatus, PolicyAncestorStatus};
use crate::targeting::{AttachmentPoint, Target};
use crate::topology::ListenerKey;
use crate::{Context, enforcement};

/// The status of every policy that reaches anything of ours. Settings that are not enforced are reported as well.
pub(super) fn report(
    claims: &Claims,
    used: &Used,
    context: &Context,
    found: &mut Diagnostics,
) -> BTreeMap<NamespacedName, Vec<PolicyAncestorStatus>> {
    let sections = sections(claims);
    let mut statuses = BTreeMap::new();
    for (id, claimant) in claims.policies.iter().enumerate() {
        let Claimant {
            policy,
            name,
            settings: _,
            targets,
            ..
        } = claimant;
        let mut ancestors = Ancestors::new(policy.metadata.generation);
        let (of_sections, of_objects): (Vec<_>, Vec<_>) = targets
            .iter()
            .partition(|(target, _)| claims.object(&target.point).2.is_some());
        for (target, outcome) in of_sections.into_iter().chain(of_objects) {
            tell(
                &mut ancestors,
                id,
                target,
                *outcome,
                claims,
                used,
                &sections,
            );
        }
        let paths = enforcement::unenforced_client_settings(&policy.spec, context.client_support);
        for path in &paths {
            let text = "the data plane in use does not enforce this setting";
            let object = object_ref(&name.name);
            found.warning(&object, path.clone(), "setting-not-enforced", text);
        }
        let displaced = displaced(id, claims, used);
        let mut said: Vec<String> = Vec::new();
        if !paths.is_empty() {
            said.push(Ancestors::of_data_plane(&paths));
        }
        if !displaced.is_empty() {
            let paths: Vec<&str> = displaced.iter().map(FieldPath::as_str).collect();
            let paths = paths.join(", ");
            said.push(format!(
                "Of the policies of a port another one comes first for: {paths}."
            ));
        }
        if !said.is_empty() {
            ancestors.not_enforced(&said.join(" "));
        }
        let ancestors = ancestors.finish(&context.controller_name);
        if !ancestors.is_empty() {
            statuses.insert(name.name.clone(), ancestors);
        }
    }
    statuses
}

/// The places below each place that policies of their own have, as the reference names them.
fn sections(claims: &Claims) -> BTreeMap<AttachmentPoint, BTreeSet<String>> {
    let mut sections: BTreeMap<AttachmentPoint, BTreeSet<String>> = BTreeMap::new();
    let gateway_of = |set: &NamespacedName| {
        let gateways = &claims.topology.gateways;
        let at = gateways
            .iter()
            .position(|it| it.listener_sets.contains(set));
        at.map(AttachmentPoint::Gateway)
    };
    let targets = claims.policies.iter().flat_map(|it| &it.targets);
    for (target, _) in targets.filter(|(_, outcome)| *outcome == Outcome::Attached) {
        let (above, name) = match &target.point {
            AttachmentPoint::Listener { gateway, listener } => {
                let above = [Some(AttachmentPoint::Gateway(*gateway)), None];
                (above, [listener.to_string(), String::new()])
            }
            AttachmentPoint::ListenerSet(set) => {
                ([gateway_of(set), None], [set.to_string(), String::new()])
            }
            AttachmentPoint::ListenerSetListener { set, listener } => {
                let above = [
                    Some(AttachmentPoint::ListenerSet(set.clone())),
                    gateway_of(set),
                ];
                (above, [listener.to_string(), format!("{set}/{listener}")])
            }
            AttachmentPoint::Gateway(_)
            | AttachmentPoint::Route(_)
            | AttachmentPoint::RouteRule { .. } => continue,
        };
        for (above, name) in above.into_iter().zip(name) {
            if let Some(above) = above {
                sections.entry(above).or_default().insert(name);
            }
        }
    }
    sections
}

fn tell(
    ancestors: &mut Ancestors,
    id: PolicyId,
    target: &Target,
    outcome: Outcome,
    claims: &Claims,
    used: &Used,
    sections: &BTreeMap<AttachmentPoint, BTreeSet<String>>,
) {
    let (kind, name, section) = claims.object(&target.point);
    let ancestor = parent_reference(kind, name, section.map(|it| &**it));
    match (outcome, section) {
        // As if it were not there: its owner did not allow the policy to know of it.
        (Outcome::NotGranted, _) => return,
        (Outcome::SectionMissing, section) => {
            let section = section.map_or("", |it| &**it);
            let text = format!("No section name {section} found for {kind} {name}");
            return ancestors.reject(&ancestor, "TargetNotFound", &text);
        }
        (Outcome::Conflicted(_), Some(_)) => {
            let text = format!(
                "Unable to target section of {}, another {KIND} has already attached to it",
                name.name
            );
            return ancestors.reject(&ancestor, "Conflicted", &text);
        }
        (Outcome::Conflicted(_), None) => {
            let text = format!(
                "Unable to target {kind} {}, another {KIND} has already attached to it",
                name.name
            );
            return ancestors.reject(&ancestor, "Conflicted", &text);
        }
        (Outcome::Attached, _) => {}
    }
    if let Some(sections) = sections.get(&target.point) {
        let sections: Vec<&str> = sections.iter().map(String::as_str).collect();
        let text = format!(
            "There are existing ClientTrafficPolicies that are overriding these sections [{}]",
            sections.join(" ")
        );
        ancestors.set(
            &ancestor,
            "Overridden",
            ConditionStatus::True,
            "Overridden",
            &text,
        );
    }
    let on = used.by_policy.get(&id).into_iter().flatten();
    let invalid = on
        .filter(|(listener, _)| covers(&target.point, listener, claims))
        .filter_map(|(_, invalid)| invalid.as_deref());
    if let Some(message) = lower::message(invalid) {
        ancestors.reject(&ancestor, "Invalid", &message);
    }
    ancestors.accept(&ancestor);
    ancestors.deprecated(&ancestor, &deprecated(&claims.policies[id].policy.spec));
}

/// Whether a listener is part of a place.
fn covers(point: &AttachmentPoint, listener: &ListenerKey, claims: &Claims) -> bool {
    let (kind, name, section) = claims.object(point);
    let ListenerKey {
        gateway,
        listener_set,
        listener,
    } = listener;
    let inside = match (kind, section) {
        ("ListenerSet", _) => listener_set.as_ref() == Some(name),
        (_, Some(_)) => gateway == name && listener_set.is_none(),
        (_, None) => gateway == name,
    };
    inside && section.is_none_or(|it| it == listener)
}

/// The settings of a policy that do not hold on some port, as another policy comes first there.
fn displaced(id: PolicyId, claims: &Claims, used: &Used) -> BTreeSet<FieldPath> {
    let name = Some(&claims.policies[id].name);
    let listeners = used
        .listeners
        .values()
        .filter(|it| it.policy.as_ref() == name);
    let displaced = listeners.flat_map(|it| &it.displaced);
    displaced.map(|(field, _)| field.clone()).collect()
}

/// The deprecated fields that a spec uses, with what takes their place.
fn deprecated(spec: &Value) -> Vec<&'static str> {
    let fields = [
        (
            "/targetRef",
            "spec.targetRef is deprecated, use spec.targetRefs instead",
        ),
        (
            "/enableProxyProtocol",
            "spec.enableProxyProtocol is deprecated, use spec.proxyProtocol instead",
        ),
        (
            "/headers/preserveXRequestID",
            "spec.headers.preserveXRequestID is deprecated, use spec.headers.requestID instead",
        ),
        (
            "/tls/clientValidation/optional",
            "spec.tls.clientValidation.optional is deprecated, use spec.tls.clientValidation.mode instead",
        ),
    ];
    let used = fields
        .into_iter()
        .filter(|(at, _)| spec.pointer(at).is_some_and(|it| !it.is_null()));
    used.map(|(_, text)| text).collect()
}
