//! `weir generate`: pages derived from the program itself, so that they cannot say anything else than it does.
//!
//! What is committed under `docs/reference` is this command's output; a test holds the two together.

use std::fmt::Write;
use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::CommandFactory;

use crate::cli::{Cli, GenerateArgs, Generated, ReferenceArgs};
use crate::output;

/// Writes the page, or prints it.
pub(crate) fn generate(args: GenerateArgs) -> Result<ExitCode> {
    let GenerateArgs {
        what: Generated::Reference(ReferenceArgs { out }),
    } = args;
    let page = command_line()?;
    match out {
        None => output::print(&page)?,
        Some(folder) => {
            let file = folder.join("command-line.md");
            fs::create_dir_all(&folder)
                .and_then(|()| fs::write(&file, page))
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The help of every command, one section each.
fn command_line() -> Result<String> {
    // The width of the terminal and the values of variables are those of the machine that writes the page.
    let mut root = Cli::command()
        .term_width(100)
        .mut_args(|argument| argument.hide_env_values(true));
    root.build();
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
