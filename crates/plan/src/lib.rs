//! What a gateway is to enforce, as plain data: listeners, routes, clusters and their policies.
//!
//! The plan is the one thing that every data plane shares. It knows no Kubernetes and does no IO.
//!
//! Invariants:
//! - Every value is final. An `Option` means that a feature is off, never that somebody must still choose.
//! - Every route and cluster says which policies its settings came from ([`Origin`]).
//! - Equal resources give equal plans, byte for byte when serialized; lists are in the order that matters.

#![warn(missing_docs)]

pub mod client;
pub mod cluster;
pub mod feature;
pub mod features;
pub mod filter;
pub mod l4;
pub mod matching;
pub mod name;
pub mod operator;
pub mod plan;
pub mod policy;
pub mod re2;
pub mod tls;
pub mod units;

pub use client::{
    CertDetail, ClientConnection, ClientHeaders, ClientHttp1, ClientHttp2, ClientIpDetection,
    ClientPolicy, ClientSocket, ClientTimeout, ConnectionLimit, DownstreamProxyProtocol,
    EscapedSlashes, ForwardedScheme, ListenerHeaderChanges, PathNormalisation, RequestIdAction,
    StringMatch, WithUnderscores, XForwardedClientCert,
};
pub use cluster::{Cluster, Endpoint, EndpointAddress, EndpointMap, Locality, UpstreamProtocol};
pub use feature::{Feature, Support};
pub use filter::{
    Cors, CorsList, Credential, Mirror, OriginMatch, SecretValue, SessionCarrier,
    SessionPersistence,
};
pub use l4::{L4Action, L4Listener, L4Route, Transport};
pub use matching::{
    CookieMatch, HeaderMatch, HostMatch, PathMatch, QueryMatch, RouteMatch, ValueMatch,
};
pub use name::{
    CertificateName, ClusterName, EndpointsName, ListenerName, NamespacedName, Origin, PolicyRef,
    RouteKind, RouteName, RuleName,
};
pub use plan::{
    DirectContent, DirectResponse, Forward, ForwardedPath, HeaderChanges, HostRewrite, Listener,
    PathRewrite, Plan, Redirect, RegexRewrite, Route, RouteAction, RouteRule, SplitTarget,
    UrlRewrite, VirtualHost, WeightedTarget,
};
pub use policy::{ClusterPolicy, RoutePolicy};
pub use tls::{
    AlpnProtocol, Authority, Certificate, CipherSuite, ClientValidation, ClientValidationMode,
    Curve, Der, Hash256, ListenerTls, PrivateKey, RevocationList, SubjectAltName, SubjectName,
    TlsVersion, Trust, UpstreamServerName, UpstreamTls,
};
pub use units::{PerMillion, Percent, Rate, TimeUnit};
