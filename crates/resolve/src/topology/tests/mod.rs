//! Which Gateways are ours, which listeners serve, which routes they carry, and what all of them are told.

mod gateways;
mod routes;
mod tls;

use weir_plan::NamespacedName;

use crate::Resolution;
use crate::fixtures::short;
use crate::status::GatewayStatus;

pub(super) fn status<'a>(resolution: &'a Resolution, name: &str) -> &'a GatewayStatus {
    &resolution.statuses.gateways[&NamespacedName::new("ns", name)]
}

/// The conditions of a listener in short, `Conflicted` only where it holds.
pub(super) fn listener(status: &GatewayStatus, name: &str) -> String {
    let listener = status.listeners.iter().find(|it| it.name == name).unwrap();
    let mut words = short(&listener.conditions);
    words.retain(|word| word != "!Conflicted(NoConflicts)");
    words.join(" ")
}

/// The conditions of a listener with which all is well.
pub(super) const FINE: &str = "Accepted ResolvedRefs Programmed";
