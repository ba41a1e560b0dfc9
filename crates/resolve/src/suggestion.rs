//! What the author of a misspelt word may have meant.

/// Of the words that are known, the one that was probably meant.
pub fn suggest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // A very long word is no slip of the finger, and comparing it would take time.
    if word.len() > 64 {
        return None;
    }
    let lower = word.to_lowercase();
    known
        .into_iter()
        .map(|known| {
            (
                strsim::damerau_levenshtein(&lower, &known.to_lowercase()),
                known,
            )
        })
        .filter(|(distance, known)| *distance <= (word.len().max(known.len()) + 1) / 4)
        .min_by_key(|(distance, known)| (*distance, *known != word))
        .map(|(_, known)| known)
}

/// Says that a field is unknown, and what may have been meant.
pub(crate) fn unknown_field<'k>(
    name: &str,
    known: impl Iterator<Item = &'k str> + Clone,
) -> String {
    let name: String = name.chars().take(100).collect();
    if let Some(meant) = suggest(&name, known.clone()) {
        return format!("unknown field {name:?}: did you mean {meant:?}?");
    }
    let known: Vec<_> = known.collect();
    match known.len() {
        0 => format!("unknown field {name:?}: no fields are known here"),
        1..=12 => format!(
            "unknown field {name:?}: known here are {}",
            known.join(", ")
        ),
        _ => format!("unknown field {name:?}: remove it, or look up how it is spelt"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised() {
        let known = [
            "backOff",
            "timeout",
            "numRetries",
            "retryOn",
            "maxConnections",
            "maxPendingRequests",
            "a",
        ];
        let cases = [
            ("backoff", Some("backOff")),
            ("timout", Some("timeout")),
            ("timeouts", Some("timeout")),
            ("maxConnection", Some("maxConnections")),
            ("max_connections", Some("maxConnections")),
            ("numretires", Some("numRetries")),
            ("entirelyDifferent", None),
            ("z", None),
            ("", None),
        ];
        for (word, meant) in cases {
            assert_eq!(suggest(word, known), meant, "{word}");
        }
        assert_eq!(suggest(&"a".repeat(1_000_000), known), None);
    }
}
