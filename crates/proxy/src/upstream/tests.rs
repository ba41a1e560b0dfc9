//! Pools and connections, against backends on real sockets, on workers of the test's own.

mod connections;
mod limits;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use http::Request;
use http_body_util::BodyExt;
use tokio::task::LocalSet;
use tokio::time::timeout;
use weir_plan::features::circuit_breaker::CircuitBreaker;
use weir_plan::features::load_balancer::{Algorithm, LoadBalancer};
use weir_plan::features::timeout::ClusterTimeout;
use weir_plan::{
    Cluster, ClusterName, ClusterPolicy, Endpoint, EndpointAddress, EndpointMap, EndpointsName,
    Locality, NamespacedName, Origin, RouteKind, RuleName, UpstreamProtocol,
};

use super::{EndpointState, SendError, SendErrorKind};
use crate::body::Body;
use crate::cluster::{ClusterRegistry, ClusterState};
use crate::features::timeout::{AttemptLimit, TimeLimits};

#[path = "../../tests/engine/backend.rs"]
#[expect(dead_code, reason = "it serves the tests of the whole engine too")]
mod backend;
use backend::{Backend, PATIENCE, wait_until};

const ROUND_ROBIN: Algorithm = Algorithm::RoundRobin { slow_start: None };

const LIMITS: CircuitBreaker = CircuitBreaker::DEFAULT;

/// A registry for two workers with one cluster, whose settings and endpoints a test changes.
struct Setup {
    registry: ClusterRegistry,
    cluster: Arc<ClusterState>,
}

impl Setup {
    fn new(
        addresses: &[EndpointAddress],
        breaker: CircuitBreaker,
        timeout: ClusterTimeout,
    ) -> Self {
        let registry = ClusterRegistry::new(2, fastrand::Rng::with_seed(1));
        let cluster = update(&registry, addresses, breaker, timeout);
        Self { registry, cluster }
    }

    fn of(backends: &[&Backend], breaker: CircuitBreaker) -> Self {
        Self::new(&addresses(backends), breaker, ClusterTimeout::DEFAULT)
    }

    /// Sends a request to the cluster's only endpoint, from the first worker.
    async fn get(&self, path: &str) -> Result<String, SendErrorKind> {
        let endpoint = self.endpoint();
        get(&self.cluster, 0, &endpoint, path)
            .await
            .map_err(|error| error.kind)
    }

    fn endpoint(&self) -> Arc<EndpointState> {
        let members = self.cluster.members();
        Arc::clone(members.endpoints().next().expect("an endpoint"))
    }

    /// Everything that is counted is counted off again.
    fn settled(&self) {
        let breaker = &self.cluster.breaker;
        wait_until("nothing is in flight", || {
            breaker.requests.get() == 0 && breaker.pending.get() == 0
        });
        let members = self.cluster.members();
        assert!(members.endpoints().all(|endpoint| endpoint.active() == 0));
    }
}

fn addresses(backends: &[&Backend]) -> Vec<EndpointAddress> {
    backends
        .iter()
        .map(|it| EndpointAddress::Ip(it.address))
        .collect()
}

fn update(
    registry: &ClusterRegistry,
    addresses: &[EndpointAddress],
    circuit_breaker: CircuitBreaker,
    timeout: ClusterTimeout,
) -> Arc<ClusterState> {
    let route = NamespacedName::new("default", "route");
    let rule = RuleName {
        kind: RouteKind::Http,
        route: route.clone(),
        index: 0,
        rule: None,
    };
    let name = ClusterName::of_rule(&rule, &route, None, None);
    let set = EndpointsName::of_backend(&route);
    let cluster = Cluster {
        name: name.clone(),
        origin: Origin::default(),
        protocol: UpstreamProtocol::Http1,
        tls: None,
        localities: vec![Locality {
            weight: 1,
            priority: 0,
            endpoints: set.clone(),
        }],
        hostname: None,
        policy: Arc::new(ClusterPolicy {
            circuit_breaker,
            timeout,
            load_balancer: LoadBalancer {
                algorithm: ROUND_ROBIN,
                ..LoadBalancer::DEFAULT
            },
            ..ClusterPolicy::DEFAULT
        }),
    };
    let endpoint = |address: &EndpointAddress| Endpoint {
        address: address.clone(),
        hostname: None,
        zone: None,
    };
    let endpoints = EndpointMap::from([(set, addresses.iter().map(endpoint).collect())]);
    let clusters = BTreeMap::from([(name.clone(), Arc::new(cluster))]);
    registry
        .update(&clusters, &endpoints)
        .remove(&name)
        .expect("the cluster")
}

async fn get(
    cluster: &Arc<ClusterState>,
    worker: usize,
    endpoint: &Arc<EndpointState>,
    path: &str,
) -> Result<String, SendError> {
    let request = Request::get(path)
        .header("host", "test")
        .body(Body::empty())
        .expect("a request");
    let response = cluster
        .send_on(worker, endpoint, request, &no_limit())
        .await?;
    let body = response.into_body().collect().await.expect("a whole body");
    Ok(String::from_utf8_lossy(&body.to_bytes()).into_owned())
}

fn no_limit() -> AttemptLimit {
    TimeLimits::NONE.of_attempt(None)
}

/// Runs a future as a worker would, within the test's patience.
fn on_worker<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        timeout(PATIENCE, future).await.expect("in time")
    })
}

/// Runs a future on each of two workers. Neither stops before the other has finished: it may drive connections that
/// the other uses.
fn on_two_workers(future: impl AsyncFn(usize) + Sync) {
    let finished = tokio::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        for worker in 0..2 {
            let (future, finished) = (&future, &finished);
            scope.spawn(move || {
                on_worker(async {
                    future(worker).await;
                    finished.wait().await;
                });
            });
        }
    });
}

/// Lets two workers send requests, each 8 at a time, to endpoints in turn, and checks that all are answered.
fn two_workers_get(setup: &Setup, rounds: usize) {
    on_two_workers(async |worker| {
        let tasks = (0..8).map(|_| async {
            for _ in 0..rounds {
                let mut rng = fastrand::Rng::with_seed(1);
                let members = setup.cluster.members();
                let picked = members.pick(&ROUND_ROBIN, worker, &mut rng, &[]);
                let endpoint = Arc::clone(picked.expect("an endpoint"));
                drop(members);
                let body = get(&setup.cluster, worker, &endpoint, "/x").await;
                assert_eq!(body.expect("an answer"), "GET /x 0");
            }
        });
        join_all(tasks).await;
    });
    setup.settled();
}

async fn join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures
        .map(|future| Box::pin(tokio::task::unconstrained(future)))
        .collect();
    let mut outputs: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(move |cx| {
        for (future, output) in futures.iter_mut().zip(&mut outputs) {
            if output.is_none()
                && let std::task::Poll::Ready(done) = future.as_mut().poll(cx)
            {
                *output = Some(done);
            }
        }
        if outputs.iter().all(Option::is_some) {
            std::task::Poll::Ready(outputs.iter_mut().filter_map(Option::take).collect())
        } else {
            std::task::Poll::Pending
        }
    })
    .await
}

/// Lets the worker go on until the backend holds so many requests.
async fn held(backend: &Backend, count: usize) {
    while !backend.has_held(count) {
        tokio::task::yield_now().await;
    }
}
