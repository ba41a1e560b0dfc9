//! What somebody asks to be explained: all routes, one, the rule that a request reaches, a listener, or a policy; and the
//! answer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use anyhow::Result;
use serde::Serialize;
use weir_plan::{ListenerName, NamespacedName};
use weir_proxy::Router;
use weir_resolve::explain::clients::{self, ClientPolicyExplanation, ListenerExplanation};
use weir_resolve::explain::policy::{self, PolicyExplanation};
use weir_resolve::explain::{self, Explanation};

use crate::asked_request::{self, Reach};
use crate::configuration::Configuration;
use crate::naming;

/// What is asked about.
#[derive(Debug)]
pub(crate) enum Question {
    /// Every route.
    All,
    /// A route or one rule of it, by a name that may leave out its beginning; see [`naming::is_rule`].
    Route(String),
    /// A BackendTrafficPolicy, as `name` or `namespace/name`.
    Policy(String),
    /// A ClientTrafficPolicy, likewise.
    ClientPolicy(String),
    /// How a listener deals with its clients; its name may leave out its beginning.
    Listener(String),
    /// The rule that a request reaches: a method and URL, and headers as `name: value`.
    Request {
        request: String,
        headers: Vec<String>,
    },
}

/// What there is to be said.
#[derive(Debug)]
pub(crate) enum Answer {
    Explained(Explained),
    Policies(Policies),
    ClientPolicies(ClientPolicies),
    Listeners(Listeners),
    /// Nothing was found, for this reason.
    Nothing(String),
}

/// The rules that were asked about, on each listener that carries them.
#[derive(Debug, Serialize)]
pub(crate) struct Explained {
    /// What had to be assumed about the request, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
    pub(crate) rules: Vec<Explanation>,
}

/// The policies that were asked about: one, or those of a name in all namespaces.
#[derive(Debug, Serialize)]
pub(crate) struct Policies {
    pub(crate) policies: Vec<PolicyExplanation>,
}

/// The same of ClientTrafficPolicies.
#[derive(Debug, Serialize)]
pub(crate) struct ClientPolicies {
    pub(crate) policies: Vec<ClientPolicyExplanation>,
}

/// The listeners that were asked about.
#[derive(Debug, Serialize)]
pub(crate) struct Listeners {
    pub(crate) listeners: Vec<ListenerExplanation>,
}

impl Question {
    /// The question about what goes by this name: a policy or a listener where the name begins with the kind of one, as
    /// kubectl spells it, else a route.
    pub(crate) fn about(name: &str) -> Self {
        let Some((kind, rest)) = name.split_once('/') else {
            return Self::Route(name.to_owned());
        };
        let of: fn(String) -> Self = match kind.to_lowercase().as_str() {
            "backendtrafficpolicy" | "backendtrafficpolicies" | "btp" => Self::Policy,
            "clienttrafficpolicy" | "clienttrafficpolicies" | "ctp" => Self::ClientPolicy,
            "listener" | "listeners" => Self::Listener,
            _ => return Self::Route(name.to_owned()),
        };
        of(rest.to_owned())
    }
}

/// Answers a question. `router` is asked only about requests; `addresses` are where the plan's ports are served.
///
/// # Errors
/// When the request cannot be understood.
pub(crate) fn answer<'a>(
    question: &Question,
    configuration: &Configuration,
    router: impl FnOnce() -> &'a Router,
    addresses: &BTreeMap<u16, SocketAddr>,
) -> Result<Answer> {
    let resolution = &configuration.resolution;
    let (rules, note) = match question {
        Question::All => (explain::rules(resolution, |_| true), None),
        Question::Route(name) => (
            explain::rules(resolution, |it| naming::is_rule(&it.rule, name)),
            None,
        ),
        Question::Policy(name) => return Ok(about_policies(name, configuration)),
        Question::ClientPolicy(name) => return Ok(about_client_policies(name, configuration)),
        Question::Listener(name) => return Ok(about_listeners(name, configuration)),
        Question::Request { request, headers } => {
            match asked_request::reach(request, headers, &resolution.plan, router(), addresses)? {
                Reach::NoRoute(reason) | Reach::NoListener(reason) => {
                    return Ok(Answer::Nothing(reason));
                }
                Reach::Rule { found, note } => {
                    let entry = explain::entry(resolution, &found.listener.name, &found.route.name);
                    (entry.into_iter().collect(), note)
                }
            }
        }
    };
    Ok(match (rules.is_empty(), question) {
        (false, _) => Answer::Explained(Explained { note, rules }),
        (true, Question::Route(name)) => Answer::Nothing(no_such_route(name, configuration)),
        (
            true,
            Question::All
            | Question::Policy(_)
            | Question::ClientPolicy(_)
            | Question::Listener(_)
            | Question::Request { .. },
        ) => Answer::Nothing("there is no route with a Gateway that carries it".to_owned()),
    })
}

fn about_policies(name: &str, configuration: &Configuration) -> Answer {
    let resolution = &configuration.resolution;
    let is_named = |it: &NamespacedName| *it.name == *name || it.to_string() == name;
    let policies: Vec<PolicyExplanation> = policy::named(resolution, is_named)
        .into_iter()
        .filter_map(|it| policy::policy(resolution, it))
        .collect();
    if policies.is_empty() {
        return Answer::Nothing(format!(
            "there is no BackendTrafficPolicy {name} among the {} that were read",
            configuration.loaded.resources.policies.len()
        ));
    }
    Answer::Policies(Policies { policies })
}

fn about_client_policies(name: &str, configuration: &Configuration) -> Answer {
    let resolution = &configuration.resolution;
    let is_named = |it: &NamespacedName| *it.name == *name || it.to_string() == name;
    let policies: Vec<ClientPolicyExplanation> = clients::named(resolution, is_named)
        .into_iter()
        .filter_map(|it| clients::policy(resolution, it))
        .collect();
    if policies.is_empty() {
        return Answer::Nothing(format!(
            "there is no ClientTrafficPolicy {name} among the {} that were read",
            configuration.loaded.resources.client_policies.len()
        ));
    }
    Answer::ClientPolicies(ClientPolicies { policies })
}

fn about_listeners(name: &str, configuration: &Configuration) -> Answer {
    let is_named = |it: &ListenerName| naming::is_named(&it.to_string(), name);
    let listeners = clients::listeners(&configuration.resolution, is_named);
    if listeners.is_empty() {
        let all = clients::listeners(&configuration.resolution, |_| true);
        let known = all.iter().map(|it| it.listener.to_string());
        let known: Vec<String> = known.take(10).collect();
        return Answer::Nothing(match known.as_slice() {
            [] => format!("no listener {name} is served, and no other either"),
            [..] => format!(
                "no listener {name} is served; there are {}",
                known.join(", ")
            ),
        });
    }
    Answer::Listeners(Listeners { listeners })
}

fn no_such_route(name: &str, configuration: &Configuration) -> String {
    let effective = &configuration.resolution.effective;
    // The route may be there, without such a rule.
    if let Some((route, rule)) = name.split_once("/rule") {
        let rules: BTreeSet<String> = effective
            .iter()
            .filter(|it| naming::is_rule(&it.rule, route))
            .map(|it| it.rule.to_string())
            .collect();
        if !rules.is_empty() {
            let (rule, rules) = (rule.trim_start_matches(['/', ':']), rules.into_iter());
            return format!(
                "{route} has no rule {rule}; there are {}",
                rules.take(10).collect::<Vec<_>>().join(", ")
            );
        }
    }
    let routes: BTreeSet<String> = effective
        .iter()
        .map(|it| it.rule.route.to_string())
        .collect();
    let known = match routes.len() {
        0 => "none has one".to_owned(),
        1..=10 => format!(
            "those that have one are {}",
            routes.into_iter().collect::<Vec<_>>().join(", ")
        ),
        count => format!("{count} routes have one"),
    };
    format!("there is no route {name} with a Gateway that carries it; {known}")
}
