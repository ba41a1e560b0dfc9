//! Measures the released binary from outside: how fast an edit takes effect, how much memory it holds, and what a
//! request costs beside other proxies. `bench/run` calls it; everything stays on loopback.

mod backend;
mod cpu;
mod edit;
mod folder;
mod http;
mod listen;
mod memory;
mod process;

use std::path::PathBuf;

use anyhow::{Result, bail};

const USAGE: &str = "usage: bench edit|memory|cpu|balance|listen WEIR [WEIR2]   (the paths of released weir binaries)";

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(what), Some(weir)) = (arguments.next(), arguments.next().map(PathBuf::from)) else {
        bail!(USAGE);
    };
    match what.as_str() {
        "edit" => edit::measure(&weir),
        "memory" => memory::measure(&weir),
        "cpu" => cpu::measure(&weir, arguments.next().map(PathBuf::from).as_deref()),
        "balance" => cpu::balance(&weir),
        "listen" => listen::measure(),
        _ => bail!(USAGE),
    }
}
