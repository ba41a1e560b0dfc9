//! The protocols that a request may be upgraded to.

use std::sync::Arc;

use serde::Serialize;

/// A protocol that a request may be upgraded to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum HttpUpgrade {
    /// The one of this name, in any letter case, of the `upgrade` header.
    Protocol(Arc<str>),
    /// CONNECT requests. A route with it takes no others.
    Connect {
        /// Whether the tunnel ends here and its bytes go to the backend. Otherwise the request is passed on.
        terminate: bool,
    },
}

/// What may be upgraded to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum HttpUpgrades {
    /// What applies where no policy says anything: `websocket`.
    WebSocket,
    /// These, and no others.
    Only(Vec<HttpUpgrade>),
}

impl HttpUpgrades {
    /// Envoy Gateway's default.
    pub const DEFAULT: Self = Self::WebSocket;
}
