//! RequestMirror filters: what they refer to, and the clusters that copies of requests go to.

use std::sync::Arc;

use weir_plan::{
    Cluster, ClusterName, ClusterPolicy, Locality, Mirror, NamespacedName, Origin, PerMillion,
};

use super::action::{Scope, endpoints};
use super::backends::{self, BackendRef, Referring, Target, Unresolved};
use super::rules::Rule;
use crate::Context;
use crate::resources::Resources;
use gateway_api::experimental::httproutes as api;

/// A RequestMirror filter as it is to be served.
#[derive(Debug)]
pub(crate) struct RuleMirror {
    /// Its place among the filters of the rule.
    pub(crate) filter: usize,
    /// The share of the requests.
    pub(crate) share: PerMillion,
    /// Where it leads. What leads nowhere is left out.
    pub(crate) target: Result<Target, Unresolved>,
}

/// Reads the filter at this place of a rule.
pub(crate) fn read(
    filter: usize,
    mirror: &api::HttpRouteRulesFiltersRequestMirror,
    from: Referring<'_>,
    resources: &Resources,
    context: &Context,
) -> RuleMirror {
    let to = backend_ref(mirror, from.namespace);
    RuleMirror {
        filter,
        share: share(mirror),
        target: backends::follow(&to, from, resources, context),
    }
}

/// The mirrors of a rule, those that lead nowhere left out. No policy is for their clusters, as in Envoy Gateway.
pub(crate) fn of_rule(rule: &Rule, scope: &Scope<'_>) -> (Vec<Mirror>, Vec<Cluster>) {
    let routing_type = scope.routing_type.map(|it| it.routing_type);
    let routing_type = routing_type.unwrap_or_default();
    let mirrors = rule.filters.mirrors.iter().filter_map(|it| {
        let RuleMirror {
            filter,
            share,
            target,
        } = it;
        let target = target.as_ref().ok()?;
        let name = ClusterName::of_mirror(scope.rule, scope.gateway, scope.listener, *filter);
        let cluster = Cluster {
            name: name.clone(),
            origin: Origin::default(),
            protocol: target.protocol,
            tls: target.tls.clone().map(|it| scope.identified(it)),
            localities: vec![Locality {
                weight: 1,
                priority: 0,
                endpoints: endpoints(target, routing_type),
            }],
            hostname: scope.hostname.cloned(),
            policy: Arc::new(ClusterPolicy::DEFAULT),
        };
        let mirror = Mirror {
            share: *share,
            cluster: name,
        };
        Some((mirror, cluster))
    });
    mirrors.unzip()
}

/// What a RequestMirror filter refers to, with the API's defaults.
pub(crate) fn backend_ref<'a>(
    mirror: &'a api::HttpRouteRulesFiltersRequestMirror,
    namespace: &Arc<str>,
) -> BackendRef<'a> {
    let api::HttpRouteRulesFiltersRequestMirrorBackendRef {
        group,
        kind,
        name,
        namespace: of,
        port,
    } = &mirror.backend_ref;
    let namespace = of
        .as_deref()
        .map_or_else(|| Arc::clone(namespace), Into::into);
    BackendRef {
        group: group.as_deref().unwrap_or_default(),
        kind: kind.as_deref().unwrap_or("Service"),
        name: NamespacedName::new(namespace, name.as_str()),
        port: *port,
    }
}

/// The share of requests that is mirrored: a fraction before a percentage, else all.
fn share(mirror: &api::HttpRouteRulesFiltersRequestMirror) -> PerMillion {
    let api::HttpRouteRulesFiltersRequestMirror {
        backend_ref: _,
        fraction,
        percent,
    } = mirror;
    let percent = match (fraction, percent) {
        (Some(fraction), _) => {
            let denominator = fraction.denominator.unwrap_or(100);
            100.0 * fraction.numerator as f32 / denominator as f32
        }
        (None, Some(percent)) => *percent as f32,
        (None, None) => return PerMillion::ALWAYS,
    };
    PerMillion::from_percent(percent)
}
