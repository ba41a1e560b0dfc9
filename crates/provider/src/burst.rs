//! Events that belong together: waiting for the last of them, and what they come to.
//!
//! A change is read a few milliseconds after the last of its events; a file that is being written, when it is closed.
//! Neither waits forever: a steady stream of events delays a change by [`LONGEST`] at most.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, CreateKind, ModifyKind};
use notify::{Event, EventKind};
use tracing::warn;

use crate::sources::Stamp;
use crate::watch::Signal;

/// No event for so long ends a burst.
const QUIET: Duration = Duration::from_millis(2);
/// The longest that a change waits for further events, or for a file to be closed.
const LONGEST: Duration = Duration::from_millis(100);

/// What a burst of events comes to.
#[derive(Debug, Default)]
pub(crate) struct Burst {
    /// What may have changed.
    pub(crate) paths: BTreeSet<PathBuf>,
    /// Files that were closed after the last change or put there whole, and the state they were in then.
    pub(crate) complete: BTreeMap<PathBuf, Option<Stamp>>,
    /// Folders or files that went or came, under this or another name.
    pub(crate) moved: BTreeSet<PathBuf>,
    /// Events were lost, or there are none.
    pub(crate) everything: bool,
    /// Whether to end.
    pub(crate) stop: bool,
    /// Files that are being written.
    open: BTreeSet<PathBuf>,
}

impl Burst {
    /// Waits for events, and for the end of those that belong together. None: nothing happened for so long as `patience`
    /// says.
    pub(crate) fn next(received: &Receiver<Signal>, patience: Option<Duration>) -> Option<Self> {
        let mut burst = Self::default();
        let first = match patience {
            Some(patience) => received.recv_timeout(patience),
            None => received.recv().map_err(RecvTimeoutError::from),
        };
        match first {
            Ok(signal) => burst.note(signal),
            Err(RecvTimeoutError::Timeout) => return None,
            Err(RecvTimeoutError::Disconnected) => burst.stop = true,
        }
        let end = Instant::now() + LONGEST;
        while !burst.stop {
            let left = end.saturating_duration_since(Instant::now());
            let wait = if burst.open.is_empty() {
                left.min(QUIET)
            } else {
                left
            };
            if left.is_zero() {
                // What comes later is a burst of its own.
                break;
            }
            match received.recv_timeout(wait) {
                Ok(signal) => burst.note(signal),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => burst.stop = true,
            }
        }
        Some(burst)
    }

    fn note(&mut self, signal: Signal) {
        let event = match signal {
            Signal::Stop => {
                self.stop = true;
                return;
            }
            Signal::Event(Err(error)) => {
                warn!(%error, "a change may have been missed, so everything is read again");
                self.everything = true;
                return;
            }
            Signal::Event(Ok(event)) => event,
        };
        self.everything |= event.need_rescan();
        let Event {
            kind,
            paths,
            attrs: _,
        } = event;
        match kind {
            EventKind::Access(AccessKind::Close(_)) => {
                for path in &paths {
                    self.open.remove(path);
                    self.complete.insert(path.clone(), Stamp::of(path));
                }
                self.paths.extend(paths);
            }
            EventKind::Modify(ModifyKind::Data(_)) | EventKind::Create(CreateKind::File) => {
                for path in &paths {
                    self.complete.remove(path);
                }
                self.open.extend(paths.iter().cloned());
                self.paths.extend(paths);
            }
            EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => {
                // What is moved to another file's place is whole.
                for path in &paths {
                    self.complete.insert(path.clone(), Stamp::of(path));
                }
                self.moved.extend(paths);
            }
            EventKind::Any
            | EventKind::Access(_)
            | EventKind::Create(_)
            | EventKind::Modify(_)
            | EventKind::Other => self.paths.extend(paths),
        }
    }
}
