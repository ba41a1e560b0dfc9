//! The limits of the circuit breaker, from both sides, and the queue in front of them.

use std::time::Duration;

use tokio::time::timeout;
use weir_plan::features::circuit_breaker::CircuitBreaker;
use weir_plan::features::load_balancer::Algorithm;
use weir_plan::features::timeout::ClusterTimeout;

use super::backend::Backend;
use super::{
    LIMITS, Setup, addresses, get, held, join_all, on_two_workers, on_worker, two_workers_get,
    update,
};
use crate::upstream::SendErrorKind;

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
    assert!(backend.most_open() <= 1);
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
    assert!(backend.most_open() <= 1);
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
    assert!(one.most_open() <= 1 && other.most_open() <= 1);
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
    assert!(one.most_open() <= 1 && other.most_open() <= 1);
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
    assert_eq!(setup.cluster.stats.cx_total.get(), 1);
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
    assert!(backend.most_open() <= 1);
    assert_eq!(setup.cluster.stats.cx_total.get(), 3);
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
    on_two_workers(async |worker| {
        let tasks = (0..8).map(|task| {
            let setup = &setup;
            async move {
                let mut rng = fastrand::Rng::with_seed(worker as u64 * 8 + task);
                for _ in 0..100 {
                    let algorithm = &Algorithm::LeastRequest { slow_start: None };
                    let members = setup.cluster.members();
                    let picked = members.pick(algorithm, worker, &mut rng, &[]).cloned();
                    drop(members);
                    let path = ["/x", "/close", "/die", "/partial"][rng.usize(..4)];
                    let endpoint = picked.expect("an endpoint");
                    let request = get(&setup.cluster, worker, &endpoint, path);
                    drop(timeout(Duration::from_micros(rng.u64(..2_000)), request).await);
                }
            }
        });
        join_all(tasks).await;
    });
    // Whoever wants something now gets it.
    on_worker(async { assert_eq!(setup.get("/x").await, Ok("GET /x 0".to_owned())) });
    setup.settled();
    assert!(one.most_open() <= 1 && other.most_open() <= 1);
}
