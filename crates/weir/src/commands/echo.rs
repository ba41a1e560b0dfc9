//! `weir echo`: the echo backend alone.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::cli::EchoArgs;
use crate::echo;
use crate::shutdown::Signals;

/// Serves until a signal.
pub(crate) fn echo(args: EchoArgs) -> Result<ExitCode> {
    let EchoArgs { listen, name } = args;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("weir-echo")
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let listener = echo::bind(listen)?;
        let address = listener
            .local_addr()
            .context("cannot tell the address of the backend")?;
        info!(%address, name, "the echo backend listens");
        let served = echo::serve(listener, &name, CancellationToken::new());
        tokio::select! {
            served = served => served.map(|()| ExitCode::SUCCESS),
            stop = signals.next() => {
                info!(signal = stop.name(), "stopped");
                Ok(ExitCode::SUCCESS)
            }
        }
    })
}
