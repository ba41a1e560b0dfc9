//! Finds what a test is about: the rules that a request or a name leads to, with all that is known of them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use http::request::Parts;
use weir_plan::{ListenerName, Route, RouteRule, RuleName};
use weir_proxy::Found;
use weir_resolve::explain::{InForce, in_force};
use weir_resolve::{EffectiveRule, Resolution};

use super::world::World;
use crate::asked_request::{self, Asked, Reach};
use crate::naming::{is_named, is_rule};

/// A rule on a listener that a test looks at.
#[derive(Debug)]
pub(crate) struct Seen<'w> {
    pub(crate) rule: &'w RuleName,
    pub(crate) listener: &'w ListenerName,
    /// What is in force there.
    pub(crate) in_force: InForce,
    /// What the plan has for it; none where it has nothing, as for routes that are not served.
    pub(crate) planned: Option<&'w RouteRule>,
    pub(crate) taken: Option<Taken<'w>>,
}

/// How a request came there.
#[derive(Debug)]
pub(crate) struct Taken<'w> {
    pub(crate) head: &'w Parts,
    pub(crate) source: IpAddr,
    pub(crate) found: Found,
    /// What had to be assumed, in a sentence.
    pub(crate) note: Option<String>,
}

/// Where a request ends.
pub(crate) enum Ends<'w> {
    At(Box<Seen<'w>>),
    /// There is no route for it, as this says.
    NoRoute(String),
    /// It comes to no listener, or it is not clear to which.
    NoListener(String),
}

/// Follows a request to its rule.
pub(crate) fn of_request<'w>(world: &'w World, asked: &'w Asked, source: IpAddr) -> Ends<'w> {
    let resolution = &world.configuration.resolution;
    let reach = asked_request::reach_of(asked, &resolution.plan, world.router(), &BTreeMap::new());
    let (found, note) = match reach {
        Reach::Rule { found, note } => (found, note),
        Reach::NoRoute(reason) => return Ends::NoRoute(reason),
        Reach::NoListener(reason) => return Ends::NoListener(reason),
    };
    let effective = resolution
        .effective
        .iter()
        .find(|it| it.rule == found.route.rule.name && it.listener == found.listener.name);
    let Some(effective) = effective else {
        return Ends::NoRoute(format!("{} has no policy of its own", found.route.name));
    };
    let mut seen = see(resolution, effective);
    seen.taken = Some(Taken {
        head: &asked.head,
        source,
        found,
        note,
    });
    Ends::At(Box::new(seen))
}

/// Every rule of the routes and listeners that bear a name, in order.
pub(crate) fn of_names<'w>(
    world: &'w World,
    route: Option<&str>,
    listener: Option<&str>,
) -> Vec<Seen<'w>> {
    let resolution = &world.configuration.resolution;
    let mut rules: Vec<&EffectiveRule> = resolution
        .effective
        .iter()
        .map(|it| &**it)
        .filter(|it| route.is_none_or(|name| is_rule(&it.rule, name)))
        .filter(|it| listener.is_none_or(|name| is_named(&it.listener.to_string(), name)))
        .collect();
    rules.sort_by_key(|it| (&it.rule, &it.listener));
    rules.into_iter().map(|it| see(resolution, it)).collect()
}

fn see<'w>(resolution: &'w Resolution, effective: &'w EffectiveRule) -> Seen<'w> {
    let (rule, listener) = (&effective.rule, &effective.listener);
    let planned = resolution
        .plan
        .listeners
        .iter()
        .filter(|it| it.name == *listener)
        .flat_map(|it| &it.hosts)
        .flat_map(|host| &host.routes)
        .map(|route: &std::sync::Arc<Route>| &*route.rule)
        .find(|it| it.name == *rule);
    Seen {
        rule,
        listener,
        in_force: in_force::at(effective),
        planned,
        taken: None,
    }
}
