//! From the edit of one file among many to the first response that shows it, beside a steady load that must not fail.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::http::{Client, percentile};
use crate::{backend, folder, process};

const ROUTES: usize = 3_000;
const EDITS: usize = 200;
const LOAD_PER_SECOND: u32 = 200;

pub(crate) fn measure(binary: &Path) -> Result<()> {
    let place = tempfile::tempdir()?;
    folder::write(place.path(), ROUTES, backend::start()?)?;
    let begun = Instant::now();
    let gateway = process::weir(binary, place.path(), None)?;
    println!(
        "start to serving, {ROUTES} routes in as many files: {:.0} ms",
        millis(begun.elapsed())
    );

    let stop = Arc::new(AtomicBool::new(false));
    let load = std::thread::spawn({
        let (stop, address) = (Arc::clone(&stop), gateway.address);
        move || steady(address, &stop)
    });

    let mut client = Client::connect(gateway.address)?;
    let (mut plain, mut with_policy) = (Vec::new(), Vec::new());
    for edit in 0..EDITS {
        // Every other edit is of a route with a policy; routes are taken from all over the folder.
        let route = (edit * 7_919) % (ROUTES / 10) * 10 + edit % 2 * 5;
        let host = folder::host(route);
        let shown = format!("x-version: v{}.", edit + 1);
        let begun = Instant::now();
        folder::write_route(place.path(), route, edit + 1)?;
        loop {
            let response = client.get(&host, "/")?;
            let took = begun.elapsed();
            ensure!(
                response.status == 200,
                "a request failed: {}",
                response.head
            );
            if response.head.contains(&shown) {
                if folder::has_policy(route) {
                    &mut with_policy
                } else {
                    &mut plain
                }
                .push(took);
                break;
            }
            if took > Duration::from_secs(10) {
                bail!("edit {edit} of route {route} did not show within 10 s");
            }
            std::thread::sleep(Duration::from_micros(500)); // the resolution of the measurement
        }
        std::thread::sleep(Duration::from_millis(50)); // people do not edit at once
    }
    stop.store(true, Ordering::SeqCst);
    let Ok(load) = load.join() else {
        bail!("the load did not end well")
    };
    let (served, latencies) = load?;

    for (what, mut edits) in [
        ("edits of a route", plain),
        ("edits of a route and its policy", with_policy),
    ] {
        edits.sort();
        let [p50, p99, most] = [0.5, 0.99, 1.0].map(|share| millis(percentile(&edits, share)));
        println!(
            "{what}: p50 {p50:.1} ms, p99 {p99:.1} ms, max {most:.1} ms over {} edits",
            edits.len()
        );
    }
    let [p50, p99, most] = [0.5, 0.99, 1.0].map(|share| millis(percentile(&latencies, share)));
    println!(
        "meanwhile {served} requests at {LOAD_PER_SECOND}/s, none failed: p50 {p50:.2} ms, p99 {p99:.2} ms, max {most:.2} ms"
    );
    Ok(())
}

/// A request every so often, all of which must be answered by 200; how many, and their latencies in order.
fn steady(address: SocketAddr, stop: &AtomicBool) -> Result<(usize, Vec<Duration>)> {
    let mut client = Client::connect(address)?;
    let mut latencies = Vec::new();
    let mut next = Instant::now();
    while !stop.load(Ordering::SeqCst) {
        next += Duration::from_secs(1) / LOAD_PER_SECOND;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        let begun = Instant::now();
        let response = client.get(&folder::host(latencies.len() % ROUTES), "/")?;
        latencies.push(begun.elapsed());
        ensure!(
            response.status == 200,
            "a request of the load failed: {}",
            response.head
        );
    }
    latencies.sort();
    Ok((latencies.len(), latencies))
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
