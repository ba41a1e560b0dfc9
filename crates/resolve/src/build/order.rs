//! Which of two routes under one host name comes first.
//!
//! The Gateway API's order, and where it leaves a gap (regular expressions) Envoy Gateway's; see
//! `docs/decisions/0010-order-of-routes.md`.

use std::cmp::{Ordering, Reverse};
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use weir_plan::{L4Route, PathMatch, Route, RouteMatch};

/// A route under one host name, with what its place depends on.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// When its HTTPRoute was created.
    pub(crate) created: Option<Timestamp>,
    /// The place of its match in the rule.
    pub(crate) match_index: usize,
    /// The route.
    pub(crate) route: Arc<Route>,
}

/// A route for a protocol below HTTP, with what its place depends on.
#[derive(Clone, Debug)]
pub(crate) struct L4Entry {
    /// When its route was created.
    pub(crate) created: Option<Timestamp>,
    /// The route.
    pub(crate) route: Arc<L4Route>,
}

impl PartialEq for L4Entry {
    /// Routes never change in place, so the same pointer is the same route.
    fn eq(&self, other: &Self) -> bool {
        let Self { created, route } = self;
        *created == other.created && Arc::ptr_eq(route, &other.route)
    }
}

/// Sorts the oldest first, then by name.
pub(crate) fn l4_precedence(a: &L4Entry, b: &L4Entry) -> Ordering {
    let (one, two) = (&a.route.name, &b.route.name);
    a.created
        .cmp(&b.created)
        .then_with(|| one.route.cmp(&two.route))
        .then_with(|| one.kind.cmp(&two.kind))
        .then_with(|| one.index.cmp(&two.index))
}

impl PartialEq for Entry {
    /// Routes never change in place, so the same pointer is the same route.
    fn eq(&self, other: &Self) -> bool {
        let Self {
            created,
            match_index,
            route,
        } = self;
        *created == other.created
            && *match_index == other.match_index
            && Arc::ptr_eq(route, &other.route)
    }
}

/// Sorts what is tried first before the rest. No two routes under one host name are equal.
pub(crate) fn precedence(a: &Entry, b: &Entry) -> Ordering {
    let (one, two) = (&a.route.rule.name, &b.route.rule.name);
    specificity(&a.route.matches)
        .cmp(&specificity(&b.route.matches))
        .then_with(|| a.created.cmp(&b.created))
        .then_with(|| one.route.cmp(&two.route))
        .then_with(|| one.kind.cmp(&two.kind))
        .then_with(|| one.index.cmp(&two.index))
        .then_with(|| a.match_index.cmp(&b.match_index))
}

/// Exact paths first, then expressions and then prefixes, each from the longest; then methods, many headers, many
/// parameters, many cookies.
fn specificity(it: &RouteMatch) -> impl Ord + use<> {
    let RouteMatch {
        path,
        method,
        headers,
        query,
        cookies,
    } = it;
    let path = match path {
        PathMatch::Exact(path) => (0, Reverse(path.len())),
        PathMatch::Regex(pattern) => (1, Reverse(pattern.len())),
        PathMatch::Prefix(prefix) => (2, Reverse(prefix.len())),
    };
    (
        path,
        method.is_none(),
        Reverse(headers.len()),
        Reverse(query.len()),
        Reverse(cookies.len()),
    )
}
