//! The ancestors of one policy and their conditions, and which are left out where there are too many.

use serde_json::Value;

use crate::diagnostics::FieldPath;
use crate::status::{Condition, ConditionStatus, ParentReference, PolicyAncestorStatus};

/// How many ancestors the API allows.
const MAX: usize = 16;
/// How many bytes it allows a message.
const MAX_MESSAGE: usize = 32_768;
const TRUNCATED: &str = " (message truncated).";

/// What a policy is told, in the order in which it was found out.
pub(crate) struct Ancestors {
    list: Vec<(ParentReference, Vec<Condition>)>,
    generation: Option<i64>,
}

impl Ancestors {
    pub(crate) fn new(generation: Option<i64>) -> Self {
        Self {
            list: Vec::new(),
            generation,
        }
    }

    /// Sets a condition, in place of one of the same type.
    pub(crate) fn set(
        &mut self,
        ancestor: &ParentReference,
        r#type: &str,
        status: ConditionStatus,
        reason: &str,
        message: &str,
    ) {
        let condition = Condition {
            r#type: r#type.to_owned(),
            status,
            reason: reason.to_owned(),
            message: shortened(message),
            observed_generation: self.generation,
        };
        if let Some((_, conditions)) = self.list.iter_mut().find(|(other, _)| other == ancestor) {
            match conditions.iter_mut().find(|it| it.r#type == r#type) {
                Some(known) => *known = condition,
                None => conditions.push(condition),
            }
            return;
        }
        self.list.push((ancestor.clone(), vec![condition]));
        if self.list.len() > MAX + 1
            && let Some(last) = (0..self.list.len()).max_by_key(|&index| rank(&self.list[index]))
        {
            self.list.remove(last);
        }
    }

    /// Says that the policy does not take effect, whatever was said before.
    pub(crate) fn reject(&mut self, ancestor: &ParentReference, reason: &str, message: &str) {
        self.set(
            ancestor,
            "Accepted",
            ConditionStatus::False,
            reason,
            message,
        );
    }

    /// Says that the policy takes effect, unless it was said already whether it does.
    pub(crate) fn accept(&mut self, ancestor: &ParentReference) {
        let known = self.list.iter().find(|(other, _)| other == ancestor);
        if !known.is_some_and(|(_, conditions)| conditions.iter().any(|it| it.r#type == "Accepted"))
        {
            self.set(
                ancestor,
                "Accepted",
                ConditionStatus::True,
                "Accepted",
                "Policy has been accepted.",
            );
        }
    }

    /// Says which deprecated fields the policy uses.
    pub(crate) fn warn(&mut self, ancestor: &ParentReference, spec: &Value) {
        let compression = spec
            .get("compression")
            .and_then(Value::as_array)
            .is_some_and(|list| !list.is_empty());
        let target_ref = spec.get("targetRef").is_some_and(|it| !it.is_null());
        let deprecated: Vec<&str> = [
            (
                compression,
                "spec.compression is deprecated, use spec.compressor instead",
            ),
            (
                target_ref,
                "spec.targetRef is deprecated, use spec.targetRefs instead",
            ),
        ]
        .into_iter()
        .filter_map(|(used, text)| used.then_some(text))
        .collect();
        self.deprecated(ancestor, &deprecated);
    }

    /// Says this of deprecated fields, if there are any.
    pub(crate) fn deprecated(&mut self, ancestor: &ParentReference, deprecated: &[&str]) {
        if !deprecated.is_empty() {
            self.set(
                ancestor,
                "Warning",
                ConditionStatus::True,
                "DeprecatedField",
                &deprecated.join("; "),
            );
        }
    }

    /// Sets conditions that are true, each of a type that is its reason as well.
    pub(crate) fn conditions(
        &mut self,
        ancestor: &ParentReference,
        conditions: Vec<(&'static str, String)>,
    ) {
        for (r#type, message) in conditions {
            self.set(ancestor, r#type, ConditionStatus::True, r#type, &message);
        }
    }

    /// Says, where the policy takes effect, which of its settings do not.
    pub(crate) fn not_enforced(&mut self, message: &str) {
        let accepted = |conditions: &[Condition]| {
            conditions
                .iter()
                .any(|it| it.r#type == "Accepted" && it.status == ConditionStatus::True)
        };
        let ancestors: Vec<ParentReference> = self
            .list
            .iter()
            .filter(|(_, conditions)| accepted(conditions))
            .map(|(it, _)| it.clone())
            .collect();
        for ancestor in ancestors {
            self.set(
                &ancestor,
                "weir.dev/PartiallyEnforced",
                ConditionStatus::True,
                "SettingsNotEnforced",
                message,
            );
        }
    }

    /// What is said of settings that the data plane does not enforce.
    pub(crate) fn of_data_plane<'a>(paths: impl IntoIterator<Item = &'a FieldPath>) -> String {
        let paths: Vec<&str> = paths.into_iter().map(FieldPath::as_str).collect();
        format!(
            "The data plane in use does not enforce: {}.",
            paths.join(", ")
        )
    }

    /// The status, with no more ancestors than the API allows.
    pub(crate) fn finish(mut self, controller_name: &str) -> Vec<PolicyAncestorStatus> {
        if self.list.len() > MAX {
            self.list.sort_by(|a, b| rank(a).cmp(&rank(b)));
            self.list.truncate(MAX);
            let message = format!(
                "Ancestors have been truncated because the number of policy ancestors exceeds {MAX}."
            );
            if let Some((last, _)) = self.list.last().cloned() {
                self.set(
                    &last,
                    "Aggregated",
                    ConditionStatus::True,
                    "Aggregated",
                    &message,
                );
            }
        }
        let status = |(ancestor_ref, conditions)| PolicyAncestorStatus {
            ancestor_ref,
            controller_name: controller_name.to_owned(),
            conditions,
        };
        self.list.into_iter().map(status).collect()
    }
}

/// Which ancestors stay: the refused first, then the overridden, then the rest; by name within each.
fn rank((ancestor, conditions): &(ParentReference, Vec<Condition>)) -> (u8, Option<&str>, &str) {
    let is = |r#type: &str, status| {
        conditions
            .iter()
            .any(|it| it.r#type == r#type && it.status == status)
    };
    let rank = if is("Accepted", ConditionStatus::False) {
        0
    } else if is("Overridden", ConditionStatus::True) {
        1
    } else {
        2
    };
    (rank, ancestor.namespace.as_deref(), &ancestor.name)
}

fn shortened(message: &str) -> String {
    if message.len() <= MAX_MESSAGE {
        return message.to_owned();
    }
    let mut end = MAX_MESSAGE - TRUNCATED.len();
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{TRUNCATED}", &message[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway(name: &str) -> ParentReference {
        ParentReference {
            group: String::new(),
            kind: "Gateway".to_owned(),
            namespace: Some("ns".to_owned()),
            name: name.to_owned(),
            section_name: None,
            port: None,
        }
    }

    #[test]
    fn sixteen_ancestors_stay_the_refused_first() {
        let mut ancestors = Ancestors::new(Some(7));
        for index in 0..20 {
            ancestors.accept(&gateway(&format!("gateway-{index:02}")));
        }
        ancestors.reject(&gateway("zzz"), "Conflicted", "no");
        let status = ancestors.finish("weir");
        let names: Vec<&str> = status
            .iter()
            .map(|it| it.ancestor_ref.name.as_str())
            .collect();
        assert_eq!(
            (names.len(), names[0], names[1], names[15]),
            (16, "zzz", "gateway-00", "gateway-14")
        );
        let types: Vec<Vec<&str>> = status
            .iter()
            .map(|it| it.conditions.iter().map(|it| it.r#type.as_str()).collect())
            .collect();
        assert_eq!(
            (&types[14], &types[15]),
            (&vec!["Accepted"], &vec!["Accepted", "Aggregated"])
        );
        assert_eq!(status[3].conditions[0].observed_generation, Some(7));
    }

    #[test]
    fn a_refusal_stays() {
        let mut ancestors = Ancestors::new(None);
        ancestors.reject(&gateway("a"), "Conflicted", "no");
        ancestors.accept(&gateway("a"));
        ancestors.accept(&gateway("b"));
        ancestors.reject(&gateway("b"), "Invalid", "no");
        let reasons: Vec<String> = ancestors
            .finish("weir")
            .into_iter()
            .map(|mut it| it.conditions.remove(0).reason)
            .collect();
        assert_eq!(reasons, ["Conflicted", "Invalid"]);
    }

    #[test]
    fn long_messages_are_cut() {
        assert_eq!(shortened("short"), "short");
        let cut = shortened(&"ä".repeat(MAX_MESSAGE));
        assert!(cut.len() <= MAX_MESSAGE && cut.ends_with(TRUNCATED));
    }
}
