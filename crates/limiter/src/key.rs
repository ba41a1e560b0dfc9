//! Keys of counters: hashes, so that a key takes 16 bytes however long the values are that clients send.

use std::fmt;

use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// Names a counter. 128 bits of a seeded hash: two counters never meet but by a chance of one in 2^64, and without the
/// seed nobody can look for values that do.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(pub(crate) u128);

/// Makes keys.
#[derive(Clone, Copy)]
pub struct KeyMaker {
    seed: u64,
}

impl KeyMaker {
    /// Keys of one seed are alike; the seed is to be secret.
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The key of a name.
    pub fn name(&self, name: &str) -> Key {
        Key(xxh3_128_with_seed(name.as_bytes(), self.seed))
    }

    /// The key of one of the counters below `base`: that of these values, in this order.
    pub fn below<'a>(&self, base: Key, values: impl IntoIterator<Item = &'a [u8]>) -> Key {
        let mut text: SmallVec<[u8; 128]> = SmallVec::from_slice(&base.0.to_le_bytes());
        for value in values {
            text.extend_from_slice(&value.len().to_le_bytes());
            text.extend_from_slice(value);
        }
        Key(xxh3_128_with_seed(&text, self.seed))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:032x})", self.0)
    }
}

impl fmt::Debug for KeyMaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyMaker(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_do_not_run_into_each_other() {
        let keys = KeyMaker::new(7);
        let base = keys.name("rule");
        let of = |values: &[&'static str]| keys.below(base, values.iter().map(|it| it.as_bytes()));
        assert_eq!(of(&["a", "b"]), of(&["a", "b"]));
        for others in [&["ab"][..], &["ab", ""], &["", "ab"], &["b", "a"], &["a"]] {
            assert_ne!(of(&["a", "b"]), of(others), "{others:?}");
        }
        assert_ne!(keys.below(keys.name("other"), [&b"a"[..]]), of(&["a"]));
        assert_ne!(KeyMaker::new(8).name("rule"), base);
    }
}
