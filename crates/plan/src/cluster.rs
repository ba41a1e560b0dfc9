//! What requests are sent to: a rule's backends, and the endpoints behind them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::name::{ClusterName, EndpointsName, Origin};
use crate::policy::ClusterPolicy;
use crate::tls::UpstreamTls;

/// The backends of a rule (or one of them), as one unit of load balancing and circuit breaking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cluster {
    /// Its name.
    pub name: ClusterName,
    /// Where the settings in `policy` came from.
    pub origin: Origin,
    /// What is spoken to the endpoints.
    pub protocol: UpstreamProtocol,
    /// TLS around that; none: clear text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Arc<UpstreamTls>>,
    /// One for each backendRef with a weight over 0, in their order.
    pub localities: Vec<Locality>,
    /// The first host name of the route, which health checks ask for where neither the settings nor the endpoint name
    /// one; none: the route takes any.
    pub hostname: Option<Arc<str>>,
    /// The settings that apply to the connections.
    pub policy: Arc<ClusterPolicy>,
}

/// The endpoints of one backendRef.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Locality {
    /// The backendRef's weight, 1 or more.
    pub weight: u32,
    /// 0 for primary backends, 1 for those that stand in when primaries fail.
    pub priority: u8,
    /// Which endpoints. Under `routingType: Service`, the cluster IP is the only one.
    pub endpoints: EndpointsName,
}

/// What is spoken to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum UpstreamProtocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, in clear text by prior knowledge.
    Http2,
    /// HTTP/2 or HTTP/1.1, whichever an endpoint chooses by ALPN. Within TLS only.
    Negotiated,
    /// Bytes, as they come.
    Tcp,
    /// Datagrams, as they come.
    Udp,
}

/// The endpoints of every backend. It changes more often than the plan, and by itself.
pub type EndpointMap = BTreeMap<EndpointsName, Arc<[Endpoint]>>;

/// One place to which connections are made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Endpoint {
    /// Where it is.
    pub address: EndpointAddress,
    /// Its own host name, where the Backend gives one.
    pub hostname: Option<Arc<str>>,
    /// Its zone.
    pub zone: Option<Arc<str>>,
}

/// Where an endpoint is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndpointAddress {
    /// An IP address and port.
    Ip(SocketAddr),
    /// A host name to resolve, and a port.
    Fqdn(Arc<str>, u16),
    /// The path of a Unix domain socket.
    Unix(Arc<str>),
}

impl fmt::Display for EndpointAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => write!(f, "{address}"),
            Self::Fqdn(name, port) => write!(f, "{name}:{port}"),
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

impl Serialize for EndpointAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
