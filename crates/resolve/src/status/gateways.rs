//! What GatewayClasses, Gateways, ListenerSets and their listeners are told.

use std::collections::BTreeMap;

use weir_plan::NamespacedName;

use super::{Condition, ConditionStatus, GatewayStatus, ListenerStatus, RouteGroupKind};
use crate::Context;
use crate::api::GATEWAY_GROUP;
use crate::resources::Resources;
use crate::topology::clients::is_insecure;
use crate::topology::gateways::{GatewayDetail, SetDetail, envoy_proxy_of, is_ours};
use crate::topology::listeners::{Listener, Problem, Reason, serves};
use crate::topology::{ListenerKey, ListenerNode};

/// The conditions of every class of ours.
pub(crate) fn of_classes(
    resources: &Resources,
    context: &Context,
) -> BTreeMap<String, Vec<Condition>> {
    let ours = resources
        .gateway_classes
        .iter()
        .filter(|(_, class)| is_ours(&class.spec.controller_name, context));
    ours.map(|(name, class)| {
        let message = match envoy_proxy_of(class) {
            _ if class.spec.parameters_ref.is_none() => "Valid GatewayClass",
            Some(name) if resources.envoy_proxies.contains_key(&name) => "Valid GatewayClass",
            Some(_) | None => {
                "Valid GatewayClass; its parametersRef refers to no EnvoyProxy that is there"
            }
        };
        let accepted = Condition::yes("Accepted", "Accepted", message, class.metadata.generation);
        (name.name.to_string(), vec![accepted])
    })
    .collect()
}

/// The status of a Gateway. `attached` says how many routes a listener has.
pub(crate) fn of_gateway(
    gateway: &GatewayDetail,
    attached: impl Fn(&ListenerKey) -> i32,
) -> GatewayStatus {
    let generation = gateway.object.metadata.generation;
    let own: Vec<_> = gateway
        .listeners()
        .filter(|(node, _)| node.key.listener_set.is_none())
        .collect();
    let mut conditions = summary(&own, generation);
    let addresses = gateway
        .object
        .spec
        .addresses
        .as_ref()
        .is_some_and(|it| !it.is_empty());
    if let Some(programmed) = conditions
        .iter_mut()
        .find(|it| it.r#type == "Programmed" && addresses)
    {
        let message =
            "spec.addresses is not used: the listeners are served on the address that --bind gives";
        *programmed = Condition::no("Programmed", "AddressNotUsable", message, generation);
    }
    if is_insecure(&gateway.object) {
        let message = "AllowInsecureFallback lets clients in without a valid certificate";
        conditions.push(Condition::yes(
            "InsecureFrontendValidationMode",
            "ConfigurationChanged",
            message,
            generation,
        ));
    }
    conditions.extend(gateway.client_certificate.as_ref().map(|it| match it {
        Ok(_) => Condition::yes(
            "ResolvedRefs",
            "ResolvedRefs",
            "All references are resolved",
            generation,
        ),
        Err(Problem { reason, message }) => {
            Condition::no("ResolvedRefs", reason.as_str(), message.clone(), generation)
        }
    }));
    let listeners = own
        .iter()
        .map(|(node, it)| of_listener(gateway, node, it, generation, &attached))
        .collect();
    GatewayStatus {
        conditions,
        listeners,
    }
}

/// The status of a ListenerSet of a Gateway.
pub(crate) fn of_set(
    gateway: &GatewayDetail,
    set: &SetDetail,
    attached: impl Fn(&ListenerKey) -> i32,
) -> GatewayStatus {
    let generation = set.object.metadata.generation;
    if !set.admitted {
        let message =
            "the Gateway does not allow this ListenerSet; see the Gateway's spec.allowedListeners";
        let conditions = vec![
            Condition::no("Accepted", "NotAllowed", message, generation),
            Condition::no("Programmed", "NotAllowed", message, generation),
        ];
        return GatewayStatus {
            conditions,
            listeners: Vec::new(),
        };
    }
    let is_of =
        |name: &NamespacedName, node: &ListenerNode| node.key.listener_set.as_ref() == Some(name);
    let own: Vec<_> = gateway
        .listeners()
        .filter(|(node, _)| is_of(&set.name, node))
        .collect();
    let listeners = own
        .iter()
        .map(|(node, it)| of_listener(gateway, node, it, generation, &attached))
        .collect();
    GatewayStatus {
        conditions: summary(&own, generation),
        listeners,
    }
}

fn summary(listeners: &[(&ListenerNode, &Listener)], generation: Option<i64>) -> Vec<Condition> {
    let problems: Vec<_> = listeners
        .iter()
        .filter_map(|(_, it)| {
            Some(format!(
                "listener {}: {}",
                it.name,
                it.problem.as_ref()?.message
            ))
        })
        .collect();
    let any_served = listeners.iter().any(|(node, _)| node.programmed);
    let accepted = match (any_served, problems.is_empty()) {
        (true, true) => Condition::yes(
            "Accepted",
            "Accepted",
            "The Gateway has been scheduled by Weir",
            generation,
        ),
        (true, false) => Condition::yes(
            "Accepted",
            "ListenersNotValid",
            problems.join("; "),
            generation,
        ),
        (false, true) => Condition::no(
            "Accepted",
            "ListenersNotValid",
            "there are no listeners",
            generation,
        ),
        (false, false) => Condition::no(
            "Accepted",
            "ListenersNotValid",
            problems.join("; "),
            generation,
        ),
    };
    let programmed = if any_served {
        Condition::yes(
            "Programmed",
            "Programmed",
            "The data plane serves the listeners that are valid",
            generation,
        )
    } else {
        Condition::no("Programmed", "Invalid", "no listener is served", generation)
    };
    vec![accepted, programmed]
}

fn of_listener(
    gateway: &GatewayDetail,
    node: &ListenerNode,
    listener: &Listener,
    generation: Option<i64>,
    attached: impl Fn(&ListenerKey) -> i32,
) -> ListenerStatus {
    let served = listener
        .kinds
        .iter()
        .filter(|kind| serves(**kind) && matches!(&*listener.protocol, "HTTP" | "HTTPS"));
    let supported_kinds = served.map(|kind| RouteGroupKind {
        group: GATEWAY_GROUP.to_owned(),
        kind: kind.as_str().to_owned(),
    });
    let mut conditions = listener_conditions(listener, generation);
    conditions.extend(overlap(gateway, node, generation));
    ListenerStatus {
        name: listener.name.clone(),
        supported_kinds: supported_kinds.collect(),
        attached_routes: attached(&node.key),
        conditions,
    }
}

/// Says of an HTTPS listener that some names on its port mean another one as well. Clients that use a connection for
/// several names are told so by 421, where they ask for a name of the other.
fn overlap(
    gateway: &GatewayDetail,
    node: &ListenerNode,
    generation: Option<i64>,
) -> Option<Condition> {
    let meets = |(other, _): &(&ListenerNode, &Listener)| {
        other.key != node.key
            && other.port == node.port
            && other.protocol == "HTTPS"
            && other.hostname.intersection(&node.hostname).is_some()
    };
    let (other, _) = (node.protocol == "HTTPS")
        .then(|| gateway.listeners().find(meets))
        .flatten()?;
    let message = format!(
        "host names overlap with those of listener {}; requests for the other are answered 421",
        other.key.plan_name().listener
    );
    Some(Condition::yes(
        "OverlappingTLSConfig",
        "OverlappingHostnames",
        message,
        generation,
    ))
}

fn listener_conditions(listener: &Listener, generation: Option<i64>) -> Vec<Condition> {
    let problem = listener.problem.as_ref();
    let accepted = match problem {
        Some(it) if it.reason.is_refusal() => Condition::no(
            "Accepted",
            it.reason.as_str(),
            it.message.clone(),
            generation,
        ),
        Some(_) | None => Condition::yes(
            "Accepted",
            "Accepted",
            "The listener is accepted",
            generation,
        ),
    };
    let conflicted = match problem {
        Some(it) if it.reason.is_conflict() => Condition::yes(
            "Conflicted",
            it.reason.as_str(),
            it.message.clone(),
            generation,
        ),
        Some(_) | None => Condition::no(
            "Conflicted",
            "NoConflicts",
            "No other listener is in the way",
            generation,
        ),
    };
    let resolved = if problem.is_some_and(|it| it.reason == Reason::UnsupportedProtocol) {
        let message = "references were not looked at, as the protocol is not served".to_owned();
        Condition {
            status: ConditionStatus::Unknown,
            ..Condition::no("ResolvedRefs", "Pending", message, generation)
        }
    } else if let Some(Problem { reason, message }) = &listener.unresolved {
        Condition::no("ResolvedRefs", reason.as_str(), message.clone(), generation)
    } else if listener.refused_kinds.is_empty() {
        Condition::yes(
            "ResolvedRefs",
            "ResolvedRefs",
            "All references are resolved",
            generation,
        )
    } else {
        let message = format!(
            "not served by this version of Weir: {}",
            listener.refused_kinds.join(", ")
        );
        Condition::no("ResolvedRefs", "InvalidRouteKinds", message, generation)
    };
    let programmed = match problem {
        Some(it) => Condition::no("Programmed", "Invalid", it.message.clone(), generation),
        None => Condition::yes(
            "Programmed",
            "Programmed",
            "The data plane serves the listener",
            generation,
        ),
    };
    vec![accepted, conflicted, resolved, programmed]
}
