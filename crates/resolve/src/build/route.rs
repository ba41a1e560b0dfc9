//! One route, built: its entries in the tables of its listeners, its clusters, and what its status is to say.

use std::borrow::Cow;
use std::sync::Arc;

use weir_plan::{Cluster, HostMatch, NamespacedName, Route, RouteName, RouteRule, RuleName};

use super::action::{self, Scope};
use super::backends::{BackendRef, Referring, Unresolved};
use super::in_force::{effective, rule_names};
use super::order::Entry;
use super::order::L4Entry;
use super::rules::{self, Invalid, Rule, backend_ref};
use super::{annotations, backend_filters, grpc, l4, mirrors, route_filter};
use crate::api::scalar::parse_duration;
use crate::backend_tls::{self, BackendKind};
use crate::clients::OfRoutes;
use crate::diagnostics::{Diagnostic, Diagnostics, FieldPath};
use crate::effective::{Applied, EffectiveRule};
use crate::own::OwnSettings;
use crate::resources::Resources;
use crate::topology::ListenerKey;
use crate::topology::routes::{Carrier, RouteDetail, RouteObject, route_ref};
use crate::{Context, lower};
use gateway_api::experimental::httproutes as api;

/// All that follows from one route and what it refers to.
#[derive(Debug, Default)]
pub(crate) struct Built {
    /// Its entries, for each listener that serves it.
    pub(crate) entries: Vec<(ListenerKey, HostMatch, Vec<Entry>)>,
    /// The same of a route for a protocol below HTTP.
    pub(crate) l4: Vec<(ListenerKey, L4Entry)>,
    /// What it forwards to.
    pub(crate) clusters: Vec<Arc<Cluster>>,
    /// What applies to each rule on each listener.
    pub(crate) effective: Vec<Arc<EffectiveRule>>,
    /// What its status is to say of its rules.
    pub(crate) verdict: Verdict,
    /// The Services and Backends that it refers to, by kind; and whether any is in another namespace.
    pub(crate) services: Vec<NamespacedName>,
    pub(crate) backends: Vec<NamespacedName>,
    pub(crate) crosses: bool,
    /// The HTTPRouteFilters that it refers to, and the ConfigMaps and Secrets that these refer to.
    pub(crate) http_route_filters: Vec<NamespacedName>,
    pub(crate) config_maps: Vec<NamespacedName>,
    pub(crate) secrets: Vec<NamespacedName>,
    /// What is worth saying about its rules.
    pub(crate) found: Vec<Diagnostic>,
}

/// What there is to say of the rules of a route.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// How many rules it has.
    pub(crate) rules: usize,
    /// Those that cannot be served as written.
    pub(crate) invalid: Vec<InvalidRule>,
    /// The references that lead nowhere.
    pub(crate) unresolved: Vec<Unresolved>,
}

/// A rule that cannot be served as written.
#[derive(Clone, Debug)]
pub(crate) struct InvalidRule {
    /// Its place in the route.
    pub(crate) index: usize,
    /// Whether none of its requests is served.
    pub(crate) whole: bool,
    /// Why.
    pub(crate) invalid: Invalid,
}

/// Builds a route. `applied` has what applies to each of its rules on each of its carriers, rules innermost; `listeners`
/// what each of these listeners says of it.
pub(crate) fn build(
    detail: &RouteDetail,
    applied: &[Arc<Applied>],
    listeners: &[OfRoutes],
    resources: &Resources,
    context: &Context,
) -> Built {
    let names = rule_names(detail);
    let own = OwnSettings::of_route(&detail.object);
    let mut built = Built {
        entries: Vec::new(),
        l4: Vec::new(),
        clusters: Vec::new(),
        effective: effective(detail, &names, &own, applied, listeners),
        verdict: Verdict {
            rules: names.len(),
            ..Verdict::default()
        },
        services: Vec::new(),
        backends: Vec::new(),
        crosses: false,
        http_route_filters: Vec::new(),
        config_maps: Vec::new(),
        secrets: Vec::new(),
        found: Vec::new(),
    };
    match &detail.object {
        RouteObject::Http(route) => {
            let default = [api::HttpRouteRules::default()];
            let specs = route.spec.rules.as_deref().unwrap_or(&default);
            let specs: Vec<_> = specs.iter().map(|it| Ok(Cow::Borrowed(it))).collect();
            built.add_http(
                &specs,
                detail,
                &names,
                (applied, listeners),
                resources,
                context,
            );
        }
        RouteObject::Grpc(route) => {
            let specs = route.spec.rules.iter().flatten();
            let specs: Vec<_> = specs.map(|it| grpc::as_http(it).map(Cow::Owned)).collect();
            built.add_http(
                &specs,
                detail,
                &names,
                (applied, listeners),
                resources,
                context,
            );
        }
        RouteObject::Tcp(_) | RouteObject::Tls(_) | RouteObject::Udp(_) => {
            built.add_l4(detail, &names, applied, resources, context);
        }
    }
    built
}

impl Built {
    /// Takes over from an earlier result what is equal in it, so that it stays the same `Arc`.
    pub(crate) fn keep(&mut self, old: &Self) {
        for (listener, host, entries) in &mut self.entries {
            let known = old
                .entries
                .iter()
                .find(|(of, under, _)| of == listener && under == host);
            for entry in entries {
                let known = known.into_iter().flat_map(|(_, _, known)| known);
                if let Some(known) = known.into_iter().find(|it| it.route == entry.route) {
                    entry.route = Arc::clone(&known.route);
                }
            }
        }
        for (listener, entry) in &mut self.l4 {
            let mut known = old.l4.iter().filter(|(of, _)| of == listener);
            if let Some((_, known)) = known.find(|(_, it)| it.route == entry.route) {
                entry.route = Arc::clone(&known.route);
            }
        }
        for cluster in &mut self.clusters {
            if let Some(known) = old.clusters.iter().find(|it| *it == cluster) {
                *cluster = Arc::clone(known);
            }
        }
        for effective in &mut self.effective {
            if let Some(known) = old.effective.iter().find(|it| *it == effective) {
                *effective = Arc::clone(known);
            }
        }
    }

    /// `specs` has the rules, or why one cannot be read.
    fn add_http(
        &mut self,
        specs: &[Result<Cow<'_, api::HttpRouteRules>, Invalid>],
        detail: &RouteDetail,
        names: &[RuleName],
        (applied, listeners): (&[Arc<Applied>], &[OfRoutes]),
        resources: &Resources,
        context: &Context,
    ) {
        let namespace = &detail.node.name.namespace;
        let from = Referring {
            kind: detail.node.kind,
            namespace,
        };
        let unread = api::HttpRouteRules::default();
        let rules: Vec<_> = specs
            .iter()
            .map(|it| match it {
                Ok(spec) => rules::read(spec, from, resources, context),
                Err(invalid) => Rule::left_out(invalid.clone()),
            })
            .collect();
        let specs: Vec<&api::HttpRouteRules> = specs
            .iter()
            .map(|it| it.as_ref().map_or(&unread, |spec| spec.as_ref()))
            .collect();
        let mut found = Diagnostics::default();
        annotations::check(detail, &mut found);
        for (index, (spec, rule)) in specs.iter().zip(&rules).enumerate() {
            self.depend(spec, namespace, resources);
            self.judge(index, spec, rule, detail, &mut found);
        }
        self.found = found.into_sorted();
        for (index, rule) in rules.iter().enumerate() {
            // What applies to this rule, for each carrier.
            let applied: Vec<_> = applied.iter().skip(index).step_by(rules.len()).collect();
            let carriers = detail.carriers.iter().zip(applied).zip(listeners);
            let served: Vec<_> = carriers
                .map(|((carrier, applied), listener)| (carrier, applied, listener))
                .filter(|(carrier, _, _)| carrier.served)
                .collect();
            self.place(specs[index], rule, &names[index], detail, &served);
        }
    }

    fn add_l4(
        &mut self,
        detail: &RouteDetail,
        names: &[RuleName],
        applied: &[Arc<Applied>],
        resources: &Resources,
        context: &Context,
    ) {
        let namespace = &detail.node.name.namespace;
        let from = Referring {
            kind: detail.node.kind,
            namespace,
        };
        for (index, rule) in l4::rules(&detail.object, namespace).iter().enumerate() {
            for (to, _) in &rule.0 {
                self.depend_on(to, namespace, resources);
            }
            let backends = l4::backends(rule, from, resources, context);
            let applied: Vec<_> = applied.iter().skip(index).step_by(names.len()).collect();
            for (carrier, applied) in detail.carriers.iter().zip(applied) {
                // Nothing is served yet whose counts could be shared: each listener has a cluster of its own.
                let listener = carrier.listener.plan_name().listener;
                let route = l4::route(&names[index], &backends, carrier, applied, Some(&listener));
                let entry = L4Entry {
                    created: detail.node.created,
                    route: Arc::new(route),
                };
                self.l4.push((carrier.listener.clone(), entry));
            }
        }
    }

    /// Notes what a rule refers to, so that it is built again when that changes.
    fn depend(&mut self, spec: &api::HttpRouteRules, namespace: &Arc<str>, resources: &Resources) {
        for name in
            backend_filters::references(spec).filter_map(|it| route_filter::name(&it, namespace))
        {
            self.config_maps
                .extend(route_filter::config_map(&name, resources));
            let secret = route_filter::secret(&name, resources);
            self.crosses |= secret.as_ref().is_some_and(|it| it.namespace != *namespace);
            self.secrets.extend(secret);
            self.http_route_filters.push(name);
        }
        let filters = spec.filters.iter().flatten();
        for it in filters.filter_map(|it| it.request_mirror.as_ref()) {
            self.depend_on(&mirrors::backend_ref(it, namespace), namespace, resources);
        }
        for it in spec.backend_refs.iter().flatten() {
            self.depend_on(&backend_ref(it, namespace), namespace, resources);
        }
    }

    fn depend_on(&mut self, to: &BackendRef<'_>, namespace: &Arc<str>, resources: &Resources) {
        self.crosses |= to.name.namespace != *namespace;
        let kind = match to.kind {
            "Service" => {
                self.services.push(to.name.clone());
                BackendKind::Service
            }
            "Backend" => {
                self.backends.push(to.name.clone());
                BackendKind::Backend
            }
            _ => return,
        };
        let tls = backend_tls::sources(resources, kind, &to.name);
        self.config_maps.extend(tls.config_maps);
        self.secrets.extend(tls.secrets);
    }

    /// Notes what status and findings are to say of a rule.
    fn judge(
        &mut self,
        index: usize,
        spec: &api::HttpRouteRules,
        rule: &Rule,
        detail: &RouteDetail,
        found: &mut Diagnostics,
    ) {
        let object = route_ref(detail.node.kind, &detail.node.name);
        let field = FieldPath::new("spec.rules").index(index);
        let back_off = spec.retry.as_ref().and_then(|it| it.backoff.as_deref());
        if back_off
            .and_then(parse_duration)
            .is_some_and(|it| it.is_zero())
        {
            let message = "a back-off of 0s is none that there can be; retries wait as if there were none, 25ms at first";
            let field = field.child("retry").child("backoff");
            found.warning(&object, field, "setting-ignored", message);
        }
        if let Some(invalid) = &rule.invalid {
            let effect = if rule.matches.is_empty() {
                "left out"
            } else {
                "answered with status 500"
            };
            let message = format!("{}; requests to this rule are {effect}", invalid.message);
            found.error(&object, field.clone(), "invalid-rule", message.clone());
            let reason = invalid.reason;
            let invalid = Invalid { reason, message };
            self.verdict.invalid.push(InvalidRule {
                index,
                whole: true,
                invalid,
            });
        }
        if let Some(unresolved) = &rule.unresolved {
            self.verdict.unresolved.push(unresolved.clone());
        }
        for mirror in &rule.filters.mirrors {
            let Err(Unresolved { reason, message }) = &mirror.target else {
                continue;
            };
            let message = format!("failed to validate the RequestMirror filter: {message}");
            let field = field.child("filters").index(mirror.filter);
            let field = field.child("requestMirror").child("backendRef");
            found.error(&object, field, "unresolved-ref", message.clone());
            self.verdict.unresolved.push(Unresolved { reason, message });
        }
        for (place, backend) in rule.backends.iter().enumerate() {
            let field = field.child("backendRefs").index(place);
            if let Err(unresolved) = &backend.target {
                found.error(
                    &object,
                    field.clone(),
                    "unresolved-ref",
                    unresolved.message.clone(),
                );
                self.verdict.unresolved.push(unresolved.clone());
            }
            if let Some(invalid) = &backend.invalid {
                found.error(
                    &object,
                    field.child("filters"),
                    "invalid-filter",
                    invalid.message.clone(),
                );
                self.verdict.unresolved.extend(backend.unresolved.clone());
                let message = format!("backendRefs[{place}]: {}", invalid.message);
                let reason = invalid.reason;
                self.verdict.invalid.push(InvalidRule {
                    index,
                    whole: rule
                        .backends
                        .iter()
                        .all(|it| it.weight == 0 || it.invalid.is_some()),
                    invalid: Invalid { reason, message },
                });
            }
        }
        if rule.backends.iter().all(|it| it.weight == 0)
            && rule.filters.redirect.is_none()
            && rule.filters.respond.is_none()
            && rule.invalid.is_none()
        {
            let message = "the rule has no backendRefs with a weight over 0, so it answers 500";
            found.warning(&object, field.child("backendRefs"), "no-backends", message);
        }
    }

    /// Puts a rule into the tables of the listeners that serve it.
    fn place(
        &mut self,
        spec: &api::HttpRouteRules,
        rule: &Rule,
        name: &RuleName,
        detail: &RouteDetail,
        served: &[(&Carrier, &Arc<Applied>, &OfRoutes)],
    ) {
        let own = OwnSettings::of(spec);
        let mut shared: Vec<(&NamespacedName, &Arc<Applied>, &OfRoutes, Arc<RouteRule>)> =
            Vec::new();
        for (carrier, applied, of_listener) in served {
            let gateway = &carrier.listener.gateway;
            // One cluster serves all listeners of a Gateway, unless they ask different things of it.
            let of_gateway = || {
                served
                    .iter()
                    .filter(|(it, _, _)| it.listener.gateway == *gateway)
            };
            let alike = of_gateway().all(|(_, it, _)| {
                it.cluster == applied.cluster && it.routing_type == applied.routing_type
            });
            let known = shared.iter().find(|(of, under, on, _)| {
                alike && *of == gateway && Arc::ptr_eq(under, applied) && on == of_listener
            });
            let built = match known {
                Some((_, _, _, built)) => Arc::clone(built),
                None => {
                    let listener = carrier.listener.plan_name().listener;
                    let scope = Scope {
                        rule: name,
                        gateway,
                        listener: (!alike).then_some(&*listener),
                        hostname: hostname(detail),
                        routing_type: carrier.routing_type.as_ref(),
                        client_certificate: carrier.client_certificate.as_ref(),
                    };
                    let (action, clusters) = action::of_rule(rule, applied, of_listener, &scope);
                    for cluster in clusters {
                        // Rules that differ only above the cluster share it.
                        if self.clusters.iter().all(|it| it.name != cluster.name) {
                            self.clusters.push(Arc::new(cluster));
                        }
                    }
                    let built = Arc::new(RouteRule {
                        name: name.clone(),
                        origin: applied.origin.clone(),
                        policy: lower::for_rule(applied, own.as_ref(), of_listener),
                        unlogged: annotations::unlogged(detail),
                        request_headers: rule.filters.request_headers.clone(),
                        response_headers: rule.filters.response_headers.clone(),
                        cors: rule.filters.cors.clone().map(Box::new),
                        action,
                    });
                    shared.push((gateway, applied, of_listener, Arc::clone(&built)));
                    built
                }
            };
            for host in &carrier.hosts {
                let entries = entries(&rule.matches, host, detail, &built);
                if !entries.is_empty() {
                    self.entries
                        .push((carrier.listener.clone(), host.clone(), entries));
                }
            }
        }
    }
}

/// The first host name of a route that is no pattern.
fn hostname(detail: &RouteDetail) -> Option<&Arc<str>> {
    let mut hosts = detail.carriers.iter().flat_map(|it| &it.hosts);
    hosts.find_map(|host| match host {
        HostMatch::Exact(name) => Some(name),
        HostMatch::Suffix(_) | HostMatch::Any => None,
    })
}

fn entries(
    matches: &[weir_plan::RouteMatch],
    host: &HostMatch,
    detail: &RouteDetail,
    rule: &Arc<RouteRule>,
) -> Vec<Entry> {
    let text = host.to_string();
    let entry = |(match_index, matches): (usize, &weir_plan::RouteMatch)| {
        let name = RouteName::of(&rule.name, match_index, &text);
        let route = Arc::new(Route {
            name,
            matches: matches.clone(),
            rule: Arc::clone(rule),
        });
        Entry {
            created: detail.node.created,
            match_index,
            route,
        }
    };
    matches.iter().enumerate().map(entry).collect()
}
