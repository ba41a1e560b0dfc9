//! `weir diff`: which routes get another effective policy by a change, and which policies another status.

mod links;
mod markdown;
mod revision;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail, ensure};
use clap::builder::styling::{AnsiColor, Style};
use serde::Serialize;
use weir_resolve::Severity;
use weir_resolve::diff::Difference;

use crate::cli::{DataFormat, DiffArgs, DiffFormat, ReadingArgs};
use crate::configuration::Configuration;
use crate::findings::{self, Finding};
use crate::output;
use revision::Revision;

/// The most errors of a side that are printed; `weir check` prints all.
const MAX_ERRORS: usize = 20;

/// Prints the difference; 1 where there is one.
pub(crate) fn diff(args: DiffArgs) -> Result<ExitCode> {
    let DiffArgs {
        old,
        new,
        reading,
        output: format,
    } = args;
    let (old_side, new_side) = sides(&old, &new)?;
    let old_side = read(&old, &old_side, &reading)?;
    let new_side = read(&new, &new_side, &reading)?;
    let report = Report {
        errors: Errors {
            old: warn(&old, &old_side.errors)?,
            new: warn(&new, &new_side.errors)?,
        },
        old,
        new,
        difference: weir_resolve::diff::diff(
            &old_side.configuration.resolution,
            &new_side.configuration.resolution,
        ),
    };
    output::print(&match format {
        DiffFormat::Text => coloured(&report.difference.to_string()),
        DiffFormat::Yaml => output::data(&report, DataFormat::Yaml)?,
        DiffFormat::Json => output::data(&report, DataFormat::Json)?,
        DiffFormat::Markdown => markdown::markdown(&report),
    })?;
    Ok(if report.difference.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The difference, and between what.
#[derive(Debug, Serialize)]
struct Report {
    /// The sides as the user named them.
    old: String,
    new: String,
    errors: Errors,
    #[serde(flatten)]
    difference: Difference,
}

/// How many errors there are in the files of each side. What they are about is not compared.
#[derive(Debug, Serialize)]
struct Errors {
    old: usize,
    new: usize,
}

/// What is compared.
#[derive(Debug, PartialEq)]
enum Side {
    /// A file, a folder, or `-`.
    Files(PathBuf),
    /// A path at a revision.
    Revision(Revision),
}

/// What is on the two sides. A revision without a path takes that of the other side.
fn sides(old: &str, new: &str) -> Result<(Side, Side)> {
    ensure!(
        (old, new) != ("-", "-"),
        "only one side can be read from standard input"
    );
    let side = |text: &str, other: &str| -> Result<Side> {
        let Some(named) = text.strip_prefix("git:") else {
            return Ok(Side::Files(text.into()));
        };
        let (revision, path) = match named.split_once(':') {
            Some((revision, path)) => (revision, Some(path)),
            None => (named, None),
        };
        let of_other = match other.strip_prefix("git:") {
            Some(other) => other.split_once(':').map(|(_, path)| path),
            None => Some(other),
        };
        let path = match path.or(of_other) {
            Some("-") => {
                bail!("standard input has no path at a revision; name one: git:{revision}:PATH")
            }
            Some("") => bail!("{text} names no path; leave the last colon out, or name one"),
            Some(path) => path,
            None => bail!("neither side names a path; name one: git:{revision}:PATH"),
        };
        Ok(Side::Revision(Revision::new(revision, path)?))
    };
    Ok((side(old, new)?, side(new, old)?))
}

/// A side that was read, and the errors in its files.
struct Read {
    configuration: Configuration,
    errors: Vec<Finding>,
}

fn read(name: &str, side: &Side, reading: &ReadingArgs) -> Result<Read> {
    let (configuration, names) = match side {
        Side::Files(path) => {
            let paths = [path.clone()];
            (Configuration::read(&paths, reading.clone())?, None)
        }
        Side::Revision(revision) => {
            let files = output::with_progress("reading", || revision.files())
                .with_context(|| format!("cannot read {name}"))?;
            if let [first, ..] = files.passed_over() {
                writeln!(
                    std::io::stderr(),
                    "weir: warning: links that lead out of the repository, and submodules, are not followed at a revision: {} in {revision}, such as {}",
                    files.passed_over().len(),
                    first.display()
                )
                .context("cannot write to standard error")?;
            }
            let paths = [files.path().to_owned()];
            let configuration = Configuration::read(&paths, reading.clone())?;
            (
                configuration,
                Some((files.path().display().to_string(), revision.to_string())),
            )
        }
    };
    // Of files only: what is wrong beyond them (a policy that is invalid or loses to another) is part of the comparison.
    let errors = configuration
        .loaded
        .findings
        .iter()
        .filter(|it| it.severity == Severity::Error);
    let mut errors: Vec<Finding> = errors.map(findings::of_file).collect();
    errors.sort();
    errors.dedup();
    // What came from a revision is called by that, not by the temporary file that it was read from.
    if let Some((path, name)) = names {
        for location in errors.iter_mut().filter_map(|it| it.location.as_mut()) {
            if let Some(rest) = location.file.strip_prefix(&path) {
                location.file = format!("{name}{rest}");
            }
        }
    }
    Ok(Read {
        configuration,
        errors,
    })
}

/// Prints the errors of a side as warnings, and returns how many there are.
fn warn(side: &str, errors: &[Finding]) -> Result<usize> {
    let mut text = String::new();
    for finding in errors.iter().take(MAX_ERRORS) {
        let _ = writeln!(text, "weir: warning: {finding}");
    }
    if let Some(more) = errors
        .len()
        .checked_sub(MAX_ERRORS)
        .filter(|more| *more > 0)
    {
        let _ = writeln!(
            text,
            "weir: warning: {side} has {more} more errors; `weir check` prints those of files"
        );
    }
    let mut out = std::io::stderr().lock();
    out.write_all(text.as_bytes())
        .context("cannot write to standard error")?;
    Ok(errors.len())
}

/// The text form with the colours of a diff. Headings begin at the margin.
fn coloured(text: &str) -> String {
    let mut coloured = String::with_capacity(text.len());
    for line in text.lines() {
        let style = if line.starts_with("    - ") {
            AnsiColor::Red.on_default()
        } else if line.starts_with("    + ") {
            AnsiColor::Green.on_default()
        } else if line.starts_with(' ') || line.is_empty() {
            Style::new()
        } else {
            Style::new().bold()
        };
        let _ = writeln!(coloured, "{style}{line}{style:#}");
    }
    coloured
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compared() {
        let files = |path: &str| Side::Files(path.into());
        let at = |revision: &str, path: &str| {
            Side::Revision(Revision::new(revision, path).expect("it is well-formed"))
        };
        let cases = [
            ("old", "new", Some((files("old"), files("new")))),
            ("old", "-", Some((files("old"), files("-")))),
            ("git:main", "new", Some((at("main", "new"), files("new")))),
            ("old", "git:v1", Some((files("old"), at("v1", "old")))),
            ("git:main:a", "new", Some((at("main", "a"), files("new")))),
            (
                "git:v1:a",
                "git:main",
                Some((at("v1", "a"), at("main", "a"))),
            ),
            ("git:main:a", "-", Some((at("main", "a"), files("-")))),
            ("-", "-", None),
            ("git:main", "-", None),
            ("git:main", "git:v1", None),
            ("git:main:", "new", None),
            ("git:", "new", None),
            ("git:--output=x", "new", None),
        ];
        for (old, new, expected) in cases {
            assert_eq!(sides(old, new).ok(), expected, "{old} {new}");
        }
    }
}
