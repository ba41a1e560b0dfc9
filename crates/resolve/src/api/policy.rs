//! `BackendTrafficPolicy` (`gateway.envoyproxy.io/v1alpha1`) as its author wrote it.
//!
//! The spec is kept as a JSON value, because merging works on what was written: nulls, empty lists and absent fields
//! are three different things. [`super::spec`] has the typed form that settings are lowered from.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A policy as written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackendTrafficPolicy {
    /// The object's name, labels, age and so on.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What the author wrote.
    pub spec: Value,
}
