//! The live state of clusters: endpoints, counts and connections. It outlives the plans that name them.
//!
//! A new plan or new endpoints change what a cluster's next requests go by; what is in flight goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use parking_lot::Mutex;
use weir_plan::features::load_balancer::LoadBalancer;
use weir_plan::{
    Cluster, ClusterName, ClusterPolicy, Endpoint, EndpointAddress, EndpointMap, Locality,
    UpstreamProtocol,
};

use crate::features::circuit_breaker::{CircuitBreaker, Permit};
use crate::features::load_balancer::Members;
use crate::metrics::{Counted, Series};
use crate::upstream::pool::Pool;
use crate::upstream::resolve::Resolver;
use crate::upstream::tls::{Connector, Connectors};
use crate::upstream::{EndpointId, EndpointState};
use crate::worker::Worker;

/// The state of one cluster, shared by all workers.
#[derive(Debug)]
pub(crate) struct ClusterState {
    /// The cluster's name.
    pub(crate) name: ClusterName,
    /// What happened so far.
    pub(crate) stats: ClusterStats,
    /// What is in flight.
    pub(crate) breaker: CircuitBreaker,
    /// Who waits for a connection.
    pub(crate) pool: Pool,
    policy: ArcSwap<ClusterPolicy>,
    http2: AtomicBool,
    /// Whether responses have to keep the letter case of their header names, for some listener. Shared by all clusters.
    keeps_case: Arc<AtomicBool>,
    negotiated: AtomicBool,
    tls: ArcSwapOption<Connector>,
    members: ArcSwap<Members>,
    built: Mutex<Built>,
}

/// What `members` were made from.
#[derive(Debug, Default)]
struct Built {
    cluster: Option<Arc<Cluster>>,
    sets: Vec<Option<Arc<[Endpoint]>>>,
    endpoints: BTreeMap<Endpoint, Arc<EndpointState>>,
}

/// A retry's place in `maxParallelRetries` or the retry budget. Dropping it gives it back.
pub(crate) type RetryPermit = Permit;

impl ClusterState {
    /// Whether responses have to keep the letter case of their header names, for some listener.
    pub(crate) fn keeps_case(&self) -> bool {
        self.keeps_case.load(Ordering::Relaxed)
    }

    /// The settings in force.
    pub(crate) fn policy(&self) -> Guard<Arc<ClusterPolicy>> {
        self.policy.load()
    }

    /// Whether HTTP/2 is spoken to all endpoints.
    pub(crate) fn speaks_http2(&self) -> bool {
        self.http2.load(Ordering::Relaxed)
    }

    /// Whether each endpoint chooses what is spoken to it, when it is connected to.
    pub(crate) fn is_negotiated(&self) -> bool {
        self.negotiated.load(Ordering::Relaxed)
    }

    /// How TLS is spoken to the endpoints; none: it is not.
    pub(crate) fn tls(&self) -> Option<Arc<Connector>> {
        self.tls.load_full()
    }

    /// The endpoints in use.
    pub(crate) fn members(&self) -> Guard<Arc<Members>> {
        self.members.load()
    }

    /// Chooses an endpoint: a locality by weight, then one of its endpoints by the load balancer. One in `tried`
    /// comes only where five more choices find no other. None: there are no endpoints.
    pub(crate) fn pick(&self, worker: &Worker, tried: &[EndpointId]) -> Option<Arc<EndpointState>> {
        let policy = self.policy();
        // Zones and endpoints that a request names itself are not enforced yet.
        let LoadBalancer {
            algorithm,
            zone_aware: _,
            endpoint_override: _,
        } = &policy.load_balancer;
        let members = self.members();
        members
            .pick(algorithm, worker.index, &mut worker.rng(), tried)
            .cloned()
    }

    /// The endpoint of this address, as its text is.
    pub(crate) fn endpoint_at(&self, address: &str) -> Option<Arc<EndpointState>> {
        let members = self.members();
        let mut endpoints = members.endpoints();
        let found = endpoints.find(|it| it.endpoint.address.to_string() == address);
        found.cloned()
    }

    /// Allows a retry, or not.
    pub(crate) fn retry_permit(&self) -> Option<RetryPermit> {
        let permit = self
            .breaker
            .retry(self.policy().circuit_breaker.max_retries);
        match &permit {
            Some(_) => self.stats.rq_retry.count(),
            None => self.stats.rq_retry_overflow.count(),
        }
        permit
    }
}

/// The clusters of a process.
#[derive(Debug)]
pub(crate) struct ClusterRegistry {
    workers: usize,
    resolver: Resolver,
    connectors: Connectors,
    keeps_case: Arc<AtomicBool>,
    state: Mutex<Registered>,
}

#[derive(Debug)]
struct Registered {
    clusters: BTreeMap<ClusterName, Arc<ClusterState>>,
    rng: fastrand::Rng,
    next_endpoint: u64,
}

impl ClusterRegistry {
    /// No clusters yet. `rng` draws where rotations start.
    pub(crate) fn new(workers: usize, rng: fastrand::Rng) -> Self {
        Self {
            workers,
            resolver: Resolver::default(),
            connectors: Connectors::default(),
            keeps_case: Arc::default(),
            state: Mutex::new(Registered {
                clusters: BTreeMap::new(),
                rng,
                next_endpoint: 0,
            }),
        }
    }

    /// Says whether new connections have to keep the letter case of the header names of responses.
    pub(crate) fn keep_case(&self, keep: bool) {
        self.keeps_case.store(keep, Ordering::Relaxed);
    }

    /// Brings the clusters to what a plan and endpoints say, and returns them. What stays keeps its counts and
    /// connections; what goes closes its idle connections.
    pub(crate) fn update(
        &self,
        clusters: &BTreeMap<ClusterName, Arc<Cluster>>,
        endpoints: &EndpointMap,
    ) -> BTreeMap<ClusterName, Arc<ClusterState>> {
        let mut registered = self.state.lock();
        let Registered {
            clusters: before,
            rng,
            next_endpoint,
        } = &mut *registered;
        let now: BTreeMap<_, _> = clusters
            .iter()
            .map(|(name, cluster)| {
                let state = before.remove(name).unwrap_or_else(|| {
                    Arc::new(ClusterState::new(
                        cluster,
                        self.workers,
                        &self.keeps_case,
                        rng,
                    ))
                });
                self.update_cluster(&state, cluster, endpoints, rng, next_endpoint);
                (name.clone(), state)
            })
            .collect();
        for gone in std::mem::take(before).into_values() {
            for endpoint in std::mem::take(&mut gone.built.lock().endpoints).into_values() {
                endpoint.retire();
            }
        }
        before.clone_from(&now);
        now
    }

    /// The clusters, by name.
    pub(crate) fn clusters(&self) -> BTreeMap<ClusterName, Arc<ClusterState>> {
        self.state.lock().clusters.clone()
    }

    fn update_cluster(
        &self,
        state: &Arc<ClusterState>,
        cluster: &Arc<Cluster>,
        endpoints: &EndpointMap,
        rng: &mut fastrand::Rng,
        next_endpoint: &mut u64,
    ) {
        let mut built = state.built.lock();
        let same_cluster = built
            .cluster
            .as_ref()
            .is_some_and(|it| Arc::ptr_eq(it, cluster));
        let sets = cluster
            .localities
            .iter()
            .map(|it| endpoints.get(&it.endpoints));
        if same_cluster && sets.clone().eq_by_pointer(&built.sets) {
            return;
        }
        let sets: Vec<Option<Arc<[Endpoint]>>> = sets.map(|set| set.cloned()).collect();
        // Priority 0 while it has endpoints. Health comes with health checks.
        let priority = cluster
            .localities
            .iter()
            .zip(&sets)
            .filter(|(_, set)| set.as_ref().is_some_and(|set| !set.is_empty()))
            .map(|(locality, _)| locality.priority)
            .min();
        let known = std::mem::take(&mut built.endpoints);
        // Connections that were made under other rules serve no more requests.
        let secured_alike = built
            .cluster
            .as_ref()
            .is_none_or(|it| it.tls == cluster.tls);
        let (mut before, stale) = if secured_alike {
            (known, BTreeMap::new())
        } else {
            (BTreeMap::new(), known)
        };
        let mut after = BTreeMap::new();
        let localities = cluster
            .localities
            .iter()
            .zip(&sets)
            .filter(|(locality, _)| Some(locality.priority) == priority)
            .map(
                |(
                    Locality {
                        weight,
                        priority: _,
                        endpoints: _,
                    },
                    set,
                )| {
                    // An endpoint that is listed twice is one endpoint.
                    let unique: BTreeSet<&Endpoint> =
                        set.iter().flat_map(|set| set.iter()).collect();
                    let states = unique.into_iter().map(|endpoint| {
                        let state = after.entry(endpoint.clone()).or_insert_with(|| {
                            before.remove(endpoint).unwrap_or_else(|| {
                                *next_endpoint += 1;
                                self.endpoint(EndpointId(*next_endpoint), endpoint)
                            })
                        });
                        Arc::clone(state)
                    });
                    (*weight, states.collect())
                },
            )
            .collect();
        // Before the endpoints that are reached by it: nobody may connect to them by the rules of before.
        let (http2, negotiated) = match cluster.protocol {
            // Those of L4 routes are no part of this data plane.
            UpstreamProtocol::Http1 | UpstreamProtocol::Tcp | UpstreamProtocol::Udp => {
                (false, false)
            }
            UpstreamProtocol::Http2 => (true, false),
            UpstreamProtocol::Negotiated => (false, true),
        };
        state.http2.store(http2, Ordering::Relaxed);
        state.negotiated.store(negotiated, Ordering::Relaxed);
        let tls = cluster.tls.as_ref();
        state.tls.store(tls.map(|it| self.connectors.get(it)));
        state
            .members
            .store(Arc::new(Members::new(localities, self.workers, rng)));
        state.policy.store(Arc::clone(&cluster.policy));
        *built = Built {
            cluster: Some(Arc::clone(cluster)),
            sets,
            endpoints: after,
        };
        drop(built);
        for gone in before.into_values().chain(stale.into_values()) {
            gone.retire();
        }
        // Higher limits and new endpoints may serve those who wait.
        state.after_change();
    }

    fn endpoint(&self, id: EndpointId, endpoint: &Endpoint) -> Arc<EndpointState> {
        let resolution = match &endpoint.address {
            EndpointAddress::Fqdn(name, port) => Some(self.resolver.resolve(name, *port)),
            EndpointAddress::Ip(_) | EndpointAddress::Unix(_) => None,
        };
        Arc::new(EndpointState::new(
            id,
            endpoint.clone(),
            resolution,
            self.workers,
        ))
    }
}

impl ClusterState {
    fn new(
        cluster: &Cluster,
        workers: usize,
        keeps_case: &Arc<AtomicBool>,
        rng: &mut fastrand::Rng,
    ) -> Self {
        Self {
            name: cluster.name.clone(),
            stats: ClusterStats::default(),
            breaker: CircuitBreaker::default(),
            pool: Pool::default(),
            policy: ArcSwap::new(Arc::clone(&cluster.policy)),
            http2: AtomicBool::new(false),
            keeps_case: Arc::clone(keeps_case),
            negotiated: AtomicBool::new(false),
            tls: ArcSwapOption::empty(),
            members: ArcSwap::from_pointee(Members::new(Vec::new(), workers, rng)),
            built: Mutex::default(),
        }
    }
}

/// Compares endpoint sets by address: a set that is the same allocation has not changed.
trait EqByPointer {
    fn eq_by_pointer(self, other: &[Option<Arc<[Endpoint]>>]) -> bool;
}

impl<'a, I: Iterator<Item = Option<&'a Arc<[Endpoint]>>>> EqByPointer for I {
    fn eq_by_pointer(mut self, other: &[Option<Arc<[Endpoint]>>]) -> bool {
        let same = other.iter().all(|before| match (self.next(), before) {
            (Some(Some(now)), Some(before)) => Arc::ptr_eq(now, before),
            (Some(None), None) => true,
            (Some(None) | None, Some(_)) | (Some(Some(_)) | None, None) => false,
        });
        same && self.next().is_none()
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub(crate) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// So many more.
    pub(crate) fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    /// How many so far.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What happened to a cluster's connections (`cx`) and requests (`rq`), in Envoy's words without `upstream_`. The
/// gauges are those of [`CircuitBreaker`].
#[derive(Debug, Default)]
pub(crate) struct ClusterStats {
    /// Connections made.
    pub(crate) cx_total: Counter,
    /// Requests that found no room for a connection.
    pub(crate) cx_overflow: Counter,
    /// Connections that could not be made, those out of time included.
    pub(crate) cx_connect_fail: Counter,
    /// Connections that could not be made in time.
    pub(crate) cx_connect_timeout: Counter,
    /// Connections closed for being idle too long.
    pub(crate) cx_idle_timeout: Counter,
    /// Connections closed after their last allowed request.
    pub(crate) cx_max_requests: Counter,
    /// Connections closed for their age.
    pub(crate) cx_max_duration_reached: Counter,
    /// Requests sent, each attempt by itself.
    pub(crate) rq_total: Counter,
    /// Requests refused because too many waited.
    pub(crate) rq_pending_overflow: Counter,
    /// Requests refused because too many were in progress.
    pub(crate) rq_active_overflow: Counter,
    /// Retries allowed.
    pub(crate) rq_retry: Counter,
    /// Retries refused by the circuit breaker.
    pub(crate) rq_retry_overflow: Counter,
    pub(crate) series: Series<Self>,
}

impl Counted for ClusterStats {
    fn counters(&self) -> Vec<&Counter> {
        let Self {
            cx_total,
            cx_overflow,
            cx_connect_fail,
            cx_connect_timeout,
            cx_idle_timeout,
            cx_max_requests,
            cx_max_duration_reached,
            rq_total,
            rq_pending_overflow,
            rq_active_overflow,
            rq_retry,
            rq_retry_overflow,
            series: _,
        } = self;
        vec![
            cx_total,
            cx_overflow,
            cx_connect_fail,
            cx_connect_timeout,
            cx_idle_timeout,
            cx_max_requests,
            cx_max_duration_reached,
            rq_total,
            rq_pending_overflow,
            rq_active_overflow,
            rq_retry,
            rq_retry_overflow,
        ]
    }

    fn series(&self) -> &Series<Self> {
        &self.series
    }
}

impl Drop for ClusterStats {
    fn drop(&mut self) {
        Series::leave(self);
    }
}
