//! The settings of a policy, one file per feature: the type that its author writes, and how it is lowered into the
//! plan or, where the plan has no type for it yet, checked.
//!
//! Defaults are filled in here, after policies were merged, so that a policy overrides only what its author wrote.

pub mod admission_control;
pub mod bandwidth_limit;
pub mod circuit_breaker;
pub mod compression;
pub mod connection;
pub mod dns;
pub mod fault_injection;
pub mod health_check;
pub mod http_upgrade;
pub mod load_balancer;
pub mod rate_limit;
pub mod request_buffer;
pub mod response_override;
pub mod retry;
pub mod routing_type;
pub mod telemetry;
pub mod timeout;

use std::collections::BTreeSet;
use std::time::Duration;

use weir_plan::Percent;

use crate::api::scalar::DurationText;

/// Collects what is wrong with the settings of a policy.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Faults {
    /// In the order in which features are lowered, which is the order of a status message.
    pub(crate) list: Vec<Fault>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fault {
    /// How a status message introduces it, such as `RateLimit`; empty: not at all.
    pub(crate) feature: &'static str,
    /// Where it is, below `spec`.
    pub(crate) field: String,
    /// What it is.
    pub(crate) text: String,
    /// Whether the policy is invalid for it. Otherwise the setting alone is left out.
    pub(crate) fatal: bool,
}

impl Faults {
    /// Adds something that makes the policy invalid.
    pub(crate) fn add(
        &mut self,
        feature: &'static str,
        field: impl Into<String>,
        text: impl Into<String>,
    ) {
        self.list.push(Fault {
            feature,
            field: field.into(),
            text: text.into(),
            fatal: true,
        });
    }

    /// Adds a setting that is left out for what it says.
    pub(crate) fn ignored(
        &mut self,
        feature: &'static str,
        field: impl Into<String>,
        text: impl Into<String>,
    ) {
        self.list.push(Fault {
            feature,
            field: field.into(),
            text: text.into(),
            fatal: false,
        });
    }

    /// The status message of an invalid policy; none: it is valid. It says the first fault of each feature, one a line.
    pub(crate) fn message(&self) -> Option<String> {
        let mut seen = BTreeSet::new();
        let lines: Vec<String> = self
            .list
            .iter()
            .filter(|fault| fault.fatal && seen.insert(fault.feature))
            .map(|Fault { feature, text, .. }| {
                if feature.is_empty() {
                    text.clone()
                } else {
                    format!("{feature}: {text}")
                }
            })
            .collect();
        (!lines.is_empty()).then(|| sentence(&lines.join("\n")))
    }

    /// How many of them make the policy invalid.
    pub(crate) fn fatal(&self) -> usize {
        self.list.iter().filter(|fault| fault.fatal).count()
    }

    /// Parses a duration, or says that it is invalid.
    pub(crate) fn duration(
        &mut self,
        feature: &'static str,
        field: &str,
        name: &str,
        text: Option<&DurationText>,
    ) -> Option<Duration> {
        let text = text?;
        let parsed = text.parse();
        if parsed.is_none() {
            self.add(feature, field, format!("invalid {name} value {text}"));
        }
        parsed
    }

    /// Parses a duration. One that is none is left out, as in the reference, which says nothing of it; `then` tells what
    /// applies.
    pub(crate) fn duration_or_default(
        &mut self,
        feature: &'static str,
        field: &str,
        text: Option<&DurationText>,
        then: &str,
    ) -> Option<Duration> {
        let text = text?;
        let parsed = text.parse();
        if parsed.is_none() {
            let text = format!("{text:?} is no duration, so {then}; write one such as 30s");
            self.ignored(feature, field, text);
        }
        parsed
    }

    /// Reads a share, or says that it is out of range.
    pub(crate) fn percent(
        &mut self,
        feature: &'static str,
        field: &str,
        name: &str,
        value: Option<u32>,
    ) -> Option<Percent> {
        let value = value?;
        let percent = u8::try_from(value).ok().filter(|it| *it <= 100);
        if percent.is_none() {
            let text = format!("{name} value {value} is out of range, must be between 0 and 100");
            self.add(feature, field, text);
        }
        percent.map(Percent)
    }
}

/// A status message as the reference shapes it: a capital first, a full stop last.
pub(crate) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let mut sentence: String = chars
        .next()
        .map(|first| first.to_uppercase().collect())
        .unwrap_or_default();
    sentence.push_str(chars.as_str());
    if !sentence.ends_with('.') {
        sentence.push('.');
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_the_first_fault_of_each_feature() {
        let mut faults = Faults::default();
        assert_eq!(faults.message(), None);
        faults.ignored("DNS", "dns", "left out");
        assert_eq!(faults.message(), None);
        faults.add("RateLimit", "rateLimit", "one");
        faults.add("RateLimit", "rateLimit", "another");
        faults.add("Timeout", "timeout", "bad.");
        assert_eq!(
            faults.message().as_deref(),
            Some("RateLimit: one\nTimeout: bad.")
        );
    }

    #[test]
    fn sentences() {
        for (text, expected) in [("error merging", "Error merging."), ("A.", "A."), ("", ".")] {
            assert_eq!(sentence(text), expected);
        }
    }
}
