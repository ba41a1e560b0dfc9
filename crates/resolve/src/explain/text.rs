//! The text form of an explanation: a tree of settings, each with who set it.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, json};
use weir_plan::RouteKind;

use super::{Applying, Displaced, Displacement, Explanation, Source, value_text};
use crate::diagnostics::FieldPath;
use crate::effective::Lost;
use crate::field_path::Step;

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rule,
            listener,
            policies,
            merge_type,
            settings,
            displaced,
            lost,
            invalid,
            unlogged,
            route_entries,
        } = self;
        writeln!(f, "{rule} on listener {listener}")?;
        if let (Some(merge_type), [child, parent]) = (merge_type, policies.as_slice()) {
            writeln!(f, "  {merge_type} of {child} into {parent}")?;
        }
        if let Some(invalid) = invalid {
            let what = refusal(Some(rule.kind));
            writeln!(f, "  {what}: {}", invalid.replace('\n', "\n    "))?;
        }
        if *unlogged {
            writeln!(f, "  not in the access log: an annotation says so")?;
        }
        // Where nobody set anything, a sentence says enough of the defaults.
        if settings.iter().all(|it| it.from == Source::Default) {
            let nobody = match displaced.as_slice() {
                [] => "no policy sets anything",
                [..] => "nothing that policies set counts",
            };
            writeln!(f, "  {nobody}: defaults apply")?;
        } else {
            tree(f, settings, 2)?;
        }
        if settings.iter().any(|it| it.field.is_within("rateLimit")) {
            buckets(f, settings, *route_entries)?;
        }
        let mut by_reason: BTreeMap<Displacement, Vec<Applying>> = BTreeMap::new();
        for Displaced {
            field,
            value,
            from,
            reason,
        } in displaced
        {
            by_reason.entry(*reason).or_default().push(Applying {
                field: field.clone(),
                value: value.clone(),
                from: Source::Policy(from.clone()),
            });
        }
        for (reason, settings) in by_reason {
            writeln!(f, "  not in force: {reason}")?;
            tree(f, &settings, 4)?;
        }
        for Lost { policy, reason } in lost {
            let reason = reason.replace('\n', "\n    ");
            writeln!(f, "  not in force: {policy}: {reason}")?;
        }
        Ok(())
    }
}

/// What becomes of what comes to a route of this kind that is not served for its policy's sake.
pub(crate) fn refusal(kind: Option<RouteKind>) -> &'static str {
    if kind.is_none_or(RouteKind::is_http) {
        "answers 500"
    } else {
        "closes connections"
    }
}

/// Settings as a tree, each with who set it.
pub(super) fn tree(
    f: &mut fmt::Formatter<'_>,
    settings: &[Applying],
    indent: usize,
) -> fmt::Result {
    let lines: Vec<(Vec<String>, String)> = settings.iter().map(line).collect();
    let place = |above: &[String]| 2 * above.len() + indent;
    let width = lines
        .iter()
        .map(|(above, leaf)| place(above) + leaf.chars().count());
    let width = width.max().unwrap_or_default();
    let mut open: Vec<String> = Vec::new();
    for (setting, (above, leaf)) in settings.iter().zip(lines) {
        let common = above
            .iter()
            .zip(&open)
            .take_while(|(one, other)| one == other)
            .count();
        for (depth, step) in above.iter().enumerate().skip(common) {
            writeln!(f, "{:indent$}{step}", "", indent = 2 * depth + indent)?;
        }
        let indent = place(&above);
        write!(f, "{:indent$}{leaf:width$}  ", "", width = width - indent)?;
        match &setting.from {
            source @ (Source::Policy(_) | Source::Rule(_) | Source::EnvoyProxy(_)) => {
                writeln!(f, "from {source}")?;
            }
            Source::Default => writeln!(f, "default")?,
        }
        open = above;
        // The defaults of what is in an object that somebody wrote empty stand below it.
        if setting.value.as_object().is_some_and(Map::is_empty) {
            open.extend(labels(&setting.field).pop());
        }
    }
    Ok(())
}

/// The groups that a setting is in, and its own line.
fn line(
    Applying {
        field,
        value,
        from: _,
    }: &Applying,
) -> (Vec<String>, String) {
    let mut labels = labels(field);
    let name = labels.pop().unwrap_or_default();
    (labels, format!("{name}: {}", value_text(value)))
}

/// The steps of a path, items of lists beside the list.
fn labels(field: &FieldPath) -> Vec<String> {
    let mut labels: Vec<String> = Vec::new();
    for step in field.steps() {
        match step {
            Step::Field(name) => labels.push(value_text(&json!(name)).into_owned()),
            Step::Item(index) => match labels.last_mut() {
                Some(list) => list.push_str(&format!("[{index}]")),
                None => labels.push(format!("[{index}]")),
            },
        }
    }
    labels
}

/// How many buckets each rate limit has.
fn buckets(f: &mut fmt::Formatter<'_>, settings: &[Applying], entries: usize) -> fmt::Result {
    let buckets = if entries == 1 { "bucket" } else { "buckets" };
    writeln!(
        f,
        "  each rate limit that is not shared has {entries} {buckets}, one for each route entry"
    )?;
    let is_distinct = |it: &&Applying| it.field.is_within("rateLimit") && it.value == "Distinct";
    if settings.iter().any(|it| is_distinct(&it)) {
        writeln!(
            f,
            "  one that tells clients apart (Distinct) has these for each value that they send"
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use weir_plan::{ListenerName, NamespacedName, PolicyRef, RouteKind, RuleName};

    use super::*;

    #[test]
    fn an_explanation_is_a_tree() {
        let policy = |name: &str| PolicyRef {
            kind: "BackendTrafficPolicy".into(),
            name: NamespacedName::new("ns", name),
        };
        let setting = |field: &str, value: Value, from: &str| Applying {
            field: FieldPath::new(field),
            value,
            from: Source::Policy(policy(from)),
        };
        let explanation = Explanation {
            rule: RuleName {
                kind: RouteKind::Http,
                route: NamespacedName::new("ns", "web"),
                index: 0,
                rule: None,
            },
            listener: ListenerName {
                gateway: NamespacedName::new("ns", "gw"),
                listener: "http".into(),
            },
            policies: vec![policy("child"), policy("parent")],
            merge_type: Some("JSONMerge"),
            settings: vec![
                setting("circuitBreaker.maxConnections", json!(50), "child"),
                Applying {
                    field: FieldPath::new("circuitBreaker.maxPendingRequests"),
                    value: json!(1024),
                    from: Source::Default,
                },
                setting("timeout.http.requestTimeout", json!("1s"), "parent"),
                setting("timeout.tcp.connectTimeout", json!("2s"), "child"),
            ],
            displaced: vec![Displaced {
                field: FieldPath::new("retry.numRetries"),
                value: json!(1),
                from: policy("parent"),
                reason: Displacement::OwnRetry,
            }],
            lost: vec![Lost {
                policy: policy("other"),
                reason: "older policy won".to_owned(),
            }],
            invalid: None,
            unlogged: false,
            route_entries: 1,
        };
        assert_eq!(
            explanation.to_string(),
            "HTTPRoute/ns/web/rule/0 on listener ns/gw/http\n\
            \x20 JSONMerge of BackendTrafficPolicy/ns/child into BackendTrafficPolicy/ns/parent\n\
            \x20 circuitBreaker\n\
            \x20   maxConnections: 50        from BackendTrafficPolicy/ns/child\n\
            \x20   maxPendingRequests: 1024  default\n\
            \x20 timeout\n\
            \x20   http\n\
            \x20     requestTimeout: 1s      from BackendTrafficPolicy/ns/parent\n\
            \x20   tcp\n\
            \x20     connectTimeout: 2s      from BackendTrafficPolicy/ns/child\n\
            \x20 not in force: replaced by the rule's own retry\n\
            \x20   retry\n\
            \x20     numRetries: 1  from BackendTrafficPolicy/ns/parent\n\
            \x20 not in force: BackendTrafficPolicy/ns/other: older policy won\n"
        );
    }
}
