//! The time, as an argument: the system's, or one that a test turns by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A moment: a steady reading to measure with, and the wall clock that windows are aligned to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Nanoseconds since the clock was made; never goes back.
    pub steady_nanos: u64,
    /// Nanoseconds since the Unix epoch.
    pub unix_nanos: u64,
}

/// Where the time comes from. Cheap to clone; clones show the same time.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System {
        start: Instant,
    },
    Manual {
        start_unix: u64,
        elapsed: Arc<AtomicU64>,
    },
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self(Source::System {
            start: Instant::now(),
        })
    }

    /// A clock that stands still at `unix` until [`Clock::advance`] turns it.
    pub fn manual(unix: Duration) -> Self {
        Self(Source::Manual {
            start_unix: nanos(unix),
            elapsed: Arc::default(),
        })
    }

    /// Turns a manual clock forward; a system clock is left alone.
    pub fn advance(&self, by: Duration) {
        match &self.0 {
            Source::System { .. } => {}
            Source::Manual { elapsed, .. } => drop(elapsed.fetch_add(nanos(by), Ordering::AcqRel)),
        }
    }

    /// The time.
    pub fn now(&self) -> Now {
        match &self.0 {
            Source::System { start } => Now {
                steady_nanos: nanos(start.elapsed()),
                unix_nanos: nanos(
                    SystemTime::now()
                        .duration_since(UNIX_EPOCH)
                        .unwrap_or_default(),
                ),
            },
            Source::Manual {
                start_unix,
                elapsed,
            } => {
                let elapsed = elapsed.load(Ordering::Acquire);
                Now {
                    steady_nanos: elapsed,
                    unix_nanos: start_unix.saturating_add(elapsed),
                }
            }
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
