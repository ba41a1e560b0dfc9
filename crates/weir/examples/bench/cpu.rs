//! CPU time per small GET through one worker, beside nginx and HAProxy where they are installed, in interleaved rounds;
//! and how evenly connections fall on two workers.
//!
//! The proxy has core 0; `wrk` and the backend (nginx, else the one of this program) share core 1.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process::{Process, free_port, on_core, pinned, start, weir};
use crate::{backend, folder};

const ROUNDS: usize = 5;
const SECONDS: u32 = 3;
const CONNECTIONS: u32 = 64;

pub(crate) fn measure(binary: &Path, other: Option<&Path>) -> Result<()> {
    let place = tempfile::tempdir()?;
    let nginx = installed("nginx");
    let (port, _backend) = match &nginx {
        Some(nginx) => {
            let process = nginx_backend(nginx, place.path())?;
            (process.address.port(), Some(process))
        }
        None => (backend::start()?, None),
    };
    let resources = place.path().join("resources");
    fs::create_dir(&resources)?;
    folder::write(&resources, 10, port)?;

    let mut proxies = vec![("weir".to_owned(), weir(binary, &resources, Some(1))?)];
    if let Some(other) = other {
        proxies.push((
            format!("weir ({})", other.display()),
            weir(other, &resources, Some(1))?,
        ));
    }
    if let Some(nginx) = &nginx {
        proxies.push(("nginx".to_owned(), nginx_proxy(nginx, place.path(), port)?));
    }
    if let Some(haproxy) = installed("haproxy") {
        proxies.push((
            "haproxy".to_owned(),
            haproxy_proxy(&haproxy, place.path(), port)?,
        ));
    }

    for (what, host) in [
        ("no policy", folder::host(1)),
        ("with a policy", folder::host(0)),
    ] {
        let mut micros: Vec<Vec<f64>> = vec![Vec::new(); proxies.len()];
        let mut rates = micros.clone();
        for _ in 0..ROUNDS {
            for (index, (name, process)) in proxies.iter().enumerate() {
                let before = process.cpu_nanos()?;
                let requests =
                    wrk(process, &host).with_context(|| format!("wrk against {name}"))?;
                micros[index]
                    .push((process.cpu_nanos()? - before) as f64 / 1_000.0 / requests as f64);
                rates[index].push(requests as f64 / f64::from(SECONDS));
            }
        }
        println!(
            "small GET, {what}, {CONNECTIONS} connections, {ROUNDS} rounds of {SECONDS} s (median; least to most):"
        );
        let base = median(&mut micros[0]);
        for (index, (name, _)) in proxies.iter().enumerate() {
            let (middle, rate) = (median(&mut micros[index]), median(&mut rates[index]));
            let (least, most) = (micros[index][0], micros[index][ROUNDS - 1]);
            println!(
                "  {name}: {middle:.1} us of CPU a request ({least:.1} to {most:.1}), {rate:.0} requests/s; weir takes {:.2} of it",
                base / middle
            );
        }
    }
    Ok(())
}

/// CPU time of each worker under connections that stay, several times over.
pub(crate) fn balance(binary: &Path) -> Result<()> {
    let place = tempfile::tempdir()?;
    folder::write(place.path(), 10, backend::start()?)?;
    for connections in [2, 8, 64, 256] {
        for round in 0..5 {
            let gateway = weir(binary, place.path(), Some(2))?;
            let before = gateway.threads()?;
            run_wrk(None, connections, 1, &gateway, &folder::host(1))?;
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

/// Sorts, and takes the one in the middle.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// How many requests were answered.
fn wrk(process: &Process, host: &str) -> Result<u64> {
    run_wrk(Some(1), CONNECTIONS, SECONDS, process, host)
}

fn run_wrk(
    core: Option<usize>,
    connections: u32,
    seconds: u32,
    process: &Process,
    host: &str,
) -> Result<u64> {
    let program =
        installed("wrk").context("wrk is not installed; on Debian: apt-get install wrk")?;
    let output = on_core(&program, core)
        .args([
            "-t",
            "1",
            "-c",
            &connections.to_string(),
            "-d",
            &format!("{seconds}s"),
        ])
        .args([
            "-H",
            &format!("Host: {host}"),
            &format!("http://{}/", process.address),
        ])
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success() && !text.contains("Non-2xx") && !text.contains("Socket errors"),
        "{text}"
    );
    let line = text
        .lines()
        .find(|line| line.contains(" requests in "))
        .with_context(|| text.to_string())?;
    Ok(line
        .split_whitespace()
        .next()
        .context("no number")?
        .parse()?)
}

/// Where a program is.
fn installed(name: &str) -> Option<PathBuf> {
    ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"]
        .map(|folder| Path::new(folder).join(name))
        .into_iter()
        .find(|path| path.exists())
}

fn nginx_backend(nginx: &Path, place: &Path) -> Result<Process> {
    let port = free_port()?;
    let server = format!(
        "server {{ listen 127.0.0.1:{port}; location / {{ default_type text/plain; return 200 'hello, weir!'; }} }}"
    );
    start(nginx_command(nginx, place, "backend", &server, 1)?, port)
}

fn nginx_proxy(nginx: &Path, place: &Path, backend: u16) -> Result<Process> {
    let port = free_port()?;
    let server = format!(
        "upstream app {{ server 127.0.0.1:{backend}; keepalive 256; }}
         server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://app; proxy_http_version 1.1;
         proxy_set_header Connection ''; proxy_set_header Host $host;
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }} }}"
    );
    start(nginx_command(nginx, place, "proxy", &server, 0)?, port)
}

fn nginx_command(
    nginx: &Path,
    place: &Path,
    name: &str,
    server: &str,
    core: usize,
) -> Result<Command> {
    let folder = place.join(name);
    fs::create_dir(&folder)?;
    let configuration = folder.join("nginx.conf");
    fs::write(
        &configuration,
        format!(
            "daemon off; master_process off; worker_processes 1; pid {at}/pid; error_log {at}/error.log;
             events {{ worker_connections 4096; }}
             http {{ access_log off; keepalive_requests 100000000; client_body_temp_path {at}/a; proxy_temp_path {at}/b;
             fastcgi_temp_path {at}/c; uwsgi_temp_path {at}/d; scgi_temp_path {at}/e; {server} }}",
            at = folder.display()
        ),
    )?;
    let mut command = on_core(nginx, Some(core));
    command.arg("-c").arg(configuration).arg("-p").arg(folder);
    Ok(command)
}

fn haproxy_proxy(haproxy: &Path, place: &Path, backend: u16) -> Result<Process> {
    let port = free_port()?;
    let configuration = place.join("haproxy.cfg");
    fs::write(
        &configuration,
        format!(
            "global
  nbthread 1
  maxconn 4096
defaults
  mode http
  option forwardfor
  timeout client 60s
  timeout server 60s
  timeout connect 5s
  http-reuse always
frontend in
  bind 127.0.0.1:{port}
  default_backend app
backend app
  server one 127.0.0.1:{backend}
"
        ),
    )?;
    let mut command = pinned(haproxy, true);
    command.arg("-f").arg(configuration);
    start(command, port)
}
