//! How far this data plane enforces each feature: the one table that status, `check` and the docs are made from.

use weir_plan::{Feature, Support};

/// How far this data plane enforces what ClientTrafficPolicies say, in the same form.
pub const CLIENT_SUPPORT: Support = Support::Partial(
    "http3 grpc.enableWeb tls.fingerprints tls.signatureAlgorithms tls.minVersion=1.0 \
     tls.minVersion=1.1 connection.maxAcceptPerSocketEvent timeout.tcp.idleTimeout \
     http2.onInvalidMessage=TerminateConnection http2.connectionKeepalive.intervalJitter \
     http2.connectionKeepalive.idleInterval",
);

/// How far this data plane enforces a feature.
///
/// `Support::Partial` lists the settings that are not enforced, each as a path below `spec`, or `path=value` for one
/// value of a setting, separated by spaces.
pub fn support(feature: Feature) -> Support {
    match feature {
        Feature::CircuitBreaker
        | Feature::Timeout
        | Feature::FaultInjection
        | Feature::HttpUpgrade => Support::Full,
        // The endpoints that the plan names are those of the routing type.
        Feature::RoutingType => Support::Full,
        Feature::RateLimit => Support::Partial(
            "rateLimit.global.rules.limit.fromMetadata rateLimit.global.rules.cost.request.metadata \
             rateLimit.global.rules.cost.response.metadata rateLimit.local.rules.limit.fromMetadata \
             rateLimit.local.rules.cost rateLimit.local.rules.shared",
        ),
        Feature::Retry => Support::Partial("retry.numAttemptsPerPriority"),
        Feature::LoadBalancer => Support::Partial(
            "loadBalancer.type=ConsistentHash loadBalancer.type=BackendUtilization \
             loadBalancer.type=DynamicModule loadBalancer.consistentHash \
             loadBalancer.backendUtilization loadBalancer.dynamicModule loadBalancer.slowStart \
             loadBalancer.zoneAware loadBalancer.endpointOverride",
        ),
        Feature::BandwidthLimit
        | Feature::AdmissionControl
        | Feature::Compression
        | Feature::ResponseOverride
        | Feature::RequestBuffer
        | Feature::Telemetry
        | Feature::HealthCheck
        | Feature::Connection
        | Feature::Dns => Support::No,
    }
}
