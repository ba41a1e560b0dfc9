//! What an operator sees of requests: the access log and the metrics.

use std::collections::BTreeSet;

use weir_plan::{DirectResponse, RouteAction, RoutePolicy};
use weir_proxy::metrics::{DOCS, MOST_SERIES};

use crate::backend::Backend;
use crate::{Gateway, Rule, rule};

#[test]
fn a_response_with_trailers_is_whole() {
    let backend = Backend::start();
    let gateway = Gateway::start(&[rule("/", RoutePolicy::DEFAULT)], &[backend.address]);
    for (place, headers) in ["", "te: trailers\r\n"].into_iter().enumerate() {
        let mut client = gateway.connect();
        client.get("/trailers", headers);
        let line = gateway.log(place + 1).remove(place);
        assert_eq!(line["response_flags"], "-", "{headers:?}");
        assert_eq!(line["response_code_details"], "via_upstream", "{headers:?}");
    }
}

#[test]
fn a_line_of_the_log_says_what_became_of_a_request() {
    let backend = Backend::start();
    let gateway = Gateway::start(&[rule("/", RoutePolicy::DEFAULT)], &[backend.address]);
    let mut client = gateway.connect();
    client.send(
        "POST /a/./b?q='1' HTTP/1.1\r\nhost: Test:8080\r\nuser-agent: \"me\"\r\ncontent-length: 3\r\n\r\nabc",
    );
    client.read();
    let line = gateway.log(1).remove(0);
    let object = line.as_object().expect("an object");
    let id = object["x-request-id"].as_str().expect("an id");
    assert_eq!(backend.only().header("x-request-id"), Some(id));
    assert_eq!(
        object["downstream_remote_address"]
            .as_str()
            .map(|it| it.starts_with("127.0.0.1:")),
        Some(true)
    );
    let expected = serde_json::json!({
        ":authority": "Test:8080",
        "attempts": 1,
        "bytes_received": 3,
        "bytes_sent": 1,
        "connection_termination_details": null,
        "downstream_local_address": gateway.proxy.addresses()[&80].to_string(),
        "downstream_remote_address": object["downstream_remote_address"],
        "downstream_tls_cipher": null,
        "downstream_tls_version": null,
        "duration": 0,
        "method": "POST",
        "policies": ["BackendTrafficPolicy/default/policy"],
        "protocol": "HTTP/1.1",
        "rate_limit_rule": null,
        "requested_server_name": null,
        "response_code": 200,
        "response_code_details": "via_upstream",
        "response_flags": "-",
        "route_name": "HTTPRoute/default/route/rule/0/match/0/*",
        "start_time": "2023-11-14T22:13:00.000Z",
        "upgrade": null,
        "upstream_cluster": "HTTPRoute/default/route/rule/0@default/gateway",
        "upstream_host": backend.address.to_string(),
        "upstream_local_address": null,
        "upstream_transport_failure_reason": null,
        "user-agent": "\"me\"",
        "x-envoy-origin-path": "/a/b?q='1'",
        "x-envoy-upstream-service-time": null,
        "x-forwarded-for": "127.0.0.1",
        "x-request-id": id,
    });
    assert_eq!(line, expected);
    let keys: Vec<_> = object.keys().collect();
    assert!(keys.is_sorted(), "{keys:?}");
}

#[test]
fn requests_are_counted() {
    let backend = Backend::start();
    let gateway = Gateway::start(&[rule("/a", RoutePolicy::DEFAULT)], &[backend.address]);
    let mut client = gateway.connect();
    client.get("/a", "");
    client.post("/a", 5);
    client.get("/nowhere", "");
    client.send("GET /a HTTP/1.1\r\nhost: a b\r\n\r\n");
    gateway.log(4);
    let metrics = gateway.proxy.metrics();
    let listener = "listener=\"default/gateway/http\"";
    let rule = "rule=\"HTTPRoute/default/route/rule/0\"";
    for line in [
        format!("weir_requests_total{{{listener},{rule},code_class=\"2xx\"}} 2"),
        format!("weir_requests_total{{{listener},rule=\"\",code_class=\"4xx\"}} 1"),
        "weir_requests_total{listener=\"\",rule=\"\",code_class=\"4xx\"} 1".to_owned(),
        format!("weir_response_flags_total{{{listener},flag=\"NR\"}} 1"),
        format!("weir_requests_active{{{listener}}} 0"),
        format!("weir_request_bytes_total{{{listener}}} 5"),
        format!("weir_response_bytes_total{{{listener}}} 2"),
        format!("weir_request_duration_seconds_count{{{listener}}} 3"),
        "weir_downstream_connections_total 1".to_owned(),
    ] {
        assert!(metrics.lines().any(|it| it == line), "{line}\n{metrics}");
    }
    // What the plan no longer has is forgotten.
    gateway.apply(&[], crate::CLUSTER, &[]);
    assert!(!gateway.proxy.metrics().contains(rule));
}

#[test]
fn ten_thousand_routes_do_not_flood_the_metrics() {
    const ROUTES: usize = 10_000;
    let of_rule = |at: usize| Rule {
        action: RouteAction::Respond(DirectResponse {
            status: 204,
            reason: "".into(),
            content: None,
        }),
        ..rule(format!("/{at}").leak(), RoutePolicy::DEFAULT)
    };
    let rules: Vec<_> = (0..ROUTES).map(of_rule).collect();
    let gateway = Gateway::start(&rules, &[]);
    let of_rules = |metrics: &str| {
        let mine = |line: &&str| line.starts_with("weir_requests_total{") && line.contains("2xx");
        let counts = metrics.lines().filter(mine);
        let counts = counts.map(|line| line.rsplit(' ').next().and_then(|it| it.parse().ok()));
        counts
            .collect::<Option<Vec<u64>>>()
            .expect("they are numbers")
    };
    // A route that nobody asks for has no series.
    let metrics = gateway.proxy.metrics();
    assert_eq!(of_rules(&metrics), [0_u64; 0]);
    assert!(metrics.len() < 20_000, "{} bytes", metrics.len());
    let mut client = gateway.connect();
    let beyond = 50;
    for round in 1..=2 {
        for at in 0..MOST_SERIES + beyond {
            client.get(&format!("/{at}"), "");
        }
        gateway.log(round * (MOST_SERIES + beyond));
        let metrics = gateway.proxy.metrics();
        let counts = of_rules(&metrics);
        assert_eq!(counts.len(), MOST_SERIES + 1);
        let total = round * (MOST_SERIES + beyond);
        assert_eq!(counts.iter().sum::<u64>(), total as u64, "none is lost");
        let other = "weir_requests_total{listener=\"other\",rule=\"other\",code_class=\"2xx\"}";
        let expected = format!("{other} {}", round * beyond);
        assert!(metrics.lines().any(|line| line == expected), "{expected}");
        assert!(metrics.len() < 500_000, "{} bytes", metrics.len());
    }
    // Where there is room again, the next ones have it; what the others counted stays.
    gateway.apply(&rules[..MOST_SERIES / 2], crate::CLUSTER, &[]);
    let counts = of_rules(&gateway.proxy.metrics());
    assert_eq!(counts.len(), MOST_SERIES / 2 + 1);
    assert!(
        counts.contains(&(2 * beyond as u64)),
        "the others' count fell"
    );
}

#[test]
fn every_metric_is_documented_and_every_documented_metric_is_there() {
    let backend = Backend::start();
    let gateway = Gateway::start(&[rule("/", RoutePolicy::DEFAULT)], &[backend.address]);
    gateway.connect().get("/", "");
    gateway.log(1);
    let metrics = gateway.proxy.metrics();
    let families: Vec<_> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .collect();
    let documented: Vec<_> = DOCS
        .iter()
        .map(|doc| format!("{} {}", doc.name, doc.kind))
        .collect();
    assert_eq!(families, documented);
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = line.split_once(['{', ' ']).expect("a name");
        let doc = DOCS.iter().find(|doc| {
            let suffix = name.strip_prefix(doc.name);
            let of_histogram = ["_bucket", "_sum", "_count"];
            suffix.is_some_and(|it| {
                it.is_empty() || doc.kind == "histogram" && of_histogram.contains(&it)
            })
        });
        let doc = doc.unwrap_or_else(|| panic!("{name} is not documented"));
        let labels: BTreeSet<_> = if line.contains('{') {
            rest.split("\",")
                .filter_map(|it| it.split_once("=\""))
                .map(|(label, _)| label)
                .collect()
        } else {
            BTreeSet::new()
        };
        let expected: BTreeSet<_> = doc.labels.iter().copied().collect();
        let besides: Vec<_> = labels
            .symmetric_difference(&expected)
            .filter(|it| **it != "le")
            .collect();
        assert!(besides.is_empty(), "{line}: {besides:?}");
    }
}
