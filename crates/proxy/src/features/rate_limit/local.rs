//! Local limits: token buckets of one route entry, the strictest rule first.
//!
//! A bucket goes on when a plan changes, as long as its policy still has a rule with the same selectors. If the limit
//! itself changed, what was taken stays taken: a higher one helps at once, a lower one forgives nothing.

use std::cmp::Ordering;
use std::sync::Arc;

use http::HeaderValue;
use weir_limiter::{DistinctBuckets, Key, Level, Now, TokenBucket};
use weir_plan::Rate;
use weir_plan::features::rate_limit::{
    ClientMatch, DefaultBucket, LocalRateLimit, RateLimitRule, RateLimitRuleName,
};

use super::selector::{Distinct, Limited, Selector};
use super::{GlobalStore, Making, Verdict, refusal};
use crate::metrics::{LimitStats, Scope};

/// The local limits of one route entry.
#[derive(Debug)]
pub(super) struct LocalLimits {
    /// From the strictest.
    rules: Box<[LocalRule]>,
    default: Option<LocalRule>,
    /// Whether requests that no rule counts are told so, where there is no default bucket.
    headers: bool,
}

#[derive(Debug)]
struct LocalRule {
    name: RateLimitRuleName,
    matches: ClientMatch,
    /// None: it applies to nothing.
    selector: Option<Selector>,
    bucket: Arc<Bucket>,
    shadow: bool,
    headers: bool,
    stats: Arc<LimitStats>,
}

#[derive(Debug)]
enum Bucket {
    One(TokenBucket),
    Each(Box<DistinctBuckets>, Key),
}

impl LocalLimits {
    pub(super) fn new(
        policy: &LocalRateLimit,
        previous: Option<&Self>,
        making: &mut Making<'_>,
    ) -> Self {
        let LocalRateLimit {
            default,
            headers,
            rules,
        } = policy;
        let mut known: Vec<&LocalRule> = previous.map(Self::all).unwrap_or_default();
        let default = default.as_ref().map(|default| {
            let DefaultBucket {
                name,
                limit,
                headers,
            } = default;
            let matches = ClientMatch::default();
            LocalRule::new(
                name,
                &matches,
                *limit,
                (false, *headers),
                &mut known,
                making,
            )
        });
        let mut rules: Box<[LocalRule]> = rules
            .iter()
            .map(|rule| {
                let RateLimitRule {
                    name,
                    matches,
                    limit,
                    // Neither means anything locally.
                    request_cost: _,
                    response_cost: _,
                    from_metadata: _,
                    shared: _,
                    shadow,
                    headers,
                } = rule;
                LocalRule::new(
                    name,
                    matches,
                    *limit,
                    (*shadow, *headers),
                    &mut known,
                    making,
                )
            })
            .collect();
        rules.sort_by(|a, b| strictness(a.bucket.rate(), b.bucket.rate()));
        Self {
            rules,
            default,
            headers: *headers,
        }
    }

    fn all(&self) -> Vec<&LocalRule> {
        self.rules.iter().chain(&self.default).collect()
    }

    /// Takes a token for each rule that counts the request, from the strictest, up to the first that has none. A request
    /// that no rule counts takes one from the default bucket.
    pub(super) fn check(
        &self,
        request: &Limited<'_>,
        store: &GlobalStore,
        now: Now,
        verdict: &mut Verdict,
    ) {
        // The first rule, unless another one refuses.
        let mut shown = None;
        for rule in &self.rules {
            let Some(distinct) = rule.selector.as_ref().and_then(|it| it.select(request)) else {
                continue;
            };
            let level = rule.take(&distinct, store, now);
            if !level.taken && !rule.shadow {
                return rule.refuse(level, verdict);
            }
            shown = shown.or(Some((rule, level)));
        }
        match (shown, &self.default) {
            (Some((rule, level)), _) => rule.show(level, verdict),
            (None, Some(rule)) => {
                let level = rule.take(&Distinct::new(), store, now);
                if level.taken {
                    rule.show(level, verdict);
                } else {
                    rule.refuse(level, verdict);
                }
            }
            (None, None) if self.headers => verdict.show(HeaderValue::from(u32::MAX), u32::MAX, 0),
            (None, None) => {}
        }
    }
}

impl LocalRule {
    /// A rule, with the bucket of the rule among `known` that it continues, if there is one.
    fn new(
        name: &RateLimitRuleName,
        matches: &ClientMatch,
        limit: Rate,
        (shadow, headers): (bool, bool),
        known: &mut Vec<&Self>,
        making: &mut Making<'_>,
    ) -> Self {
        let selector = Selector::new(matches, making.patterns);
        let continued = known
            .iter()
            .enumerate()
            .filter(|(_, it)| it.name.policy == name.policy && it.matches == *matches)
            // Of several rules with one selector, the one with the same limit, or else at the same place.
            .max_by_key(|(_, it)| (it.bucket.rate() == limit, it.name.index == name.index))
            .map(|(place, _)| place);
        let bucket = match continued.map(|place| known.swap_remove(place)) {
            Some(rule) if rule.bucket.rate() == limit => Arc::clone(&rule.bucket),
            Some(rule) => Arc::new(rule.bucket.resized(limit, making.now)),
            None if selector.as_ref().is_some_and(|it| it.is_distinct) => {
                let base = making.store.keys.name(&name.to_string());
                Arc::new(Bucket::Each(Box::new(DistinctBuckets::new(limit)), base))
            }
            None => Arc::new(Bucket::One(TokenBucket::new(limit))),
        };
        Self {
            stats: making.stats.limit(&(Scope::Local, name.clone())),
            name: name.clone(),
            matches: matches.clone(),
            selector,
            bucket,
            shadow,
            headers,
        }
    }

    fn take(&self, distinct: &Distinct<'_>, store: &GlobalStore, now: Now) -> Level {
        let level = match &*self.bucket {
            Bucket::One(bucket) => bucket.take(now),
            Bucket::Each(buckets, base) => {
                let values = distinct.iter().map(|value| &**value);
                buckets.take(store.keys.below(*base, values), now)
            }
        };
        if level.taken {
            self.stats.ok.count();
        } else if self.shadow {
            self.stats.shadowed.count();
        } else {
            self.stats.limited.count();
        }
        level
    }

    fn refuse(&self, level: Level, verdict: &mut Verdict) {
        self.show(level, verdict);
        let rejection = refusal("local_rate_limited").body("local_rate_limited");
        verdict.refused = Some((self.name.clone(), rejection));
    }

    fn show(&self, level: Level, verdict: &mut Verdict) {
        let Level {
            taken: _,
            remaining,
            reset_secs,
        } = level;
        if self.headers {
            let limit = HeaderValue::from(self.bucket.rate().requests);
            verdict.show(limit, remaining, reset_secs);
        }
    }
}

impl Bucket {
    const fn rate(&self) -> Rate {
        match self {
            Self::One(bucket) => bucket.rate(),
            Self::Each(buckets, _) => buckets.rate(),
        }
    }

    fn resized(&self, rate: Rate, now: Now) -> Self {
        match self {
            Self::One(bucket) => Self::One(bucket.resized(rate, now)),
            Self::Each(buckets, base) => Self::Each(Box::new(buckets.resized(rate, now)), *base),
        }
    }
}

/// The lower rate first.
fn strictness(a: Rate, b: Rate) -> Ordering {
    let speed = |it: Rate, other: Rate| u64::from(it.requests) * other.unit.seconds();
    speed(a, b).cmp(&speed(b, a))
}
