//! A memo saves work and changes nothing.

use std::sync::Arc;

use weir_resolve::{Memo, Object, Resolution, Resources};

use super::clusters::WITH_CLUSTER_IP;
use super::{context, limit, policy, resources};

fn same(one: &Resolution, other: &Resolution) {
    assert_eq!(one.plan, other.plan);
    assert_eq!(one.statuses, other.statuses);
    assert_eq!(one.effective, other.effective);
    assert_eq!(one.diagnostics, other.diagnostics);
}

fn insert(resources: &mut Resources, document: &str) {
    let document = serde_saphyr::from_str(document.trim_start_matches("\n---")).unwrap();
    let (object, _) = Object::read_unadmitted(document).unwrap();
    resources.insert(object.unwrap());
}

const SELECTING: &str = "
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {name: selecting, namespace: team}
spec:
  targetSelectors:
  - kind: HTTPRoute
    matchLabels: {app: one}
    namespaces: {from: Selector, selector: {matchLabels: {env: prod}}}
  circuitBreaker: {maxConnections: 9}
";

const GRANT: &str = "
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: grant, namespace: shop}
spec:
  from: [{group: gateway.envoyproxy.io, kind: BackendTrafficPolicy, namespace: team}]
  to: [{group: gateway.networking.k8s.io, kind: HTTPRoute}]
";

/// The route `web` with the label of `one`.
const RELABELLED: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: shop, labels: {app: one}}
spec:
  parentRefs: [{name: edge}]
  rules: [{backendRefs: [{name: backend, port: 80}]}, {name: pay, backendRefs: [{name: backend, port: 80}]}]
";

#[test]
fn every_edit_gives_what_an_empty_memo_gives() {
    let config_map = |data: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: page, namespace: shop}}\ndata: {data}"
        )
    };
    let body = "responseOverride: [{response: {body: {type: ValueRef, valueRef: {kind: ConfigMap, name: page}}}}]";
    let edits = [
        limit("gateway", "Gateway edge", 1),
        limit("gateway", "Gateway edge", 2),
        limit("route", "HTTPRoute web", 3),
        limit("another", "HTTPRoute web", 4),
        policy(
            "route",
            "HTTPRoute web",
            "mergeType: StrategicMerge, retry: {numRetries: 7}",
        ),
        policy(
            "listener",
            "Gateway edge#http",
            "mergeType: JSONMerge, retry: {numRetries: -7}",
        ),
        limit("rule", "HTTPRoute web#pay", 5),
        limit("secure", "HTTPRoute one", 1).replace("BackendTrafficPolicy", "SecurityPolicy"),
        limit("secure", "HTTPRoute web", 1).replace("BackendTrafficPolicy", "SecurityPolicy"),
        policy("rule", "HTTPRoute web#pay", "routingType: Service"),
        WITH_CLUSTER_IP.to_owned(),
        policy("page", "HTTPRoute one", body),
        config_map("{}"),
        config_map("{response.body: hello}"),
        config_map("{}"),
        SELECTING.to_owned(),
        GRANT.to_owned(),
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {env: prod}}".to_owned(),
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {env: test}}".to_owned(),
        RELABELLED.to_owned(),
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {env: prod}}".to_owned(),
        GRANT.replace("BackendTrafficPolicy", "SecurityPolicy"),
        limit("gateway", "Gateway unknown", 1),
    ];
    let (mut resources, mut memo) = (resources(""), Memo::default());
    for edit in edits {
        insert(&mut resources, &edit);
        let with_memo = weir_resolve::resolve(&resources, &context(), &mut memo);
        same(
            &with_memo,
            &weir_resolve::resolve(&resources, &context(), &mut Memo::default()),
        );
    }
    resources.policies.clear();
    let with_memo = weir_resolve::resolve(&resources, &context(), &mut memo);
    same(
        &with_memo,
        &weir_resolve::resolve(&resources, &context(), &mut Memo::default()),
    );
}

#[test]
fn what_did_not_change_is_the_same_in_memory() {
    let world = [
        limit("gateway", "Gateway edge", 1),
        limit("route", "HTTPRoute web", 2),
    ]
    .concat();
    let (mut resources, mut memo) = (resources(&world), Memo::default());
    let first = weir_resolve::resolve(&resources, &context(), &mut memo);
    insert(&mut resources, &limit("route", "HTTPRoute web", 3));
    let second = weir_resolve::resolve(&resources, &context(), &mut memo);
    let shared = |rule: &str| {
        let of = |resolution: &Resolution| {
            let found = resolution
                .effective
                .iter()
                .find(|it| &*it.rule.route.name == rule);
            Arc::clone(&found.unwrap().policy)
        };
        Arc::ptr_eq(&of(&first), &of(&second))
    };
    assert_eq!((shared("web"), shared("one")), (false, true));
}
