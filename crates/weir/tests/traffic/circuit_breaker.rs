//! `circuitBreaker`: each threshold from both sides, per endpoint, over workers, and across plans.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::backend::{Backend, Gate, Step, backend_yaml, response};
use crate::client::{Client, get, gets, take};
use crate::gateway::{EDGE, Gateway, policy, route, route_all, to};

const OVERFLOW: &str =
    "upstream connect error or disconnect/reset before headers. reset reason: overflow";

fn limits(settings: &str) -> String {
    policy(
        "limits",
        "HTTPRoute app",
        &format!("circuitBreaker: {{{settings}}}"),
    )
}

fn gateway(backend: &Backend, workers: usize, settings: &str) -> Gateway {
    Gateway::setup().workers(workers).start(&[
        EDGE,
        &backend.yaml("app"),
        &route_all("app"),
        &limits(settings),
    ])
}

fn held() -> (u16, String) {
    (200, "held".to_owned())
}

fn overflow() -> (u16, String) {
    (503, OVERFLOW.to_owned())
}

#[test]
fn requests_over_the_parallel_limit_are_refused() {
    for workers in [1, 2] {
        let gate = Gate::default();
        let backend = Backend::holding(&gate);
        let gateway = gateway(&backend, workers, "maxParallelRequests: 2");
        let inside = gets(gateway.address(), "any.example", "/", 2);
        gate.wait_for(2);
        let outside = gets(gateway.address(), "any.example", "/", 3);
        assert_eq!(take(&outside, 3), [overflow(), overflow(), overflow()]);
        gate.open();
        assert_eq!(take(&inside, 2), [held(), held()]);
        // The slots were given back.
        assert_eq!(
            take(&gets(gateway.address(), "any.example", "/", 1), 1),
            [held()]
        );
        assert_eq!(backend.count(), 3);
    }
}

#[test]
fn a_refusal_carries_no_envoy_headers() {
    let backend = Backend::named("never");
    let gateway = gateway(&backend, 1, "maxParallelRequests: 0");
    let response = get(gateway.address(), "any.example", "/");
    assert_eq!(response.brief(), overflow());
    assert_eq!(response.header("x-envoy-overloaded"), None);
    assert_eq!(backend.count(), 0);
}

#[test]
fn requests_wait_for_a_connection_up_to_the_pending_limit() {
    let gate = Gate::default();
    let backend = Backend::holding(&gate);
    let gateway = gateway(&backend, 1, "maxConnections: 1, maxPendingRequests: 1");
    let responses = gets(gateway.address(), "any.example", "/", 1);
    gate.wait_for(1);
    let more = gets(gateway.address(), "any.example", "/", 3);
    assert_eq!(take(&more, 2), [overflow(), overflow()]);
    gate.open();
    assert_eq!(take(&responses, 1), [held()]);
    assert_eq!(take(&more, 1), [held()]);
    assert_eq!((backend.count(), backend.connections()), (2, 1));
}

#[test]
fn without_pending_requests_only_idle_connections_serve() {
    let gate = Gate::default();
    let backend = Backend::start({
        let gate = gate.clone();
        move |request| match request.target.as_str() {
            "/hold" => vec![
                Step::Hold(gate.clone()),
                Step::Send(response(200, &[], "held")),
            ],
            _ => vec![Step::Send(response(200, &[], "at once"))],
        }
    });
    let mut gateway = gateway(&backend, 1, "maxPendingRequests: 0");
    assert_eq!(
        get(gateway.address(), "any.example", "/").brief(),
        overflow()
    );
    assert_eq!(backend.connections(), 0);

    let documents = |settings| [backend.yaml("app"), route_all("app"), limits(settings)];
    let [app, all, some] = documents("maxPendingRequests: 1");
    gateway.apply(&[EDGE, &app, &all, &some]);
    assert_eq!(get(gateway.address(), "any.example", "/").status, 200);
    let [app, all, none] = documents("maxPendingRequests: 0");
    gateway.apply(&[EDGE, &app, &all, &none]);
    let busy = gets(gateway.address(), "any.example", "/hold", 1);
    gate.wait_for(1); // over the idle connection
    assert_eq!(
        get(gateway.address(), "any.example", "/").brief(),
        overflow()
    );
    gate.open();
    assert_eq!(take(&busy, 1), [held()]);
    assert_eq!(backend.connections(), 1);
}

#[test]
fn no_more_connections_are_open_than_allowed() {
    // 0 acts as 1: requests go one after the other.
    for (limit, at_once) in [(0, 1), (1, 1), (3, 3)] {
        for workers in [1, 2] {
            let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let backend = Backend::start({
                let (now, most) = (Arc::clone(&now), Arc::clone(&most));
                move |_| {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(2)); // the work that requests overlap in
                    now.fetch_sub(1, Ordering::SeqCst);
                    vec![Step::Send(response(200, &[], "done"))]
                }
            });
            let gateway = gateway(&backend, workers, &format!("maxConnections: {limit}"));
            let all = take(&gets(gateway.address(), "any.example", "/", 40), 40);
            assert_eq!(
                all,
                vec![(200, "done".to_owned()); 40],
                "maxConnections: {limit}, {workers} workers"
            );
            let most = most.load(Ordering::SeqCst);
            // With two workers, 0 means one connection for each of them.
            let allowed = if limit == 0 { workers } else { at_once };
            assert!(
                most <= allowed,
                "{most} at once under maxConnections: {limit} with {workers} workers"
            );
        }
    }
}

#[test]
fn one_connection_serves_two_workers() {
    let backend = Backend::named("app");
    let gateway = gateway(&backend, 2, "maxConnections: 1");
    // Kept-alive clients land on both workers. Each worker finds the only connection idle in the other's pool.
    let mut clients: Vec<_> = (0..16)
        .map(|_| Client::connect(gateway.address()))
        .collect();
    for round in 0..10 {
        for client in &mut clients {
            assert_eq!(
                client.get("any.example", "/").brief(),
                (200, "app".to_owned()),
                "round {round}"
            );
        }
    }
    assert_eq!(backend.count(), 160);
}

#[test]
fn each_endpoint_has_a_limit_of_its_own() {
    let gate = Gate::default();
    let backends = [Backend::holding(&gate), Backend::holding(&gate)];
    let documents = [
        backend_yaml("app", &[&backends[0], &backends[1]]),
        route_all("app"),
        policy(
            "limits",
            "HTTPRoute app",
            "circuitBreaker: {perEndpoint: {maxConnections: 1}}, loadBalancer: {type: RoundRobin}",
        ),
    ];
    let gateway = Gateway::start(&[EDGE, &documents[0], &documents[1], &documents[2]]);
    let responses = gets(gateway.address(), "any.example", "/", 4);
    gate.wait_for(2);
    assert_eq!(
        [backends[0].connections(), backends[1].connections()],
        [1, 1]
    );
    gate.open();
    assert_eq!(take(&responses, 4), [held(), held(), held(), held()]);
    assert_eq!(
        [backends[0].connections(), backends[1].connections()],
        [1, 1]
    );
    assert_eq!([backends[0].count(), backends[1].count()], [2, 2]);
}

#[test]
fn a_connection_is_retired_after_its_last_request() {
    let backend = Backend::named("app");
    let gateway = gateway(&backend, 1, "maxRequestsPerConnection: 2");
    let mut client = Client::connect(gateway.address());
    for _ in 0..5 {
        assert_eq!(client.get("any.example", "/").status, 200);
    }
    let connections: Vec<_> = backend
        .requests()
        .iter()
        .map(|request| request.connection)
        .collect();
    assert_eq!(connections, [1, 1, 2, 2, 3]);
    // The backend is not asked to close.
    assert!(
        backend
            .requests()
            .iter()
            .all(|request| request.header("connection").is_none())
    );
}

#[test]
fn counts_survive_a_new_plan() {
    let gate = Gate::default();
    let backend = Backend::holding(&gate);
    let mut gateway = gateway(&backend, 1, "maxParallelRequests: 2");
    let documents = [backend.yaml("app"), route_all("app")];
    let inside = gets(gateway.address(), "any.example", "/", 2);
    gate.wait_for(2);
    for (limit, passes) in [(3, true), (3, false), (1, false), (4, true)] {
        gateway.apply(&[
            EDGE,
            &documents[0],
            &documents[1],
            &limits(&format!("maxParallelRequests: {limit}")),
        ]);
        let before = gate.waiting();
        let next = gets(gateway.address(), "any.example", "/", 1);
        if passes {
            gate.wait_for(before + 1);
        } else {
            assert_eq!(
                take(&next, 1),
                [overflow()],
                "maxParallelRequests: {limit} with {before} in progress"
            );
        }
    }
    gate.open();
    assert_eq!(take(&inside, 2), [held(), held()]);
}

#[test]
fn rules_do_not_share_their_counts() {
    let gate = Gate::default();
    let backend = Backend::holding(&gate);
    let rules = ["/one", "/two"].map(|path| {
        format!(
            "{{matches: [{{path: {{value: {path}}}}}], backendRefs: [{}]}}",
            to("app")
        )
    });
    let gateway = Gateway::start(&[
        EDGE,
        &backend.yaml("app"),
        &route("app", &format!("[{}]", rules.join(", "))),
        &limits("maxParallelRequests: 1"),
    ]);
    let one = gets(gateway.address(), "any.example", "/one", 1);
    gate.wait_for(1);
    let two = gets(gateway.address(), "any.example", "/two", 1);
    gate.wait_for(2);
    assert_eq!(
        get(gateway.address(), "any.example", "/one").brief(),
        overflow()
    );
    assert_eq!(
        get(gateway.address(), "any.example", "/two").brief(),
        overflow()
    );
    gate.open();
    assert_eq!((take(&one, 1), take(&two, 1)), (vec![held()], vec![held()]));
}

#[test]
fn a_slot_is_held_until_the_body_has_ended() {
    let gate = Gate::default();
    let backend = Backend::start({
        let gate = gate.clone();
        move |_| {
            vec![
                Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nha".to_vec()),
                Step::Hold(gate.clone()),
                Step::Send(b"lf".to_vec()),
            ]
        }
    });
    let gateway = gateway(&backend, 1, "maxParallelRequests: 1");
    let first = gets(gateway.address(), "any.example", "/", 1);
    gate.wait_for(1);
    assert_eq!(
        get(gateway.address(), "any.example", "/").brief(),
        overflow()
    );
    gate.open();
    assert_eq!(take(&first, 1), [(200, "half".to_owned())]);
}

#[test]
fn a_client_that_leaves_gives_its_slot_back() {
    let gate = Gate::default();
    let backend = Backend::holding(&gate);
    let gateway = gateway(&backend, 1, "maxParallelRequests: 1");
    let mut client = Client::connect(gateway.address());
    client.send(&crate::client::request("GET", "any.example", "/", &[], b""));
    gate.wait_for(1);
    drop(client);
    let gone = crate::client::wait_until;
    let mut next = None;
    gone("the slot of the client that left", || {
        let responses = gets(gateway.address(), "any.example", "/", 1);
        match responses.recv_timeout(Duration::from_millis(100)) {
            Ok(refused) => {
                assert_eq!(refused.brief(), overflow());
                false
            }
            Err(_) => {
                next = Some(responses); // it is held at the backend
                true
            }
        }
    });
    gate.open();
    assert_eq!(take(&next.expect("it was kept"), 1), [held()]);
}
