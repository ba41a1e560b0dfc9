//! What a ClientTrafficPolicy has to do with the routes on its listener: the host that they are for, pauses, headers of rate limits.

use serde_json::{Value, json};

use super::{client, of_clients, policy, resolved, told};

#[test]
fn the_host_of_requests_without_one() {
    let spec = "http1: {http10: {useDefaultHost: true}}";
    let route = |name: &str, hosts: &str| {
        format!(
            "
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}, namespace: shop}}
spec:
  parentRefs: [{{name: edge, sectionName: other}}]
  hostnames: [{hosts}]
  rules: [{{backendRefs: [{{name: backend, port: 80}}]}}]
"
        )
    };
    let none = "HTTP1: cannot set http10 default host on listener with only wildcard hostnames.";
    let several = "HTTP1: cannot set http10 default host on listener with only wildcard hostnames and more than one possible default route.";
    // (routes on listener `other`, the host, or why there is none)
    for (routes, expected) in [
        (String::new(), Err(none)),
        (route("a", "a.example.com"), Ok("a.example.com")),
        (route("a", "'*.example.com'"), Err(none)),
        (
            route("a", "'*.example.com', b.example.com"),
            Ok("b.example.com"),
        ),
        (
            [route("a", "a.example.com"), route("b", "a.example.com")].concat(),
            Ok("a.example.com"),
        ),
        (route("a", "a.example.com, b.example.com"), Err(several)),
    ] {
        let policy = client("c", "Gateway edge#other", spec);
        let resolution = resolved(&format!("{routes}{policy}"));
        let host = of_clients(&resolution, "other").http1.http10_default_host;
        let said = told(&resolution, "c");
        match expected {
            Ok(expected) => assert_eq!(host.as_deref(), Some(expected), "{routes}: {said:?}"),
            Err(why) => {
                let expected = format!("Gateway edge#other: Accepted=False Invalid {why}");
                assert_eq!((host, said), (None, vec![expected]), "{routes}");
            }
        }
    }
}

#[test]
fn a_pause_is_as_long_as_the_closest_policy_says() {
    let of_clients = client(
        "c",
        "Gateway edge",
        "timeout: {http: {streamIdleTimeout: 7s}}",
    );
    let none = client(
        "c",
        "Gateway edge",
        "timeout: {http: {streamIdleTimeout: 0s}}",
    );
    let of_backends = |field: &str| {
        policy(
            "b",
            "HTTPRoute web",
            &format!("timeout: {{http: {{{field}}}}}"),
        )
    };
    for (policies, expected) in [
        (String::new(), json!("5m")),
        (of_clients.clone(), json!("7s")),
        (none, Value::Null),
        (
            [&*of_clients, &of_backends("streamIdleTimeout: 3s")].concat(),
            json!("3s"),
        ),
        // A request that may take long pauses no longer than the listener lets it.
        (
            [&*of_clients, &of_backends("requestTimeout: 2h")].concat(),
            json!("7s"),
        ),
        (of_backends("requestTimeout: 2h"), json!("2h")),
    ] {
        let resolution = resolved(&policies);
        let entries = super::listener(&resolution, "http")
            .hosts
            .iter()
            .flat_map(|it| &it.routes);
        let of_web = entries.filter(|it| &*it.rule.name.route.name == "web");
        for entry in of_web {
            let rule = serde_json::to_value(&*entry.rule).unwrap();
            assert_eq!(
                rule["policy"]["timeout"]["stream_idle"], expected,
                "{policies}"
            );
        }
    }
}

#[test]
fn a_listener_may_keep_the_headers_of_rate_limits_back() {
    let limit = |more: &str| {
        let by_header = "clientSelectors: [{headers: [{name: a, value: b}]}]";
        policy(
            "b",
            "HTTPRoute web",
            &format!(
                "rateLimit: {{local: {{rules: [{{limit: {{requests: 1, unit: Hour}}{more}}}, {{{by_header}, limit: {{requests: 2, unit: Hour}}{more}}}]}}}}"
            ),
        )
    };
    let disable = |it: bool| {
        client(
            "c",
            "Gateway edge#http",
            &format!("headers: {{disableRateLimitHeaders: {it}}}"),
        )
    };
    let (off, on) = (
        ", xRateLimitHeaders: 'Off'",
        ", xRateLimitHeaders: DraftVersion03",
    );
    // (policies, whether the default bucket tells of itself on listeners http and other, and whether the rule does)
    for (policies, expected) in [
        (limit(""), [(true, true), (true, true)]),
        (
            [disable(true), limit("")].concat(),
            [(false, false), (true, true)],
        ),
        (
            [disable(false), limit("")].concat(),
            [(true, true), (true, true)],
        ),
        (
            [disable(false), limit(off)].concat(),
            [(false, false), (false, false)],
        ),
        // The listener counts first for the default bucket, and the rule for itself.
        (
            [disable(true), limit(on)].concat(),
            [(false, true), (true, true)],
        ),
    ] {
        let resolution = resolved(&policies);
        let told = ["http", "other"].map(|name| {
            let mut entries = super::listener(&resolution, name)
                .hosts
                .iter()
                .flat_map(|it| &it.routes);
            let web = entries
                .find(|it| &*it.rule.name.route.name == "web")
                .unwrap();
            let local = web.rule.policy.rate_limit.local.as_ref().unwrap();
            (
                local.default.as_ref().unwrap().headers,
                local.rules[0].headers,
            )
        });
        assert_eq!(told, expected, "{policies}");
    }
}
