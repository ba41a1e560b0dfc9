//! `rateLimit.local`: token buckets of this process on a clock that stands still.

use std::net::IpAddr;
use std::time::Duration;

use crate::backend::Backend;
use crate::client::{Client, Response, call, get, gets, request, take};
use crate::gateway::{EDGE, Gateway, policy, route, route_all, to};

fn local(rules: &str) -> String {
    policy(
        "limit",
        "HTTPRoute app",
        &format!("rateLimit: {{local: {{rules: [{rules}]}}}}"),
    )
}

fn gateway(workers: usize, policy: &str) -> (Gateway, Backend) {
    let backend = Backend::named("app");
    let gateway = Gateway::setup().workers(workers).start(&[
        EDGE,
        &backend.yaml("app"),
        &route_all("app"),
        policy,
    ]);
    (gateway, backend)
}

fn ask(gateway: &Gateway) -> Response {
    get(gateway.address(), "any.example", "/")
}

/// The `x-ratelimit-` headers limit, remaining and reset.
fn shown(response: &Response) -> [Option<&str>; 3] {
    ["limit", "remaining", "reset"].map(|it| response.header(&format!("x-ratelimit-{it}")))
}

fn allowed() -> (u16, String) {
    (200, "app".to_owned())
}

fn limited() -> (u16, String) {
    (429, "local_rate_limited".to_owned())
}

#[test]
fn a_bucket_lets_its_size_through_and_refills_continuously() {
    let (gateway, backend) = gateway(1, &local("{limit: {requests: 3, unit: Minute}}"));
    for remaining in ["2", "1"] {
        let response = ask(&gateway);
        assert_eq!(response.brief(), allowed());
        assert_eq!(shown(&response), [Some("3"), Some(remaining), Some("0")]);
    }
    let last = ask(&gateway);
    assert_eq!(last.brief(), allowed());
    assert_eq!(shown(&last), [Some("3"), Some("0"), Some("20")]); // the next token comes in a third of a minute
    let refused = ask(&gateway);
    assert_eq!(refused.brief(), limited());
    assert_eq!(shown(&refused), [Some("3"), Some("0"), Some("20")]);
    assert_eq!(refused.header("content-type"), Some("text/plain"));
    assert_eq!(refused.header("x-envoy-ratelimited"), None);
    assert_eq!(refused.header("retry-after"), None);
    assert_eq!(backend.count(), 3);

    gateway.clock.advance(Duration::from_millis(19_900));
    assert_eq!(ask(&gateway).brief(), limited());
    gateway.clock.advance(Duration::from_millis(100));
    assert_eq!(
        (ask(&gateway).brief(), ask(&gateway).brief()),
        (allowed(), limited())
    );
    gateway.clock.advance(Duration::from_secs(86_400)); // a long pause fills it, and no more
    let statuses: Vec<_> = (0..5).map(|_| ask(&gateway).status).collect();
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
}

#[test]
fn every_unit_refills_at_its_own_rate() {
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
        let (gateway, _backend) = gateway(
            1,
            &local(&format!("{{limit: {{requests: 2, unit: {unit}}}}}")),
        );
        assert_eq!(
            [
                ask(&gateway).status,
                ask(&gateway).status,
                ask(&gateway).status
            ],
            [200, 200, 429],
            "{unit}"
        );
        gateway
            .clock
            .advance(Duration::from_millis(seconds * 500 - 1));
        assert_eq!(ask(&gateway).status, 429, "{unit}");
        gateway.clock.advance(Duration::from_millis(1));
        assert_eq!(
            [ask(&gateway).status, ask(&gateway).status],
            [200, 429],
            "{unit}"
        );
    }
}

#[test]
fn a_limit_is_exact_over_workers() {
    let (gateway, backend) = gateway(2, &local("{limit: {requests: 10, unit: Hour}}"));
    let all = take(&gets(gateway.address(), "any.example", "/", 60), 60);
    assert_eq!(all.iter().filter(|it| **it == allowed()).count(), 10);
    assert_eq!(all.iter().filter(|it| **it == limited()).count(), 50);
    assert_eq!(backend.count(), 10);
}

#[test]
fn no_requests_allowed_means_that_all_are_refused() {
    let (gateway, backend) = gateway(1, &local("{limit: {requests: 0, unit: Second}}"));
    gateway.clock.advance(Duration::from_secs(3_600));
    assert_eq!(ask(&gateway).brief(), limited());
    assert_eq!(backend.count(), 0);
}

#[test]
fn the_short_form_is_one_rule() {
    let short = policy(
        "limit",
        "HTTPRoute app",
        "rateLimit: {type: Local, local: {requests: 2, unit: Minute}}",
    );
    let (gateway, _backend) = gateway(1, &short);
    assert_eq!(
        [
            ask(&gateway).status,
            ask(&gateway).status,
            ask(&gateway).status
        ],
        [200, 200, 429]
    );
}

/// The statuses of requests with these values of `x-user`.
fn as_users(gateway: &Gateway, users: &[&str]) -> Vec<u16> {
    let send = |user: &&str| {
        call(
            gateway.address(),
            &request("GET", "any.example", "/", &[("x-user", user)], b""),
        )
        .status
    };
    users.iter().map(send).collect()
}

#[test]
fn each_distinct_value_has_a_bucket() {
    let (gateway, _backend) = gateway(
        1,
        &local(
            "{clientSelectors: [{headers: [{name: x-user, type: Distinct}]}], limit: {requests: 2, unit: Hour}}",
        ),
    );
    let statuses = as_users(&gateway, &["ann", "ann", "ann", "bob", "bob", "bob"]);
    assert_eq!(statuses, [200, 200, 429, 200, 200, 429]);
    assert_eq!(
        ask(&gateway).status,
        200,
        "a request without the header is not meant"
    );
}

#[test]
fn each_distinct_address_has_a_bucket() {
    let (gateway, _backend) = gateway(
        1,
        &local(
            "{clientSelectors: [{sourceCIDR: {value: 127.0.0.0/8, type: Distinct}}], limit: {requests: 1, unit: Hour}}",
        ),
    );
    let from = |source: &str| {
        let source: IpAddr = source.parse().expect("an address");
        Client::connect_from(source, gateway.address())
            .get("any.example", "/")
            .status
    };
    let statuses = ["127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.2"].map(from);
    assert_eq!(statuses, [200, 429, 200, 429]);
}

#[test]
fn the_strictest_rule_decides_and_the_others_are_left_alone() {
    let rule = |name: &str, requests: u32| {
        format!(
            "{{clientSelectors: [{{headers: [{{name: {name}, value: 'yes'}}]}}], limit: {{requests: {requests}, unit: Hour}}}}"
        )
    };
    let (gateway, _backend) = gateway(
        1,
        &local(&format!("{}, {}", rule("x-five", 5), rule("x-two", 2))),
    );
    let send = |headers: &[(&str, &str)]| {
        call(
            gateway.address(),
            &request("GET", "any.example", "/", headers, b""),
        )
    };
    let both = [("x-five", "yes"), ("x-two", "yes")];
    let statuses: Vec<_> = (0..4).map(|_| send(&both).status).collect();
    assert_eq!(statuses, [200, 200, 429, 429]);
    // The bucket of five lost two only, and this request is its third.
    let next = send(&both[..1]);
    assert_eq!(
        (next.status, shown(&next)),
        (200, [Some("5"), Some("2"), Some("0")])
    );
}

#[test]
fn a_request_that_a_rule_means_leaves_the_default_bucket_alone() {
    let (gateway, _backend) = gateway(
        1,
        &local(
            "{limit: {requests: 1, unit: Hour}}, \
             {clientSelectors: [{headers: [{name: x-user, value: ann}]}], limit: {requests: 2, unit: Hour}}",
        ),
    );
    assert_eq!(as_users(&gateway, &["ann", "ann", "ann"]), [200, 200, 429]);
    assert_eq!(as_users(&gateway, &["bob", "bob"]), [200, 429]);
}

#[test]
fn a_shadow_rule_counts_but_never_refuses() {
    let (gateway, _backend) = gateway(
        1,
        &local(
            "{limit: {requests: 1, unit: Hour}}, \
             {clientSelectors: [{headers: [{name: x-user, value: ann}]}], limit: {requests: 1, unit: Hour}, shadowMode: true}",
        ),
    );
    assert_eq!(as_users(&gateway, &["ann", "ann", "ann"]), [200, 200, 200]);
    assert_eq!(
        as_users(&gateway, &["bob", "bob"]),
        [200, 429],
        "the default bucket was not touched"
    );
}

#[test]
fn limit_headers_can_be_switched_off_and_say_when_there_is_no_limit() {
    let (off, _one) = gateway(
        1,
        &local("{limit: {requests: 1, unit: Hour}, xRateLimitHeaders: 'Off'}"),
    );
    assert_eq!(
        (ask(&off).status, shown(&ask(&off))),
        (200, [None, None, None])
    );

    let rule = "{clientSelectors: [{headers: [{name: x-user, value: ann}]}], limit: {requests: 1, unit: Hour}}";
    let (unlimited, _two) = gateway(1, &local(rule));
    let shown = shown(&ask(&unlimited)).map(|it| it.map(str::to_owned));
    assert_eq!(
        shown[..2],
        [Some("4294967295".to_owned()), Some("4294967295".to_owned())]
    );
}

#[test]
fn each_match_and_host_of_a_rule_has_a_bucket() {
    let backend = Backend::named("app");
    let rules = format!(
        "[{{matches: [{{path: {{value: /a}}}}, {{path: {{value: /b}}}}], backendRefs: [{}]}}]",
        to("app")
    );
    let route =
        route("app", &rules).replace("rules:", "hostnames: [one.example, two.example], rules:");
    let gateway = Gateway::start(&[
        EDGE,
        &backend.yaml("app"),
        &route,
        &local("{limit: {requests: 1, unit: Hour}}"),
    ]);
    for host in ["one.example", "two.example"] {
        for path in ["/a", "/b"] {
            let send = || get(gateway.address(), host, path).status;
            assert_eq!([send(), send()], [200, 429], "{host}{path}");
        }
    }
}

#[test]
fn a_bucket_survives_a_new_plan() {
    let (mut gateway, backend) = gateway(1, &local("{limit: {requests: 2, unit: Hour}}"));
    assert_eq!(
        [
            ask(&gateway).status,
            ask(&gateway).status,
            ask(&gateway).status
        ],
        [200, 200, 429]
    );
    let documents = [
        backend.yaml("app"),
        route_all("app"),
        local("{limit: {requests: 2, unit: Hour}}"),
    ];
    let unrelated = route(
        "other",
        &format!(
            "[{{matches: [{{path: {{value: /other}}}}], backendRefs: [{}]}}]",
            to("app")
        ),
    );
    gateway.apply(&[
        EDGE,
        &documents[0],
        &documents[1],
        &documents[2],
        &unrelated,
    ]);
    assert_eq!(ask(&gateway).status, 429);
    assert_eq!(get(gateway.address(), "any.example", "/other").status, 200);
}

#[test]
fn a_policy_that_cannot_be_enforced_answers_500() {
    let two_defaults = "{limit: {requests: 1, unit: Hour}}, {limit: {requests: 2, unit: Hour}}";
    let not_a_multiple = "{limit: {requests: 1, unit: Week}}, \
         {clientSelectors: [{methods: [{value: GET}]}], limit: {requests: 2, unit: Month}}";
    for rules in [two_defaults, not_a_multiple] {
        let (gateway, backend) = gateway(1, &local(rules));
        assert_eq!(ask(&gateway).brief(), (500, String::new()), "{rules}");
        assert_eq!(backend.count(), 0);
    }
}
