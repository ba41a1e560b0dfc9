//! Global limits: fixed windows in a store. Every rule that counts a request is counted, whatever the others say.

use std::fmt::Write as _;
use std::sync::Arc;

use http::HeaderValue;
use weir_limiter::{Count, Key, KeyMaker, Now, Store};
use weir_plan::Rate;
use weir_plan::features::rate_limit::{GlobalRateLimit, RateLimitRule, RateLimitRuleName};

use super::selector::{Limited, Selector};
use super::{Making, Verdict, refusal};
use crate::exchange::Charge;
use crate::metrics::{LimitStats, Scope};

/// Where global limits are counted: the store, and the keys of its counters.
#[derive(Debug)]
pub(crate) struct GlobalStore {
    pub(crate) store: Store,
    pub(crate) keys: KeyMaker,
}

/// The global limits of one route entry.
#[derive(Debug)]
pub(super) struct GlobalLimits {
    rules: Box<[GlobalRule]>,
}

#[derive(Debug)]
struct GlobalRule {
    name: RateLimitRuleName,
    selector: Selector,
    /// The counter, or what the counters of distinct values lie below.
    key: Key,
    limit: Rate,
    request_cost: u64,
    response_cost: Option<u64>,
    shadow: bool,
    headers: bool,
    stats: Arc<LimitStats>,
}

impl GlobalStore {
    /// An empty store. The seed is secret.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            store: Store::default(),
            keys: KeyMaker::new(seed),
        }
    }
}

impl GlobalLimits {
    pub(super) fn new(policy: &GlobalRateLimit, making: &mut Making<'_>) -> Self {
        let GlobalRateLimit { rules } = policy;
        let rules = rules.iter().filter_map(|rule| {
            let RateLimitRule {
                name,
                matches,
                limit,
                request_cost,
                response_cost,
                // Nothing sets metadata in this data plane, so the numbers count.
                from_metadata: _,
                shared,
                shadow,
                headers,
            } = rule;
            let key = if *shared {
                making.store.keys.name(&name.to_string())
            } else {
                making.store.keys.name(&format!("{name}@{}", making.entry))
            };
            Some(GlobalRule {
                selector: Selector::new(matches, making.patterns)?,
                key,
                limit: *limit,
                request_cost: *request_cost,
                response_cost: *response_cost,
                shadow: *shadow,
                headers: *headers,
                stats: making.stats.limit(&(Scope::Global, name.clone())),
                name: name.clone(),
            })
        });
        Self {
            rules: rules.collect(),
        }
    }

    pub(super) fn check(
        &self,
        request: &Limited<'_>,
        store: &GlobalStore,
        now: Now,
        verdict: &mut Verdict,
    ) {
        let mut shown = Shown::default();
        for rule in &self.rules {
            let Some(distinct) = rule.selector.select(request) else {
                continue;
            };
            let key = if distinct.is_empty() {
                rule.key
            } else {
                let values = distinct.iter().map(|value| &**value);
                store.keys.below(rule.key, values)
            };
            let count = store.store.add(key, rule.limit, rule.request_cost, now);
            if let Some(cost) = rule.response_cost {
                let limit = rule.limit;
                verdict.charges.push(Charge { key, limit, cost });
            }
            if rule.headers {
                shown.add(rule.limit, count);
            }
            if !count.over {
                rule.stats.ok.count();
            } else if rule.shadow {
                rule.stats.shadowed.count();
            } else {
                rule.stats.limited.count();
                let refuse = || (rule.name.clone(), refusal("request_rate_limited"));
                verdict.refused.get_or_insert_with(refuse);
            }
        }
        shown.show(verdict);
    }
}

/// The `x-ratelimit-*` headers of several rules, as the IETF draft (version 03) has them: the limit of the rule that has
/// least left, then the limit and window of each.
#[derive(Default)]
struct Shown {
    least: Option<(Rate, Count)>,
    policies: String,
}

impl Shown {
    fn add(&mut self, limit: Rate, count: Count) {
        let Rate { requests, unit } = limit;
        write!(self.policies, ", {requests};w={}", unit.seconds())
            .expect("a string takes any text");
        if self
            .least
            .is_none_or(|(_, least)| count.remaining < least.remaining)
        {
            self.least = Some((limit, count));
        }
    }

    fn show(mut self, verdict: &mut Verdict) {
        if let Some((limit, count)) = self.least {
            let Count {
                over: _,
                remaining,
                reset_secs,
            } = count;
            self.policies
                .insert_str(0, itoa::Buffer::new().format(limit.requests));
            let limit = HeaderValue::try_from(self.policies);
            let limit = limit.expect("numbers and signs are a header value");
            verdict.show(limit, remaining, reset_secs);
        }
    }
}
