//! The process's log, on standard error.

use std::io;

use anyhow::{Context as _, Result};
use tracing_subscriber::EnvFilter;

use crate::cli::{LogArgs, LogFormat};

/// Starts logging.
///
/// # Errors
/// When the level is no filter; the command line has looked at it.
pub(crate) fn init(args: &LogArgs, default_level: &str) -> Result<()> {
    let LogArgs {
        log_level,
        log_format,
    } = args;
    let level = log_level
        .as_deref()
        .filter(|it| !it.is_empty())
        .unwrap_or(default_level);
    let filter = EnvFilter::try_new(level)
        .with_context(|| format!("the log level {level:?} is no filter"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    match log_format {
        LogFormat::Json => builder.json().flatten_event(true).init(),
        LogFormat::Text => builder.with_ansi(colours()).with_target(false).init(),
    }
    Ok(())
}

fn colours() -> bool {
    anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never
}
