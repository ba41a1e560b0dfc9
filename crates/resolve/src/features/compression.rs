//! `spec.compressor` and the deprecated `spec.compression`: compression of responses.
//!
//! Scope: route. Unset: off. Merged by `type` under StrategicMerge. The plan has no type for it yet.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::scalar::Quantity;

/// One algorithm. The first of the list is preferred.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Compression {
    /// `Gzip`, `Brotli` or `Zstd`.
    pub r#type: Option<String>,
    /// For `Gzip`. An entry of `compressor` without the field of its type is switched off.
    pub gzip: Option<Value>,
    /// For `Brotli`, likewise.
    pub brotli: Option<Value>,
    /// For `Zstd`, likewise.
    pub zstd: Option<Value>,
    /// The smallest response that is compressed, in bytes. Default 30.
    pub min_content_length: Option<Quantity>,
}
