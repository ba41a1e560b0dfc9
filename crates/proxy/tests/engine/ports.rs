//! Ports come, stay, move and go with the plan; a port in use is an error with a way out.

use std::net::TcpListener;
use std::time::Duration;

use weir_plan::features::circuit_breaker::CircuitBreaker;
use weir_proxy::Proxy;

use crate::backend::{Backend, PATIENCE};
use crate::client::{Client, answer};
use crate::{address, endpoints, options, plan, serve};

const BREAKER: CircuitBreaker = CircuitBreaker::DEFAULT;

#[test]
fn ports_come_and_go_with_the_plan() {
    let backend = Backend::start();
    let proxy = serve(options(2), &[80, 81], &[&backend]);
    let (stays, goes) = (address(&proxy, 80), address(&proxy, 81));
    let mut kept = Client::connect(stays);
    let mut idle = Client::connect(goes);
    let mut busy = Client::connect(goes);
    assert_eq!(kept.get("/a"), answer("/a"));
    assert_eq!(idle.get("/b"), answer("/b"));
    busy.send("GET /hold HTTP/1.1\r\nhost: test\r\n\r\n");
    backend.wait_for_held(1);

    assert_eq!(
        proxy.apply(&plan(&[80, 82], BREAKER), &endpoints(&[&backend])),
        []
    );
    assert_eq!(address(&proxy, 80), stays);
    assert!(!proxy.addresses().contains_key(&81));
    assert!(
        std::net::TcpStream::connect(goes).is_err(),
        "nobody listens any more"
    );
    assert!(idle.ends(), "what is idle closes");
    backend.release(1);
    let last = busy.read().expect("what is in progress ends");
    assert_eq!(
        (last.status, last.body.as_str(), last.closes),
        (200, "GET /hold 0", true)
    );
    assert!(busy.ends());
    assert_eq!(kept.get("/c"), answer("/c"), "what stays is not disturbed");
    assert_eq!(Client::connect(address(&proxy, 82)).get("/d"), answer("/d"));
}

#[test]
fn a_port_can_come_back_at_once() {
    let backend = Backend::start();
    // Fixed ports, so that they are the same ones each time.
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = free.local_addr().expect("bound").port();
    drop(free);
    let mut options = options(2);
    options.port_map.insert(80, port);
    options.port_map.insert(81, port);
    let proxy = serve(options, &[80], &[&backend]);
    for round in 0..50 {
        let number = 80 + round % 2;
        assert_eq!(
            proxy.apply(&plan(&[number], BREAKER), &endpoints(&[&backend])),
            []
        );
        assert_eq!(
            Client::connect(address(&proxy, number)).get("/x"),
            answer("/x")
        );
        if round % 5 == 0 {
            assert_eq!(proxy.apply(&plan(&[], BREAKER), &endpoints(&[])), []);
        }
    }
}

#[test]
fn a_port_in_use_is_named_with_the_way_out() {
    let backend = Backend::start();
    let other = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let mut taken = options(1);
    taken
        .port_map
        .insert(80, other.local_addr().expect("bound").port());
    let port = taken.port_map[&80];
    let proxy = Proxy::start(taken).expect("started");
    let both = plan(&[80, 81], BREAKER);
    let errors = proxy.apply(&both, &endpoints(&[&backend]));
    assert_eq!(errors.len(), 1);
    assert_eq!((errors[0].port, errors[0].address.port()), (80, port));
    assert_eq!(errors[0].listeners, [both.listeners[0].name.clone()]);
    assert_eq!(
        errors[0].message,
        format!(
            "port {port} is in use by another process; stop it, or move the listener with --port-map 80=PORT"
        )
    );
    assert_eq!(
        Client::connect(address(&proxy, 81)).get("/x"),
        answer("/x"),
        "the rest is served"
    );
    // Once it is free, the next plan gets it.
    drop(other);
    assert_eq!(proxy.apply(&both, &endpoints(&[&backend])), []);
    assert_eq!(Client::connect(address(&proxy, 80)).get("/x"), answer("/x"));
}

#[test]
fn a_port_that_another_one_was_mapped_to_is_not_blamed_on_others() {
    let backend = Backend::start();
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let local = free.local_addr().expect("bound").port();
    drop(free);
    let mut mapped = options(1);
    mapped.port_map.insert(1, local);
    let proxy = Proxy::start(mapped).expect("started");
    let errors = proxy.apply(&plan(&[1, local], BREAKER), &endpoints(&[&backend]));
    let messages: Vec<_> = errors.iter().map(|it| it.message.as_str()).collect();
    assert_eq!(
        messages,
        [format!(
            "port {local} serves port 1 of the Gateways already; move this listener with --port-map {local}=PORT"
        )]
    );
}

#[test]
fn two_proxies_do_not_share_a_port() {
    let backend = Backend::start();
    let one = serve(options(2), &[80], &[&backend]);
    let mut same = options(2);
    same.port_map.insert(80, address(&one, 80).port());
    let other = Proxy::start(same).expect("started");
    let errors = other.apply(&plan(&[80], BREAKER), &endpoints(&[&backend]));
    assert_eq!(errors.len(), 1);
    assert!(
        errors[0].message.contains("is in use"),
        "{}",
        errors[0].message
    );
    drop(one);
    assert_eq!(
        other.apply(&plan(&[80], BREAKER), &endpoints(&[&backend])),
        []
    );
}

#[test]
fn draining_ends_what_is_in_progress_and_takes_nothing_new() {
    let backend = Backend::start();
    let proxy = serve(options(2), &[80], &[&backend]);
    let address = address(&proxy, 80);
    let mut idle = Client::connect(address);
    assert_eq!(idle.get("/x"), answer("/x"));
    let mut busy = Client::connect(address);
    busy.send("GET /hold HTTP/1.1\r\nhost: test\r\n\r\n");
    backend.wait_for_held(1);
    assert!(
        !proxy.drain(Duration::from_millis(50)),
        "a request is in progress"
    );
    assert!(idle.ends());
    assert!(std::net::TcpStream::connect(address).is_err());
    backend.release(1);
    assert_eq!(busy.read().expect("an answer").body, "GET /hold 0");
    assert!(proxy.drain(PATIENCE));
    assert!(busy.ends());
    // A plan that comes too late binds nothing.
    assert_eq!(
        proxy.apply(&plan(&[80, 81], BREAKER), &endpoints(&[&backend])),
        []
    );
    assert!(proxy.addresses().is_empty());
}

#[test]
fn a_request_that_is_on_its_way_when_draining_begins_is_served() {
    let backend = Backend::start();
    for round in 0..20 {
        let proxy = serve(options(2), &[80], &[&backend]);
        let mut client = Client::connect(address(&proxy, 80));
        client.send("GET /x HTTP/1.1\r\nhost: test\r\n\r\n");
        assert!(proxy.drain(PATIENCE), "round {round}");
        let response = client
            .read()
            .unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert_eq!((response.status, response.body.as_str()), (200, "GET /x 0"));
    }
}

#[test]
fn dropping_a_proxy_closes_everything() {
    let backend = Backend::start();
    let proxy = serve(options(2), &[80], &[&backend]);
    let mut client = Client::connect(address(&proxy, 80));
    client.send("GET /hold HTTP/1.1\r\nhost: test\r\n\r\n");
    backend.wait_for_held(1);
    drop(proxy);
    assert!(client.ends());
    backend.wait_for_open(0);
}
