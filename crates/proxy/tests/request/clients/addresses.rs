//! Whose address counts as the client's, for all that goes by it: limits, what backends are told, the log.

use weir_plan::features::rate_limit::{
    CidrMatch, ClientMatch, FromMetadata, GlobalRateLimit, HeaderNameText, LocalRateLimit,
    RateLimit, RateLimitRule, RateLimitRuleName,
};
use weir_plan::{
    ClientIpDetection, ClientPolicy, DirectContent, DirectResponse, HeaderChanges, Rate,
    RouteAction, RoutePolicy, TimeUnit,
};

use super::with_rules;
use crate::backend::Backend;
use crate::{Gateway, Rule, object, outcome, rule};

/// A limit on the addresses of a range; `distinct`: each has a count of its own.
fn of_source(cidr: &str, distinct: bool, requests: u32) -> RateLimitRule {
    RateLimitRule {
        name: RateLimitRuleName {
            policy: object("policy"),
            index: 0,
        },
        matches: ClientMatch {
            source_cidr: Some(CidrMatch {
                cidr: cidr.parse().expect("a range"),
                distinct,
                invert: false,
            }),
            ..ClientMatch::default()
        },
        limit: Rate {
            requests,
            unit: TimeUnit::Hour,
        },
        request_cost: 1,
        response_cost: None,
        from_metadata: FromMetadata::NONE,
        shared: false,
        shadow: false,
        headers: false,
    }
}

fn limited(prefix: &'static str, local: bool, limit: RateLimitRule) -> Rule {
    let rules = vec![limit];
    let rate_limit = if local {
        RateLimit {
            local: Some(LocalRateLimit {
                default: None,
                headers: true,
                rules,
            }),
            global: None,
        }
    } else {
        RateLimit {
            local: None,
            global: Some(GlobalRateLimit { rules }),
        }
    };
    let policy = RoutePolicy {
        rate_limit,
        ..RoutePolicy::DEFAULT
    };
    rule(prefix, policy)
}

/// A rule that answers with what operators say of the client.
pub(super) fn telling(prefix: &'static str, operators: &str) -> Rule {
    let mut rule = rule(prefix, RoutePolicy::DEFAULT);
    rule.action = RouteAction::Respond(DirectResponse {
        status: 200,
        reason: "it is asked for".into(),
        content: Some(std::sync::Arc::new(DirectContent {
            body: weir_plan::features::response_override::ReplacedBody(operators.as_bytes().into()),
            headers: HeaderChanges::default(),
            operators: true,
        })),
    });
    rule
}

/// Rules that go by the client's address: those that are refused to 7.7.7.7, to loopback, and to each after the first.
fn start(ip_detection: ClientIpDetection, backend: &Backend) -> Gateway {
    let policy = ClientPolicy {
        ip_detection,
        ..ClientPolicy::DEFAULT
    };
    let rules = [
        limited("/local/seven", true, of_source("7.7.7.7/32", false, 0)),
        limited("/global/seven", false, of_source("7.7.7.7/32", false, 0)),
        limited("/local/peer", true, of_source("127.0.0.0/8", false, 0)),
        limited("/each/local", true, of_source("0.0.0.0/0", true, 1)),
        limited("/each/global", false, of_source("0.0.0.0/0", true, 1)),
        telling(
            "/who",
            "%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_REMOTE_PORT% \
             %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
        ),
        rule("/", RoutePolicy::DEFAULT),
    ];
    with_rules(policy, &rules, &[backend.address])
}

fn networks(list: &[&str]) -> ClientIpDetection {
    ClientIpDetection::TrustedNetworks {
        networks: list.iter().map(|it| it.parse().expect("one")).collect(),
        append: true,
    }
}

fn header(fail_closed: bool) -> ClientIpDetection {
    ClientIpDetection::Header {
        name: HeaderNameText("x-real-client".parse().expect("a name")),
        fail_closed,
    }
}

#[test]
fn all_that_goes_by_the_client_goes_by_the_one_that_is_detected() {
    let seven = "x-forwarded-for: 7.7.7.7\r\n";
    let hops = |hops| ClientIpDetection::TrustedHops { hops, append: true };
    // (whom to trust, headers, what is told of who forwarded it)
    let cases = [
        (hops(1), seven, "7.7.7.7,127.0.0.1"),
        (
            hops(2),
            "x-forwarded-for: 1.1.1.1, 7.7.7.7\r\nx-forwarded-for: 9.9.9.9\r\n",
            "1.1.1.1, 7.7.7.7,9.9.9.9,127.0.0.1",
        ),
        (networks(&["127.0.0.0/8"]), seven, "7.7.7.7,127.0.0.1"),
        (
            networks(&["10.0.0.0/8", "127.0.0.1/32"]),
            "x-forwarded-for: 1.1.1.1,7.7.7.7,10.2.3.4\r\n",
            "1.1.1.1,7.7.7.7,10.2.3.4,127.0.0.1",
        ),
        (header(true), "x-real-client: 7.7.7.7\r\n", "-"),
    ];
    for (detection, headers, forwarded) in cases {
        let backend = Backend::start();
        let gateway = start(detection.clone(), &backend);
        let mut client = gateway.connect();
        for (path, status) in [
            ("/local/seven", 429),
            ("/global/seven", 429),
            ("/local/peer", 200),
        ] {
            let response = client.get(path, headers);
            assert_eq!(response.status, status, "{path} {detection:?}");
        }
        let seen = backend.only();
        assert_eq!(
            seen.header("x-envoy-external-address"),
            Some("7.7.7.7"),
            "{detection:?}"
        );
        let told = seen.header("x-forwarded-for").unwrap_or("-");
        assert_eq!(told, forwarded, "{detection:?}");
        for line in gateway.log(3) {
            assert_eq!(
                line["downstream_remote_address"], "7.7.7.7:0",
                "{detection:?}"
            );
        }
        let who = client.get("/who", headers);
        assert_eq!(who.body, "7.7.7.7:0 7.7.7.7 0 127.0.0.1", "{detection:?}");
    }
}

#[test]
fn each_detected_client_has_a_count_of_its_own() {
    let backend = Backend::start();
    let hops = ClientIpDetection::TrustedHops {
        hops: 1,
        append: true,
    };
    let gateway = start(hops, &backend);
    for path in ["/each/local", "/each/global"] {
        let ask = |address: &str| {
            let headers = format!("x-forwarded-for: 6.6.6.6, {address}\r\n");
            gateway.connect().get(path, &headers).status
        };
        let asked = ["7.7.7.7", "8.8.8.8", "7.7.7.7", "8.8.8.8", "9.9.9.9"].map(ask);
        assert_eq!(asked, [200, 200, 429, 429, 200], "{path}");
        // The peer itself is one more.
        let mut client = gateway.connect();
        assert_eq!([0; 2].map(|_| client.get(path, "").status), [200, 429]);
    }
}

#[test]
fn who_is_not_trusted_is_not_believed() {
    let spoofed = "x-forwarded-for: 7.7.7.7\r\nx-real-client: 7.7.7.7\r\n\
                   x-envoy-external-address: 7.7.7.7\r\nx-forwarded-proto: https\r\n";
    let direct = |append| ClientIpDetection::Direct { append };
    let far = ClientIpDetection::TrustedHops {
        hops: 2,
        append: true,
    };
    // (whom to trust, what is told of who forwarded it, and of the scheme)
    let cases = [
        (direct(true), "7.7.7.7,127.0.0.1", "http"),
        (direct(false), "7.7.7.7", "http"),
        (networks(&["10.0.0.0/8"]), "7.7.7.7,127.0.0.1", "http"),
        // Whoever is that many hops away has proxies between, which are trusted in the rest.
        (far, "7.7.7.7,127.0.0.1", "https"),
    ];
    for (detection, forwarded, scheme) in cases {
        let backend = Backend::start();
        let gateway = start(detection.clone(), &backend);
        let mut client = gateway.connect();
        for (path, status) in [("/local/seven", 200), ("/local/peer", 429)] {
            let response = client.get(path, spoofed);
            assert_eq!(response.status, status, "{path} {detection:?}");
        }
        let seen = backend.only();
        let told = [
            "x-envoy-external-address",
            "x-forwarded-for",
            "x-forwarded-proto",
        ]
        .map(|name| seen.header(name).unwrap_or("-"));
        assert_eq!(told, ["127.0.0.1", forwarded, scheme], "{detection:?}");
        let line = gateway.log(2).remove(1);
        let address = line["downstream_remote_address"].as_str();
        let address = address.expect("an address");
        assert!(
            address.starts_with("127.0.0.1:") && !address.ends_with(":0"),
            "{address}"
        );
    }
}

#[test]
fn a_client_that_is_in_no_header_is_refused_or_is_the_peer() {
    let backend = Backend::start();
    let gateway = start(header(true), &backend);
    let mut client = gateway.connect();
    let cases = [
        "",
        "x-real-client: nobody\r\n",
        "x-real-client: 1.1.1.1:80\r\n",
    ];
    for (place, headers) in cases.into_iter().enumerate() {
        let response = client.get("/", headers);
        assert_eq!(response.told(), (403, ""), "{headers}");
        let refused = outcome(403, "-", "rejecting_because_detection_failed");
        assert_eq!(gateway.logged(place + 1), refused);
    }
    assert!(backend.seen().is_empty());
    let open = start(header(false), &backend);
    for headers in cases {
        assert_eq!(open.connect().get("/local/peer", headers).status, 429);
    }
}
