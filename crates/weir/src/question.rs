//! Which route rules somebody asks about: all, those of a route, or the one that a request reaches.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use weir_proxy::Router;
use weir_resolve::EffectiveRule;

use crate::asked_request::{self, Reach};
use crate::configuration::Configuration;

/// What is asked about.
#[derive(Debug)]
pub(crate) enum Question {
    /// Every rule.
    All,
    /// The rules of a route: `name`, `namespace/name` or `kind/namespace/name`, or the full name of one rule.
    Route(String),
    /// The rule that a request reaches: a method and URL, and headers as `name: value`.
    Request {
        request: String,
        headers: Vec<String>,
    },
}

/// The rules that were asked about.
#[derive(Debug)]
pub(crate) enum Answer {
    Rules {
        rules: Vec<Arc<EffectiveRule>>,
        /// What had to be assumed about the request, in a sentence.
        note: Option<String>,
    },
    /// There is none, for this reason.
    Nothing(String),
}

/// Finds the rules. `router` is asked only about requests; `addresses` are where the plan's ports are served.
///
/// # Errors
/// When the request cannot be understood.
pub(crate) fn answer<'a>(
    question: &Question,
    configuration: &Configuration,
    router: impl FnOnce() -> &'a Router,
    addresses: &BTreeMap<u16, SocketAddr>,
) -> Result<Answer> {
    let all = &configuration.resolution.effective;
    Ok(match question {
        Question::All if all.is_empty() => {
            Answer::Nothing("there is no route with a Gateway".to_owned())
        }
        Question::All => Answer::Rules {
            rules: all.clone(),
            note: None,
        },
        Question::Route(name) => {
            let rules: Vec<_> = all
                .iter()
                .filter(|it| is_named(it, name))
                .cloned()
                .collect();
            if rules.is_empty() {
                Answer::Nothing(no_such_route(name, configuration))
            } else {
                Answer::Rules { rules, note: None }
            }
        }
        Question::Request { request, headers } => {
            match asked_request::reach(
                request,
                headers,
                &configuration.resolution.plan,
                router(),
                addresses,
            )? {
                Reach::Nothing(reason) => Answer::Nothing(reason),
                Reach::Rule { found, note } => {
                    let (rule, listener) = (&found.route.rule.name, &found.listener.name);
                    let rules = all
                        .iter()
                        .filter(|it| it.rule == *rule && it.listener == *listener)
                        .cloned()
                        .collect();
                    Answer::Rules { rules, note }
                }
            }
        }
    })
}

fn is_named(effective: &EffectiveRule, name: &str) -> bool {
    let rule = &effective.rule;
    *rule.route.name == *name
        || rule.route.to_string() == name
        || format!("{}/{}", rule.kind, rule.route) == name
        || rule.to_string() == name
}

fn no_such_route(name: &str, configuration: &Configuration) -> String {
    let mut routes: Vec<_> = configuration
        .resolution
        .effective
        .iter()
        .map(|it| it.rule.route.to_string())
        .collect();
    routes.sort();
    routes.dedup();
    let known = match routes.len() {
        0 => "none has one".to_owned(),
        1..=10 => format!("those that have one are {}", routes.join(", ")),
        count => format!("{count} routes have one"),
    };
    format!("there is no route {name} with a Gateway; {known}")
}
