//! Resident memory of an idle gateway after 1,000 requests, by the number of routes.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::http::Client;
use crate::{backend, folder, process};

const REQUESTS: usize = 1_000;

pub(crate) fn measure(binary: &Path) -> Result<()> {
    // Each route has connections of its own to its backend, which stay open when they are idle.
    for (routes, asked) in [(10, 10), (1_000, 10), (5_000, 10), (5_000, 1_000)] {
        let place = tempfile::tempdir()?;
        folder::write(place.path(), routes, backend::start()?)?;
        let gateway = process::weir(binary, place.path(), None)?;
        let mut clients = (0..10)
            .map(|_| Client::connect(gateway.address))
            .collect::<Result<Vec<_>>>()?;
        for request in 0..REQUESTS {
            let response = clients[request % 10].get(&folder::host(request % asked), "/")?;
            ensure!(
                response.status == 200,
                "a request failed: {}",
                response.head
            );
        }
        drop(clients);
        std::thread::sleep(Duration::from_secs(2)); // idle
        let mib = |field| gateway.kib(field).map(|kib| kib as f64 / 1_024.0);
        let [now, code, data] = [mib("VmRSS")?, mib("RssFile")?, mib("RssAnon")?];
        println!(
            "{routes} routes, idle after {REQUESTS} requests to {asked} of them: {now:.1} MiB resident \
             ({code:.1} of it the program, {data:.1} data)"
        );
    }
    Ok(())
}
