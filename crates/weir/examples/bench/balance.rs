//! How evenly connections fall on two workers, by the CPU time that each of them takes.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::process::{Process, installed, on_core, weir};
use crate::{backend, folder, interrupt};

/// CPU time of each worker under connections that stay, several times over.
pub(crate) fn measure(binary: &Path) -> Result<()> {
    let program =
        installed("wrk").context("wrk is not installed; on Debian: apt-get install wrk")?;
    let place = tempfile::tempdir()?;
    folder::write(place.path(), 10, backend::start()?)?;
    for connections in [2, 8, 64, 256] {
        for round in 0..5 {
            let gateway = weir(binary, place.path(), Some(2))?;
            let before = gateway.threads()?;
            wrk(&program, connections, &gateway, &folder::host(1))?;
            let after = gateway.threads()?;
            let before: BTreeMap<_, _> = before
                .iter()
                .map(|(name, nanos)| (name.as_str(), *nanos))
                .collect();
            let used: Vec<_> = after
                .iter()
                .filter(|(name, _)| name.starts_with("weir-worker"))
                .map(|(name, now)| {
                    let then = before.get(name.as_str()).copied().unwrap_or(0);
                    format!("{name} {:.0} ms", (now - then) as f64 / 1e6)
                })
                .collect();
            println!(
                "{connections} connections, round {round}: {}",
                used.join(", ")
            );
        }
    }
    Ok(())
}

/// A second of small GETs.
fn wrk(program: &Path, connections: u32, process: &Process, host: &str) -> Result<()> {
    interrupt::check()?;
    let output = on_core(program, None)
        .args(["-t", "1", "-d", "1s", "-c", &connections.to_string()])
        .args(["-H", &format!("Host: {host}")])
        .arg(format!("http://{}/", process.address))
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success() && !text.contains("Non-2xx") && !text.contains("Socket errors"),
        "{text}"
    );
    Ok(())
}
