//! Merging two policies into one, on the values as their authors wrote them, and who wrote what.
//!
//! Pure: a policy's `mergeType` says which of the two ways it takes. Absent, null and empty are three different things
//! here; defaults come later, so that a policy overrides only what its author wrote.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use weir_plan::PolicyRef;
use weir_plan::features::rate_limit::RateLimitRuleName;

use crate::diagnostics::FieldPath;
use crate::features::rate_limit::RuleNames;

/// The lists that StrategicMerge merges item by item, by their `type`.
const KEYED_LISTS: [&str; 3] = ["compression", "compressor", "httpUpgrade"];

/// The settings of one policy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Side<'a> {
    pub(crate) policy: &'a PolicyRef,
    pub(crate) settings: &'a Value,
}

/// The settings that come out, and who wrote what.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Merged {
    pub(crate) settings: Value,
    /// For each leaf of the settings, the policy that wrote it.
    pub(crate) from: BTreeMap<FieldPath, PolicyRef>,
    /// The names of the rate-limit rules, in their order.
    pub(crate) rules: RuleNames,
}

/// One policy by itself: what it deletes, there is nothing of.
pub(crate) fn alone(side: Side<'_>) -> Merged {
    json_merge(None, side.settings).finish(side.policy, side.policy)
}

/// Settings to be merged into: a null is absent there, as it deletes what nobody wrote.
pub(crate) fn without_nulls(settings: Value) -> Value {
    match settings {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key, without_nulls(value)))
            .collect(),
        other @ (Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)) => other,
    }
}

/// StrategicMerge: objects merge key by key, null deletes, some lists merge by their `type`, and the rate-limit rules
/// of both are in force. Every other list is replaced.
pub(crate) fn strategic(child: Side<'_>, parent: Side<'_>) -> Merged {
    let (patch, base) = without_rate_limit_types(child.settings, parent.settings);
    let merged = strategic_merge(
        Some(Node::read(&base, Owner::Parent)),
        &patch,
        &mut Vec::new(),
    );
    merged.finish(child.policy, parent.policy)
}

/// JSONMerge (RFC 7396): objects merge key by key, null deletes, lists are replaced.
pub(crate) fn json(child: Side<'_>, parent: Side<'_>) -> Merged {
    let (patch, base) = without_rate_limit_types(child.settings, parent.settings);
    let merged = json_merge(Some(Node::read(&base, Owner::Parent)), &patch);
    merged.finish(child.policy, parent.policy)
}

/// Where both policies limit rates, each one's deprecated `type` chooses among its own halves only.
fn without_rate_limit_types(child: &Value, parent: &Value) -> (Value, Value) {
    let (mut child, mut parent) = (child.clone(), parent.clone());
    let both = [&child, &parent]
        .iter()
        .all(|side| side.get("rateLimit").is_some_and(Value::is_object));
    if both {
        for side in [&mut child, &mut parent] {
            let Some(limits) = side.get_mut("rateLimit").and_then(Value::as_object_mut) else {
                continue;
            };
            let other_half = match limits.get("type").and_then(Value::as_str) {
                Some("Global") => "local",
                Some("Local") => "global",
                Some(_) | None => continue,
            };
            limits.remove("type");
            limits.remove(other_half);
        }
    }
    (child, parent)
}

/// Who wrote a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Child,
    Parent,
}

/// A value that remembers who wrote each part of it.
#[derive(Clone, Debug)]
enum Node {
    Scalar(Value, Owner),
    List(Vec<Item>, Owner),
    Object(BTreeMap<String, Node>, Owner),
}

/// An item of a list: who wrote it, and its place in their list.
#[derive(Clone, Debug)]
struct Item {
    node: Node,
    owner: Owner,
    index: usize,
}

fn json_merge(base: Option<Node>, patch: &Value) -> Node {
    let Value::Object(patch) = patch else {
        return Node::read(patch, Owner::Child);
    };
    let (mut fields, owner) = fields_of(base);
    for (key, value) in patch {
        if value.is_null() {
            fields.remove(key);
        } else {
            let merged = json_merge(fields.remove(key), value);
            fields.insert(key.clone(), merged);
        }
    }
    Node::Object(fields, owner)
}

fn strategic_merge<'a>(base: Option<Node>, patch: &'a Value, path: &mut Vec<&'a str>) -> Node {
    match (base, patch) {
        (base, Value::Object(patch)) => {
            let (mut fields, owner) = fields_of(base);
            for (key, value) in patch {
                if value.is_null() {
                    fields.remove(key);
                } else {
                    path.push(key);
                    let merged = strategic_merge(fields.remove(key), value, path);
                    path.pop();
                    fields.insert(key.clone(), merged);
                }
            }
            Node::Object(fields, owner)
        }
        (base, Value::Array(items)) => {
            let base = match base {
                Some(Node::List(base, _)) => base,
                Some(Node::Scalar(..) | Node::Object(..)) | None => Vec::new(),
            };
            match path[..] {
                [list] if KEYED_LISTS.contains(&list) => {
                    Node::List(merge_keyed(base, items), Owner::Child)
                }
                ["rateLimit", half @ ("global" | "local"), "rules"] => {
                    Node::List(join_rules(base, items, half == "local"), Owner::Child)
                }
                _ => Node::read(patch, Owner::Child),
            }
        }
        (_, Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
            Node::read(patch, Owner::Child)
        }
    }
}

/// The fields that a patch is applied to; anything but an object counts as an empty one, which the child then wrote.
fn fields_of(base: Option<Node>) -> (BTreeMap<String, Node>, Owner) {
    match base {
        Some(Node::Object(fields, owner)) if !fields.is_empty() => (fields, owner),
        Some(Node::Object(..) | Node::Scalar(..) | Node::List(..)) | None => {
            (BTreeMap::new(), Owner::Child)
        }
    }
}

/// Merges two lists by `type`. The child's items keep their order; an item that only the parent has comes before one of
/// the child's where the parent lists both and lists it first, and after all others.
fn merge_keyed(base: Vec<Item>, patch: &[Value]) -> Vec<Item> {
    let mut places: BTreeMap<Option<String>, usize> = BTreeMap::new();
    for (at, item) in base.iter().enumerate() {
        places.entry(item.node.key()).or_insert(at);
    }
    let mut inherited: Vec<Option<Item>> = base.into_iter().map(Some).collect();
    let mut own: Vec<(Option<usize>, Item)> = Vec::new();
    let mut own_places: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    for (index, value) in patch.iter().enumerate() {
        let key = value.get("type").and_then(Value::as_str);
        let merged = |base| strategic_merge(base, value, &mut vec!["[]"]);
        if let Some(earlier) = own_places.get(&key) {
            let node = &mut own[*earlier].1.node;
            *node = merged(Some(node.clone()));
            continue;
        }
        own_places.insert(key, own.len());
        let at = places.get(&key.map(str::to_owned)).copied();
        let item = at.and_then(|at| inherited[at].take());
        let node = merged(item.map(|it| it.node));
        own.push((
            at,
            Item {
                node,
                owner: Owner::Child,
                index,
            },
        ));
    }
    let mut inherited = inherited
        .into_iter()
        .enumerate()
        .filter_map(|(at, item)| Some((at, item?)))
        .peekable();
    let mut merged = Vec::new();
    for (at, item) in own {
        while let Some((_, earlier)) =
            inherited.next_if(|(other, _)| at.is_some_and(|at| *other < at))
        {
            merged.push(earlier);
        }
        merged.push(item);
    }
    merged.extend(inherited.map(|(_, item)| item));
    merged
}

/// All rules of both, the child's first. Of the local rules without selectors, the child's stands for the parent's.
fn join_rules(base: Vec<Item>, patch: &[Value], local: bool) -> Vec<Item> {
    let mut rules: Vec<Item> = patch
        .iter()
        .enumerate()
        .map(|(index, value)| Item {
            node: Node::read(value, Owner::Child),
            owner: Owner::Child,
            index,
        })
        .collect();
    let replaced = local && rules.iter().any(|rule| rule.node.has_no_selectors());
    rules.extend(
        base.into_iter()
            .filter(|rule| !(replaced && rule.node.has_no_selectors())),
    );
    rules
}

impl Node {
    fn read(value: &Value, owner: Owner) -> Self {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                Self::Scalar(value.clone(), owner)
            }
            Value::Array(items) => {
                let item = |(index, item)| Item {
                    node: Self::read(item, owner),
                    owner,
                    index,
                };
                Self::List(items.iter().enumerate().map(item).collect(), owner)
            }
            Value::Object(fields) => {
                let field =
                    |(key, value): (&String, &Value)| (key.clone(), Self::read(value, owner));
                Self::Object(fields.iter().map(field).collect(), owner)
            }
        }
    }

    fn field(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(fields, _) => fields.get(key),
            Self::Scalar(..) | Self::List(..) => None,
        }
    }

    /// The `type` of an item of a keyed list.
    fn key(&self) -> Option<String> {
        match self.field("type") {
            Some(Self::Scalar(Value::String(key), _)) => Some(key.clone()),
            Some(Self::Scalar(..) | Self::List(..) | Self::Object(..)) | None => None,
        }
    }

    fn has_no_selectors(&self) -> bool {
        match self.field("clientSelectors") {
            Some(Self::List(selectors, _)) => selectors.is_empty(),
            Some(Self::Scalar(..) | Self::Object(..)) | None => true,
        }
    }

    fn finish(self, child: &PolicyRef, parent: &PolicyRef) -> Merged {
        let policy = |owner| match owner {
            Owner::Child => child,
            Owner::Parent => parent,
        };
        let names = |half: &str| match self
            .field("rateLimit")
            .and_then(|it| it.field(half)?.field("rules"))
        {
            Some(Self::List(rules, _)) => {
                let name = |rule: &Item| RateLimitRuleName {
                    policy: policy(rule.owner).name.clone(),
                    index: rule.index,
                };
                rules.iter().map(name).collect()
            }
            Some(Self::Scalar(..) | Self::Object(..)) | None => Vec::new(),
        };
        let rules = RuleNames {
            global: names("global"),
            local: names("local"),
        };
        let mut from = BTreeMap::new();
        let settings = self.value(&FieldPath::default(), &mut |path, owner| {
            from.insert(path, policy(owner).clone());
        });
        Merged {
            settings,
            from,
            rules,
        }
    }

    /// The value; tells `wrote` of each leaf of it.
    fn value(self, path: &FieldPath, wrote: &mut impl FnMut(FieldPath, Owner)) -> Value {
        match self {
            Self::Scalar(value, owner) => {
                wrote(path.clone(), owner);
                value
            }
            Self::List(items, owner) => {
                if items.is_empty() {
                    wrote(path.clone(), owner);
                }
                let item =
                    |(index, item): (usize, Item)| item.node.value(&path.index(index), wrote);
                Value::Array(items.into_iter().enumerate().map(item).collect())
            }
            Self::Object(fields, owner) => {
                if fields.is_empty() && !path.as_str().is_empty() {
                    wrote(path.clone(), owner);
                }
                let mut object = Map::new();
                for (key, node) in fields {
                    let value = node.value(&path.child(&key), wrote);
                    object.insert(key, value);
                }
                Value::Object(object)
            }
        }
    }
}

#[cfg(test)]
mod tests;
