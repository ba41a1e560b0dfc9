//! Label selectors, and the namespaces that listeners and Gateways open themselves to.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use weir_plan::NamespacedName;

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
}
