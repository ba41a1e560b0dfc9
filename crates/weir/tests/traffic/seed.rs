//! The examples of `examples/seed`, each loaded with `base.yaml` alone and as it is written: what its document says is
//! what traffic gets.

use std::path::PathBuf;
use std::time::Duration;

use crate::backend::{Backend, Gate};
use crate::client::{Client, gets, take, wait_until};
use crate::gateway::Gateway;

fn read(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples/seed")
        .join(name);
    std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

/// The example with its base, whose backend `echo` stands where the test put it.
fn example(name: &str, backend: &Backend) -> Gateway {
    Gateway::setup()
        .moved("echo", backend)
        .start(&[&read("base.yaml"), &read(name)])
}

/// How many connections a host's route opens to its backend at one time, when more are wanted.
fn connections_at_once(name: &str, host: &str) -> usize {
    let gate = Gate::default();
    let backend = Backend::holding(&gate);
    let gateway = example(name, &backend);
    let wanted = 120;
    let responses = gets(gateway.address_of(8080), host, "/", wanted);
    // All are in the gateway when those that are not at the backend wait for a connection. Those whose connection is still
    // being made wait as well, and will be at the backend: the breaker counts their connections already.
    wait_until("all requests are at the backend or wait", || {
        let pending = gateway.metric(&["weir_circuit_breaker_pending_requests"]);
        let connections = gateway.metric(&["weir_circuit_breaker_connections"]);
        let waiting = gate.waiting() as f64;
        waiting + pending == wanted as f64 && waiting == connections
    });
    let at_once = gate.waiting();
    assert_eq!(backend.connections(), at_once);
    gate.open();
    assert!(
        take(&responses, wanted)
            .iter()
            .all(|(status, _)| *status == 200),
        "those that waited are served, too"
    );
    at_once
}

#[test]
fn targeting_by_name_limits_connections() {
    assert_eq!(
        connections_at_once("1-targeting.yaml", "my.example.com"),
        50
    );
}

#[test]
fn targeting_by_label_limits_requests() {
    let backend = Backend::named("echo");
    let gateway = example("1-targeting.yaml", &backend);
    let mut client = Client::connect(gateway.address_of(8080));
    let mut statuses = |host: &str, count: usize| -> Vec<u16> {
        (0..count).map(|_| client.get(host, "/").status).collect()
    };
    let first = statuses("pay.example.com", 12);
    assert_eq!(first, [vec![200; 10], vec![429; 2]].concat());
    assert_eq!(
        statuses("my.example.com", 12),
        [200; 12],
        "the other route is not limited"
    );
    gateway.clock.advance(Duration::from_secs(1));
    assert_eq!(
        statuses("pay.example.com", 11),
        [vec![200; 10], vec![429]].concat()
    );
}

#[test]
fn the_route_comes_before_its_gateway() {
    assert_eq!(
        connections_at_once("2-precedence.yaml", "my.example.com"),
        50
    );
    assert_eq!(
        connections_at_once("2-precedence.yaml", "pay.example.com"),
        100
    );
}

#[test]
fn the_older_policy_comes_before_the_younger() {
    assert_eq!(
        connections_at_once("3-same-level.yaml", "my.example.com"),
        30
    );
}

#[test]
fn merged_limits_are_both_in_force() {
    let backend = Backend::named("echo");
    let gateway = example("4-merging.yaml", &backend);
    let mut client = Client::connect(gateway.address_of(8081));
    let mut statuses = |host: &str, count: usize| -> Vec<u16> {
        (0..count).map(|_| client.get(host, "/").status).collect()
    };
    // The route's own limit: 5 a minute. Its refused requests count in the shared limit as well.
    assert_eq!(
        statuses("signup.example.com", 7),
        [vec![200; 5], vec![429; 2]].concat()
    );
    // The gateway's limit of 100 a second has 93 left for the other route.
    assert_eq!(
        statuses("other.example.com", 95),
        [vec![200; 93], vec![429; 2]].concat()
    );
    // In the next second the shared limit is whole again, the minute's is not.
    gateway.clock.advance(Duration::from_secs(1));
    assert_eq!(statuses("other.example.com", 1), [200]);
    assert_eq!(statuses("signup.example.com", 1), [429]);
    gateway.clock.advance(Duration::from_secs(59));
    assert_eq!(
        statuses("signup.example.com", 6),
        [vec![200; 5], vec![429]].concat()
    );
    // A second in which the other route has used up the shared limit holds for this one, too.
    gateway.clock.advance(Duration::from_secs(60));
    assert_eq!(statuses("other.example.com", 100), [200; 100]);
    assert_eq!(statuses("signup.example.com", 1), [429]);
}
