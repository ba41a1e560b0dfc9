//! HAProxy's side of a case: a map from path prefixes to one backend, and the policies as far as it has them.
//!
//! With policies: `maxconn` of the server, timeouts, retries of failed connections, and a rate in a stick table.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::Result;

use super::case::{Load, Setup};
use super::{Case, PROXY, Site, path};
use crate::process::{self, Process, free_port, on_core};

pub(crate) fn start(program: &Path, case: &Case, site: &Site) -> Result<Process> {
    let port = free_port()?;
    let file = site.place.join("haproxy.cfg");
    fs::write(&file, configuration(case, site, port)?)?;
    let mut command = on_core(program, Some(PROXY));
    command.arg("-f").arg(file);
    process::start(command, port)
}

fn configuration(case: &Case, site: &Site, port: u16) -> Result<String> {
    let Setup {
        routes,
        policies,
        tls,
        logs: _,
    } = case.setup;
    let mut map = String::new();
    for route in 0..routes {
        writeln!(map, "{} app", path(route))?;
    }
    let routes = site.place.join("haproxy.map");
    fs::write(&routes, map)?;

    let bind = if tls {
        let pem = site.place.join("haproxy.pem");
        fs::write(
            &pem,
            [fs::read(&site.certificate)?, fs::read(&site.key)?].concat(),
        )?;
        format!(" ssl crt {} alpn h2,http/1.1", pem.display())
    } else {
        String::new()
    };
    let (limit, table, server) = if policies {
        (
            "  http-request track-sc0 int(1) table limit
  http-request deny deny_status 429 if { sc_http_req_rate(0,limit) gt 1000000 }\n",
            "backend limit\n  stick-table type integer size 1k expire 10s store http_req_rate(1s)\n",
            " maxconn 8192",
        )
    } else {
        ("", "", "")
    };
    let (backend, protocol) = if matches!(case.load, Load::Grpc) {
        (site.grpc_backend, " proto h2")
    } else {
        (site.backend, "")
    };
    Ok(format!(
        "global
  nbthread 1
  maxconn 8192
defaults
  mode http
  option forwardfor
  timeout connect 10s
  timeout client 60s
  timeout server 10s
  timeout queue 10s
  retries 2
  retry-on conn-failure
  http-reuse always
frontend in
  bind 127.0.0.1:{port}{bind}
{limit}  use_backend %[path,map_beg({routes},none)]
backend app
  server one 127.0.0.1:{backend}{server}{protocol}
backend none
  http-request return status 404
{table}",
        routes = routes.display()
    ))
}
