//! Counting: token buckets, fixed windows, and the store that holds them.
//!
//! It knows no Kubernetes and no routes: callers bring keys, limits and the time.

#![warn(missing_docs)]

pub mod clock;

pub use clock::{Clock, Now};
