//! `weir run`: from the command line to a running gateway.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::thread;

use anyhow::Result;
use weir_limiter::Clock;
use weir_proxy::{Limits, Options};

use crate::cli::{self, PortMapping, ResourceArgs, RunArgs};
use crate::run::{self, Setup};

/// Serves until a signal.
pub(crate) fn run(args: RunArgs) -> Result<ExitCode> {
    let RunArgs {
        resources,
        port_map,
        backend,
        workers,
        bind,
        admin,
        drain_timeout,
        access_log,
    } = args;
    let ResourceArgs { paths, reading } = resources;
    let port_map = port_map
        .into_iter()
        .map(|PortMapping { port, local }| (port, local))
        .collect::<BTreeMap<_, _>>();
    let proxy = Options {
        workers: workers.map_or_else(one_per_core, usize::from),
        bind,
        port_map,
        limits: Limits::default(),
        access_log,
        clock: Clock::system(),
        seed: None,
    };
    let setup = Setup {
        sources: cli::sources(&paths),
        context: reading.context(),
        overrides: backend,
        proxy,
        admin,
        drain_timeout,
    };
    run::run(setup, |_| Ok(()))
}

/// The workers of a gateway that was not told how many: one for each core.
pub(crate) fn one_per_core() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}
