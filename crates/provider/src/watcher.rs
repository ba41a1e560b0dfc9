//! Which folders are watched, kept in step with those that are there; polling where the system has no watches left.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;

use notify::event::{AccessKind, AccessMode};
use notify::{ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tracing::warn;

use crate::watch::Signal;

/// The watches of the system.
#[derive(Debug)]
pub(crate) struct Watcher {
    /// None: there are none to be had, and the files are looked at every second.
    system: Option<RecommendedWatcher>,
    /// The folders that are watched, and which folder was found there.
    folders: BTreeMap<PathBuf, (u64, u64)>,
}

impl Watcher {
    /// Sends a signal for every event that may be a change.
    pub(crate) fn new(signals: Sender<Signal>) -> Self {
        let system = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if event.as_ref().map_or(true, is_change) {
                // The receiver is gone only when watching has ended.
                let _ = signals.send(Signal::Event(event));
            }
        });
        let mut watcher = Self {
            system: None,
            folders: BTreeMap::new(),
        };
        match system {
            Ok(system) => watcher.system = Some(system),
            Err(error) => watcher.give_up(&error),
        }
        watcher
    }

    /// None of the system's watches.
    #[cfg(test)]
    pub(crate) fn polling(_: Sender<Signal>) -> Self {
        Self {
            system: None,
            folders: BTreeMap::new(),
        }
    }

    /// Whether nothing says when files change.
    pub(crate) fn polls(&self) -> bool {
        self.system.is_none()
    }

    pub(crate) fn is_watched(&self, path: &Path) -> bool {
        self.folders.contains_key(path)
    }

    /// Whether a folder is watched, under whichever name.
    pub(crate) fn watches(&self, folder: &Path) -> bool {
        let identity = identity(folder);
        identity.is_some_and(|it| self.folders.values().any(|known| *known == it))
    }

    /// Watches these folders and no others. Says whether there are new ones: what happened in them before is not known.
    pub(crate) fn watch(&mut self, wanted: &BTreeSet<PathBuf>) -> bool {
        let there: BTreeMap<PathBuf, (u64, u64)> = wanted
            .iter()
            .filter_map(|path| Some((path.clone(), identity(path)?)))
            .collect();
        let Some(system) = &mut self.system else {
            return false;
        };
        for (path, identity) in &self.folders {
            if there.get(path) != Some(identity) {
                // It may have ended by itself, with its folder.
                let _ = system.unwatch(path);
            }
        }
        let mut new = false;
        for (path, identity) in &there {
            if self.folders.get(path) == Some(identity) {
                continue;
            }
            match system.watch(path, RecursiveMode::NonRecursive) {
                Ok(()) => new = true,
                // It has just gone: its parent says when it is back.
                Err(error) if is_absence(&error) => {}
                Err(error) => {
                    self.give_up(&error);
                    return false;
                }
            }
        }
        self.folders = there;
        new
    }

    /// Forgets the watches of a folder that went or was moved, and of those in it.
    pub(crate) fn forget(&mut self, path: &Path) {
        if let Some(system) = &mut self.system {
            self.folders.retain(|folder, _| {
                let gone = folder.starts_with(path);
                if gone {
                    let _ = system.unwatch(folder);
                }
                !gone
            });
        }
    }

    fn give_up(&mut self, error: &notify::Error) {
        warn!(
            %error,
            "cannot watch the files, so they are read again every second; raising fs.inotify.max_user_watches and \
             fs.inotify.max_user_instances helps"
        );
        self.system = None;
        self.folders.clear();
    }
}

/// What a file or folder is, whatever it is called.
pub(crate) fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Reading files makes events too; those are not of interest.
fn is_change(event: &Event) -> bool {
    match event.kind {
        EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    }
}

fn is_absence(error: &notify::Error) -> bool {
    match &error.kind {
        ErrorKind::PathNotFound => true,
        ErrorKind::Io(error) => error.kind() == std::io::ErrorKind::NotFound,
        ErrorKind::Generic(_)
        | ErrorKind::WatchNotFound
        | ErrorKind::InvalidConfig(_)
        | ErrorKind::MaxFilesWatch => false,
    }
}
