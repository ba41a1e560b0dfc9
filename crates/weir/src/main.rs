//! The binary: reads the command line, starts the log, and hands over to a command.

// The types of a router around those of the proxy nest deeper than the compiler looks by default.
#![recursion_limit = "256"]

mod admin;
mod asked_request;
mod certificates;
mod cli;
mod client;
mod commands;
mod configuration;
mod echo;
mod findings;
mod follow;
mod handover;
mod history;
mod in_force;
mod metrics;
mod naming;
mod output;
mod overload;
mod overrides;
mod policy_test;
mod provided;
mod question;
mod run;
mod serve;
mod shutdown;
mod system;
mod telemetry;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use weir_provider::ReadError;

use crate::cli::{Cli, Command};
use crate::telemetry::LogControl;

fn main() -> ExitCode {
    let Cli {
        command,
        log,
        color,
    } = Cli::parse();
    output::set_colors(color);
    let serves = matches!(
        command,
        Command::Quickstart(_) | Command::Run(_) | Command::Echo(_)
    );
    let outcome = telemetry::init(&log, if serves { "info" } else { "warn" })
        .and_then(|log| dispatch(command, log));
    outcome.unwrap_or_else(|error| {
        // Nobody is left to be told when standard error is gone.
        let _ = writeln!(std::io::stderr(), "weir: {}", message(&error));
        // 1 means something else to the commands that look into files: that they ran, and found it wanting.
        let could_not_run = !serves || error.is::<ReadError>();
        ExitCode::from(if could_not_run { 2 } else { 1 })
    })
}

/// An error with its causes. Some errors say their cause themselves; it is not said twice.
fn message(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn dispatch(command: Command, log: LogControl) -> Result<ExitCode> {
    match command {
        Command::Quickstart(args) => commands::quickstart::quickstart(args, log),
        Command::Run(args) => commands::run::run(*args, log),
        Command::Check(args) => commands::check::check(args),
        Command::Explain(args) => commands::explain::explain(args),
        Command::Diff(args) => commands::diff::diff(args),
        Command::Test(args) => commands::test::test(args),
        Command::Translate(args) => commands::translate::translate(args),
        Command::Rollback(args) => commands::rollback::rollback(args),
        Command::LogLevel(args) => commands::log_level::log_level(args),
        Command::SupportBundle(args) => commands::support_bundle::support_bundle(args),
        Command::Generate(args) => commands::generate::generate(args),
        Command::Completion(args) => commands::completion::completion(&args),
        Command::Echo(args) => commands::echo::echo(args),
    }
}
