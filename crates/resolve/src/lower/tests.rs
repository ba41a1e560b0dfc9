//! What settings come to: defaults, a rule's own timeouts and retries, what is dropped.

use std::time::Duration;

use serde_json::{Value, json};
use weir_plan::features::retry::BackOff;

use super::*;
use crate::effective::EffectivePolicy;
use crate::merge::{self, Side};

fn lowered(settings: &Value) -> Lowered {
    let name = NamespacedName::new("ns", "policy");
    let policy = weir_plan::PolicyRef {
        kind: "BackendTrafficPolicy".into(),
        name,
    };
    let side = Side {
        policy: &policy,
        settings,
    };
    lower(merge::alone(side), &Resources::default())
}

/// What applies under a policy with these settings.
fn applied(settings: &Value) -> Applied {
    let lowered = lowered(settings);
    let effective = EffectivePolicy {
        policies: Vec::new(),
        settings: lowered.merged.settings,
        from: lowered.merged.from,
        merge_type: None,
        lost: Vec::new(),
        invalid: None,
        refused: None,
    };
    Applied {
        effective: Arc::new(effective),
        route: lowered.route,
        quiet: lowered.quiet,
        cluster: lowered.cluster,
        routing_type: lowered.routing_type,
        origin: weir_plan::Origin {
            policies: Vec::new(),
        },
        invalid: lowered.invalid,
        refused: None,
    }
}

#[test]
fn what_does_not_mean_what_it_says_is_told() {
    let rule = |selectors: Value| {
        let limit = json!({"requests": 1, "unit": "Hour"});
        json!({"rateLimit": {"global": {"rules": [{"limit": limit, "clientSelectors": selectors}]}}})
    };
    for (settings, fields) in [
        (
            rule(json!([{"path": {"value": "/a"}}, {"path": {"value": "/b"}}])),
            vec!["rateLimit.global.rules[0].clientSelectors[1].path"],
        ),
        (
            rule(
                json!([{"sourceCIDR": {"value": "10.0.0.0/8"}}, {"sourceCIDR": {"value": "11.0.0.0/8"}}]),
            ),
            vec!["rateLimit.global.rules[0].clientSelectors[1].sourceCIDR"],
        ),
        (
            json!({"faultInjection": {
                "abort": {"httpStatus": 500, "percentage": 200},
                "delay": {"fixedDelay": "1s", "percentage": -1},
            }}),
            vec![
                "faultInjection.delay.percentage",
                "faultInjection.abort.percentage",
            ],
        ),
        (
            json!({"loadBalancer": {"type": "ConsistentHash", "consistentHash": {"type": "Headers", "headers": []}}}),
            vec!["loadBalancer.consistentHash.headers"],
        ),
        (
            json!({"tcpKeepalive": {"idleTime": "500ms"}}),
            vec!["tcpKeepalive.idleTime"],
        ),
        (json!({"tcpKeepalive": {"idleTime": "0s"}}), vec![]),
        (
            json!({"compressor": [{"type": "Gzip", "gzip": {}}], "compression": [{"type": "Brotli"}]}),
            vec!["compression"],
        ),
        (
            json!({"circuitBreaker": {"maxParallelRetries": 3, "retryBudget": {}}}),
            vec!["circuitBreaker.maxParallelRetries"],
        ),
        (
            json!({"retry": {"retryOn": {"triggers": ["5xx"], "httpStatusCodes": [503]}}}),
            vec!["retry.retryOn.httpStatusCodes"],
        ),
        (
            json!({"retry": {"retryOn": {"triggers": ["retriable-status-codes"], "httpStatusCodes": [503]}}}),
            vec![],
        ),
    ] {
        let lowered = lowered(&settings);
        let told: Vec<&str> = lowered
            .faults
            .list
            .iter()
            .map(|it| it.field.as_str())
            .collect();
        assert_eq!(told, fields, "{settings}");
        assert_eq!(lowered.invalid, None, "{settings}");
    }
    // The last of several counts.
    let limit = lowered(&rule(
        json!([{"path": {"value": "/a"}}, {"path": {"value": "/b"}}]),
    ));
    let rules = &limit.route.rate_limit.global.as_ref().unwrap().rules;
    assert_eq!(rules.len(), 1);
}

/// Nobody is told that what the deprecated `type` leaves out is in force.
#[test]
fn the_half_of_the_limits_that_the_type_leaves_out_is_none_of_the_settings() {
    let rules = json!({"rules": [{"limit": {"requests": 2, "unit": "Second"}}]});
    for (kind, hidden) in [("Local", "global"), ("Global", "local")] {
        let settings = json!({"rateLimit": {"type": kind, "local": rules, "global": rules}});
        let lowered = lowered(&settings);
        let told: Vec<&str> = lowered
            .faults
            .list
            .iter()
            .map(|it| it.field.as_str())
            .collect();
        let hidden = format!("rateLimit.{hidden}");
        assert_eq!(told, [&hidden]);
        assert_eq!(lowered.invalid, None);
        let from = &lowered.merged.from;
        assert!(
            from.keys().all(|field| !field.is_within(&hidden)),
            "{from:?}"
        );
        let limits = &lowered.merged.settings["rateLimit"];
        assert_eq!(limits.as_object().unwrap().len(), 2, "{limits}");
    }
}

#[test]
fn what_the_reference_drops_is_left_out_and_told() {
    let http = |it: Value| json!({"healthCheck": {"active": it}});
    let active = |field: &str| {
        let mut spec = json!({"type": "TCP", "tcp": {}});
        spec[field] = json!("x");
        http(spec)
    };
    let tcp = http(json!({"type": "TCP", "tcp": {}}));
    let cookie = |it: Value| json!({"loadBalancer": {"type": "ConsistentHash", "consistentHash": {"type": "Cookie", "cookie": it}}});
    // (settings, the field that is told, settings that come to the same)
    for (settings, field, same) in [
        (
            json!({"dns": {"dnsRefreshRate": "x"}}),
            "dns.dnsRefreshRate",
            json!({}),
        ),
        (
            json!({"dns": {"lookupFamily": "IPv4Only"}}),
            "dns.lookupFamily",
            json!({}),
        ),
        (
            json!({"faultInjection": {"delay": {"fixedDelay": "x"}, "abort": {"httpStatus": 500}}}),
            "faultInjection.delay.fixedDelay",
            json!({}),
        ),
        (
            json!({"admissionControl": {"samplingWindow": "x"}}),
            "admissionControl.samplingWindow",
            json!({"admissionControl": {}}),
        ),
        (
            json!({"circuitBreaker": {"perEndpoint": {"maxConnections": -1}}}),
            "circuitBreaker.perEndpoint.maxConnections",
            json!({}),
        ),
        (active("timeout"), "healthCheck.active.timeout", tcp.clone()),
        (
            active("interval"),
            "healthCheck.active.interval",
            tcp.clone(),
        ),
        (
            active("initialJitter"),
            "healthCheck.active.initialJitter",
            tcp,
        ),
        (
            json!({"healthCheck": {"passive": {"interval": "x"}}}),
            "healthCheck.passive.interval",
            json!({}),
        ),
        (
            json!({"healthCheck": {"passive": {"baseEjectionTime": "x"}}}),
            "healthCheck.passive.baseEjectionTime",
            json!({}),
        ),
        (
            cookie(json!({"name": "a", "ttl": "x"})),
            "loadBalancer.consistentHash.cookie.ttl",
            cookie(json!({"name": "a"})),
        ),
        (
            json!({"compressor": [], "compression": [{"type": "Gzip"}]}),
            "compressor",
            json!({"compression": [{"type": "Gzip"}]}),
        ),
    ] {
        let (lowered, same) = (lowered(&settings), lowered(&same));
        let told: Vec<(&str, bool)> = lowered
            .faults
            .list
            .iter()
            .map(|it| (it.field.as_str(), it.fatal))
            .collect();
        let expected = if field.is_empty() {
            vec![]
        } else {
            vec![(field, false)]
        };
        assert_eq!(told, expected, "{settings}");
        assert_eq!(
            (lowered.route, lowered.cluster),
            (same.route, same.cluster),
            "{settings}"
        );
    }
}

fn of_rule(settings: &Value, rule: Value) -> Arc<RoutePolicy> {
    let own = OwnSettings::of(&serde_json::from_value(rule).unwrap());
    for_rule(&applied(settings), own.as_ref(), &OfRoutes::NONE)
}

#[test]
fn a_rules_own_timeouts_come_first() {
    let secs = |secs: u64| Some(Duration::from_secs(secs));
    for (policy, timeouts, request, idle) in [
        (json!({}), json!({"request": "5s"}), secs(5), secs(3600)),
        (json!({}), json!({"request": "2h"}), secs(7200), secs(7200)),
        (json!({}), json!({"request": "0s"}), None, None),
        (
            json!({}),
            json!({"request": "5s", "backendRequest": "2s"}),
            secs(2),
            secs(3600),
        ),
        (
            json!({"requestTimeout": "1s"}),
            json!({"request": "5s"}),
            secs(5),
            secs(3600),
        ),
        (
            json!({"requestTimeout": "1s"}),
            json!({}),
            secs(1),
            secs(3600),
        ),
        (
            json!({"streamIdleTimeout": "9s"}),
            json!({"request": "5s"}),
            secs(5),
            secs(9),
        ),
        (
            json!({"streamIdleTimeout": "0s"}),
            json!({"request": "5s"}),
            secs(5),
            None,
        ),
    ] {
        let lowered = of_rule(
            &json!({"timeout": {"http": policy}}),
            json!({"timeouts": timeouts}),
        );
        assert_eq!(
            (lowered.timeout.request, lowered.timeout.stream_idle),
            (request, idle),
            "{policy} {timeouts}"
        );
    }
}

#[test]
fn a_rules_own_retry_replaces_the_policys() {
    let policy = json!({"retry": {"numRetries": 7, "retryOn": {"triggers": ["reset"]}}});
    let own = json!({"retry": {"attempts": 3, "backoff": "100ms", "codes": [500, 502]},
        "timeouts": {"request": "10s", "backendRequest": "1s"}});
    let lowered = of_rule(&policy, own);
    let retry = lowered.retry.as_ref().unwrap();
    assert_eq!(
        (retry.num_retries, retry.per_try_timeout),
        (3, Some(Duration::from_secs(1)))
    );
    assert_eq!(
        retry.status_codes.iter().copied().collect::<Vec<_>>(),
        [500, 502]
    );
    assert_eq!(
        retry.back_off,
        BackOff {
            base: Duration::from_millis(100),
            max: Duration::from_secs(1)
        }
    );
    assert_eq!(lowered.timeout.request, Some(Duration::from_secs(10)));

    let retry = of_rule(&policy, json!({"retry": {}}))
        .retry
        .clone()
        .unwrap();
    assert_eq!((retry.num_retries, retry.back_off), (2, BackOff::DEFAULT));
    assert_eq!(
        of_rule(&policy, json!({"retry": {"attempts": 0}})).retry,
        None
    );
    assert_eq!(
        of_rule(&policy, json!({"timeouts": {"request": "1s"}}))
            .retry
            .as_ref()
            .unwrap()
            .num_retries,
        7
    );
}

#[test]
fn a_rule_that_says_nothing_shares_the_policys_settings() {
    let applied = applied(&json!({"retry": {}}));
    let policy = for_rule(&applied, None, &OfRoutes::NONE);
    assert!(Arc::ptr_eq(&policy, &applied.route));
}
