//! Values of a document before they are read: how many there are, numbers as JSON has them, and what is short for more.

use serde_json::{Map, Value};

/// Whether a value has more values in it than are left.
pub(super) fn is_larger_than(value: &Value, left: &mut usize) -> bool {
    let Some(fewer) = left.checked_sub(1) else {
        return true;
    };
    *left = fewer;
    match value {
        Value::Array(items) => items.iter().any(|it| is_larger_than(it, left)),
        Value::Object(fields) => fields.values().any(|it| is_larger_than(it, left)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Makes numbers such as `5.0` and `1e3` the whole numbers that they are for an API server, which reads JSON.
pub(super) fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            // Beyond 2^53 a float says no whole number exactly.
            let float = number.as_f64().filter(|_| number.is_f64());
            let whole = float.filter(|it| it.fract() == 0.0 && it.abs() <= 9_007_199_254_740_992.0);
            if let Some(whole) = whole {
                #[expect(clippy::cast_possible_truncation, reason = "it is whole and in range")]
                let whole = whole as i64;
                *number = whole.into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// `rateLimit.local: {requests, unit}` is short for a single rule without selectors.
pub(super) fn lengthen_local_limit(spec: &mut Value) {
    let local = spec
        .get_mut("rateLimit")
        .and_then(|it| it.get_mut("local"))
        .and_then(Value::as_object_mut);
    let Some(local) = local.filter(|it| !it.contains_key("rules")) else {
        return;
    };
    let limit: Map<_, _> = ["requests", "unit"]
        .iter()
        .filter_map(|name| local.remove_entry(*name))
        .collect();
    if !limit.is_empty() {
        local.insert("rules".to_owned(), serde_json::json!([{ "limit": limit }]));
    }
}
