//! Writing results to standard output, and progress to a terminal.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::ColorChoice;
use clap::builder::styling::{AnsiColor, Style};
use serde::Serialize;
use weir_resolve::Severity;

use crate::cli::{AnyFormat, DataFormat};

/// Colours what is printed from now on, or does not.
pub(crate) fn set_colors(choice: ColorChoice) {
    match choice {
        // What the terminal and the environment say.
        ColorChoice::Auto => {}
        ColorChoice::Always => anstream::ColorChoice::Always.write_global(),
        ColorChoice::Never => anstream::ColorChoice::Never.write_global(),
    }
}

/// Writes text to standard output; colours are taken out where it is no terminal, or `NO_COLOR` is set. A reader that
/// has gone away (`weir explain | head`) is no error.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A text that somebody else wrote, on one line and without what a terminal would obey.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return text.into();
    }
    let escaped = text.chars().flat_map(|c| {
        let (escaped, plain) = if c.is_control() {
            (Some(c.escape_default()), None)
        } else {
            (None, Some(c))
        };
        escaped.into_iter().flatten().chain(plain)
    });
    escaped.collect::<String>().into()
}

/// Writes a line for people to standard error, beside a result.
pub(crate) fn say(line: &str) -> Result<()> {
    writeln!(io::stderr(), "weir: {line}").context("cannot write to standard error")
}

/// A value as YAML or JSON, with a newline at its end.
pub(crate) fn data<T: Serialize>(value: &T, format: DataFormat) -> Result<String> {
    let mut text = match format {
        DataFormat::Json => serde_json::to_string_pretty(value).context("cannot write JSON")?,
        DataFormat::Yaml => serde_saphyr::to_string(value).context("cannot write YAML")?,
    };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// A value as people read it, or as data.
pub(crate) fn either<T: Serialize>(
    format: AnyFormat,
    value: &T,
    text: impl FnOnce(&T) -> String,
) -> Result<String> {
    match format {
        AnyFormat::Text => Ok(text(value)),
        AnyFormat::Yaml => data(value, DataFormat::Yaml),
        AnyFormat::Json => data(value, DataFormat::Json),
    }
}

/// The colour of a severity.
pub(crate) fn style(severity: Severity) -> Style {
    match severity {
        Severity::Error => AnsiColor::Red.on_default().bold(),
        Severity::Warning => AnsiColor::Yellow.on_default().bold(),
    }
}

/// Does something that may take long; after a second a terminal is told that it goes on, and for how long it has.
pub(crate) fn with_progress<T>(what: &str, work: impl FnOnce() -> T) -> T {
    if !io::stderr().is_terminal() {
        return work();
    }
    thread::scope(|scope| {
        // Dropped when the work is done, or panics; that ends the thread.
        let (done, ended) = mpsc::channel::<()>();
        let show = move || {
            let start = Instant::now();
            while ended.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                let _ = write!(io::stderr(), "\r{what} ({} s) ", start.elapsed().as_secs());
            }
            if start.elapsed() >= Duration::from_secs(1) {
                let _ = write!(io::stderr(), "\r\x1b[K");
            }
        };
        // Without the thread there is no progress to be seen, and nothing else is lost.
        let _ = thread::Builder::new()
            .name("weir-progress".to_owned())
            .spawn_scoped(scope, show);
        let result = work();
        drop(done);
        result
    })
}
