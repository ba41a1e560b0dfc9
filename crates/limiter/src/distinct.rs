//! Token buckets for values that clients choose: one each, made on demand, of which the least recently used make room.
//!
//! As in Envoy, a bucket that made room starts full when its value comes again. The buckets lie in shards with a lock
//! each, so that workers seldom wait for each other.

use std::collections::HashMap;

use parking_lot::Mutex;
use weir_plan::Rate;

use crate::clock::Now;
use crate::key::Key;
use crate::refill::{Level, Refill};

/// The most buckets: 10,000 (Envoy Gateway's bound), 625 in each of 16 shards.
const SHARDS: usize = 16;
const PER_SHARD: usize = 625;

/// Token buckets of one rate by key.
#[derive(Debug)]
pub struct DistinctBuckets {
    refill: Refill,
    shards: [Mutex<Shard>; SHARDS],
}

/// Buckets in a list from the most to the least recently used, which runs through `slots`.
#[derive(Debug)]
struct Shard {
    places: HashMap<Key, u32>,
    slots: Vec<Slot>,
    newest: u32,
    oldest: u32,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    key: Key,
    state: u64,
    newer: u32,
    older: u32,
}

const NONE: u32 = u32::MAX;

impl DistinctBuckets {
    /// No buckets yet.
    pub fn new(rate: Rate) -> Self {
        Self {
            refill: Refill::new(rate),
            shards: std::array::from_fn(|_| Mutex::new(Shard::new())),
        }
    }

    /// The same keys with buckets of another size, from each of which as much is missing as before.
    pub fn resized(&self, rate: Rate, now: Now) -> Self {
        let refill = Refill::new(rate);
        Self {
            refill,
            shards: std::array::from_fn(|shard| {
                let shard = self.shards[shard].lock();
                Mutex::new(shard.mapped(|state| self.refill.carried_over(state, &refill, now)))
            }),
        }
    }

    /// Size and speed of each bucket.
    pub const fn rate(&self) -> Rate {
        self.refill.rate()
    }

    /// Takes a token from a key's bucket, if there is one.
    pub fn take(&self, key: Key, now: Now) -> Level {
        let mut shard = self.shards[(key.0 >> 64) as usize % SHARDS].lock();
        let state = shard.state_of(key);
        let taken = self.refill.take(*state, now);
        *state = taken.unwrap_or(*state);
        let state = *state;
        drop(shard);
        self.refill.level(state, now, taken.is_some())
    }

    /// How many buckets there are.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|it| it.lock().slots.len()).sum()
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Shard {
    fn new() -> Self {
        Self {
            places: HashMap::new(),
            slots: Vec::new(),
            newest: NONE,
            oldest: NONE,
        }
    }

    fn mapped(&self, state: impl Fn(u64) -> u64) -> Self {
        let Self {
            places,
            slots,
            newest,
            oldest,
        } = self;
        let slots = slots.iter().map(|slot| Slot {
            state: state(slot.state),
            ..*slot
        });
        Self {
            places: places.clone(),
            slots: slots.collect(),
            newest: *newest,
            oldest: *oldest,
        }
    }

    /// The state of a key's bucket, which becomes the most recently used one.
    fn state_of(&mut self, key: Key) -> &mut u64 {
        let place = match self.places.get(&key) {
            Some(&place) => {
                self.unlink(place);
                place
            }
            None => self.place_for(key),
        };
        self.link_as_newest(place);
        &mut self.slots[place as usize].state
    }

    /// A slot with a full bucket, not yet in the list: a new one, or that of the least recently used key.
    fn place_for(&mut self, key: Key) -> u32 {
        let slot = Slot {
            key,
            state: 0,
            newer: NONE,
            older: NONE,
        };
        let place = if self.slots.len() < PER_SHARD {
            self.slots.push(slot);
            u32::try_from(self.slots.len() - 1).expect("a shard has few slots")
        } else {
            let place = self.oldest;
            self.unlink(place);
            let evicted = std::mem::replace(&mut self.slots[place as usize], slot);
            self.places.remove(&evicted.key);
            place
        };
        self.places.insert(key, place);
        place
    }

    fn unlink(&mut self, place: u32) {
        let Slot { newer, older, .. } = self.slots[place as usize];
        match newer {
            NONE => self.newest = older,
            newer => self.slots[newer as usize].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => self.slots[older as usize].newer = newer,
        }
    }

    fn link_as_newest(&mut self, place: u32) {
        let older = std::mem::replace(&mut self.newest, place);
        let slot = &mut self.slots[place as usize];
        slot.newer = NONE;
        slot.older = older;
        match older {
            NONE => self.oldest = place,
            older => self.slots[older as usize].newer = place,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use weir_plan::TimeUnit;

    use super::*;
    use crate::clock::Clock;
    use crate::key::KeyMaker;

    const TWO: Rate = Rate {
        requests: 2,
        unit: TimeUnit::Hour,
    };

    fn key(n: u32) -> Key {
        let keys = KeyMaker::new(1);
        keys.below(keys.name("rule"), [&n.to_le_bytes()[..]])
    }

    #[test]
    fn each_key_has_its_own_bucket() {
        let clock = Clock::manual(Duration::ZERO);
        let buckets = DistinctBuckets::new(TWO);
        for n in 0..50 {
            let taken = [0; 3].map(|_| buckets.take(key(n), clock.now()).taken);
            assert_eq!(taken, [true, true, false], "key {n}");
        }
        let four = Rate {
            requests: 4,
            unit: TimeUnit::Hour,
        };
        let buckets = buckets.resized(four, clock.now());
        let taken = [0; 3].map(|_| buckets.take(key(0), clock.now()).taken);
        assert_eq!(taken, [true, true, false]);
        assert_eq!(buckets.take(key(50), clock.now()).remaining, 3);
        assert_eq!(buckets.len(), 51);
    }

    #[test]
    fn the_least_recently_used_make_room() {
        let clock = Clock::manual(Duration::ZERO);
        let buckets = DistinctBuckets::new(TWO);
        let exhaust = |n| {
            while buckets.take(key(n), clock.now()).taken {}
        };
        exhaust(0);
        exhaust(1);
        for n in 2..30_000 {
            exhaust(n);
            // Key 0 stays in use, key 1 does not.
            assert!(!buckets.take(key(0), clock.now()).taken, "after {n} keys");
        }
        assert_eq!(buckets.len(), SHARDS * PER_SHARD);
        assert!(buckets.take(key(1), clock.now()).taken);
    }

    #[test]
    fn threads_never_take_more_than_there_is() {
        let clock = Clock::manual(Duration::ZERO);
        let buckets = DistinctBuckets::new(TWO);
        let taken: usize = std::thread::scope(|scope| {
            let threads = [0; 4].map(|_| {
                scope.spawn(|| {
                    let takes = (0..4_000).map(|n| buckets.take(key(n % 100), clock.now()));
                    takes.filter(|level| level.taken).count()
                })
            });
            threads.map(|it| it.join().unwrap()).iter().sum()
        });
        assert_eq!(taken, 200);
    }
}
