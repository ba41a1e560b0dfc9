//! What a policy is attached to: references to objects, and selectors of objects by label.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The three ways to name targets. They belong to every kind of policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Targets {
    /// Deprecated: one reference. Where it is given, `targetRefs` is not read.
    pub target_ref: Option<TargetRef>,
    /// References to objects in the policy's own namespace.
    pub target_refs: Option<Vec<TargetRef>>,
    /// Selectors of objects by their labels.
    pub target_selectors: Option<Vec<TargetSelector>>,
}

/// A reference to an object in the policy's own namespace, or to a section of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TargetRef {
    /// The object's API group; default `gateway.networking.k8s.io`.
    pub group: Option<String>,
    /// `Gateway`, `ListenerSet`, or a kind of route.
    pub kind: String,
    /// The object's name.
    pub name: String,
    /// A listener of the Gateway or ListenerSet, or a named rule of the route.
    pub section_name: Option<String>,
}

/// Selects objects of one kind by their labels. Without labels and expressions, all of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TargetSelector {
    /// The objects' API group; default `gateway.networking.k8s.io`.
    pub group: Option<String>,
    /// The objects' kind.
    pub kind: String,
    /// In which namespaces; default: the policy's own.
    pub namespaces: Option<TargetNamespaces>,
    /// Labels that an object must have.
    pub match_labels: Option<BTreeMap<String, String>>,
    /// Conditions on labels; all must hold.
    #[schemars(with = "Option<Vec<LabelCondition>>")]
    pub match_expressions: Option<Vec<LabelSelectorRequirement>>,
}

/// The namespaces of a selector. Other namespaces than the policy's own need a ReferenceGrant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TargetNamespaces {
    /// `Same` (default), `All` or `Selector`.
    pub from: Option<String>,
    /// For `Selector`: the labels of the namespaces.
    #[schemars(with = "Option<NamespaceLabels>")]
    pub selector: Option<LabelSelector>,
}

/// What is said of Kubernetes' label selectors, for those who write one.
#[expect(dead_code, reason = "the schema alone is read")]
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct NamespaceLabels {
    /// Labels that a namespace must have.
    match_labels: Option<BTreeMap<String, String>>,
    /// Conditions on labels; all must hold.
    match_expressions: Option<Vec<LabelCondition>>,
}

/// A condition on a label.
#[expect(dead_code, reason = "the schema alone is read")]
#[derive(JsonSchema)]
struct LabelCondition {
    /// The label.
    key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`. An object without the label fulfils `NotIn` and `DoesNotExist`.
    operator: String,
    /// For `In` and `NotIn`: the values. For the others: none.
    values: Option<Vec<String>>,
}
