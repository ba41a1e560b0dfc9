//! Values that do not fit a type: where, why, and which fields were not known.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;

#[derive(Debug, PartialEq, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outer {
    name: String,
    #[serde(default)]
    inner_list: Vec<Inner>,
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Debug, PartialEq, serde::Deserialize)]
struct Inner {
    port: Option<u16>,
    kind: Option<Kind>,
}

#[derive(Debug, PartialEq, serde::Deserialize)]
enum Kind {
    A,
    B,
}

#[test]
fn says_where_a_value_does_not_fit() {
    let cases = [
        (json!({"name": "x"}), "", ""),
        (
            json!({"name": "x", "innerList": null, "labels": {"a": "b"}}),
            "",
            "",
        ),
        (json!({}), "spec", "missing field `name`"),
        (json!({"name": null}), "spec", "missing field `name`"),
        (
            json!({"name": 1}),
            "spec.name",
            "invalid type: integer `1`, expected a string",
        ),
        (
            json!([]),
            "spec",
            "invalid type: sequence, expected struct Outer",
        ),
        (
            json!({"name": "x", "innerList": [{}, {"port": "80"}]}),
            "spec.innerList[1].port",
            "expected u16",
        ),
        (
            json!({"name": "x", "innerList": [{"port": 65536}]}),
            "spec.innerList[0].port",
            "65536",
        ),
        (
            json!({"name": "x", "innerList": [{"kind": "C"}]}),
            "spec.innerList[0].kind",
            "`A` or `B`",
        ),
        (
            json!({"name": "x", "labels": {"a.b/c": true}}),
            "spec.labels[\"a.b/c\"]",
            "expected a string",
        ),
    ];
    for (value, at, message) in cases {
        let (result, unknown) = read::<Outer>(&value, &FieldPath::new("spec"));
        assert_eq!(unknown, [], "{value}");
        match result {
            Ok(_) => assert_eq!(at, "", "{value}"),
            Err(mismatch) => {
                assert_eq!(mismatch.at.as_str(), at, "{value}");
                assert!(
                    mismatch.message.contains(message),
                    "{value}: {}",
                    mismatch.message
                );
            }
        }
    }
}

#[test]
fn says_every_place_that_does_not_fit() {
    let value = json!({
        "name": 1, "innerLst": 2, "labels": {"a": 5, "b": "c"},
        "innerList": [{"port": "80", "kind": "C"}, {"prot": 1}, [], {"port": 1}],
    });
    let (result, unknown) = read_all::<Outer>(&value, &FieldPath::new("spec"));
    let places: Vec<_> = result
        .unwrap_err()
        .into_iter()
        .map(|it| it.at.to_string())
        .collect();
    assert_eq!(
        places,
        [
            "spec.innerList[0].kind",
            "spec.innerList[0].port",
            "spec.innerList[2]",
            "spec.labels.a",
            "spec.name"
        ]
    );
    let unknown: Vec<_> = unknown.iter().map(|it| it.at.as_str()).collect();
    assert_eq!(unknown, ["spec.innerList[1].prot", "spec.innerLst"]);

    let many = json!({"name": "x", "innerList": vec![json!({"port": "80"}); 1_000]});
    let (result, _) = read_all::<Outer>(&many, &FieldPath::default());
    assert_eq!(result.unwrap_err().len(), ROUNDS);

    let value = json!({"innerList": [{"port": "80"}]});
    let (result, _) = read_all::<Outer>(&value, &FieldPath::new("spec"));
    let missing: Vec<_> = result.unwrap_err().iter().map(Mismatch::missing).collect();
    assert_eq!(missing, [None, Some(FieldPath::new("spec.name"))]);
}

#[test]
fn unknown_fields_are_listed_with_those_that_are_known() {
    let value = json!({"name": "x", "nam": null, "innerList": [{"prot": 1, "port": 2}], "labels": {"any": "thing"}});
    let (result, unknown) = read::<Outer>(&value, &FieldPath::default());
    assert_eq!(
        result.unwrap().inner_list,
        [Inner {
            port: Some(2),
            kind: None
        }]
    );
    let places: Vec<_> = unknown
        .iter()
        .map(|it| (it.at.as_str(), it.known))
        .collect();
    assert_eq!(
        places,
        [
            ("innerList[0].prot", &["port", "kind"][..]),
            ("nam", &["name", "innerList", "labels"][..])
        ]
    );
}
