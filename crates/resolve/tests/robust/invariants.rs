//! What holds for whatever is written: nothing panics, and neither the order of documents nor a memo changes anything.
//!
//! The fuzz target of `fuzz/` checks the same.

use weir_plan::{Feature, Support};
use weir_resolve::{
    Addresses, Context, Memo, Resolution, Resources, diff, endpoints, explain, resolve,
};

/// Checks that two snapshots of the same objects come to the same, as a change of `before`.
pub(crate) fn agree(before: &Resources, one: &Resources, other: &Resources) {
    for context in [
        context(Addresses::Shared, false),
        context(Addresses::PerGateway, true),
    ] {
        let fresh = resolve(one, &context, &mut Memo::default());
        same(
            &fresh,
            &resolve(other, &context, &mut Memo::default()),
            "another order",
        );
        let mut memo = Memo::default();
        let old = resolve(before, &context, &mut memo);
        same(
            &fresh,
            &resolve(one, &context, &mut memo),
            "a memo of what was before",
        );
        same(
            &old,
            &resolve(before, &context, &mut memo),
            "a memo of what came after",
        );

        for explanation in explain::rules(&fresh, |_| true) {
            assert!(!explanation.to_string().is_empty());
            serde_json::to_value(&explanation).expect("an explanation has a JSON form");
        }
        for change in [diff::diff(&old, &fresh), diff::diff(&fresh, &old)] {
            assert!(!change.to_string().is_empty());
            serde_json::to_value(&change).expect("a difference has a JSON form");
        }
        assert!(diff::diff(&fresh, &fresh).is_empty());
        serde_json::to_value(&*fresh.plan).expect("a plan has a JSON form");
    }
    assert_eq!(endpoints(one), endpoints(other));
}

fn context(addresses: Addresses, every_class: bool) -> Context {
    Context {
        controller_name: "weir.dev/gateway-controller".to_owned(),
        every_class,
        support: |feature: Feature| match feature.stem() {
            "telemetry" => Support::No,
            "load_balancer" => Support::Partial("loadBalancer.slowStart"),
            _ => Support::Full,
        },
        client_support: Support::Partial("http3"),
        allow_unenforced: every_class,
        allow_loopback: every_class,
        addresses,
    }
}

fn same(one: &Resolution, other: &Resolution, with: &str) {
    assert_eq!(one.plan, other.plan, "the plan with {with}");
    assert_eq!(one.statuses, other.statuses, "the statuses with {with}");
    assert_eq!(one.effective, other.effective, "the policies with {with}");
    assert_eq!(
        one.diagnostics, other.diagnostics,
        "the findings with {with}"
    );
}
