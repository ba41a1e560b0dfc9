//! The part of a route's match that no map answers: method, headers, query, and the path where it is an expression.

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, Method};
use regex::bytes::Regex;
use weir_plan::{CookieMatch, HeaderMatch, PathMatch, QueryMatch, Route, RouteMatch, ValueMatch};

use super::{Wanted, is_tunnel};
use crate::cookie::cookie;
use crate::cors;
use crate::pattern::Patterns;

/// What a request must fulfil besides having the right path, compiled.
#[derive(Debug)]
pub(super) enum Matcher {
    /// An expression could not be compiled: no request does.
    Never,
    /// All of these.
    All {
        path: Option<Arc<Regex>>,
        method: Option<Method>,
        /// Whether a preflight request about the method fits as well: it has another.
        preflight: bool,
        headers: Box<[(HeaderName, Value)]>,
        query: Box<[(Arc<str>, Value)]>,
        cookies: Box<[(Arc<str>, Value)]>,
    },
}

#[derive(Debug)]
pub(super) enum Value {
    Exact(Arc<str>),
    Regex(Arc<Regex>),
}

impl Matcher {
    pub(super) fn new(route: &Route, patterns: &mut Patterns) -> Self {
        let preflight = route.rule.cors.is_some();
        let mut matcher = Self::compile(&route.matches, preflight, patterns).unwrap_or(Self::Never);
        if let Self::All { path, .. } = &mut matcher
            && is_tunnel(route)
        {
            // What it takes names no path.
            *path = None;
        }
        matcher
    }

    fn compile(matches: &RouteMatch, preflight: bool, patterns: &mut Patterns) -> Option<Self> {
        let RouteMatch {
            path,
            method,
            headers,
            query,
            cookies,
        } = matches;
        let path = match path {
            PathMatch::Regex(text) => Some(patterns.whole(text)?),
            PathMatch::Exact(_) | PathMatch::Prefix(_) => None,
        };
        let headers = headers
            .iter()
            .map(|HeaderMatch { name, value }| Some((name.clone(), Value::new(value, patterns)?)))
            .collect::<Option<_>>()?;
        let query = query
            .iter()
            .map(|QueryMatch { name, value }| {
                Some((Arc::clone(name), Value::new(value, patterns)?))
            })
            .collect::<Option<_>>()?;
        let cookies = cookies
            .iter()
            .map(|CookieMatch { name, value }| {
                Some((Arc::clone(name), Value::new(value, patterns)?))
            })
            .collect::<Option<_>>()?;
        Some(Self::All {
            path,
            method: method.clone(),
            preflight,
            headers,
            query,
            cookies,
        })
    }

    /// Whether a request whose path the index found fulfils the rest.
    pub(super) fn fits(&self, wanted: &Wanted<'_>) -> bool {
        match self {
            Self::Never => false,
            Self::All {
                path,
                method,
                preflight,
                headers,
                query,
                cookies,
            } => {
                method.as_ref().is_none_or(|it| {
                    it == wanted.method
                        || *preflight
                            && cors::preflight(wanted.method, wanted.headers)
                                .is_some_and(|asked| asked == it.as_str())
                }) && headers.iter().all(|(name, value)| {
                    header(wanted.headers, name).is_some_and(|it| value.fits(&it))
                }) && query.iter().all(|(name, value)| {
                    parameter(wanted.query, name).is_some_and(|it| value.fits(it.as_bytes()))
                }) && cookies.iter().all(|(name, value)| {
                    cookie(wanted.headers, name).is_some_and(|it| value.fits(it))
                }) && path
                    .as_ref()
                    .is_none_or(|it| it.is_match(wanted.path.as_bytes()))
            }
        }
    }
}

impl Value {
    fn new(value: &ValueMatch, patterns: &mut Patterns) -> Option<Self> {
        Some(match value {
            ValueMatch::Exact(text) => Self::Exact(Arc::clone(text)),
            ValueMatch::Regex(text) => Self::Regex(patterns.whole(text)?),
        })
    }

    fn fits(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(text) => text.as_bytes() == value,
            Self::Regex(regex) => regex.is_match(value),
        }
    }
}

/// A header's value; several are joined by commas.
fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Cow<'a, [u8]>> {
    let mut values = headers.get_all(name).iter().map(|it| it.as_bytes());
    let first = values.next()?;
    let Some(second) = values.next() else {
        return Some(Cow::Borrowed(first));
    };
    let mut joined = [first, second].join(&b',');
    for value in values {
        joined.push(b',');
        joined.extend_from_slice(value);
    }
    Some(Cow::Owned(joined))
}

/// The first value of a query parameter, as it was sent: like Envoy, a route compares it without decoding it.
fn parameter<'a>(query: Option<&'a str>, name: &str) -> Option<&'a str> {
    query?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value)
    })
}
