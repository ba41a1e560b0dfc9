//! Where each value that applies to a rule came from: a policy, the rule itself, or nobody, so that it is the default.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};
use weir_plan::features::retry::{BackOff, Retry};
use weir_plan::features::timeout::RouteTimeout;
use weir_plan::units::format_duration;
use weir_plan::{PolicyRef, RouteRule, RuleName};

use super::settings;
use crate::api::spec::BackendTrafficPolicySpec;
use crate::defaults;
use crate::diagnostics::FieldPath;
use crate::effective::EffectivePolicy;
use crate::features::{Faults, retry, timeout};

/// Who set a value. Serializes as text.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A policy wrote it.
    Policy(PolicyRef),
    /// The rule has it itself, in its `timeouts` or `retry`, which come before policies.
    Rule(RuleName),
    /// Nobody: it is the default.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(policy) => policy.fmt(f),
            Self::Rule(rule) => rule.fmt(f),
            Self::Default => f.write_str("default"),
        }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One value that applies, and who set it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Applying {
    /// The field, below `spec`.
    pub field: FieldPath,
    /// Its value.
    pub value: Value,
    /// Who set it.
    pub from: Source,
}

/// Every value that applies to a rule, by field. `rule` is what the plan does with it; without it the rule is answered by
/// the gateway, and what policies wrote is all there is to say.
pub(super) fn applying(policy: &EffectivePolicy, rule: Option<&RouteRule>) -> Vec<Applying> {
    let mut all: Vec<Applying> = settings(policy)
        .into_iter()
        .map(|it| Applying {
            field: it.field,
            value: it.value,
            from: Source::Policy(it.from),
        })
        .collect();
    let Some(rule) = rule else {
        return all;
    };
    let own = own(policy, rule);
    all.retain(|it| !own.replaces(&it.field));
    // What the rule's own values do to the defaults, its policy's would have done.
    let mut settings = Cow::Borrowed(&policy.settings);
    if let Some((_, request)) = &own.request {
        settings.to_mut()["timeout"]["http"]["requestTimeout"] = request.clone();
    }
    let defaults = defaults::of_absent(&settings);
    let defaults = defaults.into_iter().filter(|(it, _)| !own.replaces(it));
    all.extend(defaults.flat_map(|it| leaves(it, &Source::Default)));
    let Own { request, retry } = own;
    let own = request.into_iter().chain(retry.into_iter().flatten());
    let own = own.map(|(field, value)| (FieldPath::new(field), value));
    all.extend(own.flat_map(|it| leaves(it, &Source::Rule(rule.name.clone()))));
    all.sort_by(|a, b| a.field.cmp(&b.field));
    all
}

/// A value; a list item by item.
fn leaves((field, value): (FieldPath, Value), from: &Source) -> Vec<Applying> {
    let leaf = |field, value| Applying {
        field,
        value,
        from: from.clone(),
    };
    match value {
        Value::Array(items) => {
            let items = items.into_iter().enumerate();
            items
                .map(|(index, item)| leaf(field.index(index), item))
                .collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            vec![leaf(field, value)]
        }
    }
}

type Field = (&'static str, Value);

/// What a rule sets itself.
struct Own {
    request: Option<Field>,
    /// In place of all that a policy says about retries.
    retry: Option<Vec<Field>>,
}

impl Own {
    fn replaces(&self, field: &FieldPath) -> bool {
        let Self { request, retry } = self;
        let is = |(name, _): &Field| field.as_str() == *name;
        request.as_ref().is_some_and(is) || (retry.is_some() && field.as_str().starts_with("retry"))
    }
}

/// What a rule sets itself: the values of the plan that its policy does not come to.
fn own(policy: &EffectivePolicy, rule: &RouteRule) -> Own {
    let spec = BackendTrafficPolicySpec::deserialize(&policy.settings).unwrap_or_default();
    let ignored = &mut Faults::default();
    let (timeout, _) = timeout::lower(spec.timeout.as_ref(), ignored);
    let retry = retry::lower(spec.retry.as_ref(), ignored);
    let now = &rule.policy;
    Own {
        request: (timeout.request != now.timeout.request).then(|| request_timeout(&now.timeout)),
        retry: (retry != now.retry).then(|| retries(now.retry.as_ref())),
    }
}

fn request_timeout(timeout: &RouteTimeout) -> Field {
    let request = timeout.request.unwrap_or_default();
    (
        "timeout.http.requestTimeout",
        json!(format_duration(request)),
    )
}

fn retries(retry: Option<&Retry>) -> Vec<Field> {
    let Some(Retry {
        num_retries,
        triggers,
        status_codes,
        per_try_timeout,
        back_off: BackOff { base, max },
        num_attempts_per_priority: _,
    }) = retry
    else {
        return vec![("retry.numRetries", json!(0))];
    };
    let mut all = vec![
        ("retry.numRetries", json!(num_retries)),
        ("retry.retryOn.triggers", json!(triggers)),
        (
            "retry.perRetry.backOff.baseInterval",
            json!(format_duration(*base)),
        ),
        (
            "retry.perRetry.backOff.maxInterval",
            json!(format_duration(*max)),
        ),
    ];
    let timeout = per_try_timeout.map(|it| ("retry.perRetry.timeout", json!(format_duration(it))));
    let codes =
        (!status_codes.is_empty()).then(|| ("retry.retryOn.httpStatusCodes", json!(status_codes)));
    all.extend(timeout.into_iter().chain(codes));
    all
}
