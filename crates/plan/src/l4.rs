//! What is done with connections and datagrams whose content nobody reads: TCP, TLS and UDP.

use std::sync::Arc;

use serde::Serialize;

use crate::client::ClientPolicy;
use crate::cluster::Cluster;
use crate::matching::HostMatch;
use crate::name::{ListenerName, Origin, RuleName};

/// A listener of a Gateway for a protocol below HTTP.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct L4Listener {
    /// The Gateway and the listener's name.
    pub name: ListenerName,
    /// The port that the Gateway names.
    pub port: u16,
    /// What comes in over it.
    pub transport: Transport,
    /// The names (of SNI) that it takes connections for. Any for TCP and UDP.
    pub hostname: HostMatch,
    /// How it deals with its clients; none: as [`ClientPolicy::DEFAULT`] says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<Arc<ClientPolicy>>,
    /// Its routes, the oldest first. The first whose host names fit is taken.
    pub routes: Vec<Arc<L4Route>>,
}

/// What comes in over a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Transport {
    /// Connections.
    Tcp,
    /// Connections with TLS, which is ended here.
    TlsTerminate,
    /// Connections with TLS, of which only the name asked for is read.
    TlsPassthrough,
    /// Datagrams.
    Udp,
}

/// One rule of one route, under one effective policy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct L4Route {
    /// The rule.
    pub name: RuleName,
    /// Where the settings of the cluster came from. Empty where the policy is invalid: the route goes on without it.
    pub origin: Origin,
    /// The names (of SNI) that it is for. Any for TCP and UDP.
    pub hostnames: Vec<HostMatch>,
    /// The name under which it is counted; none: it is not.
    pub stat_name: Option<Arc<str>>,
    /// What becomes of a connection.
    pub action: L4Action,
}

/// What becomes of a connection, or of datagrams.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum L4Action {
    /// It goes to an endpoint.
    Forward {
        /// Of these.
        cluster: Arc<Cluster>,
        /// The weight of the backendRefs that lead nowhere, beside those of the cluster's localities. Their share of
        /// connections is refused.
        refused_weight: u32,
    },
    /// It is refused, for this reason.
    Refuse(Arc<str>),
}
