//! Counting: token buckets, fixed windows, and the store that holds them.
//!
//! It knows no Kubernetes and no routes: callers bring keys, limits and the time.

#![warn(missing_docs)]

mod bucket;
pub mod clock;
mod distinct;
mod key;
mod refill;
mod store;

pub use bucket::TokenBucket;
pub use clock::{Clock, Now};
pub use distinct::DistinctBuckets;
pub use key::{Key, KeyMaker};
pub use refill::Level;
pub use store::{Count, Store, StoreStats};
