//! The embedded store of global limits: fixed windows aligned to the Unix epoch, counted in memory, as the Envoy
//! rate-limit service counts them in Redis.
//!
//! Memory is bounded: 262,144 counters, about 25 MiB when full. A window that is over makes room first. When all are
//! running, the counter that is least used in proportion to its limit makes room, out of 16 that are looked at in turn.
//! A client that has used up its limit therefore does not get it back by sending many other keys: those are used less,
//! and go first. Only with a store full of keys that have all used up their limits is one of them forgotten early.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use weir_plan::Rate;

use crate::clock::Now;
use crate::key::Key;

const SHARDS: usize = 64;
const PER_SHARD: usize = 4_096;
/// How many counters are looked at for one to make room.
const CANDIDATES: usize = 16;

/// Counters by key, exact however many threads use them.
#[derive(Debug)]
pub struct Store {
    shards: [Mutex<Shard>; SHARDS],
    evicted: AtomicU64,
}

/// What a counter says after a request was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Whether it is over its limit.
    pub over: bool,
    /// What is left in the window; 0 when over.
    pub remaining: u32,
    /// Whole seconds until the window ends, 1 or more.
    pub reset_secs: u64,
}

/// What the store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreStats {
    /// Counters, those of windows that are over included.
    pub counters: usize,
    /// Counters of running windows that were forgotten for want of room.
    pub evicted: u64,
}

#[derive(Debug, Default)]
struct Shard {
    places: HashMap<Key, u32>,
    windows: Vec<Window>,
    /// The next candidate to make room.
    hand: usize,
}

/// One counter in its window.
#[derive(Clone, Copy, Debug)]
struct Window {
    key: Key,
    /// The window's length in seconds, and its number since the epoch.
    seconds: u64,
    number: u64,
    count: u64,
    limit: u32,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            evicted: AtomicU64::new(0),
        }
    }
}

impl Store {
    /// Adds `cost` to a key's counter and compares it with the limit: over means that the count, this request
    /// included, is above it. What is refused counts all the same. A cost of 0 only looks. A limit of 0 is always over.
    pub fn add(&self, key: Key, limit: Rate, cost: u64, now: Now) -> Count {
        let seconds = limit.unit.seconds();
        let unix_secs = now.unix_nanos / 1_000_000_000;
        let (count, evicted) = self.shards[(key.0 >> 64) as usize % SHARDS]
            .lock()
            .add(key, limit, cost, unix_secs);
        if evicted {
            self.evicted.fetch_add(1, Ordering::Relaxed);
        }
        let left = u64::from(limit.requests).saturating_sub(count);
        Count {
            over: limit.requests == 0 || count > u64::from(limit.requests),
            remaining: u32::try_from(left).expect("no more is left than the limit, which is a u32"),
            reset_secs: seconds - unix_secs % seconds,
        }
    }

    /// What it holds.
    pub fn stats(&self) -> StoreStats {
        StoreStats {
            counters: self.shards.iter().map(|it| it.lock().windows.len()).sum(),
            evicted: self.evicted.load(Ordering::Relaxed),
        }
    }
}

impl Shard {
    /// The count after adding, and whether another counter had to make room while its window was running.
    fn add(&mut self, key: Key, limit: Rate, cost: u64, unix_secs: u64) -> (u64, bool) {
        let seconds = limit.unit.seconds();
        let fresh = Window {
            key,
            seconds,
            number: unix_secs / seconds,
            count: 0,
            limit: limit.requests,
        };
        let (place, evicted) = match self.places.get(&key) {
            Some(&place) => (place as usize, false),
            None if cost == 0 => return (0, false),
            None => self.place_for(fresh, unix_secs),
        };
        let window = &mut self.windows[place];
        if window.seconds != seconds || window.number < fresh.number {
            *window = fresh;
        }
        // Where the wall clock was turned back, the count goes on in the window that is now.
        window.number = fresh.number;
        window.limit = limit.requests;
        window.count = window.count.saturating_add(cost);
        (window.count, evicted)
    }

    fn place_for(&mut self, window: Window, unix_secs: u64) -> (usize, bool) {
        let (place, evicted) = if self.windows.len() < PER_SHARD {
            self.forget_past(unix_secs);
            self.windows.push(window);
            (self.windows.len() - 1, false)
        } else {
            let place = self.least_worth(unix_secs);
            let old = std::mem::replace(&mut self.windows[place], window);
            self.places.remove(&old.key);
            (place, !old.is_past(unix_secs))
        };
        let number = u32::try_from(place).expect("a shard has few places");
        self.places.insert(window.key, number);
        (place, evicted)
    }

    /// Looks at two counters, and removes them if their windows are over: with each new counter, so that windows that
    /// are over do not add up.
    fn forget_past(&mut self, unix_secs: u64) {
        for _ in 0..2 {
            if self.hand >= self.windows.len() {
                self.hand = 0;
            }
            match self.windows.get(self.hand) {
                Some(window) if window.is_past(unix_secs) => {
                    self.places.remove(&window.key);
                    self.windows.swap_remove(self.hand);
                    if let Some(moved) = self.windows.get(self.hand) {
                        let place = u32::try_from(self.hand).expect("a shard has few places");
                        self.places.insert(moved.key, place);
                    }
                }
                Some(_) | None => self.hand += 1,
            }
        }
    }

    /// The place of a counter whose window is over, or else of the least used one among the candidates.
    fn least_worth(&mut self, unix_secs: u64) -> usize {
        let mut least = self.hand % PER_SHARD;
        for _ in 0..CANDIDATES {
            let place = self.hand % PER_SHARD;
            self.hand = place + 1;
            let window = &self.windows[place];
            if window.is_past(unix_secs) {
                return place;
            }
            if window.is_less_used_than(&self.windows[least]) {
                least = place;
            }
        }
        least
    }
}

impl Window {
    const fn is_past(&self, unix_secs: u64) -> bool {
        self.number < unix_secs / self.seconds
    }

    fn is_less_used_than(&self, other: &Self) -> bool {
        let use_of = |window: &Self, limit: u32| u128::from(window.count) * u128::from(limit);
        use_of(self, other.limit) < use_of(other, self.limit)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::{prop, proptest};
    use weir_plan::TimeUnit;

    use super::*;
    use crate::clock::Clock;
    use crate::key::KeyMaker;

    fn rate(requests: u32, unit: TimeUnit) -> Rate {
        Rate { requests, unit }
    }

    fn key(n: u64) -> Key {
        let keys = KeyMaker::new(1);
        keys.below(keys.name("rule"), [&n.to_le_bytes()[..]])
    }

    #[test]
    fn a_window_counts_up_to_its_limit_and_begins_anew() {
        let clock = Clock::manual(Duration::from_secs(1_700_000_030));
        let store = Store::default();
        let add = |cost| store.add(key(0), rate(3, TimeUnit::Minute), cost, clock.now());
        let count = |over, remaining, reset_secs| Count {
            over,
            remaining,
            reset_secs,
        };
        // 1,700,000,030 is 50 s into its minute.
        assert_eq!(add(0), count(false, 3, 10));
        assert_eq!(add(1), count(false, 2, 10));
        assert_eq!(add(2), count(false, 0, 10));
        assert_eq!(add(0), count(false, 0, 10));
        assert_eq!(add(1), count(true, 0, 10));
        clock.advance(Duration::from_millis(9_999));
        assert_eq!(add(0), count(true, 0, 1));
        clock.advance(Duration::from_millis(1));
        assert_eq!(add(5), count(true, 0, 60));
        clock.advance(Duration::from_secs(60));
        assert_eq!(add(1), count(false, 2, 60));
    }

    #[test]
    fn windows_are_aligned_to_the_epoch() {
        // A Wednesday, 2023-11-15 at 12:00:00 UTC: weeks begin on Thursdays.
        let clock = Clock::manual(Duration::from_secs(1_700_049_600));
        let cases = [
            (TimeUnit::Second, 1),
            (TimeUnit::Hour, 3_600),
            (TimeUnit::Day, 43_200),
            (TimeUnit::Week, 43_200),
            (TimeUnit::Month, 2_592_000 - 1_700_049_600 % 2_592_000),
            (TimeUnit::Year, 31_536_000 - 1_700_049_600 % 31_536_000),
        ];
        for (unit, reset) in cases {
            let count = Store::default().add(key(0), rate(1, unit), 1, clock.now());
            assert_eq!(count.reset_secs, reset, "{unit}");
        }
    }

    #[test]
    fn a_limit_of_nothing_is_always_over() {
        let now = Clock::manual(Duration::ZERO).now();
        let store = Store::default();
        assert!(store.add(key(0), rate(0, TimeUnit::Day), 0, now).over);
        assert!(store.add(key(0), rate(0, TimeUnit::Day), 1, now).over);
    }

    #[test]
    fn a_changed_limit_keeps_the_count_and_a_changed_unit_does_not() {
        let now = Clock::manual(Duration::from_secs(1_700_000_000)).now();
        let store = Store::default();
        let add = |limit| store.add(key(0), limit, 1, now).remaining;
        assert_eq!(add(rate(10, TimeUnit::Hour)), 9);
        assert_eq!(add(rate(5, TimeUnit::Hour)), 3);
        assert_eq!(add(rate(5, TimeUnit::Minute)), 4);
    }

    #[test]
    fn a_clock_turned_back_gives_nothing_back() {
        let at = |secs| Clock::manual(Duration::from_secs(secs)).now();
        let store = Store::default();
        let limit = rate(1, TimeUnit::Minute);
        assert!(!store.add(key(0), limit, 1, at(6_000)).over);
        assert!(store.add(key(0), limit, 1, at(3_000)).over);
        assert!(!store.add(key(0), limit, 1, at(3_060)).over);
    }

    #[test]
    fn a_flood_of_keys_does_not_give_a_used_up_limit_back() {
        let clock = Clock::manual(Duration::from_secs(1_700_000_000));
        let store = Store::default();
        let limit = rate(3, TimeUnit::Year);
        for _ in 0..4 {
            store.add(key(0), limit, 1, clock.now());
        }
        let room = (SHARDS * PER_SHARD) as u64;
        for n in 1..room * 2 {
            store.add(key(n), limit, 1, clock.now());
        }
        assert!(store.add(key(0), limit, 0, clock.now()).over);
        let stats = store.stats();
        assert!(
            stats.counters <= SHARDS * PER_SHARD && stats.evicted > room / 2,
            "{stats:?}"
        );
    }

    #[test]
    fn windows_that_are_over_do_not_add_up() {
        let clock = Clock::manual(Duration::from_secs(1_700_000_000));
        let store = Store::default();
        for n in 0..200_000 {
            store.add(key(n), rate(1, TimeUnit::Second), 1, clock.now());
            clock.advance(Duration::from_millis(1));
        }
        let stats = store.stats();
        assert!(stats.counters < 4_000 && stats.evicted == 0, "{stats:?}");
    }

    #[test]
    fn threads_are_let_through_up_to_the_limit_in_all() {
        let clock = Clock::manual(Duration::from_secs(1_700_000_000));
        let store = Store::default();
        let limit = rate(50, TimeUnit::Hour);
        let passed: usize = std::thread::scope(|scope| {
            let threads = [0; 4].map(|_| {
                scope.spawn(|| {
                    let adds = (0..2_000).map(|n| store.add(key(n % 20), limit, 1, clock.now()));
                    adds.filter(|count| !count.over).count()
                })
            });
            threads.map(|it| it.join().unwrap()).iter().sum()
        });
        assert_eq!(passed, 20 * 50);
    }

    proptest! {
        #[test]
        fn never_more_than_the_limit_in_a_window(
            requests in 0_u32..6,
            steps in prop::collection::vec((0_u64..3, 0_u64..4, 0_u64..20_000), 1..200),
        ) {
            let clock = Clock::manual(Duration::from_secs(1_700_000_000));
            let store = Store::default();
            let mut passed: HashMap<(u64, u64), u64> = HashMap::new();
            for (n, cost, wait) in steps {
                clock.advance(Duration::from_millis(wait));
                let now = clock.now();
                if !store.add(key(n), rate(requests, TimeUnit::Minute), cost, now).over {
                    *passed.entry((n, now.unix_nanos / 60_000_000_000)).or_default() += cost;
                }
            }
            assert!(passed.values().all(|&it| it <= u64::from(requests)), "{passed:?}");
        }
    }
}
