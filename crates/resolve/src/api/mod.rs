//! The API types: those of the Gateway API and Kubernetes from their crates, ours in files of their own.

pub mod backend;
pub mod client_traffic_policy;
pub mod envoy_proxy;
pub mod http_route_filter;
pub mod policy;
pub mod scalar;
pub mod secret;
pub mod spec;
pub mod target;

pub use backend::Backend;
pub use client_traffic_policy::ClientTrafficPolicy;
pub use envoy_proxy::EnvoyProxy;
pub use gateway_api::apis::standard::backendtlspolicies::BackendTlsPolicy;
pub use gateway_api::experimental::gatewayclasses::GatewayClass;
pub use gateway_api::experimental::gateways::Gateway;
pub use gateway_api::experimental::grpcroutes::GrpcRoute;
pub use gateway_api::experimental::httproutes::HttpRoute;
pub use gateway_api::experimental::listenersets::ListenerSet;
pub use gateway_api::experimental::referencegrants::ReferenceGrant;
pub use gateway_api::experimental::tcproutes::TcpRoute;
pub use gateway_api::experimental::tlsroutes::TlsRoute;
pub use gateway_api::experimental::udproutes::UdpRoute;
pub use http_route_filter::HttpRouteFilter;
pub use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Service};
pub use k8s_openapi::api::discovery::v1::EndpointSlice;
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
pub use policy::BackendTrafficPolicy;
pub use secret::Secret;

/// The API group of the Gateway API.
pub const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";
/// The API group of the policies and Backends.
pub const POLICY_GROUP: &str = "gateway.envoyproxy.io";
/// The controller name that file mode writes into statuses, and that GatewayClasses name in a cluster.
pub const DEFAULT_CONTROLLER_NAME: &str = "weir.dev/gateway-controller";
