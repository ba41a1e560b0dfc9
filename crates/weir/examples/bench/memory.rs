//! Resident memory of an idle gateway after 1,000 requests, by the number of routes.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::http::Client;
use crate::{backend, folder, process};

const REQUESTS: usize = 1_000;

pub(crate) fn measure(binary: &Path) -> Result<()> {
    for routes in [10, 1_000, 5_000] {
        let place = tempfile::tempdir()?;
        folder::write(place.path(), routes, backend::start()?)?;
        let gateway = process::weir(binary, place.path(), None)?;
        let mut clients = (0..10)
            .map(|_| Client::connect(gateway.address))
            .collect::<Result<Vec<_>>>()?;
        for request in 0..REQUESTS {
            let response = clients[request % 10].get(&folder::host(request % routes))?;
            ensure!(
                response.status == 200,
                "a request failed: {}",
                response.head
            );
        }
        drop(clients);
        std::thread::sleep(Duration::from_secs(2)); // idle
        let [now, most] =
            ["VmRSS", "VmHWM"].map(|field| gateway.kib(field).map(|kib| kib as f64 / 1_024.0));
        println!(
            "{routes} routes: {:.1} MiB idle after {REQUESTS} requests, {:.1} MiB at most",
            now?, most?
        );
    }
    Ok(())
}
