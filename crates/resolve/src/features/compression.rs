//! `spec.compressor` and the deprecated `spec.compression`: compression of responses.
//!
//! Scope: route. Unset: off. Merged by `type` under StrategicMerge. Where a merge brings both lists together, `compressor`
//! counts if it has an entry.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use weir_plan::features::compression::{CompressionAlgorithm, Compressor};

use super::Faults;
use crate::api::scalar::Quantity;

/// One algorithm. The first of the list is preferred.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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

/// `compression` is the deprecated list, in which an entry needs no field of its type.
pub(crate) fn lower(
    compression: Option<&[Compression]>,
    compressor: Option<&[Compression]>,
    found: &mut Faults,
) -> Vec<Compressor> {
    let both = compression.is_some_and(|it| !it.is_empty());
    if let Some(list) = compressor.filter(|_| both) {
        let (field, text) = if list.is_empty() {
            let text = "an empty list leaves `compression` in force, where another policy wrote that; write `compression: []`";
            ("compressor", text)
        } else {
            ("compression", "`compressor` takes its place")
        };
        found.ignored("Compression", field, text);
    }
    let entries = compressor.filter(|it| !it.is_empty());
    let (field, list, needs_field) = match (entries, compression) {
        (Some(list), _) => ("compressor", list, true),
        (None, Some(list)) => ("compression", list, false),
        (None, None) => return Vec::new(),
    };
    let mut compressors: Vec<Compressor> = Vec::new();
    for (index, entry) in list.iter().enumerate() {
        let Compression {
            r#type,
            gzip,
            brotli,
            zstd,
            min_content_length,
        } = entry;
        let (algorithm, own) = match r#type.as_deref() {
            Some("Gzip") => (CompressionAlgorithm::Gzip, gzip),
            Some("Brotli") => (CompressionAlgorithm::Brotli, brotli),
            Some("Zstd") => (CompressionAlgorithm::Zstd, zstd),
            other => {
                let text = format!(
                    "{:?} is no algorithm, so the entry is left out; use Gzip, Brotli or Zstd",
                    other.unwrap_or_default()
                );
                found.ignored("Compression", format!("{field}[{index}].type"), text);
                continue;
            }
        };
        if needs_field && own.is_none() {
            continue;
        }
        let default = Compressor::DEFAULT_MIN_CONTENT_LENGTH;
        let min_content_length = min_content_length.as_ref().map_or(default, |length| {
            let value = length.value().and_then(|it| u32::try_from(it).ok());
            value.unwrap_or_else(|| {
                let text = format!("{length} is out of range, so the default of {default} applies");
                let field = format!("{field}[{index}].minContentLength");
                found.ignored("Compression", field, text);
                default
            })
        });
        let compressor = Compressor {
            algorithm,
            min_content_length,
            preferred: index == 0,
        };
        // Of two for one algorithm, the last counts, in the place of the first.
        match compressors.iter_mut().find(|it| it.algorithm == algorithm) {
            Some(before) => before.min_content_length = min_content_length,
            None => compressors.push(compressor),
        }
    }
    compressors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lowered(spec: &Value) -> (Vec<(CompressionAlgorithm, u32, bool)>, Option<String>) {
        let list = |key: &str| -> Option<Vec<Compression>> {
            spec.get(key)
                .map(|it| serde_json::from_value(it.clone()).unwrap())
        };
        let mut found = Faults::default();
        let compressors = lower(
            list("compression").as_deref(),
            list("compressor").as_deref(),
            &mut found,
        );
        let compressors = compressors
            .into_iter()
            .map(|it| (it.algorithm, it.min_content_length, it.preferred));
        (compressors.collect(), found.message())
    }

    #[test]
    fn the_first_of_a_list_is_preferred() {
        use CompressionAlgorithm::{Brotli, Gzip, Zstd};
        for (spec, expected) in [
            (json!({}), vec![]),
            (json!({"compressor": []}), vec![]),
            (
                json!({"compression": [{"type": "Brotli"}, {"type": "Gzip"}]}),
                vec![(Brotli, 30, true), (Gzip, 30, false)],
            ),
            (
                json!({"compressor": [{"type": "Zstd", "zstd": {}, "minContentLength": "1Ki"}]}),
                vec![(Zstd, 1024, true)],
            ),
            // Switched off: nobody is preferred then.
            (
                json!({"compressor": [{"type": "Brotli", "gzip": {}}, {"type": "Gzip", "gzip": {}}]}),
                vec![(Gzip, 30, false)],
            ),
            (
                json!({"compression": [{"type": "Brotli"}], "compressor": [{"type": "Gzip", "gzip": {}}]}),
                vec![(Gzip, 30, true)],
            ),
            (
                json!({"compression": [{"type": "Gzip"}, {"type": "Zstd"}, {"type": "Gzip", "minContentLength": 50}]}),
                vec![(Gzip, 50, true), (Zstd, 30, false)],
            ),
        ] {
            assert_eq!(lowered(&spec), (expected, None), "{spec}");
        }
    }

    #[test]
    fn a_length_that_does_not_fit_is_left_out() {
        let spec = json!({"compression": [{"type": "Gzip", "minContentLength": "5Gi"}]});
        let gzip = (CompressionAlgorithm::Gzip, 30, true);
        assert_eq!(lowered(&spec), (vec![gzip], None));
    }
}
