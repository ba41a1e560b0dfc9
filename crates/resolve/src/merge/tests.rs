//! Tables and properties of merging.

use proptest::prelude::*;
use serde_json::json;
use weir_plan::NamespacedName;

use super::*;

fn policy(name: &str) -> PolicyRef {
    PolicyRef {
        kind: "BackendTrafficPolicy".into(),
        name: NamespacedName::new("ns", name),
    }
}

type Merge = fn(Side<'_>, Side<'_>) -> Merged;

fn merged(merge: Merge, child: &Value, parent: &Value) -> Merged {
    let (child_name, parent_name) = (policy("child"), policy("parent"));
    merge(
        Side {
            policy: &child_name,
            settings: child,
        },
        Side {
            policy: &parent_name,
            settings: parent,
        },
    )
}

/// Who wrote what, as `path: name`.
fn from(merged: &Merged) -> Vec<String> {
    merged
        .from
        .iter()
        .map(|(path, policy)| format!("{path}: {}", policy.name.name))
        .collect()
}

#[test]
fn the_table_of_rfc_7396() {
    for (target, patch, result) in [
        (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
        (
            json!({"a": "b"}),
            json!({"b": "c"}),
            json!({"a": "b", "b": "c"}),
        ),
        (json!({"a": "b"}), json!({"a": null}), json!({})),
        (
            json!({"a": "b", "b": "c"}),
            json!({"a": null}),
            json!({"b": "c"}),
        ),
        (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
        (
            json!({"a": {"b": "c"}}),
            json!({"a": {"b": "d", "c": null}}),
            json!({"a": {"b": "d"}}),
        ),
        (
            json!({"a": [{"b": "c"}]}),
            json!({"a": [1]}),
            json!({"a": [1]}),
        ),
        (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
        (json!({"a": "b"}), json!(["c"]), json!(["c"])),
        (json!({"a": "foo"}), json!(null), json!(null)),
        (json!({"a": "foo"}), json!("bar"), json!("bar")),
        (
            json!({"e": null}),
            json!({"a": 1}),
            json!({"e": null, "a": 1}),
        ),
        (
            json!([1, 2]),
            json!({"a": "b", "c": null}),
            json!({"a": "b"}),
        ),
        (
            json!({}),
            json!({"a": {"bb": {"ccc": null}}}),
            json!({"a": {"bb": {}}}),
        ),
    ] {
        assert_eq!(
            merged(json, &patch, &target).settings,
            result,
            "{patch} onto {target}"
        );
    }
}

#[test]
fn each_leaf_knows_who_wrote_it() {
    let parent = json!({"timeout": {"tcp": {"connectTimeout": "15s"}, "http": {"requestTimeout": "1s"}}, "retry": {}});
    let child = json!({"timeout": {"tcp": {"connectTimeout": "10s"}}, "retry": {"numRetries": 1}});
    for merge in [strategic, json] {
        let merged = merged(merge, &child, &parent);
        assert_eq!(
            from(&merged),
            [
                "retry.numRetries: child",
                "timeout.http.requestTimeout: parent",
                "timeout.tcp.connectTimeout: child"
            ]
        );
    }
    let alone = alone(Side {
        policy: &policy("child"),
        settings: &json!({"a": [{"b": {}}, []], "c": null, "d": {"e": null, "f": 1}}),
    });
    assert_eq!(from(&alone), ["a[0].b: child", "a[1]: child", "d.f: child"]);
    assert_eq!(alone.settings["d"], json!({"f": 1}));
    let nulls = json!({"a": [{"b": null}], "c": null, "d": {"e": null}});
    assert_eq!(without_nulls(nulls), json!({"a": [{"b": null}], "d": {}}));
}

#[test]
fn lists_by_type_keep_the_order_of_the_reference() {
    for (parent, child, result) in [
        (
            &["websocket"][..],
            &["spdy/3.1"][..],
            &["spdy/3.1", "websocket"][..],
        ),
        (&["Gzip"], &["Brotli", "Zstd"], &["Brotli", "Zstd", "Gzip"]),
        (&["A", "B", "C"], &["C", "D"], &["A", "B", "C", "D"]),
        (&["A", "B", "C"], &["D", "C"], &["D", "A", "B", "C"]),
        (&["A", "B", "C"], &["B", "A"], &["B", "A", "C"]),
        (&["A", "B", "C"], &[], &["A", "B", "C"]),
        (&[], &["A"], &["A"]),
    ] {
        let list = |types: &[&str]| {
            types
                .iter()
                .map(|word| json!({"type": word}))
                .collect::<Vec<_>>()
        };
        for field in KEYED_LISTS {
            let merged = merged(
                strategic,
                &json!({field: list(child)}),
                &json!({field: list(parent)}),
            );
            assert_eq!(
                merged.settings,
                json!({field: list(result)}),
                "{child:?} onto {parent:?}"
            );
        }
    }
}

#[test]
fn items_of_one_type_merge() {
    let parent = json!({"compressor": [{"type": "Gzip", "gzip": {}, "minContentLength": 10}]});
    let child = json!({"compressor": [{"type": "Gzip", "minContentLength": 20}, {"type": "Gzip", "gzip": null}]});
    let merged = merged(strategic, &child, &parent);
    assert_eq!(
        merged.settings,
        json!({"compressor": [{"type": "Gzip", "minContentLength": 20}]})
    );
}

#[test]
fn other_lists_are_replaced() {
    for (child, parent, result) in [
        (
            json!({"retry": {"retryOn": {"triggers": ["reset"]}}}),
            json!({"retry": {"retryOn": {"triggers": ["5xx"]}}}),
            None,
        ),
        (
            json!({"responseOverride": []}),
            json!({"responseOverride": [{"source": "All"}]}),
            None,
        ),
        (
            json!({"a": {"compressor": [{"type": "A"}]}}),
            json!({"a": {"compressor": [{"type": "B"}]}}),
            None,
        ),
        (
            json!({"timeout": null}),
            json!({"timeout": {"tcp": {}}}),
            Some(json!({})),
        ),
    ] {
        let expected = result.unwrap_or_else(|| child.clone());
        for merge in [strategic, json] {
            assert_eq!(
                merged(merge, &child, &parent).settings,
                expected,
                "{child} onto {parent}"
            );
        }
    }
}

fn rule(requests: u32, selectors: bool) -> Value {
    let mut rule = json!({"limit": {"requests": requests, "unit": "Second"}});
    if selectors {
        rule["clientSelectors"] = json!([{"path": {"value": "/"}}]);
    }
    rule
}

fn rules(global: &[Value], local: &[Value]) -> Value {
    let mut limits = Map::new();
    for (half, rules) in [("global", global), ("local", local)] {
        if !rules.is_empty() {
            limits.insert(half.to_owned(), json!({"rules": rules}));
        }
    }
    json!({"rateLimit": limits})
}

/// The rules of both halves, as `requests name`.
fn listed(merged: &Merged) -> (Vec<String>, Vec<String>) {
    let list = |half: &str, names: &[RateLimitRuleName]| {
        let rules = merged
            .settings
            .pointer(&format!("/rateLimit/{half}/rules"))
            .and_then(Value::as_array);
        let rules = rules.cloned().unwrap_or_default();
        assert_eq!(rules.len(), names.len());
        rules
            .iter()
            .zip(names)
            .map(|(rule, name)| format!("{} {name}", rule["limit"]["requests"]))
            .collect()
    };
    (
        list("global", &merged.rules.global),
        list("local", &merged.rules.local),
    )
}

#[test]
fn rate_limit_rules_of_both_policies_are_in_force_under_strategic_merge() {
    let (child, parent) = (
        rules(&[rule(5, true)], &[rule(1, true)]),
        rules(&[rule(100, false)], &[rule(2, true)]),
    );
    let (global, local) = listed(&merged(strategic, &child, &parent));
    assert_eq!(global, ["5 ns/child/rule/0", "100 ns/parent/rule/0"]);
    assert_eq!(local, ["1 ns/child/rule/0", "2 ns/parent/rule/0"]);
    let (global, local) = listed(&merged(
        strategic,
        &rules(&[], &[rule(1, true)]),
        &rules(&[rule(100, false)], &[]),
    ));
    assert_eq!(
        (global, local),
        (
            vec!["100 ns/parent/rule/0".to_owned()],
            vec!["1 ns/child/rule/0".to_owned()]
        )
    );
    let (global, _) = listed(&merged(
        strategic,
        &json!({}),
        &rules(&[rule(1, true), rule(2, true)], &[]),
    ));
    assert_eq!(global, ["1 ns/parent/rule/0", "2 ns/parent/rule/1"]);
}

#[test]
fn a_local_default_of_the_child_stands_for_the_parents() {
    let parent = rules(&[], &[rule(7, false), rule(8, true)]);
    let (_, local) = listed(&merged(
        strategic,
        &rules(&[], &[rule(1, true), rule(2, false)]),
        &parent,
    ));
    assert_eq!(
        local,
        [
            "1 ns/child/rule/0",
            "2 ns/child/rule/1",
            "8 ns/parent/rule/1"
        ]
    );
    let (_, local) = listed(&merged(strategic, &rules(&[], &[rule(1, true)]), &parent));
    assert_eq!(
        local,
        [
            "1 ns/child/rule/0",
            "7 ns/parent/rule/0",
            "8 ns/parent/rule/1"
        ]
    );
}

#[test]
fn under_json_merge_rules_are_replaced_and_an_empty_list_switches_them_off() {
    let parent = rules(&[rule(100, false)], &[rule(2, true)]);
    let (global, local) = listed(&merged(json, &rules(&[rule(5, true)], &[]), &parent));
    assert_eq!(
        (global, local),
        (
            vec!["5 ns/child/rule/0".to_owned()],
            vec!["2 ns/parent/rule/0".to_owned()]
        )
    );
    for off in [json!([]), json!(null)] {
        let (global, local) = listed(&merged(
            json,
            &json!({"rateLimit": {"global": {"rules": off}}}),
            &parent,
        ));
        assert_eq!((global.len(), local.len()), (0, 1));
    }
    assert_eq!(
        merged(json, &json!({"rateLimit": null}), &parent).settings,
        json!({})
    );
}

#[test]
fn a_deprecated_type_chooses_among_its_own_policys_halves() {
    let mut child = rules(&[rule(5, true)], &[rule(6, true)]);
    child["rateLimit"]["type"] = json!("Global");
    let mut parent = rules(&[rule(100, false)], &[rule(2, true)]);
    parent["rateLimit"]["type"] = json!("Local");
    for merge in [strategic, json] {
        let merged = merged(merge, &child, &parent);
        assert_eq!(
            listed(&merged),
            (
                vec!["5 ns/child/rule/0".to_owned()],
                vec!["2 ns/parent/rule/0".to_owned()]
            )
        );
        assert_eq!(merged.settings["rateLimit"].get("type"), None);
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        (0..3).prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let key = prop_oneof![
            Just("a"),
            Just("b"),
            Just("type"),
            Just("compressor"),
            Just("httpUpgrade")
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..4).prop_map(|fields| {
                Value::Object(
                    fields
                        .into_iter()
                        .map(|(key, value)| (key.to_owned(), value))
                        .collect(),
                )
            }),
        ]
    })
}

fn object() -> impl Strategy<Value = Value> {
    value().prop_map(|value| {
        if value.is_object() {
            value
        } else {
            json!({"a": value})
        }
    })
}

/// RFC 7396's own pseudocode.
fn rfc_7396(target: Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else {
        return patch.clone();
    };
    let mut target = if let Value::Object(target) = target {
        target
    } else {
        Map::new()
    };
    for (name, value) in patch {
        let old = target.remove(name).unwrap_or_default();
        if !value.is_null() {
            target.insert(name.clone(), rfc_7396(old, value));
        }
    }
    Value::Object(target)
}

fn leaves(value: &Value, path: &FieldPath, found: &mut Vec<FieldPath>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            fields
                .iter()
                .for_each(|(key, value)| leaves(value, &path.child(key), found));
        }
        Value::Array(items) if !items.is_empty() => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, value)| leaves(value, &path.index(index), found));
        }
        _ if path.as_str().is_empty() => {}
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => found.push(path.clone()),
    }
}

proptest! {
    #[test]
    fn json_merge_is_rfc_7396(child in object(), parent in object()) {
        prop_assert_eq!(merged(json, &child, &parent).settings, rfc_7396(parent, &child));
    }

    #[test]
    fn merging_twice_changes_nothing(child in object(), parent in object()) {
        for merge in [strategic as Merge, json] {
            let once = merged(merge, &child, &parent).settings;
            prop_assert_eq!(&merged(merge, &child, &once).settings, &once);
        }
    }

    #[test]
    fn every_leaf_has_an_owner(child in object(), parent in object()) {
        for merge in [strategic as Merge, json] {
            let merged = merged(merge, &child, &parent);
            let mut expected = Vec::new();
            leaves(&merged.settings, &FieldPath::default(), &mut expected);
            expected.sort();
            expected.dedup();
            prop_assert_eq!(expected, merged.from.into_keys().collect::<Vec<_>>());
        }
    }
}
