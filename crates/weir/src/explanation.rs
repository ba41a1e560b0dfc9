//! The effective policy of route rules, as text for people and as data.

use std::fmt::Write as _;
use std::sync::Arc;

use serde::Serialize;
use weir_resolve::EffectiveRule;

use crate::configuration::Configuration;

/// As data.
pub(crate) fn data<'a>(
    _configuration: &'a Configuration,
    rules: &'a [Arc<EffectiveRule>],
    note: Option<&'a str>,
) -> impl Serialize + 'a {
    #[derive(Serialize)]
    struct Explanation<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<&'a str>,
        rules: &'a [Arc<EffectiveRule>],
    }
    Explanation { note, rules }
}

/// As text.
pub(crate) fn text(
    _configuration: &Configuration,
    rules: &[Arc<EffectiveRule>],
    note: Option<&str>,
) -> String {
    let mut text = String::new();
    if let Some(note) = note {
        let _ = writeln!(text, "note: {note}");
    }
    for rule in rules {
        let _ = writeln!(text, "{} on {}", rule.rule, rule.listener);
        for (field, policy) in &rule.policy.from {
            let _ = writeln!(text, "  {field}: {policy}");
        }
    }
    text
}
