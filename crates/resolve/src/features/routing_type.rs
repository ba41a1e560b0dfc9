//! `spec.routingType`: whether requests go to a Service's cluster IP or to its endpoints.
//!
//! Scope: cluster. Unset: endpoints. The plan has no type for it yet.

use super::Faults;

pub(crate) fn check(word: &str, found: &mut Faults) {
    if !matches!(word, "Service" | "Endpoint") {
        let text =
            format!("{word:?} is no routing type, so the default applies; use Service or Endpoint");
        found.ignored("RoutingType", "routingType", text);
    }
}
