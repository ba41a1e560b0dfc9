//! How a listener deals with its clients, each setting on a real socket: who they are taken for, how long they may take,
//! what is kept of what they ask for.

mod addresses;
mod connections;
mod heads;
mod http2;
mod proxy_header;

use std::net::SocketAddr;
use std::time::Duration;

use weir_plan::{ClientPolicy, RoutePolicy};
use weir_proxy::Limits;

use crate::backend::Backend;
use crate::{CLUSTER, Gateway, Rule, rule};

/// Long enough to tell it apart from nothing.
const SOON: Duration = Duration::from_millis(150);

/// A gateway whose listener has this policy, and forwards everything.
fn gateway(policy: ClientPolicy, backend: &Backend) -> Gateway {
    with_rules(
        policy,
        &[rule("/", RoutePolicy::DEFAULT)],
        &[backend.address],
    )
}

fn with_rules(policy: ClientPolicy, rules: &[Rule], backends: &[SocketAddr]) -> Gateway {
    Gateway::under(Limits::default(), Some(policy), rules, CLUSTER, backends)
}

/// How many connections were closed for a reason.
fn closed(gateway: &Gateway, reason: &str) -> u64 {
    let metrics = gateway.proxy.metrics();
    let name = format!("weir_downstream_connections_closed_total{{reason=\"{reason}\"}} ");
    let count = metrics.lines().find_map(|line| line.strip_prefix(&name));
    count
        .and_then(|it| it.parse().ok())
        .expect("there is a count for it")
}
