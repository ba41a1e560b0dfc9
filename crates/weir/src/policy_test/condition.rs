//! Compares the conditions that a test expects of a policy's status with those that it has.

use std::collections::BTreeSet;

use weir_resolve::status::{Condition, PolicyAncestorStatus};

use super::expectation::{Check, list_or_none, meant};
use super::format::ExpectedCondition;
use super::world::World;
use crate::naming::is_named;

/// Notes which conditions a policy of this name does not have.
pub(super) fn check(
    check: &mut Check<'_>,
    world: &World,
    name: &str,
    expected: &[ExpectedCondition],
) {
    let configuration = &world.configuration;
    let (resources, statuses) = (
        &configuration.loaded.resources,
        &configuration.resolution.statuses,
    );
    let of_backends = resources.policies.keys();
    let of_backends = of_backends.map(|it| {
        (
            format!("BackendTrafficPolicy/{it}"),
            statuses.policies.get(it),
        )
    });
    let of_clients = resources.client_policies.keys();
    let of_clients = of_clients.map(|it| {
        (
            format!("ClientTrafficPolicy/{it}"),
            statuses.client_policies.get(it),
        )
    });
    let known: Vec<_> = of_backends.chain(of_clients).collect();
    let policies: Vec<_> = known.iter().filter(|(it, _)| is_named(it, name)).collect();
    if policies.is_empty() {
        let known: Vec<String> = known.iter().map(|(it, _)| it.clone()).collect();
        let because = meant(name, &known).into_iter().collect();
        check.fail("", "policy", name, "there is no such policy", because);
    }
    for (_, ancestors) in policies {
        let ancestors = ancestors.map_or(&[][..], Vec::as_slice);
        for (index, expected) in expected.iter().enumerate() {
            condition(check, &format!("conditions[{index}]"), ancestors, expected);
        }
    }
}

fn condition(
    check: &mut Check<'_>,
    field: &str,
    ancestors: &[PolicyAncestorStatus],
    expected: &ExpectedCondition,
) {
    let ExpectedCondition {
        r#type,
        status,
        reason,
        message,
        ancestor,
    } = expected;
    let mut text = format!("{type}={status}");
    text.extend(reason.iter().map(|it| format!(", reason {it}")));
    text.extend(message.iter().map(|it| format!(": {it}")));
    let what = format!("condition {type}");
    let concerned: Vec<_> = ancestors
        .iter()
        .map(|it| (ancestor_name(it), it))
        .filter(|(name, it)| {
            ancestor
                .as_ref()
                .is_none_or(|wanted| is_ancestor(name, it, wanted))
        })
        .collect();
    if concerned.is_empty() {
        let names: Vec<String> = ancestors.iter().map(ancestor_name).collect();
        let found = match ancestor {
            Some(ancestor) => format!("no ancestor {ancestor}, but {}", list_or_none(&names)),
            None => "no status: the policy reaches nothing".to_owned(),
        };
        check.fail(field, &what, &text, found, Vec::new());
    }
    let of_type: Vec<(&String, &Condition)> = concerned
        .iter()
        .flat_map(|(name, it)| it.conditions.iter().map(move |it| (name, it)))
        .filter(|(_, it)| it.r#type == *r#type)
        .collect();
    if of_type.is_empty() && !concerned.is_empty() {
        let all = concerned.iter().flat_map(|(_, it)| &it.conditions);
        let types: BTreeSet<&String> = all.map(|it| &it.r#type).collect();
        let types: Vec<_> = types.into_iter().collect();
        let found = format!("no such condition, but {}", list_or_none(&types));
        check.fail(field, &what, &text, found, Vec::new());
    }
    for (name, condition) in of_type {
        let Condition {
            r#type,
            status: has,
            reason: given,
            message: sentence,
            observed_generation: _,
        } = condition;
        let fits = format!("{has:?}") == *status
            && reason.as_ref().is_none_or(|it| it == given)
            && message.as_ref().is_none_or(|it| sentence.contains(it));
        if !fits {
            let found = format!("{type}={has:?}, reason {given}: {sentence}");
            check.place = Some(name.clone());
            check.fail(field, &what, &text, found, Vec::new());
            check.place = None;
        }
    }
}

fn ancestor_name(
    PolicyAncestorStatus {
        ancestor_ref,
        controller_name: _,
        conditions: _,
    }: &PolicyAncestorStatus,
) -> String {
    let section = ancestor_ref.section_name.as_ref();
    let namespace = ancestor_ref.namespace.as_deref().unwrap_or_default();
    let mut name = format!("{}/{namespace}/{}", ancestor_ref.kind, ancestor_ref.name);
    name.extend(section.iter().map(|it| format!("/{it}")));
    name
}

/// A Gateway's name means its listeners as well.
fn is_ancestor(name: &str, status: &PolicyAncestorStatus, wanted: &str) -> bool {
    let section = status.ancestor_ref.section_name.as_ref();
    let parent = section.and_then(|it| name.strip_suffix(&format!("/{it}")));
    is_named(name, wanted) || parent.is_some_and(|it| is_named(it, wanted))
}
