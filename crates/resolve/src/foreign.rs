//! For documents of kinds that are not resources, such as tests of policies: read as strictly as resources are, with
//! the same words for what does not fit.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::api::spec::BackendTrafficPolicySpec;
use crate::diagnostics::FieldPath;
use crate::field_path::Step;
use crate::strict::{self, Mismatch, UnknownField};
use crate::suggestion::unknown_field;

/// Something in a document that does not fit its type.
#[derive(Clone, Debug, PartialEq)]
pub struct Misfit {
    /// Where.
    pub at: FieldPath,
    /// The sort of finding: `unknown-field` or `wrong-type`.
    pub id: &'static str,
    /// What is wrong, and what was probably meant.
    pub message: String,
}

/// Reads a document into a type that has all of its fields.
///
/// # Errors
/// Every unknown field, with a suggestion, and every value that does not fit.
pub fn read<T: DeserializeOwned>(document: &Value) -> Result<T, Vec<Misfit>> {
    let (result, unknown) = strict::read_all(document, &FieldPath::default());
    let mut misfits: Vec<Misfit> = unknown.into_iter().map(of_unknown).collect();
    match result {
        Ok(it) if misfits.is_empty() => Ok(it),
        Ok(_) => Err(misfits),
        Err(mismatches) => {
            misfits.extend(
                mismatches
                    .into_iter()
                    .map(|Mismatch { at, message }| Misfit {
                        at,
                        id: "wrong-type",
                        message,
                    }),
            );
            Err(misfits)
        }
    }
}

/// The longest path that is looked at, in bytes; no setting has one half as long.
const MAX_PATH: usize = 500;

/// Why a path, such as `retry.retryOn.httpStatusCodes[0]`, leads to no setting of a BackendTrafficPolicy. None where it
/// does.
pub fn no_setting(path: &str) -> Option<String> {
    if path.is_empty() {
        return Some("expected the path of a setting, such as retry.numRetries".to_owned());
    }
    if path.len() > MAX_PATH {
        return Some("no setting has a path of this length".to_owned());
    }
    let (value, place) = along(path);
    let (result, unknown) = strict::read::<BackendTrafficPolicySpec>(&value, &FieldPath::default());
    if let Some(field) = unknown.into_iter().next() {
        return Some(of_unknown(field).message);
    }
    let Mismatch { at, message } = result.err()?;
    // What stands beside the path, or at its end, is not there and need not be.
    let fits = message.starts_with("missing field") || at == place;
    (!fits).then_some(message)
}

fn of_unknown(UnknownField { at, name, known }: UnknownField) -> Misfit {
    Misfit {
        at,
        id: "unknown-field",
        message: unknown_field(&name, known.iter().copied()),
    }
}

/// A value in which there is nothing but the way along a path, and where that way ends. Of lists it has one item.
fn along(path: &str) -> (Value, FieldPath) {
    let path = FieldPath::new(path);
    let (mut value, mut place) = (Value::Null, FieldPath::default());
    for step in path.steps() {
        place = match step {
            Step::Field(name) => place.child(&name),
            Step::Item(_) => place.index(0),
        };
    }
    for step in path.steps().collect::<Vec<_>>().into_iter().rev() {
        value = match step {
            Step::Field(name) => Map::from_iter([(name.into_owned(), value)]).into(),
            Step::Item(_) => Value::Array(vec![value]),
        };
    }
    (value, place)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Example {
        name: String,
    }

    #[test]
    fn documents_are_read_strictly() {
        assert_eq!(
            read::<Example>(&json!({"name": "x"})),
            Ok(Example {
                name: "x".to_owned()
            })
        );
        let misfits = read::<Example>(&json!({"nam": "x"})).unwrap_err();
        let ids: Vec<_> = misfits.iter().map(|it| (it.at.as_str(), it.id)).collect();
        assert_eq!(ids, [("nam", "unknown-field"), ("", "wrong-type")]);
        assert!(misfits[0].message.contains("did you mean \"name\"?"));
    }

    #[test]
    fn endless_paths_end() {
        assert!(no_setting(&"a.".repeat(1_000_000)).is_some());
    }

    #[test]
    fn settings_are_known_by_their_paths() {
        for path in [
            "circuitBreaker",
            "circuitBreaker.maxConnections",
            "retry.retryOn.httpStatusCodes[0]",
            "rateLimit.local.rules[3].limit.requests",
            "timeout.http.requestTimeout",
            "rateLimit.global.rules[1]",
            "telemetry.tracing.tags[\"http.route\"]",
            "telemetry.tracing.tags[http.route]",
        ] {
            assert_eq!(no_setting(path), None, "{path}");
        }
        for (path, words) in [
            ("circuitBreaker.maxConnection", "maxConnections"),
            ("rateLimit.local.rules[3].limits", "limit"),
            ("nothing", "unknown field"),
            ("circuitBreaker[0]", "sequence"),
            ("", "expected the path"),
            ("[0", "unknown field"),
            ("größe.ß", "unknown field"),
            ("ß", "unknown field"),
        ] {
            let why = no_setting(path).unwrap_or_default();
            assert!(why.contains(words), "{path:?}: {why:?}");
        }
    }
}
