//! What a status is to become, from what is wanted and what is there: entries of others stay as they are, and times where
//! nothing flipped.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};
use weir_resolve::api::{GATEWAY_GROUP, POLICY_GROUP};
use weir_resolve::status::{
    Condition, GatewayStatus, ListenerStatus, ParentReference, PolicyAncestorStatus,
    RouteParentStatus,
};
use weir_resolve::{ObjectRef, Statuses};

use crate::kubernetes::observed::Current;

/// The longest message that the API server takes, in characters.
const MAX_MESSAGE: usize = 32_768;
/// Entries that a policy or route may have.
const MAX_ANCESTORS: usize = 16;
const MAX_PARENTS: usize = 32;

/// The features of the Gateway API that are claimed: the core of the kinds that are served. More are claimed when the
/// conformance suite has seen them.
const FEATURES: [&str; 4] = ["GRPCRoute", "Gateway", "HTTPRoute", "ReferenceGrant"];

/// The status that an object is to have.
#[derive(Debug)]
pub(crate) enum Wanted<'a> {
    Class(&'a [Condition]),
    Gateway(&'a GatewayStatus),
    ListenerSet(&'a GatewayStatus),
    Route(&'a [RouteParentStatus]),
    Policy(&'a [PolicyAncestorStatus]),
    Backend(&'a [Condition]),
}

/// The status of every object that is to have one, and of every one that has entries of ours and is to have none.
pub(crate) fn wanted<'a>(
    statuses: &'a Statuses,
    current: &BTreeMap<ObjectRef, Current>,
    controller: &str,
) -> BTreeMap<ObjectRef, Wanted<'a>> {
    let Statuses {
        gateway_classes,
        gateways,
        listener_sets,
        routes,
        policies,
        client_policies,
        backend_tls_policies,
        backends,
    } = statuses;
    let object = |group: &str, kind: &str, name: &weir_plan::NamespacedName| ObjectRef {
        group: group.to_owned(),
        kind: kind.to_owned(),
        name: name.clone(),
    };
    let mut wanted = BTreeMap::new();
    for (reference, current) in current {
        let ours = |list: &str| {
            let entries = current.status[list].as_array().into_iter().flatten();
            entries
                .into_iter()
                .any(|it| it["controllerName"] == controller)
        };
        if ours("parents") {
            wanted.insert(reference.clone(), Wanted::Route(&[]));
        } else if ours("ancestors") {
            wanted.insert(reference.clone(), Wanted::Policy(&[]));
        }
    }
    for (name, conditions) in gateway_classes {
        let name = weir_plan::NamespacedName::new("", &**name);
        wanted.insert(
            object(GATEWAY_GROUP, "GatewayClass", &name),
            Wanted::Class(conditions),
        );
    }
    for (name, status) in gateways {
        wanted.insert(
            object(GATEWAY_GROUP, "Gateway", name),
            Wanted::Gateway(status),
        );
    }
    for (name, status) in listener_sets {
        wanted.insert(
            object(GATEWAY_GROUP, "ListenerSet", name),
            Wanted::ListenerSet(status),
        );
    }
    for (reference, parents) in &**routes {
        wanted.insert(reference.clone(), Wanted::Route(parents));
    }
    for (name, ancestors) in &**policies {
        let reference = object(POLICY_GROUP, "BackendTrafficPolicy", name);
        wanted.insert(reference, Wanted::Policy(ancestors));
    }
    for (name, ancestors) in &**client_policies {
        let reference = object(POLICY_GROUP, "ClientTrafficPolicy", name);
        wanted.insert(reference, Wanted::Policy(ancestors));
    }
    for (name, ancestors) in backend_tls_policies {
        let reference = object(GATEWAY_GROUP, "BackendTLSPolicy", name);
        wanted.insert(reference, Wanted::Policy(ancestors));
    }
    for (name, conditions) in &**backends {
        wanted.insert(
            object(POLICY_GROUP, "Backend", name),
            Wanted::Backend(conditions),
        );
    }
    wanted
}

/// The fields of the status as they are to be; none: they are so already.
pub(crate) fn merged(
    wanted: &Wanted<'_>,
    current: &Value,
    controller: &str,
    addresses: &[String],
    now: Timestamp,
) -> Option<Value> {
    let next = match wanted {
        Wanted::Class(wanted) => json!({
            "conditions": conditions(wanted, &current["conditions"], now),
            "supportedFeatures": FEATURES.map(|name| json!({"name": name})),
        }),
        Wanted::Gateway(wanted) => {
            let addresses: Vec<Value> = addresses.iter().map(|it| address(it)).collect();
            let mut next = gateway(wanted, current, now);
            if !addresses.is_empty() || !entries(&current["addresses"]).is_empty() {
                next["addresses"] = addresses.into();
            }
            next
        }
        Wanted::ListenerSet(wanted) => gateway(wanted, current, now),
        Wanted::Route(wanted) => {
            let wanted = wanted.iter().map(|it| {
                let RouteParentStatus {
                    parent_ref,
                    controller_name,
                    conditions,
                } = it;
                (parent_ref, controller_name.as_str(), conditions.as_slice())
            });
            let at = ("parentRef", MAX_PARENTS);
            json!({"parents": relations(wanted, &current["parents"], at, controller, now)})
        }
        Wanted::Policy(wanted) => {
            let wanted = wanted.iter().map(|it| {
                let PolicyAncestorStatus {
                    ancestor_ref,
                    controller_name,
                    conditions,
                } = it;
                (
                    ancestor_ref,
                    controller_name.as_str(),
                    conditions.as_slice(),
                )
            });
            let at = ("ancestorRef", MAX_ANCESTORS);
            json!({"ancestors": relations(wanted, &current["ancestors"], at, controller, now)})
        }
        Wanted::Backend(wanted) => {
            json!({"conditions": conditions(wanted, &current["conditions"], now)})
        }
    };
    let Value::Object(fields) = &next else {
        return None;
    };
    let same = fields.iter().all(|(name, value)| {
        let there = &current[name];
        there == value || there.is_null() && entries(value).is_empty()
    });
    (!same).then_some(next)
}

fn entries(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn address(text: &str) -> Value {
    let r#type = match text.parse::<std::net::IpAddr>() {
        Ok(_) => "IPAddress",
        Err(_) => "Hostname",
    };
    json!({"type": r#type, "value": text})
}

fn gateway(wanted: &GatewayStatus, current: &Value, now: Timestamp) -> Value {
    let GatewayStatus {
        conditions: of_gateway,
        listeners,
    } = wanted;
    let there = entries(&current["listeners"]);
    let of_listener = |listener: &ListenerStatus| {
        let ListenerStatus {
            name,
            supported_kinds,
            attached_routes,
            conditions: of_listener,
        } = listener;
        let there = there.iter().find(|it| it["name"] == **name);
        let there = there.map_or(&Value::Null, |it| &it["conditions"]);
        json!({
            "name": name,
            "supportedKinds": supported_kinds,
            "attachedRoutes": attached_routes,
            "conditions": conditions(of_listener, there, now),
        })
    };
    let listeners: Vec<Value> = listeners.iter().map(of_listener).collect();
    json!({
        "conditions": conditions(of_gateway, &current["conditions"], now),
        "listeners": listeners,
    })
}

/// The entries of a route or policy: ours as they are to be, in the places that they have; those of others untouched.
fn relations<'a>(
    wanted: impl Iterator<Item = (&'a ParentReference, &'a str, &'a [Condition])>,
    current: &Value,
    (reference, most): (&str, usize),
    controller: &str,
    now: Timestamp,
) -> Vec<Value> {
    let mut wanted: Vec<(Value, &str, &[Condition])> = wanted
        .map(|(it, controller, conditions)| (without_nulls(it), controller, conditions))
        .collect();
    let entry = |it: &Value, controller: &str, wanted: &[Condition], there: &Value| {
        let mut entry = Map::new();
        entry.insert(reference.to_owned(), it.clone());
        entry.insert("controllerName".to_owned(), controller.into());
        entry.insert(
            "conditions".to_owned(),
            conditions(wanted, there, now).into(),
        );
        Value::Object(entry)
    };
    let mut next = Vec::new();
    for there in entries(current) {
        if there["controllerName"] != controller {
            next.push(there.clone());
        } else if let Some(place) = wanted.iter().position(|(it, ..)| *it == there[reference]) {
            let (it, controller, conditions) = wanted.remove(place);
            next.push(entry(&it, controller, conditions, &there["conditions"]));
        }
    }
    for (it, controller, conditions) in &wanted {
        next.push(entry(it, controller, conditions, &Value::Null));
    }
    next.truncate(most);
    next
}

/// Conditions as they are to be, in the places that they have. Those whose type is of the domain of others stay.
fn conditions(wanted: &[Condition], current: &Value, now: Timestamp) -> Vec<Value> {
    let mut wanted: Vec<&Condition> = wanted.iter().collect();
    let mut next = Vec::new();
    for there in entries(current) {
        let r#type = there["type"].as_str().unwrap_or_default();
        if let Some(place) = wanted.iter().position(|it| it.r#type == r#type) {
            next.push(condition(wanted.remove(place), Some(there), now));
        } else if r#type.contains('/') && !r#type.starts_with("weir.dev/") {
            next.push(there.clone());
        }
    }
    next.extend(wanted.into_iter().map(|it| condition(it, None, now)));
    next
}

fn condition(wanted: &Condition, there: Option<&Value>, now: Timestamp) -> Value {
    let Condition {
        r#type,
        status,
        reason,
        message,
        observed_generation,
    } = wanted;
    let status = status.to_string();
    let since = there.filter(|it| it["status"] == *status);
    let since = since.map(|it| it["lastTransitionTime"].clone());
    let message: String = message.chars().take(MAX_MESSAGE).collect();
    without_nulls(&json!({
        "type": r#type,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": observed_generation,
        "lastTransitionTime": since.unwrap_or_else(|| format!("{now:.0}").into()),
    }))
}

/// A value of ours as JSON, without what it does not say.
fn without_nulls(value: &impl Serialize) -> Value {
    let mut value = serde_json::to_value(value).expect("statuses have no keys but texts");
    if let Value::Object(fields) = &mut value {
        fields.retain(|_, it| !it.is_null());
    }
    value
}

#[cfg(test)]
mod tests;
