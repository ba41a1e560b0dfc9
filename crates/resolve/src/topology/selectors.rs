//! Label selectors, and the namespaces that listeners and Gateways open themselves to.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use weir_plan::NamespacedName;

use crate::admission::pattern::is_hostname;
use crate::resources::Resources;

/// The label under which every namespace is known, whether its object is there or not.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// Whether labels fulfil a selector. An empty selector means everything; one that cannot be read means nothing.
pub fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let LabelSelector {
        match_labels,
        match_expressions,
    } = selector;
    match_labels
        .iter()
        .flatten()
        .all(|(key, value)| labels.get(key) == Some(value))
        && match_expressions
            .iter()
            .flatten()
            .all(|it| fulfils(it, labels))
        // Last, as most objects are not selected.
        && is_readable(selector)
}

/// Whether Kubernetes takes the keys and values of a selector for those of labels. It reads a selector as a whole.
fn is_readable(selector: &LabelSelector) -> bool {
    unreadable(selector).is_none()
}

/// Why Kubernetes does not read a selector; none: it does.
pub(crate) fn unreadable(selector: &LabelSelector) -> Option<String> {
    let LabelSelector {
        match_labels,
        match_expressions,
    } = selector;
    let labels = match_labels.iter().flatten();
    let expressions = match_expressions.iter().flatten();
    let values_of = |it: &LabelSelectorRequirement| it.values.clone().unwrap_or_default();
    for it in match_expressions.iter().flatten() {
        let number = values_of(it).len();
        let why = match it.operator.as_str() {
            "In" | "NotIn" if number == 0 => "needs values",
            "Exists" | "DoesNotExist" if number > 0 => "takes no values",
            "In" | "NotIn" | "Exists" | "DoesNotExist" => continue,
            _ => "is no operator; use In, NotIn, Exists or DoesNotExist",
        };
        return Some(format!("{:?} {why}", it.operator));
    }
    let all = labels
        .map(|(key, value)| (key, vec![value.clone()]))
        .chain(expressions.map(|it| (&it.key, values_of(it))));
    for (key, values) in all {
        if !is_label_key(key) {
            return Some(format!("{key:?} is no name of a label"));
        }
        if let Some(value) = values.iter().find(|it| !is_label_value(it)) {
            return Some(format!("{value:?} is no value of a label"));
        }
    }
    None
}

/// A name, with the domain of whoever defines it in front or not.
fn is_label_key(key: &str) -> bool {
    let (domain, name) = match key.split_once('/') {
        Some((domain, name)) => (Some(domain), name),
        None => (None, key),
    };
    !name.is_empty()
        && is_label_value(name)
        && domain.is_none_or(|domain| domain.len() <= 253 && is_hostname(domain))
}

/// At most 63 letters, digits and inner `-`, `_` and `.`; it may be empty.
fn is_label_value(value: &str) -> bool {
    let is_end = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    value.len() <= 63
        && is_end(value.chars().next())
        && is_end(value.chars().last())
        && value
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// Whether a policy's selector of namespaces means this one. One that has no labels, or whose object is not there, is only
/// meant by a selector that goes by its name.
pub(crate) fn selects_namespace(
    selector: &LabelSelector,
    resources: &Resources,
    namespace: &str,
) -> bool {
    let LabelSelector {
        match_labels,
        match_expressions,
    } = selector;
    let object = resources
        .namespaces
        .get(&NamespacedName::new("", namespace));
    let has_labels = object
        .and_then(|it| it.metadata.labels.as_ref())
        .is_some_and(|it| !it.is_empty());
    let by_name = match_labels
        .iter()
        .flatten()
        .any(|(key, _)| key == NAMESPACE_NAME)
        || match_expressions
            .iter()
            .flatten()
            .any(|it| it.key == NAMESPACE_NAME);
    (has_labels || by_name) && matches(selector, &namespace_labels(resources, namespace))
}

fn fulfils(requirement: &LabelSelectorRequirement, labels: &BTreeMap<String, String>) -> bool {
    let LabelSelectorRequirement {
        key,
        operator,
        values,
    } = requirement;
    let values = values.as_deref().unwrap_or_default();
    let value = labels.get(key);
    match operator.as_str() {
        "In" => !values.is_empty() && value.is_some_and(|value| values.contains(value)),
        "NotIn" => !values.is_empty() && value.is_none_or(|value| !values.contains(value)),
        "Exists" => values.is_empty() && value.is_some(),
        "DoesNotExist" => values.is_empty() && value.is_none(),
        _ => false,
    }
}

/// The labels of a namespace. One without an object has the label with its name and no other.
pub fn namespace_labels(resources: &Resources, namespace: &str) -> BTreeMap<String, String> {
    let object = resources
        .namespaces
        .get(&NamespacedName::new("", namespace));
    let mut labels = object
        .and_then(|it| it.metadata.labels.clone())
        .unwrap_or_default();
    labels
        .entry(NAMESPACE_NAME.to_owned())
        .or_insert_with(|| namespace.to_owned());
    labels
}

/// The namespaces from which something may attach.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Namespaces {
    /// None.
    None,
    /// Every one.
    All,
    /// This one.
    Same(String),
    /// Those with these labels.
    Selector(LabelSelector),
}

impl Namespaces {
    /// Whether something in `namespace` may attach.
    pub(crate) fn allow(&self, resources: &Resources, namespace: &str) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Same(own) => own == namespace,
            Self::Selector(selector) => matches(selector, &namespace_labels(resources, namespace)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn selector(value: serde_json::Value) -> LabelSelector {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn expressions_and_labels_must_all_hold() {
        let labels = BTreeMap::from([("tier".to_owned(), "edge".to_owned())]);
        let expression = |operator: &str, key: &str, values: &[&str]| serde_json::json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        let cases = [
            (serde_json::json!({}), true),
            (serde_json::json!({"matchLabels": {"tier": "edge"}}), true),
            (serde_json::json!({"matchLabels": {"tier": "core"}}), false),
            (
                serde_json::json!({"matchLabels": {"tier": "edge", "env": "prod"}}),
                false,
            ),
            (expression("In", "tier", &["core", "edge"]), true),
            (expression("In", "tier", &["core"]), false),
            (expression("In", "tier", &[]), false),
            (expression("In", "env", &["edge"]), false),
            (expression("NotIn", "tier", &["core"]), true),
            (expression("NotIn", "tier", &["edge"]), false),
            (expression("NotIn", "env", &["prod"]), true),
            (expression("Exists", "tier", &[]), true),
            (expression("Exists", "env", &[]), false),
            (expression("DoesNotExist", "env", &[]), true),
            (expression("DoesNotExist", "tier", &[]), false),
            (expression("Like", "tier", &["edge"]), false),
            // Keys and values that are none of labels: Kubernetes reads no such selector.
            (expression("DoesNotExist", "a b", &[]), false),
            (expression("In", "tier", &["edge", "a b!"]), false),
            (expression("NotIn", "tier", &["bad value!"]), false),
            (expression("DoesNotExist", "example.com/tier", &[]), true),
            (expression("DoesNotExist", "Example.com/tier", &[]), false),
            (expression("DoesNotExist", "-tier", &[]), false),
            (expression("NotIn", "tier", &[""]), true),
            (expression("NotIn", "tier", &[&"a".repeat(64)]), false),
        ];
        for (value, expected) in cases {
            assert_eq!(
                matches(&selector(value.clone()), &labels),
                expected,
                "{value}"
            );
        }
    }

    #[test]
    fn a_namespace_is_known_by_its_name_even_without_an_object() {
        let mut resources = Resources::default();
        let named =
            |name: &str| selector(serde_json::json!({"matchLabels": {NAMESPACE_NAME: name}}));
        assert!(Namespaces::Selector(named("shop")).allow(&resources, "shop"));
        assert!(!Namespaces::Selector(named("shop")).allow(&resources, "blog"));
        let object = serde_json::json!({"metadata": {"name": "shop", "labels": {"env": "prod"}}});
        resources.namespaces.insert(
            NamespacedName::new("", "shop"),
            Arc::new(serde_json::from_value(object).unwrap()),
        );
        let prod =
            selector(serde_json::json!({"matchLabels": {"env": "prod", NAMESPACE_NAME: "shop"}}));
        assert!(Namespaces::Selector(prod.clone()).allow(&resources, "shop"));
        assert!(!Namespaces::Selector(prod).allow(&resources, "blog"));
    }

    #[test]
    fn a_policy_selects_no_namespace_without_labels_but_by_its_name() {
        let mut resources = Resources::default();
        for (name, labels) in [
            ("shop", serde_json::json!({"env": "prod"})),
            ("bare", serde_json::json!({})),
        ] {
            let object = serde_json::json!({"metadata": {"name": name, "labels": labels}});
            resources.namespaces.insert(
                NamespacedName::new("", name),
                Arc::new(serde_json::from_value(object).unwrap()),
            );
        }
        let everything = selector(serde_json::json!({}));
        let not_there = selector(
            serde_json::json!({"matchExpressions": [{"key": "env", "operator": "DoesNotExist"}]}),
        );
        let named =
            |name: &str| selector(serde_json::json!({"matchLabels": {NAMESPACE_NAME: name}}));
        for (selector, namespace, expected) in [
            (&everything, "shop", true),
            (&everything, "bare", false),
            (&everything, "unknown", false),
            (&not_there, "bare", false),
            (&named("unknown"), "unknown", true),
            (&named("bare"), "bare", true),
            (&named("bare"), "shop", false),
        ] {
            assert_eq!(
                selects_namespace(selector, &resources, namespace),
                expected,
                "{namespace}"
            );
        }
    }
}
