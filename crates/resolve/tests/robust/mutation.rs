//! Random edits of documents, as a strategy of proptest: what hands, templates and enemies do to JSON.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Number, Value, json};

/// One edit, of the place that the index chooses among all places of all documents.
#[derive(Clone, Debug)]
pub(crate) struct Edit {
    place: Index,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Replace(Value),
    Remove,
    /// The item once more, behind itself; a whole document, too.
    Duplicate,
    Rename(String),
    /// What stands at another place.
    Copy(Index),
}

/// Any edit.
pub(crate) fn edit() -> impl Strategy<Value = Edit> {
    let what = prop_oneof![
        4 => value().prop_map(What::Replace),
        1 => Just(What::Remove),
        1 => Just(What::Duplicate),
        1 => text().prop_map(What::Rename),
        3 => any::<Index>().prop_map(What::Copy),
    ];
    (any::<Index>(), what).prop_map(|(place, what)| Edit { place, what })
}

/// Applies an edit to a list of documents.
pub(crate) fn apply(documents: &mut Value, Edit { place, what }: &Edit) {
    let mut places = Vec::new();
    collect(documents, "", &mut places);
    if places.is_empty() {
        return;
    }
    let place = place.get(&places);
    match what {
        What::Replace(value) => put(documents, place, value.clone()),
        What::Copy(from) => {
            let value = documents.pointer(from.get(&places).as_str()).cloned();
            put(documents, place, value.unwrap_or_default());
        }
        What::Remove | What::Duplicate | What::Rename(_) => {
            let (parent, key) = place.rsplit_once('/').expect("every place has a parent");
            let key = key.replace("~1", "/").replace("~0", "~");
            match (documents.pointer_mut(parent), what) {
                (Some(Value::Array(items)), _) => {
                    let index: usize = key.parse().expect("an index");
                    match what {
                        What::Remove => drop(items.remove(index)),
                        What::Replace(_) | What::Duplicate | What::Rename(_) | What::Copy(_) => {
                            items.insert(index, items[index].clone());
                        }
                    }
                }
                (Some(Value::Object(fields)), What::Rename(name)) => {
                    if let Some(value) = fields.remove(&key) {
                        fields.insert(name.clone(), value);
                    }
                }
                (Some(Value::Object(fields)), _) => drop(fields.remove(&key)),
                _ => {}
            }
        }
    }
}

fn put(documents: &mut Value, place: &str, value: Value) {
    if let Some(old) = documents.pointer_mut(place) {
        *old = value;
    }
}

/// All places, as JSON pointers.
fn collect(value: &Value, at: &str, places: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(index, item)| (index.to_string(), item))
            .collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    for (key, child) in children {
        let place = format!("{at}/{key}");
        collect(child, &place, places);
        places.push(place);
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        prop_oneof![
            Just(0),
            Just(1),
            Just(-1),
            Just(100),
            Just(65_536),
            Just(i64::MAX),
            Just(i64::MIN),
            any::<i64>()
        ]
        .prop_map(Value::from),
        prop_oneof![Just(u64::MAX), Just(1 << 32)].prop_map(Value::from),
        prop_oneof![
            Just(0.5),
            Just(-0.0),
            Just(1e300),
            Just(1e-300),
            any::<f64>()
        ]
        .prop_map(|it| Number::from_f64(it).map_or(Value::Null, Value::Number)),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::vec((text(), inner), 0..3)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            Just(json!({})),
            Just(json!([])),
        ]
    })
}

/// Texts that mean something somewhere, and any others.
fn text() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "",
        " ",
        "*",
        "*.",
        "*.example",
        ".",
        "/",
        "//",
        "~",
        "a.b",
        "shop",
        "blog",
        "edge",
        "more",
        "web",
        "posts",
        "http",
        "blog.example",
        "api",
        "app",
        "team",
        "front",
        "Gateway",
        "ListenerSet",
        "HTTPRoute",
        "GRPCRoute",
        "TCPRoute",
        "UDPRoute",
        "Service",
        "Backend",
        "BackendTrafficPolicy",
        "gateway.networking.k8s.io",
        "gateway.envoyproxy.io",
        "All",
        "Same",
        "Selector",
        "None",
        "In",
        "NotIn",
        "Exists",
        "DoesNotExist",
        "Exact",
        "PathPrefix",
        "RegularExpression",
        "Distinct",
        "StrategicMerge",
        "JSONMerge",
        "Replace",
        "Value",
        "Range",
        "Inline",
        "ValueRef",
        "Global",
        "Local",
        "0s",
        "1ms",
        "99999h",
        "99999h99999h99999h99999h",
        "1.5s",
        "-1s",
        "0",
        "1Ki",
        "99999999999999999999Ei",
        "-1",
        "1e999",
        "0.0.0.0/0",
        "10.0.0.0/33",
        "::/0",
        "127.0.0.1",
        "%",
        "%%",
        "%REQ(",
        "%REQ(a)%",
        "%START_TIME(%Y%)%",
        "(",
        "[",
        "(?:",
        "a{1000}{1000}",
        "\u{0}",
        "\r\n",
        "é",
        "\u{202e}",
        "name",
        "spec",
        "rules",
        "metadata",
        "status",
        "type",
        "2024-01-01T00:00:00Z",
        "prod",
    ]);
    prop_oneof![
        6 => known.prop_map(str::to_owned),
        1 => any::<String>(),
        1 => (1_usize..5_000).prop_map(|length| "a".repeat(length)),
    ]
}
