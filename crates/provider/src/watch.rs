//! Reads the sources, and follows them on a thread of its own.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

use notify::Event;
use tokio::sync::watch;
use tracing::debug;

use crate::burst::Burst;
use crate::followed::{Followed, Trust, is_swap};
use crate::watcher::Watcher;
use crate::{Loaded, ReadError, Source};

/// How often a listing is taken anew because folders were added while it was taken.
const LISTINGS: usize = 8;

/// Reads all sources once. There is no last good version: what is broken is not in the resources.
///
/// # Errors
/// When a path is not there or cannot be read. What is wrong inside the files is in [`Loaded::findings`].
pub fn read(sources: &[Source]) -> Result<Loaded, ReadError> {
    let mut followed = Followed::new(sources)?;
    followed.read_first()?;
    Ok(followed.store.load())
}

/// Reads the sources, then follows them: each change gives a new [`Loaded`]. The watch ends when it is dropped.
///
/// What a source gave stays while it is not there, such as a folder that is being replaced.
#[derive(Debug)]
pub struct Watch {
    signals: Sender<Signal>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread waits for.
#[derive(Debug)]
pub(crate) enum Signal {
    /// Something happened to a file or folder.
    Event(notify::Result<Event>),
    /// The watch was dropped.
    Stop,
}

impl Watch {
    /// Starts watching. The receiver has the first reading already.
    ///
    /// # Errors
    /// When a path is not there or cannot be watched.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the watch owns what it follows"
    )]
    pub fn start(sources: Vec<Source>) -> Result<(Self, watch::Receiver<Arc<Loaded>>), ReadError> {
        Self::start_with(&sources, Watcher::new)
    }

    fn start_with(
        sources: &[Source],
        watcher: fn(Sender<Signal>) -> Watcher,
    ) -> Result<(Self, watch::Receiver<Arc<Loaded>>), ReadError> {
        let (signals, received) = mpsc::channel();
        let mut followed = Followed::new(sources)?;
        // Watching begins before reading, so that nothing that happens in between is missed.
        let mut watcher = watcher(signals.clone());
        watcher.watch(&followed.folders_now());
        followed.read_first()?;
        let (sender, receiver) = watch::channel(Arc::new(followed.store.load()));
        let follower = Follower {
            followed,
            watcher,
            received,
            sender,
        };
        let thread = std::thread::Builder::new()
            .name("files".to_owned())
            .spawn(move || follower.follow());
        let thread = thread.map_err(|source| ReadError::Io {
            path: "the files".to_owned(),
            source,
        })?;
        Ok((
            Self {
                signals,
                thread: Some(thread),
            },
            receiver,
        ))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // The thread has ended already if nobody listens.
        let _ = self.signals.send(Signal::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The thread.
struct Follower {
    followed: Followed,
    watcher: Watcher,
    received: Receiver<Signal>,
    sender: watch::Sender<Arc<Loaded>>,
}

impl Follower {
    fn follow(mut self) {
        // Folders that came while the first reading was made are not watched yet.
        let mut changed = self.read_all(&Burst::default());
        loop {
            if changed {
                self.publish();
            }
            let patience = self.followed.patience(self.watcher.polls());
            let concerns = |path: &Path| self.followed.concerns(path, &self.watcher);
            changed = match Burst::next(&self.received, patience, concerns) {
                Some(burst) if burst.stop => return,
                Some(burst) => self.apply(&burst),
                None => self.look_again(),
            };
        }
    }

    fn publish(&mut self) {
        let loaded = self.followed.store.load();
        debug!(
            findings = loaded.findings.len(),
            missing = loaded.missing.len(),
            "the files were read again"
        );
        self.sender.send_replace(Arc::new(loaded));
    }

    /// Reads what a burst is about. Says whether anything changed.
    fn apply(&mut self, burst: &Burst) -> bool {
        for path in &burst.moved {
            self.watcher.forget(path);
        }
        let trust = trust(burst);
        let paths = burst.paths.iter().chain(&burst.moved);
        let (changed, everything) = if burst.everything {
            (false, true)
        } else {
            self.followed.read_some(paths, trust, &self.watcher)
        };
        // What has been read already is no change any more to whoever reads everything.
        everything && self.read_all(burst) || changed
    }

    /// Looks at what may have changed without an event. Says whether anything changed.
    fn look_again(&mut self) -> bool {
        let changed = self.followed.read_unsettled();
        if self.followed.must_poll(self.watcher.polls()) {
            self.read_all(&Burst::default()) | changed
        } else {
            changed
        }
    }

    /// Reads everything, and watches the folders that are there now. Says whether anything changed.
    fn read_all(&mut self, burst: &Burst) -> bool {
        let mut changed = false;
        for _ in 0..LISTINGS {
            let (listing, now) = self.followed.read_all(trust(burst));
            changed |= now;
            if !self
                .watcher
                .watch(&self.followed.folders_to_watch(&listing))
            {
                break;
            }
        }
        changed
    }
}

/// What may be taken at once after these events.
fn trust(burst: &Burst) -> Trust<'_> {
    if burst.moved.iter().any(|path| is_swap(path)) {
        Trust::All
    } else {
        Trust::Complete(&burst.complete)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    #[test]
    fn without_watches_of_the_system_files_are_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        let service = |name| {
            format!("apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{}}\n")
        };
        fs::write(&file, service("one")).unwrap();
        let sources = [Source::Path(folder.path().to_owned())];
        let (_watch, mut receiver) = Watch::start_with(&sources, Watcher::polling).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        for name in ["two", "three"] {
            fs::write(&file, service(name)).unwrap();
            let seen = receiver.wait_for(|it| {
                let mut names = it.resources.services.keys().map(|it| it.name.as_ref());
                names.next() == Some(name) && names.next().is_none()
            });
            let seen = runtime
                .block_on(async { tokio::time::timeout(Duration::from_secs(30), seen).await });
            assert!(matches!(seen, Ok(Ok(_))), "{name} was not seen");
        }
    }
}
