//! nginx's side of a case: a `location` for each route, and the policies as far as it has them; and nginx as the backend.
//!
//! With policies: `max_conns` of the server, timeouts, the next server on errors, and `limit_req`.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::case::{Load, Setup};
use super::{Case, LOAD, PROXY, Site, path};
use crate::process::{self, Process, free_port, installed, on_core};

/// The path of a response of 1 MiB.
pub(crate) const LARGE: &str = "/r00000/large";

/// A backend that answers with 12 bytes, or with 1 MiB at [`LARGE`].
pub(crate) fn backend(folder: &Path) -> Result<Process> {
    let program = installed("nginx")
        .context("nginx is needed as the backend; on Debian: apt-get install nginx")?;
    let port = free_port()?;
    let large = folder.join("large");
    fs::write(&large, vec![b'x'; 1 << 20])?;
    let server = format!(
        "sendfile on; server {{ listen 127.0.0.1:{port} backlog=4096; default_type text/plain;
         location / {{ return 200 'hello, weir!'; }} location = {LARGE} {{ alias {}; }} }}",
        large.display()
    );
    process::start(command(&program, folder, "backend", &server, LOAD)?, port)
}

pub(crate) fn start(program: &Path, case: &Case, site: &Site) -> Result<Process> {
    let port = free_port()?;
    let server = server(case, site, port)?;
    process::start(
        command(program, &site.place, "proxy", &server, PROXY)?,
        port,
    )
}

fn server(case: &Case, site: &Site, port: u16) -> Result<String> {
    let Setup {
        routes,
        policies,
        tls,
        logs: _,
    } = case.setup;
    let (backend, http2, pass) = match case.load {
        Load::Grpc => (site.grpc_backend, " http2", "grpc_pass grpc://app"),
        Load::Http2 => (site.backend, " http2", "proxy_pass http://app"),
        Load::Get { .. } | Load::Post | Load::Large | Load::Rate | Load::Handshakes => {
            (site.backend, "", "proxy_pass http://app")
        }
    };
    let mut locations = String::new();
    for route in 0..routes {
        writeln!(locations, "location {} {{ {pass}; }}", path(route))?;
    }
    let tls = if tls {
        format!(
            " ssl; ssl_protocols TLSv1.3; ssl_certificate {}; ssl_certificate_key {}",
            site.certificate.display(),
            site.key.display()
        )
    } else {
        String::new()
    };
    let (zone, limit, slots) = if policies {
        (
            "limit_req_zone $server_name zone=limit:1m rate=1000000r/s;",
            "limit_req zone=limit burst=100000 nodelay; limit_req_status 429;
             proxy_read_timeout 10s; proxy_next_upstream error; proxy_next_upstream_tries 3;",
            " max_conns=8192",
        )
    } else {
        ("", "", "")
    };
    Ok(format!(
        "{zone} upstream app {{ zone app 64k; server 127.0.0.1:{backend}{slots}; keepalive 2048; keepalive_requests 100000000; }}
         server {{ listen 127.0.0.1:{port}{http2}{tls}; {limit} client_body_buffer_size 64k; http2_max_concurrent_streams 128;
         proxy_buffers 16 64k; proxy_max_temp_file_size 0; proxy_http_version 1.1; proxy_set_header Connection '';
         proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
         {locations} }}"
    ))
}

fn command(program: &Path, place: &Path, name: &str, server: &str, core: usize) -> Result<Command> {
    let folder = place.join(name);
    fs::create_dir_all(&folder)?;
    let file = folder.join("nginx.conf");
    fs::write(
        &file,
        format!(
            "daemon off; master_process off; pid {at}/pid; error_log {at}/error.log;
             events {{ worker_connections 16384; }}
             http {{ access_log off; keepalive_requests 100000000; client_body_temp_path {at}/a; proxy_temp_path {at}/b;
             fastcgi_temp_path {at}/c; uwsgi_temp_path {at}/d; scgi_temp_path {at}/e; {server} }}",
            at = folder.display()
        ),
    )?;
    let mut command = on_core(program, Some(core));
    command.arg("-c").arg(file).arg("-p").arg(folder);
    command.arg("-e").arg("/dev/null");
    Ok(command)
}
