//! The schema and the rules of HTTPRouteFilter.

use serde_json::Value;

use super::policy::{GROUP, KIND, OBJECT_NAME};
use super::policy_traffic::{HEADER_CHANGES, RESPONSE_BODY};
use super::response_rules::body;
use super::schema::Schema::{Bool, List, Object, Text, Words};
use super::schema::{self, INTEGER, Schema, TEXT, Unique, may, must, up_to};
use super::values::At;
use super::{Violation, judge, pattern};

/// What the API server would refuse in the spec of an HTTPRouteFilter.
pub(crate) fn check(spec: &Value) -> Vec<Violation> {
    judge(spec, &SPEC, rules)
}

pub(crate) const SPEC: Schema = Object(&[
    may(
        "urlRewrite",
        Object(&[
            may("hostname", HOSTNAME),
            may(
                "path",
                Object(&[
                    must("type", Words(&["ReplaceRegexMatch"])),
                    may(
                        "replaceRegexMatch",
                        Object(&[must("pattern", EXPRESSION), must("substitution", TEXT)]),
                    ),
                ]),
            ),
            may("appendXForwardedHost", Bool),
        ]),
    ),
    may(
        "directResponse",
        Object(&[
            may("contentType", TEXT),
            may("body", RESPONSE_BODY),
            may("statusCode", INTEGER),
            may("header", HEADER_CHANGES),
        ]),
    ),
    may("credentialInjection", CREDENTIAL_INJECTION),
    may(
        "matches",
        List(&up_to(8, Object(&[must("cookies", List(&COOKIES))]))),
    ),
]);
const HOSTNAME: Schema = Object(&[
    must("type", Words(&["Header", "Backend", "PathRegex"])),
    may("header", TEXT),
    may(
        "pathRegex",
        Object(&[
            must("pattern", EXPRESSION),
            must(
                "substitution",
                Text(1, usize::MAX, Some(pattern::HEADER_PREFIX)),
            ),
        ]),
    ),
]);
const EXPRESSION: Schema = Text(1, usize::MAX, None);
const CREDENTIAL_INJECTION: Schema = Object(&[
    may("header", TEXT),
    may("overwrite", Bool),
    must(
        "credential",
        Object(&[must(
            "valueRef",
            Object(&[
                may("group", GROUP),
                may("kind", KIND),
                must("name", OBJECT_NAME),
                may("namespace", Text(1, 63, Some(pattern::LABEL))),
            ]),
        )]),
    ),
]);
const COOKIES: schema::List = schema::List {
    items: Object(&[
        may("type", Words(&["Exact", "RegularExpression"])),
        must("name", Text(1, 256, None)),
        must("value", Text(1, 4096, None)),
    ]),
    least: 1,
    most: 16,
    unique: Unique::Nothing,
};

fn rules(spec: &At<'_>, found: &mut Vec<Violation>) {
    if let Some(hostname) = spec.follow(&["urlRewrite", "hostname"]) {
        let kind = hostname.text("type");
        for (name, field) in [("Header", "header"), ("PathRegex", "pathRegex")] {
            let (meant, set) = (kind == Some(name), hostname.has(field));
            hostname.require(
                meant || !set,
                &format!("{field} must be nil if the type is not {name}"),
                found,
            );
            hostname.require(
                set || !meant,
                &format!("{field} must be specified for {name} type"),
                found,
            );
        }
    }
    if let Some(path) = spec.follow(&["urlRewrite", "path"]) {
        path.require(
            path.has("replaceRegexMatch"),
            "If HTTPPathModifier type is ReplaceRegexMatch, replaceRegexMatch field needs to be set.",
            found,
        );
    }
    if let Some(response) = spec.get("directResponse") {
        if let Some(at) = response.get("body") {
            body(&at, found);
        }
        if let Some(header) = response.get("header") {
            header.require(
                !header.has_items("remove"),
                "header.remove is not supported for DirectResponse",
                found,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_api_server_refuses_is_refused() {
        let hostname = |it: Value| json!({"urlRewrite": {"hostname": it}});
        let path = |it: Value| json!({"urlRewrite": {"path": it}});
        let answer = |it: Value| json!({"directResponse": it});
        let regex = json!({"pattern": "^/a", "substitution": "b"});
        let cookie = json!({"name": "a", "value": "b"});
        // (spec, where and what; empty: nothing)
        let cases = [
            (json!({}), ""),
            (hostname(json!({"type": "Backend"})), ""),
            (hostname(json!({"type": "Header", "header": "x-host"})), ""),
            (
                hostname(json!({"type": "PathRegex", "pathRegex": regex})),
                "",
            ),
            (
                hostname(json!({})),
                "spec.urlRewrite.hostname.type: Required value",
            ),
            (
                hostname(json!({"type": "Cookie"})),
                r#"spec.urlRewrite.hostname.type: Unsupported value: "Cookie": supported values: "Header", "Backend", "PathRegex""#,
            ),
            (
                hostname(json!({"type": "Header"})),
                "spec.urlRewrite.hostname: header must be specified for Header type",
            ),
            (
                hostname(json!({"type": "Backend", "header": "a"})),
                "spec.urlRewrite.hostname: header must be nil if the type is not Header",
            ),
            (
                hostname(json!({"type": "PathRegex"})),
                "spec.urlRewrite.hostname: pathRegex must be specified for PathRegex type",
            ),
            (
                hostname(json!({"type": "Backend", "pathRegex": regex})),
                "spec.urlRewrite.hostname: pathRegex must be nil if the type is not PathRegex",
            ),
            (
                hostname(
                    json!({"type": "PathRegex", "pathRegex": {"pattern": "a", "substitution": "b\n"}}),
                ),
                r#"spec.urlRewrite.hostname.pathRegex.substitution: Invalid value: "b\n": spec.urlRewrite.hostname.pathRegex.substitution in body should match '^[^\r\n\x00]*$'"#,
            ),
            (
                path(json!({"type": "ReplaceRegexMatch", "replaceRegexMatch": regex})),
                "",
            ),
            (
                path(json!({"type": "ReplaceRegexMatch"})),
                "spec.urlRewrite.path: If HTTPPathModifier type is ReplaceRegexMatch, replaceRegexMatch field needs to be set.",
            ),
            (
                path(
                    json!({"type": "ReplaceRegexMatch", "replaceRegexMatch": {"pattern": "", "substitution": ""}}),
                ),
                r#"spec.urlRewrite.path.replaceRegexMatch.pattern: Invalid value: "": spec.urlRewrite.path.replaceRegexMatch.pattern in body should be at least 1 chars long"#,
            ),
            (
                answer(json!({"statusCode": 14, "body": {"inline": ""}})),
                "",
            ),
            (
                answer(json!({"body": {"type": "Inline"}})),
                "spec.directResponse.body: inline must be set for type Inline",
            ),
            (
                answer(json!({"body": {"type": "ValueRef"}})),
                "spec.directResponse.body: valueRef must be set for type ValueRef",
            ),
            (
                answer(
                    json!({"body": {"type": "ValueRef", "valueRef": {"group": "", "kind": "Secret", "name": "a"}}}),
                ),
                "spec.directResponse.body: only ConfigMap is supported for ValueRef",
            ),
            (answer(json!({"header": {"remove": []}})), ""),
            (
                answer(json!({"header": {"remove": ["a"]}})),
                "spec.directResponse.header: header.remove is not supported for DirectResponse",
            ),
            (
                json!({"credentialInjection": {"credential": {"valueRef": {"name": "a"}}}}),
                "",
            ),
            (
                json!({"credentialInjection": {"header": "a"}}),
                "spec.credentialInjection.credential: Required value",
            ),
            (json!({"matches": [{"cookies": [cookie]}]}), ""),
            (
                json!({"matches": [{"cookies": [cookie]}, {}]}),
                "spec.matches[1].cookies: Required value",
            ),
            (
                json!({"matches": [{"cookies": []}]}),
                "spec.matches[0].cookies: Invalid value: 0: spec.matches[0].cookies in body should have at least 1 items",
            ),
            (
                json!({"urlRewrit": {}}),
                r#"spec.urlRewrit: unknown field "urlRewrit": did you mean "urlRewrite"?"#,
            ),
        ];
        for (spec, expected) in cases {
            let found = check(&spec);
            let found: Vec<_> = found
                .iter()
                .map(|Violation { at, id: _, message }| format!("{}: {message}", at.as_str()))
                .collect();
            assert_eq!(found.join("\n"), expected, "{spec}");
        }
    }
}
