//! `clientSelectors` of rate limits, one table for local and global limits: which requests a rule means.
//!
//! The rule under test allows nothing, so that a request that it means gets 429 and any other gets 200.

use std::net::IpAddr;

use crate::backend::Backend;
use crate::client::{Client, request};
use crate::gateway::{EDGE, Gateway, policy, route_all};

/// A selector, a request (method, target, headers, source address), and whether the rule means it.
type Case = (
    &'static str,
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
    bool,
);

const ME: &str = "127.0.0.1";

#[rustfmt::skip] // one case a line
const CASES: &[Case] = &[
    // Headers.
    ("headers: [{name: x-user, value: ann}]", "GET", "/", &[("x-user", "ann")], ME, true),
    ("headers: [{name: X-User, value: ann}]", "GET", "/", &[("x-user", "ann")], ME, true),
    ("headers: [{name: x-user, value: ann}]", "GET", "/", &[("x-user", "Ann")], ME, false),
    ("headers: [{name: x-user, value: ann}]", "GET", "/", &[("x-user", "anna")], ME, false),
    ("headers: [{name: x-user, value: ann}]", "GET", "/", &[], ME, false),
    ("headers: [{name: x-user, value: ann}]", "GET", "/", &[("x-user", "bob"), ("x-user", "ann")], ME, true),
    ("headers: [{name: x-user, value: 'bob,ann'}]", "GET", "/", &[("x-user", "bob"), ("x-user", "ann")], ME, false),
    ("headers: [{name: x-user, type: RegularExpression, value: 'a.*'}]", "GET", "/", &[("x-user", "ann")], ME, true),
    ("headers: [{name: x-user, type: RegularExpression, value: 'n'}]", "GET", "/", &[("x-user", "ann")], ME, false),
    ("headers: [{name: x-user, type: Distinct}]", "GET", "/", &[("x-user", "ann")], ME, true),
    ("headers: [{name: x-user, type: Distinct}]", "GET", "/", &[], ME, false),
    ("headers: [{name: x-user, value: ann, invert: true}]", "GET", "/", &[("x-user", "ann")], ME, false),
    ("headers: [{name: x-user, value: ann, invert: true}]", "GET", "/", &[("x-user", "bob")], ME, true),
    ("headers: [{name: x-user, value: ann, invert: true}]", "GET", "/", &[], ME, true),
    ("headers: [{name: x-user, value: ann}, {name: x-org, value: one}]", "GET", "/", &[("x-user", "ann"), ("x-org", "one")], ME, true),
    ("headers: [{name: x-user, value: ann}, {name: x-org, value: one}]", "GET", "/", &[("x-user", "ann")], ME, false),
    // Methods are alternatives.
    ("methods: [{value: POST}]", "POST", "/", &[], ME, true),
    ("methods: [{value: POST}]", "GET", "/", &[], ME, false),
    ("methods: [{value: POST}, {value: GET}]", "GET", "/", &[], ME, true),
    ("methods: [{value: POST}, {value: GET}]", "PUT", "/", &[], ME, false),
    ("methods: [{value: POST, invert: true}]", "GET", "/", &[], ME, true),
    ("methods: [{value: POST, invert: true}]", "POST", "/", &[], ME, false),
    // Paths include the query.
    ("path: {type: Exact, value: /a}", "GET", "/a", &[], ME, true),
    ("path: {type: Exact, value: /a}", "GET", "/a?b=c", &[], ME, false),
    ("path: {type: Exact, value: '/a?b=c'}", "GET", "/a?b=c", &[], ME, true),
    ("path: {value: /a}", "GET", "/a", &[], ME, true),
    ("path: {value: /a}", "GET", "/a/b", &[], ME, true),
    ("path: {value: /a}", "GET", "/a?b", &[], ME, true),
    ("path: {value: /a}", "GET", "/a;b", &[], ME, true),
    ("path: {value: /a}", "GET", "/ab", &[], ME, false),
    ("path: {value: /}", "GET", "/anything?b", &[], ME, true),
    ("path: {type: RegularExpression, value: '/a/[0-9]+'}", "GET", "/a/12", &[], ME, true),
    ("path: {type: RegularExpression, value: '/a/[0-9]+'}", "GET", "/a/12?b", &[], ME, false),
    ("path: {value: /a, invert: true}", "GET", "/a", &[], ME, false),
    ("path: {value: /a, invert: true}", "GET", "/b", &[], ME, true),
    // Client addresses.
    ("sourceCIDR: {value: 127.0.0.0/24}", "GET", "/", &[], ME, true),
    ("sourceCIDR: {value: 127.0.0.0/24}", "GET", "/", &[], "127.0.1.1", false),
    ("sourceCIDR: {value: 127.0.0.0/24, type: Distinct}", "GET", "/", &[], "127.0.0.9", true),
    ("sourceCIDR: {value: 127.0.0.0/24, type: Distinct}", "GET", "/", &[], "127.0.1.1", false),
    ("sourceCIDR: {value: 127.0.0.0/24, invert: true}", "GET", "/", &[], ME, false),
    ("sourceCIDR: {value: 127.0.0.0/24, invert: true}", "GET", "/", &[], "127.0.1.1", true),
    ("sourceCIDR: {value: 10.0.0.0/8}", "GET", "/", &[("x-forwarded-for", "10.1.2.3")], ME, false), // nobody is trusted
    // Query parameters are decoded.
    ("queryParams: [{name: q, value: a b}]", "GET", "/?q=a%20b", &[], ME, true),
    ("queryParams: [{name: q, value: a b}]", "GET", "/?q=a+b", &[], ME, false),
    ("queryParams: [{name: q, value: 'a+b'}]", "GET", "/?q=a+b", &[], ME, true),
    ("queryParams: [{name: q, value: one}]", "GET", "/?q=one&q=two", &[], ME, true),
    ("queryParams: [{name: q, value: two}]", "GET", "/?q=one&q=two", &[], ME, false),
    ("queryParams: [{name: q, value: one}]", "GET", "/", &[], ME, false),
    ("queryParams: [{name: q, type: RegularExpression, value: 'o.e'}]", "GET", "/?q=one", &[], ME, true),
    ("queryParams: [{name: q, type: RegularExpression, value: 'o'}]", "GET", "/?q=one", &[], ME, false),
    ("queryParams: [{name: q, type: Distinct}]", "GET", "/?q=one", &[], ME, true),
    ("queryParams: [{name: q, type: Distinct}]", "GET", "/?p=one", &[], ME, false),
    ("queryParams: [{name: q, value: one, invert: true}]", "GET", "/?q=one", &[], ME, false),
    ("queryParams: [{name: q, value: one, invert: true}]", "GET", "/", &[], ME, true),
    // All conditions hold together, those of several selectors too; of several paths the last counts.
    ("methods: [{value: POST}], path: {value: /a}", "POST", "/a", &[], ME, true),
    ("methods: [{value: POST}], path: {value: /a}", "GET", "/a", &[], ME, false),
    ("methods: [{value: POST}]}, {headers: [{name: x-user, value: ann}]", "POST", "/", &[], ME, false),
    ("methods: [{value: POST}]}, {headers: [{name: x-user, value: ann}]", "POST", "/", &[("x-user", "ann")], ME, true),
    ("path: {value: /a}}, {path: {value: /b}", "GET", "/b", &[], ME, true),
    ("path: {value: /a}}, {path: {value: /b}", "GET", "/a", &[], ME, false),
];

/// Runs the table against local or global limits.
fn run(scope: &str) {
    let backend = Backend::named("app");
    let documents = [backend.yaml("app"), route_all("app")];
    let mut gateway = Gateway::start(&[EDGE, &documents[0], &documents[1]]);
    for (selector, method, target, headers, source, means) in CASES {
        let rule =
            format!("{{clientSelectors: [{{{selector}}}], limit: {{requests: 0, unit: Hour}}}}");
        let limit = policy(
            "limit",
            "HTTPRoute app",
            &format!("rateLimit: {{{scope}: {{rules: [{rule}]}}}}"),
        );
        gateway.apply(&[EDGE, &documents[0], &documents[1], &limit]);
        let source: IpAddr = source.parse().expect("an address");
        let mut client = Client::connect_from(source, gateway.address());
        client.send(&request(method, "any.example", target, headers, b""));
        let status = client.receive().status;
        assert_eq!(
            status,
            if *means { 429 } else { 200 },
            "{scope} {selector} / {method} {target} {headers:?} {source}"
        );
    }
}

#[test]
fn local_rules_mean_the_requests_that_they_select() {
    run("local");
}

#[test]
fn global_rules_mean_the_requests_that_they_select() {
    run("global");
}
