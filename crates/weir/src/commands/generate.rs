//! `weir generate`: pages derived from the program itself, so that they cannot say anything else than it does.
//!
//! What is committed under `docs/reference` and `deploy/crds` is this command's output; a test holds the two together.

mod kinds;

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::CommandFactory;
use weir_resolve::crd::Definition;

use crate::cli::{Cli, CrdsArgs, DataFormat, GenerateArgs, Generated, ManArgs, ReferenceArgs};
use crate::output;

/// Writes what is asked for, or prints it.
pub(crate) fn generate(args: GenerateArgs) -> Result<ExitCode> {
    let GenerateArgs { what } = args;
    match what {
        Generated::Reference(ReferenceArgs { out }) => {
            let mut files = vec![("command-line.md".to_owned(), command_line()?)];
            files.extend(kinds::pages());
            write(out, &files)
        }
        Generated::Crds(CrdsArgs { out }) => write(out, &crds()?),
        Generated::Man(ManArgs { out }) => write(out, &manual()?),
    }
}

/// Writes files into a folder, or prints them one after the other.
fn write(folder: Option<PathBuf>, files: &[(String, String)]) -> Result<ExitCode> {
    let Some(folder) = folder else {
        for (_, text) in files {
            output::print(text)?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (name, text) in files {
        let file = folder.join(name);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Each definition as a document of YAML.
fn crds() -> Result<Vec<(String, String)>> {
    let file = |Definition { name, definition }: Definition| {
        let text = output::data(&definition, DataFormat::Yaml)?;
        let head = "# Written by `weir generate crds --out deploy/crds`; do not edit.\n---\n";
        Ok((format!("{name}.yaml"), format!("{head}{text}")))
    };
    weir_resolve::crd::definitions()
        .into_iter()
        .map(file)
        .collect()
}

/// The command line, without what is of the machine that writes its pages: the width of the terminal and the values of
/// variables.
fn commands() -> clap::Command {
    let mut root = Cli::command()
        .term_width(100)
        .mut_args(|argument| argument.hide_env_values(true));
    root.build();
    root
}

/// `weir.1`, and a page for each command below it.
fn manual() -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    let mut waiting = vec![commands()];
    while let Some(command) = waiting.pop() {
        let mut page = Vec::new();
        let man = clap_mangen::Man::new(command.clone());
        let name = man.get_filename();
        man.render(&mut page)
            .context("cannot write a manual page")?;
        files.push((name, String::from_utf8_lossy(&page).into_owned()));
        let below = command
            .get_subcommands()
            .filter(|it| it.get_name() != "help");
        waiting.extend(below.cloned());
    }
    files.sort();
    Ok(files)
}

/// The help of every command, one section each.
fn command_line() -> Result<String> {
    let mut root = commands();
    let mut page = "# Command line\n\nWritten by `weir generate reference --out docs/reference`; do not edit.\n".to_owned();
    section(&mut page, &mut root, "weir")?;
    Ok(page)
}

fn section(page: &mut String, command: &mut clap::Command, name: &str) -> Result<()> {
    writeln!(page, "\n## `{name}`\n\n```text")?;
    for line in command.render_long_help().to_string().trim_end().lines() {
        writeln!(page, "{}", line.trim_end())?;
    }
    writeln!(page, "```")?;
    for child in command
        .get_subcommands_mut()
        .filter(|it| it.get_name() != "help")
    {
        let name = format!("{name} {}", child.get_name());
        section(page, child, &name)?;
    }
    Ok(())
}
