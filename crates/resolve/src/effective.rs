//! The effective policy of a route rule on a listener, and where each of its fields came from.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use weir_plan::{ListenerName, PolicyRef, RuleName};

use crate::diagnostics::FieldPath;

/// What applies to one rule on one listener.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EffectiveRule {
    /// The rule.
    pub rule: RuleName,
    /// The listener.
    pub listener: ListenerName,
    /// What applies; shared by rules to which the same applies.
    pub policy: Arc<EffectivePolicy>,
}

/// Settings as written (merged where policies merge), with the policy that each came from.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectivePolicy {
    /// The policies that contribute, most specific first.
    pub policies: Vec<PolicyRef>,
    /// The settings: a policy's `spec` without its targets and `mergeType`. An empty object where no policy applies.
    pub settings: Value,
    /// For each leaf of `settings`, the policy that set it.
    pub from: BTreeMap<FieldPath, PolicyRef>,
    /// The policies that target this rule or something above it and do not take effect here, with the reason.
    pub lost: Vec<Lost>,
    /// Why the rule answers 500, where its policy is invalid: the text of the policy's status.
    pub invalid: Option<String>,
}

/// A policy that does not take effect.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Lost {
    /// Which.
    pub policy: PolicyRef,
    /// Why, such as "replaced by a more specific policy without mergeType" or "older policy won".
    pub reason: String,
}
