//! The names of a route's rules, and what is in force at each of them.

use std::sync::Arc;

use weir_plan::RuleName;

use crate::clients::OfRoutes;
use crate::effective::{Applied, EffectiveRule};
use crate::own::OwnSettings;
use crate::topology::routes::RouteDetail;

/// The names of a route's rules. Of several rules with one name, only the first goes by it.
pub(super) fn rule_names(detail: &RouteDetail) -> Vec<RuleName> {
    let node = &detail.node;
    let name = |index: usize| {
        let rule = node.rules[index]
            .clone()
            .filter(|name| !node.rules[..index].contains(&Some(Arc::clone(name))));
        RuleName {
            kind: node.kind,
            route: node.name.clone(),
            index,
            rule,
        }
    };
    (0..node.rules.len()).map(name).collect()
}

/// What is in force at each rule on each listener.
pub(super) fn effective(
    detail: &RouteDetail,
    names: &[RuleName],
    own: &[Option<Arc<OwnSettings>>],
    applied: &[Arc<Applied>],
    listeners: &[OfRoutes],
) -> Vec<Arc<EffectiveRule>> {
    let carriers = detail.carriers.iter().zip(listeners);
    let places = carriers.flat_map(|it| names.iter().map(move |rule| (it, rule)));
    places
        .zip(applied)
        .map(|(((carrier, of_listener), rule), applied)| {
            Arc::new(EffectiveRule {
                rule: rule.clone(),
                listener: carrier.listener.plan_name(),
                policy: Arc::clone(&applied.effective),
                own: own.get(rule.index).cloned().flatten(),
                routing_type: carrier.routing_type.clone(),
                stream_idle: of_listener.stream_idle.clone(),
                unserved: of_listener.refused.clone(),
            })
        })
        .collect()
}
