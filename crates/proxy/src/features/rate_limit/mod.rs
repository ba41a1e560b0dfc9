//! Enforces `rateLimit`: token buckets of this process first, then windows shared by all routes and workers.

mod global;
mod local;
mod selector;

use std::sync::Arc;

use http::{HeaderName, HeaderValue, StatusCode};
use smallvec::SmallVec;
use weir_limiter::Now;
use weir_plan::features::rate_limit::{RateLimit, RateLimitRuleName};

use crate::exchange::Charge;
use crate::flags::Flag;
use crate::metrics::ListenerStats;
use crate::pattern::Patterns;
use crate::rejection::Rejection;
use global::GlobalLimits;
pub(crate) use global::GlobalStore;
use local::LocalLimits;
pub(crate) use selector::{Limited, Selector};

/// The limits of one route entry, with their state.
#[derive(Debug)]
pub(crate) struct RouteLimits {
    local: Option<LocalLimits>,
    global: Option<GlobalLimits>,
}

/// What limits are made for.
pub(crate) struct Making<'a> {
    /// Names the route entry: counts that are not shared are its own.
    pub(crate) entry: &'a str,
    pub(crate) stats: &'a ListenerStats,
    pub(crate) store: &'a GlobalStore,
    pub(crate) patterns: &'a mut Patterns,
    pub(crate) now: Now,
}

/// What limits say of a request.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// The rule that refuses it, and how.
    pub(crate) refused: Option<(RateLimitRuleName, Rejection)>,
    /// `x-ratelimit-*`
    pub(crate) headers: SmallVec<[(HeaderName, HeaderValue); 3]>,
    /// What is charged when the response has ended.
    pub(crate) charges: SmallVec<[Charge; 1]>,
}

impl RouteLimits {
    /// The limits of a policy for one route entry. Buckets go on with what `previous` has in them. None: no limits.
    pub(crate) fn new(
        policy: &RateLimit,
        previous: Option<&Arc<Self>>,
        making: &mut Making<'_>,
    ) -> Option<Arc<Self>> {
        let RateLimit { local, global } = policy;
        let local = local.as_ref().map(|local| {
            let previous = previous.and_then(|it| it.local.as_ref());
            LocalLimits::new(local, previous, making)
        });
        let global = global
            .as_ref()
            .map(|global| GlobalLimits::new(global, making));
        (local.is_some() || global.is_some()).then(|| Arc::new(Self { local, global }))
    }

    /// Counts a request. What is over a local limit is not counted by global ones.
    pub(crate) fn check(&self, request: &Limited<'_>, store: &GlobalStore, now: Now) -> Verdict {
        let mut verdict = Verdict::default();
        if let Some(local) = &self.local {
            local.check(request, store, now, &mut verdict);
        }
        if let Some(global) = &self.global
            && verdict.refused.is_none()
        {
            global.check(request, store, now, &mut verdict);
        }
        verdict
    }
}

fn refusal(details: &'static str) -> Rejection {
    Rejection::new(StatusCode::TOO_MANY_REQUESTS, details).flag(Flag::RateLimited)
}

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

impl Verdict {
    fn show(&mut self, limit: HeaderValue, remaining: u32, reset_secs: u64) {
        self.headers.push((LIMIT, limit));
        self.headers.push((REMAINING, HeaderValue::from(remaining)));
        self.headers.push((RESET, HeaderValue::from(reset_secs)));
    }
}

#[cfg(test)]
mod tests;
