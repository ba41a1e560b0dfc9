//! The memo saves work and changes nothing: after any edits, a full memo and an empty one give equal results.

use std::sync::LazyLock;

use proptest::prelude::{Strategy, any, proptest};
use proptest::test_runner::Config;
use serde_json::{Value, json};
use weir_plan::NamespacedName;

use super::*;
use crate::fixtures::{
    backend, context, gateway, insert, resources, route, service, to_backend, to_service,
};
use crate::{Resolution, resolve};

/// An edit of one of few objects, so that edits meet: which object, what it becomes.
#[derive(Clone, Copy, Debug)]
struct Edit {
    object: u8,
    version: u8,
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let edit = (0..21_u8, any::<u8>()).prop_map(|(object, version)| Edit { object, version });
    proptest::collection::vec(edit, 1..24)
}

proptest! {
    #![proptest_config(Config { cases: 200, failure_persistence: None, ..Config::default() })]
    #[test]
    fn a_full_memo_and_an_empty_one_give_equal_results(edits in edits()) {
        let (mut memo, context) = (Memo::default(), context());
        let mut world = resources(&[]);
        for edit in edits {
            apply(&mut world, edit);
            let kept = resolve(&world, &context, &mut memo);
            let fresh = resolve(&world, &context, &mut Memo::default());
            assert_same(&kept, &fresh, edit);
        }
    }
}

fn assert_same(kept: &Resolution, fresh: &Resolution, edit: Edit) {
    let Resolution {
        plan,
        statuses,
        effective,
        diagnostics,
        policies: _,
        clients,
    } = kept;
    // Not `assert_eq!`: what it would print fills screens.
    assert!(*plan == fresh.plan, "plan after {edit:?}");
    assert!(*clients == fresh.clients, "clients after {edit:?}");
    assert!(*statuses == fresh.statuses, "statuses after {edit:?}");
    assert!(
        *effective == fresh.effective,
        "effective policies after {edit:?}"
    );
    assert!(
        *diagnostics == fresh.diagnostics,
        "diagnostics after {edit:?}"
    );
}

/// So many must meet for this that edits at random hardly ever bring it about.
#[test]
fn a_config_map_that_a_filter_refers_to_is_followed() {
    let (mut memo, context) = (Memo::default(), context());
    let refer = json!([{"type": "ExtensionRef", "extensionRef": {
        "group": "gateway.envoyproxy.io", "kind": "HTTPRouteFilter", "name": "filter"}}]);
    let mut world = resources(&[
        gateway(
            "edge",
            json!([{"name": "http", "port": 80, "protocol": "HTTP"}]),
        ),
        route("a", json!([{"filters": refer}])),
        json!({"kind": "HTTPRouteFilter", "metadata": {"name": "filter"}, "spec": {"directResponse": {
            "body": {"type": "ValueRef", "valueRef": {"group": "", "kind": "ConfigMap", "name": "page"}}}}}),
    ]);
    let mut bodies = Vec::new();
    for text in [None, Some("one"), Some("two"), None] {
        world.config_maps.clear();
        if let Some(text) = text {
            let map =
                json!({"kind": "ConfigMap", "metadata": {"name": "page"}, "data": {"a": text}});
            insert(&mut world, &map);
        }
        let plan = serde_json::to_value(&*resolve(&world, &context, &mut memo).plan).unwrap();
        let answer = &plan["listeners"][0]["hosts"][0]["routes"][0]["rule"]["action"]["Respond"];
        bodies.push((answer["status"].clone(), answer["content"]["body"].clone()));
    }
    let missing = (json!(500), Value::Null);
    let found = |text: &str| (json!(200), json!(text));
    assert_eq!(
        bodies,
        [missing.clone(), found("one"), found("two"), missing]
    );
}

/// Two certificates, which could be those of authorities as well, with their keys.
static CERTIFICATES: LazyLock<[(String, String); 2]> = LazyLock::new(|| {
    [0, 1].map(|_| {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["a.example.com".to_owned()]).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    })
});

/// One version in eight takes the object away.
fn apply(world: &mut Resources, Edit { object, version }: Edit) {
    let gone = version % 8 == 0;
    let bit = |n: u8| version & (8 << n) != 0;
    let time = |old: bool| {
        json!(if old {
            "2024-01-01T00:00:00Z"
        } else {
            "2025-01-01T00:00:00Z"
        })
    };
    let named = |name: &str| NamespacedName::new("ns", name);
    let document = match object {
        0 | 1 => {
            let name = ["edge", "other"][usize::from(object)];
            if gone {
                world.gateways.remove(&named(name));
                return;
            }
            let mut listeners = vec![
                json!({"name": "http", "port": 80, "protocol": "HTTP"}),
                json!({"name": "tcp", "port": if bit(2) { 1 } else { 2 }, "protocol": "TCP"}),
            ];
            if bit(0) {
                listeners.push(
                    json!({"name": "more", "port": if bit(1) { 80 } else { 81 }, "protocol": "HTTP",
                    "hostname": if bit(2) { "*.example.com" } else { "a.example.com" }}),
                );
            }
            let namespace = if bit(3) { "ns" } else { "far" };
            listeners.push(
                json!({"name": "https", "port": if bit(1) { 443 } else { 444 }, "protocol": "HTTPS",
                "tls": {"certificateRefs": [{"name": "cert", "namespace": namespace}]}}),
            );
            let mut it = gateway(name, json!(listeners));
            if bit(2) {
                it["spec"]["tls"] = json!({"frontend": {"default": {"validation": {"caCertificateRefs": [
                    {"group": "", "kind": "ConfigMap", "name": "page"}]}}}});
            }
            it["metadata"]["creationTimestamp"] = time(bit(3));
            if bit(1) {
                it["spec"]["infrastructure"] = json!({"parametersRef": {
                    "group": "gateway.envoyproxy.io", "kind": "EnvoyProxy", "name": "proxy"}});
            }
            it["spec"]["allowedListeners"] =
                json!({"namespaces": {"from": if bit(4) { "Same" } else { "None" }}});
            it
        }
        2 if gone => return drop(world.listener_sets.remove(&named("set"))),
        2 => json!({"kind": "ListenerSet", "metadata": {"name": "set"}, "spec": {
            "parentRef": {"name": if bit(0) { "edge" } else { "other" }},
            "listeners": [{"name": "http", "port": if bit(1) { 80 } else { 82 }, "protocol": "HTTP"}]}}),
        3..=6 => {
            let name = ["a", "b", "c", "d"][usize::from(object - 3)];
            if gone {
                world.http_routes.remove(&named(name));
                return;
            }
            http_route(name, &bit, time(bit(4)))
        }
        7 if gone => return drop(world.services.remove(&named("s"))),
        7 => {
            let mut it = service("s");
            it["spec"]["ports"][0]["port"] = json!(if bit(0) { 80 } else { 81 });
            it["spec"]["clusterIP"] = json!("10.9.9.9");
            it
        }
        8 if gone => return drop(world.backends.remove(&named("be"))),
        8 => backend(
            "be",
            json!([{"ip": {"address": if bit(0) { "10.0.0.1" } else { "nonsense" }, "port": 1}}]),
        ),
        9 if gone => {
            return drop(
                world
                    .reference_grants
                    .remove(&NamespacedName::new("far", "grant")),
            );
        }
        9 => {
            json!({"kind": "ReferenceGrant", "metadata": {"name": "grant", "namespace": "far"}, "spec": {
            "from": [{"group": "gateway.networking.k8s.io", "kind": if bit(1) { "HTTPRoute" } else { "Gateway" }, "namespace": "ns"}],
            "to": [{"group": "", "kind": if bit(0) { "Service" } else { "Secret" }}]}})
        }
        10 if gone => return drop(world.policies.remove(&named("p"))),
        10 => policy("p", &bit),
        11 if gone => return drop(world.policies.remove(&named("q"))),
        11 => policy("q", &bit),
        12 if gone => return drop(world.envoy_proxies.remove(&named("proxy"))),
        12 => json!({"kind": "EnvoyProxy", "metadata": {"name": "proxy"}, "spec": {
            "routingType": if bit(0) { "Service" } else { "Endpoint" }}}),
        13 if gone => return drop(world.grpc_routes.remove(&named("a"))),
        13 => {
            let mut it = http_route("a", &bit, time(bit(4)));
            it["kind"] = json!("GRPCRoute");
            it["spec"]["rules"][0]["matches"] = json!([{"method": {"service": "x"}}]);
            it
        }
        14 if gone => return drop(world.http_route_filters.remove(&named("filter"))),
        14 => {
            let body = if bit(0) {
                json!({"type": "ValueRef", "valueRef": {"group": "", "kind": "ConfigMap", "name": "page"}})
            } else {
                json!({"inline": "here"})
            };
            json!({"kind": "HTTPRouteFilter", "metadata": {"name": "filter"}, "spec": if bit(1) {
                json!({"directResponse": {"statusCode": 403, "body": body}})
            } else {
                json!({"urlRewrite": {"hostname": {"type": "Backend"}}})
            }})
        }
        15 if gone => return drop(world.config_maps.remove(&named("page"))),
        15 => {
            let mut data = if bit(0) { json!({"a": "1"}) } else { json!({}) };
            if bit(1) {
                data["ca.crt"] = json!(CERTIFICATES[usize::from(bit(2))].0);
            }
            json!({"kind": "ConfigMap", "metadata": {"name": "page"}, "data": data})
        }
        17 | 18 => {
            let namespace = if object == 17 { "ns" } else { "far" };
            let name = NamespacedName::new(namespace, "cert");
            if gone {
                return drop(world.secrets.remove(&name));
            }
            let (certificate, key) = &CERTIFICATES[usize::from(bit(0))];
            let key = if bit(1) { key } else { "no key" };
            json!({"kind": "Secret", "metadata": {"name": "cert", "namespace": namespace}, "type": "kubernetes.io/tls",
                "stringData": {"tls.crt": certificate, "tls.key": key}})
        }
        19 if gone => return drop(world.client_policies.remove(&named("c"))),
        19 => client_policy("c", &bit),
        20 if gone => return drop(world.client_policies.remove(&named("d"))),
        20 => client_policy("d", &bit),
        _ if gone => return drop(world.tcp_routes.remove(&named("a"))),
        _ => {
            let mut it = route(
                "a",
                json!([{"backendRefs": [if bit(0) { to_service("s") } else { to_backend("be") }]}]),
            );
            it["kind"] = json!("TCPRoute");
            it["metadata"]["creationTimestamp"] = time(bit(1));
            it
        }
    };
    insert(world, &document);
    if object == 7 {
        let mut far = document;
        far["metadata"]["namespace"] = json!("far");
        insert(world, &far);
    }
}

fn http_route(name: &str, bit: &dyn Fn(u8) -> bool, created: Value) -> Value {
    let mut far = to_service("s");
    far["namespace"] = json!("far");
    let first = if bit(0) {
        to_service("s")
    } else {
        to_backend("be")
    };
    let second = if bit(1) { far } else { to_backend("gone") };
    let matches = if bit(2) {
        json!([{"path": {"value": "/x"}}])
    } else {
        json!([])
    };
    let filters = if bit(1) {
        json!([{"type": "ExtensionRef", "extensionRef": {
            "group": "gateway.envoyproxy.io", "kind": "HTTPRouteFilter", "name": "filter"}}])
    } else {
        json!([])
    };
    let mut it = route(
        name,
        json!([{"matches": matches, "backendRefs": [first, second]}, {"backendRefs": [first], "filters": filters}]),
    );
    it["metadata"]["creationTimestamp"] = created;
    if bit(3) {
        it["spec"]["hostnames"] = json!(["a.example.com", "b.example.com"]);
    }
    if bit(4) {
        it["spec"]["parentRefs"] =
            json!([{"name": "other"}, {"name": "set", "kind": "ListenerSet"}, {"name": "edge"}]);
    }
    it
}

fn policy(name: &str, bit: &dyn Fn(u8) -> bool) -> Value {
    let target = match (bit(0), bit(1)) {
        (true, true) => json!({"kind": "Gateway", "name": "edge"}),
        (true, false) => json!({"kind": "Gateway", "name": "edge", "sectionName": "more"}),
        (false, true) if bit(4) => json!({"kind": "TCPRoute", "name": "a"}),
        (false, true) => {
            json!({"kind": if bit(3) { "GRPCRoute" } else { "HTTPRoute" }, "name": "a"})
        }
        (false, false) => json!({"kind": "HTTPRoute", "name": "b"}),
    };
    let mut spec = json!({
        "targetRefs": [target],
        "circuitBreaker": {"maxConnections": if bit(2) { 7 } else { 8 }},
    });
    spec["targetRefs"][0]["group"] = json!("gateway.networking.k8s.io");
    if bit(4) {
        spec["rateLimit"] =
            json!({"local": {"rules": [{"limit": {"requests": 1, "unit": "Hour"}}]}});
    }
    if bit(3) {
        spec["timeout"] = json!({"http": {"requestTimeout": "nonsense"}});
    }
    json!({"kind": "BackendTrafficPolicy", "metadata": {"name": name}, "spec": spec})
}

fn client_policy(name: &str, bit: &dyn Fn(u8) -> bool) -> Value {
    let mut target = match (bit(0), bit(1)) {
        (true, _) => json!({"kind": "Gateway", "name": "edge"}),
        (false, true) => json!({"kind": "Gateway", "name": "edge", "sectionName": "https"}),
        (false, false) => json!({"kind": "ListenerSet", "name": "set"}),
    };
    target["group"] = json!("gateway.networking.k8s.io");
    let kind = if bit(3) { "Secret" } else { "ConfigMap" };
    let authorities = json!({"kind": kind, "name": if bit(3) { "cert" } else { "page" }});
    let mut spec = json!({
        "targetRefs": [target],
        "headers": {"disableRateLimitHeaders": bit(2)},
        "timeout": {"http": {"streamIdleTimeout": if bit(3) { "1s" } else { "2s" }}},
        "http1": {"http10": {"useDefaultHost": bit(4)}},
        "connection": {"connectionLimit": {"value": 1 + u8::from(bit(3))}},
    });
    if bit(2) {
        spec["tls"] = json!({"clientValidation": {"caCertificateRefs": [authorities]}});
    }
    json!({"kind": "ClientTrafficPolicy", "metadata": {"name": name}, "spec": spec})
}

fn objects(names: &[(&str, &Arc<u8>)]) -> Objects<u8> {
    names
        .iter()
        .map(|(name, it)| (NamespacedName::new("ns", *name), Arc::clone(it)))
        .collect()
}

#[test]
fn only_what_is_another_arc_has_changed() {
    let [a, b, c, other] = [1, 2, 3, 2].map(Arc::new);
    let now = objects(&[("a", &a), ("b", &b), ("d", &c)]);
    let mut seen = Objects::default();
    let changes = |seen: &mut Objects<u8>, now: &Objects<u8>| -> Vec<String> {
        let text = |it: Option<Arc<u8>>| it.map_or("-".to_owned(), |it| it.to_string());
        since(seen, now)
            .into_iter()
            .map(|it| format!("{} {}>{}", it.name.name, text(it.old), text(it.new)))
            .collect()
    };
    assert_eq!(changes(&mut seen, &now), ["a ->1", "b ->2", "d ->3"]);
    assert!(changes(&mut seen, &now).is_empty());
    let now = objects(&[("b", &other), ("c", &c), ("d", &c), ("e", &a)]);
    assert_eq!(
        changes(&mut seen, &now),
        ["a 1>-", "b 2>2", "c ->3", "e ->1"]
    );
    assert_eq!(seen, now);
    assert_eq!(changes(&mut seen, &Objects::default()).len(), 4);
    assert!(seen.is_empty());
}
