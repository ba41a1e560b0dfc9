//! `BackendTrafficPolicy` (`gateway.envoyproxy.io/v1alpha1`) as its author wrote it.
//!
//! The spec is kept as a JSON value, because merging works on what was written: nulls, empty lists and absent fields
//! are three different things. [`super::spec`] has the typed form that settings are lowered from.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A policy as written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BackendTrafficPolicy {
    /// The object's name, labels, age and so on.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What the author wrote.
    pub spec: Value,
}

/// What `spec.mergeType` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MergeType {
    /// Objects merge key by key, lists of compressors and upgrades by type, rate-limit rules by their policy.
    StrategicMerge,
    /// A JSON merge patch (RFC 7396): objects merge key by key, lists are replaced, null deletes.
    JsonMerge,
    /// A word that means nothing.
    Unsupported(String),
}

impl MergeType {
    /// The word for it; none for one that means nothing.
    pub fn as_str(&self) -> Option<&'static str> {
        match self {
            Self::StrategicMerge => Some("StrategicMerge"),
            Self::JsonMerge => Some("JSONMerge"),
            Self::Unsupported(_) => None,
        }
    }
}

impl BackendTrafficPolicy {
    /// How the policy merges with a less specific one; none: it replaces it.
    pub fn merge_type(&self) -> Option<MergeType> {
        match self.spec.get("mergeType") {
            None | Some(Value::Null) => None,
            Some(Value::String(word)) => Some(match word.as_str() {
                "StrategicMerge" => MergeType::StrategicMerge,
                "JSONMerge" => MergeType::JsonMerge,
                other => MergeType::Unsupported(other.to_owned()),
            }),
            Some(other) => Some(MergeType::Unsupported(other.to_string())),
        }
    }

    /// The settings alone: the spec without targets and `mergeType`. Anything but an object counts as an empty one.
    pub fn settings(&self) -> Value {
        let mut settings = self.spec.as_object().cloned().unwrap_or_default();
        for key in ["targetRef", "targetRefs", "targetSelectors", "mergeType"] {
            settings.remove(key);
        }
        // The reference reads both spellings; one of them, so that merging finds the other's.
        if let Some(per_retry) = settings
            .get_mut("retry")
            .and_then(|it| it.get_mut("perRetry")?.as_object_mut())
            && let Some(back_off) = per_retry.remove("backoff")
        {
            per_retry.entry("backOff").or_insert(back_off);
        }
        Value::Object(settings)
    }
}
