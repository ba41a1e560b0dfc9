//! The text form of an explanation: a tree of settings, each with who set it.

use std::fmt;

use super::{Applying, Explanation, Source, value_text};
use crate::effective::Lost;

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rule,
            listener,
            policies,
            merge_type,
            settings,
            lost,
            invalid,
            route_entries,
        } = self;
        writeln!(f, "{rule} on listener {listener}")?;
        if let (Some(merge_type), [child, parent]) = (merge_type, policies.as_slice()) {
            writeln!(f, "  {merge_type} of {child} into {parent}")?;
        }
        if let Some(invalid) = invalid {
            writeln!(f, "  answers 500: {}", invalid.replace('\n', "\n    "))?;
        }
        let by_policy = settings
            .iter()
            .any(|it| matches!(it.from, Source::Policy(_)));
        if !by_policy {
            writeln!(f, "  no policy sets anything: defaults apply")?;
        }
        // Where policies set nothing, that says enough of the defaults.
        let settings: Vec<&Applying> = settings
            .iter()
            .filter(|it| by_policy || it.from != Source::Default)
            .collect();
        let width = settings
            .iter()
            .map(|it| indent(it) + leaf_text(it).chars().count());
        let width = width.max().unwrap_or_default();
        let mut groups: Vec<&str> = Vec::new();
        for setting in &settings {
            let steps: Vec<&str> = setting.field.as_str().split('.').collect();
            let (_, above) = steps.split_last().unwrap_or((&"", &[]));
            let common = above
                .iter()
                .zip(&groups)
                .take_while(|(one, other)| one == other)
                .count();
            for (depth, step) in above.iter().enumerate().skip(common) {
                writeln!(f, "{:indent$}{step}", "", indent = 2 * depth + 2)?;
            }
            groups = above.to_vec();
            let indent = indent(setting);
            let leaf = leaf_text(setting);
            write!(f, "{:indent$}{leaf:width$}  ", "", width = width - indent)?;
            match &setting.from {
                source @ (Source::Policy(_) | Source::Rule(_)) => writeln!(f, "from {source}")?,
                Source::Default => writeln!(f, "default")?,
            }
        }
        if settings
            .iter()
            .any(|it| it.field.as_str().starts_with("rateLimit."))
        {
            let buckets = if *route_entries == 1 {
                "bucket"
            } else {
                "buckets"
            };
            writeln!(
                f,
                "  each rate limit that is not shared has {route_entries} {buckets}, one for each route entry"
            )?;
        }
        for Lost { policy, reason } in lost {
            writeln!(f, "  not in force: {policy}: {reason}")?;
        }
        Ok(())
    }
}

/// How far a setting is indented in the tree.
fn indent(setting: &Applying) -> usize {
    2 * setting.field.as_str().matches('.').count() + 2
}

/// The last step of a setting's path, with its value.
fn leaf_text(
    Applying {
        field,
        value,
        from: _,
    }: &Applying,
) -> String {
    let name = field.as_str().rsplit('.').next().unwrap_or_default();
    format!("{name}: {}", value_text(value))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use weir_plan::{ListenerName, NamespacedName, PolicyRef, RouteKind, RuleName};

    use super::*;
    use crate::diagnostics::FieldPath;

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
            lost: vec![Lost {
                policy: policy("other"),
                reason: "older policy won".to_owned(),
            }],
            invalid: None,
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
            \x20 not in force: BackendTrafficPolicy/ns/other: older policy won\n"
        );
    }
}
