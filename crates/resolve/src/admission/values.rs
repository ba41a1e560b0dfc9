//! A value with its place, for rules: what is there, what it says, and refusing it.
//!
//! A null counts as absent, as it does for the API server.

use serde_json::Value;

use super::schema::{self, Schema};
use super::{NOT_ADMITTED, Violation};
use crate::diagnostics::{FieldPath, MAX_FINDINGS_OF_AN_OBJECT};

/// A value and where it stands.
pub(super) struct At<'v> {
    value: &'v Value,
    path: FieldPath,
}

impl<'v> At<'v> {
    pub(super) fn new(value: &'v Value, path: FieldPath) -> Self {
        Self { value, path }
    }

    /// The field `name`, if it is set.
    pub(super) fn get(&self, name: &str) -> Option<Self> {
        let value = self.value.get(name).filter(|value| !value.is_null())?;
        Some(Self {
            value,
            path: self.path.child(name),
        })
    }

    /// The field at the end of a way through objects, if all of it is set.
    pub(super) fn follow(&self, way: &[&str]) -> Option<Self> {
        let (first, rest) = way.split_first()?;
        rest.iter()
            .try_fold(self.get(first)?, |at, name| at.get(name))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Whether the list `name` is set and has items.
    pub(super) fn has_items(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|list| list.items().next().is_some())
    }

    /// The text of the field `name`.
    pub(super) fn text(&self, name: &str) -> Option<&'v str> {
        self.value.get(name)?.as_str()
    }

    /// The whole number in the field `name`.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.value.get(name)?.as_i64()
    }

    /// Whether the field `name` is true.
    pub(super) fn is_true(&self, name: &str) -> bool {
        self.value.get(name).and_then(Value::as_bool) == Some(true)
    }

    pub(super) fn as_text(&self) -> Option<&'v str> {
        self.value.as_str()
    }

    /// The items, where this is a list.
    pub(super) fn items(&self) -> impl Iterator<Item = Self> + use<'v, '_> {
        let items = self.value.as_array().map(Vec::as_slice).unwrap_or_default();
        items.iter().enumerate().map(|(index, value)| Self {
            value,
            path: self.path.index(index),
        })
    }

    /// The items of the list `name`.
    pub(super) fn items_of(&self, name: &str) -> Vec<Self> {
        self.get(name)
            .map(|list| list.items().collect())
            .unwrap_or_default()
    }

    /// The items of the list `name`, where it is set; refuses any other number than from `least` to `most`, and gives no
    /// more than that.
    pub(super) fn items_within(
        &self,
        name: &str,
        least: usize,
        most: usize,
        found: &mut Vec<Violation>,
    ) -> Vec<Self> {
        let Some(list) = self.get(name) else {
            return Vec::new();
        };
        let items: Vec<_> = list.items().take(most).collect();
        let length = list.value.as_array().map_or(0, Vec::len);
        found.extend(schema::check_length(length, least, most, &list.path));
        items
    }

    /// Refuses what is wrong with the field `name`, where it is set.
    pub(super) fn hold(&self, name: &str, schema: &Schema, found: &mut Vec<Violation>) {
        if let Some(Self { value, path }) = self.get(name) {
            found.extend(schema::check(value, schema, &path).violations);
        }
    }

    /// Refuses this value unless `holds`.
    pub(super) fn require(&self, holds: bool, message: &str, found: &mut Vec<Violation>) {
        if !holds && found.len() < MAX_FINDINGS_OF_AN_OBJECT {
            found.push(Violation {
                at: self.path.clone(),
                id: NOT_ADMITTED,
                message: message.to_owned(),
            });
        }
    }
}
