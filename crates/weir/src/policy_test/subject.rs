//! Finds what a test is about: the rules that a request or a name leads to, with all that is known of them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use http::request::Parts;
use weir_plan::{ListenerName, Route, RouteRule, RuleName};
use weir_proxy::Found;
use weir_resolve::{EffectivePolicy, EffectiveRule, Resolution};

use super::world::World;
use crate::asked_request::{self, Asked, Reach};

/// A rule on a listener that a test looks at.
#[derive(Debug)]
pub(crate) struct Seen<'w> {
    pub(crate) rule: &'w RuleName,
    pub(crate) listener: &'w ListenerName,
    pub(crate) policy: &'w EffectivePolicy,
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

/// Whether a short name means this full one: it leaves out nothing, or steps at the beginning.
pub(crate) fn is_named(full: &str, name: &str) -> bool {
    full.strip_suffix(name)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('/') && !name.is_empty())
}

/// Whether a name means this rule, or the route that it belongs to.
pub(crate) fn is_rule(rule: &RuleName, name: &str) -> bool {
    let route = format!("{}/{}", rule.kind, rule.route);
    is_named(&route, name) || name.contains("/rule") && is_named(&rule.to_string(), name)
}

fn see<'w>(resolution: &'w Resolution, effective: &'w EffectiveRule) -> Seen<'w> {
    let EffectiveRule {
        rule,
        listener,
        policy,
    } = effective;
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
        policy,
        planned,
        taken: None,
    }
}

#[cfg(test)]
mod tests {
    use weir_plan::{NamespacedName, RouteKind};

    use super::*;

    #[test]
    fn names_may_be_short() {
        let full = "BackendTrafficPolicy/default/shop";
        for (name, means) in [
            ("shop", true),
            ("default/shop", true),
            (full, true),
            ("hop", false),
            ("", false),
            ("other/shop", false),
            ("default", false),
        ] {
            assert_eq!(is_named(full, name), means, "{name}");
        }
    }

    #[test]
    fn rules_go_by_their_route_or_their_own_name() {
        let rule = RuleName {
            kind: RouteKind::Http,
            route: NamespacedName::new("default", "shop"),
            index: 0,
            rule: None,
        };
        for (name, means) in [
            ("shop", true),
            ("HTTPRoute/default/shop", true),
            ("shop/rule/0", true),
            ("default/shop/rule/0", true),
            ("shop/rule/1", false),
            ("0", false),
            ("rule/0", false),
        ] {
            assert_eq!(is_rule(&rule, name), means, "{name}");
        }
    }
}
