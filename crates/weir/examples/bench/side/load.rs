//! The load of a case: `wrk`, `h2load`, or a client of our own, on the core that they share with the backends.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::case::Load;
use super::nginx::LARGE;
use super::{Case, HOST, LOAD, Site, backend, part, path};
use crate::http::percentile;
use crate::interrupt;
use crate::process::{installed, on_core};

/// What clients saw.
pub(crate) struct Outcome {
    /// Answered as they should be.
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
    /// p50, p99 and p99.9, in milliseconds.
    pub(crate) latencies: [f64; 3],
}

/// How all clients but `h2load` report, in one line: requests, microseconds, bytes, errors, p50, p99 and p99.9 in microseconds.
const REPORT: &str = "side";

/// Prints such a line for requests that all went well, by what each took in microseconds.
pub(crate) fn report(mut micros: Vec<u64>, elapsed: u128) {
    micros.sort_unstable();
    let [p50, p99, p999] = shares(&micros);
    println!("{REPORT} {} {elapsed} 0 0 {p50} {p99} {p999}", micros.len());
}

fn shares(sorted: &[u64]) -> [u64; 3] {
    if sorted.is_empty() {
        return [0; 3];
    }
    [0.5, 0.99, 0.999].map(|share| percentile(sorted, share))
}

/// Puts a proxy under the load of a case.
pub(crate) fn run(
    case: &Case,
    address: SocketAddr,
    site: &Site,
    seconds: u32,
    rate: u32,
) -> Result<Outcome> {
    interrupt::check()?;
    let [address, length] = [address.to_string(), seconds.to_string()];
    let first = path(0);
    match case.load {
        Load::Get { connections, route } => wrk(
            case,
            site,
            connections,
            seconds,
            &format!("{address}{}", path(route)),
            "",
            0,
        ),
        Load::Post => wrk(
            case,
            site,
            64,
            seconds,
            &format!("{address}{first}"),
            "wrk.method = 'POST'; wrk.body = string.rep('x', 16384)",
            0,
        ),
        Load::Large => wrk(
            case,
            site,
            16,
            seconds,
            &format!("{address}{LARGE}"),
            "",
            1 << 20,
        ),
        Load::Http2 => h2load(site, seconds, &address, &[]),
        Load::Grpc => {
            let body = site.place.join("message");
            fs::write(&body, backend::MESSAGE)?;
            let body = body.to_str().context("a path that is no text")?;
            let headers = ["-H", "content-type: application/grpc", "-H", "te: trailers"];
            h2load(
                site,
                seconds,
                &address,
                &[&["-d", body], &headers[..]].concat(),
            )
        }
        Load::Rate => reported(
            part().args(["rate", &address, &first, &rate.to_string(), &length]),
            0,
        ),
        Load::Handshakes => reported(part().args(["handshakes", &address, &first, &length]), 0),
    }
}

/// Requests to a place (address and path), with a script that says more about them; each response has at least `least` bytes.
fn wrk(
    case: &Case,
    site: &Site,
    connections: u32,
    seconds: u32,
    place: &str,
    script: &str,
    least: u64,
) -> Result<Outcome> {
    let file = site.place.join("wrk.lua");
    fs::write(
        &file,
        format!(
            "{script}
done = function(summary, latency)
  local errors = summary.errors
  print(string.format('{REPORT} %d %d %d %d %d %d %d', summary.requests, summary.duration, summary.bytes,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
"
        ),
    )?;
    // All proxies speak the same version, cipher and curve, because nothing else is offered.
    let openssl = site.place.join("openssl.cnf");
    fs::write(
        &openssl,
        "openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = offered\n[offered]\n\
         MinProtocol = TLSv1.3\nCiphersuites = TLS_AES_128_GCM_SHA256\nGroups = X25519\n",
    )?;
    let scheme = if case.setup.tls { "https" } else { "http" };
    let mut command = on_core(&client("wrk", "wrk")?, Some(LOAD));
    command.env("OPENSSL_CONF", openssl);
    command.args(["-t", "1", "--timeout", "10s"]);
    command.args(["-c", &connections.to_string(), "-d", &format!("{seconds}s")]);
    command.args(["-H", &format!("Host: {HOST}")]);
    command.arg("-s").arg(file);
    command.arg(format!("{scheme}://{place}"));
    reported(&mut command, least)
}

fn reported(command: &mut Command, least: u64) -> Result<Outcome> {
    let text = output(command)?;
    let numbers: Vec<u64> = text
        .lines()
        .find_map(|line| line.strip_prefix(REPORT))
        .with_context(|| text.clone())?
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let [requests, micros, bytes, errors, p50, p99, p999] = numbers[..] else {
        anyhow::bail!("{text}");
    };
    ensure!(errors == 0, "{errors} requests failed: {text}");
    ensure!(bytes >= requests * least, "responses are short: {text}");
    Ok(Outcome {
        requests,
        seconds: micros as f64 / 1e6,
        latencies: [p50, p99, p999].map(|micros| micros as f64 / 1e3),
    })
}

/// 16 connections of 32 streams.
fn h2load(site: &Site, seconds: u32, address: &str, more: &[&str]) -> Result<Outcome> {
    let log = site.place.join("h2load.log");
    if log.exists() {
        fs::remove_file(&log)?; // h2load appends
    }
    let mut command = on_core(&client("h2load", "nghttp2-client")?, Some(LOAD));
    command.args([
        "-t",
        "1",
        "-c",
        "16",
        "-m",
        "32",
        "-D",
        &seconds.to_string(),
    ]);
    command.arg(format!("--log-file={}", log.display()));
    command.arg(format!("--connect-to={address}")).args(more);
    command.arg(format!("http://{HOST}{}", path(0)));
    let text = output(&mut command)?;
    ensure!(
        text.contains(" 0 failed, 0 errored, 0 timeout") && text.contains(" 0 3xx, 0 4xx, 0 5xx"),
        "{text}"
    );
    // Each line: when it began, its status, and what it took in microseconds.
    let mut micros = fs::read_to_string(&log)?
        .lines()
        .map(|line| {
            let taken = line.split_whitespace().nth(2).context("a short line")?;
            Ok(taken.parse()?)
        })
        .collect::<Result<Vec<u64>>>()?;
    micros.sort_unstable();
    Ok(Outcome {
        requests: micros.len() as u64,
        seconds: seconds.into(),
        latencies: shares(&micros).map(|micros| micros as f64 / 1e3),
    })
}

fn client(name: &str, package: &str) -> Result<PathBuf> {
    installed(name)
        .with_context(|| format!("{name} is not installed; on Debian: apt-get install {package}"))
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    ensure!(output.status.success(), "{text}");
    Ok(text)
}
