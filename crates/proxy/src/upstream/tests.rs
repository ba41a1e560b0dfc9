//! Pools and limits, against backends on real sockets, on workers of the test's own.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use tokio::io::AsyncWriteExt;
use tokio::task::LocalSet;
use tokio::time::timeout;
use weir_plan::features::circuit_breaker::CircuitBreaker;
use weir_plan::features::load_balancer::LoadBalancer;
use weir_plan::features::timeout::ClusterTimeout;
use weir_plan::{
    Cluster, ClusterName, ClusterPolicy, Endpoint, EndpointAddress, EndpointMap, EndpointsName,
    Locality, NamespacedName, Origin, RouteKind, RuleName, UpstreamProtocol,
};

use super::{EndpointState, SendError, SendErrorKind};
use crate::body::Body;
use crate::cluster::{ClusterRegistry, ClusterState};

#[path = "../../tests/engine/backend.rs"]
mod backend;
use backend::{Backend, PATIENCE, wait_until};

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
        localities: vec![Locality {
            weight: 1,
            priority: 0,
            endpoints: set.clone(),
        }],
        policy: Arc::new(ClusterPolicy {
            circuit_breaker,
            timeout,
            load_balancer: LoadBalancer::RoundRobin,
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
    let response = cluster.send_on(worker, endpoint, request).await?;
    let body = response.into_body().collect().await.expect("a whole body");
    Ok(String::from_utf8_lossy(&body.to_bytes()).into_owned())
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

/// Lets two workers send requests, each 8 at a time, to endpoints in turn, and checks that all are answered.
fn two_workers_get(setup: &Setup, rounds: usize) {
    std::thread::scope(|scope| {
        for worker in 0..2 {
            scope.spawn(move || {
                on_worker(async {
                    let tasks = (0..8).map(|_| async {
                        for _ in 0..rounds {
                            let mut rng = fastrand::Rng::with_seed(1);
                            let members = setup.cluster.members();
                            let picked =
                                members.pick(LoadBalancer::RoundRobin, worker, &mut rng, &[]);
                            let endpoint = Arc::clone(picked.expect("an endpoint"));
                            drop(members);
                            let body = get(&setup.cluster, worker, &endpoint, "/x").await;
                            assert_eq!(body.expect("an answer"), "GET /x 0");
                        }
                    });
                    join_all(tasks).await;
                });
            });
        }
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

#[test]
fn one_connection_serves_two_workers_and_none_starves() {
    let backend = Backend::start();
    let setup = Setup::of(
        &[&backend],
        CircuitBreaker {
            max_connections: 1,
            ..LIMITS
        },
    );
    two_workers_get(&setup, 100);
    assert_eq!(backend.most_open(), 1);
    assert!(setup.cluster.stats.cx_overflow.get() > 0);
}

#[test]
fn no_connections_allowed_acts_as_one() {
    let backend = Backend::start();
    let setup = Setup::of(
        &[&backend],
        CircuitBreaker {
            max_connections: 0,
            ..LIMITS
        },
    );
    two_workers_get(&setup, 10);
    assert_eq!(backend.most_open(), 1);
}

#[test]
fn one_connection_serves_two_endpoints_in_turn() {
    let (one, other) = (Backend::start(), Backend::start());
    let setup = Setup::of(
        &[&one, &other],
        CircuitBreaker {
            max_connections: 1,
            ..LIMITS
        },
    );
    two_workers_get(&setup, 10);
    assert!(one.accepted() > 0 && other.accepted() > 0);
    assert_eq!((one.most_open(), other.most_open()), (1, 1));
    assert!(setup.cluster.breaker.connections.get() <= 1);
}

#[test]
fn each_endpoint_has_a_limit_of_its_own() {
    let (one, other) = (Backend::start(), Backend::start());
    let breaker = CircuitBreaker {
        max_connections_per_endpoint: Some(1),
        ..LIMITS
    };
    let setup = Setup::of(&[&one, &other], breaker);
    two_workers_get(&setup, 50);
    assert_eq!((one.most_open(), other.most_open()), (1, 1));
}

#[test]
fn an_idle_connection_of_another_worker_serves_where_nothing_may_wait() {
    let backend = Backend::start();
    let setup = Setup::of(
        &[&backend],
        CircuitBreaker {
            max_pending_requests: 0,
            ..LIMITS
        },
    );
    on_worker(async {
        assert_eq!(setup.get("/x").await, Err(SendErrorKind::Overflow));
        assert_eq!(setup.cluster.stats.rq_pending_overflow.get(), 1);
        let address = addresses(&[&backend]);
        let breaker = CircuitBreaker {
            max_pending_requests: 1,
            ..LIMITS
        };
        update(&setup.registry, &address, breaker, ClusterTimeout::DEFAULT);
        assert!(setup.get("/x").await.is_ok());
        let breaker = CircuitBreaker {
            max_pending_requests: 0,
            ..LIMITS
        };
        update(&setup.registry, &address, breaker, ClusterTimeout::DEFAULT);
        for worker in [0, 1, 0] {
            let body = get(&setup.cluster, worker, &setup.endpoint(), "/x").await;
            assert!(body.is_ok(), "worker {worker}");
        }
    });
    assert_eq!(backend.accepted(), 1);
}

#[test]
fn one_waits_and_the_rest_is_refused() {
    let backend = Backend::start();
    let breaker = CircuitBreaker {
        max_connections: 1,
        max_pending_requests: 1,
        ..LIMITS
    };
    let setup = Setup::of(&[&backend], breaker);
    on_worker(async {
        let first = setup.get("/hold");
        let others = async {
            held(&backend, 1).await;
            let others = join_all(["/x", "/x", "/x"].into_iter().map(|path| setup.get(path)));
            let release = async { backend.release(1) };
            tokio::join!(others, release).0
        };
        let (first, others) = tokio::join!(first, others);
        assert!(first.is_ok());
        let overflow = Err(SendErrorKind::Overflow);
        assert_eq!(
            others,
            [Ok("GET /x 0".to_owned()), overflow.clone(), overflow]
        );
        assert_eq!(setup.cluster.stats.rq_pending_overflow.get(), 2);
    });
    setup.settled();
}

/// Lets the worker go on until the backend holds so many requests.
async fn held(backend: &Backend, count: usize) {
    while !backend.has_held(count) {
        tokio::task::yield_now().await;
    }
}

#[test]
fn requests_in_progress_are_limited_when_a_connection_is_there() {
    let backend = Backend::start();
    let setup = Setup::of(
        &[&backend],
        CircuitBreaker {
            max_parallel_requests: 1,
            ..LIMITS
        },
    );
    on_worker(async {
        let second = async {
            held(&backend, 1).await;
            let second = setup.get("/x").await;
            backend.release(1);
            second
        };
        let (first, second) = tokio::join!(setup.get("/hold"), second);
        assert!(first.is_ok());
        assert_eq!(second, Err(SendErrorKind::Overflow));
        assert_eq!(setup.cluster.stats.rq_active_overflow.get(), 1);
        assert!(setup.get("/x").await.is_ok());
    });
    assert_eq!(setup.cluster.stats.cx_total.get(), 2);
}

#[test]
fn a_limit_of_requests_holds_for_those_that_wait_in_line() {
    let backend = Backend::start();
    let breaker = CircuitBreaker {
        max_connections: 1,
        max_parallel_requests: 1,
        ..LIMITS
    };
    two_workers_get(&Setup::of(&[&backend], breaker), 50);
}

#[test]
fn a_connection_closes_after_its_last_request() {
    let backend = Backend::start();
    let breaker = CircuitBreaker {
        max_requests_per_connection: Some(2),
        max_connections: 1,
        ..LIMITS
    };
    let setup = Setup::of(&[&backend], breaker);
    on_worker(async {
        for _ in 0..6 {
            assert!(setup.get("/x").await.is_ok());
        }
    });
    assert_eq!((backend.accepted(), backend.most_open()), (3, 1));
    assert_eq!(setup.cluster.stats.cx_max_requests.get(), 3);
}

#[test]
fn one_who_gives_up_waiting_leaves_the_turn_to_the_next() {
    let backend = Backend::start();
    let setup = Setup::of(
        &[&backend],
        CircuitBreaker {
            max_connections: 1,
            ..LIMITS
        },
    );
    on_worker(async {
        let others = async {
            held(&backend, 1).await;
            let gives_up = timeout(Duration::from_millis(1), setup.get("/x")).await;
            assert!(gives_up.is_err());
            assert_eq!(setup.cluster.breaker.pending.get(), 0);
            let next = setup.get("/next");
            let release = async { backend.release(1) };
            tokio::join!(next, release).0
        };
        let (first, next) = tokio::join!(setup.get("/hold"), others);
        assert!(first.is_ok());
        assert_eq!(next, Ok("GET /next 0".to_owned()));
    });
    setup.settled();
}

#[test]
fn a_higher_limit_serves_those_who_wait() {
    let backend = Backend::start();
    let setup = Setup::of(
        &[&backend],
        CircuitBreaker {
            max_connections: 1,
            ..LIMITS
        },
    );
    on_worker(async {
        let raise = async {
            held(&backend, 1).await;
            let second = setup.get("/x");
            let raise = async {
                let breaker = CircuitBreaker {
                    max_connections: 2,
                    ..LIMITS
                };
                update(
                    &setup.registry,
                    &addresses(&[&backend]),
                    breaker,
                    ClusterTimeout::DEFAULT,
                );
            };
            let second = tokio::join!(second, raise).0;
            backend.release(1);
            second
        };
        let (first, second) = tokio::join!(setup.get("/hold"), raise);
        assert!(first.is_ok() && second.is_ok());
    });
}

#[test]
fn a_connection_that_the_endpoint_closes_leaves_the_pool() {
    let backend = Backend::start();
    let setup = Setup::of(&[&backend], LIMITS);
    on_worker(async {
        for _ in 0..20 {
            assert_eq!(setup.get("/close").await, Ok("GET /close 0".to_owned()));
            while setup.cluster.breaker.connections.get() > 0 {
                tokio::task::yield_now().await;
            }
        }
    });
    assert_eq!(setup.cluster.stats.cx_total.get(), 20);
    assert_eq!(setup.cluster.stats.rq_total.get(), 20);
}

#[test]
fn failures_say_what_happened() {
    let backend = Backend::start();
    let setup = Setup::of(&[&backend], LIMITS);
    on_worker(async {
        assert_eq!(setup.get("/die").await, Err(SendErrorKind::Terminated));
        let garbage = setup.get("/garbage").await;
        assert!(
            matches!(&garbage, Err(SendErrorKind::Protocol(_))),
            "{garbage:?}"
        );
        // After both, the endpoint is as good as before.
        assert!(setup.get("/x").await.is_ok());
    });
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = EndpointAddress::Ip(gone.local_addr().expect("bound"));
    drop(gone);
    let setup = Setup::new(&[address], LIMITS, ClusterTimeout::DEFAULT);
    on_worker(async {
        let refused = setup.get("/x").await;
        assert!(
            matches!(&refused, Err(SendErrorKind::Connect { reason }) if reason.contains("refused")),
            "{refused:?}"
        );
        assert_eq!(setup.cluster.stats.cx_connect_fail.get(), 1);
    });
    assert_eq!(setup.cluster.breaker.connections.get(), 0);
}

#[test]
fn a_connection_must_be_made_in_time() {
    // A queue of one that is full: further connections are not even refused.
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let listener = listener.expect("a socket");
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    listener.bind(&any.into()).expect("a free port");
    listener.listen(0).expect("listening");
    let address = listener
        .local_addr()
        .expect("bound")
        .as_socket()
        .expect("an IP address");
    let _fills = std::net::TcpStream::connect(address).expect("the one place");
    let limits = ClusterTimeout {
        connect: Duration::from_millis(50),
        ..ClusterTimeout::DEFAULT
    };
    let setup = Setup::new(&[EndpointAddress::Ip(address)], LIMITS, limits);
    on_worker(async {
        assert_eq!(setup.get("/x").await, Err(SendErrorKind::ConnectTimeout));
    });
    assert_eq!(setup.cluster.stats.cx_connect_timeout.get(), 1);
    assert_eq!(setup.cluster.breaker.connections.get(), 0);
}

#[test]
fn idle_connections_close_in_time() {
    let backend = Backend::start();
    let limits = ClusterTimeout {
        connection_idle: Some(Duration::from_millis(50)),
        ..ClusterTimeout::DEFAULT
    };
    let setup = Setup::new(&addresses(&[&backend]), LIMITS, limits);
    on_worker(async {
        assert!(setup.get("/x").await.is_ok());
        assert_eq!(setup.cluster.breaker.connections.get(), 1);
        while setup.cluster.breaker.connections.get() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    backend.wait_for_open(0);
    assert_eq!(setup.cluster.stats.cx_idle_timeout.get(), 1);
}

#[test]
fn old_connections_close_between_requests() {
    let backend = Backend::start();
    let limits = ClusterTimeout {
        max_connection_duration: Some(Duration::from_millis(50)),
        ..ClusterTimeout::DEFAULT
    };
    let setup = Setup::new(&addresses(&[&backend]), LIMITS, limits);
    on_worker(async {
        let release = async {
            tokio::time::sleep(Duration::from_millis(80)).await;
            backend.release(1);
        };
        // A request in progress is not disturbed.
        assert!(tokio::join!(setup.get("/hold"), release).0.is_ok());
        assert_eq!(setup.cluster.stats.cx_max_duration_reached.get(), 1);
        assert!(setup.get("/x").await.is_ok());
        while setup.cluster.breaker.connections.get() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    assert_eq!(setup.cluster.stats.cx_max_duration_reached.get(), 2);
    assert_eq!(backend.accepted(), 2);
}

#[test]
fn a_response_that_is_dropped_early_closes_its_connection() {
    let backend = Backend::start();
    let setup = Setup::of(
        &[&backend],
        CircuitBreaker {
            max_connections: 1,
            ..LIMITS
        },
    );
    on_worker(async {
        let request = Request::get("/partial")
            .body(Body::empty())
            .expect("a request");
        let response = setup
            .cluster
            .send_on(0, &setup.endpoint(), request)
            .await
            .expect("a head");
        assert_eq!(setup.cluster.breaker.requests.get(), 1);
        drop(response);
        assert_eq!(setup.cluster.breaker.requests.get(), 0);
        assert!(setup.get("/x").await.is_ok());
    });
    assert_eq!((backend.accepted(), backend.most_open()), (2, 1));
}

#[test]
fn a_response_before_its_request_has_ended_closes_the_connection() {
    let backend = Backend::start();
    let setup = Setup::of(
        &[&backend],
        CircuitBreaker {
            max_connections: 1,
            ..LIMITS
        },
    );
    on_worker(async {
        let (body, _client) = never_ending().await;
        let request = Request::post("/early").body(body).expect("a request");
        let response = setup
            .cluster
            .send_on(0, &setup.endpoint(), request)
            .await
            .expect("a head");
        let body = response.into_body().collect().await.expect("a body");
        assert_eq!(body.to_bytes(), "early");
        assert!(setup.get("/x").await.is_ok());
    });
    assert_eq!((backend.accepted(), backend.most_open()), (2, 1));
}

/// A request body that never comes, as long as the client's end is kept.
async fn never_ending() -> (Body, tokio::io::DuplexStream) {
    let (mut client, server) = tokio::io::duplex(1_000);
    let (taken, body) = tokio::sync::oneshot::channel();
    let taken = std::cell::RefCell::new(Some(taken));
    let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
        let taken = taken.take().expect("one request");
        taken.send(request.into_body()).expect("somebody wants it");
        std::future::pending::<Result<http::Response<Body>, std::convert::Infallible>>()
    });
    let io = hyper_util::rt::TokioIo::new(server);
    tokio::task::spawn_local(
        hyper::server::conn::http1::Builder::new().serve_connection(io, service),
    );
    client
        .write_all(b"POST / HTTP/1.1\r\ncontent-length: 10\r\n\r\n")
        .await
        .expect("sent");
    (Body::incoming(body.await.expect("a body")), client)
}

#[test]
fn endpoints_come_and_go_and_keep_their_state() {
    let (one, other) = (Backend::start(), Backend::start());
    let setup = Setup::of(&[&one, &other], LIMITS);
    let states = || -> Vec<_> { setup.cluster.members().endpoints().cloned().collect() };
    let before = states();
    on_worker(async {
        for endpoint in &before {
            assert!(get(&setup.cluster, 0, endpoint, "/x").await.is_ok());
        }
        let gone = before
            .iter()
            .find(|it| it.endpoint.address == EndpointAddress::Ip(other.address));
        let gone = gone.expect("the other endpoint");
        let in_flight = get(&setup.cluster, 0, gone, "/hold");
        let change = async {
            held(&other, 1).await;
            update(
                &setup.registry,
                &addresses(&[&one]),
                LIMITS,
                ClusterTimeout::DEFAULT,
            );
            other.release(1);
        };
        assert!(
            tokio::join!(in_flight, change).0.is_ok(),
            "a request in flight goes on"
        );
        while setup.cluster.breaker.connections.get() > 1 {
            tokio::task::yield_now().await;
        }
        // The one that stayed still has its connection.
        assert!(setup.get("/x").await.is_ok());
    });
    let after = states();
    assert_eq!(after.len(), 1);
    assert!(before.iter().any(|it| Arc::ptr_eq(it, &after[0])));
    assert_eq!((one.accepted(), other.accepted()), (1, 1));
    other.wait_for_open(0);
    let none = setup.registry.update(&BTreeMap::new(), &EndpointMap::new());
    assert!(none.is_empty());
}

#[test]
fn unix_sockets_and_host_names_work() {
    let backend = Backend::start();
    let name = EndpointAddress::Fqdn(Arc::from("localhost"), backend.address.port());
    let setup = Setup::new(&[name], LIMITS, ClusterTimeout::DEFAULT);
    on_worker(async { assert!(setup.get("/x").await.is_ok()) });

    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    let serving = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut request = [0; 1_000];
        let read = stream.read(&mut request).expect("a request");
        assert!(request[..read].starts_with(b"GET /x HTTP/1.1\r\n"));
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nunix")
            .expect("sent");
    });
    let address = EndpointAddress::Unix(Arc::from(path.to_str().expect("a path in UTF-8")));
    let setup = Setup::new(&[address], LIMITS, ClusterTimeout::DEFAULT);
    on_worker(async { assert_eq!(setup.get("/x").await, Ok("unix".to_owned())) });
    serving.join().expect("served");
}

#[test]
fn nothing_is_lost_when_requests_are_given_up_at_random() {
    let (one, other) = (Backend::start(), Backend::start());
    let breaker = CircuitBreaker {
        max_connections: 2,
        max_pending_requests: 8,
        max_parallel_requests: 2,
        max_connections_per_endpoint: Some(1),
        max_requests_per_connection: Some(7),
        ..LIMITS
    };
    let setup = Setup::of(&[&one, &other], breaker);
    std::thread::scope(|scope| {
        for worker in 0..2 {
            let setup = &setup;
            scope.spawn(move || {
                on_worker(async {
                    let tasks = (0..8).map(|task| async move {
                        let mut rng = fastrand::Rng::with_seed(worker as u64 * 8 + task);
                        for _ in 0..25 {
                            let picked = {
                                let members = setup.cluster.members();
                                members
                                    .pick(LoadBalancer::LeastRequest, worker, &mut rng, &[])
                                    .cloned()
                            };
                            let path = ["/x", "/close", "/die", "/partial"][rng.usize(..4)];
                            let request =
                                get(&setup.cluster, worker, picked.as_ref().expect("one"), path);
                            drop(timeout(Duration::from_micros(rng.u64(..2_000)), request).await);
                        }
                    });
                    join_all(tasks).await;
                    // All who still want something get it.
                    let endpoint = setup.endpoint();
                    assert!(get(&setup.cluster, worker, &endpoint, "/x").await.is_ok());
                });
            });
        }
    });
    setup.settled();
    assert!(one.most_open() <= 1 && other.most_open() <= 1);
}
