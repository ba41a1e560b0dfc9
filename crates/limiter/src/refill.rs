//! The arithmetic of token buckets: a bucket's whole state is one number, and no token is lost or won by rounding.
//!
//! Time is measured in tokens: the *position* is how many tokens have dripped since the clock was made, plus one bucket
//! full, as a fixed-point number. A bucket's state is the position at which it was empty; what has dripped since is in
//! it, up to its size. Taking a token adds exactly one to the state. 0 is therefore a full bucket.

use weir_plan::Rate;

use crate::clock::Now;

/// What a bucket holds, as clients are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Whether a token was to be had.
    pub taken: bool,
    /// Whole tokens that are left.
    pub remaining: u32,
    /// Whole seconds, rounded up, until the next token; 0 while there are any. A bucket of no size, which never gets
    /// one, says its unit.
    pub reset_secs: u64,
}

/// Size and speed of a bucket, in the numbers that its state is kept in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refill {
    rate: Rate,
    /// Binary digits of a token's fraction: as many as keep positions below 2^63 for 31 years.
    digits: u32,
}

const NANOS: u128 = 1_000_000_000;
const LIFETIME_SECS: u64 = 1_000_000_000;

impl Refill {
    pub(crate) fn new(rate: Rate) -> Self {
        let lifetimes = LIFETIME_SECS / rate.unit.seconds() + 2;
        let most = u128::from(rate.requests) * u128::from(lifetimes);
        let bits = u128::BITS - most.leading_zeros();
        let digits = 63_u32.saturating_sub(bits).min(32);
        Self { rate, digits }
    }

    pub(crate) const fn rate(&self) -> Rate {
        self.rate
    }

    /// Takes a token, if there is one: the new state.
    pub(crate) fn take(&self, state: u64, now: Now) -> Option<u64> {
        let position = self.position(now);
        let taken = self.empty_at(state, position).saturating_add(self.one());
        (self.rate.requests > 0 && taken <= position).then_some(taken)
    }

    /// What is in a bucket.
    pub(crate) fn level(&self, state: u64, now: Now, taken: bool) -> Level {
        let position = self.position(now);
        let dripped = position.saturating_sub(self.empty_at(state, position));
        let remaining = u32::try_from(dripped >> self.digits).unwrap_or(u32::MAX);
        let reset_secs = if self.rate.requests == 0 {
            self.rate.unit.seconds()
        } else if remaining > 0 {
            0
        } else {
            let missing = u128::from(self.one().saturating_sub(dripped));
            let per_unit = u128::from(self.rate.requests) << self.digits;
            let secs = (missing * u128::from(self.rate.unit.seconds())).div_ceil(per_unit);
            u64::try_from(secs).unwrap_or(u64::MAX)
        };
        Level {
            taken,
            remaining,
            reset_secs,
        }
    }

    /// The state that a bucket of another size and speed has when as many tokens are missing as from this one, or all
    /// that it can hold.
    pub(crate) fn carried_over(&self, state: u64, to: &Self, now: Now) -> u64 {
        let position = self.position(now);
        let dripped = position.saturating_sub(self.empty_at(state, position));
        let missing = u128::from(self.size().saturating_sub(dripped)) << to.digits >> self.digits;
        let left = u128::from(to.size()).saturating_sub(missing);
        to.position(now)
            .saturating_sub(u64::try_from(left).unwrap_or(u64::MAX))
    }

    /// A bucket holds no more than its size, however long ago it was empty.
    fn empty_at(&self, state: u64, position: u64) -> u64 {
        state.max(position.saturating_sub(self.size()))
    }

    const fn one(&self) -> u64 {
        1 << self.digits
    }

    fn size(&self) -> u64 {
        u64::from(self.rate.requests) << self.digits
    }

    fn position(&self, now: Now) -> u64 {
        let unit = u128::from(self.rate.unit.seconds()) * NANOS;
        let dripped = u128::from(now.steady_nanos) * u128::from(self.size()) / unit;
        u64::try_from(dripped)
            .unwrap_or(u64::MAX)
            .saturating_add(self.size())
    }
}
