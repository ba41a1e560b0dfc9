//! `weir completion`: the script with which a shell completes commands and flags.

use std::process::ExitCode;

use anyhow::Result;
use clap::CommandFactory;

use crate::cli::{Cli, CompletionArgs};
use crate::output;

/// Prints the script.
pub(crate) fn completion(args: &CompletionArgs) -> Result<ExitCode> {
    let CompletionArgs { shell } = *args;
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "weir", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
