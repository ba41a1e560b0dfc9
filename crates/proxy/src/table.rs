//! The routing table: a plan compiled for look-up, and the live state of each of its routes.
//!
//! A new plan makes a new table. Routes that are the same `Arc` are taken over as they are; a changed route goes on with
//! the buckets and counts of the route of its name, so that one edit costs what it touches.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use weir_limiter::Now;
use weir_plan::{
    ClusterName, Forward, Listener, ListenerName, Mirror, Plan, Route, RouteAction, SplitTarget,
    WeightedTarget,
};

use crate::client::Clients;
use crate::cluster::ClusterState;
use crate::connection::Connection;
use crate::features::rate_limit::{GlobalStore, Making, RouteLimits};
use crate::metrics::{ListenerStats, Metrics, RuleStats};
use crate::pattern::Patterns;
use crate::rewrite;
use crate::router::{Entry, LookedUp, Router, Wanted};
use crate::tls::TlsPorts;
use crate::upstream::EndpointState;

/// A plan compiled for look-up, with live state.
#[derive(Debug)]
pub(crate) struct RoutingTable {
    router: Router<RouteState>,
    listeners: HashMap<ListenerName, Arc<ListenerStats>>,
    patterns: Patterns,
    /// How listeners deal with their clients.
    pub(crate) clients: Clients,
    /// Which of the ports speak TLS, and what they show.
    pub(crate) tls: TlsPorts,
}

/// A route, compiled, with its live state.
pub(crate) type RouteEntry = Entry<RouteState>;

/// What the data plane keeps with a route.
#[derive(Debug)]
pub(crate) struct RouteState {
    pub(crate) listener: Arc<ListenerStats>,
    pub(crate) stats: Arc<RuleStats>,
    pub(crate) limits: Option<Arc<RouteLimits>>,
    /// The expressions of the rule's rewrite, where it has any.
    pub(crate) rewrite: Option<Box<rewrite::Expressions>>,
    /// Where requests are forwarded to: the cluster of each of the plan's targets; none: it has none.
    clusters: Box<[Option<Arc<ClusterState>>]>,
    /// The cluster of each of its mirrors, likewise.
    mirrors: Box<[Option<Arc<ClusterState>>]>,
}

/// What a request's look-up found.
pub(crate) enum Found {
    /// A route.
    Route(Arc<RouteEntry>),
    /// A listener that is not the one of the connection.
    Misdirected(Arc<ListenerStats>),
    /// A listener without a route for it, or not even that.
    Nothing(Arc<ListenerStats>),
}

/// Where one request of a route goes.
pub(crate) struct Chosen<'a> {
    pub(crate) target: &'a WeightedTarget,
    /// None: it names no cluster, or one that is not there.
    pub(crate) cluster: Option<&'a Arc<ClusterState>>,
}

impl RoutingTable {
    /// A table that has no routes.
    pub(crate) fn empty() -> Self {
        Self {
            router: Router::build(
                &Plan::default(),
                None,
                &mut Patterns::default(),
                &mut |_, route, _, _| unreachable!("an empty plan has no route {}", route.name),
            ),
            listeners: HashMap::new(),
            patterns: Patterns::default(),
            clients: Clients::none(),
            tls: TlsPorts::default(),
        }
    }

    /// Compiles a plan. `clusters` are those of this plan; one that was there before is the same `Arc`.
    pub(crate) fn build(
        plan: &Plan,
        clusters: &BTreeMap<ClusterName, Arc<ClusterState>>,
        previous: Option<&Self>,
        metrics: &Metrics,
        store: &GlobalStore,
        now: Now,
    ) -> Self {
        let listeners: HashMap<_, _> = plan
            .listeners
            .iter()
            .map(|listener| (listener.name.clone(), metrics.listener(&listener.name)))
            .collect();
        let mut patterns = previous
            .map(|it| it.patterns.still_used())
            .unwrap_or_default();
        let router = Router::build(
            plan,
            previous.map(|it| &it.router),
            &mut patterns,
            &mut |listener: &Arc<Listener>, route: &Arc<Route>, known, patterns| {
                let stats = &listeners[&listener.name];
                let name = format!("{}/{}", listener.name, route.name);
                let mut making = Making {
                    entry: &name,
                    stats,
                    store,
                    patterns,
                    now,
                };
                let known = known.and_then(|it| it.state.limits.as_ref());
                let (targets, mirrors) = places(route);
                RouteState {
                    listener: Arc::clone(stats),
                    stats: stats.rule(&route.rule.name),
                    limits: RouteLimits::new(&route.rule.policy.rate_limit, known, &mut making),
                    rewrite: rewrite::Expressions::of(&route.rule.action, making.patterns),
                    clusters: targets
                        .iter()
                        .map(|target| match &target.target {
                            SplitTarget::Cluster(name) => clusters.get(name).cloned(),
                            SplitTarget::Invalid(_) => None,
                        })
                        .collect(),
                    mirrors: mirrors
                        .iter()
                        .map(|mirror| clusters.get(&mirror.cluster).cloned())
                        .collect(),
                }
            },
        );
        let clients = Clients::build(plan, previous.map(|it| &it.clients), &mut patterns);
        Self {
            router,
            listeners,
            patterns,
            clients,
            tls: TlsPorts::build(plan, previous.map(|it| &it.tls)),
        }
    }

    /// The route that a request over a connection takes. Within TLS, that is one of the listener that the client chose
    /// by the server name; whoever wants another has to connect anew.
    pub(crate) fn find(
        &self,
        connection: &Connection,
        wanted: &Wanted<'_>,
        metrics: &Metrics,
    ) -> Found {
        let stats = |listener: &Listener| {
            let stats = self.listeners.get(&listener.name);
            Arc::clone(stats.unwrap_or(&metrics.unmatched))
        };
        match self.router.look_up(connection.port, wanted) {
            LookedUp {
                listener: Some(table),
                entry: _,
            } if !carries(connection, &table.listener) => {
                Found::Misdirected(stats(&table.listener))
            }
            LookedUp {
                entry: Some(entry), ..
            } => Found::Route(Arc::clone(entry)),
            LookedUp {
                listener: Some(table),
                entry: None,
            } => Found::Nothing(stats(&table.listener)),
            LookedUp {
                listener: None,
                entry: None,
            } => Found::Nothing(Arc::clone(&metrics.unmatched)),
        }
    }
}

impl RouteState {
    /// The clusters of the route's mirrors, in their order. None: it is not there.
    pub(crate) fn mirrors(&self) -> &[Option<Arc<ClusterState>>] {
        &self.mirrors
    }

    /// The target that has an endpoint of this address, and the endpoint.
    pub(crate) fn holding<'a>(
        &'a self,
        forward: &'a Forward,
        address: &str,
    ) -> Option<(Chosen<'a>, Arc<EndpointState>)> {
        let mut places = forward.targets.iter().zip(&self.clusters);
        places.find_map(|(target, cluster)| {
            let endpoint = cluster.as_ref()?.endpoint_at(address)?;
            let chosen = Chosen {
                target,
                cluster: cluster.as_ref(),
            };
            Some((chosen, endpoint))
        })
    }

    /// Draws one of a route's targets, by weight.
    pub(crate) fn choose<'a>(
        &'a self,
        forward: &'a Forward,
        rng: &mut fastrand::Rng,
    ) -> Option<Chosen<'a>> {
        let targets = &forward.targets;
        let place = if targets.len() == 1 {
            0
        } else {
            let sum = targets.iter().map(|it| u64::from(it.weight)).sum::<u64>();
            let mut draw = rng.u64(..sum.max(1));
            targets.iter().position(|it| {
                let weight = u64::from(it.weight);
                let drawn = draw < weight;
                draw = draw.saturating_sub(weight);
                drawn
            })?
        };
        Some(Chosen {
            target: targets.get(place)?,
            cluster: self.clusters.get(place)?.as_ref(),
        })
    }
}

/// Whether requests for a listener may come over a connection.
fn carries(connection: &Connection, listener: &Listener) -> bool {
    match (&connection.tls, &listener.tls) {
        (Some(tls), _) => tls.listener == listener.name,
        // It was clear text that the port spoke when the connection was made.
        (None, Some(_)) => false,
        (None, None) => true,
    }
}

/// Where a route's requests go, and their copies.
fn places(route: &Route) -> (&[WeightedTarget], &[Mirror]) {
    match &route.rule.action {
        RouteAction::Forward(Forward {
            rewrite: _,
            credential: _,
            session: _,
            mirrors,
            targets,
        }) => (targets, mirrors),
        RouteAction::Redirect(_) | RouteAction::Respond(_) => (&[], &[]),
    }
}
