//! What filters come to, and rules that cannot be served as written.

use serde_json::{Value, json};
use weir_plan::RouteAction;

use super::{action, found, rules};
use crate::fixtures::{
    edge, object, resolved, route, route_conditions, service, table, to_service,
};

#[test]
fn filters_become_header_changes_redirects_and_rewrites() {
    let filters = json!([
        {"type": "RequestHeaderModifier", "requestHeaderModifier": {
            "set": [{"name": "X-Set", "value": "1"}, {"name": "x-set", "value": "2"}],
            "add": [{"name": "x-add", "value": "3"}], "remove": ["X-Gone"]}},
        {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [{"name": "x-back", "value": "4"}]}},
        {"type": "URLRewrite", "urlRewrite": {"hostname": "b.example.com", "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new/"}}},
    ]);
    let resolution = resolved(&[
        edge(),
        service("s"),
        route(
            "r",
            json!([{"filters": filters, "backendRefs": [to_service("s")]}]),
        ),
    ]);
    let rule = rules(&resolution.plan)[0];
    let changes = serde_json::to_value([&rule.request_headers, &rule.response_headers]).unwrap();
    assert_eq!(
        changes,
        json!([
            {"set": [["x-set", "1"]], "add": [["x-add", "3"]], "remove": ["x-gone"]},
            {"set": [["x-back", "4"]], "add": [], "remove": []},
        ])
    );
    let RouteAction::Forward(forward) = &rule.action else {
        panic!("{:?}", rule.action)
    };
    let rewrite = forward.rewrite.as_ref().unwrap();
    assert_eq!(
        serde_json::to_value(rewrite).unwrap(),
        json!({"hostname": {"Name": "b.example.com"}, "append_forwarded_host": true, "path": {"ReplacePrefixMatch": "/new"}})
    );

    let redirects = [
        (
            json!({}),
            "Redirect { scheme: None, hostname: None, path: None, port: None, status: 302 }",
        ),
        (
            json!({"scheme": "https", "hostname": "a.example.com", "port": 8443, "statusCode": 301,
                "path": {"type": "ReplaceFullPath", "replaceFullPath": "/all"}}),
            "Redirect { scheme: Some(\"https\"), hostname: Some(\"a.example.com\"), path: Some(ReplaceFullPath(\"/all\")), port: Some(8443), status: 301 }",
        ),
        (
            json!({"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}),
            "Redirect { scheme: None, hostname: None, path: Some(ReplacePrefixMatch(\"/\")), port: None, status: 302 }",
        ),
    ];
    for (redirect, expected) in redirects {
        let filters = json!([{"type": "RequestRedirect", "requestRedirect": redirect}]);
        let resolution = resolved(&[edge(), route("r", json!([{"filters": filters}]))]);
        assert_eq!(action(rules(&resolution.plan)[0]), expected);
        assert!(resolution.diagnostics.is_empty());
    }
}

#[test]
fn a_rule_that_cannot_be_served_as_written_answers_500_or_is_left_out() {
    let filter = |it: Value| json!({"filters": [it]});
    let at = |kind: &str, value: &str| json!([{"path": {"type": kind, "value": value}}]);
    let prefix = json!({"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}});
    let redirect = json!({"type": "RequestRedirect", "requestRedirect": {}});
    let (left_out, answers) = (false, true);
    let cases = [
        (
            json!({"matches": at("RegularExpression", "/(")}),
            left_out,
            "UnsupportedValue",
        ),
        (
            json!({"matches": at("RegularExpression", "a)(b")}),
            left_out,
            "UnsupportedValue",
        ),
        (
            json!({"matches": at("RegularExpression", "(a{1000}){1000}")}),
            left_out,
            "UnsupportedValue",
        ),
        (
            json!({"matches": at("RegularExpression", "/a**")}),
            left_out,
            "UnsupportedValue",
        ),
        (
            json!({"matches": at("RegularExpression", r"/\u0041")}),
            left_out,
            "UnsupportedValue",
        ),
        (
            json!({"matches": at("Exact", "no-slash")}),
            left_out,
            "UnsupportedValue",
        ),
        (
            json!({"matches": [{"headers": [{"name": "a b", "value": "1"}]}]}),
            left_out,
            "UnsupportedValue",
        ),
        (
            json!({"matches": [{"headers": [{"name": "a", "value": "[", "type": "RegularExpression"}]}]}),
            left_out,
            "UnsupportedValue",
        ),
        (
            json!({"matches": [{"queryParams": [{"name": "a", "value": "[", "type": "RegularExpression"}]}]}),
            left_out,
            "UnsupportedValue",
        ),
        (
            filter(json!({"type": "CORS", "cors": {"allowOrigins": ["nowhere"]}})),
            answers,
            "UnsupportedValue",
        ),
        (
            filter(json!({"type": "ExtensionRef"})),
            answers,
            "UnsupportedValue",
        ),
        (
            filter(json!({"type": "RequestRedirect"})),
            answers,
            "UnsupportedValue",
        ),
        (
            filter(json!({"type": "RequestRedirect", "requestRedirect": {"statusCode": 200}})),
            answers,
            "UnsupportedValue",
        ),
        (
            filter(json!({"type": "RequestRedirect", "requestRedirect": {"port": 0}})),
            answers,
            "UnsupportedValue",
        ),
        (
            filter(
                json!({"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["a b"]}}),
            ),
            answers,
            "UnsupportedValue",
        ),
        (
            filter(
                json!({"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "Host", "value": "a"}]}}),
            ),
            answers,
            "UnsupportedValue",
        ),
        (
            filter(
                json!({"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "a", "value": "a\nb"}]}}),
            ),
            answers,
            "UnsupportedValue",
        ),
        (
            filter(
                json!({"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplaceFullPath", "replaceFullPath": "/a b"}}}),
            ),
            answers,
            "UnsupportedValue",
        ),
        (
            json!({"matches": at("Exact", "/a"), "filters": [prefix.clone()]}),
            answers,
            "UnsupportedValue",
        ),
        (
            json!({"filters": [prefix, redirect.clone()]}),
            answers,
            "IncompatibleFilters",
        ),
        (
            json!({"filters": [redirect.clone(), redirect]}),
            answers,
            "IncompatibleFilters",
        ),
    ];
    for (rule, answers, reason) in cases {
        let mut rule = rule;
        rule["backendRefs"] = json!([to_service("s")]);
        let alone = resolved(&[edge(), service("s"), route("r", json!([rule]))]);
        let refused = format!("!Accepted({reason})");
        assert_eq!(
            route_conditions(&alone, "HTTPRoute", "r"),
            [&refused, "ResolvedRefs"],
            "{rule}"
        );
        let actions: Vec<_> = table(&alone.plan)
            .iter()
            .map(|it| it.ends_with(" respond 500"))
            .collect();
        assert_eq!(actions, if answers { vec![true] } else { vec![] }, "{rule}");
        assert_eq!(found(&alone), ["spec.rules[0] invalid-rule"], "{rule}");
        assert_eq!(
            alone.statuses.gateways.values().next().unwrap().listeners[0].attached_routes,
            0,
            "{rule}"
        );

        let beside = resolved(&[
            edge(),
            service("s"),
            route("r", json!([{"backendRefs": [to_service("s")]}, rule])),
        ]);
        let partly = format!("PartiallyInvalid({reason})");
        assert_eq!(
            route_conditions(&beside, "HTTPRoute", "r"),
            ["Accepted", "ResolvedRefs", &partly],
            "{rule}"
        );
        let message = &beside.statuses.routes[&object("HTTPRoute", "r")][0].conditions[2].message;
        assert!(message.starts_with("Dropped Rule: rules[1]: "), "{message}");
    }
}

#[test]
fn headers_that_say_how_long_a_message_is_cannot_be_changed() {
    for (filter, field) in [
        ("RequestHeaderModifier", "requestHeaderModifier"),
        ("ResponseHeaderModifier", "responseHeaderModifier"),
    ] {
        for changes in [
            json!({"set": [{"name": "Content-Length", "value": "5"}]}),
            json!({"add": [{"name": "transfer-encoding", "value": "chunked"}]}),
            json!({"remove": ["content-length"]}),
        ] {
            let rule = json!({
                "filters": [{"type": filter, field: changes}],
                "backendRefs": [to_service("s")],
            });
            let resolution = resolved(&[edge(), service("s"), route("r", json!([rule]))]);
            assert!(table(&resolution.plan)[0].ends_with(" respond 500"));
            assert_eq!(found(&resolution), ["spec.rules[0] invalid-rule"]);
        }
    }
}

#[test]
fn mirrors_lead_to_clusters_of_their_own() {
    let mirror = |share: Value| {
        let mut filter =
            json!({"type": "RequestMirror", "requestMirror": {"backendRef": to_service("m")}});
        for (name, value) in share.as_object().unwrap() {
            filter["requestMirror"][name] = value.clone();
        }
        filter
    };
    let filters = json!([
        mirror(json!({})),
        mirror(json!({"percent": 25})),
        mirror(json!({"fraction": {"numerator": 1, "denominator": 3}})),
        mirror(json!({"fraction": {"numerator": 5}})),
        mirror(json!({"percent": 0})),
    ]);
    let policy = super::policy(
        "p",
        &json!({"kind": "HTTPRoute", "name": "r"}),
        &json!({"circuitBreaker": {"maxParallelRequests": 1}}),
    );
    let resolution = resolved(&[
        edge(),
        service("s"),
        service("m"),
        policy,
        route(
            "r",
            json!([{"filters": filters, "backendRefs": [to_service("s")]}]),
        ),
    ]);
    let RouteAction::Forward(forward) = &rules(&resolution.plan)[0].action else {
        panic!("it is not forwarded")
    };
    let mirrors = forward.mirrors.iter();
    let mirrors: Vec<_> = mirrors
        .map(|it| (it.share.0, it.cluster.to_string()))
        .collect();
    let name = |place| format!("HTTPRoute/ns/r/rule/0/mirror/{place}@ns/edge");
    assert_eq!(
        mirrors,
        [
            (1_000_000, name(0)),
            (250_000, name(1)),
            (333_333, name(2)),
            (50_000, name(3)),
            (0, name(4)),
        ]
    );
    let clusters = &resolution.plan.clusters;
    assert_eq!(clusters.len(), 6);
    // The policy of the route is not for them.
    let limits = clusters
        .values()
        .map(|it| it.policy.circuit_breaker.max_parallel_requests);
    assert_eq!(limits.filter(|it| *it == 1).count(), 1);
    assert!(resolution.diagnostics.is_empty());
}

#[test]
fn a_mirror_that_leads_nowhere_is_left_out_and_said() {
    let to = |backend: Value| json!([{"type": "RequestMirror", "requestMirror": {"backendRef": backend}}]);
    for (backend, reason) in [
        (json!({"name": "nowhere", "port": 80}), "BackendNotFound"),
        (json!({"name": "s"}), "PortNotSpecified"),
        (json!({"name": "s", "port": 81}), "PortNotFound"),
        (
            json!({"kind": "Pod", "name": "s", "port": 80}),
            "InvalidKind",
        ),
        (
            json!({"name": "s", "namespace": "elsewhere", "port": 80}),
            "RefNotPermitted",
        ),
    ] {
        let rule = json!({"filters": to(backend), "backendRefs": [to_service("s")]});
        let resolution = resolved(&[edge(), service("s"), route("r", json!([rule]))]);
        assert_eq!(
            route_conditions(&resolution, "HTTPRoute", "r"),
            ["Accepted", &format!("!ResolvedRefs({reason})")],
            "{rule}"
        );
        let status = &resolution.statuses.routes[&object("HTTPRoute", "r")][0];
        let message = &status.conditions[1].message;
        let words = "failed to validate the RequestMirror filter: ";
        assert!(message.contains(words), "{message}");
        assert_eq!(
            found(&resolution),
            ["spec.rules[0].filters[0].requestMirror.backendRef unresolved-ref"]
        );
        let RouteAction::Forward(forward) = &rules(&resolution.plan)[0].action else {
            panic!("it is not forwarded")
        };
        assert!(forward.mirrors.is_empty());
    }
    let both = [
        json!({"type": "RequestRedirect", "requestRedirect": {}}),
        to(to_service("s"))[0].clone(),
    ];
    let resolution = resolved(&[edge(), service("s"), route("r", json!([{"filters": both}]))]);
    assert_eq!(
        route_conditions(&resolution, "HTTPRoute", "r")[0],
        "!Accepted(IncompatibleFilters)"
    );
}
