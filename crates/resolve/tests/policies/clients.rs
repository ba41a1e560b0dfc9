//! What ClientTrafficPolicies do to listeners, and what they are told.

mod explained;
mod lowering;
mod routes;
mod sharing;
mod tls;

use serde_json::Value;
use weir_plan::{ClientPolicy, Listener};
use weir_resolve::explain::clients::{self, ListenerExplanation};
use weir_resolve::{Memo, Resolution};

use super::{TCP, context, findings, policy, resolved, resources, told_by};

/// A ClientTrafficPolicy of namespace `shop`: what it targets, such as `Gateway edge#http`, and the rest of its spec.
fn client(name: &str, target: &str, spec: &str) -> String {
    policy(name, target, spec).replace("BackendTrafficPolicy", "ClientTrafficPolicy")
}

/// The same, created at this time.
fn aged(created: &str, policy: &str) -> String {
    let created = format!("namespace: shop, creationTimestamp: \"{created}\"}}");
    policy.replace("namespace: shop}", &created)
}

const OLD: &str = "2024-01-01T00:00:00Z";
const NEW: &str = "2025-01-01T00:00:00Z";

/// What a policy is told, as `told` has it.
fn told(resolution: &Resolution, policy: &str) -> Vec<String> {
    told_by(&resolution.statuses.client_policies, policy)
}

fn listener<'a>(resolution: &'a Resolution, name: &str) -> &'a Listener {
    let mut all = resolution.plan.listeners.iter();
    all.find(|it| &*it.name.listener == name).unwrap()
}

/// What a listener is told of its clients.
fn of_clients(resolution: &Resolution, name: &str) -> ClientPolicy {
    let client = listener(resolution, name).client.as_deref().cloned();
    client.unwrap_or(ClientPolicy::DEFAULT)
}

/// The policy of a listener, and the ones that it has not, as `policy: reason`.
fn standing(resolution: &Resolution, name: &str) -> (Option<String>, Vec<String>) {
    let ListenerExplanation { policy, lost, .. } =
        clients::listeners(resolution, |it| &*it.listener == name).remove(0);
    let lost = lost
        .iter()
        .map(|it| format!("{}: {}", it.policy.name.name, it.reason));
    (policy.map(|it| it.name.name.to_string()), lost.collect())
}

/// How the routes on a listener answer: the status of each entry, 0 where it forwards.
fn answers(resolution: &Resolution, name: &str) -> Vec<u64> {
    let routes = listener(resolution, name)
        .hosts
        .iter()
        .flat_map(|it| &it.routes);
    let action = |it: &Value| it["action"]["Respond"]["status"].as_u64().unwrap_or(0);
    routes
        .map(|it| action(&serde_json::to_value(&*it.rule).unwrap()))
        .collect()
}

/// A ListenerSet of Gateway `edge`, with a listener on port 82.
const SET: &str = "
---
apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {name: more, namespace: shop, labels: {tier: edge}}
spec:
  parentRef: {name: edge}
  listeners: [{name: l, protocol: HTTP, port: 82}]
";

/// The base with a Gateway that lets ListenerSets in.
fn with_set(more: &str) -> Resolution {
    let base = super::BASE.replace(
        "  gatewayClassName: weir\n",
        "  gatewayClassName: weir\n  allowedListeners: {namespaces: {from: All}}\n",
    );
    super::resolved_from(&base, &format!("{SET}{more}"))
}

#[test]
fn the_most_specific_has_a_listener_then_the_oldest() {
    let set = "shop/more/l";
    let gateway = client("gateway", "Gateway edge", "scheme: MatchBackend");
    let other = client("z", "Gateway edge", "{}".trim_matches(['{', '}']));
    let section = client("section", "Gateway edge#http", "http3: {}");
    let of_set = client("set", "ListenerSet more", "http3: {}");
    let of_set_section = client("set-l", "ListenerSet more#l", "http3: {}");
    let older = |one: &str, other: &str| [aged(OLD, one), aged(NEW, other)].concat();
    let more_specific = |by: &str, of: &str| {
        vec![format!(
            "{of}: replaced by a more specific policy: ClientTrafficPolicy/shop/{by}"
        )]
    };
    // (policies, listener, whose it is, who lost it)
    let cases = [
        (String::new(), "http", None, vec![]),
        (gateway.clone(), "http", Some("gateway"), vec![]),
        (gateway.clone(), set, Some("gateway"), vec![]),
        (
            [&*gateway, &section].concat(),
            "http",
            Some("section"),
            more_specific("section", "gateway"),
        ),
        ([&*gateway, &section].concat(), "other", Some("gateway"), vec![]),
        (section.clone(), "other", None, vec![]),
        (
            [&*gateway, &of_set].concat(),
            set,
            Some("set"),
            more_specific("set", "gateway"),
        ),
        (
            [&*of_set, &of_set_section].concat(),
            set,
            Some("set-l"),
            more_specific("set-l", "set"),
        ),
        (
            older(&other, &gateway),
            "http",
            Some("z"),
            vec![format!(
                "gateway: older policy won: ClientTrafficPolicy/shop/z has the same target since {OLD}, this one since {NEW}"
            )],
        ),
        (
            [&*gateway, &other].concat(),
            "http",
            Some("gateway"),
            vec![
                "z: ClientTrafficPolicy/shop/gateway, of the same age, has the same target and comes first by name"
                    .to_owned(),
            ],
        ),
        // Nothing is merged: the more specific counts, however young.
        (
            older(&gateway, &section),
            "http",
            Some("section"),
            more_specific("section", "gateway"),
        ),
    ];
    for (policies, listener, winner, lost) in cases {
        let resolution = with_set(&policies);
        let winner = winner.map(str::to_owned);
        assert_eq!(
            standing(&resolution, listener),
            (winner, lost),
            "{policies}"
        );
    }
    let resolution = with_set(&[gateway, section].concat());
    let schemes = ["http", "other"].map(|it| of_clients(&resolution, it).scheme);
    let schemes = schemes.map(|it| format!("{it:?}"));
    assert_eq!(schemes, ["Preserve", "MatchBackend"]);
}

#[test]
fn targets_by_every_way_of_naming_them() {
    let spec = |target: &str| {
        format!(
            "
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: ClientTrafficPolicy
metadata: {{name: c, namespace: shop}}
spec: {{{target}}}
"
        )
    };
    let group = "group: gateway.networking.k8s.io";
    // (how the target is named, the listeners that have the policy)
    for (target, expected) in [
        (
            format!("targetRef: {{{group}, kind: Gateway, name: edge}}"),
            vec!["http", "other", "shop/more/l"],
        ),
        (
            format!(
                "targetRefs: [{{{group}, kind: Gateway, name: edge, sectionName: other}}, {{{group}, kind: ListenerSet, name: more}}]"
            ),
            vec!["other", "shop/more/l"],
        ),
        (
            "targetSelectors: [{kind: Gateway, matchLabels: {tier: edge}}]".to_owned(),
            vec!["http", "other", "shop/more/l"],
        ),
        (
            "targetSelectors: [{kind: ListenerSet, matchLabels: {tier: edge}}]".to_owned(),
            vec!["shop/more/l"],
        ),
        (
            "targetSelectors: [{kind: Gateway, matchLabels: {tier: none}}]".to_owned(),
            vec![],
        ),
        (
            format!("targetRefs: [{{{group}, kind: Gateway, name: gone}}]"),
            vec![],
        ),
    ] {
        let resolution = with_set(&spec(&target));
        let has = clients::listeners(&resolution, |_| true).into_iter();
        let has = has
            .filter(|it| it.policy.is_some())
            .map(|it| it.listener.listener.to_string());
        assert_eq!(has.collect::<Vec<_>>(), expected, "{target}");
    }
}

#[test]
fn what_policies_are_told_of_one_another() {
    let both = |target: &str| {
        [
            client("a", target, "http3: {}"),
            client("b", target, "http3: {}"),
        ]
        .concat()
    };
    for (target, ancestor, text) in [
        ("Gateway edge", "Gateway edge", "target Gateway edge"),
        (
            "Gateway edge#http",
            "Gateway edge#http",
            "target section of edge",
        ),
        (
            "ListenerSet more",
            "ListenerSet more",
            "target ListenerSet more",
        ),
    ] {
        let resolution = with_set(&both(target));
        assert_eq!(
            told(&resolution, "a"),
            [format!("{ancestor}: Accepted=True Accepted")]
        );
        let expected = format!(
            "{ancestor}: Accepted=False Conflicted Unable to {text}, another ClientTrafficPolicy has already attached to it"
        );
        assert_eq!(told(&resolution, "b"), [expected]);
        assert_eq!(
            findings(&resolution, "b"),
            ["policy-conflict spec.targetRefs[0]"]
        );
    }
    let resolution = with_set(
        &[
            client("gateway", "Gateway edge", "http3: {}"),
            client("one", "Gateway edge#http", "http3: {}"),
            client("set", "ListenerSet more#l", "http3: {}"),
            client("gone", "Gateway edge#gone", "http3: {}"),
        ]
        .concat(),
    );
    assert_eq!(
        told(&resolution, "gateway"),
        [
            "Gateway edge: Overridden=True Overridden There are existing ClientTrafficPolicies that are overriding these sections [http shop/more/l]",
            "Gateway edge: Accepted=True Accepted",
        ]
    );
    assert_eq!(
        told(&resolution, "set"),
        ["ListenerSet more#l: Accepted=True Accepted"]
    );
    assert_eq!(
        told(&resolution, "gone"),
        [
            "Gateway edge#gone: Accepted=False TargetNotFound No section name gone found for Gateway shop/edge"
        ]
    );
    assert_eq!(
        findings(&resolution, "gone"),
        ["section-not-found spec.targetRefs[0]"]
    );
}

#[test]
fn an_invalid_policy_fails_closed() {
    let spec = "timeout: {http: {idleTimeout: soon}}, scheme: MatchBackend";
    let resolution = resolved(&client("c", "Gateway edge#http", spec));
    assert_eq!(answers(&resolution, "http"), [500, 500, 500]);
    assert_eq!(answers(&resolution, "other"), [0, 0]);
    assert_eq!(of_clients(&resolution, "http"), ClientPolicy::DEFAULT);
    assert_eq!(
        told(&resolution, "c"),
        ["Gateway edge#http: Accepted=False Invalid Timeout: invalid HTTP IdleTimeout value soon."]
    );
    assert_eq!(
        findings(&resolution, "c"),
        ["invalid-policy spec.timeout.http.idleTimeout"]
    );
    // What the less specific one says does not take its place.
    let both = [
        client("c", "Gateway edge#http", spec),
        client("whole", "Gateway edge", "scheme: MatchBackend"),
    ];
    let resolution = resolved(&both.concat());
    assert_eq!(answers(&resolution, "http"), [500, 500, 500]);
    assert_eq!(answers(&resolution, "other"), [0, 0]);
}

#[test]
fn below_http_an_invalid_policy_takes_the_routes_away() {
    let routes = |spec: &str| {
        let policy = client("c", "Gateway low", spec);
        let resolution = resolved(&format!("{TCP}{policy}"));
        let l4 = resolution.plan.l4.iter().map(|it| it.routes.len());
        l4.sum::<usize>()
    };
    assert_eq!(routes("tcpKeepalive: {idleTime: 5s}"), 1);
    assert_eq!(routes("tcpKeepalive: {idleTime: nonsense}"), 0);
    // What only HTTP looks at is none of a TCPRoute's business.
    assert_eq!(routes("http2: {initialStreamWindowSize: 1}"), 1);
}

#[test]
fn every_change_reaches_the_plan() {
    let mut memo = Memo::default();
    let mut seen = |policies: &str| {
        let resolution = weir_resolve::resolve(&resources(policies), &context(), &mut memo);
        (
            format!("{:?}", of_clients(&resolution, "http").scheme),
            answers(&resolution, "http")[0],
            told(&resolution, "c").len(),
        )
    };
    let preserve = "Preserve".to_owned();
    assert_eq!(seen(""), (preserve.clone(), 0, 0));
    let matching = client("c", "Gateway edge", "scheme: MatchBackend");
    assert_eq!(seen(&matching), ("MatchBackend".to_owned(), 0, 1));
    let broken = client("c", "Gateway edge", "connection: {bufferLimit: 5Gi}");
    assert_eq!(seen(&broken), (preserve.clone(), 500, 1));
    assert_eq!(seen(""), (preserve, 0, 0));
}
