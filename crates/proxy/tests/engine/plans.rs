//! Plans and endpoints change under load: nothing is dropped, and state goes on.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use weir_plan::features::circuit_breaker::CircuitBreaker;

use crate::backend::{Backend, wait_until};
use crate::client::{Client, answer};
use crate::{address, endpoints, options, plan, serve};

const BREAKER: CircuitBreaker = CircuitBreaker::DEFAULT;

#[test]
fn changes_under_load_drop_nothing() {
    let (one, other) = (Backend::start(), Backend::start());
    let proxy = serve(options(2), &[80], &[&one]);
    let address = address(&proxy, 80);
    let (stop, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = Client::connect(address);
                while !stop.load(Ordering::SeqCst) {
                    assert_eq!(client.get("/x"), answer("/x"));
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for round in 0..50_u32 {
            let before = answered.load(Ordering::SeqCst);
            let ports: &[u16] = if round % 2 == 0 { &[80, 81] } else { &[80] };
            let max_connections = 1 + round % 4;
            let breaker = CircuitBreaker {
                max_connections,
                ..BREAKER
            };
            assert_eq!(proxy.apply(&plan(ports, breaker), &endpoints(&[&one])), []);
            proxy.apply_endpoints(&endpoints(&[&other]));
            wait_until("requests go on", || {
                answered.load(Ordering::SeqCst) > before + 8
            });
            proxy.apply_endpoints(&endpoints(&[&one, &other]));
        }
        stop.store(true, Ordering::SeqCst);
    });
    assert!(one.accepted() > 0 && other.accepted() > 0);
}

#[test]
fn counts_survive_a_new_plan() {
    let backend = Backend::start();
    let proxy = serve(options(2), &[80], &[&backend]);
    let address = address(&proxy, 80);
    let mut busy = Client::connect(address);
    busy.send("GET /hold HTTP/1.1\r\nhost: test\r\n\r\n");
    backend.wait_for_held(1);
    let apply = |max_parallel_requests| {
        let breaker = CircuitBreaker {
            max_parallel_requests,
            ..BREAKER
        };
        assert_eq!(
            proxy.apply(&plan(&[80], breaker), &endpoints(&[&backend])),
            []
        );
    };
    apply(1);
    let mut client = Client::connect(address);
    assert_eq!(client.get("/x").status, 503);
    apply(2);
    assert_eq!(Client::connect(address).get("/x"), answer("/x"));
    apply(1);
    backend.release(1);
    assert_eq!(busy.read().expect("an answer").status, 200);
    wait_until("the place is free", || {
        Client::connect(address).get("/x").status == 200
    });
}

#[test]
fn one_connection_serves_many_clients_on_all_workers() {
    let backend = Backend::start();
    let proxy = serve(options(2), &[80], &[&backend]);
    let breaker = CircuitBreaker {
        max_connections: 1,
        ..BREAKER
    };
    assert_eq!(
        proxy.apply(&plan(&[80], breaker), &endpoints(&[&backend])),
        []
    );
    let address = address(&proxy, 80);
    std::thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                let mut client = Client::connect(address);
                for _ in 0..20 {
                    assert_eq!(client.get("/x"), answer("/x"));
                }
            });
        }
    });
    assert!(backend.most_open() <= 1);
}

#[test]
fn an_endpoint_set_may_be_empty_for_a_while() {
    let backend = Backend::start();
    let proxy = serve(options(1), &[80], &[]);
    let mut client = Client::connect(address(&proxy, 80));
    let none = client.get("/x");
    assert_eq!(
        (none.status, none.body.as_str()),
        (503, "no healthy upstream")
    );
    proxy.apply_endpoints(&endpoints(&[&backend]));
    assert_eq!(client.get("/x"), answer("/x"));
}
