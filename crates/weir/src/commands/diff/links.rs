//! Which files of a revision are read below a path, links included: what reading the same files in a folder would follow.
//!
//! A link is followed where it stays in the repository. The folder that the files go to has the links too, each pointing
//! at where it leads in the end, so that a file that is reached in two ways is read once there as well.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The most links on the way to a file, as of Linux.
const MAX_LINKS: usize = 40;

/// What a commit has, by its path from the root of the repository.
pub(super) type Tree = BTreeMap<PathBuf, Entry>;

/// What is at a path.
#[derive(Debug, PartialEq)]
pub(super) enum Entry {
    /// Git's name for the content, and its bytes.
    File(String, u64),
    /// Git's name for where it leads.
    Link(String),
    Submodule,
}

/// What is read.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Taken {
    pub(super) files: BTreeSet<PathBuf>,
    /// Links, and where they lead in the end: a file, a folder, or nothing.
    pub(super) links: BTreeMap<PathBuf, PathBuf>,
    /// Submodules, and links that lead out of the repository or nowhere in so many steps.
    pub(super) passed_over: Vec<PathBuf>,
}

/// Whether a path below a folder is looked at when the folder is read.
pub(super) fn is_seen(below: &Path) -> bool {
    !below.ancestors().any(weir_provider::is_hidden)
}

/// What is read below a folder of a commit. `texts` says where links lead, as they have it.
pub(super) fn follow(tree: &Tree, texts: &BTreeMap<PathBuf, String>, folder: &Path) -> Taken {
    let mut taken = Taken::default();
    let mut folders = BTreeSet::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(folder) = pending.pop() {
        if !folders.insert(folder.clone()) {
            continue;
        }
        let below = tree
            .range(folder.clone()..)
            .take_while(|(path, _)| path.starts_with(&folder));
        for (path, entry) in below {
            if !path.strip_prefix(&folder).is_ok_and(is_seen) {
                continue;
            }
            match entry {
                Entry::File(..) if weir_provider::is_read(path) => {
                    taken.files.insert(path.clone());
                }
                Entry::File(..) => {}
                Entry::Submodule => taken.passed_over.push(path.clone()),
                Entry::Link(_) => {
                    let Some(end) = end(texts, path) else {
                        taken.passed_over.push(path.clone());
                        continue;
                    };
                    match tree.get(&end) {
                        // The name of the link says whether a file is read.
                        Some(Entry::File(..)) if !weir_provider::is_read(path) => continue,
                        Some(Entry::File(..)) => {
                            taken.files.insert(end.clone());
                        }
                        Some(Entry::Submodule | Entry::Link(_)) => {
                            taken.passed_over.push(path.clone());
                            continue;
                        }
                        None => pending.push(end.clone()),
                    }
                    taken.links.insert(path.clone(), end);
                }
            }
        }
    }
    taken
}

/// Where a path leads when all links on the way are followed, the last included. None: out of the repository, or too far.
fn end(texts: &BTreeMap<PathBuf, String>, path: &Path) -> Option<PathBuf> {
    let mut links = 0;
    let mut at = PathBuf::new();
    let mut rest: Vec<&OsStr> = path.iter().rev().collect();
    while let Some(next) = rest.pop() {
        if next == "." {
            continue;
        }
        if next == ".." {
            if !at.pop() {
                return None;
            }
            continue;
        }
        at.push(next);
        if let Some(text) = texts.get(&at) {
            links += 1;
            let text = Path::new(text);
            if links > MAX_LINKS || text.is_absolute() {
                return None;
            }
            at.pop();
            rest.extend(text.iter().rev());
        }
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_where_the_system_would_follow_them() {
        let texts = [
            ("cfg/shared", "../shared"),
            ("cfg/a.yaml", "shared/./deep//../a.yaml"),
            ("cfg/up", ".."),
            ("cfg/gone", "nothing"),
            ("cfg/out", "../../etc"),
            ("cfg/root", "/etc"),
            ("cfg/loop", "loop"),
            ("cfg/ping", "pong"),
            ("cfg/pong", "ping"),
            ("shared/deep", "../far/away"),
        ];
        let texts = texts.map(|(path, text)| (path.into(), text.to_owned()));
        let texts = BTreeMap::from(texts);
        for (path, expected) in [
            ("cfg/plain", Some("cfg/plain")),
            ("cfg/shared", Some("shared")),
            // A `..` behind a link is the folder above where it leads.
            ("cfg/a.yaml", Some("far/a.yaml")),
            ("cfg/up", Some("")),
            ("cfg/gone", Some("cfg/nothing")),
            ("cfg/out", None),
            ("cfg/root", None),
            ("cfg/loop", None),
            ("cfg/ping", None),
        ] {
            let end = end(&texts, Path::new(path));
            assert_eq!(end.as_deref(), expected.map(Path::new), "{path}");
        }
    }

    #[test]
    fn what_is_read_is_what_a_folder_would_give() {
        let file = || Entry::File(String::new(), 0);
        let link = || Entry::Link(String::new());
        let tree = [
            ("cfg/a.yaml", file()),
            ("cfg/b.txt", file()),
            ("cfg/link.yaml", link()),
            ("cfg/notes", link()),
            ("cfg/.data/c.yaml", file()),
            ("cfg/c.yaml", link()),
            ("cfg/shared", link()),
            ("cfg/module", Entry::Submodule),
            ("elsewhere/e.yaml", file()),
            ("shared/s.yaml", file()),
            ("shared/.hidden.yaml", file()),
            ("shared/back", link()),
        ];
        let tree = tree.map(|(path, entry)| (path.into(), entry));
        let texts = [
            ("cfg/link.yaml", "b.txt"),
            ("cfg/notes", "b.txt"),
            ("cfg/c.yaml", ".data/c.yaml"),
            ("cfg/shared", "../shared"),
            ("shared/back", "../cfg"),
        ];
        let texts = texts.map(|(path, text)| (path.into(), text.to_owned()));
        let taken = follow(&tree.into(), &texts.into(), Path::new("cfg"));
        let links = [
            ("cfg/c.yaml", "cfg/.data/c.yaml"),
            ("cfg/link.yaml", "cfg/b.txt"),
            ("cfg/shared", "shared"),
            ("shared/back", "cfg"),
        ];
        let files = [
            "cfg/.data/c.yaml",
            "cfg/a.yaml",
            "cfg/b.txt",
            "shared/s.yaml",
        ];
        let expected = Taken {
            files: files.map(PathBuf::from).into(),
            links: links.map(|(link, end)| (link.into(), end.into())).into(),
            passed_over: vec!["cfg/module".into()],
        };
        assert_eq!(taken, expected);
    }
}
