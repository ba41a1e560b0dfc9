//! What a route is told about each of its parents.

use std::sync::Arc;

use super::{Condition, ParentReference, RouteParentStatus};
use crate::Context;
use crate::build::route::Verdict;
use crate::topology::ListenerKey;
use crate::topology::routes::{ParentRef, Refusal, RouteDetail};

/// The status of a route: one entry for each parent of ours, in the order of its parentRefs.
pub(crate) fn of_route(
    detail: &RouteDetail,
    verdict: &Verdict,
    context: &Context,
) -> Arc<[RouteParentStatus]> {
    let view = detail.object.view();
    let generation = view.metadata.generation;
    let parents = detail.node.parents.iter().zip(&detail.refusals);
    parents
        .map(|(parent, refusal)| RouteParentStatus {
            parent_ref: reference(view.parents[parent.index]),
            controller_name: context.controller_name.clone(),
            conditions: conditions(refusal.as_ref(), verdict, generation),
        })
        .collect()
}

/// The listeners in whose `attachedRoutes` a route counts, each once: those that carry it through a parent for which
/// it is accepted.
pub(crate) fn attached_to<'a>(detail: &'a RouteDetail, verdict: &Verdict) -> Vec<&'a ListenerKey> {
    let mut listeners: Vec<&ListenerKey> = Vec::new();
    if all_invalid(verdict) {
        return listeners;
    }
    let accepted = detail
        .node
        .parents
        .iter()
        .zip(&detail.refusals)
        .filter(|(_, refusal)| refusal.is_none());
    for (listener, _) in accepted.flat_map(|(parent, _)| &parent.carried) {
        if !listeners.contains(&listener) {
            listeners.push(listener);
        }
    }
    listeners
}

fn reference(parent: ParentRef<'_>) -> ParentReference {
    let ParentRef {
        group,
        kind,
        namespace,
        name,
        section,
        port,
    } = parent;
    ParentReference {
        group: group.to_owned(),
        kind: kind.to_owned(),
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
        section_name: section.map(str::to_owned),
        port,
    }
}

fn conditions(
    refusal: Option<&Refusal>,
    verdict: &Verdict,
    generation: Option<i64>,
) -> Vec<Condition> {
    let Verdict {
        rules: _,
        invalid,
        unresolved,
    } = verdict;
    let mut conditions = Vec::with_capacity(2);
    let problems = || -> String {
        let texts: Vec<_> = invalid
            .iter()
            .map(|it| format!("rules[{}]: {}", it.index, it.invalid.message))
            .collect();
        texts.join("; ")
    };
    conditions.push(match (refusal, invalid.first()) {
        (Some(Refusal { reason, message }), _) => {
            Condition::no("Accepted", reason, message.clone(), generation)
        }
        (None, Some(first)) if all_invalid(verdict) => {
            Condition::no("Accepted", first.invalid.reason, problems(), generation)
        }
        (None, _) => Condition::yes("Accepted", "Accepted", "Route is accepted", generation),
    });
    conditions.push(match unresolved.first() {
        Some(first) => {
            let texts: Vec<_> = unresolved.iter().map(|it| it.message.as_str()).collect();
            Condition::no("ResolvedRefs", first.reason, texts.join("; "), generation)
        }
        None => {
            let message = "Resolved all the Object references for the Route";
            Condition::yes("ResolvedRefs", "ResolvedRefs", message, generation)
        }
    });
    if let Some(first) = invalid
        .first()
        .filter(|_| refusal.is_none() && !all_invalid(verdict))
    {
        let message = format!("Dropped Rule: {}", problems());
        conditions.push(Condition::yes(
            "PartiallyInvalid",
            first.invalid.reason,
            message,
            generation,
        ));
    }
    conditions
}

/// Whether no rule can be served as written.
fn all_invalid(verdict: &Verdict) -> bool {
    let Verdict {
        rules,
        invalid,
        unresolved: _,
    } = verdict;
    *rules > 0 && (0..*rules).all(|rule| invalid.iter().any(|it| it.whole && it.index == rule))
}
