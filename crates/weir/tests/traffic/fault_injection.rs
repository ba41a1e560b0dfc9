//! `faultInjection`: delays and aborts, alone, together, by share, and where they stand among the other features.

use std::time::{Duration, Instant};

use crate::backend::Backend;
use crate::client::{Client, get};
use crate::gateway::{EDGE, Gateway, policy, route_all};

fn documents(backend: &Backend, settings: &str) -> [String; 3] {
    [
        backend.yaml("app"),
        route_all("app"),
        policy("faults", "HTTPRoute app", settings),
    ]
}

fn gateway(settings: &str) -> (Gateway, Backend) {
    let backend = Backend::named("app");
    let [app, route, faults] = documents(&backend, settings);
    (Gateway::start(&[EDGE, &app, &route, &faults]), backend)
}

#[test]
fn an_abort_answers_instead_of_the_backend() {
    for status in [200, 418, 503, 599] {
        let (gateway, backend) = gateway(&format!(
            "faultInjection: {{abort: {{httpStatus: {status}}}}}"
        ));
        let response = get(gateway.address(), "any.example", "/");
        assert_eq!(response.brief(), (status, "fault filter abort".to_owned()));
        assert_eq!(response.header("content-type"), Some("text/plain"));
        assert_eq!(backend.count(), 0);
    }
}

#[test]
fn a_grpc_abort_of_a_plain_request_is_a_plain_answer() {
    let (gateway, _backend) = gateway("faultInjection: {abort: {grpcStatus: 14}}");
    let response = get(gateway.address(), "any.example", "/");
    assert_eq!(response.brief(), (200, "fault filter abort".to_owned()));
    assert_eq!(response.header("grpc-status"), None);
}

#[test]
fn a_share_of_the_requests_is_aborted() {
    for (percentage, least, most) in [
        ("0", 0, 0),
        ("25", 70, 130),
        ("50", 160, 240),
        ("0.0001", 0, 1),
        ("100", 400, 400),
    ] {
        let (gateway, _backend) = gateway(&format!(
            "faultInjection: {{abort: {{httpStatus: 503, percentage: {percentage}}}}}"
        ));
        let mut client = Client::connect(gateway.address());
        let aborted = (0..400)
            .filter(|_| client.get("any.example", "/").status == 503)
            .count();
        assert!(
            (least..=most).contains(&aborted),
            "{percentage} %: {aborted} of 400"
        );
    }
}

#[test]
fn a_delay_comes_before_the_request_and_outside_its_timeout() {
    let (gateway, backend) = gateway(
        "faultInjection: {delay: {fixedDelay: 400ms}}, timeout: {http: {requestTimeout: 200ms}}",
    );
    let begun = Instant::now();
    assert_eq!(
        get(gateway.address(), "any.example", "/").brief(),
        (200, "app".to_owned())
    );
    assert!(begun.elapsed() >= Duration::from_millis(400));
    assert_eq!(backend.count(), 1);
}

#[test]
fn a_delay_may_come_before_an_abort() {
    let (gateway, backend) =
        gateway("faultInjection: {delay: {fixedDelay: 200ms}, abort: {httpStatus: 503}}");
    let begun = Instant::now();
    assert_eq!(
        get(gateway.address(), "any.example", "/").brief(),
        (503, "fault filter abort".to_owned())
    );
    assert!(begun.elapsed() >= Duration::from_millis(200));
    assert_eq!(backend.count(), 0);
}

#[test]
fn a_delay_of_no_share_is_none() {
    let (gateway, _backend) = gateway("faultInjection: {delay: {fixedDelay: 1h, percentage: 0}}");
    assert_eq!(get(gateway.address(), "any.example", "/").status, 200);
}

#[test]
fn the_stream_idle_timer_runs_during_a_delay() {
    let (gateway, backend) = gateway(
        "faultInjection: {delay: {fixedDelay: 1h}}, timeout: {http: {streamIdleTimeout: 100ms}}",
    );
    assert_eq!(
        get(gateway.address(), "any.example", "/").brief(),
        (504, "stream timeout".to_owned())
    );
    assert_eq!(backend.count(), 0);
}

#[test]
fn an_abort_takes_no_token_and_is_not_retried() {
    let limits =
        "rateLimit: {local: {rules: [{limit: {requests: 1, unit: Hour}}]}}, retry: {numRetries: 3}";
    let (mut gateway, backend) = gateway(&format!(
        "faultInjection: {{abort: {{httpStatus: 503}}}}, {limits}"
    ));
    for _ in 0..3 {
        assert_eq!(
            get(gateway.address(), "any.example", "/").text(),
            "fault filter abort"
        );
    }
    let [app, route, without] = documents(&backend, limits);
    gateway.apply(&[EDGE, &app, &route, &without]);
    let statuses = [(); 2].map(|()| get(gateway.address(), "any.example", "/").status);
    assert_eq!(statuses, [200, 429]);
    assert_eq!(backend.count(), 1);
}

#[test]
fn a_fault_that_cannot_be_made_answers_500() {
    let (gateway, backend) = gateway("faultInjection: {delay: {fixedDelay: 0s}}");
    assert_eq!(
        get(gateway.address(), "any.example", "/").brief(),
        (500, String::new())
    );
    assert_eq!(backend.count(), 0);
}
