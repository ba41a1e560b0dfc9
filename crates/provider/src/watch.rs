//! Reads the sources, and follows them on a thread of its own.
//!
//! A change is read a few milliseconds after the last of the events that belong to it; a file that is being written, when
//! it is closed. Neither waits forever: a steady stream of events delays a change by [`LONGEST_BURST`] at most.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use notify::event::{AccessKind, CreateKind, ModifyKind};
use notify::{Event, EventKind};
use tokio::sync::watch;
use tracing::{debug, warn};

use crate::sources::{self, Listing, Root, Unreadable, is_hidden, is_read};
use crate::store::Store;
use crate::watcher::Watcher;
use crate::{Loaded, ReadError, Source};

/// No event for so long ends a burst.
const QUIET: Duration = Duration::from_millis(2);
/// The longest that a change waits for further events, or for a file to be closed.
const LONGEST_BURST: Duration = Duration::from_millis(100);
/// How often files are looked at where nothing says that they change.
const POLL: Duration = Duration::from_secs(1);
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
        let (signals, received) = mpsc::channel();
        let mut followed = Followed::new(&sources)?;
        // Watching begins before reading, so that nothing that happens in between is missed.
        let mut watcher = Watcher::new(signals.clone());
        watcher.watch(&followed.folders_to_watch(&sources::list(&followed.roots)));
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

/// The sources and what was read from them.
#[derive(Debug)]
struct Followed {
    roots: Vec<Root>,
    stdin: bool,
    store: Store,
    /// What can be read once only, such as pipes, with their names.
    once: BTreeMap<PathBuf, String>,
    /// What links lead to.
    targets: BTreeSet<PathBuf>,
    /// Whether a source is not there or something cannot be listed, so that only looking again helps.
    incomplete: bool,
}

impl Followed {
    fn new(sources: &[Source]) -> Result<Self, ReadError> {
        let mut roots = Vec::new();
        for source in sources {
            match source {
                Source::Stdin => {}
                Source::Path(named) => {
                    let path =
                        std::path::absolute(named).map_err(|error| cannot_read(named, error))?;
                    roots.push(Root {
                        named: named.clone(),
                        path,
                    });
                }
            }
        }
        let stdin = sources.contains(&Source::Stdin);
        let (once, targets) = (BTreeMap::new(), BTreeSet::new());
        Ok(Self {
            roots,
            stdin,
            store: Store::default(),
            once,
            targets,
            incomplete: false,
        })
    }

    /// The first reading, in which every source must be there.
    fn read_first(&mut self) -> Result<(), ReadError> {
        for Root { named, path } in &self.roots {
            let there = std::fs::metadata(path).and_then(|it| {
                // A folder that cannot be listed is no better than none.
                if it.is_dir() {
                    std::fs::read_dir(path).map(drop)
                } else {
                    Ok(())
                }
            });
            there.map_err(|error| cannot_read(named, error))?;
        }
        if self.stdin {
            let text = sources::read_text(io::stdin().lock(), 0);
            if let Err(Unreadable::Io(source)) = text {
                return Err(ReadError::Io {
                    path: "standard input".to_owned(),
                    source,
                });
            }
            self.once.insert(PathBuf::from("-"), "-".to_owned());
            self.store.update(Path::new("-"), "-", text);
        }
        self.read_all();
        Ok(())
    }

    /// Lists and reads everything. Gives the listing, and whether anything changed.
    fn read_all(&mut self) -> (Listing, bool) {
        let mut listing = sources::list(&self.roots);
        listing.files.extend(self.once.clone());
        let mut changed = self
            .store
            .keep(&listing.files, std::mem::take(&mut listing.problems));
        for (path, name) in &listing.files {
            changed |= self.read_file(path, name);
        }
        self.incomplete = self.store.has_problems();
        self.targets.clone_from(&listing.targets);
        (listing, changed)
    }

    fn read_file(&mut self, path: &Path, name: &str) -> bool {
        if self.once.contains_key(path) {
            return false;
        }
        if std::fs::metadata(path).is_ok_and(|it| !it.is_file()) {
            self.once.insert(path.to_owned(), name.to_owned());
        }
        self.store.update(path, name, sources::read_file(path))
    }

    /// The folders in which a change can concern us.
    fn folders_to_watch(&self, listing: &Listing) -> BTreeSet<PathBuf> {
        let outside = self
            .roots
            .iter()
            .map(|root| &root.path)
            .chain(&listing.targets);
        let parents = outside.filter_map(|path| path.parent());
        listing
            .folders
            .iter()
            .map(PathBuf::as_path)
            .chain(parents)
            .map(Path::to_owned)
            .collect()
    }

    /// Whether an event at this path, which is no file that is known, can mean that there is something new to read.
    fn concerns(&self, path: &Path, watcher: &Watcher) -> bool {
        // A mounted ConfigMap is changed by moving the link `..data`.
        let swapped = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b".."));
        let ours = self.roots.iter().any(|root| path == root.path)
            || watcher.is_watched(path)
            || self.targets.contains(path)
            || self.store.has_below(path);
        let inside = self.roots.iter().any(|root| path.starts_with(&root.path));
        swapped || ours || inside && !is_hidden(path) && (is_read(path) || path.is_dir())
    }
}

fn cannot_read(named: &Path, source: io::Error) -> ReadError {
    ReadError::Io {
        path: named.display().to_string(),
        source,
    }
}

/// The thread.
struct Follower {
    followed: Followed,
    watcher: Watcher,
    received: Receiver<Signal>,
    sender: watch::Sender<Arc<Loaded>>,
}

/// What a burst of events comes to.
#[derive(Debug, Default)]
struct Burst {
    /// What may have changed.
    paths: BTreeSet<PathBuf>,
    /// Files that are being written.
    open: BTreeSet<PathBuf>,
    /// Folders or files that went or came, under this or another name.
    moved: BTreeSet<PathBuf>,
    /// Events were lost, or nothing says what they are.
    everything: bool,
    stop: bool,
}

impl Follower {
    fn follow(mut self) {
        // Folders that came while the first reading was made are not watched yet.
        if self.follow_folders() {
            self.publish();
        }
        loop {
            let burst = self.next_burst();
            if burst.stop || self.sender.is_closed() {
                return;
            }
            if self.apply(burst) {
                self.publish();
            }
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

    /// Waits for events, and for the end of those that belong together.
    fn next_burst(&self) -> Burst {
        let mut burst = Burst::default();
        let polls = self.watcher.polls() || self.followed.incomplete;
        let first = if polls {
            self.received.recv_timeout(POLL)
        } else {
            self.received.recv().map_err(RecvTimeoutError::from)
        };
        match first {
            Ok(signal) => burst.note(signal),
            Err(RecvTimeoutError::Timeout) => {
                burst.everything = true;
                return burst;
            }
            Err(RecvTimeoutError::Disconnected) => burst.stop = true,
        }
        let end = Instant::now() + LONGEST_BURST;
        while !burst.stop {
            let left = end.saturating_duration_since(Instant::now());
            let patience = if burst.open.is_empty() {
                left.min(QUIET)
            } else {
                left
            };
            match self.received.recv_timeout(patience) {
                Ok(signal) if !left.is_zero() => burst.note(signal),
                // What comes later is a burst of its own.
                Ok(signal) => {
                    burst.note(signal);
                    break;
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => burst.stop = true,
            }
        }
        burst
    }

    /// Reads what a burst is about. Says whether anything changed.
    fn apply(&mut self, burst: Burst) -> bool {
        let Burst {
            paths,
            open: _,
            moved,
            mut everything,
            stop: _,
        } = burst;
        let mut changed = false;
        for path in &moved {
            self.watcher.forget(path);
        }
        for path in paths.iter().chain(&moved) {
            if everything {
                break;
            }
            match self.followed.store.name_of(path) {
                // A link may lead elsewhere now, and what could not be listed may be back.
                Some(name) if !self.followed.incomplete && path.is_file() && !path.is_symlink() => {
                    changed |= self.followed.read_file(path, &name);
                }
                Some(_) => everything = true,
                None => everything = self.followed.concerns(path, &self.watcher),
            }
        }
        if everything {
            changed |= self.follow_folders();
        }
        changed
    }

    /// Reads everything, and watches the folders that are there now. Says whether anything changed.
    fn follow_folders(&mut self) -> bool {
        let mut changed = false;
        for _ in 0..LISTINGS {
            let (listing, now) = self.followed.read_all();
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

impl Burst {
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
                for path in paths {
                    self.open.remove(&path);
                    self.paths.insert(path);
                }
            }
            EventKind::Modify(ModifyKind::Data(_)) | EventKind::Create(CreateKind::File) => {
                self.open.extend(paths.iter().cloned());
                self.paths.extend(paths);
            }
            EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => {
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
