//! HTTPRouteFilters: what comes of them for the rules that refer to them, and those that cannot be served.

#![expect(
    clippy::needless_pass_by_value,
    reason = "tests read better when they hand over what `json!` makes"
)]

use serde_json::{Value, json};
use weir_plan::RouteAction;

use super::{action, found, rules};
use crate::fixtures::{edge, resolved, route, route_conditions, service, to_service};

pub(super) fn filter(name: &str, spec: Value) -> Value {
    json!({"kind": "HTTPRouteFilter", "metadata": {"name": name}, "spec": spec})
}

pub(super) fn refer(name: &str) -> Value {
    json!({"type": "ExtensionRef", "extensionRef": {
        "group": "gateway.envoyproxy.io", "kind": "HTTPRouteFilter", "name": name}})
}

fn config_map(name: &str, data: Value) -> Value {
    json!({"kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

pub(super) fn secret(name: &str, credential: &str) -> Value {
    json!({"kind": "Secret", "metadata": {"name": name}, "stringData": {"credential": credential}})
}

/// A route whose one rule has these filters and a backend.
fn with(filters: Value) -> Value {
    route(
        "r",
        json!([{"filters": filters, "backendRefs": [to_service("s")]}]),
    )
}

#[test]
fn rewrites_become_the_plans() {
    let regex = |pattern: &str, substitution: &str| json!({"pattern": pattern, "substitution": substitution});
    let path = |it: Value| json!({"urlRewrite": {"path": {"type": "ReplaceRegexMatch", "replaceRegexMatch": it}}});
    let host = |it: Value| json!({"urlRewrite": {"hostname": it}});
    let cases = [
        (
            path(regex("^/a/([^/]+)(/.*)$", r"\2/of/\1")),
            json!({"hostname": null, "append_forwarded_host": true,
                "path": {"ReplaceRegexMatch": {"pattern": "^/a/([^/]+)(/.*)$", "replacement": "${2}/of/${1}"}}}),
        ),
        (
            path(regex("a", r"$1\\\0")),
            json!({"hostname": null, "append_forwarded_host": true,
                "path": {"ReplaceRegexMatch": {"pattern": "a", "replacement": r"$$1\${0}"}}}),
        ),
        (
            host(json!({"type": "Header", "header": "X-Host"})),
            json!({"hostname": {"Header": "x-host"}, "append_forwarded_host": true, "path": null}),
        ),
        (
            json!({"urlRewrite": {"appendXForwardedHost": false, "hostname": {"type": "Backend"}}}),
            json!({"hostname": "Backend", "append_forwarded_host": false, "path": null}),
        ),
        (
            host(json!({"type": "PathRegex", "pathRegex": regex("^/([a-z]+)", r"\1.test")})),
            json!({"hostname": {"PathRegex": {"pattern": "^/([a-z]+)", "replacement": "${1}.test"}},
                "append_forwarded_host": true, "path": null}),
        ),
    ];
    for (spec, expected) in cases {
        let documents = [
            edge(),
            service("s"),
            filter("f", spec),
            with(json!([refer("f")])),
        ];
        let resolution = resolved(&documents);
        let RouteAction::Forward(forward) = &rules(&resolution.plan)[0].action else {
            panic!("{expected}: {:?}", resolution.diagnostics)
        };
        assert_eq!(serde_json::to_value(&forward.rewrite).unwrap(), expected);
        assert!(resolution.diagnostics.is_empty());
    }
}

#[test]
fn the_parts_of_a_rewrite_may_come_from_several_filters() {
    let host =
        json!({"urlRewrite": {"appendXForwardedHost": false, "hostname": {"type": "Backend"}}});
    let core = json!({"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplaceFullPath", "replaceFullPath": "/b"}}});
    for filters in [json!([core, refer("f")]), json!([refer("f"), core])] {
        let documents = [
            edge(),
            service("s"),
            filter("f", host.clone()),
            with(filters),
        ];
        let resolution = resolved(&documents);
        let RouteAction::Forward(forward) = &rules(&resolution.plan)[0].action else {
            panic!("{:?}", resolution.diagnostics)
        };
        let expected = json!({"hostname": "Backend", "append_forwarded_host": false, "path": {"ReplaceFullPath": "/b"}});
        assert_eq!(serde_json::to_value(&forward.rewrite).unwrap(), expected);
    }
}

#[test]
fn direct_responses_become_answers() {
    let from_map =
        json!({"type": "ValueRef", "valueRef": {"group": "", "kind": "ConfigMap", "name": "page"}});
    let cases = [
        (json!({}), json!({"status": 200, "content": null})),
        (
            json!({"statusCode": 503, "contentType": "application/json", "body": {"type": "Inline", "inline": "{\"full\": \"100%%\"}"},
                "header": {"set": [{"name": "X-A", "value": "1"}], "add": [{"name": "x-b", "value": "50%%"}]}}),
            json!({"status": 503, "content": {"body": "{\"full\": \"100%\"}", "headers": {
                "set": [["x-a", "1"], ["content-type", "application/json"]], "add": [["x-b", "50%"]], "remove": []}}}),
        ),
        // A header says more than the content type.
        (
            json!({"contentType": "a/b", "header": {"set": [{"name": "Content-Type", "value": "c/d"}]}}),
            json!({"status": 200, "content": {"body": "", "headers": {
                "set": [["content-type", "c/d"]], "add": [], "remove": []}}}),
        ),
        (
            json!({"body": from_map}),
            json!({"status": 200, "content": {"body": "the page", "headers": {"set": [], "add": [], "remove": []}}}),
        ),
    ];
    for (spec, mut expected) in cases {
        let documents = [
            edge(),
            config_map("page", json!({"a": "other", "response.body": "the page"})),
            filter("f", json!({"directResponse": spec})),
            route("r", json!([{"filters": [refer("f")]}])),
        ];
        let resolution = resolved(&documents);
        let RouteAction::Respond(respond) = &rules(&resolution.plan)[0].action else {
            panic!("{expected}: {:?}", resolution.diagnostics)
        };
        expected["reason"] = json!("HTTPRouteFilter ns/f says so");
        assert_eq!(serde_json::to_value(respond).unwrap(), expected);
        assert!(
            resolution.diagnostics.is_empty(),
            "{:?}",
            resolution.diagnostics
        );
    }
}

#[test]
fn a_rule_whose_filter_cannot_be_served_answers_500() {
    let answer = |it: Value| json!({"directResponse": it});
    let path = |pattern: &str, substitution: &str| {
        json!({"urlRewrite": {"path": {"type": "ReplaceRegexMatch",
        "replaceRegexMatch": {"pattern": pattern, "substitution": substitution}}}})
    };
    let map = |name: &str| {
        answer(
            json!({"body": {"type": "ValueRef", "valueRef": {"group": "", "kind": "ConfigMap", "name": name}}}),
        )
    };
    // (spec, reason, message)
    let cases = [
        (
            json!({"credentialInjection": {"credential": {"valueRef": {"name": "s"}}}}),
            "UnsupportedValue",
            "invalid filter HTTPRouteFilter: secret ns/s does not exist",
        ),
        (
            json!({"credentialInjection": {"credential": {"valueRef": {"name": "bare"}}}}),
            "UnsupportedValue",
            "invalid filter HTTPRouteFilter: credential key credential not found in secret ns/bare",
        ),
        (
            json!({"credentialInjection": {"credential": {"valueRef": {"name": "line"}}}}),
            "UnsupportedValue",
            "invalid filter HTTPRouteFilter: credential key credential of secret ns/line is no header's value; \
             it may have a line break at its end",
        ),
        (
            json!({"credentialInjection": {"credential": {"valueRef": {"name": "far", "namespace": "far"}}}}),
            "UnsupportedValue",
            "invalid filter HTTPRouteFilter: secret far/far is in another namespace, which has no ReferenceGrant for it",
        ),
        (
            json!({"credentialInjection": {"credential": {"valueRef": {"name": "s", "kind": "ConfigMap"}}}}),
            "UnsupportedValue",
            "invalid filter HTTPRouteFilter: a credential comes from a Secret of the core group only",
        ),
        (
            json!({"credentialInjection": {"header": "a b", "credential": {"valueRef": {"name": "good"}}}}),
            "UnsupportedValue",
            "invalid filter HTTPRouteFilter: \"a b\" is no header name",
        ),
        (
            json!({"matches": [{"cookies": [{"name": "a", "value": "(", "type": "RegularExpression"}]}]}),
            "UnsupportedValue",
            "invalid filter HTTPRouteFilter: regular expression \"(\" for cookie a is invalid: missing closing ): `(`",
        ),
        (
            path("(", ""),
            "UnsupportedValue",
            "invalid filter HTTPRouteFilter: ReplaceRegexMatch must be a valid RE2 regular expression: \
             regular expression \"(\" for ReplaceRegexMatch is invalid: missing closing ): `(`",
        ),
        (
            json!({"urlRewrite": {"path": {"type": "ReplaceRegexMatch"}}}),
            "UnsupportedValue",
            "invalid filter HTTPRouteFilter: ReplaceRegexMatch Pattern must be set when rewrite path type is \"ReplaceRegexMatch\"",
        ),
        (
            path("(a)", r"\2"),
            "UnsupportedValue",
            r#"invalid filter HTTPRouteFilter: substitution "\\2": the pattern has no group 2"#,
        ),
        (
            path("(a)", r"\n"),
            "UnsupportedValue",
            r#"invalid filter HTTPRouteFilter: substitution "\\n": a \ stands before a digit or another \"#,
        ),
        (
            json!({"urlRewrite": {"hostname": {"type": "PathRegex", "pathRegex": {"pattern": "[", "substitution": "a"}}}}),
            "UnsupportedValue",
            "invalid filter HTTPRouteFilter: PathRegex must be a valid RE2 regular expression: \
             regular expression \"[\" for PathRegex is invalid: missing closing ]: `[`",
        ),
        (
            json!({"urlRewrite": {"hostname": {"type": "Header", "header": "a b"}}}),
            "UnsupportedValue",
            "invalid filter HTTPRouteFilter: \"a b\" is no header name",
        ),
        (
            answer(json!({"statusCode": 199})),
            "UnsupportedValue",
            "invalid filter HTTPRouteFilter: invalid StatusCode value 199",
        ),
        (
            answer(json!({"statusCode": 600})),
            "UnsupportedValue",
            "invalid filter HTTPRouteFilter: invalid StatusCode value 600",
        ),
        (
            answer(json!({"body": {"inline": "from %HOSTNAME%"}})),
            "UnsupportedValue",
            "invalid filter HTTPRouteFilter: the body: operator HOSTNAME, written like this, is not supported yet in a directResponse",
        ),
        (
            answer(json!({"body": {"inline": "100%"}})),
            "UnsupportedValue",
            "invalid filter HTTPRouteFilter: the body: there is no operator at \"%\"; a % that is meant as one is written %%",
        ),
        (
            answer(json!({"header": {"add": [{"name": "content-length", "value": "1"}]}})),
            "UnsupportedValue",
            "invalid filter HTTPRouteFilter: header content-length cannot be changed by a header modifier; it follows from the body",
        ),
        (
            map("gone"),
            "UnsupportedValue",
            "invalid filter HTTPRouteFilter: can't find the referenced configmap ns/gone",
        ),
        (
            map("empty"),
            "UnsupportedValue",
            "invalid filter HTTPRouteFilter: can't find the key response.body in the referenced configmap ns/empty",
        ),
    ];
    for (spec, reason, message) in cases {
        refused(spec, json!([refer("f")]), reason, message);
    }
    let redirect = json!({"type": "RequestRedirect", "requestRedirect": {}});
    let host = json!({"type": "URLRewrite", "urlRewrite": {"hostname": "a"}});
    let mirror = json!({"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "s", "port": 80}}});
    let backend = json!({"urlRewrite": {"hostname": {"type": "Backend"}}});
    let cases = [
        (
            backend.clone(),
            json!([refer("f"), refer("f")]),
            "cannot configure multiple urlRewrite filters for a single HTTPRouteRule",
        ),
        (
            backend.clone(),
            json!([host, refer("f")]),
            "cannot configure multiple urlRewrite filters for a single HTTPRouteRule",
        ),
        (
            backend,
            json!([redirect, refer("f")]),
            "the filters RequestRedirect and URLRewrite cannot be used together",
        ),
        (
            answer(json!({})),
            json!([redirect, refer("f")]),
            "the filters RequestRedirect and directResponse cannot be used together",
        ),
        (
            answer(json!({})),
            json!([mirror, refer("f")]),
            "RequestMirror filter cannot be used when the rule also configures a DirectResponse filter",
        ),
        (
            answer(json!({})),
            json!([refer("f"), refer("f")]),
            "the filter directResponse is given more than once",
        ),
    ];
    for (spec, filters, message) in cases {
        refused(spec, filters, "IncompatibleFilters", message);
    }
}

pub(super) fn refused(spec: Value, filters: Value, reason: &str, message: &str) {
    let documents = [
        edge(),
        service("s"),
        config_map("empty", json!({})),
        secret("good", "Bearer hunter2"),
        secret("bare", ""),
        secret("line", "hunter2\n"),
        filter("f", spec),
        with(filters),
    ];
    let resolution = resolved(&documents);
    let rule = rules(&resolution.plan)[0];
    assert_eq!(action(rule), format!("500 {message}"));
    let conditions = route_conditions(&resolution, "HTTPRoute", "r");
    assert_eq!(conditions[0], format!("!Accepted({reason})"));
    assert_eq!(found(&resolution), ["spec.rules[0] invalid-rule"]);
}

#[test]
fn a_filter_that_is_not_there_is_an_unresolved_reference() {
    let other = |group: &str, kind: &str| {
        json!({"type": "ExtensionRef", "extensionRef": {
        "group": group, "kind": kind, "name": "f"}})
    };
    let far = {
        let mut it = filter("far", json!({"directResponse": {}}));
        it["metadata"]["namespace"] = json!("far");
        it
    };
    let cases = [
        (
            refer("gone"),
            "BackendNotFound",
            "Unable to translate HTTPRouteFilter: ns/gone",
        ),
        // One of another namespace is none.
        (
            refer("far"),
            "BackendNotFound",
            "Unable to translate HTTPRouteFilter: ns/far",
        ),
        (
            other("gateway.envoyproxy.io", "Backend"),
            "InvalidKind",
            "Reference ns/f not found for filter type: Backend of group \"gateway.envoyproxy.io\"; \
             use an HTTPRouteFilter of group gateway.envoyproxy.io",
        ),
        (
            other("example.com", "HTTPRouteFilter"),
            "InvalidKind",
            "Reference ns/f not found for filter type: HTTPRouteFilter of group \"example.com\"; \
             use an HTTPRouteFilter of group gateway.envoyproxy.io",
        ),
    ];
    for (reference, reason, message) in cases {
        let documents = [
            edge(),
            service("s"),
            filter("f", json!({"directResponse": {}})),
            far.clone(),
            with(json!([reference])),
        ];
        let resolution = resolved(&documents);
        assert_eq!(action(rules(&resolution.plan)[0]), format!("500 {message}"));
        let expected = [
            "!Accepted(UnsupportedValue)".to_owned(),
            format!("!ResolvedRefs({reason})"),
        ];
        assert_eq!(route_conditions(&resolution, "HTTPRoute", "r"), expected);
    }
}

#[test]
fn a_grpc_route_takes_no_success_without_a_message() {
    for (status, expected) in [
        (json!(403), "403 HTTPRouteFilter ns/f says so"),
        (
            Value::Null,
            "500 invalid filter HTTPRouteFilter: directResponse with status 200 cannot be used for a GRPCRoute: \
             gRPC takes 2xx for a success, which needs a message",
        ),
    ] {
        let mut it = with(json!([refer("f")]));
        it["kind"] = json!("GRPCRoute");
        let spec = json!({"directResponse": {"statusCode": status}});
        let resolution = resolved(&[edge(), service("s"), filter("f", spec), it]);
        assert_eq!(action(rules(&resolution.plan)[0]), expected);
    }
}

#[test]
fn operators_are_kept_for_the_data_plane_and_percent_signs_are_not_doubled() {
    for (text, operators, kept) in [
        ("100%% of %RESPONSE_CODE%", true, "100%% of %RESPONSE_CODE%"),
        ("100%%", false, "100%"),
    ] {
        let spec = json!({"directResponse": {"body": {"inline": text}, "header": {"set": [{"name": "a", "value": "1%%"}]}}});
        let resolution = resolved(&[edge(), filter("f", spec), with(json!([refer("f")]))]);
        let RouteAction::Respond(response) = &rules(&resolution.plan)[0].action else {
            panic!("it is forwarded")
        };
        let content = response.content.as_ref().unwrap();
        assert_eq!(content.operators, operators);
        assert_eq!(&*content.body.0, kept.as_bytes());
        let header = if operators { "1%%" } else { "1%" };
        assert_eq!(content.headers.set[0].1, header);
    }
}
