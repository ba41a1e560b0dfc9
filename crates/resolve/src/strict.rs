//! Reads a JSON value into a type, and says exactly what did not fit: unknown fields, wrong types, each with its place.
//!
//! A deserializer around `serde_json::Value` that knows where it is. Structs name their fields to it, so it also knows
//! what the author may have meant. A null counts as an absent field, as in Kubernetes.

use std::cell::RefCell;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Map, Value};

use crate::diagnostics::{FieldPath, MAX_FINDINGS_OF_AN_OBJECT};

/// How often a value that does not fit is read for one more place where it does not.
const ROUNDS: usize = 20;

/// A field that the type does not have.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct UnknownField {
    /// Where it stands.
    pub(crate) at: FieldPath,
    /// Its name.
    pub(crate) name: String,
    /// The fields that the type has there.
    pub(crate) known: &'static [&'static str],
}

/// Why a value is not of a type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mismatch {
    /// Where.
    pub(crate) at: FieldPath,
    /// What was found and what was expected.
    pub(crate) message: String,
}

impl Mismatch {
    /// The field that is not there, where that is what is wrong.
    pub(crate) fn missing(&self) -> Option<FieldPath> {
        let name = self.message.strip_prefix("missing field `")?;
        Some(self.at.child(name.strip_suffix('`')?))
    }
}

/// Reads `value`, which stands at `at` in its object. Unknown fields are skipped and listed.
///
/// # Errors
/// The first place where the value does not fit.
pub(crate) fn read<'a, T: Deserialize<'a>>(
    value: &'a Value,
    at: &FieldPath,
) -> (Result<T, Mismatch>, Vec<UnknownField>) {
    read_without(value, at, Vec::new())
}

/// As [`read`], with every place where the value does not fit, up to a bound: what does not fit is left out, and the
/// rest read again.
///
/// # Errors
/// The places where the value does not fit, in the order of reading.
pub(crate) fn read_all<'a, T: Deserialize<'a>>(
    value: &'a Value,
    at: &FieldPath,
) -> (Result<T, Vec<Mismatch>>, Vec<UnknownField>) {
    let mut mismatches: Vec<Mismatch> = Vec::new();
    let mut unknown: Vec<UnknownField> = Vec::new();
    let mut left_out: Vec<FieldPath> = Vec::new();
    for _ in 0..ROUNDS {
        let (result, seen) = read_without::<T>(value, at, left_out.clone());
        for field in seen {
            if !unknown.iter().any(|it| it.at == field.at) {
                unknown.push(field);
            }
        }
        let mismatch = match result {
            Ok(it) if mismatches.is_empty() => return (Ok(it), unknown),
            Ok(_) => break,
            Err(mismatch) => mismatch,
        };
        let place = mismatch.at.clone();
        let was_left_out = mismatch.missing().is_some_and(|it| left_out.contains(&it));
        if !was_left_out {
            mismatches.push(mismatch);
        }
        if place == *at {
            break;
        }
        left_out.push(place);
    }
    (Err(mismatches), unknown)
}

/// Reads `value` as though some places in it were absent.
fn read_without<'a, T: Deserialize<'a>>(
    value: &'a Value,
    at: &FieldPath,
    left_out: Vec<FieldPath>,
) -> (Result<T, Mismatch>, Vec<UnknownField>) {
    let found = Found {
        left_out,
        unknown: RefCell::default(),
        failed: RefCell::default(),
    };
    let place = Place {
        value,
        path: Path::Root(at),
        found: &found,
    };
    let result = T::deserialize(place);
    let Found {
        left_out: _,
        unknown,
        failed,
    } = found;
    let result = result.map_err(|error| Mismatch {
        at: failed.into_inner().unwrap_or_else(|| at.clone()),
        message: error.to_string(),
    });
    (result, unknown.into_inner())
}

/// What is left out, and what was found on the way.
struct Found {
    left_out: Vec<FieldPath>,
    unknown: RefCell<Vec<UnknownField>>,
    failed: RefCell<Option<FieldPath>>,
}

/// The way to a place, without allocating: it is only spelled out when there is something to say.
#[derive(Clone, Copy)]
enum Path<'p> {
    Root(&'p FieldPath),
    Field(&'p Path<'p>, &'p str),
    Item(&'p Path<'p>, usize),
}

impl Path<'_> {
    fn spell(&self) -> FieldPath {
        match self {
            Self::Root(at) => (*at).clone(),
            Self::Field(parent, name) => parent.spell().child(name),
            Self::Item(parent, index) => parent.spell().index(*index),
        }
    }
}

impl Found {
    fn leaves_out(&self, path: &Path<'_>) -> bool {
        !self.left_out.is_empty() && self.left_out.contains(&path.spell())
    }
}

/// A value and where it stands.
#[derive(Clone, Copy)]
struct Place<'a, 'p> {
    value: &'a Value,
    path: Path<'p>,
    found: &'p Found,
}

impl Place<'_, '_> {
    /// Notes the place of an error. The innermost comes first, and stays.
    fn failing<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        if result.is_err() {
            self.found
                .failed
                .borrow_mut()
                .get_or_insert_with(|| self.path.spell());
        }
        result
    }
}

impl<'de> Deserializer<'de> for Place<'de, '_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let result = match self.value {
            Value::Array(items) => visitor.visit_seq(Items {
                items: items.iter(),
                index: 0,
                place: self,
            }),
            Value::Object(map) => visitor.visit_map(Entries::new(map, self, None)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                self.value.deserialize_any(visitor)
            }
        };
        self.failing(result)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.value.is_null() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let result = match self.value {
            Value::Object(map) => visitor.visit_map(Entries::new(map, self, Some(fields))),
            // Serde would take a list for a struct; Kubernetes does not.
            Value::Array(_) => Err(Error::invalid_type(serde::de::Unexpected::Seq, &visitor)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                self.value.deserialize_any(visitor)
            }
        };
        self.failing(result)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.failing(self.value.deserialize_enum(name, variants, visitor))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq
        tuple tuple_struct map identifier
    }
}

/// The items of a list.
struct Items<'a, 'p> {
    items: std::slice::Iter<'a, Value>,
    index: usize,
    place: Place<'a, 'p>,
}

impl<'a> SeqAccess<'a> for Items<'a, '_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'a>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let (value, path) = loop {
            let Some(value) = self.items.next() else {
                return Ok(None);
            };
            let path = Path::Item(&self.place.path, self.index);
            self.index += 1;
            if !self.place.found.leaves_out(&path) {
                break (value, path);
            }
        };
        seed.deserialize(Place {
            value,
            path,
            found: self.place.found,
        })
        .map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

/// The entries of an object; of a struct, those that it knows.
struct Entries<'a, 'p> {
    entries: serde_json::map::Iter<'a>,
    current: Option<(&'a str, &'a Value)>,
    place: Place<'a, 'p>,
    known: Option<&'static [&'static str]>,
}

impl<'a, 'p> Entries<'a, 'p> {
    fn new(
        map: &'a Map<String, Value>,
        place: Place<'a, 'p>,
        known: Option<&'static [&'static str]>,
    ) -> Self {
        Self {
            entries: map.iter(),
            current: None,
            place,
            known,
        }
    }

    /// The next entry that the type is to see.
    fn advance(&mut self) -> Option<(&'a str, &'a Value)> {
        for (name, value) in self.entries.by_ref() {
            let path = Path::Field(&self.place.path, name);
            if self.place.found.leaves_out(&path) {
                continue;
            }
            let Some(known) = self.known else {
                return Some((name, value));
            };
            if !known.contains(&name.as_str()) {
                let mut unknown = self.place.found.unknown.borrow_mut();
                if unknown.len() < MAX_FINDINGS_OF_AN_OBJECT {
                    unknown.push(UnknownField {
                        at: self.place.path.spell().child(name),
                        name: name.clone(),
                        known,
                    });
                }
            } else if !value.is_null() {
                return Some((name, value));
            }
        }
        None
    }
}

impl<'a> MapAccess<'a> for Entries<'a, '_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'a>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        self.current = self.advance();
        let Some((name, _)) = self.current else {
            return Ok(None);
        };
        seed.deserialize(name.into_deserializer()).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<T::Value, Error> {
        let (name, value) = self
            .current
            .expect("serde asks for a value only after its key");
        seed.deserialize(Place {
            value,
            path: Path::Field(&self.place.path, name),
            found: self.place.found,
        })
    }
}

#[cfg(test)]
mod tests;
