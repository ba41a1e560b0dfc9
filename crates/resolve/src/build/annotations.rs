//! What annotations of an HTTPRoute or GRPCRoute say: whether the access log has its requests.

use std::collections::BTreeMap;

use crate::diagnostics::{Diagnostics, FieldPath};
use crate::topology::routes::{RouteDetail, RouteObject, route_ref};

/// `off` leaves the requests of a route out of the access log; `on` is the default.
const ACCESS_LOG: &str = "weir.dev/access-log";

/// Whether the access log leaves the route's requests out.
pub(super) fn unlogged(route: &RouteDetail) -> bool {
    access_log(route) == Some("off")
}

/// Tells of an annotation that means nothing.
pub(super) fn check(route: &RouteDetail, found: &mut Diagnostics) {
    match access_log(route) {
        None | Some("on" | "off") => {}
        Some(other) => {
            let object = route_ref(route.node.kind, &route.node.name);
            let field = FieldPath::new("metadata.annotations").child(ACCESS_LOG);
            let message = format!("{other:?} is neither on nor off, so requests are logged");
            found.warning(&object, field, "invalid-annotation", message);
        }
    }
}

fn access_log(route: &RouteDetail) -> Option<&str> {
    let annotations: Option<&BTreeMap<_, _>> = match &route.object {
        RouteObject::Http(it) => it.metadata.annotations.as_ref(),
        RouteObject::Grpc(it) => it.metadata.annotations.as_ref(),
        RouteObject::Tcp(_) | RouteObject::Tls(_) | RouteObject::Udp(_) => None,
    };
    annotations?.get(ACCESS_LOG).map(String::as_str)
}
