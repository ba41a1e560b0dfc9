//! Events that belong together: waiting for the last of them, and what they come to.
//!
//! A change is read a few milliseconds after the last of its events; a file that is being written, when it is closed.
//! Neither waits forever: a steady stream of events delays a change by [`LONGEST`] at most.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
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
    /// says. Events of files that do not concern us, such as a log beside a folder that is followed, count for nothing.
    pub(crate) fn next(
        received: &Receiver<Signal>,
        patience: Option<Duration>,
        concerns: impl Fn(&Path) -> bool,
    ) -> Option<Self> {
        let mut burst = Self::default();
        let given_up = patience.map(|patience| Instant::now() + patience);
        let mut begun = false;
        while !begun {
            begun = match receive(received, given_up) {
                Ok(signal) => burst.note(signal, &concerns),
                Err(RecvTimeoutError::Timeout) => return None,
                Err(RecvTimeoutError::Disconnected) => burst.end(),
            };
        }
        let start = Instant::now();
        // What comes later is a burst of its own.
        let (end, mut quiet) = (start + LONGEST, start + QUIET);
        while !burst.stop && Instant::now() < end {
            let until = if burst.open.is_empty() {
                quiet.min(end)
            } else {
                end
            };
            match receive(received, Some(until)) {
                Ok(signal) => {
                    if burst.note(signal, &concerns) {
                        quiet = Instant::now() + QUIET;
                    }
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => burst.stop = true,
            }
        }
        Some(burst)
    }

    fn end(&mut self) -> bool {
        self.stop = true;
        true
    }

    /// Takes an event in; says whether it concerns us.
    fn note(&mut self, signal: Signal, concerns: impl Fn(&Path) -> bool) -> bool {
        let event = match signal {
            Signal::Stop => return self.end(),
            Signal::Event(Err(error)) => {
                warn!(%error, "a change may have been missed, so everything is read again");
                self.everything = true;
                return true;
            }
            Signal::Event(Ok(event)) => event,
        };
        let rescan = event.need_rescan();
        self.everything |= rescan;
        let Event {
            kind,
            mut paths,
            attrs: _,
        } = event;
        paths.retain(|path| concerns(path));
        if paths.is_empty() {
            return rescan;
        }
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
        true
    }
}

/// The next signal, if there is one until then.
fn receive(
    received: &Receiver<Signal>,
    until: Option<Instant>,
) -> Result<Signal, RecvTimeoutError> {
    match until {
        Some(until) => received.recv_timeout(until.saturating_duration_since(Instant::now())),
        None => received.recv().map_err(RecvTimeoutError::from),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn event(kind: EventKind, path: &str) -> Signal {
        Signal::Event(Ok(Event::new(kind).add_path(path.into())))
    }

    fn written(path: &str) -> Signal {
        let any = notify::event::DataChange::Any;
        event(EventKind::Modify(ModifyKind::Data(any)), path)
    }

    #[test]
    fn files_that_do_not_concern_us_neither_begin_a_burst_nor_hold_it_up() {
        let concerns = |path: &Path| path.starts_with("/ours");
        let (sender, received) = mpsc::channel();
        sender.send(written("/beside/busy.log")).unwrap();
        assert!(Burst::next(&received, Some(Duration::ZERO), concerns).is_none());

        let closed = EventKind::Access(AccessKind::Close(notify::event::AccessMode::Write));
        for signal in [
            written("/beside/busy.log"),
            written("/ours/a.yaml"),
            written("/beside/busy.log"),
            event(closed, "/ours/a.yaml"),
            written("/beside/busy.log"),
        ] {
            sender.send(signal).unwrap();
        }
        let burst = Burst::next(&received, None, concerns).unwrap();
        assert_eq!(burst.paths, BTreeSet::from(["/ours/a.yaml".into()]));
        assert_eq!(burst.open, BTreeSet::new());
    }
}
