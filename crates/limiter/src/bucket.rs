//! A token bucket: starts full, refills continuously, and is exact however many threads take from it.

use std::sync::atomic::{AtomicU64, Ordering};

use weir_plan::Rate;

use crate::clock::Now;
use crate::refill::{Level, Refill};

/// A token bucket held in one number. Its size is the rate's number of requests; it refills, evenly, in one time unit.
#[derive(Debug)]
pub struct TokenBucket {
    refill: Refill,
    state: AtomicU64,
}

impl TokenBucket {
    /// A full bucket.
    pub fn new(rate: Rate) -> Self {
        Self {
            refill: Refill::new(rate),
            state: AtomicU64::new(0),
        }
    }

    /// A bucket of another size from which as many tokens are missing as from this one, or all that it can hold: a
    /// higher limit helps at once, and a lower one forgives nothing.
    pub fn resized(&self, rate: Rate, now: Now) -> Self {
        let refill = Refill::new(rate);
        let state = self.state.load(Ordering::Acquire);
        Self {
            refill,
            state: AtomicU64::new(self.refill.carried_over(state, &refill, now)),
        }
    }

    /// Its size and speed.
    pub const fn rate(&self) -> Rate {
        self.refill.rate()
    }

    /// Takes a token, if there is one.
    pub fn take(&self, now: Now) -> Level {
        let taken = self
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
                self.refill.take(state, now)
            });
        let state = match taken {
            Ok(before) => self.refill.take(before, now).unwrap_or(before),
            Err(state) => state,
        };
        self.refill.level(state, now, taken.is_ok())
    }

    /// What is in it, without taking anything.
    pub fn peek(&self, now: Now) -> Level {
        self.refill
            .level(self.state.load(Ordering::Acquire), now, false)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::{Just, Strategy, prop, prop_oneof, proptest};
    use weir_plan::TimeUnit;

    use super::*;
    use crate::clock::Clock;

    fn rate(requests: u32, unit: TimeUnit) -> Rate {
        Rate { requests, unit }
    }

    fn taken(bucket: &TokenBucket, clock: &Clock, tries: u32) -> u32 {
        let takes = (0..tries).filter(|_| bucket.take(clock.now()).taken);
        u32::try_from(takes.count()).unwrap()
    }

    #[test]
    fn a_bucket_starts_full_and_refills_evenly() {
        let clock = Clock::manual(Duration::from_secs(1_700_000_000));
        let bucket = TokenBucket::new(rate(5, TimeUnit::Second));
        assert_eq!(taken(&bucket, &clock, 9), 5);
        // (wait in ms, how many then pass)
        for (wait, passes) in [(199, 0), (1, 1), (50, 0), (450, 2), (100, 1), (60_000, 5)] {
            clock.advance(Duration::from_millis(wait));
            assert_eq!(taken(&bucket, &clock, 9), passes, "after {wait} ms");
        }
    }

    #[test]
    fn the_level_tells_what_is_left_and_when_the_next_token_comes() {
        let clock = Clock::manual(Duration::ZERO);
        let level = |taken, remaining, reset_secs| Level {
            taken,
            remaining,
            reset_secs,
        };
        let two = TokenBucket::new(rate(2, TimeUnit::Minute));
        assert_eq!(two.take(clock.now()), level(true, 1, 0));
        assert_eq!(two.take(clock.now()), level(true, 0, 30));
        assert_eq!(two.take(clock.now()), level(false, 0, 30));
        clock.advance(Duration::from_millis(29_500));
        assert_eq!(two.peek(clock.now()), level(false, 0, 1));
        let none = TokenBucket::new(rate(0, TimeUnit::Hour));
        assert_eq!(none.take(clock.now()), level(false, 0, 3_600));
        let most = TokenBucket::new(rate(u32::MAX, TimeUnit::Second));
        assert_eq!(most.take(clock.now()), level(true, u32::MAX - 1, 0));
    }

    #[test]
    fn another_size_keeps_what_was_taken() {
        // (size before, taken, size after, left)
        let cases = [
            (10, 4, 100, 96),
            (100, 50, 60, 10),
            (100, 50, 10, 0),
            (10, 10, 1_000, 990),
            (10, 0, 3, 3),
            (0, 0, 7, 7),
        ];
        for (before, takes, after, left) in cases {
            let clock = Clock::manual(Duration::from_secs(1_700_000_000));
            clock.advance(Duration::from_secs(12_345));
            let bucket = TokenBucket::new(rate(before, TimeUnit::Minute));
            taken(&bucket, &clock, takes);
            let bucket = bucket.resized(rate(after, TimeUnit::Hour), clock.now());
            assert_eq!(
                bucket.peek(clock.now()).remaining,
                left,
                "{before} to {after}"
            );
        }
    }

    #[test]
    fn threads_never_take_more_than_there_is() {
        let clock = Clock::manual(Duration::ZERO);
        let bucket = TokenBucket::new(rate(1_000, TimeUnit::Hour));
        let sum: u32 = std::thread::scope(|scope| {
            let threads = [0; 4].map(|_| scope.spawn(|| taken(&bucket, &clock, 500)));
            threads.map(|thread| thread.join().unwrap()).iter().sum()
        });
        assert_eq!(sum, 1_000);
    }

    fn any_rate() -> impl Strategy<Value = Rate> {
        let requests = prop_oneof![1_u32..20, Just(1_000_003), Just(u32::MAX)];
        let unit = prop_oneof![
            Just(TimeUnit::Second),
            Just(TimeUnit::Minute),
            Just(TimeUnit::Day),
            Just(TimeUnit::Year)
        ];
        (requests, unit).prop_map(|(requests, unit)| Rate { requests, unit })
    }

    proptest! {
        // A greedy client that is never idle long enough to let the bucket overflow gets exactly what has dripped.
        #[test]
        fn what_is_let_through_is_what_has_dripped(
            rate in any_rate(),
            start in 0_u64..400_000_000,
            waits in prop::collection::vec(0_u64..1_000_000_000_000, 1..40),
        ) {
            let clock = Clock::manual(Duration::from_secs(1_700_000_000));
            clock.advance(Duration::from_secs(start));
            let bucket = TokenBucket::new(rate);
            let unit = u128::from(rate.unit.seconds()) * 1_000_000_000;
            let tries = 64;
            let (mut passed, mut elapsed) = (0_u128, 0_u128);
            for wait in waits {
                let passes = taken(&bucket, &clock, tries);
                passed += u128::from(passes);
                let bound = u128::from(rate.requests) + elapsed * u128::from(rate.requests) / unit;
                assert!(passed <= bound, "{passed} of {bound}");
                let wait = Duration::from_nanos(wait);
                clock.advance(wait);
                elapsed += wait.as_nanos();
            }
        }

        #[test]
        fn no_token_is_lost_by_asking_often(requests in 1_u32..1_000, steps in 1_u32..500) {
            let rate = rate(requests, TimeUnit::Second);
            let clock = Clock::manual(Duration::ZERO);
            let bucket = TokenBucket::new(rate);
            assert_eq!(taken(&bucket, &clock, requests + 1), requests);
            let mut passed = 0;
            for _ in 0..steps {
                clock.advance(Duration::from_nanos(1_000_003));
                passed += taken(&bucket, &clock, 3);
            }
            let dripped = u64::from(steps) * 1_000_003 * u64::from(requests) / 1_000_000_000;
            // A fraction of 2^-32 of a token at most is cut off.
            assert!((dripped.saturating_sub(1)..=dripped).contains(&u64::from(passed)));
        }
    }
}
