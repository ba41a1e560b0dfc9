//! Which files the sources are, and what is in them.
//!
//! Folders are walked whole. Hidden names (`.git`, `..data`, editors' swap files) are passed over, links are followed,
//! and a file that is reached in two ways is taken once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The most bytes that are read of a file.
pub const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;
/// The most files that are read.
const MAX_FILES: usize = 50_000;
/// The deepest that folders are followed.
const MAX_DEPTH: usize = 32;

/// The files and folders of the sources at one moment.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// The files to be read, with their names as the user would write them.
    pub(crate) files: BTreeMap<PathBuf, String>,
    /// The folders that were walked.
    pub(crate) folders: BTreeSet<PathBuf>,
    /// What links lead to: a change there is a change here.
    pub(crate) targets: BTreeSet<PathBuf>,
    /// Where something could not be listed. What was there before is still taken to be there.
    pub(crate) problems: BTreeMap<PathBuf, Problem>,
    /// The files and folders that were seen, so that none is taken twice.
    seen: BTreeSet<(u64, u64)>,
}

/// Why something could not be listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The file or folder as the user would write it.
    pub(crate) name: String,
    pub(crate) message: String,
}

/// A path that a user named.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    /// As the user wrote it.
    pub(crate) named: PathBuf,
    /// From the root of the file system, as events give it.
    pub(crate) path: PathBuf,
}

/// Lists the files below the roots.
pub(crate) fn list(roots: &[Root]) -> Listing {
    let mut listing = Listing::default();
    for Root { named, path } in roots {
        listing.add(path, named, 0);
    }
    listing
}

impl Listing {
    fn add(&mut self, path: &Path, name: &Path, depth: usize) {
        let named = depth == 0;
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            // A link that leads nowhere, such as an editor's lock, or a file that has just gone.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !named => return,
            Err(error) => return self.problem(path, name, format!("cannot read it: {error}")),
        };
        if path.is_symlink() {
            self.targets.extend(fs::canonicalize(path).ok());
        }
        if metadata.is_dir() {
            self.add_folder(path, name, &metadata, depth);
        } else if named || metadata.is_file() && is_read(path) {
            if self.files.len() >= MAX_FILES {
                self.problem(
                    path,
                    name,
                    format!("there are more than {MAX_FILES} files; this and others are not read"),
                );
            } else if self.seen.insert((metadata.dev(), metadata.ino())) {
                self.files
                    .insert(path.to_owned(), name.display().to_string());
            }
        }
    }

    fn add_folder(&mut self, path: &Path, name: &Path, metadata: &Metadata, depth: usize) {
        if depth > MAX_DEPTH {
            return self.problem(
                path,
                name,
                format!("it lies more than {MAX_DEPTH} folders deep and is not read"),
            );
        }
        if !self.seen.insert((metadata.dev(), metadata.ino())) {
            return;
        }
        self.folders.insert(path.to_owned());
        let entries = fs::read_dir(path).and_then(|entries| {
            let names: io::Result<Vec<_>> = entries.map(|entry| Ok(entry?.file_name())).collect();
            names
        });
        match entries {
            Ok(mut names) => {
                names.sort_unstable();
                for entry in names.iter().filter(|entry| !is_hidden(Path::new(entry))) {
                    self.add(&path.join(entry), &name.join(entry), depth + 1);
                }
            }
            Err(error) => self.problem(path, name, format!("cannot list it: {error}")),
        }
    }

    fn problem(&mut self, path: &Path, name: &Path, message: String) {
        // One that stands for all of its kind is enough.
        if self.problems.len() < 100 {
            let name = name.display().to_string();
            self.problems
                .insert(path.to_owned(), Problem { name, message });
        }
    }
}

/// Whether a file in a folder is read, by its name: `*.yaml`, `*.yml`, `*.json`.
pub fn is_read(path: &Path) -> bool {
    let extension = path.extension().and_then(|it| it.to_str());
    extension.is_some_and(|it| {
        ["yaml", "yml", "json"]
            .iter()
            .any(|read| it.eq_ignore_ascii_case(read))
    })
}

/// Whether a file or folder within a folder is passed over, by its name.
pub fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// What is wrong with a file as a whole.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// It is not there, or the system does not give it.
    Io(io::Error),
    /// What is in it is not read.
    Content {
        /// The line, from 1.
        line: usize,
        /// Why.
        message: String,
        /// The sort of finding.
        id: &'static str,
    },
}

/// Tells one state of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Stamp {
    /// The state of a file now; none where there is no such file.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        Some(Self {
            inode: metadata.ino(),
            size: metadata.len(),
            modified,
        })
    }
}

/// Reads a file.
pub(crate) fn read_file(path: &Path) -> Result<String, Unreadable> {
    let file = File::open(path).map_err(Unreadable::Io)?;
    let size = file.metadata().map_err(Unreadable::Io)?.len();
    read_text(file, size)
}

/// Reads text of about `size` bytes to its end.
pub(crate) fn read_text(from: impl Read, size: u64) -> Result<String, Unreadable> {
    let mut bytes =
        Vec::with_capacity(usize::try_from(size.min(MAX_FILE_BYTES)).unwrap_or_default() + 1);
    from.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(Unreadable::Io)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        let message = format!(
            "the file is larger than {} MiB: split it",
            MAX_FILE_BYTES / 1024 / 1024
        );
        return Err(Unreadable::Content {
            line: 1,
            message,
            id: "too-large",
        });
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
        let message = "the file is not UTF-8 from here on: save it as UTF-8".to_owned();
        Unreadable::Content {
            line,
            message,
            id: "not-utf-8",
        }
    })?;
    // A byte-order mark is no part of the text.
    Ok(text
        .strip_prefix('\u{feff}')
        .map(str::to_owned)
        .unwrap_or(text))
}
