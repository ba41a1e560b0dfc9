//! `rateLimit.global`: fixed windows of the embedded store, on a clock that stands at a full minute.

use std::time::Duration;

use crate::backend::Backend;
use crate::client::{Response, call, get, gets, request, take};
use crate::gateway::{EDGE, Gateway, policy, route, route_all, to};

fn global(name: &str, target: &str, rules: &str) -> String {
    policy(
        name,
        target,
        &format!("rateLimit: {{global: {{rules: [{rules}]}}}}"),
    )
}

fn gateway(workers: usize, rules: &str) -> (Gateway, Backend) {
    let backend = Backend::named("app");
    let limit = global("limit", "HTTPRoute app", rules);
    let gateway = Gateway::setup().workers(workers).start(&[
        EDGE,
        &backend.yaml("app"),
        &route_all("app"),
        &limit,
    ]);
    (gateway, backend)
}

fn ask(gateway: &Gateway) -> Response {
    get(gateway.address(), "any.example", "/")
}

fn statuses(gateway: &Gateway, count: usize) -> Vec<u16> {
    (0..count).map(|_| ask(gateway).status).collect()
}

fn shown(response: &Response) -> [Option<&str>; 3] {
    ["limit", "remaining", "reset"].map(|it| response.header(&format!("x-ratelimit-{it}")))
}

#[test]
fn a_window_lets_its_limit_through_until_the_next_begins() {
    let (gateway, backend) = gateway(1, "{limit: {requests: 2, unit: Minute}}");
    gateway.clock.advance(Duration::from_secs(30)); // the window began half a minute ago
    let first = ask(&gateway);
    assert_eq!(shown(&first), [Some("2, 2;w=60"), Some("1"), Some("30")]);
    assert_eq!(ask(&gateway).status, 200);
    let refused = ask(&gateway);
    assert_eq!(refused.brief(), (429, String::new()));
    assert_eq!(shown(&refused), [Some("2, 2;w=60"), Some("0"), Some("30")]);
    assert_eq!(refused.header("x-envoy-ratelimited"), None);
    assert_eq!(refused.header("retry-after"), None);
    assert_eq!(backend.count(), 2);
    gateway.clock.advance(Duration::from_secs(29));
    assert_eq!(statuses(&gateway, 1), [429]);
    gateway.clock.advance(Duration::from_secs(1));
    assert_eq!(statuses(&gateway, 3), [200, 200, 429]);
}

#[test]
fn windows_begin_at_multiples_of_their_unit_since_the_epoch() {
    let start = 1_800_000_000_u64; // where the clock of these tests stands
    let units = [
        ("Second", 1),
        ("Minute", 60),
        ("Hour", 3_600),
        ("Day", 86_400),
        ("Week", 604_800),
        ("Month", 2_592_000),
        ("Year", 31_536_000),
    ];
    for (unit, seconds) in units {
        let (gateway, _backend) = gateway(1, &format!("{{limit: {{requests: 1, unit: {unit}}}}}"));
        let left = Duration::from_secs(seconds - start % seconds);
        assert_eq!(statuses(&gateway, 2), [200, 429], "{unit}");
        gateway.clock.advance(left - Duration::from_millis(1));
        assert_eq!(statuses(&gateway, 1), [429], "{unit}");
        gateway.clock.advance(Duration::from_millis(1));
        assert_eq!(statuses(&gateway, 2), [200, 429], "{unit}");
    }
}

#[test]
fn a_limit_is_exact_over_workers() {
    let (gateway, backend) = gateway(2, "{limit: {requests: 10, unit: Hour}}");
    let all = take(&gets(gateway.address(), "any.example", "/", 60), 60);
    assert_eq!(all.iter().filter(|(status, _)| *status == 200).count(), 10);
    assert_eq!(all.iter().filter(|(status, _)| *status == 429).count(), 50);
    assert_eq!(backend.count(), 10);
}

/// Two routes, `/a` and `/b`, under one Gateway policy.
fn two_routes(rules: &str) -> (Gateway, Backend) {
    let backend = Backend::named("app");
    let on = |name: &str| {
        route(
            name,
            &format!(
                "[{{matches: [{{path: {{value: /{name}}}}}], backendRefs: [{}]}}]",
                to("app")
            ),
        )
    };
    let limit = global("limit", "Gateway edge", rules);
    let gateway = Gateway::start(&[EDGE, &backend.yaml("app"), &on("a"), &on("b"), &limit]);
    (gateway, backend)
}

#[test]
fn a_shared_rule_has_one_count_for_all_routes() {
    let (gateway, _backend) = two_routes("{limit: {requests: 2, unit: Hour}, shared: true}");
    let statuses =
        ["/a", "/b", "/a", "/b"].map(|path| get(gateway.address(), "any.example", path).status);
    assert_eq!(statuses, [200, 200, 429, 429]);
}

#[test]
fn a_rule_has_a_count_for_each_route_otherwise() {
    let (gateway, _backend) = two_routes("{limit: {requests: 1, unit: Hour}}");
    let statuses =
        ["/a", "/b", "/a", "/b"].map(|path| get(gateway.address(), "any.example", path).status);
    assert_eq!(statuses, [200, 200, 429, 429]);
}

#[test]
fn every_rule_that_means_a_request_is_counted() {
    let (gateway, _backend) = gateway(
        1,
        "{clientSelectors: [{headers: [{name: x-user, value: ann}]}], limit: {requests: 1, unit: Hour}}, \
         {limit: {requests: 3, unit: Hour}}",
    );
    let ann = || {
        call(
            gateway.address(),
            &request("GET", "any.example", "/", &[("x-user", "ann")], b""),
        )
        .status
    };
    assert_eq!([ann(), ann()], [200, 429]);
    // The refused request counted in the other rule, too.
    assert_eq!(statuses(&gateway, 2), [200, 429]);
}

#[test]
fn each_distinct_value_has_a_count() {
    let (gateway, _backend) = gateway(
        1,
        "{clientSelectors: [{headers: [{name: x-user, type: Distinct}]}], limit: {requests: 1, unit: Hour}}",
    );
    let user = |user: &str| {
        call(
            gateway.address(),
            &request("GET", "any.example", "/", &[("x-user", user)], b""),
        )
        .status
    };
    assert_eq!(["ann", "ann", "bob", "bob"].map(user), [200, 429, 200, 429]);
    assert_eq!(statuses(&gateway, 2), [200, 200]);
}

#[test]
fn a_request_may_cost_more_than_one_or_nothing() {
    let cost = |number: u32| {
        format!(
            "{{limit: {{requests: 5, unit: Hour}}, cost: {{request: {{from: Number, number: {number}}}}}}}"
        )
    };
    let (two, _one) = gateway(1, &cost(2));
    assert_eq!(statuses(&two, 4), [200, 200, 429, 429]);
    let (nothing, _two) = gateway(1, &cost(0));
    assert_eq!(statuses(&nothing, 20), [200; 20]);
    let (too_much, _three) = gateway(1, &cost(6));
    assert_eq!(statuses(&too_much, 1), [429]);
}

#[test]
fn a_response_costs_the_requests_after_it() {
    let (gateway, backend) = gateway(
        1,
        "{limit: {requests: 5, unit: Hour}, cost: {request: {from: Number, number: 0}, response: {from: Number, number: 3}}}",
    );
    // On one connection, so that each response has ended before the next request begins.
    let mut client = crate::client::Client::connect(gateway.address());
    let statuses: Vec<_> = (0..4)
        .map(|_| client.get("any.example", "/").status)
        .collect();
    assert_eq!(statuses, [200, 200, 429, 429]);
    assert_eq!(backend.count(), 2);
}

#[test]
fn a_shadow_rule_counts_but_never_refuses() {
    let (gateway, _backend) = gateway(1, "{limit: {requests: 1, unit: Hour}, shadowMode: true}");
    assert_eq!(statuses(&gateway, 5), [200; 5]);
}

#[test]
fn local_limits_come_first() {
    let backend = Backend::named("app");
    let both = policy(
        "limit",
        "HTTPRoute app",
        "rateLimit: {local: {rules: [{limit: {requests: 1, unit: Minute}}]}, \
         global: {rules: [{limit: {requests: 2, unit: Hour}}]}}",
    );
    let gateway = Gateway::start(&[EDGE, &backend.yaml("app"), &route_all("app"), &both]);
    let body = |text: &str| text.to_owned();
    assert_eq!(ask(&gateway).status, 200);
    assert_eq!(ask(&gateway).brief(), (429, body("local_rate_limited")));
    gateway.clock.advance(Duration::from_secs(60));
    assert_eq!(
        ask(&gateway).status,
        200,
        "the locally limited request was not counted globally"
    );
    gateway.clock.advance(Duration::from_secs(60));
    assert_eq!(ask(&gateway).brief(), (429, body("")));
}

#[test]
fn headers_show_the_rule_that_has_least_left() {
    let (gateway, _backend) = gateway(
        1,
        "{limit: {requests: 5, unit: Minute}}, {limit: {requests: 2, unit: Hour}}, \
         {limit: {requests: 1, unit: Day}, shadowMode: true, xRateLimitHeaders: 'Off'}",
    );
    let limit = ask(&gateway).header("x-ratelimit-limit").map(str::to_owned);
    assert_eq!(limit.as_deref(), Some("2, 5;w=60, 2;w=3600"));
}

#[test]
fn counts_survive_a_new_plan() {
    let (mut gateway, backend) = gateway(1, "{limit: {requests: 2, unit: Hour}}");
    assert_eq!(statuses(&gateway, 1), [200]);
    for _ in 0..2 {
        let limit = global(
            "limit",
            "HTTPRoute app",
            "{limit: {requests: 2, unit: Hour}}",
        );
        gateway.apply(&[EDGE, &backend.yaml("app"), &route_all("app"), &limit]);
    }
    assert_eq!(statuses(&gateway, 2), [200, 429]);
}
