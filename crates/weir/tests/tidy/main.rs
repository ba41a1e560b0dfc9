//! The rules of the house that a machine can keep, so that reviewers need not.
//!
//! Each test collects every place that breaks its rule and says what to do about it. `CONTRIBUTING.md` gives the
//! reasons.

mod cases;
mod packages;
mod papers;
mod runbook;
mod sources;

use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the checkout.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("crates/weir lies two levels below the root")
        .to_owned()
}

/// A text file of the project.
struct File {
    /// Its path below the root, with `/` between the parts.
    path: String,
    text: String,
}

impl File {
    fn name(&self) -> &str {
        self.path
            .rsplit('/')
            .next()
            .expect("split gives at least one part")
    }

    /// Its lines with their numbers, from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }
}

/// All text files of the project: what git tracks, and what it would track after `git add`.
fn files() -> Vec<File> {
    let listed = Command::new("git")
        // A checkout that belongs to another user, as in a container, is read all the same.
        .args(["-c", "safe.directory=*"])
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root())
        .output()
        .expect("git is installed (scripts/test sees to it)");
    assert!(
        listed.status.success(),
        "git ls-files failed; run the tests in a clone: {}",
        String::from_utf8_lossy(&listed.stderr)
    );
    let listed = String::from_utf8(listed.stdout).expect("paths are UTF-8");
    let files: Vec<File> = listed
        .split_terminator('\0')
        .filter_map(|path| {
            // A file may be deleted and not yet staged, or not be text: neither has lines to look at.
            let text = std::fs::read_to_string(root().join(path)).ok()?;
            Some(File {
                path: path.to_owned(),
                text,
            })
        })
        .collect();
    assert!(
        files.len() > 50,
        "only {} files: is this the whole project?",
        files.len()
    );
    files
}

/// Fails with all places, and what to do about them.
#[track_caller]
fn none_of(broken: &[String], advice: &str) {
    assert!(
        broken.is_empty(),
        "{} place(s): {advice}\n  {}\n",
        broken.len(),
        broken.join("\n  ")
    );
}
