//! Change under load: edits with requests in flight, backends that die, listeners that come, go and move, ports in use.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::backend::{Backend, Gate, backend_yaml};
use crate::client::{Client, get, gets, request, take, wait_until};
use crate::gateway::{EDGE, Gateway, policy, route, route_all, to};

/// A Gateway of this name with one listener on this port.
fn gateway_on(name: &str, port: u16, hostname: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: {name}}}\nspec: {{gatewayClassName: weir, \
         listeners: [{{name: http, protocol: HTTP, port: {port}{hostname}}}]}}\n"
    )
}

const CLASS: &str = "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: weir}\n\
                     spec: {controllerName: weir.dev/gateway-controller}\n";

#[test]
fn a_hundred_reloads_with_a_thousand_requests_in_flight() {
    let gate = Gate::default();
    let backend = Backend::holding(&gate);
    let documents = |timeout: usize| {
        [
            backend.yaml("app"),
            route_all("app"),
            policy(
                "limits",
                "HTTPRoute app",
                &format!(
                    "timeout: {{http: {{requestTimeout: {timeout}s}}}}, circuitBreaker: {{maxParallelRequests: 2000}}"
                ),
            ),
        ]
    };
    let [app, route, limits] = documents(1_000);
    let mut gateway = Gateway::setup()
        .workers(2)
        .start(&[EDGE, &app, &route, &limits]);
    let mut clients: Vec<_> = (0..1_000)
        .map(|_| {
            let mut client = Client::connect(gateway.address());
            client.send(&request("GET", "any.example", "/", &[], b""));
            client
        })
        .collect();
    gate.wait_for(1_000);
    for edit in 0..100 {
        let [app, route, limits] = documents(1_001 + edit);
        gateway.apply(&[EDGE, &app, &route, &limits]);
    }
    gate.open();
    for client in &mut clients {
        assert_eq!(client.receive().brief(), (200, "held".to_owned()));
    }
    // The same connections serve on, under the newest plan.
    for client in &mut clients {
        assert_eq!(client.get("any.example", "/").status, 200);
    }
}

#[test]
fn no_request_fails_while_edits_go_on() {
    let backends = ["a", "b"].map(Backend::named);
    let yaml = backend_yaml("app", &[&backends[0], &backends[1]]);
    let mut gateway = Gateway::setup()
        .workers(2)
        .start(&[EDGE, &yaml, &route_all("app")]);
    let address = gateway.address();
    let stop = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                let mut served = 0;
                while !stop.load(Ordering::SeqCst) {
                    let response = client.get("any.example", "/");
                    assert_eq!(response.status, 200, "{response:?}");
                    served += 1;
                }
                served
            })
        })
        .collect();
    for edit in 0..100 {
        let other = route(
            "other",
            &format!(
                "[{{matches: [{{path: {{value: /x{edit}}}}}], backendRefs: [{}]}}]",
                to("app")
            ),
        );
        let one = [backends[edit % 2].yaml("app"), yaml.clone()][edit / 2 % 2].clone();
        gateway.apply(&[EDGE, &one, &route_all("app"), &other]);
    }
    stop.store(true, Ordering::SeqCst);
    let served: usize = load
        .into_iter()
        .map(|it| it.join().expect("no request failed"))
        .sum();
    assert!(served > 0);
}

#[test]
fn an_edit_is_in_force_when_it_has_been_applied() {
    let backends = ["a", "b"].map(Backend::named);
    let mut gateway =
        Gateway::setup()
            .workers(2)
            .start(&[EDGE, &backends[0].yaml("app"), &route_all("app")]);
    let mut clients: Vec<_> = (0..8).map(|_| Client::connect(gateway.address())).collect();
    for edit in 0..50 {
        let now = &backends[edit % 2];
        let name = ["a", "b"][edit % 2];
        gateway.apply(&[EDGE, &now.yaml("app"), &route_all("app")]);
        for client in &mut clients {
            assert_eq!(client.get("any.example", "/").text(), name, "edit {edit}");
        }
    }
}

#[test]
fn a_backend_that_dies_under_load_costs_only_its_own_requests() {
    let (steady, dying) = (Backend::named("steady"), Backend::named("dying"));
    let retry = policy(
        "retry",
        "HTTPRoute app",
        "retry: {numRetries: 2, retryOn: {triggers: [connect-failure, reset]}}, loadBalancer: {type: RoundRobin}",
    );
    let gateway = Gateway::setup().workers(2).start(&[
        EDGE,
        &backend_yaml("app", &[&steady, &dying]),
        &route_all("app"),
        &retry,
    ]);
    let address = gateway.address();
    let stop = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                while !stop.load(Ordering::SeqCst) {
                    let response = client.get("any.example", "/");
                    assert_eq!(response.status, 200, "{response:?}");
                }
            })
        })
        .collect();
    for _ in 0..5 {
        let before = dying.count();
        wait_until("the backend gets requests", || dying.count() > before + 10);
        dying.kill();
        let before = steady.count();
        wait_until("requests go on without it", || steady.count() > before + 50);
        dying.restart();
    }
    stop.store(true, Ordering::SeqCst);
    for thread in load {
        thread.join().expect("no request failed");
    }
}

#[test]
fn a_dead_backend_without_retries_fails_and_comes_back() {
    let backend = Backend::named("app");
    let gateway = Gateway::start(&[EDGE, &backend.yaml("app"), &route_all("app")]);
    let mut client = Client::connect(gateway.address());
    assert_eq!(client.get("any.example", "/").status, 200);
    backend.kill();
    assert_eq!(client.get("any.example", "/").status, 503);
    backend.restart();
    assert_eq!(client.get("any.example", "/").status, 200);
}

#[test]
fn two_gateways_share_a_port() {
    let backends = ["a", "b"].map(Backend::named);
    let on = |name: &str, parent: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}}}\nspec: {{parentRefs: [{{name: \
             {parent}}}], rules: [{{backendRefs: [{}]}}]}}\n",
            to(name)
        )
    };
    let (app, documents) = (backends[0].yaml("a"), backends[1].yaml("b"));
    let gateway = Gateway::start(&[
        CLASS,
        &gateway_on("one", 80, ", hostname: one.example"),
        &gateway_on("two", 80, ", hostname: two.example"),
        &app,
        &documents,
        &on("a", "one"),
        &on("b", "two"),
    ]);
    assert_eq!(get(gateway.address(), "one.example", "/").text(), "a");
    assert_eq!(get(gateway.address(), "two.example", "/").text(), "b");
    assert_eq!(get(gateway.address(), "three.example", "/").status, 404);
}

#[test]
fn listeners_come_and_go_and_move() {
    let backend = Backend::named("app");
    let documents = |ports: &[u16]| {
        let listeners: Vec<_> = ports
            .iter()
            .map(|port| format!("{{name: p{port}, protocol: HTTP, port: {port}}}"))
            .collect();
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: edge}}\nspec: {{gatewayClassName: weir, \
             listeners: [{}]}}\n",
            listeners.join(", ")
        )
    };
    let (app, route) = (backend.yaml("app"), route_all("app"));
    let mut gateway = Gateway::setup()
        .workers(2)
        .start(&[CLASS, &documents(&[80]), &app, &route]);
    let first = gateway.address_of(80);
    let mut kept = Client::connect(first);
    assert_eq!(kept.get("any.example", "/").status, 200);

    gateway.apply(&[CLASS, &documents(&[80, 81]), &app, &route]);
    assert_eq!(
        gateway.address_of(80),
        first,
        "a listener that stays keeps its address"
    );
    assert_eq!(
        kept.get("any.example", "/").status,
        200,
        "and its connections"
    );
    let second = gateway.address_of(81);
    assert_eq!(get(second, "any.example", "/").status, 200);

    gateway.apply(&[CLASS, &documents(&[81]), &app, &route]);
    assert_eq!(gateway.addresses().into_keys().collect::<Vec<_>>(), [81]);
    wait_until("the port is closed", || Client::try_connect(first).is_err());
    assert_eq!(get(second, "any.example", "/").status, 200);

    gateway.apply(&[CLASS]);
    assert!(gateway.addresses().is_empty());
    wait_until("all ports are closed", || {
        Client::try_connect(second).is_err()
    });
    gateway.apply(&[CLASS, &documents(&[80]), &app, &route]);
    assert_eq!(get(gateway.address_of(80), "any.example", "/").status, 200);
}

#[test]
fn a_request_in_flight_outlives_its_listener_and_its_route() {
    let gate = Gate::default();
    let backend = Backend::holding(&gate);
    let mut gateway = Gateway::start(&[EDGE, &backend.yaml("app"), &route_all("app")]);
    let held = gets(gateway.address(), "any.example", "/", 3);
    gate.wait_for(3);
    gateway.apply(&[EDGE]);
    gateway.apply(&[CLASS]);
    gate.open();
    assert_eq!(take(&held, 3), vec![(200, "held".to_owned()); 3]);
}

#[test]
fn a_port_in_use_is_named_with_the_way_out() {
    let backend = Backend::named("app");
    let (app, route) = (backend.yaml("app"), route_all("app"));
    let first = Gateway::start(&[EDGE, &app, &route]);
    let stranger = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let strangers = stranger.local_addr().expect("it is bound").port();
    for port in [first.address().port(), strangers] {
        // Another Weir, and another program.
        let second = Gateway::setup()
            .workers(2)
            .port(80, port)
            .start(&[EDGE, &app, &route]);
        let [refused] = second.refused.as_slice() else {
            panic!("one port is refused: {:?}", second.refused)
        };
        assert_eq!((refused.port, refused.address.port()), (80, port));
        for part in [port.to_string().as_str(), "in use", "--port-map"] {
            assert!(
                refused.message.contains(part),
                "{part:?} in {:?}",
                refused.message
            );
        }
        assert_eq!(refused.listeners.len(), 1);
    }
    // The first goes on, whoever knocked.
    for _ in 0..20 {
        assert_eq!(get(first.address(), "any.example", "/").status, 200);
    }
}

#[test]
fn draining_lets_requests_end_and_closes_the_rest() {
    let gate = Gate::default();
    let backend = Backend::holding(&gate);
    let gateway =
        Gateway::setup()
            .workers(2)
            .start(&[EDGE, &backend.yaml("app"), &route_all("app")]);
    let address = gateway.address();
    let mut idle = Client::connect(address);
    let held = gets(address, "any.example", "/", 4);
    gate.wait_for(4);
    std::thread::scope(|scope| {
        let drained = scope.spawn(|| gateway.proxy().drain(Duration::from_secs(15)));
        wait_until("no new connections are taken", || {
            Client::try_connect(address).is_err()
        });
        assert!(idle.is_closed());
        gate.open();
        assert_eq!(take(&held, 4), vec![(200, "held".to_owned()); 4]);
        assert!(
            drained.join().expect("it does not panic"),
            "all had ended in time"
        );
    });
}

#[test]
fn draining_gives_up_after_its_time() {
    let gate = Gate::default();
    let backend = Backend::holding(&gate);
    let gateway = Gateway::start(&[EDGE, &backend.yaml("app"), &route_all("app")]);
    let _held = gets(gateway.address(), "any.example", "/", 1);
    gate.wait_for(1);
    assert!(!gateway.proxy().drain(Duration::from_millis(100)));
    gate.open();
}
