//! `loadBalancer`: whom requests go to, in turn or by load, and how weights of backends share.

use crate::backend::{Backend, Gate, Step, backend_yaml, reply, response};
use crate::client::{Client, gets, take, wait_until};
use crate::gateway::{EDGE, Gateway, policy, route, route_all};

fn balanced(kind: &str) -> String {
    policy(
        "balance",
        "HTTPRoute app",
        &format!("loadBalancer: {{type: {kind}}}"),
    )
}

/// The bodies of so many requests, one after the other.
fn order(gateway: &Gateway, count: usize) -> Vec<String> {
    let mut client = Client::connect(gateway.address());
    (0..count)
        .map(|_| client.get("any.example", "/").text())
        .collect()
}

#[test]
fn round_robin_takes_one_after_the_other() {
    let backends = ["a", "b", "c"].map(Backend::named);
    let yaml = backend_yaml("app", &[&backends[0], &backends[1], &backends[2]]);
    let gateway = Gateway::start(&[EDGE, &yaml, &route_all("app"), &balanced("RoundRobin")]);
    let order = order(&gateway, 30);
    let rounds: Vec<_> = order.chunks(3).collect();
    let mut first = rounds[0].to_vec();
    first.sort();
    assert_eq!(first, ["a", "b", "c"]);
    assert!(rounds.iter().all(|round| round == &rounds[0]), "{order:?}");
}

#[test]
fn round_robin_serves_backends_by_weight() {
    let backends = ["a", "b"].map(Backend::named);
    let rules = "[{backendRefs: [{group: gateway.envoyproxy.io, kind: Backend, name: a, weight: 3}, \
                 {group: gateway.envoyproxy.io, kind: Backend, name: b, weight: 1}]}]";
    let gateway = Gateway::start(&[
        EDGE,
        &backends[0].yaml("a"),
        &backends[1].yaml("b"),
        &route("app", rules),
        &balanced("RoundRobin"),
    ]);
    let order = order(&gateway, 40).concat();
    assert_eq!(order.matches('b').count(), 10, "{order}");
}

/// Of so many requests, how many go to an endpoint that has one in progress rather than to the other, which has none.
fn to_the_busier(kind: &str, requests: usize) -> usize {
    let gate = Gate::default();
    let busy = Backend::start({
        let gate = gate.clone();
        move |request| match request.number {
            1 => vec![
                Step::Hold(gate.clone()),
                Step::Send(response(200, &[], "busy")),
            ],
            _ => reply(200, "busy"),
        }
    });
    let free = Backend::named("free");
    let gateway = Gateway::start(&[
        EDGE,
        &backend_yaml("app", &[&busy, &free]),
        &route_all("app"),
        &balanced(kind),
    ]);
    let mut held = Vec::new();
    while gate.waiting() == 0 {
        let before = busy.count() + free.count();
        held.push(gets(gateway.address(), "any.example", "/", 1));
        wait_until("the request has reached a backend", || {
            busy.count() + free.count() > before
        });
        assert!(held.len() < 50, "both endpoints are drawn");
    }
    let order = order(&gateway, requests);
    gate.open();
    let all: Vec<_> = held.iter().flat_map(|it| take(it, 1)).collect();
    assert!(all.contains(&(200, "busy".to_owned())), "{all:?}");
    order.iter().filter(|body| *body == "busy").count()
}

#[test]
fn least_request_avoids_the_busier_endpoint() {
    // Two are drawn with repetition and the freer one is taken: the busy one gets a quarter.
    let to_busy = to_the_busier("LeastRequest", 200);
    assert!(
        (30..=70).contains(&to_busy),
        "{to_busy} of 200 went to the busy endpoint"
    );
}

#[test]
fn random_takes_any_endpoint_however_busy() {
    // Half of them; the bounds are five standard deviations wide, and keep off the quarter of LeastRequest.
    let to_busy = to_the_busier("Random", 400);
    assert!(
        (150..=250).contains(&to_busy),
        "{to_busy} of 400 went to the busy endpoint"
    );
}

#[test]
fn endpoints_may_change_while_requests_run() {
    let backends = ["a", "b"].map(Backend::named);
    let (one, two) = (backends[0].yaml("app"), backends[1].yaml("app"));
    let mut gateway = Gateway::start(&[EDGE, &one, &route_all("app")]);
    assert_eq!(order(&gateway, 3).concat(), "aaa");
    gateway.apply(&[EDGE, &two, &route_all("app")]);
    assert_eq!(order(&gateway, 3).concat(), "bbb");
    gateway.apply(&[
        EDGE,
        &backend_yaml("app", &[&backends[0], &backends[1]]),
        &route_all("app"),
        &balanced("RoundRobin"),
    ]);
    let mut both: Vec<_> = order(&gateway, 2);
    both.sort();
    assert_eq!(both, ["a", "b"]);
}
