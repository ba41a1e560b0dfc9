//! What policies are told where the conformance cases do not look.

use weir_plan::{Feature, Support};
use weir_resolve::{Context, Memo};

use super::{context, findings, limit, policy, resolved, resources, told};

#[test]
fn conflicts_of_rules_and_listeners() {
    let both = |target: &str| [limit("a", target, 1), limit("b", target, 2)].concat();
    for (target, ancestor, text) in [
        ("HTTPRoute web#pay", "Gateway edge", "RouteRule web/pay"),
        ("HTTPRoute web", "Gateway edge", "HTTPRoute web"),
        ("HTTPRoute one", "Gateway edge#http", "HTTPRoute one"),
        (
            "Gateway edge#http",
            "Gateway edge#http",
            "Listener shop/edge/http",
        ),
        ("Gateway edge", "Gateway edge", "Gateway edge"),
    ] {
        let resolution = resolved(&both(target));
        let expected = format!(
            "{ancestor}: Accepted=False Conflicted Unable to target {text}, another BackendTrafficPolicy has already attached to it"
        );
        assert_eq!(told(&resolution, "b"), [expected]);
        assert_eq!(
            told(&resolution, "a")[0],
            format!("{ancestor}: Accepted=True Accepted")
        );
    }
}

#[test]
fn each_level_is_told_what_overrides_it() {
    let resolution = resolved(
        &[
            limit("gateway", "Gateway edge", 1),
            limit("listener", "Gateway edge#http", 2),
            limit("route", "HTTPRoute web", 3),
            limit("rule", "HTTPRoute web#pay", 4),
        ]
        .concat(),
    );
    let overridden = "Overridden=True Overridden This policy is being overridden by other";
    for (name, expected) in [
        (
            "rule",
            vec!["Gateway edge: Accepted=True Accepted".to_owned()],
        ),
        (
            "route",
            vec![
                "Gateway edge: Accepted=True Accepted".to_owned(),
                format!(
                    "Gateway edge: {overridden} backendTrafficPolicy for these route rules: [pay]"
                ),
            ],
        ),
        (
            "listener",
            vec![
                "Gateway edge#http: Accepted=True Accepted".to_owned(),
                format!(
                    "Gateway edge#http: {overridden} backendTrafficPolicies for these routes: [shop/web]"
                ),
            ],
        ),
        (
            "gateway",
            vec![
                "Gateway edge: Accepted=True Accepted".to_owned(),
                format!(
                    "Gateway edge: {overridden} backendTrafficPolicies for these gateway listeners: [shop/edge/http] \
                     and these routes: [shop/web]"
                ),
            ],
        ),
    ] {
        assert_eq!(told(&resolution, name), expected);
    }
}

#[test]
fn a_merged_policy_reports_each_listener_and_the_parent() {
    let route = policy("route", "HTTPRoute web", "mergeType: StrategicMerge");
    let resolution = resolved(&[limit("listener", "Gateway edge#http", 1), route].concat());
    assert_eq!(
        told(&resolution, "route"),
        [
            "Gateway edge#http: Merged=True Merged Merged with policy shop/listener",
            "Gateway edge: Accepted=True Accepted"
        ]
    );
    assert_eq!(
        told(&resolution, "listener"),
        [
            "Gateway edge#http: Accepted=True Accepted",
            "Gateway edge#http: Merged=True Merged This policy is being merged by other backendTrafficPolicies for these routes: [shop/web]",
        ]
    );
}

#[test]
fn settings_that_are_not_enforced_are_listed() {
    let support = |feature: Feature| {
        if feature == Feature::Dns {
            Support::No
        } else {
            Support::Full
        }
    };
    let context = Context {
        support,
        ..context()
    };
    let policies = [
        policy("second", "HTTPRoute one", "dns: {}, retry: {numRetries: 1}"),
        policy("first", "HTTPRoute one", "dns: {}"),
        limit("full", "HTTPRoute web", 1),
    ];
    let resolution = weir_resolve::resolve(
        &resources(&policies.concat()),
        &context,
        &mut Memo::default(),
    );
    assert_eq!(told(&resolution, "first").len(), 2);
    assert_eq!(
        told(&resolution, "first")[1],
        "Gateway edge#http: weir.dev/PartiallyEnforced=True SettingsNotEnforced The data plane in use does not enforce: spec.dns."
    );
    assert_eq!(
        findings(&resolution, "first"),
        ["setting-not-enforced spec.dns"]
    );
    assert_eq!(told(&resolution, "second").len(), 1);
    assert_eq!(
        told(&resolution, "full"),
        ["Gateway edge: Accepted=True Accepted"]
    );
}
