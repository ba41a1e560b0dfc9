//! Routes for protocols below HTTP, built: what becomes of a connection under each rule, on each listener.
//!
//! They are planned, and not served yet; see `docs/decisions/0011-what-is-not-served-yet.md`.

use std::sync::Arc;

use weir_plan::{HostMatch, L4Action, L4Route, NamespacedName, Origin, RuleName, UpstreamProtocol};

use super::action::{self, Scope};
use super::backend_filters::BackendFilters;
use super::backends::{self, BackendRef, Referring};
use super::rules::RuleBackend;
use crate::Context;
use crate::effective::Applied;
use crate::resources::Resources;
use crate::topology::routes::{Carrier, RouteObject};

/// One rule: its backendRefs with their weights.
#[derive(Debug)]
pub(crate) struct Rule<'a>(pub(crate) Vec<(BackendRef<'a>, u32)>);

/// The rules of a route, where it is one of these kinds.
pub(crate) fn rules<'a>(route: &'a RouteObject, namespace: &Arc<str>) -> Vec<Rule<'a>> {
    /// Alike in the API, three types in its Rust form.
    macro_rules! read {
        ($route:expr) => {
            $route
                .spec
                .rules
                .iter()
                .map(|rule| {
                    let backends = rule.backend_refs.iter().map(|it| {
                        let of_other = it.namespace.as_deref().map(Into::into);
                        let namespace = of_other.unwrap_or_else(|| Arc::clone(namespace));
                        let backend = BackendRef {
                            group: it.group.as_deref().unwrap_or_default(),
                            kind: it.kind.as_deref().unwrap_or("Service"),
                            name: NamespacedName::new(namespace, it.name.as_str()),
                            port: it.port,
                        };
                        (backend, u32::try_from(it.weight.unwrap_or(1)).unwrap_or(0))
                    });
                    Rule(backends.collect())
                })
                .collect()
        };
    }
    match route {
        RouteObject::Http(_) | RouteObject::Grpc(_) => Vec::new(),
        RouteObject::Tcp(route) => read!(route),
        RouteObject::Tls(route) => read!(route),
        RouteObject::Udp(route) => read!(route),
    }
}

/// Where the backendRefs of a rule lead.
pub(crate) fn backends(
    Rule(refs): &Rule<'_>,
    from: Referring<'_>,
    resources: &Resources,
    context: &Context,
) -> Vec<RuleBackend> {
    refs.iter()
        .map(|(to, weight)| RuleBackend {
            weight: *weight,
            target: backends::follow(to, from, resources, context),
            invalid: None,
            unresolved: None,
            filters: BackendFilters::default(),
        })
        .collect()
}

/// A rule on a listener under a policy. An invalid policy is left out; one that protects and is not enforced closes it.
pub(crate) fn route(
    name: &RuleName,
    backends: &[RuleBackend],
    carrier: &Carrier,
    applied: &Applied,
    listener: Option<&str>,
) -> L4Route {
    let scope = Scope {
        rule: name,
        gateway: &carrier.listener.gateway,
        listener,
        hostname: None,
        routing_type: carrier.routing_type.as_ref(),
        client_certificate: carrier.client_certificate.as_ref(),
    };
    let stat_name = applied.route.telemetry.route_stat_name.as_ref();
    L4Route {
        name: name.clone(),
        origin: match &applied.invalid {
            None => applied.origin.clone(),
            Some(_) => Origin::default(),
        },
        hostnames: match carrier.hosts.as_slice() {
            [HostMatch::Any] => vec![HostMatch::Any],
            hosts => hosts.to_vec(),
        },
        stat_name: stat_name.map(|it| it.of(name).into()),
        action: match &applied.refused {
            Some(why) => L4Action::Refuse(why.as_str().into()),
            None => action(backends, applied, &scope),
        },
    }
}

fn action(backends: &[RuleBackend], applied: &Applied, scope: &Scope<'_>) -> L4Action {
    let weighted = backends.iter().filter(|it| it.weight > 0);
    let (mut localities, mut refused_weight) = (Vec::new(), 0_u32);
    let (mut protocol, mut why) = (UpstreamProtocol::Tcp, None);
    for backend in weighted {
        match backend.usable() {
            Ok(target) => {
                protocol = target.protocol;
                localities.push(action::locality(backend, target, applied, scope));
            }
            Err(reason) => {
                refused_weight = refused_weight.saturating_add(backend.weight);
                why = why.or(Some(reason));
            }
        }
    }
    if localities.is_empty() {
        return L4Action::Refuse(why.unwrap_or("the rule has no backends").into());
    }
    let name = action::cluster_name(scope);
    let cluster = action::cluster(name, localities, (protocol, None), applied, scope);
    L4Action::Forward {
        cluster: Arc::new(cluster),
        refused_weight,
    }
}
