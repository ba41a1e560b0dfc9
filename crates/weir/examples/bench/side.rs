//! The same routes and policies on Weir, Envoy, HAProxy and nginx: what a request costs each of them, and how long it takes.
//!
//! Each proxy has core 0 to itself while it is measured; the load and the backends share core 1. Rounds are interleaved, so
//! that whatever else the machine does falls on all alike, and ratios are taken within a round.

mod backend;
mod case;
mod client;
mod envoy;
mod haproxy;
mod load;
mod nginx;
mod peer;
mod table;
mod weir;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::interrupt;
use crate::process::{Process, free_port, on_core, start};
use case::{CASES, Case};
use load::Outcome;
use peer::Peer;
use table::Sample;

/// The core of the proxy that is measured.
const PROXY: usize = 0;
/// The core that load and backends share.
const LOAD: usize = 1;

/// Seconds that starting a proxy and warming it up take.
const STARTING: u64 = 2;

/// What `side` is asked for.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A released weir binary.
    weir: PathBuf,
    /// The cases to measure. Default: all.
    cases: Vec<String>,
    /// How long each proxy is measured in each round.
    #[arg(long, default_value_t = 2)]
    seconds: u32,
    /// How often each proxy is measured.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Requests a second of the case `rate`, one that all proxies reach.
    #[arg(long, default_value_t = 5_000)]
    rate: u32,
    /// The proxies to set beside Weir, with commas: envoy, haproxy, nginx. Default: those that are installed.
    #[arg(long, value_delimiter = ',')]
    beside: Option<Vec<String>>,
    /// Another weir binary to set beside it, such as one from before a change.
    #[arg(long)]
    other: Option<PathBuf>,
    /// Names the cases and says what each of them is.
    #[arg(long)]
    list: bool,
}

/// What runs as a process of its own, on the core of the load.
#[derive(clap::Subcommand)]
pub(crate) enum Part {
    /// A gRPC backend.
    Backend { port: u16 },
    /// GETs at a fixed rate.
    Rate {
        address: SocketAddr,
        path: String,
        per_second: u32,
        seconds: u32,
    },
    /// A new TLS connection for each GET.
    Handshakes {
        address: SocketAddr,
        path: String,
        seconds: u32,
    },
}

/// Plays such a part.
pub(crate) fn play(part: &Part) -> Result<()> {
    match *part {
        Part::Backend { port } => backend::serve(port),
        Part::Rate {
            address,
            ref path,
            per_second,
            seconds,
        } => client::at_rate(
            address,
            path,
            per_second,
            Duration::from_secs(seconds.into()),
        ),
        Part::Handshakes {
            address,
            ref path,
            seconds,
        } => client::handshakes(address, path, Duration::from_secs(seconds.into())),
    }
}

/// What all cases of a run share.
struct Site {
    /// A folder for configurations.
    place: PathBuf,
    /// The port of the HTTP/1.1 backend.
    backend: u16,
    /// The port of the gRPC backend.
    grpc_backend: u16,
    /// A certificate for `HOST` in PEM, and its key.
    certificate: PathBuf,
    key: PathBuf,
}

/// The name that all requests are for.
const HOST: &str = "bench.example.com";

/// The path of a route.
fn path(route: usize) -> String {
    format!("/r{route:05}")
}

/// Prints a table of the cases asked for.
pub(crate) fn measure(arguments: &Arguments) -> Result<()> {
    if arguments.list {
        for case in &CASES {
            println!("{:<20} {}", case.name, case.what);
        }
        return Ok(());
    }
    let cases = asked(&arguments.cases)?;
    ensure!(
        arguments.rounds > 0 && arguments.seconds > 0 && arguments.rate > 0,
        "--rounds, --seconds and --rate have to be at least 1"
    );
    ensure!(
        std::thread::available_parallelism()?.get() > 1,
        "a second core is needed for the load"
    );
    interrupt::watch()?;
    let peers = Peer::all(
        &arguments.weir,
        arguments.other.as_deref(),
        arguments.beside.as_deref(),
    )?;

    let folder = tempfile::tempdir()?;
    let (site, _backends) = site(folder.path())?;
    let each = arguments.rounds as u64 * u64::from(arguments.seconds) + STARTING;
    eprintln!(
        "this takes about {} minutes",
        (cases.len() as u64 * peers.len() as u64 * each).div_ceil(60)
    );
    println!(
        "{}, {} rounds of {} s\n",
        peers
            .iter()
            .map(Peer::version)
            .collect::<Result<Vec<_>>>()?
            .join("; "),
        arguments.rounds,
        arguments.seconds
    );
    table::print_head();
    for case in cases {
        let rows = run(case, &peers, &site, arguments)
            .with_context(|| format!("in the case {}", case.name));
        interrupt::check()?;
        table::print(case.name, &rows?);
    }
    Ok(())
}

fn asked(names: &[String]) -> Result<Vec<&'static Case>> {
    if names.is_empty() {
        return Ok(CASES.iter().collect());
    }
    names
        .iter()
        .map(|name| {
            CASES
                .iter()
                .find(|case| case.name == name)
                .with_context(|| format!("there is no case {name}; --list names all there are"))
        })
        .collect()
}

/// The certificate and the backends.
fn site(folder: &Path) -> Result<(Site, [Process; 2])> {
    let [certificate, key] = ["tls.crt", "tls.key"].map(|name| folder.join(name));
    let signed = rcgen::generate_simple_self_signed([HOST.to_owned()])?;
    std::fs::write(&certificate, signed.cert.pem())?;
    std::fs::write(&key, signed.signing_key.serialize_pem())?;

    let nginx = nginx::backend(folder)?;
    let port = free_port()?;
    let mut command = part();
    command.args(["backend", &port.to_string()]);
    let grpc = start(command, port)?;
    let site = Site {
        place: folder.to_owned(),
        backend: nginx.address.port(),
        grpc_backend: port,
        certificate,
        key,
    };
    Ok((site, [nginx, grpc]))
}

/// This program on the core of the load, to play a part.
fn part() -> Command {
    let program = std::env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into());
    let mut command = on_core(&program, Some(LOAD));
    command.arg("part");
    command
}

/// Each proxy's name and what each round found.
fn run(
    case: &Case,
    peers: &[Peer],
    site: &Site,
    arguments: &Arguments,
) -> Result<Vec<(String, Vec<Sample>)>> {
    let mut rows = Vec::new();
    let mut proxies = Vec::new();
    for peer in peers {
        let process = peer.start(case, site)?;
        // Once round, so that connections are made and caches are warm.
        load::run(case, process.address, site, 1, arguments.rate)
            .with_context(|| format!("against {}", peer.name()))?;
        proxies.push(process);
        rows.push((peer.name(), Vec::new()));
    }
    for round in 1..=arguments.rounds {
        for (process, (name, samples)) in proxies.iter().zip(&mut rows) {
            eprintln!(
                "{}: round {round} of {}: {name}",
                case.name, arguments.rounds
            );
            let before = process.cpu_nanos()?;
            let Outcome {
                requests,
                seconds,
                latencies,
            } = load::run(
                case,
                process.address,
                site,
                arguments.seconds,
                arguments.rate,
            )
            .with_context(|| format!("against {name}"))?;
            let micros = (process.cpu_nanos()? - before) as f64 / 1_000.0;
            if requests == 0 {
                bail!("{name} answered nothing");
            }
            let [p50, p99, p999] = latencies;
            samples.push([
                micros / requests as f64,
                requests as f64 / seconds,
                p50,
                p99,
                p999,
                process.kib("VmHWM")? as f64 / 1_024.0,
            ]);
        }
    }
    Ok(rows)
}
