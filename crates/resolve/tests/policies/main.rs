//! What policies do to routes, and what they are told: resources in, effective policies and statuses out.
//!
//! Every case begins with the same Gateway and routes, and adds what it is about.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod attachment;
mod clients;
mod clusters;
mod difference;
mod explanation;
mod invalid;
mod lints;
mod memo;
mod merging;
mod statuses;

use std::collections::BTreeMap;

use serde_json::Value;
use weir_plan::{Feature, NamespacedName, Support};
use weir_resolve::status::PolicyAncestorStatus;
use weir_resolve::{Context, EffectivePolicy, Memo, Object, Resolution, Resources};

/// Two listeners, an HTTPRoute with two named rules, and one on a single listener.
const BASE: &str = r"
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: weir}
spec: {controllerName: weir.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop, labels: {tier: edge}}
spec:
  gatewayClassName: weir
  listeners:
  - {name: http, protocol: HTTP, port: 80, allowedRoutes: {namespaces: {from: All}}}
  - {name: other, protocol: HTTP, port: 81, allowedRoutes: {namespaces: {from: All}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: shop, labels: {app: web, team: front}}
spec:
  parentRefs: [{name: edge}]
  rules:
  - {name: pay, backendRefs: [{name: backend, port: 80}]}
  - {name: rest, backendRefs: [{name: backend, port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: one, namespace: shop, labels: {app: one, team: front}}
spec:
  parentRefs: [{name: edge, sectionName: http}]
  hostnames: [one.example.com]
  rules: [{backendRefs: [{name: backend, port: 80}]}]
---
apiVersion: v1
kind: Service
metadata: {name: backend, namespace: shop}
spec: {ports: [{port: 80}]}
";

/// A Gateway with two listeners for TCP, and a TCPRoute on one of them.
const TCP: &str = r"
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: low, namespace: shop}
spec:
  gatewayClassName: weir
  listeners:
  - {name: tcp, protocol: TCP, port: 90}
  - {name: empty, protocol: TCP, port: 91}
---
apiVersion: gateway.networking.k8s.io/v1alpha2
kind: TCPRoute
metadata: {name: t, namespace: shop}
spec:
  parentRefs: [{name: low, sectionName: tcp}]
  rules: [{backendRefs: [{name: backend, port: 80}]}]
";

fn context() -> Context {
    Context {
        controller_name: "weir.dev/gateway-controller".to_owned(),
        every_class: false,
        support: |_: Feature| Support::Full,
        client_support: Support::Full,
        allow_unenforced: false,
        allow_loopback: true,
        addresses: weir_resolve::Addresses::Shared,
    }
}

/// The base, with more documents.
fn resources(more: &str) -> Resources {
    read(&format!("{BASE}---{more}"))
}

fn read(text: &str) -> Resources {
    let mut resources = Resources::default();
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    for document in documents.into_iter().filter(|it| !it.is_null()) {
        let (object, _warnings) = Object::read_unadmitted(document).unwrap();
        resources.insert(object.unwrap());
    }
    resources
}

fn resolved(more: &str) -> Resolution {
    weir_resolve::resolve(&resources(more), &context(), &mut Memo::default())
}

/// Another base, with more documents.
fn resolved_from(base: &str, more: &str) -> Resolution {
    let resources = read(&format!("{base}---{more}"));
    weir_resolve::resolve(&resources, &context(), &mut Memo::default())
}

/// A policy of namespace `shop` as a document: what it targets, such as `HTTPRoute web#pay`, and the rest of its spec.
fn policy(name: &str, target: &str, spec: &str) -> String {
    let (kind, object) = target.split_once(' ').unwrap();
    let (object, section) = object
        .split_once('#')
        .map_or((object, String::new()), |(object, section)| {
            (object, format!(", sectionName: {section}"))
        });
    format!(
        "
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {{name: {name}, namespace: shop}}
spec: {{targetRefs: [{{kind: {kind}, name: {object}{section}}}], {spec}}}
"
    )
}

/// A policy that limits connections, which tells it from others.
fn limit(name: &str, target: &str, connections: u32) -> String {
    policy(
        name,
        target,
        &format!("circuitBreaker: {{maxConnections: {connections}}}"),
    )
}

/// What applies to a rule, such as `web/0`, on a listener of `shop/edge`.
fn effective<'a>(resolution: &'a Resolution, rule: &str, listener: &str) -> &'a EffectivePolicy {
    let found = resolution.effective.iter().find(|it| {
        let name = format!("{}/{}", it.rule.route.name, it.rule.index);
        name == rule && &*it.listener.listener == listener
    });
    &found.unwrap().policy
}

/// The settings of a rule on listener `http`, as `field=value (policy)`.
fn settings(resolution: &Resolution, rule: &str) -> Vec<String> {
    settings_on(resolution, rule, "http")
}

fn settings_on(resolution: &Resolution, rule: &str, listener: &str) -> Vec<String> {
    let EffectivePolicy { settings, from, .. } = effective(resolution, rule, listener);
    let pointer = |path: &str| format!("/{}", path.replace(['.', '['], "/").replace(']', ""));
    let line = |(path, policy): (&weir_resolve::FieldPath, &weir_plan::PolicyRef)| {
        let value = settings.pointer(&pointer(path.as_str())).unwrap();
        format!("{path}={value} ({})", policy.name.name)
    };
    from.iter().map(line).collect()
}

/// The policies that are not in force for a rule on listener `http`, as `policy: reason`.
fn lost(resolution: &Resolution, rule: &str) -> Vec<String> {
    let lost = &effective(resolution, rule, "http").lost;
    lost.iter()
        .map(|it| format!("{}: {}", it.policy.name.name, it.reason))
        .collect()
}

/// What a policy is told, as `Kind name#section: Type=Status Reason message` for each condition.
fn told(resolution: &Resolution, policy: &str) -> Vec<String> {
    told_by(&resolution.statuses.policies, policy)
}

fn told_by(
    statuses: &BTreeMap<NamespacedName, Vec<PolicyAncestorStatus>>,
    policy: &str,
) -> Vec<String> {
    let name = NamespacedName::new("shop", policy);
    let ancestors = statuses.get(&name).map(Vec::as_slice).unwrap_or_default();
    let lines = ancestors.iter().flat_map(|status| {
        let reference = &status.ancestor_ref;
        let section = reference
            .section_name
            .as_ref()
            .map(|it| format!("#{it}"))
            .unwrap_or_default();
        status.conditions.iter().map(move |it| {
            let message = if it.reason == "Accepted" {
                ""
            } else {
                &it.message
            };
            let text = format!(
                "{} {}{section}: {}={:?} {} {message}",
                reference.kind, reference.name, it.r#type, it.status, it.reason
            );
            text.trim_end().to_owned()
        })
    });
    lines.collect()
}

/// The findings about a policy, as `id field`.
fn findings(resolution: &Resolution, policy: &str) -> Vec<String> {
    let about = resolution
        .diagnostics
        .iter()
        .filter(|it| &*it.object.name.name == policy);
    about.map(|it| format!("{} {}", it.id, it.field)).collect()
}
