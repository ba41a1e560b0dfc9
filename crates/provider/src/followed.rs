//! The sources that are followed, what was read from them, and which of their changes are whole.
//!
//! A program that saves a file empties it first, or removes it, or writes it piece by piece. Content that was written this
//! moment is therefore taken only once the file is closed or has rested; until then what it said before stays.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::sources::{self, Listing, Root, Stamp, Unreadable, is_hidden, is_read};
use crate::store::Store;
use crate::watcher::{Watcher, identity};
use crate::{ReadError, Source};

/// How long a file must have rested, or been gone, where nothing says that it was closed.
const SETTLED: Duration = Duration::from_millis(250);
/// The longest that a file is waited for that never rests.
const RESTLESS: Duration = Duration::from_secs(1);
/// How often files are looked at where nothing says that they change.
const POLL: Duration = Duration::from_secs(1);

/// The sources and what was read from them.
#[derive(Debug)]
pub(crate) struct Followed {
    roots: Vec<Root>,
    stdin: bool,
    pub(crate) store: Store,
    /// What can be read once only, such as pipes, with their names.
    once: BTreeMap<PathBuf, String>,
    /// What links lead to.
    targets: BTreeSet<PathBuf>,
    /// Whether a source is not there or something cannot be listed, so that only looking again helps.
    incomplete: bool,
    /// Changes that may be half made, with the names of the files, and since when.
    unsettled: BTreeMap<PathBuf, (String, Instant)>,
}

/// Which content is taken at once, although it may have been written this moment.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trust<'t> {
    /// All of it: there is nothing to fall back on yet, or it was put there as a whole.
    All,
    /// That of files that are still as they were when they were closed.
    Complete(&'t BTreeMap<PathBuf, Option<Stamp>>),
}

impl Followed {
    pub(crate) fn new(sources: &[Source]) -> Result<Self, ReadError> {
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
            unsettled: BTreeMap::new(),
        })
    }

    /// The folders in which a change can concern us, at this moment.
    pub(crate) fn folders_now(&self) -> BTreeSet<PathBuf> {
        self.folders_to_watch(&sources::list(&self.roots))
    }

    /// The first reading, in which every source must be there.
    pub(crate) fn read_first(&mut self) -> Result<(), ReadError> {
        for Root { named, path } in &self.roots {
            let there = fs::metadata(path).and_then(|it| {
                // A folder that cannot be listed is no better than none.
                if it.is_dir() {
                    fs::read_dir(path).map(drop)
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
        self.read_all(Trust::All);
        Ok(())
    }

    /// Lists and reads everything. Gives the listing, and whether anything changed.
    pub(crate) fn read_all(&mut self, trust: Trust<'_>) -> (Listing, bool) {
        let mut listing = sources::list(&self.roots);
        listing.files.extend(self.once.clone());
        let mut changed = self
            .store
            .note_problems(std::mem::take(&mut listing.problems));
        for path in self.store.absent_from(&listing.files) {
            changed |= self.lose(&path);
        }
        for (path, name) in &listing.files {
            changed |= self.read_file(path, name, trust);
        }
        self.incomplete = self.store.has_problems();
        self.targets.clone_from(&listing.targets);
        (listing, changed)
    }

    /// Reads what the events of a burst are about. Says whether anything changed, and whether it takes a reading of
    /// everything besides.
    pub(crate) fn read_some<'p>(
        &mut self,
        paths: impl Iterator<Item = &'p PathBuf>,
        trust: Trust<'_>,
        watcher: &Watcher,
    ) -> (bool, bool) {
        let mut changed = false;
        for path in paths {
            for naming in self.store.named.naming(path) {
                let name = self.store.name_of(&naming).unwrap_or_default();
                changed |= self.read_file(&naming, &name, trust);
            }
            match self.store.name_of(path) {
                // A link may lead elsewhere now, and what could not be listed may be back.
                Some(name) if !self.incomplete && path.is_file() && !path.is_symlink() => {
                    changed |= self.read_file(path, &name, trust);
                }
                Some(_) => return (changed, true),
                None if self.may_be_new(path, watcher) => return (changed, true),
                None => {}
            }
        }
        // A file may have been named that lies in a folder of its own.
        let is_watched = |folder: &Path| watcher.polls() || watcher.watches(folder);
        (changed, !self.store.named.folders().all(is_watched))
    }

    /// Looks again at the changes that may have been half made. Says whether anything changed.
    pub(crate) fn read_unsettled(&mut self) -> bool {
        let mut changed = false;
        for (path, (name, _)) in self.unsettled.clone() {
            changed |= if path.is_file() {
                self.read_file(&path, &name, Trust::Complete(&BTreeMap::new()))
            } else {
                self.lose(&path)
            };
        }
        changed
    }

    /// How long to wait for an event before looking again; none: for as long as it takes.
    pub(crate) fn patience(&self, polls: bool) -> Option<Duration> {
        if !self.unsettled.is_empty() {
            Some(SETTLED / 5)
        } else if self.must_poll(polls) {
            Some(POLL)
        } else {
            None
        }
    }

    /// Whether everything must be looked at again and again. `polls`: nothing says when files change.
    pub(crate) fn must_poll(&self, polls: bool) -> bool {
        polls || self.incomplete
    }

    fn read_file(&mut self, path: &Path, name: &str, trust: Trust<'_>) -> bool {
        if self.once.contains_key(path) {
            return false;
        }
        let modified = match fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => metadata.modified().ok(),
            // A pipe is read at the start, where waiting for its end does no harm.
            Ok(_) if matches!(trust, Trust::All) => {
                self.once.insert(path.to_owned(), name.to_owned());
                None
            }
            Ok(_) => return false,
            Err(_) => None,
        };
        let before = Stamp::of(path);
        let content = sources::read_file(path);
        if let Err(Unreadable::Io(error)) = &content
            && error.kind() == io::ErrorKind::NotFound
        {
            return self.lose(path);
        }
        if let Ok(text) = &content {
            let trusted = match trust {
                Trust::All => true,
                // The next save may have begun; a file is empty for a moment when it is written anew.
                Trust::Complete(complete) => {
                    let closed = complete.get(path).copied().flatten();
                    closed.is_some()
                        && closed == before
                        && closed == Stamp::of(path)
                        && !text.is_empty()
                }
            };
            if !self.store.says(path, text) && !trusted && !self.is_settled(path, name, modified) {
                return false;
            }
        }
        self.unsettled.remove(path);
        self.store.update(path, name, content)
    }

    /// Takes a file for gone, once it has been so for a moment: many programs save a file by removing it first. Says
    /// whether anything changed.
    fn lose(&mut self, path: &Path) -> bool {
        let Some(name) = self.store.name_of(path) else {
            self.unsettled.remove(path);
            return false;
        };
        let now = Instant::now();
        let (_, since) = self.unsettled.entry(path.to_owned()).or_insert((name, now));
        if now.duration_since(*since) < SETTLED {
            self.store.hold(path);
            return false;
        }
        self.unsettled.remove(path);
        self.store.remove(path)
    }

    /// Whether the content of a file was not written this moment. If it was, it is looked at again.
    fn is_settled(&mut self, path: &Path, name: &str, modified: Option<SystemTime>) -> bool {
        // A time in the future says nothing.
        let age = modified.and_then(|it| it.elapsed().ok());
        let now = Instant::now();
        let (_, since) = self
            .unsettled
            .entry(path.to_owned())
            .or_insert_with(|| (name.to_owned(), now));
        age.is_none_or(|age| age >= SETTLED) || now.duration_since(*since) >= RESTLESS
    }

    /// The folders in which a change can concern us.
    pub(crate) fn folders_to_watch(&self, listing: &Listing) -> BTreeSet<PathBuf> {
        let outside = self
            .roots
            .iter()
            .map(|root| &root.path)
            .chain(&listing.targets);
        let parents = outside.filter_map(|path| path.parent());
        let mut folders: BTreeSet<PathBuf> = listing
            .folders
            .iter()
            .map(PathBuf::as_path)
            .chain(parents)
            .map(Path::to_owned)
            .collect();
        // A folder is watched under one name only, which is the one that its events have.
        let named: BTreeSet<&Path> = self.store.named.folders().collect();
        if !named.is_empty() {
            let known: BTreeSet<_> = folders.iter().filter_map(|it| identity(it)).collect();
            let new = |it: &&&Path| identity(it).is_some_and(|it| !known.contains(&it));
            folders.extend(named.iter().filter(new).map(|it| it.to_path_buf()));
        }
        folders
    }

    /// Whether an event at this path can mean that there is something to read.
    pub(crate) fn concerns(&self, path: &Path, watcher: &Watcher) -> bool {
        self.store.name_of(path).is_some()
            || !self.store.named.naming(path).is_empty()
            || self.may_be_new(path, watcher)
    }

    /// Whether an event at this path, which is no file that is known, can mean that there is something new to read.
    fn may_be_new(&self, path: &Path, watcher: &Watcher) -> bool {
        let ours = self.roots.iter().any(|root| path == root.path)
            || watcher.is_watched(path)
            || self.targets.contains(path)
            || self.store.has_below(path)
            || self.store.named.has_below(path);
        let inside = self.roots.iter().any(|root| path.starts_with(&root.path));
        is_swap(path) || ours || inside && !is_hidden(path) && (is_read(path) || path.is_dir())
    }
}

/// Whether a path is that of the link `..data`, which is moved to change a mounted ConfigMap as a whole.
pub(crate) fn is_swap(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b".."))
}

fn cannot_read(named: &Path, source: io::Error) -> ReadError {
    ReadError::Io {
        path: named.display().to_string(),
        source,
    }
}
