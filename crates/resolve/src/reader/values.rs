//! Values of a document as a whole: how many there are, and numbers as JSON has them.

use serde_json::Value;

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
