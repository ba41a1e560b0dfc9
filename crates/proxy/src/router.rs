//! From a request to its route: by port, then listener, then host name, then path. Pure.

use std::sync::Arc;

use weir_plan::{Listener, Plan, Route};

/// A plan compiled for look-up.
#[derive(Debug)]
pub struct Router {}

/// The route that a request takes.
#[derive(Clone, Debug)]
pub struct Found {
    /// The listener that it belongs to.
    pub listener: Arc<Listener>,
    /// The route.
    pub route: Arc<Route>,
}

impl Router {
    /// Compiles a plan.
    pub fn new(plan: &Plan) -> Self {
        let _ = plan;
        todo!()
    }

    /// The route that a request on a port takes. The host is the request's `Host` or `:authority`.
    pub fn find(&self, port: u16, request: &http::request::Parts) -> Option<Found> {
        let _ = (port, request);
        todo!()
    }
}
