//! Signals that end the process: the first asks it to drain, a second one to stop at once.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long after the first signal a further one does not count.
const ECHO: Duration = Duration::from_millis(50);

/// The signals that end the process. From its creation on they do nothing by themselves.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

/// A signal that ends the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Terminate,
    Interrupt,
}

impl Stop {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
        }
    }

    /// The exit code of a process that such a signal stopped, as shells count.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Terminate => 128 + 15,
            Self::Interrupt => 128 + 2,
        }
    }
}

impl Signals {
    /// Takes the signals over. Needs a runtime.
    pub(crate) fn listen() -> Result<Self> {
        let take = |kind| signal(kind).context("cannot take over SIGTERM and SIGINT");
        Ok(Self {
            terminate: take(SignalKind::terminate())?,
            interrupt: take(SignalKind::interrupt())?,
        })
    }

    /// Waits for another one after the first. `timeout` and some supervisors signal a process and then its group; what
    /// follows the first so closely is the same request to stop.
    pub(crate) async fn another(&mut self) -> Stop {
        let echo = tokio::time::sleep(ECHO);
        tokio::pin!(echo);
        loop {
            tokio::select! {
                () = &mut echo => return self.next().await,
                _ = self.next() => {}
            }
        }
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) -> Stop {
        tokio::select! {
            _ = self.terminate.recv() => Stop::Terminate,
            _ = self.interrupt.recv() => Stop::Interrupt,
        }
    }
}
