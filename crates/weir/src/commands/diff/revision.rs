//! Files as they are at a revision of a git repository, read with git's command line.
//!
//! Git is only asked: nothing is fetched, checked out or written in the repository. The files go to a temporary folder,
//! with links to each other as the repository has them.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use tempfile::TempDir;

use super::links::{self, Entry, Taken, Tree};

/// The most files that are taken from a revision.
const MAX_FILES: usize = 50_000;
/// The most bytes of them all.
const MAX_BYTES: u64 = 512 * 1024 * 1024;
/// The most bytes of git's list of files, those included that are not taken.
const MAX_LIST_BYTES: u64 = 128 * 1024 * 1024;
/// The most bytes of an answer in a few words.
const MAX_WORDS_BYTES: u64 = 64 * 1024;

/// A path at a revision.
#[derive(Debug, PartialEq)]
pub(super) struct Revision {
    /// A branch, a tag, a commit, or what else git takes for one.
    revision: String,
    /// As the user wrote it: from the folder that weir runs in.
    path: PathBuf,
}

/// The files of a path at a revision. They are removed when this is dropped.
#[derive(Debug)]
pub(super) struct Files {
    _folder: TempDir,
    path: PathBuf,
    passed_over: Vec<PathBuf>,
}

impl Revision {
    /// A path at a revision.
    ///
    /// # Errors
    /// When it cannot be one. Git would take what begins with `-` for an option.
    pub(super) fn new(revision: &str, path: &str) -> Result<Self> {
        ensure!(
            !revision.is_empty() && !revision.starts_with('-'),
            "`git:{revision}` names no revision; write git:REV, such as git:main"
        );
        Ok(Self {
            revision: revision.to_owned(),
            path: path.into(),
        })
    }

    /// Takes the files out of the repository.
    ///
    /// # Errors
    /// When there is no git, no repository, no such revision, no such path in it, or too much of it.
    pub(super) fn files(&self) -> Result<Files> {
        let Self { revision, path } = self;
        let (from, rest) = existing(path)?;
        let git = Git { from: &from };
        git.words(&["rev-parse", "--git-dir"], "", || {
            format!("{} is in no git repository", path.display())
        })?;
        let commit = git.words(
            &["rev-parse", "--verify"],
            format!("{revision}^{{commit}}"),
            || format!("there is no revision {revision} in the git repository"),
        )?;
        let mut at = OsString::from(format!("{commit}:./"));
        at.push(rest.as_os_str());
        let object = git.words(&["rev-parse", "--verify"], at, || {
            format!("there is no {} at {revision}", path.display())
        })?;
        let folder = tempfile::Builder::new()
            .prefix("weir-diff-")
            .tempdir()
            .context("cannot make a temporary folder")?;
        let kind = git.words(&["cat-file", "-t"], &object, || {
            format!("cannot read {} at {revision}", path.display())
        })?;
        let (path, passed_over) = match &*kind {
            "tree" => {
                let is_read = |path: &Path| links::is_seen(path) && weir_provider::is_read(path);
                let mut tree = git.list(&object, is_read)?;
                let mut below = PathBuf::new();
                let mut texts = BTreeMap::new();
                let is_link = |(path, entry): (&PathBuf, &Entry)| {
                    matches!(entry, Entry::Link(_)) && links::is_seen(path)
                };
                if tree.iter().any(is_link) {
                    // Links may lead to all that the commit has.
                    let prefix = git.words(&["rev-parse", "--show-prefix"], "", || {
                        format!("cannot tell where {} is in its repository", path.display())
                    })?;
                    below = Path::new(&prefix).join(rest);
                    tree = git.list(&commit, |_| true)?;
                    texts = git.links(&tree)?;
                }
                let taken = links::follow(&tree, &texts, &below);
                // As components, so that no slash stands at its end.
                let path: PathBuf = inside(folder.path(), &below)?.components().collect();
                fs::create_dir_all(&path)?;
                git.take(&tree, &taken, folder.path())?;
                let from_path = |it: &PathBuf| it.strip_prefix(&below).unwrap_or(it).to_owned();
                (path, taken.passed_over.iter().map(from_path).collect())
            }
            "blob" => {
                let name = path.file_name().context("the path has no file name")?;
                git.copy(&[(&object, Path::new(name))], folder.path())?;
                (folder.path().join(name), Vec::new())
            }
            other => bail!("{} is a {other} at {revision}", path.display()),
        };
        Ok(Files {
            _folder: folder,
            path,
            passed_over,
        })
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { revision, path } = self;
        write!(f, "git:{revision}:{}", path.display())
    }
}

impl Files {
    /// The file or folder to be read.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Links that lead out of the repository, and submodules, from the path where they lie below it. In a folder they would
    /// be followed.
    pub(super) fn passed_over(&self) -> &[PathBuf] {
        &self.passed_over
    }
}

/// The nearest folder to a path that exists now, and the rest of the path. What is at a revision may be gone since;
/// where the path leads over a link now, it does so at the revision.
fn existing(path: &Path) -> Result<(PathBuf, PathBuf)> {
    let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned());
    for from in path.ancestors() {
        let folder = if from.as_os_str().is_empty() {
            Path::new(".")
        } else {
            from
        };
        if folder.is_dir() {
            let rest = path.strip_prefix(from).unwrap_or(Path::new(""));
            return Ok((folder.to_owned(), rest.to_owned()));
        }
    }
    Err(anyhow!("no folder on the way to {} exists", path.display()))
}

/// Git, asked from a folder.
#[derive(Debug)]
struct Git<'a> {
    from: &'a Path,
}

impl Git<'_> {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        command
            .arg("-C")
            .arg(self.from)
            .args(args)
            // Neither a password nor a missing object is to be asked for.
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        command
    }

    /// Asks for an answer of one line; `otherwise` says what it means when there is none.
    fn words(
        &self,
        args: &[&str],
        last: impl AsRef<OsStr>,
        otherwise: impl FnOnce() -> String,
    ) -> Result<String> {
        let mut command = self.command(args);
        if !last.as_ref().is_empty() {
            command.arg(last);
        }
        let mut answer = String::new();
        let read = run(command, |stdout| {
            stdout
                .take(MAX_WORDS_BYTES)
                .read_to_string(&mut answer)
                .map_err(Into::into)
        });
        read.with_context(otherwise)?;
        Ok(answer.trim_end().to_owned())
    }

    /// What a tree has: of its files those that are wanted, and all links and submodules.
    fn list(&self, tree: &str, wanted: impl Fn(&Path) -> bool) -> Result<Tree> {
        let mut listed = Tree::new();
        let command = self.command(&["ls-tree", "-r", "-z", "--long", "--full-tree", tree]);
        run(command, |stdout| {
            let mut list = BufReader::new(stdout.take(MAX_LIST_BYTES));
            let mut entry = Vec::new();
            while list.read_until(0, &mut entry)? > 0 {
                ensure!(
                    entry.pop() == Some(0),
                    "there are too many files: name a folder with fewer"
                );
                let text = String::from_utf8_lossy(&entry);
                let (about, path) = text
                    .split_once('\t')
                    .context("git lists its files in a form that is not known")?;
                let about: Vec<&str> = about.split_ascii_whitespace().collect();
                let &[mode, _, object, size] = &*about else {
                    bail!("git lists its files in a form that is not known");
                };
                let path = Path::new(path);
                let entry_there = match mode {
                    "120000" => Some(Entry::Link(object.to_owned())),
                    "160000" => Some(Entry::Submodule),
                    _ if wanted(path) => {
                        let size = size.parse().context("a file has no size")?;
                        Some(Entry::File(object.to_owned(), size))
                    }
                    _ => None,
                };
                listed.extend(entry_there.map(|it| (path.to_owned(), it)));
                entry.clear();
            }
            Ok(())
        })
        .context("cannot list its files")?;
        Ok(listed)
    }

    /// Where the links of a tree lead, as they have it.
    fn links(&self, tree: &Tree) -> Result<BTreeMap<PathBuf, String>> {
        let links = tree.iter().filter_map(|(path, entry)| match entry {
            Entry::Link(object) => Some((object.as_str(), path.as_path())),
            Entry::File(..) | Entry::Submodule => None,
        });
        let links: Vec<_> = links.collect();
        ensure!(
            links.len() <= MAX_FILES,
            "there are more than {MAX_FILES} links in the repository"
        );
        let mut texts = BTreeMap::new();
        self.contents(&links, |path, size, content| {
            ensure!(
                size <= MAX_WORDS_BYTES,
                "the link {} is too long",
                path.display()
            );
            let mut text = Vec::new();
            content.read_to_end(&mut text)?;
            let text = String::from_utf8_lossy(&text).into_owned();
            texts.insert(path.to_owned(), text);
            Ok(())
        })
        .context("cannot read its links")?;
        Ok(texts)
    }

    /// Writes what is taken of a tree below a folder.
    fn take(&self, tree: &Tree, taken: &Taken, folder: &Path) -> Result<()> {
        let Taken {
            files,
            links,
            passed_over: _,
        } = taken;
        let mut bytes = 0;
        let mut objects = Vec::new();
        for path in files {
            if let Some(Entry::File(object, size)) = tree.get(path) {
                bytes += size;
                objects.push((object.as_str(), path.as_path()));
            }
        }
        ensure!(
            objects.len() <= MAX_FILES && bytes <= MAX_BYTES,
            "there are more than {MAX_FILES} files, or {} MiB: name a folder with fewer",
            MAX_BYTES / 1024 / 1024
        );
        self.copy(&objects, folder)?;
        for (link, end) in links {
            let link = inside(folder, link)?;
            symlink(inside(folder, end)?, &link)
                .with_context(|| format!("cannot make the link {}", link.display()))?;
        }
        Ok(())
    }

    /// Writes contents, by git's names for them, to files below a folder.
    fn copy(&self, files: &[(&str, &Path)], folder: &Path) -> Result<()> {
        self.contents(files, |path, size, content| {
            ensure!(size <= MAX_BYTES, "{} is too large", path.display());
            let mut file = fs::File::create(inside(folder, path)?)?;
            std::io::copy(content, &mut file)?;
            Ok(())
        })
        .context("cannot copy its files")
    }

    /// Calls `each` with the path, the size and the content of each object.
    fn contents(
        &self,
        objects: &[(&str, &Path)],
        mut each: impl FnMut(&Path, u64, &mut dyn Read) -> Result<()>,
    ) -> Result<()> {
        // A file, so that git never waits for questions while answers wait to be read.
        let mut questions = tempfile::tempfile().context("cannot make a temporary file")?;
        for (object, _) in objects {
            writeln!(questions, "{object}").context("cannot write a temporary file")?;
        }
        questions.rewind()?;
        let mut command = self.command(&["cat-file", "--batch"]);
        command.stdin(questions);
        run(command, |stdout| {
            let mut answers = BufReader::new(stdout);
            for (_, path) in objects {
                let mut head = String::new();
                (&mut answers).take(MAX_WORDS_BYTES).read_line(&mut head)?;
                let size = head.trim_end().rsplit(' ').next();
                let size: u64 = size
                    .and_then(|it| it.parse().ok())
                    .with_context(|| format!("git does not have {}", path.display()))?;
                each(path, size, &mut (&mut answers).take(size))?;
                let mut newline = [0];
                answers.read_exact(&mut newline)?;
            }
            Ok(())
        })
    }
}

/// A path below a folder, in a folder that is there. Trees that were not made by git may hold anything.
fn inside(folder: &Path, path: &Path) -> Result<PathBuf> {
    let plain = path
        .components()
        .all(|it| matches!(it, Component::Normal(_)));
    ensure!(plain, "{} is not a path below a folder", path.display());
    let path = folder.join(path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    Ok(path)
}

/// Runs git, and reads what it writes. What it complains about becomes the error.
fn run<T>(mut command: Command, read: impl FnOnce(&mut dyn Read) -> Result<T>) -> Result<T> {
    let mut complaints = tempfile::tempfile().context("cannot make a temporary file")?;
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(complaints.try_clone()?)
        .spawn()
        .map_err(|error| {
            if error.kind() == ErrorKind::NotFound {
                anyhow!("git is not installed, or not on the path")
            } else {
                anyhow!("cannot run git: {error}")
            }
        })?;
    let mut stdout = child.stdout.take().expect("it is piped");
    let outcome = read(&mut stdout);
    // Where not all was read, git ends at the closed pipe.
    drop(stdout);
    let status = child.wait().context("cannot wait for git")?;
    let result = outcome?;
    if status.success() {
        return Ok(result);
    }
    let mut text = String::new();
    complaints.rewind()?;
    (&mut complaints)
        .take(MAX_WORDS_BYTES)
        .read_to_string(&mut text)?;
    let text = text.trim().trim_start_matches("fatal: ");
    bail!(if text.is_empty() {
        format!("git ended with {status}")
    } else {
        format!("git says: {text}")
    })
}
