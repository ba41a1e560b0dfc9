//! What goes wrong behind the gateway, or is made to: local replies, retries, injected faults.

use std::time::{Duration, Instant};

use weir_plan::features::circuit_breaker::{CircuitBreaker, RetryLimit};
use weir_plan::features::fault_injection::{Abort, AbortStatus, Delay, FaultInjection};
use weir_plan::features::retry::{BackOff, Retry, RetryTrigger};
use weir_plan::features::timeout::RouteTimeout;
use weir_plan::{ClusterPolicy, PerMillion, RoutePolicy};
use weir_proxy::Limits;

use crate::backend::Backend;
use crate::{CLUSTER, Gateway, Rule, outcome, rule};

const ERROR: &str = "upstream connect error or disconnect/reset before headers.";

fn retrying(
    num_retries: u32,
    triggers: &[RetryTrigger],
    per_try_timeout: Option<Duration>,
) -> Rule {
    let retry = Retry {
        num_retries,
        triggers: triggers.iter().copied().collect(),
        status_codes: [503].into(),
        per_try_timeout,
        back_off: BackOff {
            base: Duration::from_millis(1),
            max: Duration::from_millis(1),
        },
        num_attempts_per_priority: None,
    };
    let policy = RoutePolicy {
        retry: Some(retry),
        ..RoutePolicy::DEFAULT
    };
    rule("/", policy)
}

#[test]
fn each_failure_has_its_answer() {
    let backend = Backend::start();
    let gateway = Gateway::start(&[rule("/", RoutePolicy::DEFAULT)], &[backend.address]);
    let mut client = gateway.connect();
    let closed = client.get("/close/9", "");
    let text = format!("{ERROR} reset reason: connection termination");
    assert_eq!(closed.told(), (503, text.as_str()));
    let details = "upstream_reset_before_response_started{connection_termination}";
    assert_eq!(gateway.logged(1), outcome(503, "UC", details));
    let garbage = client.get("/garbage", "");
    let text = format!("{ERROR} reset reason: protocol error");
    assert_eq!(garbage.told(), (502, text.as_str()));
    let details = "upstream_reset_before_response_started{protocol_error}";
    assert_eq!(gateway.logged(2), outcome(502, "UPE", details));
    gateway.apply(&[rule("/", RoutePolicy::DEFAULT)], CLUSTER, &[]);
    assert_eq!(client.get("/", "").told(), (503, "no healthy upstream"));
    assert_eq!(gateway.logged(3), outcome(503, "UH", "no_healthy_upstream"));
    gateway.apply(
        &[rule("/", RoutePolicy::DEFAULT)],
        CLUSTER,
        &[Backend::nobody()],
    );
    let refused = client.get("/", "");
    let text = format!("{ERROR} reset reason: remote connection failure");
    assert_eq!(refused.told(), (503, text.as_str()));
    let details = "upstream_reset_before_response_started{remote_connection_failure|\
                   delayed_connect_error:_Connection_refused}";
    assert_eq!(gateway.logged(4), outcome(503, "UF", details));
    let reason = &gateway.log(4)[3]["upstream_transport_failure_reason"];
    assert_eq!(reason, "delayed_connect_error: Connection refused");
    let grpc = client.get("/", "content-type: application/grpc\r\n");
    assert_eq!((grpc.status, grpc.header("grpc-status")), (200, Some("14")));
}

#[test]
fn a_response_that_breaks_off_breaks_the_connection() {
    let backend = Backend::start();
    let policy = RoutePolicy {
        timeout: RouteTimeout {
            request: Some(Duration::from_millis(200)),
            ..RouteTimeout::DEFAULT
        },
        ..RoutePolicy::DEFAULT
    };
    let gateway = Gateway::start(&[rule("/", policy)], &[backend.address]);
    let mut client = gateway.connect();
    client.send("GET /stall HTTP/1.1\r\nhost: test\r\n\r\n");
    assert_eq!(client.read_head().status, 200);
    assert_eq!(client.rest(), "1234567");
    assert_eq!(gateway.logged(1), outcome(200, "UT", "response_timeout"));
    assert_eq!(gateway.log(1)[0]["bytes_sent"], 7);
}

#[test]
fn failures_are_retried_as_often_as_allowed() {
    let backend = Backend::start();
    let gateway = Gateway::start(
        &[retrying(2, &[RetryTrigger::ServerError], None)],
        &[backend.address],
    );
    let mut client = gateway.connect();
    // (path, status, attempts, flags)
    let cases = [
        ("/fail/2/503/a", 200, 3, "-"),
        ("/fail/3/500/b", 500, 3, "URX"),
        ("/fail/1/404/c", 404, 1, "-"),
        ("/close/2/d", 200, 3, "-"),
        ("/close/9/e", 503, 3, "URX,UC"),
    ];
    for (place, (path, status, attempts, flags)) in cases.into_iter().enumerate() {
        let response = client.get(path, "");
        assert_eq!(
            (response.status, backend.count(path)),
            (status, attempts),
            "{path}"
        );
        let line = gateway.log(place + 1).remove(place);
        assert_eq!(line["response_flags"], flags, "{path}");
        assert_eq!(line["attempts"], attempts, "{path}");
        if path.starts_with("/close/9") {
            let text =
                format!("{ERROR} retried and the latest reset reason: connection termination");
            assert_eq!(response.body, text);
        }
    }
    let retries = "weir_retry_attempts_total{listener=\"default/gateway/http\",rule=\"HTTPRoute/default/route/rule/0\"} 8";
    assert!(
        gateway.proxy.metrics().contains(retries),
        "{}",
        gateway.proxy.metrics()
    );
}

#[test]
fn only_what_the_triggers_say_is_retried() {
    let backend = Backend::start();
    let triggers = [
        RetryTrigger::ConnectFailure,
        RetryTrigger::RetriableStatusCodes,
        RetryTrigger::Unavailable,
    ];
    let gateway = Gateway::start(&[retrying(1, &triggers, None)], &[backend.address]);
    let mut client = gateway.connect();
    for (path, attempts) in [
        ("/fail/9/503/a", 2),
        ("/fail/9/500/b", 1),
        ("/close/9/c", 1),
        ("/grpc/14", 2),
        ("/grpc/13", 1),
    ] {
        client.get(path, "");
        assert_eq!(backend.count(path), attempts, "{path}");
    }
}

#[test]
fn an_endpoint_that_failed_is_not_asked_again() {
    let backend = Backend::start();
    let endpoints = [Backend::nobody(), backend.address];
    let gateway = Gateway::start(
        &[retrying(1, &[RetryTrigger::ConnectFailure], None)],
        &endpoints,
    );
    let mut client = gateway.connect();
    for _ in 0..20 {
        assert_eq!(client.get("/", "").status, 200);
    }
    assert_eq!(backend.count("/"), 20);
    assert!(gateway.log(20).iter().any(|it| it["attempts"] == 2));
}

#[test]
fn bodies_are_sent_again_up_to_32_kib() {
    let backend = Backend::start();
    let gateway = Gateway::start(
        &[retrying(1, &[RetryTrigger::ServerError], None)],
        &[backend.address],
    );
    let mut client = gateway.connect();
    // (path, bytes, status, attempts)
    let cases = [
        ("/fail/1/503/a", 30_000, 200, 2),
        ("/fail/1/503/b", 32_768, 200, 2),
        ("/fail/1/503/c", 40_000, 503, 1),
        ("/close/1/d", 30_000, 200, 2),
    ];
    for (place, (path, length, status, attempts)) in cases.into_iter().enumerate() {
        let response = client.post(path, length);
        assert_eq!(
            (response.status, backend.count(path)),
            (status, attempts),
            "{path}"
        );
        assert_eq!(response.body, length.to_string(), "{path}");
        assert_eq!(
            gateway.log(place + 1)[place]["response_flags"],
            "-",
            "{path}"
        );
    }
    client.send(
        "POST /fail/1/503/e HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
         3\r\nabc\r\n0\r\nx-sum: 9\r\n\r\n",
    );
    assert_eq!(client.read().told(), (200, "3"));
    let last = backend.seen().pop().unwrap();
    assert_eq!(
        (&*last.body, &*last.trailers),
        (&b"abc"[..], "x-sum: 9\r\n\r\n")
    );
}

#[test]
fn an_attempt_may_have_its_own_limit() {
    let backend = Backend::start();
    // Long enough for a machine that does much else to answer the second attempt within it.
    let limit = Some(Duration::from_millis(500));
    let gateway = Gateway::start(
        &[retrying(1, &[RetryTrigger::Reset], limit)],
        &[backend.address],
    );
    let mut client = gateway.connect();
    assert_eq!(client.get("/hold/1/a", "").status, 200);
    assert_eq!(backend.count("/hold/1/a"), 2);
    let response = client.get("/hold/9/b", "");
    assert_eq!(response.told(), (504, "upstream request timeout"));
    assert_eq!(backend.count("/hold/9/b"), 2);
    assert_eq!(
        gateway.logged(2),
        outcome(504, "URX,UT", "upstream_per_try_timeout")
    );
    // A body is sent again to the endpoint of the next attempt.
    assert_eq!(client.post("/hold/1/c", 1_000).told(), (200, "1000"));
    // Without a trigger for it, the first one decides.
    gateway.apply(
        &[retrying(1, &[RetryTrigger::ConnectFailure], limit)],
        CLUSTER,
        &[backend.address],
    );
    assert_eq!(client.get("/hold/9/d", "").status, 504);
    assert_eq!(backend.count("/hold/9/d"), 1);
    assert_eq!(
        gateway.logged(4),
        outcome(504, "UT", "upstream_per_try_timeout")
    );
}

#[test]
fn a_slow_client_does_not_use_up_the_limit_of_an_attempt() {
    let backend = Backend::start();
    let limit = Duration::from_millis(50);
    let gateway = Gateway::start(
        &[retrying(1, &[RetryTrigger::Reset], Some(limit))],
        &[backend.address],
    );
    let mut client = gateway.connect();
    client.send("POST /slow HTTP/1.1\r\nhost: test\r\ncontent-length: 9\r\n\r\nhalf ");
    // The time itself is what is tried: the limit would pass in it more than twice.
    std::thread::sleep(limit * 3);
    client.send("more");
    assert_eq!(client.read().told(), (200, "9"));
    assert_eq!(gateway.log(1)[0]["attempts"], 1);
}

#[test]
fn retries_stop_where_the_breaker_says() {
    let backend = Backend::start();
    let policy = ClusterPolicy {
        circuit_breaker: CircuitBreaker {
            max_retries: RetryLimit::Count(0),
            ..CircuitBreaker::DEFAULT
        },
        ..CLUSTER
    };
    let rules = [retrying(3, &[RetryTrigger::ServerError], None)];
    let gateway = Gateway::with(Limits::default(), &rules, policy, &[backend.address]);
    let response = gateway.connect().get("/status/503", "");
    assert_eq!(response.told(), (503, "0"));
    assert_eq!(backend.count("/status/503"), 1);
    assert_eq!(gateway.logged(1), outcome(503, "UO", "via_upstream"));
}

#[test]
fn a_breaker_answers_503() {
    let backend = Backend::start();
    let policy = ClusterPolicy {
        circuit_breaker: CircuitBreaker {
            max_parallel_requests: 0,
            ..CircuitBreaker::DEFAULT
        },
        ..CLUSTER
    };
    let rules = [retrying(3, &[RetryTrigger::ServerError], None)];
    let gateway = Gateway::with(Limits::default(), &rules, policy, &[backend.address]);
    let response = gateway.connect().get("/", "");
    let text = format!("{ERROR} reset reason: overflow");
    assert_eq!(response.told(), (503, text.as_str()));
    assert_eq!(response.header("x-envoy-overloaded"), None);
    let details = "upstream_reset_before_response_started{overflow}";
    assert_eq!(gateway.logged(1), outcome(503, "UO", details));
}

#[test]
fn faults_come_before_everything_else() {
    let backend = Backend::start();
    let delay = |share| Delay {
        fixed: Duration::from_millis(150),
        share: PerMillion(share),
    };
    let abort = |share| Abort {
        status: AbortStatus::HttpStatus(418),
        share: PerMillion(share),
    };
    let faulty = |prefix, delay, abort| {
        let policy = RoutePolicy {
            fault_injection: Some(FaultInjection { delay, abort }),
            // A delay on purpose does not count against it.
            timeout: RouteTimeout {
                request: Some(Duration::from_millis(100)),
                ..RouteTimeout::DEFAULT
            },
            ..RoutePolicy::DEFAULT
        };
        rule(prefix, policy)
    };
    let always = 1_000_000;
    let rules = [
        faulty("/delay", Some(delay(always)), None),
        faulty("/abort", None, Some(abort(always))),
        faulty("/both", Some(delay(always)), Some(abort(always))),
        faulty("/half", None, Some(abort(500_000))),
        faulty("/never", Some(delay(0)), Some(abort(0))),
    ];
    let gateway = Gateway::start(&rules, &[backend.address]);
    let mut client = gateway.connect();
    // (path, status, body, slow, flags, details)
    let cases = [
        ("/delay", 200, "0", true, "DI", "via_upstream"),
        (
            "/abort",
            418,
            "fault filter abort",
            false,
            "FI",
            "fault_filter_abort",
        ),
        (
            "/both",
            418,
            "fault filter abort",
            true,
            "DI,FI",
            "fault_filter_abort",
        ),
        ("/never", 200, "0", false, "-", "via_upstream"),
    ];
    for (place, (path, status, body, slow, flags, details)) in cases.into_iter().enumerate() {
        let start = Instant::now();
        assert_eq!(client.get(path, "").told(), (status, body), "{path}");
        if slow {
            assert!(start.elapsed() >= Duration::from_millis(150), "{path}");
        }
        assert_eq!(
            gateway.logged(place + 1),
            outcome(u64::from(status), flags, details)
        );
    }
    let aborted = (0..400)
        .filter(|_| client.get("/half", "").status == 418)
        .count();
    // 200 are expected; with 400 draws, 5 standard deviations are 50.
    assert!((150..250).contains(&aborted), "{aborted}");
}
