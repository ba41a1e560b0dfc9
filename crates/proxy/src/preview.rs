//! What would become of a request, without sending it: which limits count it, where a redirect leads. Pure.

use std::borrow::Cow;
use std::net::IpAddr;

use http::header::HOST;
use http::request::Parts;
use weir_plan::features::rate_limit::{
    GlobalRateLimit, LocalRateLimit, RateLimit, RateLimitRule, RateLimitRuleName,
};
use weir_plan::{PathNormalisation, Redirect};

use crate::features::rate_limit::{Limited, Selector};
use crate::path::{Normalised, normalise};
use crate::pattern::Patterns;
use crate::rewrite::{self, Requested, with_query};
use crate::router::{Found, host_name};

/// The rules of limits that count a request from `client` as long as none of them refuses it: the local ones, then the
/// global ones, each as written.
pub fn limits(limits: &RateLimit, request: &Parts, client: IpAddr) -> Vec<RateLimitRuleName> {
    let RateLimit { local, global } = limits;
    let path = path(request, PathNormalisation::DEFAULT);
    let target = with_query(&path, request.uri.query());
    let limited = Limited {
        method: &request.method,
        target: &target,
        query: request.uri.query(),
        headers: &request.headers,
        client,
    };
    let mut counting = Vec::new();
    if let Some(LocalRateLimit {
        default,
        headers: _,
        rules,
    }) = local
    {
        counting.extend(selected(rules, &limited));
        if counting.is_empty() {
            counting.extend(default.iter().map(|it| it.name.clone()));
        }
    }
    if let Some(GlobalRateLimit { rules }) = global {
        counting.extend(selected(rules, &limited));
    }
    counting
}

/// Where a redirect of the route that a request takes leads.
pub fn location(redirect: &Redirect, found: &Found, request: &Parts) -> Option<String> {
    let Found { listener, route } = found;
    let authority = match request.uri.authority() {
        Some(authority) => authority.as_str(),
        None => request
            .headers
            .get(HOST)
            .and_then(|host| host.to_str().ok())
            .unwrap_or_default(),
    };
    let rules = listener.client.as_ref();
    let rules = rules.map_or(PathNormalisation::DEFAULT, |it| it.path);
    let requested = Requested {
        scheme: listener.tls.as_ref().map_or("http", |_| "https"),
        host: &host_name(authority),
        port: listener.port,
        path: &path(request, rules),
        query: request.uri.query(),
    };
    let location = rewrite::location(redirect, &route.matches.path, &requested)?;
    Some(String::from_utf8_lossy(location.as_bytes()).into_owned())
}

fn selected(rules: &[RateLimitRule], request: &Limited<'_>) -> Vec<RateLimitRuleName> {
    let counts = |rule: &&RateLimitRule| {
        Selector::new(&rule.matches, &mut Patterns::default())
            .is_some_and(|it| it.select(request).is_some())
    };
    rules
        .iter()
        .filter(counts)
        .map(|rule| rule.name.clone())
        .collect()
}

/// The path in normal form, as the gateway brings it before anything else.
fn path(request: &Parts, rules: PathNormalisation) -> Cow<'_, str> {
    match normalise(request.uri.path(), rules) {
        Normalised::Same | Normalised::Refused => Cow::Borrowed(request.uri.path()),
        Normalised::Changed(path) | Normalised::Redirect(path) => Cow::Owned(path),
    }
}
