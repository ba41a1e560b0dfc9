//! Whatever happens to a request, what it took is given back: slots of breakers, connections, gauges.

use std::time::Duration;

use crate::backend::{Backend, Gate, Request, Step, reply, response};
use crate::client::{Client, get, request, wait_until};
use crate::gateway::{EDGE, Gateway, policy, route_all};

/// With one slot of everything, a single leak is seen at once.
const ONE_OF_EACH: &str = "circuitBreaker: {maxConnections: 1, maxPendingRequests: 1, maxParallelRequests: 1, \
     maxParallelRetries: 1, perEndpoint: {maxConnections: 1}}, \
     timeout: {http: {requestTimeout: 100ms}}, \
     retry: {numRetries: 1, retryOn: {triggers: [reset, connect-failure]}, perRetry: {backOff: {baseInterval: 1ms}}}";

fn gateway(backend: &Backend) -> Gateway {
    let limits = policy("limits", "HTTPRoute app", ONE_OF_EACH);
    Gateway::setup()
        .workers(2)
        .start(&[EDGE, &backend.yaml("app"), &route_all("app"), &limits])
}

/// Waits until the gateway serves again (a slot may be given back a moment after the answer), and says that it does so
/// 20 times in a row over one connection.
fn serves_again(gateway: &Gateway, after: &str) {
    wait_until(&format!("a request is served after: {after}"), || {
        get(gateway.address(), "any.example", "/fine").status == 200
    });
    let mut client = Client::connect(gateway.address());
    for _ in 0..20 {
        assert_eq!(client.get("any.example", "/fine").status, 200, "{after}");
    }
    wait_until(&format!("all gauges are back after: {after}"), || {
        [
            "weir_requests_active",
            "weir_circuit_breaker_pending_requests",
            "weir_circuit_breaker_requests",
            "weir_circuit_breaker_retries",
        ]
        .iter()
        .all(|gauge| gateway.metric(&[gauge]) == 0.0)
    });
}

/// How a backend treats a path.
fn treat(request: &Request, gate: &Gate) -> Vec<Step> {
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf".to_vec();
    match request.target.as_str() {
        "/close" => vec![Step::Close],
        "/reset" => vec![Step::Reset],
        "/garbage" => vec![Step::Send(b"garbage\r\n\r\n".to_vec())],
        "/half-close" => vec![Step::Send(half), Step::Close],
        "/half-reset" => vec![Step::Send(half), Step::Reset],
        "/half-hang" => vec![Step::Send(half), Step::Hold(gate.clone()), Step::Close],
        "/hang" => vec![Step::Hold(gate.clone()), Step::Close],
        "/503" => reply(503, "no"),
        "/close-after" => vec![
            Step::Send(response(200, &[("connection", "close")], "bye")),
            Step::Close,
        ],
        _ => reply(200, "fine"),
    }
}

#[test]
fn every_way_to_fail_gives_its_slots_back() {
    let gate = Gate::default();
    let backend = Backend::start({
        let gate = gate.clone();
        move |request| treat(request, &gate)
    });
    let gateway = gateway(&backend);
    let paths = [
        "/close",
        "/reset",
        "/garbage",
        "/half-close",
        "/half-reset",
        "/half-hang",
        "/hang",
        "/503",
        "/close-after",
    ];
    for path in paths {
        for _ in 0..5 {
            let mut client = Client::connect(gateway.address());
            client.send(&request("GET", "any.example", path, &[], b""));
            let _ = client.try_receive(); // whatever it is
        }
        serves_again(&gateway, path);
    }
    gate.open();
}

#[test]
fn clients_that_leave_at_any_moment_give_their_slots_back() {
    let gate = Gate::default();
    let backend = Backend::start({
        let gate = gate.clone();
        move |request| treat(request, &gate)
    });
    let gateway = gateway(&backend);
    let whole = request("GET", "any.example", "/hang", &[], b"");
    let upload = request("POST", "any.example", "/fine", &[], &[b'x'; 100_000]);
    let pipelined = [whole.clone(), whole.clone(), whole.clone()].concat();
    for (what, bytes) in [
        ("half a head", &whole[..20]),
        ("a request", &whole),
        ("half an upload", &upload[..50_000]),
        ("an upload", &upload),
        ("several requests", &pipelined),
    ] {
        for pause in [0, 5, 40] {
            let mut client = Client::connect(gateway.address());
            client.send(bytes);
            std::thread::sleep(Duration::from_millis(pause)); // the moment at which the client leaves
            drop(client);
        }
        serves_again(&gateway, what);
    }
    gate.open();
}

#[test]
fn a_backend_that_is_away_costs_no_slots() {
    let backend = Backend::named("fine");
    let gateway = gateway(&backend);
    for round in 0..3 {
        backend.kill();
        for _ in 0..10 {
            assert_eq!(get(gateway.address(), "any.example", "/").status, 503);
        }
        backend.restart();
        serves_again(&gateway, &format!("absence {round}"));
    }
}

#[test]
fn changes_of_plan_cost_no_slots() {
    let gate = Gate::default();
    let backend = Backend::start({
        let gate = gate.clone();
        move |request| treat(request, &gate)
    });
    let mut gateway = gateway(&backend);
    let limits = policy("limits", "HTTPRoute app", ONE_OF_EACH);
    for round in 0..10 {
        let mut client = Client::connect(gateway.address());
        client.send(&request("GET", "any.example", "/half-hang", &[], b""));
        gate.wait_for(1);
        gateway.apply(&[EDGE]); // the cluster goes while its request runs
        gateway.apply(&[EDGE, &backend.yaml("app"), &route_all("app"), &limits]);
        let _ = client.try_receive();
        drop(client);
        wait_until("the request has ended", || {
            get(gateway.address(), "any.example", "/fine").status == 200
        });
        gateway.apply(&[EDGE, &backend.yaml("app"), &route_all("app"), &limits]);
        serves_again(&gateway, &format!("change {round}"));
        wait_until("the backend is free", || {
            gate.open();
            gate.waiting() == 0
        });
        gate.shut();
    }
    gate.open();
}
