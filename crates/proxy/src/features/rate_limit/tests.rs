//! Limits on a clock that stands still until it is turned.

use std::time::Duration;

use http::{HeaderMap, Method};
use weir_limiter::Clock;
use weir_plan::features::rate_limit::{
    ClientMatch, DefaultBucket, GlobalRateLimit, HeaderNameText, LimitValueMatch, LocalRateLimit,
    NamedMatch, RateLimitRule,
};
use weir_plan::{NamespacedName, Rate, TimeUnit};

use super::*;

/// What limits of one route entry are tried with.
struct Bench {
    clock: Clock,
    stats: ListenerStats,
    store: GlobalStore,
}

impl Bench {
    fn new() -> Self {
        Self {
            clock: Clock::manual(Duration::from_secs(1_699_999_980)),
            stats: ListenerStats::default(),
            store: GlobalStore::new(1),
        }
    }

    fn limits(
        &self,
        entry: &str,
        policy: &RateLimit,
        previous: Option<&Arc<RouteLimits>>,
    ) -> Arc<RouteLimits> {
        let mut making = Making {
            entry,
            stats: &self.stats,
            store: &self.store,
            patterns: &mut Patterns::default(),
            now: self.clock.now(),
        };
        RouteLimits::new(policy, previous, &mut making).expect("the policy has limits")
    }

    /// A request with these headers: the rule that refuses it (or `ok`), and the `x-ratelimit-*` headers.
    fn ask(&self, limits: &RouteLimits, headers: &[(&'static str, &str)]) -> (String, String) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let request = Limited {
            method: &Method::GET,
            target: "/",
            query: None,
            headers: &map,
            client: [127, 0, 0, 1].into(),
        };
        let Verdict {
            refused,
            headers,
            charges,
        } = limits.check(&request, &self.store, self.clock.now());
        for Charge { key, limit, cost } in charges {
            self.store.store.add(key, limit, cost, self.clock.now());
        }
        let refused = refused.map_or("ok".to_owned(), |(rule, rejection)| {
            format!("{} {}", rule.index, rejection.body)
                .trim_end()
                .to_owned()
        });
        let headers = headers.iter().map(|(_, value)| value.to_str().unwrap());
        (refused, headers.collect::<Vec<_>>().join(" | "))
    }

    fn verdicts(
        &self,
        limits: &RouteLimits,
        headers: &[(&'static str, &str)],
        times: usize,
    ) -> String {
        let asked = (0..times).map(|_| self.ask(limits, headers).0);
        asked.collect::<Vec<_>>().join(", ")
    }
}

fn rule(
    index: usize,
    header: Option<(&'static str, LimitValueMatch)>,
    limit: Rate,
) -> RateLimitRule {
    let headers = header.map(|(name, value)| NamedMatch {
        name: HeaderNameText(HeaderName::from_static(name)),
        value,
    });
    RateLimitRule {
        name: rule_name(index),
        matches: ClientMatch {
            headers: headers.into_iter().collect(),
            ..ClientMatch::default()
        },
        limit,
        request_cost: 1,
        response_cost: None,
        from_metadata: weir_plan::features::rate_limit::FromMetadata::NONE,
        shared: false,
        shadow: false,
        headers: true,
    }
}

fn rule_name(index: usize) -> RateLimitRuleName {
    RateLimitRuleName {
        policy: NamespacedName::new("default", "p"),
        index,
    }
}

fn exact(value: &str) -> LimitValueMatch {
    LimitValueMatch::Exact {
        value: value.into(),
        invert: false,
    }
}

const fn per_minute(requests: u32) -> Rate {
    Rate {
        requests,
        unit: TimeUnit::Minute,
    }
}

fn local(default: Option<Rate>, rules: Vec<RateLimitRule>) -> RateLimit {
    let default = default.map(|limit| DefaultBucket {
        name: rule_name(9),
        limit,
        headers: true,
    });
    RateLimit {
        local: Some(LocalRateLimit {
            default,
            headers: true,
            rules,
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

#[test]
fn local_limits_have_their_own_texts_and_headers() {
    let bench = Bench::new();
    let limits = bench.limits("r", &local(Some(per_minute(2)), vec![]), None);
    let expected = [
        ("ok", "2 | 1 | 0"),
        ("ok", "2 | 0 | 30"),
        ("9 local_rate_limited", "2 | 0 | 30"),
    ];
    for (verdict, headers) in expected {
        assert_eq!(
            bench.ask(&limits, &[]),
            (verdict.to_owned(), headers.to_owned())
        );
    }
    let unlimited = bench.limits("r", &local(None, vec![]), None);
    let max = "4294967295 | 4294967295 | 0";
    assert_eq!(
        bench.ask(&unlimited, &[]),
        ("ok".to_owned(), max.to_owned())
    );
    let nothing = bench.limits("r", &local(Some(per_minute(0)), vec![]), None);
    assert_eq!(bench.verdicts(&nothing, &[], 1), "9 local_rate_limited");
}

#[test]
fn the_default_bucket_is_for_requests_that_no_rule_counts() {
    let bench = Bench::new();
    let rules = vec![rule(0, Some(("x-user", exact("a"))), per_minute(3))];
    let limits = bench.limits("r", &local(Some(per_minute(1)), rules), None);
    let limited = "0 local_rate_limited";
    assert_eq!(
        bench.verdicts(&limits, &[("x-user", "a")], 4),
        format!("ok, ok, ok, {limited}")
    );
    assert_eq!(bench.verdicts(&limits, &[], 2), "ok, 9 local_rate_limited");
}

#[test]
fn the_strictest_rule_comes_first_and_what_comes_after_a_refusal_is_not_touched() {
    let bench = Bench::new();
    let of = |index, requests| rule(index, Some(("x-user", exact("a"))), per_minute(requests));
    let only_five = [("x-user", "b"), ("x-all", "1")];
    let mut five = rule(0, Some(("x-all", exact("1"))), per_minute(5));
    five.name = rule_name(0);
    let limits = bench.limits("r", &local(None, vec![five, of(1, 2)]), None);
    let both = [("x-user", "a"), ("x-all", "1")];
    assert_eq!(
        bench.verdicts(&limits, &both, 4),
        "ok, ok, 1 local_rate_limited, 1 local_rate_limited"
    );
    // The bucket of five lost two, not four.
    assert_eq!(
        bench.verdicts(&limits, &only_five, 4),
        "ok, ok, ok, 0 local_rate_limited"
    );
}

#[test]
fn a_shadow_rule_counts_but_never_refuses() {
    let bench = Bench::new();
    let mut shadow = rule(0, Some(("x-user", exact("a"))), per_minute(1));
    shadow.shadow = true;
    let other = rule(1, Some(("x-user", exact("a"))), per_minute(3));
    let policy = local(Some(per_minute(1)), vec![shadow.clone(), other]);
    let limits = bench.limits("r", &policy, None);
    let asked = bench.verdicts(&limits, &[("x-user", "a")], 4);
    assert_eq!(asked, "ok, ok, ok, 1 local_rate_limited");
    let stats = bench
        .stats
        .limit(&(crate::metrics::Scope::Local, rule_name(0)));
    assert_eq!(
        (stats.ok.get(), stats.shadowed.get(), stats.limited.get()),
        (1, 3, 0)
    );
    let alone = bench.limits("r", &local(Some(per_minute(1)), vec![shadow]), None);
    assert_eq!(bench.verdicts(&alone, &[("x-user", "a")], 3), "ok, ok, ok");
}

#[test]
fn each_distinct_value_has_a_bucket() {
    let bench = Bench::new();
    let rules = vec![rule(
        0,
        Some(("x-user", LimitValueMatch::Distinct)),
        per_minute(1),
    )];
    let limits = bench.limits("r", &local(None, rules.clone()), None);
    let distinct = bench.limits("r", &global(rules), None);
    for (limits, limited) in [(limits, "0 local_rate_limited"), (distinct, "0")] {
        for user in ["a", "b"] {
            let verdicts = bench.verdicts(&limits, &[("x-user", user)], 2);
            assert_eq!(verdicts, format!("ok, {limited}"), "{user}");
        }
        assert_eq!(bench.verdicts(&limits, &[], 3), "ok, ok, ok");
    }
}

#[test]
fn buckets_go_on_under_a_new_plan() {
    let user = |value: &str| Some(("x-user", exact(value)));
    let before = vec![
        rule(0, user("a"), per_minute(10)),
        rule(1, user("b"), per_minute(2)),
    ];
    // (rules of the new plan, requests of user a that pass then, after 5 of 10 have passed before)
    let cases = [
        (before.clone(), 5),
        // Another rule in front of it moves it, and does not take its bucket.
        (
            vec![
                rule(0, user("c"), per_minute(10)),
                rule(1, user("a"), per_minute(10)),
            ],
            5,
        ),
        // What was taken stays taken.
        (vec![rule(0, user("a"), per_minute(100))], 95),
        (vec![rule(0, user("a"), per_minute(7))], 2),
        (vec![rule(0, user("a"), per_minute(4))], 0),
        // No longer the same clients.
        (vec![rule(0, None, per_minute(10))], 10),
    ];
    for (after, passes) in cases {
        let bench = Bench::new();
        let limits = bench.limits("r", &local(None, before.clone()), None);
        bench.verdicts(&limits, &[("x-user", "a")], 5);
        let limits = bench.limits("r", &local(None, after.clone()), Some(&limits));
        let verdicts = bench.verdicts(&limits, &[("x-user", "a")], 120);
        let passed = verdicts.split(", ").filter(|it| *it == "ok").count();
        assert_eq!(passed, passes, "{after:?}");
    }
}

#[test]
fn global_rules_are_all_counted_and_shown_together() {
    let bench = Bench::new();
    let hour = Rate {
        requests: 5,
        unit: TimeUnit::Hour,
    };
    let mut hidden = rule(2, None, per_minute(100));
    hidden.headers = false;
    let policy = global(vec![
        rule(0, None, hour),
        rule(1, None, per_minute(2)),
        hidden,
    ]);
    let limits = bench.limits("r", &policy, None);
    // The clock stands at the beginning of a minute, 47 minutes before the end of an hour.
    let expected = [
        ("ok", "2, 5;w=3600, 2;w=60 | 1 | 60"),
        ("ok", "2, 5;w=3600, 2;w=60 | 0 | 60"),
        ("1", "2, 5;w=3600, 2;w=60 | 0 | 60"),
        ("1", "2, 5;w=3600, 2;w=60 | 0 | 60"),
        ("1", "5, 5;w=3600, 2;w=60 | 0 | 2820"),
        ("0", "5, 5;w=3600, 2;w=60 | 0 | 2820"),
    ];
    for (verdict, headers) in expected {
        assert_eq!(
            bench.ask(&limits, &[]),
            (verdict.to_owned(), headers.to_owned())
        );
    }
    bench.clock.advance(Duration::from_secs(60));
    // What was refused was counted: the hour is used up.
    assert_eq!(bench.verdicts(&limits, &[], 1), "0");
}

#[test]
fn shared_rules_have_one_count_and_others_one_for_each_route() {
    for (shared, verdicts) in [(true, "0"), (false, "ok")] {
        let bench = Bench::new();
        let mut rule = rule(0, None, per_minute(1));
        rule.shared = shared;
        let policy = global(vec![rule]);
        let one = bench.limits("one", &policy, None);
        let other = bench.limits("other", &policy, None);
        assert_eq!(bench.verdicts(&one, &[], 2), "ok, 0");
        assert_eq!(bench.verdicts(&other, &[], 1), verdicts, "shared: {shared}");
    }
}

#[test]
fn costs_are_charged_on_arrival_and_at_the_end() {
    let costs = |request, response| {
        let mut rule = rule(0, None, per_minute(10));
        rule.request_cost = request;
        rule.response_cost = response;
        global(vec![rule])
    };
    let cases = [
        (costs(1, None), 10),
        (costs(3, None), 3),
        (costs(0, None), 40),
        (costs(0, Some(4)), 3),
        (costs(1, Some(1)), 5),
    ];
    for (policy, passes) in cases {
        let bench = Bench::new();
        let limits = bench.limits("r", &policy, None);
        let verdicts = bench.verdicts(&limits, &[], 40);
        let passed = verdicts.split(", ").filter(|it| *it == "ok").count();
        assert_eq!(passed, passes, "{policy:?}");
    }
}

#[test]
fn a_global_shadow_rule_counts_but_never_refuses() {
    let bench = Bench::new();
    let mut shadow = rule(0, None, per_minute(1));
    shadow.shadow = true;
    let limits = bench.limits(
        "r",
        &global(vec![shadow, rule(1, None, per_minute(3))]),
        None,
    );
    assert_eq!(bench.verdicts(&limits, &[], 4), "ok, ok, ok, 1");
}

#[test]
fn what_a_local_limit_refuses_is_not_counted_globally() {
    let bench = Bench::new();
    let policy = RateLimit {
        local: local(Some(per_minute(1)), vec![]).local,
        global: global(vec![rule(0, None, per_minute(2))]).global,
    };
    let limits = bench.limits("r", &policy, None);
    let (_, headers) = bench.ask(&limits, &[]);
    assert_eq!(headers, "1 | 0 | 60 | 2, 2;w=60 | 1 | 60");
    assert_eq!(bench.verdicts(&limits, &[], 5).matches("local").count(), 5);
    let limits = bench.limits("r", &global(vec![rule(0, None, per_minute(2))]), None);
    assert_eq!(bench.verdicts(&limits, &[], 2), "ok, 0");
}
