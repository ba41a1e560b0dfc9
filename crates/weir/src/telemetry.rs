//! The process's log, on standard error, and how loud it is.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::cli::{LogArgs, LogFormat, log_level};

/// What is logged, for as long as the process lives or until it is told otherwise.
#[derive(Clone)]
pub(crate) struct LogControl {
    filter: reload::Handle<EnvFilter, Registry>,
    level: Arc<Mutex<String>>,
}

/// Starts logging.
///
/// # Errors
/// When the level is no filter; the command line has looked at it.
pub(crate) fn init(args: &LogArgs, default_level: &str) -> Result<LogControl> {
    let LogArgs {
        log_level,
        log_format,
    } = args;
    let level = log_level
        .as_deref()
        .filter(|it| !it.is_empty())
        .unwrap_or(default_level);
    let filter = filter(level).with_context(|| format!("the log level {level:?} is no filter"))?;
    let (filter, handle) = reload::Layer::new(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    match log_format {
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).init(),
        LogFormat::Text => registry
            .with(lines.with_ansi(colours()).with_target(false))
            .init(),
    }
    Ok(LogControl {
        filter: handle,
        level: Arc::new(Mutex::new(level.to_owned())),
    })
}

/// What a level or a filter lets through. Of the library for HTTP/2 only errors, unless the filter names it: it warns of
/// what clients send, who could fill the log by that. What the client of a cluster says is said by us, once and in words.
fn filter(text: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::try_new(format!("h2=error,kube_client=off,kube_runtime=off,{text}"))
}

impl LogControl {
    /// What is logged now: a level or a filter.
    pub(crate) fn level(&self) -> String {
        let level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        level.clone()
    }

    /// Logs something else from now on.
    ///
    /// # Errors
    /// When the text is neither a level nor a filter.
    pub(crate) fn set_level(&self, text: &str) -> Result<(), String> {
        let text = log_level(text)?;
        let filter = filter(&text).map_err(|error| error.to_string())?;
        self.filter
            .reload(filter)
            .map_err(|error| error.to_string())?;
        *self.level.lock().unwrap_or_else(PoisonError::into_inner) = text;
        Ok(())
    }
}

impl fmt::Debug for LogControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogControl").field(&self.level()).finish()
    }
}

fn colours() -> bool {
    anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_make_the_library_say_is_logged_where_it_is_asked_for() {
        for (text, level) in [
            ("info", "h2=error"),
            ("info,weir_proxy=debug", "h2=error"),
            ("info,h2=debug", "h2=debug"),
        ] {
            let filter = filter(text).unwrap().to_string();
            let directives: Vec<&str> = filter.split(',').collect();
            assert!(directives.contains(&level), "{text}: {filter}");
            assert!(directives.contains(&"info"), "{text}: {filter}");
            let about_h2 = directives.iter().filter(|it| it.starts_with("h2="));
            assert_eq!(about_h2.count(), 1, "{text}: {filter}");
        }
        assert!(filter("h2=[").is_err());
    }
}
