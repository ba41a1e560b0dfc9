//! The rules across fields as CEL, for API servers: each says in CEL what a function of [`super::policy_rules`],
//! [`super::response_rules`], [`super::backend`], [`super::client_traffic_policy`] or [`super::http_route_filter`] says in Rust, with the same message. A test holds them together.
//!
//! In a CRD of ours a setting may be null, which means that it is absent; see [`null_safe`].

mod of_backend;
mod of_client_traffic_policy;
mod of_http_route_filter;

pub(crate) use of_backend::BACKEND;
pub(crate) use of_client_traffic_policy::CLIENT_TRAFFIC_POLICY;
pub(crate) use of_http_route_filter::HTTP_ROUTE_FILTER;

/// A rule: where it stands below `spec`, what must hold there, and what is said where it does not. `[]` stands for each
/// item of a list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    pub(crate) at: &'static str,
    pub(crate) cel: &'static str,
    pub(crate) message: &'static str,
}

const fn rule(at: &'static str, cel: &'static str, message: &'static str) -> Rule {
    Rule { at, cel, message }
}

/// A rule as it stands in a CRD whose fields may be null: `has(self.a)` is true of a null there, so it is also asked
/// whether it is one. `dyn` lets values of any type be compared with null.
pub(crate) fn null_safe(cel: &str) -> String {
    let mut safe = String::new();
    let mut rest = cel;
    while let Some(start) = rest.find("has(") {
        let (before, call) = rest.split_at(start);
        let end = call.find(')').map_or(call.len(), |end| end + 1);
        let field = call["has(".len()..end].trim_end_matches(')');
        safe.push_str(before);
        safe.push_str(&format!("(has({field}) && dyn({field}) != null)"));
        rest = &call[end..];
    }
    safe + rest
}

/// The kinds of the targets under a rule, each one held against a list.
macro_rules! all_targets {
    ($kinds:literal) => {
        concat!(
            "(!has(self.targetRef) || self.targetRef.kind in ",
            $kinds,
            ") && (!has(self.targetRefs) || self.targetRefs.all(it, it.kind in ",
            $kinds,
            ")) && (!has(self.targetSelectors) || self.targetSelectors.all(it, it.kind in ",
            $kinds,
            "))"
        )
    };
}

/// One of two things and not the other: a field is there exactly where the type says so.
macro_rules! exactly_for {
    ($kind:literal, $field:literal) => {
        concat!("(self.type == '", $kind, "') == has(self.", $field, ")")
    };
}

const GROUP_HOLDS: &str = "!has(self.group) || self.group == 'gateway.networking.k8s.io'";
const FRACTION: &str = "self.numerator <= (has(self.denominator) ? self.denominator : 100)";
const FRACTION_MESSAGE: &str = "numerator must be less than or equal to denominator";
const PAYLOADS: [&str; 4] = [
    "healthCheck.active.http.requestBody",
    "healthCheck.active.http.expectedResponse",
    "healthCheck.active.tcp.send",
    "healthCheck.active.tcp.receive",
];
const COST: &str = "!(has(self.number) && has(self.metadata))";
const COST_MESSAGE: &str = "only one of number or metadata can be specified";
const SELECTOR: &str = "has(self.headers) || has(self.methods) || has(self.path) || has(self.sourceCIDR) || has(self.queryParams)";
const SELECTOR_MESSAGE: &str =
    "at least one of headers, methods, path, sourceCIDR or queryParams must be specified";

const fn text_payload(at: &'static str) -> Rule {
    rule(
        at,
        exactly_for!("Text", "text"),
        "If payload type is Text, text field needs to be set.",
    )
}

const fn binary_payload(at: &'static str) -> Rule {
    rule(
        at,
        exactly_for!("Binary", "binary"),
        "If payload type is Binary, binary field needs to be set.",
    )
}

/// The rules of BackendTrafficPolicy.
pub(crate) const POLICY: &[Rule] = &[
    rule(
        "",
        "has(self.targetRef) != has(self.targetRefs) || (has(self.targetSelectors) && self.targetSelectors.size() > 0)",
        "either targetRef or targetRefs must be used",
    ),
    rule(
        "",
        "!has(self.targetRef) || !has(self.targetRef.group) || self.targetRef.group == 'gateway.networking.k8s.io'",
        "this policy can only have a targetRef.group of gateway.networking.k8s.io",
    ),
    rule(
        "",
        "!has(self.targetRef) || self.targetRef.kind in ['Gateway', 'ListenerSet', 'HTTPRoute', 'GRPCRoute', 'UDPRoute', 'TCPRoute', 'TLSRoute']",
        "this policy can only have a targetRef.kind of Gateway/ListenerSet/HTTPRoute/GRPCRoute/TCPRoute/UDPRoute/TLSRoute",
    ),
    rule(
        "",
        "!has(self.targetRefs) || self.targetRefs.all(it, !has(it.group) || it.group == 'gateway.networking.k8s.io')",
        "this policy can only have a targetRefs[*].group of gateway.networking.k8s.io",
    ),
    rule(
        "",
        "!has(self.targetRefs) || self.targetRefs.all(it, it.kind in ['Gateway', 'ListenerSet', 'HTTPRoute', 'GRPCRoute', 'UDPRoute', 'TCPRoute', 'TLSRoute'])",
        "this policy can only have a targetRefs[*].kind of Gateway/ListenerSet/HTTPRoute/GRPCRoute/TCPRoute/UDPRoute/TLSRoute",
    ),
    rule(
        "",
        concat!(
            "!has(self.mergeType) || ",
            all_targets!("['HTTPRoute', 'GRPCRoute', 'UDPRoute', 'TCPRoute', 'TLSRoute']")
        ),
        "mergeType can only be used with xRoute targets",
    ),
    rule(
        "",
        concat!(
            "!has(self.admissionControl) || ",
            all_targets!("['Gateway', 'ListenerSet', 'HTTPRoute', 'GRPCRoute']")
        ),
        "admissionControl can only be used with HTTPRoute, GRPCRoute, Gateway, or ListenerSet targets",
    ),
    rule(
        "",
        "!(has(self.compression) && has(self.compressor))",
        "either compression or compressor can be set, not both",
    ),
    rule(
        "",
        "!has(self.requestBuffer) || !has(self.httpUpgrade) || self.httpUpgrade.size() == 0",
        "requestBuffer cannot be used together with httpUpgrade",
    ),
    rule(
        "",
        "!has(self.connection) || !has(self.connection.preconnect) || !has(self.connection.preconnect.predictivePercent) \
         || (has(self.loadBalancer) && self.loadBalancer.type in ['Random', 'RoundRobin'])",
        "predictivePercent in preconnect policy only works with RoundRobin or Random load balancers",
    ),
    rule(
        "mergeType",
        "self != 'Replace'",
        "Replace is not a valid MergeType for BackendTrafficPolicySpec",
    ),
    rule(
        "targetSelectors[]",
        GROUP_HOLDS,
        "group must be gateway.networking.k8s.io",
    ),
    rule(
        "targetSelectors[].namespaces",
        "!has(self.from) || self.from != 'Selector' || has(self.selector)",
        "selector must be specified when from is Selector",
    ),
    rule(
        "loadBalancer",
        exactly_for!("ConsistentHash", "consistentHash"),
        "If LoadBalancer type is consistentHash, consistentHash field needs to be set.",
    ),
    rule(
        "loadBalancer",
        exactly_for!("BackendUtilization", "backendUtilization"),
        "If LoadBalancer type is BackendUtilization, backendUtilization field needs to be set.",
    ),
    rule(
        "loadBalancer",
        exactly_for!("DynamicModule", "dynamicModule"),
        "If LoadBalancer type is DynamicModule, dynamicModule field needs to be set.",
    ),
    rule(
        "loadBalancer",
        "!(self.type in ['Random', 'ConsistentHash', 'DynamicModule']) || !has(self.slowStart)",
        "Currently SlowStart is only supported for RoundRobin, LeastRequest, and BackendUtilization load balancers.",
    ),
    rule(
        "loadBalancer",
        "self.type != 'ConsistentHash' || !has(self.zoneAware) || !has(self.zoneAware.preferLocal)",
        "PreferLocal zone-aware routing is not supported for ConsistentHash load balancers. Use weightedZones instead.",
    ),
    rule(
        "loadBalancer",
        "self.type != 'BackendUtilization' || !has(self.zoneAware) || !has(self.zoneAware.preferLocal)",
        "PreferLocal zone-aware routing is not currently supported for BackendUtilization load balancers. \
         Only WeightedZones can be used with BackendUtilization.",
    ),
    rule(
        "loadBalancer",
        "self.type != 'DynamicModule' || !has(self.zoneAware)",
        "ZoneAware routing is not supported for DynamicModule load balancers.",
    ),
    rule(
        "loadBalancer",
        "!has(self.zoneAware) || !(has(self.zoneAware.preferLocal) && has(self.zoneAware.weightedZones))",
        "ZoneAware PreferLocal and WeightedZones cannot be specified together.",
    ),
    rule(
        "loadBalancer",
        "self.type != 'DynamicModule' || !has(self.endpointOverride)",
        "EndpointOverride is not supported for DynamicModule load balancers.",
    ),
    rule(
        "loadBalancer.consistentHash",
        exactly_for!("Header", "header"),
        "If consistent hash type is header, the header field must be set.",
    ),
    rule(
        "loadBalancer.consistentHash",
        exactly_for!("Headers", "headers"),
        "If consistent hash type is headers, the headers field must be set.",
    ),
    rule(
        "loadBalancer.consistentHash",
        exactly_for!("Cookie", "cookie"),
        "If consistent hash type is cookie, the cookie field must be set.",
    ),
    rule(
        "loadBalancer.consistentHash",
        exactly_for!("QueryParams", "queryParams"),
        "If consistent hash type is queryParams, the queryParams field must be set.",
    ),
    rule(
        "loadBalancer.backendUtilization.outOfBand.reportingPeriod",
        "duration(self) > duration('0s')",
        "reportingPeriod must be greater than 0",
    ),
    rule(
        "circuitBreaker.retryBudget.percent",
        FRACTION,
        FRACTION_MESSAGE,
    ),
    rule(
        "telemetry.tracing.samplingFraction",
        FRACTION,
        FRACTION_MESSAGE,
    ),
    rule(
        "telemetry.tracing.clientSamplingFraction",
        FRACTION,
        FRACTION_MESSAGE,
    ),
    rule(
        "telemetry.tracing.overallSamplingFraction",
        FRACTION,
        FRACTION_MESSAGE,
    ),
    rule(
        "healthCheck.active",
        exactly_for!("HTTP", "http"),
        "If Health Checker type is HTTP, http field needs to be set.",
    ),
    rule(
        "healthCheck.active",
        exactly_for!("TCP", "tcp"),
        "If Health Checker type is TCP, tcp field needs to be set.",
    ),
    rule(
        "healthCheck.active",
        "!has(self.grpc) || self.type == 'GRPC'",
        "The grpc field can only be set if the Health Checker type is GRPC.",
    ),
    rule(
        "healthCheck.active.http",
        "!has(self.requestBody) || (has(self.method) && self.method.matches('^([Pp][Oo][Ss][Tt]|[Pp][Uu][Tt])$'))",
        "The requestBody field can only be set when method is POST or PUT.",
    ),
    text_payload(PAYLOADS[0]),
    binary_payload(PAYLOADS[0]),
    text_payload(PAYLOADS[1]),
    binary_payload(PAYLOADS[1]),
    text_payload(PAYLOADS[2]),
    binary_payload(PAYLOADS[2]),
    text_payload(PAYLOADS[3]),
    binary_payload(PAYLOADS[3]),
    rule(
        "healthCheck.active.healthCheckLog.matches",
        "self.exists(it, it in ['Failure', 'FailureSeriesStart']) == self.exists(it, it in ['Success', 'HealthyTransition'])",
        "a failure type and a success type must both be specified together",
    ),
    rule(
        "healthCheck.active.healthCheckLog.sinks[]",
        exactly_for!("File", "file"),
        "If ProxyHealthCheckLogSink type is File, file field needs to be set.",
    ),
    rule(
        "http2.connectionKeepalive",
        "!has(self.timeout) || !has(self.interval) || duration(self.timeout) < duration(self.interval)",
        "timeout must be less than interval",
    ),
    rule(
        "rateLimit.global.rules[].clientSelectors[]",
        SELECTOR,
        SELECTOR_MESSAGE,
    ),
    rule(
        "rateLimit.local.rules[].clientSelectors[]",
        SELECTOR,
        SELECTOR_MESSAGE,
    ),
    rule("rateLimit.global.rules[].cost.request", COST, COST_MESSAGE),
    rule("rateLimit.global.rules[].cost.response", COST, COST_MESSAGE),
    rule("rateLimit.local.rules[].cost.request", COST, COST_MESSAGE),
    rule("rateLimit.local.rules[].cost.response", COST, COST_MESSAGE),
    rule(
        "rateLimit.local.rules",
        "self.all(it, !has(it.cost) || !has(it.cost.response))",
        "response cost is not supported for Local Rate Limits",
    ),
    rule(
        "rateLimit.local.rules",
        "self.all(it, !has(it.limit.fromMetadata))",
        "limit fromMetadata is not supported for Local Rate Limits",
    ),
    rule(
        "bandwidthLimit",
        "has(self.request) || has(self.response)",
        "at least one of request or response must be specified",
    ),
    rule(
        "faultInjection",
        "has(self.delay) || has(self.abort)",
        "Delay and abort faults are set at least one.",
    ),
    rule(
        "faultInjection.abort",
        "!(has(self.httpStatus) && has(self.grpcStatus))",
        "httpStatus and grpcStatus cannot be simultaneously defined.",
    ),
    rule(
        "faultInjection.abort",
        "has(self.httpStatus) || has(self.grpcStatus)",
        "httpStatus and grpcStatus are set at least one.",
    ),
    rule(
        "admissionControl",
        "!has(self.samplingWindow) || duration(self.samplingWindow) >= duration('1s')",
        "samplingWindow must be at least 1s",
    ),
    rule(
        "httpUpgrade[]",
        "!has(self.connect) || self.type == 'CONNECT'",
        "The connect configuration is only allowed when the type is CONNECT.",
    ),
    rule(
        "responseOverride[]",
        "has(self.response) != has(self.redirect)",
        "exactly one of response or redirect must be specified",
    ),
    rule(
        "responseOverride[].match",
        "has(self.statusCodes) || has(self.responseHeaders)",
        "at least one of statusCodes or responseHeaders must be specified",
    ),
    rule(
        "responseOverride[].match.statusCodes[]",
        "(has(self.type) && self.type != 'Value') || has(self.value)",
        "value must be set for type Value",
    ),
    rule(
        "responseOverride[].match.statusCodes[]",
        "!has(self.type) || self.type != 'Range' || has(self.range)",
        "range must be set for type Range",
    ),
    rule(
        "responseOverride[].match.statusCodes[].range",
        "self.end > self.start",
        "end must be greater than start",
    ),
    rule(
        "responseOverride[].response.body",
        "(has(self.type) && self.type != 'Inline') || has(self.inline)",
        "inline must be set for type Inline",
    ),
    rule(
        "responseOverride[].response.body",
        "!has(self.type) || self.type != 'ValueRef' || has(self.valueRef)",
        "valueRef must be set for type ValueRef",
    ),
    rule(
        "responseOverride[].response.body",
        "!has(self.valueRef) || self.valueRef.kind == 'ConfigMap'",
        "only ConfigMap is supported for ValueRef",
    ),
    rule(
        "responseOverride[].response.header",
        "!has(self.remove) || self.remove.size() == 0",
        "Remove is not supported for header in CustomResponse",
    ),
    rule(
        "responseOverride[].redirect.path",
        "self.type == 'ReplaceFullPath'",
        "only ReplaceFullPath is supported for path.type",
    ),
    rule(
        "responseOverride[].redirect.path",
        "self.type != 'ReplaceFullPath' || has(self.replaceFullPath)",
        "replaceFullPath must be specified when type is set to 'ReplaceFullPath'",
    ),
    rule(
        "responseOverride[].redirect.path",
        "!has(self.replaceFullPath) || self.type == 'ReplaceFullPath'",
        "type must be 'ReplaceFullPath' when replaceFullPath is set",
    ),
    rule(
        "responseOverride[].redirect.path",
        "self.type != 'ReplacePrefixMatch' || has(self.replacePrefixMatch)",
        "replacePrefixMatch must be specified when type is set to 'ReplacePrefixMatch'",
    ),
    rule(
        "responseOverride[].redirect.path",
        "!has(self.replacePrefixMatch) || self.type == 'ReplacePrefixMatch'",
        "type must be 'ReplacePrefixMatch' when replacePrefixMatch is set",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_null_counts_as_absent() {
        assert_eq!(
            null_safe("!has(self.a) || has(self.a.b) == true"),
            "!(has(self.a) && dyn(self.a) != null) || (has(self.a.b) && dyn(self.a.b) != null) == true"
        );
        assert_eq!(null_safe("self != 'x'"), "self != 'x'");
    }
}
