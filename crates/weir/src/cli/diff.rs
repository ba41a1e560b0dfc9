//! The flags of `weir diff`.

use clap::{Args, ValueEnum};

use super::ReadingArgs;

/// Say which routes get another effective policy by a change, field by field, and which policies another status.
///
/// What routes match and where they forward to is not compared.
#[derive(Debug, Args)]
#[command(after_help = "\
Revisions are read from the git repository that the path lies in; nothing is fetched, checked out or
written there. What is broken in files is reported on standard error and left out of the comparison.

Exit codes: 0 nothing changes, 1 something changes, 2 could not run.

Examples:
  weir diff ./old ./new
  weir diff git:main ./gateway                     what is in the folder, against the branch `main`
  weir diff git:v1.0:gateway git:main:gateway
  kustomize build . | weir diff ./rendered.yaml -
  weir diff git:origin/main ./gateway -o markdown  to be posted on a pull request")]
pub(crate) struct DiffArgs {
    /// What there was: a folder or file, `-` for standard input, or `git:REV` for the path of the other side at a
    /// revision of its git repository (`git:REV:PATH` for another one).
    #[arg(value_name = "OLD")]
    pub(crate) old: String,
    /// What there is to be, likewise.
    #[arg(value_name = "NEW")]
    pub(crate) new: String,
    #[command(flatten)]
    pub(crate) reading: ReadingArgs,
    /// How it is written.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: DiffFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DiffFormat {
    Text,
    Yaml,
    Json,
    /// For a pull request: at most what fits into a comment.
    Markdown,
}
