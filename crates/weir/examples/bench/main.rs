//! Measures the released binary from outside: how fast an edit takes effect, how much memory it holds, and what requests
//! cost beside other proxies. `bench/run` calls it; everything stays on loopback.

mod backend;
mod balance;
mod edit;
mod folder;
mod http;
mod interrupt;
mod listen;
mod memory;
mod process;
mod side;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

/// Measures released weir binaries, which are named by their paths.
#[derive(Parser)]
enum Measurement {
    /// From the edit of a file to the first response that shows it.
    Edit { weir: PathBuf },
    /// Resident memory by the number of routes.
    Memory { weir: PathBuf },
    /// How evenly connections fall on two workers.
    Balance { weir: PathBuf },
    /// The same in a model of the workers, with one listening socket or with two.
    Listen { weir: PathBuf },
    /// The same routes and policies on Weir, Envoy, HAProxy and nginx.
    Side(side::Arguments),
    /// What `side` starts for itself on the core of the load: a client or a backend.
    #[command(hide = true, subcommand)]
    Part(side::Part),
}

fn main() -> Result<()> {
    match Measurement::parse() {
        Measurement::Edit { weir } => edit::measure(&weir),
        Measurement::Memory { weir } => memory::measure(&weir),
        Measurement::Balance { weir } => balance::measure(&weir),
        Measurement::Listen { weir: _ } => listen::measure(),
        Measurement::Side(arguments) => side::measure(&arguments),
        Measurement::Part(part) => side::play(&part),
    }
}
