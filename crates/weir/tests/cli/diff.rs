//! `weir diff`: files, folders and revisions of a git repository, the forms of its output, and the exit codes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::golden::golden;
use crate::process::{output, weir, workspace};

const OLD: &str = "crates/weir/tests/cli/input/diff/old.yaml";
const NEW: &str = "crates/weir/tests/cli/input/diff/new.yaml";

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("it is text")
}

fn complaints(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("it is text")
}

#[test]
fn a_change_as_text_data_and_markdown() {
    for (format, file) in [("text", "txt"), ("json", "json"), ("markdown", "md")] {
        let diff = output(&["diff", OLD, NEW, "-o", format]);
        assert_eq!(diff.status.code(), Some(1), "{}", complaints(&diff));
        golden(&format!("diff.{file}"), &text(&diff));
        if format == "json" {
            let json: Value = serde_json::from_str(&text(&diff)).expect("it is JSON");
            assert_eq!(json["blastRadius"]["listeners"]["of"], 2);
        }
    }
}

#[test]
fn no_change() {
    for format in ["text", "json", "markdown"] {
        let diff = output(&["diff", OLD, OLD, "-o", format]);
        assert_eq!(diff.status.code(), Some(0), "{format}");
        assert!(!text(&diff).is_empty());
        assert_eq!(complaints(&diff), "");
    }
}

#[test]
fn errors_are_warnings_and_what_is_admitted_is_compared() {
    let broken = "crates/weir/tests/cli/input/broken";
    let diff = output(&["diff", "crates/weir/tests/cli/input/clean", broken]);
    assert_eq!(diff.status.code(), Some(1));
    let warnings = complaints(&diff);
    // Those in files, and no others: what is served or resolves is part of the comparison.
    golden("diff-warnings.txt", &warnings);
    assert!(text(&diff).contains("removed: HTTPRoute/default/shop"));
}

/// A repository whose first commit has the old file as `gateway/config.yaml`, and whose folder has the new one.
struct Repository(tempfile::TempDir);

impl Repository {
    fn new() -> Self {
        let repository = Self(tempfile::tempdir().expect("a temporary folder can be had"));
        repository.git(&["init", "--quiet", "--initial-branch", "main"]);
        repository.write("gateway/config.yaml", &input(OLD));
        repository.write("gateway/.hidden.yaml", "not: read");
        repository.write("gateway/notes.txt", "nor is this");
        repository.git(&["add", "."]);
        repository.git(&["commit", "--quiet", "--message", "first"]);
        repository.write("gateway/config.yaml", &input(NEW));
        repository
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("it is in a folder"))
            .expect("a folder can be made");
        fs::write(path, text).expect("a file can be written");
    }

    fn git(&self, args: &[&str]) -> String {
        let git = command("git", self.path())
            .args(["-c", "user.name=weir", "-c", "user.email=weir@example.com"])
            .args(args)
            .output()
            .expect("git runs");
        assert!(git.status.success(), "{args:?}: {}", complaints(&git));
        text(&git)
    }

    fn diff(&self, args: &[&str]) -> Output {
        diff_in(self.path(), args)
    }
}

fn input(name: &str) -> String {
    fs::read_to_string(workspace().join(name)).expect("the input is there")
}

/// A program that does not see the git settings of the machine, nor repositories around its temporary folder.
fn command(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    surroundings(&mut command, folder);
    command
}

fn surroundings(command: &mut Command, folder: &Path) {
    command
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CEILING_DIRECTORIES", std::env::temp_dir())
        .env_remove("GIT_DIR")
        .env_remove("GIT_INDEX_FILE")
        .env_remove("GIT_WORK_TREE");
}

fn diff_in(folder: &Path, args: &[&str]) -> Output {
    let mut command = weir();
    surroundings(&mut command, folder);
    command.arg("diff").args(args).output().expect("weir runs")
}

#[test]
fn a_revision() {
    let repository = Repository::new();
    symlink("gateway/config.yaml", repository.path().join("link.yaml")).unwrap();
    let before = repository.git(&["status", "--porcelain"]);
    let expected = text(&output(&["diff", OLD, NEW]));
    for args in [
        &["git:main", "gateway"][..],
        &["git:HEAD", "./gateway/config.yaml"],
        &["git:HEAD", "link.yaml"],
        &["git:main:gateway", "gateway"],
        &["git:main:gateway/config.yaml", "gateway"],
        &["git:main", "."],
        &["git:main", repository.path().to_str().unwrap()],
    ] {
        let diff = repository.diff(args);
        assert_eq!(
            diff.status.code(),
            Some(1),
            "{args:?}: {}",
            complaints(&diff)
        );
        assert_eq!(text(&diff), expected, "{args:?}");
    }
    for args in [
        ["git:main:gateway", "git:HEAD"],
        ["git:main", "git:HEAD:gateway"],
    ] {
        let diff = repository.diff(&args);
        assert_eq!(
            diff.status.code(),
            Some(0),
            "{args:?}: {}",
            complaints(&diff)
        );
    }
    // From within a folder, and the other way round.
    let inner = diff_in(
        &repository.path().join("gateway"),
        &["git:main", "config.yaml"],
    );
    assert_eq!(text(&inner), expected, "{}", complaints(&inner));
    let back = repository.diff(&["gateway", "git:main"]);
    assert_eq!(
        text(&back),
        text(&output(&["diff", NEW, OLD])),
        "{}",
        complaints(&back)
    );
    assert_eq!(repository.git(&["status", "--porcelain"]), before);
}

#[test]
fn a_folder_that_is_gone() {
    let repository = Repository::new();
    repository.write("elsewhere/config.yaml", &input(NEW));
    fs::remove_dir_all(repository.path().join("gateway")).unwrap();
    let diff = repository.diff(&["git:main:gateway", "elsewhere"]);
    assert_eq!(text(&diff), text(&output(&["diff", OLD, NEW])));
}

#[test]
fn errors_at_a_revision_are_named_by_it() {
    let repository = Repository::new();
    repository.write("gateway/broken.yaml", "a: [");
    symlink(
        "../../config.yaml",
        repository.path().join("gateway/link.yaml"),
    )
    .unwrap();
    repository.git(&["add", "."]);
    repository.git(&["commit", "--quiet", "--message", "second"]);
    let diff = repository.diff(&["git:main", "gateway", "-o", "json"]);
    let warnings = complaints(&diff);
    for expected in [
        "weir: warning: git:main:gateway/broken.yaml:1: error[syntax]",
        "weir: warning: gateway/broken.yaml:1: error[syntax]",
        "not followed at a revision: 1 in git:main:gateway, such as link.yaml",
    ] {
        assert!(
            warnings.contains(expected),
            "{expected} is not in\n{warnings}"
        );
    }
    let json: Value = serde_json::from_str(&text(&diff)).expect("it is JSON");
    assert_eq!(json["errors"], serde_json::json!({"old": 1, "new": 1}));
    assert_eq!(diff.status.code(), Some(0));
}

#[test]
fn links_at_a_revision_are_followed_as_on_disk() {
    let repository = Repository::new();
    let at = |name: &str| repository.path().join(name);
    repository.write("gateway/config.yaml", &input(OLD));
    fs::create_dir_all(at("shared/.data")).unwrap();
    fs::rename(at("gateway/config.yaml"), at("shared/.data/config.txt")).unwrap();
    for (target, link) in [
        (".data/config.txt", "shared/config.yaml"),
        ("../gateway", "shared/back"),
        ("../shared", "gateway/shared"),
        ("shared/config.yaml", "gateway/again.yaml"),
        ("nothing", "gateway/dangling.yaml"),
    ] {
        symlink(target, at(link)).unwrap();
    }
    repository.git(&["add", "."]);
    repository.git(&["commit", "--quiet", "--message", "second"]);
    for args in [&["git:main", "gateway"], &["git:main", "."]] {
        let diff = repository.diff(args);
        assert_eq!(complaints(&diff), "", "{args:?}");
        assert_eq!(diff.status.code(), Some(0), "{args:?}: {}", text(&diff));
    }
    let inner = diff_in(&at("gateway"), &["git:main", "."]);
    assert_eq!(
        (complaints(&inner), inner.status.code()),
        (String::new(), Some(0))
    );
    repository.write("shared/.data/config.txt", &input(NEW));
    let diff = repository.diff(&["git:main", "gateway"]);
    assert_eq!(complaints(&diff), "");
    assert_eq!(text(&diff), text(&output(&["diff", OLD, NEW])));
}

#[test]
fn links_out_of_the_repository_are_not_followed_at_a_revision() {
    let repository = Repository::new();
    for (target, link) in [
        ("../..", "links/out"),
        ("/etc", "links/etc"),
        ("loop", "links/loop"),
    ] {
        fs::create_dir_all(repository.path().join("links")).unwrap();
        symlink(target, repository.path().join(link)).unwrap();
    }
    repository.git(&["add", "."]);
    repository.git(&["commit", "--quiet", "--message", "second"]);
    let diff = repository.diff(&["git:main:links", "git:main~:gateway"]);
    let expected = "not followed at a revision: 3 in git:main:links, such as etc";
    assert!(
        complaints(&diff).contains(expected),
        "{}",
        complaints(&diff)
    );
    assert_eq!(diff.status.code(), Some(1));
}

#[test]
fn what_cannot_run() {
    let repository = Repository::new();
    for (args, expected) in [
        (&["git:nope", "gateway"][..], "there is no revision nope"),
        (&["git:main:nope", "gateway"], "there is no nope at main"),
        (&["git:main", "nope"], "there is no nope at main"),
        (&["gateway", "nope"], "cannot read nope"),
        (&["git:main", "-"], "standard input has no path"),
        (&["git:main", "git:HEAD"], "neither side names a path"),
        (&["git:--help", "gateway"], "names no revision"),
        (&["-", "-"], "only one side"),
        (&["gateway"], "<NEW>"),
    ] {
        let diff = repository.diff(args);
        assert_eq!(diff.status.code(), Some(2), "{args:?}");
        let message = complaints(&diff);
        assert!(message.contains(expected), "{args:?}: {message}");
        assert_eq!(text(&diff), "");
    }
    let outside = tempfile::tempdir().unwrap();
    let diff = diff_in(outside.path(), &["git:main", "."]);
    assert_eq!(diff.status.code(), Some(2));
    let message = complaints(&diff);
    assert!(message.contains("in no git repository"), "{message}");
    let mut without_git = weir();
    surroundings(&mut without_git, repository.path());
    let diff = without_git
        .env("PATH", outside.path())
        .args(["diff", "git:main", "gateway"])
        .output()
        .expect("weir runs");
    assert_eq!(diff.status.code(), Some(2));
    let message = complaints(&diff);
    assert!(message.contains("git is not installed"), "{message}");
}
