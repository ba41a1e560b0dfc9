//! One rule of an HTTPRoute or GRPCRoute, read: what it matches, what its filters change, and where its backendRefs lead.

use std::sync::Arc;

use weir_plan::{NamespacedName, RouteMatch};

use super::backend_filters::{self, BackendFilters};
use super::backends::{self, BackendRef, Referring, Target, Unresolved};
use super::filters::{self, Filters, Refusal};
use super::matches;
use super::session::{self, RuleSession};
use crate::Context;
use crate::resources::Resources;
use gateway_api::experimental::httproutes as api;

/// A rule as it is to be served.
#[derive(Debug)]
pub(crate) struct Rule {
    /// What requests must look like, any of them. Empty where they cannot be read: the rule is left out.
    pub(crate) matches: Vec<RouteMatch>,
    /// What its filters say. Nothing where the rule is not valid.
    pub(crate) filters: Filters,
    /// What it says of sessions. Nothing where it is not valid.
    pub(crate) session: Option<RuleSession>,
    /// Its backendRefs, in their order.
    pub(crate) backends: Vec<RuleBackend>,
    /// Why it is left out (no matches) or answers 500.
    pub(crate) invalid: Option<Invalid>,
    /// The filter that leads nowhere, which is then why.
    pub(crate) unresolved: Option<Unresolved>,
}

/// A backendRef as it is to be served.
#[derive(Debug)]
pub(crate) struct RuleBackend {
    /// Its weight; 0 takes nothing.
    pub(crate) weight: u32,
    /// Where it leads.
    pub(crate) target: Result<Target, Unresolved>,
    /// Why its filters cannot be served; its share of the requests answers 500.
    pub(crate) invalid: Option<Invalid>,
    /// The filter that leads nowhere, which is then why.
    pub(crate) unresolved: Option<Unresolved>,
    /// What its filters say. Nothing where they cannot be served.
    pub(crate) filters: BackendFilters,
}

/// Why a rule cannot be served as written: the condition `Accepted=False`, or `PartiallyInvalid` where others can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Invalid {
    /// A word for machines.
    pub(crate) reason: &'static str,
    /// A sentence for people.
    pub(crate) message: String,
}

impl Invalid {
    /// A value that cannot be used.
    pub(crate) fn value(message: String) -> Self {
        Self {
            reason: "UnsupportedValue",
            message,
        }
    }

    /// A filter of a rule that is not served, and that may not be skipped.
    pub(crate) fn filter(name: &str) -> Self {
        Self::value(format!(
            "the filter {name} is not supported yet, and may not be skipped"
        ))
    }

    /// The same for a filter of a backendRef.
    pub(crate) fn backend_filter(name: &str) -> Self {
        Self::value(format!(
            "specific filter is not supported within BackendRef, only RequestHeaderModifier, ResponseHeaderModifier and gateway.envoyproxy.io/HTTPRouteFilter are supported: {name}; its share of requests answers 500"
        ))
    }
}

impl Rule {
    /// A rule that cannot be read.
    pub(crate) fn left_out(invalid: Invalid) -> Self {
        Self {
            matches: Vec::new(),
            filters: Filters::default(),
            session: None,
            backends: Vec::new(),
            invalid: Some(invalid),
            unresolved: None,
        }
    }
}

impl RuleBackend {
    /// Where its requests go, or why they are answered with a 500.
    pub(crate) fn usable(&self) -> Result<&Target, &str> {
        match (&self.invalid, &self.target) {
            (Some(invalid), _) => Err(&invalid.message),
            (None, Err(unresolved)) => Err(&unresolved.message),
            (None, Ok(target)) => Ok(target),
        }
    }
}

/// Reads a rule of a route.
pub(crate) fn read(
    rule: &api::HttpRouteRules,
    from: Referring<'_>,
    resources: &Resources,
    context: &Context,
) -> Rule {
    let backends = rule.backend_refs.iter().flatten();
    let backends = backends
        .map(|it| backend(it, from, resources, context))
        .collect();
    let (matches, invalid) = match matches::read(rule.matches.as_deref().unwrap_or_default()) {
        Ok(matches) => (matches, None),
        Err(invalid) => (Vec::new(), Some(invalid)),
    };
    let filters = rule.filters.as_deref().unwrap_or_default();
    let filters = filters::of_rule(filters, &matches, from, resources, context);
    let (filters, refused, unresolved) = served(filters);
    let matches = matches::with_cookies(matches, &filters.cookies);
    let session = rule.session_persistence.as_ref().map(session::read);
    let (session, bad_session) = match session.transpose() {
        Ok(session) => (session, None),
        Err(invalid) => (None, Some(invalid)),
    };
    Rule {
        matches,
        filters,
        session,
        backends,
        invalid: invalid.or(refused).or(bad_session),
        unresolved,
    }
}

fn backend(
    it: &api::HttpRouteRulesBackendRefs,
    from: Referring<'_>,
    resources: &Resources,
    context: &Context,
) -> RuleBackend {
    let api::HttpRouteRulesBackendRefs {
        filters,
        group: _,
        kind: _,
        name: _,
        namespace: _,
        port: _,
        weight,
    } = it;
    let target = backends::follow(&backend_ref(it, from.namespace), from, resources, context);
    let filters = filters.as_deref().unwrap_or_default();
    let (filters, invalid, unresolved) = served(backend_filters::read(filters, from, resources));
    let weight = u32::try_from(weight.unwrap_or(1)).unwrap_or(0);
    RuleBackend {
        weight,
        target,
        invalid,
        unresolved,
        filters,
    }
}

/// What filters say, or why they cannot be served, and which of them leads nowhere if that is why.
fn served<T: Default>(read: Result<T, Refusal>) -> (T, Option<Invalid>, Option<Unresolved>) {
    match read {
        Ok(filters) => (filters, None, None),
        Err(Refusal::Invalid(refused)) => (T::default(), Some(refused), None),
        Err(Refusal::Unresolved(unresolved)) => {
            let refused = Invalid::value(unresolved.message.clone());
            (T::default(), Some(refused), Some(unresolved))
        }
    }
}

/// What a backendRef refers to, with the API's defaults.
pub(crate) fn backend_ref<'a>(
    it: &'a api::HttpRouteRulesBackendRefs,
    namespace: &Arc<str>,
) -> BackendRef<'a> {
    let namespace = it
        .namespace
        .as_deref()
        .map_or_else(|| Arc::clone(namespace), Into::into);
    BackendRef {
        group: it.group.as_deref().unwrap_or_default(),
        kind: it.kind.as_deref().unwrap_or("Service"),
        name: NamespacedName::new(namespace, it.name.as_str()),
        port: it.port,
    }
}
