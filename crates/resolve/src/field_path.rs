//! The path of a field in an object, such as `spec.rules[0].backendRefs[1].port`.
//!
//! Keys that have dots or brackets of their own are quoted: `telemetry.tracing.tags["k8s.io/cluster"]`. So a path says
//! one thing, and what it leads to is found by looking keys up.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// A place in an object. Empty: the object as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct FieldPath(String);

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// To the field of this name.
    Field(Cow<'a, str>),
    /// To the item at this place of a list.
    Item(usize),
}

impl FieldPath {
    /// A path from its text.
    pub fn new(path: impl Into<String>) -> Self {
        Self(path.into())
    }

    /// The field `name` of what this path names.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        if name.is_empty() || name.contains(['.', '[', ']', '"', '\\']) {
            let Self(path) = self;
            Self(format!("{path}[{}]", Value::from(name)))
        } else {
            self.join(name)
        }
    }

    /// The item `index` of the list that this path names.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// What another path leads to from what this one names.
    #[must_use]
    pub fn join(&self, path: &str) -> Self {
        if self.0.is_empty() {
            Self(path.to_owned())
        } else if path.is_empty() || path.starts_with('[') {
            Self(format!("{}{path}", self.0))
        } else {
            Self(format!("{}.{path}", self.0))
        }
    }

    /// The list that this path leads into first, or the path itself where it leads into none.
    #[must_use]
    pub fn whole_list(&self) -> Self {
        let fields = self.steps().map_while(|step| match step {
            Step::Field(name) => Some(name),
            Step::Item(_) => None,
        });
        fields.fold(Self::default(), |path, name| path.child(&name))
    }

    /// Whether it is another path, or leads to something below that.
    pub fn is_within(&self, outer: &str) -> bool {
        let rest = self.0.strip_prefix(outer);
        rest.is_some_and(|rest| rest.is_empty() || outer.is_empty() || rest.starts_with(['.', '[']))
    }

    /// Its steps. Any text has some: brackets that hold no number and are not closed count as part of a name.
    pub fn steps(&self) -> impl Iterator<Item = Step<'_>> {
        let mut rest = self.0.as_str();
        std::iter::from_fn(move || {
            let (step, after) = first_step(rest)?;
            rest = after;
            Some(step)
        })
    }

    /// The value that it leads to.
    pub fn in_value<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        self.steps().try_fold(value, |value, step| match step {
            Step::Field(name) => value.as_object()?.get(&*name),
            Step::Item(index) => value.as_array()?.get(index),
        })
    }

    /// The text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The step that a path begins with, and the path from there on. None where it is at its end.
fn first_step(path: &str) -> Option<(Step<'_>, &str)> {
    let path = path.strip_prefix('.').unwrap_or(path);
    if path.is_empty() {
        return None;
    }
    if let Some((name, rest)) = quoted_key(path) {
        return Some((Step::Field(name.into()), rest));
    }
    if let Some((inner, rest)) = path.strip_prefix('[').and_then(|it| it.split_once(']')) {
        let step = inner
            .parse()
            .map_or_else(|_| Step::Field(inner.into()), Step::Item);
        return Some((step, rest));
    }
    // The first character belongs to the name whatever it is, so that each step takes something.
    let end = path
        .char_indices()
        .skip(1)
        .find(|(_, c)| matches!(c, '.' | '['))
        .map_or(path.len(), |(at, _)| at);
    let (name, rest) = path.split_at(end);
    Some((Step::Field(name.into()), rest))
}

/// The name in quotes that a path begins with, as in `["a.b"].c`, and the path after it.
pub fn quoted_key(path: &str) -> Option<(String, &str)> {
    let quoted = path.strip_prefix('[').filter(|it| it.starts_with('"'))?;
    let mut read = serde_json::Deserializer::from_str(quoted).into_iter::<String>();
    let name = read.next()?.ok()?;
    let rest = quoted.get(read.byte_offset()..)?.strip_prefix(']')?;
    Some((name, rest))
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_to_their_values() {
        let value = json!({"a": {"b": [1, {"c": 2}], "b.d": {"x": 3}, "q\"[": 5, "": 6}, "ab": 4});
        for (path, expected) in [
            ("a.b[0]", Some(1)),
            ("a.b[1].c", Some(2)),
            ("a[\"b.d\"].x", Some(3)),
            ("a[b.d].x", Some(3)),
            ("a.b.d.x", None),
            ("a[\"q\\\"[\"]", Some(5)),
            ("a[\"\"]", Some(6)),
            ("ab", Some(4)),
            ("a.b[7]", None),
            ("x", None),
            ("[\"", None),
        ] {
            let found = FieldPath::new(path).in_value(&value);
            assert_eq!(found.and_then(Value::as_i64), expected, "{path}");
        }
        assert_eq!(FieldPath::default().in_value(&value), Some(&value));
    }

    #[test]
    fn names_are_quoted_where_they_would_be_mistaken() {
        for (name, expected) in [
            ("plain", "a.plain"),
            ("k8s.io/x", "a[\"k8s.io/x\"]"),
            ("b[0]", "a[\"b[0]\"]"),
            ("\"", "a[\"\\\"\"]"),
            ("", "a[\"\"]"),
        ] {
            let path = FieldPath::new("a").child(name);
            assert_eq!(path.as_str(), expected);
            let steps: Vec<Step<'_>> = path.steps().collect();
            assert_eq!(steps, [Step::Field("a".into()), Step::Field(name.into())]);
        }
        assert_eq!(FieldPath::default().child("x.y").as_str(), "[\"x.y\"]");
    }

    #[test]
    fn a_list_is_cut_where_its_items_begin() {
        for (path, list) in [
            ("a.b[0].c[1]", "a.b"),
            ("a[\"b.c\"][2]", "a[\"b.c\"]"),
            ("a.b", "a.b"),
        ] {
            assert_eq!(FieldPath::new(path).whole_list().as_str(), list);
        }
    }

    #[test]
    fn what_is_below_a_path_is_within_it() {
        for (path, outer, within) in [
            ("retry", "retry", true),
            ("retry.numRetries", "retry", true),
            ("rules[0]", "rules", true),
            ("retryOn", "retry", false),
            ("a", "", true),
        ] {
            assert_eq!(FieldPath::new(path).is_within(outer), within, "{path}");
        }
    }
}
