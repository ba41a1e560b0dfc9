//! ClientTrafficPolicies from YAML to sockets: whose client somebody is, which policy a listener has, and each group of
//! settings. What each setting does in every case is tested beside the data plane.

mod addresses;
mod bounds;
mod certificates;
mod headers;
mod protocols;
mod targets;

use crate::backend::Backend;
use crate::client::{Response, call, request};
use crate::gateway::{EDGE, Gateway, policy, route_all};

/// A ClientTrafficPolicy for one target (`Kind name` or `Kind name section`) with these settings in flow style.
fn client(name: &str, target: &str, settings: &str) -> String {
    policy(name, target, settings).replacen("BackendTrafficPolicy", "ClientTrafficPolicy", 1)
}

/// A gateway whose clients are dealt with like this, with a route that sends everything to a backend.
fn gateway(settings: &str, backend: &Backend) -> Gateway {
    with(settings, backend, &[])
}

/// The same with more documents.
fn with(settings: &str, backend: &Backend, more: &[&str]) -> Gateway {
    let policy = client("clients", "Gateway edge", settings);
    let (app, route) = (backend.yaml("app"), route_all("app"));
    Gateway::start(&[&[EDGE, &policy, &app, &route], more].concat())
}

/// A GET with these headers, on a connection of its own.
fn ask(gateway: &Gateway, headers: &[(&str, &str)]) -> Response {
    let bytes = request("GET", "any.example", "/", headers, b"");
    call(gateway.address(), &bytes)
}
