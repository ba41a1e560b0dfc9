//! `retry` and the route's own retry: what is tried again, how often, with which body, and what is answered in the end.

use std::time::{Duration, Instant};

use crate::backend::{Backend, Gate, Request, Step, backend_yaml, reply, response};
use crate::client::{call, get, gets, request, take};
use crate::gateway::{EDGE, Gateway, policy, route, route_all, to};

/// Short pauses between attempts; most tests do not look at them.
const QUICK: &str = "perRetry: {backOff: {baseInterval: 1ms, maxInterval: 2ms}}";

fn retrying(settings: &str) -> String {
    policy(
        "retries",
        "HTTPRoute app",
        &format!("retry: {{{settings}}}, loadBalancer: {{type: RoundRobin}}"),
    )
}

fn gateway(backend: &Backend, settings: &str) -> Gateway {
    Gateway::start(&[
        EDGE,
        &backend.yaml("app"),
        &route_all("app"),
        &retrying(settings),
    ])
}

/// A backend that fails so many times, then answers `fine`.
fn failing(
    times: usize,
    failure: impl Fn(&Request) -> Vec<Step> + Send + Sync + 'static,
) -> Backend {
    Backend::start(move |request| {
        if request.number <= times {
            failure(request)
        } else {
            reply(200, "fine")
        }
    })
}

#[test]
fn without_a_policy_nothing_is_tried_again() {
    let backend = failing(1, |_| reply(503, "no"));
    let gateway = Gateway::start(&[EDGE, &backend.yaml("app"), &route_all("app")]);
    assert_eq!(
        get(gateway.address(), "any.example", "/").brief(),
        (503, "no".to_owned())
    );
    assert_eq!(backend.count(), 1);
}

#[test]
fn a_503_is_tried_twice_more_by_default() {
    let backend = failing(2, |_| reply(503, "no"));
    let two = gateway(&backend, QUICK);
    assert_eq!(
        get(two.address(), "any.example", "/").brief(),
        (200, "fine".to_owned())
    );
    assert_eq!(backend.count(), 3);

    let backend = failing(3, |_| reply(503, "no"));
    let exhausted = gateway(&backend, QUICK);
    assert_eq!(
        get(exhausted.address(), "any.example", "/").brief(),
        (503, "no".to_owned())
    );
    assert_eq!(backend.count(), 3, "the last answer is passed on");
}

#[test]
fn the_number_of_retries_is_as_written() {
    for (retries, attempts) in [(0, 1), (1, 2), (5, 6)] {
        let backend = failing(usize::MAX, |_| reply(503, "no"));
        let gateway = gateway(&backend, &format!("numRetries: {retries}, {QUICK}"));
        assert_eq!(get(gateway.address(), "any.example", "/").status, 503);
        assert_eq!(backend.count(), attempts);
    }
}

/// How a backend fails once.
#[derive(Clone, Copy, Debug)]
enum Failure {
    Status(u16),
    /// The connection is closed without an answer.
    Closed,
    Reset,
    /// No answer within the time for one attempt.
    Late,
    GrpcHeader(u8),
    GrpcTrailer(u8),
}

use Failure::{Closed, GrpcHeader, GrpcTrailer, Late, Reset, Status};

#[test]
fn each_trigger_means_its_failures() {
    #[rustfmt::skip] // one trigger a line
    let cases: &[(&str, &[Failure], &[Failure])] = &[
        ("triggers: [5xx]", &[Status(500), Status(503), Status(599), Closed, Reset, Late], &[Status(429), GrpcHeader(14)]),
        ("triggers: [gateway-error]", &[Status(502), Status(503), Status(504), Closed, Late], &[Status(500), Status(501)]),
        ("triggers: [reset]", &[Closed, Reset, Late], &[Status(503), Status(500)]),
        ("triggers: [reset-before-request]", &[], &[Closed, Reset, Late, Status(503)]),
        ("triggers: [connect-failure]", &[], &[Closed, Reset, Late, Status(503)]),
        ("triggers: [refused-stream]", &[], &[Closed, Reset, Status(503)]),
        ("triggers: [retriable-4xx]", &[Status(409)], &[Status(429), Status(404), Status(503)]),
        ("triggers: [retriable-status-codes], httpStatusCodes: [418, 500]", &[Status(418), Status(500)], &[Status(503), Closed]),
        ("triggers: [retriable-status-codes]", &[], &[Status(503)]),
        ("triggers: [connect-failure], httpStatusCodes: [500]", &[], &[Status(500)]),
        ("httpStatusCodes: [500]", &[Status(500)], &[Status(503)]), // the list replaces 503
        ("triggers: [cancelled]", &[GrpcHeader(1)], &[GrpcHeader(14), GrpcTrailer(1)]),
        ("triggers: [deadline-exceeded]", &[GrpcHeader(4)], &[GrpcHeader(1)]),
        ("triggers: [resource-exhausted]", &[GrpcHeader(8)], &[GrpcHeader(1), GrpcTrailer(8)]),
        ("triggers: [internal]", &[GrpcHeader(13)], &[GrpcHeader(1)]),
        ("triggers: [unavailable]", &[GrpcHeader(14)], &[GrpcHeader(1), Status(503)]),
    ];
    for (triggers, retried, passed_on) in cases {
        for (failures, attempts) in [(retried, 2), (passed_on, 1)] {
            for failure in *failures {
                let gate = Gate::default();
                let failure = *failure;
                let backend = failing(1, {
                    let gate = gate.clone();
                    move |_| {
                        match failure {
                        Status(status) => reply(status, "no"),
                        Closed => vec![Step::Close],
                        Reset => vec![Step::Reset],
                        Late => vec![Step::Hold(gate.clone()), Step::Close],
                        GrpcHeader(code) => vec![Step::Send(response(
                            200,
                            &[("content-type", "application/grpc"), ("grpc-status", &code.to_string())],
                            "",
                        ))],
                        GrpcTrailer(code) => vec![Step::Send(
                            format!(
                                "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n\
                                 trailer: grpc-status\r\n\r\n2\r\nhi\r\n0\r\ngrpc-status: {code}\r\n\r\n"
                            )
                            .into_bytes(),
                        )],
                    }
                    }
                });
                let gateway = gateway(
                    &backend,
                    &format!(
                        "numRetries: 1, retryOn: {{{triggers}}}, \
                         perRetry: {{timeout: 150ms, backOff: {{baseInterval: 1ms, maxInterval: 2ms}}}}"
                    ),
                );
                get(gateway.address(), "any.example", "/");
                assert_eq!(backend.count(), attempts, "{triggers}: {failure:?}");
                gate.open();
            }
        }
    }
}

#[test]
fn a_refused_connection_is_tried_again_elsewhere() {
    let (dead, alive) = (Backend::named("dead"), Backend::named("alive"));
    dead.kill();
    let yaml = backend_yaml("app", &[&dead, &alive]);
    let documents = |policy: String| [yaml.clone(), route_all("app"), policy];

    let [app, route, without] = documents(policy(
        "rr",
        "HTTPRoute app",
        "loadBalancer: {type: RoundRobin}",
    ));
    let mut gateway = Gateway::start(&[EDGE, &app, &route, &without]);
    let refused = "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure";
    let mut answers: Vec<_> = (0..2)
        .map(|_| get(gateway.address(), "any.example", "/").brief())
        .collect();
    answers.sort();
    assert_eq!(
        answers,
        [(200, "alive".to_owned()), (503, refused.to_owned())]
    );

    // A host that was tried is passed over, so that one retry is enough.
    let [app, route, with] = documents(retrying(&format!(
        "numRetries: 1, retryOn: {{triggers: [connect-failure]}}, {QUICK}"
    )));
    gateway.apply(&[EDGE, &app, &route, &with]);
    for _ in 0..20 {
        assert_eq!(
            get(gateway.address(), "any.example", "/").brief(),
            (200, "alive".to_owned())
        );
    }
}

#[test]
fn retries_avoid_the_hosts_that_were_tried() {
    let (bad, good) = (
        Backend::start(|_| reply(503, "bad")),
        Backend::named("good"),
    );
    let gateway = Gateway::start(&[
        EDGE,
        &backend_yaml("app", &[&bad, &good]),
        &route_all("app"),
        &retrying(&format!("numRetries: 1, {QUICK}")),
    ]);
    for _ in 0..20 {
        assert_eq!(
            get(gateway.address(), "any.example", "/").brief(),
            (200, "good".to_owned())
        );
    }
    assert!(
        bad.count() > 0,
        "round robin begins at the bad one now and then"
    );
}

#[test]
fn exhausted_resets_say_so() {
    let backend = Backend::start(|_| vec![Step::Close]);
    let gateway = gateway(
        &backend,
        &format!("numRetries: 2, retryOn: {{triggers: [reset]}}, {QUICK}"),
    );
    let text = "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: \
                connection termination";
    assert_eq!(
        get(gateway.address(), "any.example", "/").brief(),
        (503, text.to_owned())
    );
    assert_eq!(backend.count(), 3);
}

#[test]
fn bodies_are_sent_again_up_to_the_buffer() {
    for (method, length, attempts) in [
        ("POST", 1, 2),
        ("PUT", 30_000, 2),
        ("PATCH", 32_768, 2),
        ("POST", 40_000, 1),
    ] {
        for chunked in [false, true] {
            let backend = failing(1, |_| reply(503, "no"));
            let gateway = gateway(&backend, QUICK);
            let body = "0123456789".repeat(length / 10 + 1).into_bytes()[..length].to_vec();
            let bytes = if chunked {
                let head = format!(
                    "{method} / HTTP/1.1\r\nhost: any.example\r\ntransfer-encoding: chunked\r\n\r\n"
                );
                [
                    head.as_bytes(),
                    format!("{length:x}\r\n").as_bytes(),
                    &body,
                    b"\r\n0\r\n\r\n",
                ]
                .concat()
            } else {
                request(method, "any.example", "/", &[], &body)
            };
            let response = call(gateway.address(), &bytes);
            let expected = if attempts == 2 {
                (200, "fine".to_owned())
            } else {
                (503, "no".to_owned())
            };
            assert_eq!(
                response.brief(),
                expected,
                "{method} {length} chunked: {chunked}"
            );
            let seen = backend.requests();
            assert_eq!(seen.len(), attempts);
            assert!(
                seen.iter().all(|it| it.body == body && it.method == method),
                "{method} {length}"
            );
        }
    }
}

#[test]
fn an_attempt_may_have_a_timeout_of_its_own() {
    let gate = Gate::default();
    let hold = {
        let gate = gate.clone();
        move |_: &Request| vec![Step::Hold(gate.clone()), Step::Close]
    };
    let settings = |on: &str| format!("numRetries: 2, {on} perRetry: {{timeout: 100ms}}");

    let backend = failing(1, hold.clone());
    let reset = gateway(&backend, &settings("retryOn: {triggers: [reset]},"));
    assert_eq!(
        get(reset.address(), "any.example", "/").brief(),
        (200, "fine".to_owned())
    );

    let timed_out = (504, "upstream request timeout".to_owned());
    let backend = failing(1, hold.clone());
    let default = gateway(&backend, &settings(""));
    assert_eq!(
        get(default.address(), "any.example", "/").brief(),
        timed_out
    );
    assert_eq!(backend.count(), 1, "no default trigger means it");

    let backend = failing(usize::MAX, hold);
    let exhausted = gateway(&backend, &settings("retryOn: {triggers: [reset]},"));
    assert_eq!(
        get(exhausted.address(), "any.example", "/").brief(),
        timed_out
    );
    assert_eq!(backend.count(), 3);
    gate.open();
}

#[test]
fn the_request_timeout_covers_all_attempts() {
    let backend = failing(usize::MAX, |_| {
        vec![Step::Pause(Duration::from_millis(100)), Step::Close]
    });
    let both = policy(
        "both",
        "HTTPRoute app",
        "retry: {numRetries: 50, retryOn: {triggers: [reset]}}, timeout: {http: {requestTimeout: 350ms}}",
    );
    let gateway = Gateway::start(&[EDGE, &backend.yaml("app"), &route_all("app"), &both]);
    assert_eq!(
        get(gateway.address(), "any.example", "/").brief(),
        (504, "upstream request timeout".to_owned())
    );
    assert!(
        (2..=4).contains(&backend.count()),
        "{} attempts in 350 ms",
        backend.count()
    );
}

#[test]
fn the_back_off_grows_from_its_base_to_its_maximum() {
    let backend = failing(usize::MAX, |_| reply(503, "no"));
    let gateway = gateway(
        &backend,
        "numRetries: 8, perRetry: {backOff: {baseInterval: 20ms, maxInterval: 60ms}}",
    );
    let begun = Instant::now();
    assert_eq!(get(gateway.address(), "any.example", "/").status, 503);
    // 20 and 7 times 60 ms at most; half of it on the average, and the seed is fixed.
    assert!(
        (Duration::from_millis(80)..Duration::from_millis(1_000)).contains(&begun.elapsed()),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(backend.count(), 9);
}

#[test]
fn the_routes_own_retry_replaces_the_policys() {
    let backend = failing(usize::MAX, |request| {
        reply(request.target[1..].parse().unwrap_or(503), "no")
    });
    let rules = format!(
        "[{{retry: {{codes: [500], attempts: 3, backoff: 1ms}}, backendRefs: [{}]}}]",
        to("app")
    );
    let gateway = Gateway::start(&[
        EDGE,
        &backend.yaml("app"),
        &route("app", &rules),
        &retrying(&format!(
            "numRetries: 7, retryOn: {{triggers: [5xx]}}, {QUICK}"
        )),
    ]);
    for (status, attempts) in [(500, 4), (502, 1)] {
        let before = backend.count();
        assert_eq!(
            get(gateway.address(), "any.example", &format!("/{status}")).status,
            status
        );
        assert_eq!(backend.count() - before, attempts, "{status}");
    }
}

#[test]
fn what_envoy_marks_as_rate_limited_is_not_tried_again() {
    let backend = failing(1, |_| {
        vec![Step::Send(response(
            503,
            &[("x-envoy-ratelimited", "true")],
            "no",
        ))]
    });
    let gateway = gateway(&backend, QUICK);
    assert_eq!(get(gateway.address(), "any.example", "/").status, 503);
    assert_eq!(backend.count(), 1);
}

#[test]
fn clients_cannot_ask_for_retries() {
    let backend = failing(1, |_| reply(500, "no"));
    let gateway = Gateway::start(&[EDGE, &backend.yaml("app"), &route_all("app")]);
    let headers = [("x-envoy-retry-on", "5xx"), ("x-envoy-max-retries", "5")];
    assert_eq!(
        call(
            gateway.address(),
            &request("GET", "any.example", "/", &headers, b"")
        )
        .status,
        500
    );
    assert_eq!(backend.count(), 1);
}

#[test]
fn retries_are_not_made_over_the_breaker() {
    let backend = failing(usize::MAX, |_| reply(503, "no"));
    let both = policy(
        "both",
        "HTTPRoute app",
        &format!("retry: {{numRetries: 5, {QUICK}}}, circuitBreaker: {{maxParallelRetries: 0}}"),
    );
    let gateway = Gateway::start(&[EDGE, &backend.yaml("app"), &route_all("app"), &both]);
    assert_eq!(
        get(gateway.address(), "any.example", "/").brief(),
        (503, "no".to_owned())
    );
    assert_eq!(backend.count(), 1);
}

#[test]
fn a_retry_budget_bounds_them_together() {
    // 10 requests fail at the same moment; of 20 % or at least 1 that is 2 retries in progress at most.
    let gate = Gate::default();
    let backend = failing(usize::MAX, {
        let gate = gate.clone();
        move |_| {
            vec![
                Step::Hold(gate.clone()),
                Step::Send(response(503, &[], "no")),
            ]
        }
    });
    let both = policy(
        "both",
        "HTTPRoute app",
        "retry: {numRetries: 1, perRetry: {backOff: {baseInterval: 50ms, maxInterval: 50ms}}}, \
         circuitBreaker: {retryBudget: {percent: {numerator: 20}, minRetryConcurrency: 1}}",
    );
    let gateway = Gateway::start(&[EDGE, &backend.yaml("app"), &route_all("app"), &both]);
    let responses = gets(gateway.address(), "any.example", "/", 10);
    gate.wait_for(10);
    gate.open();
    take(&responses, 10);
    let retries = backend.count() - 10;
    assert!((1..=9).contains(&retries), "{retries} retries");
}

#[test]
fn overflow_is_not_tried_again() {
    let backend = Backend::named("never");
    let both = policy(
        "both",
        "HTTPRoute app",
        "retry: {numRetries: 3, retryOn: {triggers: [5xx]}, perRetry: {backOff: {baseInterval: 1h, maxInterval: 1h}}}, \
         circuitBreaker: {maxParallelRequests: 0}",
    );
    let gateway = Gateway::start(&[EDGE, &backend.yaml("app"), &route_all("app"), &both]);
    let text = "upstream connect error or disconnect/reset before headers. reset reason: overflow";
    assert_eq!(
        get(gateway.address(), "any.example", "/").brief(),
        (503, text.to_owned())
    );
}

#[test]
fn a_back_off_that_cannot_be_is_refused() {
    for back_off in [
        "baseInterval: 0s",
        "baseInterval: 100ms, maxInterval: 10ms",
        "maxInterval: 1s",
    ] {
        let backend = Backend::named("never");
        let gateway = gateway(&backend, &format!("perRetry: {{backOff: {{{back_off}}}}}"));
        assert_eq!(
            get(gateway.address(), "any.example", "/").brief(),
            (500, String::new()),
            "{back_off}"
        );
        assert_eq!(backend.count(), 0);
    }
}
