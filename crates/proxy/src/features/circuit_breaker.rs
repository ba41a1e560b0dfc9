//! Enforces `circuitBreaker`: counts what is in flight towards one cluster, and refuses what is too much.
//!
//! The counts live in `ClusterState`, one per process, and are exact across workers. The maxima come with each
//! question, because a new plan may change them while the counts go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use weir_plan::features::circuit_breaker::RetryLimit;

/// What is in flight towards one cluster.
#[derive(Debug, Default)]
pub(crate) struct CircuitBreaker {
    /// Open connections, those being made included.
    pub(crate) connections: Arc<Count>,
    /// Requests that wait for a connection.
    pub(crate) pending: Arc<Count>,
    /// Requests on a connection.
    pub(crate) requests: Arc<Count>,
    /// Retries, those in their back-off included.
    pub(crate) retries: Arc<Count>,
}

impl CircuitBreaker {
    /// Takes a retry's place, or says that all are taken.
    pub(crate) fn retry(&self, limit: RetryLimit) -> Option<Permit> {
        let max = match limit {
            RetryLimit::Count(max) => max,
            RetryLimit::Budget { share, floor } => {
                let in_flight =
                    u64::from(self.requests.get()).saturating_add(u64::from(self.pending.get()));
                let part = in_flight * u64::from(share.0) / 1_000_000;
                u32::try_from(part).unwrap_or(u32::MAX).max(floor)
            }
        };
        Permit::take(&self.retries, max)
    }
}

/// How many there are of something that permits are given for.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU32);

impl Count {
    /// How many there are.
    pub(crate) fn get(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }

    /// One more, unless there are `max`. For those that cannot hold a [`Permit`]; give it back with
    /// [`Count::give_back`].
    pub(crate) fn take(&self, max: u32) -> bool {
        self.0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |taken| {
                (taken < max).then_some(taken + 1)
            })
            .is_ok()
    }

    /// One less.
    pub(crate) fn give_back(&self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One of so many; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Count>);

impl Permit {
    /// One more, unless there are `max`.
    pub(crate) fn take(count: &Arc<Count>, max: u32) -> Option<Self> {
        count.take(max).then(|| Self(Arc::clone(count)))
    }

    /// One more, however many there are.
    pub(crate) fn count(count: &Arc<Count>) -> Self {
        count.0.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_plan::PerMillion;

    #[test]
    fn permits_are_given_up_to_the_maximum_and_again_when_dropped() {
        let count = Arc::new(Count::default());
        assert!(Permit::take(&count, 0).is_none());
        let first = Permit::take(&count, 2).expect("none is taken");
        let _second = Permit::take(&count, 2).expect("one is taken");
        assert!(Permit::take(&count, 2).is_none());
        let _third = Permit::take(&count, 3).expect("a new maximum counts at once");
        assert!(Permit::take(&count, 1).is_none());
        drop(first);
        assert_eq!(count.get(), 2);
    }

    #[test]
    fn permits_are_exact_across_threads() {
        let count = Arc::new(Count::default());
        let most = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        if let Some(_permit) = Permit::take(&count, 3) {
                            most.fetch_max(count.get(), Ordering::SeqCst);
                        }
                    }
                });
            }
        });
        assert!((1..=3).contains(&most.load(Ordering::SeqCst)));
        assert_eq!(count.get(), 0);
    }

    #[test]
    fn a_retry_budget_follows_what_is_in_flight() {
        // (in flight, share, floor, retries)
        let cases = [
            (0, 200_000, 3, 3),
            (14, 200_000, 3, 3),
            (20, 200_000, 3, 4),
            (29, 200_000, 3, 5),
            (10, 1_000_000, 0, 10),
            (10, 0, 0, 0),
        ];
        for (in_flight, share, floor, retries) in cases {
            let breaker = CircuitBreaker::default();
            let limit = RetryLimit::Budget {
                share: PerMillion(share),
                floor,
            };
            let _requests: Vec<Permit> = (0..in_flight)
                .map(|n| {
                    Permit::count(if n % 2 == 0 {
                        &breaker.requests
                    } else {
                        &breaker.pending
                    })
                })
                .collect();
            let taken: Vec<Permit> = std::iter::from_fn(|| breaker.retry(limit))
                .take(100)
                .collect();
            assert_eq!(taken.len(), retries, "{in_flight} in flight, {limit:?}");
        }
        let breaker = CircuitBreaker::default();
        let _one = breaker.retry(RetryLimit::Count(1)).expect("none is taken");
        assert!(breaker.retry(RetryLimit::Count(1)).is_none());
    }
}
