//! Schemas as data, and the walk that holds a value against one.
//!
//! Messages are those of the API server. A null counts as absent: the API server drops nulls before it looks, and a
//! JSONMerge child needs them to delete what its parent sets.

use serde_json::{Map, Value};

use super::pattern::{self, Pattern};
use super::{NOT_ADMITTED, Violation};
use crate::diagnostics::{FieldPath, MAX_FINDINGS_OF_AN_OBJECT};
use crate::suggestion::unknown_field;

/// What a value must look like.
#[derive(Debug)]
pub(crate) enum Schema {
    /// Anything.
    Any,
    /// True or false.
    Bool,
    /// A whole number within bounds.
    Integer(i64, i64),
    /// A whole number of 32 bits, from a least one on.
    Int32(i64),
    /// One of these whole numbers.
    Codes(&'static [i64]),
    /// A number.
    Number,
    /// A text with a length in characters, both ends included, and a pattern.
    Text(usize, usize, Option<&'static Pattern>),
    /// One of these words.
    Words(&'static [&'static str]),
    /// A number of bytes with an optional suffix. Numbers without quotes are not looked at, as in the reference.
    ByteSize,
    /// An object with these fields and no others.
    Object(&'static [Field]),
    /// An object with any keys.
    Map(&'static Schema),
    /// A list.
    List(&'static List),
}

/// One field of an object.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) required: bool,
    pub(crate) schema: Schema,
}

/// A field that may be absent.
pub(crate) const fn may(name: &'static str, schema: Schema) -> Field {
    Field {
        name,
        required: false,
        schema,
    }
}

/// A field that must be there.
pub(crate) const fn must(name: &'static str, schema: Schema) -> Field {
    Field {
        name,
        required: true,
        schema,
    }
}

/// A list: its items, how many there may be, and what must be unique among them.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) items: Schema,
    pub(crate) least: usize,
    pub(crate) most: usize,
    pub(crate) unique: Unique,
}

/// A list of any length.
pub(crate) const fn list(items: Schema) -> List {
    List {
        items,
        least: 0,
        most: usize::MAX,
        unique: Unique::Nothing,
    }
}

/// A list of at most so many.
pub(crate) const fn up_to(most: usize, items: Schema) -> List {
    List {
        items,
        least: 0,
        most,
        unique: Unique::Nothing,
    }
}

/// What must be unique among the items of a list.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unique {
    Nothing,
    Items,
    /// This field of each item.
    Key(&'static str),
}

/// Any text.
pub(crate) const TEXT: Schema = Schema::Text(0, usize::MAX, None);
/// Any whole number.
pub(crate) const INTEGER: Schema = Schema::Integer(i64::MIN, i64::MAX);
/// Any whole number of 32 bits.
pub(crate) const INT32: Schema = Schema::Int32(i64::MIN);
/// A duration of the Gateway API (GEP-2257).
pub(crate) const DURATION: Schema = Schema::Text(0, usize::MAX, Some(pattern::DURATION));

/// What came of a check.
pub(crate) struct Verdict {
    /// All that is wrong.
    pub(crate) violations: Vec<Violation>,
    /// Whether the shape is wrong, so that rules have nothing to go by: a type, an unknown word, a missing field, or
    /// something too long or too many.
    pub(crate) misshapen: bool,
}

/// Holds `value`, which stands at `at`, against `schema`.
pub(crate) fn check(value: &Value, schema: &Schema, at: &FieldPath) -> Verdict {
    let mut check = Check {
        violations: Vec::new(),
        misshapen: false,
    };
    check.value(value, schema, at);
    let Check {
        violations,
        misshapen,
    } = check;
    Verdict {
        violations,
        misshapen,
    }
}

/// Gives fields whose names differ from the schema's only in upper and lower case the schema's names, as Go's decoder
/// does with files. An exact name wins.
pub(crate) fn fold_case(value: &mut Value, schema: &Schema) {
    match (schema, value) {
        (Schema::Object(fields), Value::Object(map)) => {
            for Field { name, schema, .. } in *fields {
                if !map.contains_key(*name) {
                    let meant = map
                        .keys()
                        .find(|key| key.eq_ignore_ascii_case(name))
                        .cloned();
                    if let Some(value) = meant.and_then(|key| map.remove(&key)) {
                        map.insert((*name).to_owned(), value);
                    }
                }
                if let Some(value) = map.get_mut(*name) {
                    fold_case(value, schema);
                }
            }
        }
        (Schema::Map(values), Value::Object(map)) => {
            map.values_mut().for_each(|value| fold_case(value, values));
        }
        (Schema::List(list), Value::Array(items)) => items
            .iter_mut()
            .for_each(|item| fold_case(item, &list.items)),
        _ => {}
    }
}

struct Check {
    violations: Vec<Violation>,
    misshapen: bool,
}

impl Check {
    fn value(&mut self, value: &Value, schema: &Schema, at: &FieldPath) {
        if self.is_full() {
            return;
        }
        match (schema, value) {
            (Schema::Any, _)
            | (Schema::Bool, Value::Bool(_))
            | (Schema::Number, Value::Number(_)) => {}
            (Schema::Integer(least, most), Value::Number(number)) => {
                self.integer(number, *least, *most, at);
            }
            (Schema::Int32(least), Value::Number(number)) => {
                self.integer(number, *least, i64::MAX, at);
                if number.as_i64().is_some_and(|it| i32::try_from(it).is_err()) {
                    let message = format!(
                        "Invalid value: {number}: Checked value must be of type integer with format int32 in {at}"
                    );
                    self.violations.push(Violation {
                        at: at.clone(),
                        id: NOT_ADMITTED,
                        message,
                    });
                }
            }
            (Schema::Codes(codes), Value::Number(number)) => {
                if !number.as_i64().is_some_and(|code| codes.contains(&code)) {
                    self.unsupported(at, value, codes);
                }
            }
            (Schema::Text(least, most, pattern), Value::String(text)) => {
                self.text(text, *least, *most, *pattern, at);
            }
            (Schema::Words(words), Value::String(word)) => {
                if !words.contains(&word.as_str()) {
                    self.unsupported(at, value, words);
                }
            }
            (Schema::ByteSize, Value::String(text)) => {
                if !(pattern::BYTE_SIZE.matches)(text) {
                    let Pattern { regex, .. } = pattern::BYTE_SIZE;
                    self.refuse(at, value, format_args!("match '{regex}'"));
                }
            }
            (Schema::ByteSize, Value::Number(number)) if number.is_i64() || number.is_u64() => {}
            (Schema::Object(fields), Value::Object(map)) => self.object(map, fields, at),
            (Schema::Map(values), Value::Object(map)) => {
                for (key, value) in map.iter().filter(|(_, value)| !value.is_null()) {
                    self.value(value, values, &at.child(key));
                }
            }
            (Schema::List(list), Value::Array(items)) => self.list(items, list, at),
            (
                Schema::Bool
                | Schema::Number
                | Schema::Integer(..)
                | Schema::Int32(_)
                | Schema::Codes(_)
                | Schema::Text(..)
                | Schema::Words(_)
                | Schema::ByteSize
                | Schema::Object(_)
                | Schema::Map(_)
                | Schema::List(_),
                _,
            ) => self.wrong_type(at, schema, value),
        }
    }

    /// Whether enough is wrong. What is not looked at any more may be misshapen.
    fn is_full(&mut self) -> bool {
        let full = self.violations.len() >= MAX_FINDINGS_OF_AN_OBJECT;
        self.misshapen |= full;
        full
    }

    fn object(&mut self, map: &Map<String, Value>, fields: &[Field], at: &FieldPath) {
        for (name, value) in map {
            if self.is_full() {
                return;
            }
            match fields.iter().find(|field| field.name == name) {
                None => self.violations.push(Violation {
                    at: at.child(name),
                    id: "unknown-field",
                    message: unknown_field(name, fields.iter().map(|field| field.name)),
                }),
                Some(Field { schema, .. }) if !value.is_null() => {
                    self.value(value, schema, &at.child(name));
                }
                Some(_) => {}
            }
        }
        for Field { name, required, .. } in fields {
            if *required && map.get(*name).is_none_or(Value::is_null) {
                self.misshape(at.child(name), "missing-field", "Required value".to_owned());
            }
        }
    }

    fn list(&mut self, items: &[Value], list: &List, at: &FieldPath) {
        let List {
            items: schema,
            least,
            most,
            unique,
        } = list;
        self.violations
            .extend(check_length(items.len(), *least, *most, at));
        if items.len() > *most {
            // What is over the limit is not looked at: a long list costs no more than one of the longest length.
            self.misshapen = true;
            return;
        }
        let mut seen = std::collections::BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            let at = at.index(index);
            self.value(item, schema, &at);
            let key = match unique {
                Unique::Nothing => None,
                Unique::Items => Some(item),
                Unique::Key(name) => item.get(name),
            };
            if let Some(key) = key.map(Value::to_string)
                && !seen.insert(key.clone())
            {
                let message = format!("Duplicate value: {key}");
                self.violations.push(Violation {
                    at,
                    id: NOT_ADMITTED,
                    message,
                });
            }
        }
    }

    fn integer(&mut self, number: &serde_json::Number, least: i64, most: i64, at: &FieldPath) {
        let value = Value::Number(number.clone());
        match number.as_i64() {
            Some(n) if n < least => self.refuse(
                at,
                &value,
                format_args!("be greater than or equal to {least}"),
            ),
            Some(n) if n > most => {
                self.refuse(at, &value, format_args!("be less than or equal to {most}"));
            }
            Some(_) => {}
            None => self.wrong_type(at, &INTEGER, &value),
        }
    }

    fn text(
        &mut self,
        text: &str,
        least: usize,
        most: usize,
        pattern: Option<&Pattern>,
        at: &FieldPath,
    ) {
        let length = text.chars().count();
        let value = || Value::String(text.to_owned());
        if length > most {
            return self.misshape(
                at.clone(),
                NOT_ADMITTED,
                format!("Too long: may not be more than {most} bytes"),
            );
        }
        if length < least {
            self.refuse(at, &value(), format_args!("be at least {least} chars long"));
        }
        if let Some(Pattern {
            is: _,
            regex,
            matches,
        }) = pattern
            && !matches(text)
        {
            self.refuse(at, &value(), format_args!("match '{regex}'"));
        }
    }

    fn refuse(&mut self, at: &FieldPath, value: &Value, should: std::fmt::Arguments<'_>) {
        let message = format!(
            "Invalid value: {}: {at} in body should {should}",
            shortened(value)
        );
        self.violations.push(Violation {
            at: at.clone(),
            id: NOT_ADMITTED,
            message,
        });
    }

    fn unsupported<T: std::fmt::Debug>(&mut self, at: &FieldPath, value: &Value, supported: &[T]) {
        let supported: Vec<_> = supported.iter().map(|word| format!("{word:?}")).collect();
        let message = format!(
            "Unsupported value: {}: supported values: {}",
            shortened(value),
            supported.join(", ")
        );
        self.misshape(at.clone(), NOT_ADMITTED, message);
    }

    fn wrong_type(&mut self, at: &FieldPath, schema: &Schema, value: &Value) {
        let expected = match schema {
            Schema::Any => "any",
            Schema::Bool => "boolean",
            Schema::Integer(..) | Schema::Int32(_) | Schema::Codes(_) => "integer",
            Schema::Number => "number",
            Schema::Text(..) | Schema::Words(_) => "string",
            Schema::ByteSize => "integer,string",
            Schema::Object(_) | Schema::Map(_) => "object",
            Schema::List(_) => "array",
        };
        let found = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let message = format!(
            "Invalid value: \"{found}\": {at} in body must be of type {expected}: \"{found}\""
        );
        self.misshape(at.clone(), "wrong-type", message);
    }

    fn misshape(&mut self, at: FieldPath, id: &'static str, message: String) {
        self.misshapen = true;
        self.violations.push(Violation { at, id, message });
    }
}

/// Refuses a list that is too short or too long.
pub(super) fn check_length(
    length: usize,
    least: usize,
    most: usize,
    at: &FieldPath,
) -> Option<Violation> {
    let message = if length > most {
        format!("Too many: {length}: must have at most {most} items")
    } else if length < least {
        format!("Invalid value: {length}: {at} in body should have at least {least} items")
    } else {
        return None;
    };
    Some(Violation {
        at: at.clone(),
        id: NOT_ADMITTED,
        message,
    })
}

/// A value for a message, cut off where it is long.
fn shortened(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(100) {
        None => text,
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn go_reads_names_without_regard_to_case() {
        const SCHEMA: Schema = Schema::Object(&[
            may("backOff", Schema::Object(&[may("baseInterval", TEXT)])),
            may(
                "rules",
                Schema::List(&list(Schema::Object(&[may("xHeaders", TEXT)]))),
            ),
        ]);
        let mut value = json!({"backoff": {"BASEINTERVAL": "1s"}, "Rules": [{"xheaders": "a", "xHeaders": "b"}], "o": 1});
        fold_case(&mut value, &SCHEMA);
        let folded = json!({"backOff": {"baseInterval": "1s"}, "rules": [{"xheaders": "a", "xHeaders": "b"}], "o": 1});
        assert_eq!(value, folded);
    }
}
