//! Objects for tests, written as JSON and read without admission: what reaches the engine is anything that has the
//! right types.

#![expect(
    clippy::needless_pass_by_value,
    reason = "tests read better when they hand over what `json!` makes"
)]

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use weir_plan::{NamespacedName, Plan, RouteAction, Support};

use crate::api::{GATEWAY_GROUP, POLICY_GROUP};
use crate::diagnostics::ObjectRef;
use crate::object::{Object, OtherPolicy};
use crate::resources::{Objects, Resources};
use crate::status::{Condition, ConditionStatus};
use crate::{Context, Memo, Resolution, resolve};

/// A context in which only classes of the controller `test` are ours.
pub(crate) fn context() -> Context {
    Context {
        controller_name: "test".to_owned(),
        every_class: false,
        support: |_| Support::Full,
        client_support: Support::Full,
        allow_unenforced: false,
        allow_loopback: false,
        addresses: crate::Addresses::Shared,
    }
}

/// Resolves documents from an empty memo.
pub(crate) fn resolved(documents: &[Value]) -> Resolution {
    resolve(&resources(documents), &context(), &mut Memo::default())
}

/// The resources that documents make, with the class `ours`.
pub(crate) fn resources(documents: &[Value]) -> Resources {
    let mut resources = Resources::default();
    let class = json!({"kind": "GatewayClass", "metadata": {"name": "ours"}, "spec": {"controllerName": "test"}});
    for document in std::iter::once(&class).chain(documents) {
        insert(&mut resources, document);
    }
    resources
}

/// Adds an object. Without a namespace it is in `ns`, classes and namespaces aside.
pub(crate) fn insert(resources: &mut Resources, document: &Value) {
    let mut document = document.clone();
    let metadata = &mut document["metadata"];
    if metadata["namespace"].is_null() {
        metadata["namespace"] = json!("ns");
    }
    match document["kind"].as_str().unwrap() {
        "GatewayClass" => add(&mut resources.gateway_classes, document, ""),
        "Namespace" => add(&mut resources.namespaces, document, ""),
        "Gateway" => add(&mut resources.gateways, document, "ns"),
        "ListenerSet" => add(&mut resources.listener_sets, document, "ns"),
        "HTTPRoute" => add(&mut resources.http_routes, document, "ns"),
        "HTTPRouteFilter" => add(&mut resources.http_route_filters, document, "ns"),
        "ConfigMap" => add(&mut resources.config_maps, document, "ns"),
        "EnvoyProxy" => add(&mut resources.envoy_proxies, document, "ns"),
        "GRPCRoute" => add(&mut resources.grpc_routes, document, "ns"),
        "ClientTrafficPolicy" => add(&mut resources.client_policies, document, "ns"),
        "TCPRoute" => add(&mut resources.tcp_routes, document, "ns"),
        "TLSRoute" => add(&mut resources.tls_routes, document, "ns"),
        "UDPRoute" => add(&mut resources.udp_routes, document, "ns"),
        "ReferenceGrant" => add(&mut resources.reference_grants, document, "ns"),
        "Service" => add(&mut resources.services, document, "ns"),
        "EndpointSlice" => add(&mut resources.endpoint_slices, document, "ns"),
        "Backend" => add(&mut resources.backends, document, "ns"),
        "BackendTLSPolicy" => add(&mut resources.backend_tls_policies, document, "ns"),
        "BackendTrafficPolicy" => add(&mut resources.policies, document, "ns"),
        "Secret" => {
            document["apiVersion"] = json!("v1");
            let read = Object::read_unadmitted(document).unwrap();
            resources.insert(read.0.unwrap());
        }
        "SecurityPolicy" => {
            let object = ObjectRef {
                group: POLICY_GROUP.to_owned(),
                kind: "SecurityPolicy".to_owned(),
                name: NamespacedName::new("ns", document["metadata"]["name"].as_str().unwrap()),
            };
            let spec = document["spec"].take();
            let policy = Arc::new(OtherPolicy {
                object,
                spec,
                annotations: std::collections::BTreeMap::new(),
            });
            let name = policy.object.clone();
            resources.other_policies.insert(name, policy);
        }
        kind => panic!("no fixture for {kind}"),
    }
}

fn add<T: DeserializeOwned>(objects: &mut Objects<T>, document: Value, scope: &str) {
    let text = |field: &str| document["metadata"][field].as_str().unwrap().to_owned();
    let namespace = if scope.is_empty() {
        String::new()
    } else {
        text("namespace")
    };
    let name = NamespacedName::new(namespace, text("name"));
    let object = serde_json::from_value(document.clone())
        .unwrap_or_else(|error| panic!("{error}: {document}"));
    objects.insert(name, Arc::new(object));
}

/// A Gateway of ours.
pub(crate) fn gateway(name: &str, listeners: Value) -> Value {
    json!({"kind": "Gateway", "metadata": {"name": name}, "spec": {"gatewayClassName": "ours", "listeners": listeners}})
}

/// A Gateway `edge` with one HTTP listener `http` on port 80.
pub(crate) fn edge() -> Value {
    gateway(
        "edge",
        json!([{"name": "http", "port": 80, "protocol": "HTTP"}]),
    )
}

/// An HTTPRoute on the Gateway `edge`.
pub(crate) fn route(name: &str, rules: Value) -> Value {
    json!({"kind": "HTTPRoute", "metadata": {"name": name}, "spec": {"parentRefs": [{"name": "edge"}], "rules": rules}})
}

/// A Service with port 80.
pub(crate) fn service(name: &str) -> Value {
    json!({"kind": "Service", "metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}})
}

/// A Backend with these endpoints.
pub(crate) fn backend(name: &str, endpoints: Value) -> Value {
    json!({"kind": "Backend", "metadata": {"name": name}, "spec": {"endpoints": endpoints}})
}

/// A backendRef to a Service of [`service`].
pub(crate) fn to_service(name: &str) -> Value {
    json!({"name": name, "port": 80})
}

/// A backendRef to a Backend.
pub(crate) fn to_backend(name: &str) -> Value {
    json!({"group": POLICY_GROUP, "kind": "Backend", "name": name})
}

/// Names a Gateway API object in `ns`.
pub(crate) fn object(kind: &str, name: &str) -> ObjectRef {
    ObjectRef {
        group: GATEWAY_GROUP.to_owned(),
        kind: kind.to_owned(),
        name: NamespacedName::new("ns", name),
    }
}

/// Conditions in short: `Accepted`, `!Programmed(Invalid)`, `?ResolvedRefs(Pending)`.
pub(crate) fn short(conditions: &[Condition]) -> Vec<String> {
    let text = |it: &Condition| match it.status {
        ConditionStatus::True if it.reason == it.r#type => it.r#type.clone(),
        ConditionStatus::True => format!("{}({})", it.r#type, it.reason),
        ConditionStatus::False => format!("!{}({})", it.r#type, it.reason),
        ConditionStatus::Unknown => format!("?{}({})", it.r#type, it.reason),
    };
    conditions.iter().map(text).collect()
}

/// The conditions of a route's first parent in short.
pub(crate) fn route_conditions(resolution: &Resolution, kind: &str, name: &str) -> Vec<String> {
    let parents = resolution.statuses.routes.get(&object(kind, name));
    parents.map_or_else(Vec::new, |parents| short(&parents[0].conditions))
}

/// The routes of a plan in their order: `PORT LISTENER HOST PATH -> what is done`.
pub(crate) fn table(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    for listener in &plan.listeners {
        for host in &listener.hosts {
            for route in &host.routes {
                let action = match &route.rule.action {
                    RouteAction::Forward(_) => "forward".to_owned(),
                    RouteAction::Redirect(it) => format!("redirect {}", it.status),
                    RouteAction::Respond(it) => format!("respond {}", it.status),
                };
                let name = route.name.as_str();
                lines.push(format!(
                    "{}/{} {name} {action}",
                    listener.port, listener.name.listener
                ));
            }
        }
    }
    lines
}
