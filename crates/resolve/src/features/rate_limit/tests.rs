//! Tables of what rate limits are lowered to, and of what is wrong with them.

use serde_json::{Value, json};
use weir_plan::NamespacedName;

use super::*;

fn names(policy: &str, count: usize) -> Vec<RateLimitRuleName> {
    let policy = NamespacedName::new("ns", policy);
    (0..count)
        .map(|index| RateLimitRuleName {
            policy: policy.clone(),
            index,
        })
        .collect()
}

fn lowered(spec: Value) -> (Plan, Option<String>) {
    let spec: RateLimit = serde_json::from_value(spec).unwrap();
    let count = |half: &Option<Rules>| {
        half.as_ref()
            .and_then(|it| it.rules.as_ref())
            .map_or(0, Vec::len)
    };
    let names = RuleNames {
        global: names("policy", count(&spec.global)),
        local: names("policy", count(&spec.local)),
    };
    let mut found = Faults::default();
    (
        lower(Some(&spec), &names, true, &mut found),
        found.message(),
    )
}

fn limit(requests: u32, unit: &str) -> Value {
    json!({"requests": requests, "unit": unit})
}

fn selected(selectors: &Value) -> Value {
    json!({"global": {"rules": [{"clientSelectors": selectors, "limit": limit(1, "Second")}]}})
}

#[test]
fn a_local_rule_without_selectors_is_the_default_bucket() {
    let (plan, message) = lowered(json!({"local": {"rules": [
        {"clientSelectors": [{"methods": [{"value": "GET"}, {"value": "PUT", "invert": true}]}], "limit": limit(0, "Minute"), "shadowMode": true},
        {"limit": limit(10, "Second"), "xRateLimitHeaders": "Off"},
    ]}}));
    assert_eq!(message, None);
    let local = plan.local.unwrap();
    assert_eq!(
        serde_json::to_value(&local).unwrap(),
        json!({
            "default": {"name": "ns/policy/rule/1", "limit": "10/Second", "headers": false},
            "rules": [{
                "name": "ns/policy/rule/0",
                "matches": {"headers": [], "methods": ["GET", "!PUT"], "path": null, "source_cidr": null, "query_params": []},
                "limit": "0/Minute", "request_cost": 1, "response_cost": null,
                "from_metadata": {"limit": null, "request_cost": null, "response_cost": null}, "shared": false, "shadow": true, "headers": true,
            }],
        })
    );
    assert_eq!(plan.global, None);
}

#[test]
fn costs_and_sharing_belong_to_global_rules() {
    let rule = json!({
        "limit": limit(5, "Hour"), "shared": true,
        "cost": {"request": {"from": "Number", "number": 0}, "response": {"from": "Number", "number": 7}},
    });
    let (plan, message) = lowered(json!({"global": {"rules": [rule]}}));
    assert_eq!(message, None);
    let rule = &plan.global.unwrap().rules[0];
    assert_eq!(
        (rule.request_cost, rule.response_cost, rule.shared),
        (0, Some(7), true)
    );
    assert!(rule.matches.is_empty());

    let (plan, _) = lowered(json!({"global": {"rules": [{"limit": limit(5, "Hour")}]}}));
    let rule = &plan.global.unwrap().rules[0];
    assert_eq!(
        (rule.request_cost, rule.response_cost, rule.shared),
        (1, None, false)
    );
}

#[test]
fn the_deprecated_type_leaves_one_half() {
    let half = json!({"rules": [{"limit": limit(1, "Second")}]});
    for (spec, global, local) in [
        (json!({"global": half, "local": half}), true, true),
        (
            json!({"type": "Global", "global": half, "local": half}),
            true,
            false,
        ),
        (
            json!({"type": "Local", "global": half, "local": half}),
            false,
            true,
        ),
        (
            json!({"global": {"rules": []}, "local": {"rules": null}}),
            false,
            false,
        ),
    ] {
        let (plan, message) = lowered(spec.clone());
        assert_eq!(
            (plan.global.is_some(), plan.local.is_some(), message),
            (global, local, None),
            "{spec}"
        );
    }
}

#[test]
fn of_several_selectors_the_last_path_and_range_count() {
    let (plan, message) = lowered(selected(&json!([
        {"path": {"value": "/a"}, "sourceCIDR": {"value": "10.1.2.3/8"}, "headers": [{"name": "X-One", "value": "1"}]},
        {"path": {"type": "Exact", "value": "/b", "invert": true}, "sourceCIDR": {"type": "Distinct", "value": "::/0"}, "headers": [{"name": "x-two", "type": "Distinct"}]},
        {"queryParams": [{"name": "q", "type": "RegularExpression", "value": "a|b"}]},
    ])));
    assert_eq!(message, None);
    assert_eq!(
        serde_json::to_value(&plan.global.unwrap().rules[0].matches).unwrap(),
        json!({
            "headers": [
                {"name": "x-one", "value": {"Exact": {"value": "1", "invert": false}}},
                {"name": "x-two", "value": "Distinct"},
            ],
            "methods": [],
            "path": {"value": {"Exact": "/b"}, "invert": true},
            "source_cidr": {"cidr": "::/0", "distinct": true, "invert": false},
            "query_params": [{"name": "q", "value": {"Regex": {"pattern": "a|b", "invert": false}}}],
        })
    );
}

#[test]
fn faults() {
    let header = |header: Value| selected(&json!([{"headers": [header]}]));
    let query = |param: Value| selected(&json!([{"queryParams": [param]}]));
    let local = |rules: Value| json!({"local": {"rules": rules}});
    for (spec, expected) in [
        (json!({"type": "Both"}), "invalid rateLimit type: Both."),
        (
            json!({"type": "Global"}),
            "global configuration empty for rateLimit.",
        ),
        (
            json!({"type": "Local"}),
            "local configuration empty for rateLimit.",
        ),
        (
            local(json!([{"limit": limit(1, "Second")}, {"limit": limit(2, "Second")}])),
            "local rateLimit can not have more than one rule without clientSelectors.",
        ),
        (
            local(
                json!([{"limit": limit(1, "Week")}, {"clientSelectors": [{"path": {}}], "limit": limit(2, "Month")}]),
            ),
            "local rateLimit rule limit unit must be a multiple of the default limit unit.",
        ),
        (
            selected(&json!([{"headers": [], "methods": []}])),
            "unable to translate rateLimit. At least one of the header or method or path or sourceCIDR or queryParameters must be specified.",
        ),
        (
            header(json!({"name": "x"})),
            "unable to translate rateLimit. Either the header.Type is not valid or the header is missing a value.",
        ),
        (
            header(json!({"name": "x", "type": "Distinct", "value": "y"})),
            "unable to translate rateLimit. Either the header.Type is not valid or the header is missing a value.",
        ),
        (
            header(json!({"name": "x", "type": "Distinct", "invert": true})),
            "unable to translate rateLimit.Invert is not applicable for distinct header match type.",
        ),
        (
            header(json!({"name": "a b", "value": "y"})),
            "invalid header name \"a b\".",
        ),
        (
            header(json!({"name": "x", "type": "RegularExpression", "value": "*.illegal.regex"})),
            "regex \"*.illegal.regex\" is invalid: error parsing regexp: missing argument to repetition operator: `*`.",
        ),
        (
            query(json!({"name": "", "value": "y"})),
            "name is required when QueryParamMatch is specified.",
        ),
        (
            query(json!({"name": "x", "type": "Prefix", "value": "y"})),
            "invalid query parameter match type: Prefix.",
        ),
        (
            query(json!({"name": "x", "value": ""})),
            "value is required for Exact query parameter match.",
        ),
        (
            query(json!({"name": "x", "type": "RegularExpression"})),
            "value is required for RegularExpression query parameter match.",
        ),
        (
            query(json!({"name": "x", "type": "Distinct", "invert": true})),
            "unable to translate rateLimit.Invert is not applicable for distinct query parameter match type.",
        ),
        (
            query(json!({"name": "x", "type": "Distinct", "value": "y"})),
            "unable to translate rateLimit.Value is not applicable for distinct query parameter match type.",
        ),
        (
            selected(&json!([{"path": {"type": "Suffix"}}])),
            "unable to translate rateLimit: invalid path type.",
        ),
        (
            selected(&json!([{"sourceCIDR": {"value": "10.0.0.0"}}])),
            "unable to translate rateLimit: invalid CIDR address: 10.0.0.0.",
        ),
        (
            json!({"global": {"rules": [{"limit": limit(1, "Day"), "cost": {"response": {"number": 1_000_000_001}}}]}}),
            "cost 1000000001 is over 1000000000.",
        ),
        (
            local(json!([{"limit": {"requests": -1, "unit": "Second"}}])),
            "limit.requests must be between 0 and 4294967295.",
        ),
        (
            local(json!([{"limit": limit(1, "Fortnight")}])),
            "invalid limit.unit value Fortnight.",
        ),
    ] {
        assert_eq!(
            lowered(spec.clone()).1,
            Some(format!("RateLimit: {expected}")),
            "{spec}"
        );
    }
}

#[test]
fn merged_policies_are_judged_each_by_itself() {
    let spec: RateLimit = serde_json::from_value(json!({"local": {"rules": [
        {"clientSelectors": [{"path": {}}], "limit": limit(1, "Second")},
        {"limit": limit(5, "Minute")},
    ]}}))
    .unwrap();
    let mut found = Faults::default();
    let local = [names("child", 1), names("parent", 1)].concat();
    let plan = lower(
        Some(&spec),
        &RuleNames {
            global: Vec::new(),
            local,
        },
        true,
        &mut found,
    );
    assert_eq!(found.message(), None);
    assert_eq!(
        plan.local.unwrap().default.unwrap().name.to_string(),
        "ns/parent/rule/0"
    );
}

#[test]
fn metadata_may_take_the_place_of_numbers() {
    let metadata = |key: &str| json!({"namespace": "ns", "key": key});
    let mut limit = limit(5, "Hour");
    limit["fromMetadata"] = metadata("limit");
    let (plan, message) = lowered(json!({"global": {"rules": [{"limit": limit, "cost": {
        "request": {"from": "Metadata", "metadata": metadata("request")},
        "response": {"from": "Metadata", "metadata": metadata("response")}}}]}}));
    assert_eq!(message, None);
    let rule = &plan.global.unwrap().rules[0];
    let key = |key: &str| {
        Some(MetadataKey {
            namespace: "ns".into(),
            key: key.into(),
        })
    };
    let expected = FromMetadata {
        limit: key("limit"),
        request_cost: key("request"),
        response_cost: key("response"),
    };
    assert_eq!(rule.from_metadata, expected);
    // Where there is none, the numbers count.
    assert_eq!((rule.request_cost, rule.response_cost), (1, None));
}
