//! Settings in the one form in which they are compared: a text for each leaf, under its path.
//!
//! What the reference writes and what the engine plans are brought into the shape of the reference's own plan, and
//! then both are flattened here, so that a difference in notation is none in meaning.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

/// What applies to a route: each leaf's path and value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings(BTreeMap<String, String>);

/// The routes of all listeners.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    /// What applies to each, under a name that says where it stands.
    pub(crate) settings: BTreeMap<String, Settings>,
    /// The names of the routes under each listener and host name, the first to be tried first.
    pub(crate) order: BTreeMap<String, Vec<String>>,
}

impl Routes {
    /// Adds a route after those that are there.
    pub(crate) fn push(&mut self, host: String, name: String, settings: &Value) {
        self.order.entry(host).or_default().push(name.clone());
        self.settings.insert(name, Settings::of(settings));
    }
}

impl Settings {
    /// The leaves of a value. What is false, empty or null says nothing and is left out; an empty object is a leaf.
    pub(crate) fn of(value: &Value) -> Self {
        let mut leaves = BTreeMap::new();
        flatten(value, String::new(), &mut leaves);
        Self(leaves)
    }

    /// Each leaf in which two differ, as a line for a person.
    pub(crate) fn differences(&self, expected: &Self) -> Vec<String> {
        let paths: BTreeSet<_> = self.0.keys().chain(expected.0.keys()).collect();
        let shown = |value: Option<&String>| value.map_or("nothing", |it| it).to_owned();
        paths
            .into_iter()
            .map(|path| (path, expected.0.get(path), self.0.get(path)))
            .filter(|(_, expected, actual)| expected != actual)
            .map(|(path, expected, actual)| {
                format!("{path}: expected {}, is {}", shown(expected), shown(actual))
            })
            .collect()
    }
}

fn flatten(value: &Value, path: String, leaves: &mut BTreeMap<String, String>) {
    let child = |key: &str| match path.as_str() {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    };
    let leaf = match value {
        Value::Null | Value::Bool(false) => return,
        Value::Object(fields) if fields.is_empty() => "{}".to_owned(),
        Value::Object(fields) => {
            let before = leaves.len();
            for (key, value) in fields {
                flatten(value, child(key), leaves);
            }
            // An object that has only empty fields is there all the same.
            if leaves.len() > before {
                return;
            }
            "{}".to_owned()
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                flatten(item, format!("{path}[{index}]"), leaves);
            }
            return;
        }
        Value::String(text) if text.is_empty() => return,
        Value::String(text) => canonical(&path, text),
        Value::Bool(true) | Value::Number(_) => value.to_string(),
    };
    leaves.insert(path, leaf);
}

/// A duration in milliseconds, a header's name in lower case, and any other text as it is.
fn canonical(path: &str, text: &str) -> String {
    if let Some(duration) = duration(text) {
        return format!("{}ms", duration.as_millis());
    }
    let is_header = ["headerMatches", "responseHeaders", "addResponseHeaders"]
        .iter()
        .any(|list| path.contains(list));
    if is_header && path.ends_with(".name") {
        return text.to_ascii_lowercase();
    }
    text.to_owned()
}

fn duration(text: &str) -> Option<Duration> {
    let with_unit =
        text.ends_with(['s', 'm', 'h']) && text.starts_with(|c: char| c.is_ascii_digit());
    with_unit
        .then(|| weir_resolve::api::scalar::parse_duration(text))
        .flatten()
}
