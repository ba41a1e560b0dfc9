//! Lints about limits: each side of what is never reached.

use super::{gateway, lints, route};

#[test]
fn breakers_that_are_never_reached() {
    let field = |id: &str, name: &str| vec![format!("route {id} spec.circuitBreaker.{name}")];
    for (spec, expected) in [
        (
            "{maxConnections: 10, maxPendingRequests: 5, maxParallelRequests: 15}",
            vec![],
        ),
        (
            "{maxConnections: 10, maxPendingRequests: 5, maxParallelRequests: 16}",
            field("limit-unreachable", "maxParallelRequests"),
        ),
        // The default is nobody's limit.
        ("{maxConnections: 10, maxPendingRequests: 5}", vec![]),
        (
            "{maxConnections: 10, perEndpoint: {maxConnections: 10}}",
            vec![],
        ),
        (
            "{maxConnections: 10, perEndpoint: {maxConnections: 11}}",
            field("limit-unreachable", "perEndpoint.maxConnections"),
        ),
        ("{maxPendingRequests: 1}", vec![]),
        (
            "{maxPendingRequests: 0}",
            field("nothing-passes", "maxPendingRequests"),
        ),
    ] {
        let policy = route(&format!("circuitBreaker: {spec}"));
        assert_eq!(lints(&[policy]), expected, "{spec}");
    }
}

#[test]
fn rate_limits_that_are_never_the_first() {
    let path = "{path: {value: /a}}";
    let header = "{path: {value: /a}, headers: [{name: x, value: v}]}";
    let distinct = "{headers: [{name: user, type: Distinct}]}";
    let rule = |selector: &str, limit: &str, more: &str| {
        let (requests, unit) = limit.split_once('/').unwrap();
        format!(
            "{{clientSelectors: [{selector}], limit: {{requests: {requests}, unit: {unit}}}{more}}}"
        )
    };
    let plain = |selector, limit| rule(selector, limit, "");
    for (half, rules, expected) in [
        // The narrower rule allows more.
        (
            "local",
            [plain(path, "5/Second"), plain(header, "6/Second")],
            Some(1),
        ),
        (
            "local",
            [plain(header, "6/Second"), plain(path, "5/Second")],
            Some(0),
        ),
        (
            "local",
            [plain(path, "5/Second"), plain(header, "4/Second")],
            None,
        ),
        (
            "local",
            [
                plain(path, "5/Second"),
                plain("{path: {value: /b}}", "6/Second"),
            ],
            None,
        ),
        // Asked first is the lower rate, of those alike the first.
        (
            "local",
            [plain(path, "5/Second"), plain(header, "5/Second")],
            Some(1),
        ),
        (
            "local",
            [plain(header, "5/Second"), plain(path, "5/Second")],
            None,
        ),
        // A burst of 50 is more than a bucket of 5 holds.
        (
            "local",
            [plain(path, "5/Second"), plain(header, "50/Minute")],
            None,
        ),
        (
            "local",
            [plain(path, "50/Minute"), plain(header, "5/Second")],
            None,
        ),
        (
            "local",
            [plain(path, "5/Minute"), plain(header, "5/Second")],
            Some(1),
        ),
        (
            "global",
            [plain(path, "5/Minute"), plain(header, "5/Second")],
            Some(1),
        ),
        (
            "global",
            [plain(header, "5/Second"), plain(path, "5/Minute")],
            Some(0),
        ),
        (
            "global",
            [plain(path, "5/Second"), plain(header, "5/Minute")],
            None,
        ),
        // No month is so many weeks.
        (
            "global",
            [plain(path, "5/Month"), plain(header, "5/Week")],
            None,
        ),
        (
            "global",
            [plain(path, "5/Second"), plain(path, "5/Second")],
            Some(1),
        ),
        (
            "global",
            [
                rule(path, "5/Second", ", shadowMode: true"),
                plain(header, "6/Second"),
            ],
            None,
        ),
        (
            "global",
            [
                plain(path, "5/Second"),
                rule(header, "6/Second", ", shadowMode: true"),
            ],
            None,
        ),
        (
            "global",
            [
                plain(path, "5/Second"),
                rule(header, "6/Second", ", shared: true"),
            ],
            None,
        ),
        (
            "global",
            [
                rule(path, "5/Second", ", shared: true"),
                plain(header, "6/Second"),
            ],
            Some(1),
        ),
        (
            "global",
            [
                plain(path, "5/Second"),
                rule(
                    header,
                    "6/Second",
                    ", cost: {request: {from: Number, number: 3}}",
                ),
            ],
            None,
        ),
        (
            "global",
            [
                plain(path, "5/Second"),
                plain(header, "6/Second").replace(
                    "unit: Second}",
                    "unit: Second, fromMetadata: {namespace: a, key: b}}",
                ),
            ],
            None,
        ),
        // A count for each value is narrower.
        (
            "global",
            [
                plain(distinct, "5/Second"),
                plain("{headers: [{name: x, value: v}]}", "6/Second"),
            ],
            None,
        ),
        (
            "global",
            [plain(distinct, "5/Second"), plain(distinct, "6/Second")],
            Some(1),
        ),
    ] {
        let rules = rules.join(", ");
        let policy = route(&format!("rateLimit: {{{half}: {{rules: [{rules}]}}}}"));
        let expected: Vec<String> = expected
            .map(|index: usize| {
                format!("route limit-unreachable spec.rateLimit.{half}.rules[{index}]")
            })
            .into_iter()
            .collect();
        assert_eq!(lints(&[policy]), expected, "{half} {rules}");
    }
}

#[test]
fn a_merged_rule_that_is_never_the_first_is_told_to_its_own_policy() {
    let rule = |requests| {
        format!(
            "rateLimit: {{global: {{rules: [{{limit: {{requests: {requests}, unit: Second}}}}]}}}}"
        )
    };
    assert_eq!(
        lints(&[
            gateway(&rule(5)),
            route(&format!("mergeType: StrategicMerge, {}", rule(9)))
        ]),
        ["route limit-unreachable spec.rateLimit.global.rules[0]"]
    );
}
