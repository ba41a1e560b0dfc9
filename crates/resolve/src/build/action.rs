//! What a rule does with requests under an effective policy, and the clusters that it needs for that.

use std::sync::Arc;

use weir_plan::{
    Certificate, Cluster, ClusterName, DirectResponse, EndpointsName, Forward, Locality,
    NamespacedName, RouteAction, RuleName, SplitTarget, UpstreamProtocol, UpstreamTls,
    WeightedTarget,
};

use super::backend_filters::BackendFilters;
use super::backends::Target;
use super::mirrors;
use super::rules::{Rule, RuleBackend};
use crate::clients::OfRoutes;
use crate::effective::Applied;
use crate::features::routing_type::{OfGateway, RoutingType};

/// Where a rule is served, for the names of its clusters.
pub(crate) struct Scope<'a> {
    /// The rule.
    pub(crate) rule: &'a RuleName,
    /// The Gateway.
    pub(crate) gateway: &'a NamespacedName,
    /// The listener, where its clusters are its own.
    pub(crate) listener: Option<&'a str>,
    /// The first host name of the route; none: it takes any.
    pub(crate) hostname: Option<&'a Arc<str>>,
    /// Where requests to Services go, unless a policy says.
    pub(crate) routing_type: Option<&'a OfGateway>,
    /// What is shown to backends that ask for a certificate, unless they have one of their own to be shown.
    pub(crate) client_certificate: Option<&'a Arc<Certificate>>,
}

impl Scope<'_> {
    /// TLS to a backend, with what its Gateway shows where the backend says nothing.
    pub(crate) fn identified(&self, tls: Arc<UpstreamTls>) -> Arc<UpstreamTls> {
        match (self.client_certificate, &tls.certificate) {
            (Some(certificate), None) => Arc::new(UpstreamTls {
                certificate: Some(Arc::clone(certificate)),
                ..(*tls).clone()
            }),
            (Some(_) | None, _) => tls,
        }
    }
}

/// What a rule does under a policy, and the clusters that it needs for that.
///
/// This is the place that fails closed: under an invalid policy, its own or its listener's, a rule answers 500, whatever its filters say.
pub(crate) fn of_rule(
    rule: &Rule,
    applied: &Applied,
    listener: &OfRoutes,
    scope: &Scope<'_>,
) -> (RouteAction, Vec<Cluster>) {
    if let Some(why) = listener
        .refused
        .as_deref()
        .or(applied.invalid.as_deref())
        .or(rule.invalid.as_ref().map(|it| &*it.message))
    {
        return (respond(why), Vec::new());
    }
    if let Some(respond) = &rule.filters.respond {
        return (RouteAction::Respond(respond.clone()), Vec::new());
    }
    if let Some(redirect) = &rule.filters.redirect {
        return (RouteAction::Redirect(redirect.clone()), Vec::new());
    }
    let weighted: Vec<_> = rule
        .backends
        .iter()
        .enumerate()
        .filter(|(_, it)| it.weight > 0)
        .collect();
    let usable: Vec<_> = weighted
        .iter()
        .filter_map(|(_, it)| it.usable().ok())
        .collect();
    let Some(first) = usable.first() else {
        let why = weighted.first().and_then(|(_, it)| it.usable().err());
        return (
            respond(why.unwrap_or("the rule has no backends")),
            Vec::new(),
        );
    };
    let mixed = usable.iter().any(|it| {
        it.addresses != first.addresses || it.protocol != first.protocol || it.tls != first.tls
    });
    let filtered = weighted.iter().any(|(_, it)| !it.filters.is_empty());
    // A backend's endpoints are in several zones, so its share must not be one of a locality among theirs.
    let zoned = applied.cluster.load_balancer.zone_aware.is_some();
    let apart = mixed || filtered || zoned || usable.len() < weighted.len();
    let (targets, mut clusters) = if weighted.len() > 1 && apart {
        one_cluster_each(&weighted, applied, scope)
    } else {
        one_cluster(&weighted, applied, scope)
    };
    let session = rule.session.as_ref().map(|it| it.of_rule(scope.rule));
    let (mirrors, mut mirrored) = mirrors::of_rule(rule, scope);
    clusters.append(&mut mirrored);
    (
        RouteAction::Forward(Forward {
            rewrite: rule.filters.rewrite.clone().map(Box::new),
            credential: rule.filters.credential.clone().map(Box::new),
            session: session.map(Box::new),
            mirrors,
            targets,
        }),
        clusters,
    )
}

/// All backends as localities of one cluster, which moves their shares with their health.
fn one_cluster(
    backends: &[(usize, &RuleBackend)],
    applied: &Applied,
    scope: &Scope<'_>,
) -> (Vec<WeightedTarget>, Vec<Cluster>) {
    let name = ClusterName::of_rule(scope.rule, scope.gateway, scope.listener, None);
    let usable = backends
        .iter()
        .filter_map(|(_, it)| Some((*it, it.usable().ok()?)));
    let localities = usable
        .clone()
        .map(|(it, target)| locality(it, target, applied, scope));
    let localities = localities.collect();
    // They are not mixed.
    let spoken = usable
        .map(|(_, target)| (target.protocol, target.tls.clone()))
        .next()
        .unwrap_or((UpstreamProtocol::Http1, None));
    // A single backend may have filters; several with filters have clusters of their own.
    let none = BackendFilters::default();
    let filters = backends.first().map_or(&none, |(_, it)| &it.filters);
    let target = target(1, SplitTarget::Cluster(name.clone()), filters);
    (
        vec![target],
        vec![cluster(name, localities, spoken, applied, scope)],
    )
}

/// A cluster for each backend, with fixed shares. Those that cannot be used answer 500 for theirs.
fn one_cluster_each(
    backends: &[(usize, &RuleBackend)],
    applied: &Applied,
    scope: &Scope<'_>,
) -> (Vec<WeightedTarget>, Vec<Cluster>) {
    let mut clusters = Vec::new();
    let targets = backends.iter().map(|(index, backend)| {
        let to = match backend.usable() {
            Ok(target) => {
                let name =
                    ClusterName::of_rule(scope.rule, scope.gateway, scope.listener, Some(*index));
                clusters.push(cluster(
                    name.clone(),
                    vec![locality(backend, target, applied, scope)],
                    (target.protocol, target.tls.clone()),
                    applied,
                    scope,
                ));
                SplitTarget::Cluster(name)
            }
            Err(why) => SplitTarget::Invalid(DirectResponse {
                status: 500,
                reason: why.into(),
                content: None,
            }),
        };
        target(backend.weight, to, &backend.filters)
    });
    (targets.collect(), clusters)
}

fn target(weight: u32, target: SplitTarget, filters: &BackendFilters) -> WeightedTarget {
    let BackendFilters {
        request_headers,
        response_headers,
        credential,
    } = filters;
    WeightedTarget {
        weight,
        target,
        credential: credential.clone().map(Box::new),
        request_headers: request_headers.clone(),
        response_headers: response_headers.clone(),
    }
}

/// The cluster of all backends of a rule.
pub(crate) fn cluster_name(scope: &Scope<'_>) -> ClusterName {
    ClusterName::of_rule(scope.rule, scope.gateway, scope.listener, None)
}

pub(crate) fn locality(
    backend: &RuleBackend,
    target: &Target,
    applied: &Applied,
    scope: &Scope<'_>,
) -> Locality {
    let of_gateway = || scope.routing_type.map(|it| it.routing_type);
    let routing_type = applied.routing_type.or_else(of_gateway).unwrap_or_default();
    Locality {
        weight: backend.weight,
        priority: target.priority,
        endpoints: endpoints(target, routing_type),
    }
}

/// The endpoints of a backend, in the form that is asked for.
pub(crate) fn endpoints(target: &Target, routing_type: RoutingType) -> EndpointsName {
    let Target {
        endpoints,
        cluster_ip,
        priority: _,
        addresses: _,
        protocol: _,
        tls: _,
    } = target;
    let endpoints = match routing_type {
        RoutingType::Service => cluster_ip.as_ref().unwrap_or(endpoints),
        RoutingType::Endpoint => endpoints,
    };
    endpoints.clone()
}

pub(crate) fn cluster(
    name: ClusterName,
    localities: Vec<Locality>,
    (protocol, tls): (UpstreamProtocol, Option<Arc<UpstreamTls>>),
    applied: &Applied,
    scope: &Scope<'_>,
) -> Cluster {
    Cluster {
        name,
        origin: applied.origin.clone(),
        protocol,
        tls: tls.map(|it| scope.identified(it)),
        localities,
        hostname: scope.hostname.cloned(),
        policy: Arc::clone(&applied.cluster),
    }
}

fn respond(why: &str) -> RouteAction {
    RouteAction::Respond(DirectResponse {
        status: 500,
        reason: why.into(),
        content: None,
    })
}
