//! Rate limits on traffic: what is let through, what is refused, and what clients are told.

use std::time::Duration;

use weir_plan::features::rate_limit::{
    CidrMatch, ClientMatch, DefaultBucket, GlobalRateLimit, HeaderNameText, LimitValueMatch,
    LocalRateLimit, NamedMatch, RateLimit, RateLimitRule, RateLimitRuleName,
};
use weir_plan::{Rate, RoutePolicy, TimeUnit};

use crate::backend::Backend;
use crate::{CLUSTER, Gateway, Rule, object, outcome, rule};

fn name(index: usize) -> RateLimitRuleName {
    RateLimitRuleName {
        policy: object("policy"),
        index,
    }
}

const fn per(requests: u32, unit: TimeUnit) -> Rate {
    Rate { requests, unit }
}

fn limited(matches: ClientMatch, limit: Rate) -> RateLimitRule {
    RateLimitRule {
        name: name(0),
        matches,
        limit,
        request_cost: 1,
        response_cost: None,
        from_metadata: weir_plan::features::rate_limit::FromMetadata::NONE,
        shared: false,
        shadow: false,
        headers: true,
    }
}

fn under(prefix: &'static str, rate_limit: RateLimit) -> Rule {
    let policy = RoutePolicy {
        rate_limit,
        ..RoutePolicy::DEFAULT
    };
    rule(prefix, policy)
}

fn local(limit: Rate) -> RateLimit {
    RateLimit {
        local: Some(LocalRateLimit {
            default: Some(DefaultBucket {
                name: name(0),
                limit,
                headers: true,
            }),
            headers: true,
            rules: Vec::new(),
        }),
        global: None,
    }
}

fn global(rules: Vec<RateLimitRule>) -> RateLimit {
    RateLimit {
        local: None,
        global: Some(GlobalRateLimit { rules }),
    }
}

fn by_header(name: &'static str, value: LimitValueMatch) -> ClientMatch {
    ClientMatch {
        headers: vec![NamedMatch {
            name: HeaderNameText(name.parse().expect("a name")),
            value,
        }],
        ..ClientMatch::default()
    }
}

#[test]
fn a_local_limit_answers_429_and_says_what_is_left() {
    let backend = Backend::start();
    let rule = under("/", local(per(2, TimeUnit::Minute)));
    let gateway = Gateway::start(&[rule], &[backend.address]);
    let mut client = gateway.connect();
    let mut ask = |headers| {
        let response = client.get("/", headers);
        let shown = [
            "x-ratelimit-limit",
            "x-ratelimit-remaining",
            "x-ratelimit-reset",
        ];
        let shown = shown
            .map(|name| response.header(name).unwrap_or("-").to_owned())
            .join(" ");
        (response, shown)
    };
    assert_eq!(ask("").1, "2 1 0");
    assert_eq!(ask("").1, "2 0 30");
    let (response, shown) = ask("");
    assert_eq!(response.told(), (429, "local_rate_limited"));
    assert_eq!(shown, "2 0 30");
    assert_eq!(response.header("content-type"), Some("text/plain"));
    for name in ["x-envoy-ratelimited", "retry-after"] {
        assert_eq!(response.header(name), None);
    }
    assert!(!response.closes());
    assert_eq!(gateway.logged(3), outcome(429, "RL", "local_rate_limited"));
    assert_eq!(
        gateway.log(3)[2]["rate_limit_rule"],
        "default/policy/rule/0"
    );
    let (grpc, _) = ask("content-type: application/grpc\r\n");
    assert_eq!(grpc.told(), (200, ""));
    assert_eq!(grpc.header("grpc-status"), Some("14"));
    assert_eq!(grpc.header("grpc-message"), Some("local_rate_limited"));
    gateway.clock.advance(Duration::from_secs(30));
    assert_eq!(ask("").0.status, 200);
    assert_eq!(backend.seen().len(), 3);
}

#[test]
fn a_limit_is_exact_across_connections_and_workers() {
    let backend = Backend::start();
    let rule = RateLimit {
        local: local(per(50, TimeUnit::Hour)).local,
        global: None,
    };
    let shared = global(vec![limited(
        ClientMatch::default(),
        per(50, TimeUnit::Hour),
    )]);
    let gateway = Gateway::start(
        &[under("/local", rule), under("/global", shared)],
        &[backend.address],
    );
    for path in ["/local", "/global"] {
        let passed: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    let mut client = gateway.connect();
                    scope.spawn(move || {
                        (0..20)
                            .filter(|_| client.get(path, "").status == 200)
                            .count()
                    })
                })
                .collect();
            threads.into_iter().map(|it| it.join().unwrap()).sum()
        });
        assert_eq!((passed, backend.count(path)), (50, 50), "{path}");
    }
}

#[test]
fn buckets_survive_a_new_plan() {
    let backend = Backend::start();
    let policy = |requests| [under("/", local(per(requests, TimeUnit::Hour)))];
    let gateway = Gateway::start(&policy(2), &[backend.address]);
    let mut client = gateway.connect();
    assert_eq!([0; 3].map(|_| client.get("/", "").status), [200, 200, 429]);
    gateway.apply(&policy(2), CLUSTER, &[backend.address]);
    assert_eq!(client.get("/", "").status, 429);
    // What was taken stays taken: of three, one is left.
    gateway.apply(&policy(3), CLUSTER, &[backend.address]);
    assert_eq!([0; 2].map(|_| client.get("/", "").status), [200, 429]);
    gateway.apply(&policy(2), CLUSTER, &[backend.address]);
    // A new limit fills at its new speed: one every 30 minutes.
    gateway.clock.advance(Duration::from_secs(1799));
    assert_eq!(client.get("/", "").status, 429);
    gateway.clock.advance(Duration::from_secs(1));
    assert_eq!([0; 2].map(|_| client.get("/", "").status), [200, 429]);
}

#[test]
fn a_global_limit_has_windows_and_shares_counts() {
    let backend = Backend::start();
    let shared = RateLimitRule {
        shared: true,
        ..limited(
            by_header("x-user", LimitValueMatch::Distinct),
            per(2, TimeUnit::Minute),
        )
    };
    let rules = ["/a", "/b"].map(|prefix| under(prefix, global(vec![shared.clone()])));
    let gateway = Gateway::start(&rules, &[backend.address]);
    let mut client = gateway.connect();
    let response = client.get("/a", "x-user: 1\r\n");
    assert_eq!(response.header("x-ratelimit-limit"), Some("2, 2;w=60"));
    assert_eq!(response.header("x-ratelimit-remaining"), Some("1"));
    assert_eq!(response.header("x-ratelimit-reset"), Some("60"));
    assert_eq!(client.get("/b", "x-user: 1\r\n").status, 200);
    let response = client.get("/b", "x-user: 1\r\n");
    assert_eq!(response.told(), (429, ""));
    assert_eq!(
        gateway.logged(3),
        outcome(429, "RL", "request_rate_limited")
    );
    assert_eq!(client.get("/a", "x-user: 2\r\n").status, 200);
    assert_eq!(client.get("/a", "").header("x-ratelimit-limit"), None);
    gateway.clock.advance(Duration::from_secs(59));
    assert_eq!(client.get("/a", "x-user: 1\r\n").status, 429);
    gateway.clock.advance(Duration::from_secs(1));
    assert_eq!(client.get("/a", "x-user: 1\r\n").status, 200);
}

#[test]
fn a_response_is_charged_when_it_has_ended_even_a_refusal() {
    let backend = Backend::start();
    let costly = RateLimitRule {
        request_cost: 0,
        response_cost: Some(3),
        from_metadata: weir_plan::features::rate_limit::FromMetadata::NONE,
        ..limited(ClientMatch::default(), per(5, TimeUnit::Minute))
    };
    let gateway = Gateway::start(&[under("/", global(vec![costly]))], &[backend.address]);
    let mut client = gateway.connect();
    let mut remaining = |line| {
        let response = client.get("/", "");
        // The line is written after the charge.
        gateway.log(line);
        (
            response.status,
            response.header("x-ratelimit-remaining").unwrap().to_owned(),
        )
    };
    assert_eq!(remaining(1), (200, "5".to_owned()));
    assert_eq!(remaining(2), (200, "2".to_owned()));
    assert_eq!(remaining(3), (429, "0".to_owned()));
}

#[test]
fn clients_are_told_by_their_address() {
    let backend = Backend::start();
    let of = |cidr: &str, invert| {
        let matches = ClientMatch {
            source_cidr: Some(CidrMatch {
                cidr: cidr.parse().unwrap(),
                distinct: true,
                invert,
            }),
            ..ClientMatch::default()
        };
        global(vec![limited(matches, per(0, TimeUnit::Second))])
    };
    let rules = [
        under("/loopback", of("127.0.0.0/8", false)),
        under("/others", of("127.0.0.0/8", true)),
    ];
    let gateway = Gateway::start(&rules, &[backend.address]);
    let mut client = gateway.connect();
    // Whom a client says that it forwards for does not make it another client.
    assert_eq!(
        client
            .get("/loopback", "x-forwarded-for: 1.1.1.1\r\n")
            .status,
        429
    );
    assert_eq!(
        client.get("/others", "x-forwarded-for: 1.1.1.1\r\n").status,
        200
    );
}

#[test]
fn a_refusal_does_not_wait_for_the_body() {
    let backend = Backend::start();
    let gateway = Gateway::start(
        &[under("/", local(per(0, TimeUnit::Second)))],
        &[backend.address],
    );
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 1000\r\n\r\n");
    let response = client.read();
    assert_eq!(response.told(), (429, "local_rate_limited"));
    assert!(response.closes() && client.rest().is_empty());
}
