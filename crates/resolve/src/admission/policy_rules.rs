//! The rules across the fields of a BackendTrafficPolicy: the reference's CEL rules, in its words.
//!
//! One function for each part of the spec, called where that part is set. Defaults count as written, as the API server
//! fills them in before it judges.

use super::Violation;
use super::pattern::duration_millis;
use super::response_rules::response_override;
use super::values::At;
use crate::api::GATEWAY_GROUP;

type Found = Vec<Violation>;

/// The kinds of routes.
const ROUTES: &[&str] = &["HTTPRoute", "GRPCRoute", "UDPRoute", "TCPRoute", "TLSRoute"];
/// What a policy may target.
const TARGETS: &[&str] = &[
    "Gateway",
    "ListenerSet",
    "HTTPRoute",
    "GRPCRoute",
    "UDPRoute",
    "TCPRoute",
    "TLSRoute",
];
/// What a policy with admission control may target.
const HTTP_TARGETS: &[&str] = &["Gateway", "ListenerSet", "HTTPRoute", "GRPCRoute"];

/// Tries every rule on a spec.
pub(super) fn check(spec: &At<'_>, found: &mut Found) {
    targets(spec, found);
    combinations(spec, found);
    on(spec, &["loadBalancer"], load_balancer, found);
    on(
        spec,
        &["loadBalancer", "consistentHash"],
        consistent_hash,
        found,
    );
    on(
        spec,
        &[
            "loadBalancer",
            "backendUtilization",
            "outOfBand",
            "reportingPeriod",
        ],
        reporting_period,
        found,
    );
    on(
        spec,
        &["circuitBreaker", "retryBudget", "percent"],
        fraction,
        found,
    );
    on(spec, &["healthCheck", "active"], active_health_check, found);
    on(spec, &["http2", "connectionKeepalive"], keepalive, found);
    on(
        spec,
        &["rateLimit", "global", "rules"],
        rate_limit_rules,
        found,
    );
    on(
        spec,
        &["rateLimit", "local", "rules"],
        rate_limit_rules,
        found,
    );
    on(spec, &["rateLimit", "local", "rules"], local_rules, found);
    on(spec, &["bandwidthLimit"], bandwidth_limit, found);
    on(spec, &["faultInjection"], fault_injection, found);
    on(spec, &["admissionControl"], admission_control, found);
    for name in [
        "samplingFraction",
        "clientSamplingFraction",
        "overallSamplingFraction",
    ] {
        on(spec, &["telemetry", "tracing", name], fraction, found);
    }
    for upgrade in spec.items_of("httpUpgrade") {
        let holds = !upgrade.has("connect") || upgrade.text("type") == Some("CONNECT");
        upgrade.require(
            holds,
            "The connect configuration is only allowed when the type is CONNECT.",
            found,
        );
    }
    for item in spec.items_of("responseOverride") {
        response_override(&item, found);
    }
}

fn on(spec: &At<'_>, way: &[&str], rule: fn(&At<'_>, &mut Found), found: &mut Found) {
    if let Some(at) = spec.follow(way) {
        rule(&at, found);
    }
}

fn targets(spec: &At<'_>, found: &mut Found) {
    let kinds = "Gateway/ListenerSet/HTTPRoute/GRPCRoute/TCPRoute/UDPRoute/TLSRoute";
    targets_of(spec, TARGETS, kinds, found);
    let single = spec.get("targetRef");
    let several = [
        spec.items_of("targetRefs"),
        spec.items_of("targetSelectors"),
    ];
    let only = |kinds| {
        let all = single.iter().chain(several.iter().flatten());
        all.into_iter().all(|it| is_of(it, kinds))
    };
    let merges = spec.has("mergeType");
    spec.require(
        !merges || only(ROUTES),
        "mergeType can only be used with xRoute targets",
        found,
    );
    spec.require(
        !spec.has("admissionControl") || only(HTTP_TARGETS),
        "admissionControl can only be used with HTTPRoute, GRPCRoute, Gateway, or ListenerSet targets",
        found,
    );
    if let Some(merge_type) = spec.get("mergeType") {
        let holds = merge_type.as_text() != Some("Replace");
        merge_type.require(
            holds,
            "Replace is not a valid MergeType for BackendTrafficPolicySpec",
            found,
        );
    }
}

/// The rules about the targets of any policy that may target these kinds, which messages call `named`.
pub(super) fn targets_of(spec: &At<'_>, kinds: &[&str], named: &str, found: &mut Found) {
    let one_of_them = spec.has("targetRef") != spec.has("targetRefs");
    let usable = one_of_them || spec.has_items("targetSelectors");
    spec.require(usable, "either targetRef or targetRefs must be used", found);

    let ours = |target: &At<'_>| {
        target
            .text("group")
            .is_none_or(|group| group == GATEWAY_GROUP)
    };
    let group = "group of gateway.networking.k8s.io";
    let kind = format!("kind of {named}");
    let single: Vec<_> = spec.get("targetRef").into_iter().collect();
    for (targets, list) in [
        (single, "targetRef."),
        (spec.items_of("targetRefs"), "targetRefs[*]."),
    ] {
        for (holds, what) in [
            (targets.iter().all(ours), group),
            (targets.iter().all(|it| is_of(it, kinds)), &kind),
        ] {
            let message = format!("this policy can only have a {list}{what}");
            spec.require(holds, &message, found);
        }
    }
    for selector in spec.items_of("targetSelectors") {
        selector.require(
            ours(&selector),
            "group must be gateway.networking.k8s.io",
            found,
        );
        if let Some(namespaces) = selector.get("namespaces") {
            let holds = namespaces.text("from") != Some("Selector") || namespaces.has("selector");
            namespaces.require(
                holds,
                "selector must be specified when from is Selector",
                found,
            );
        }
    }
}

fn is_of(target: &At<'_>, kinds: &[&str]) -> bool {
    let kind = target.text("kind");
    kind.is_some_and(|kind| kinds.contains(&kind))
}

fn combinations(spec: &At<'_>, found: &mut Found) {
    let both = spec.has("compression") && spec.has("compressor");
    spec.require(
        !both,
        "either compression or compressor can be set, not both",
        found,
    );
    let both = spec.has("requestBuffer") && spec.has_items("httpUpgrade");
    spec.require(
        !both,
        "requestBuffer cannot be used together with httpUpgrade",
        found,
    );
    let predictive = spec
        .follow(&["connection", "preconnect", "predictivePercent"])
        .is_some();
    let balancer = spec.get("loadBalancer");
    let fits = balancer.is_some_and(|it| matches!(it.text("type"), Some("Random" | "RoundRobin")));
    spec.require(
        !predictive || fits,
        "predictivePercent in preconnect policy only works with RoundRobin or Random load balancers",
        found,
    );
}

fn load_balancer(at: &At<'_>, found: &mut Found) {
    let is = |kind| at.text("type") == Some(kind);
    let settings = [
        ("ConsistentHash", "consistentHash", "consistentHash"),
        (
            "BackendUtilization",
            "BackendUtilization",
            "backendUtilization",
        ),
        ("DynamicModule", "DynamicModule", "dynamicModule"),
    ];
    for (kind, spoken, field) in settings {
        let message = format!("If LoadBalancer type is {spoken}, {field} field needs to be set.");
        at.require(is(kind) == at.has(field), &message, found);
    }
    at.require(
        !(is("Random") || is("ConsistentHash") || is("DynamicModule")) || !at.has("slowStart"),
        "Currently SlowStart is only supported for RoundRobin, LeastRequest, and BackendUtilization load balancers.",
        found,
    );
    let prefer_local = at.follow(&["zoneAware", "preferLocal"]).is_some();
    at.require(
        !(is("ConsistentHash") && prefer_local),
        "PreferLocal zone-aware routing is not supported for ConsistentHash load balancers. Use weightedZones instead.",
        found,
    );
    at.require(
        !(is("BackendUtilization") && prefer_local),
        "PreferLocal zone-aware routing is not currently supported for BackendUtilization load balancers. \
         Only WeightedZones can be used with BackendUtilization.",
        found,
    );
    at.require(
        !(is("DynamicModule") && at.has("zoneAware")),
        "ZoneAware routing is not supported for DynamicModule load balancers.",
        found,
    );
    at.require(
        !(prefer_local && at.follow(&["zoneAware", "weightedZones"]).is_some()),
        "ZoneAware PreferLocal and WeightedZones cannot be specified together.",
        found,
    );
    at.require(
        !(is("DynamicModule") && at.has("endpointOverride")),
        "EndpointOverride is not supported for DynamicModule load balancers.",
        found,
    );
}

fn consistent_hash(at: &At<'_>, found: &mut Found) {
    let fields = [
        ("Header", "header"),
        ("Headers", "headers"),
        ("Cookie", "cookie"),
        ("QueryParams", "queryParams"),
    ];
    for (kind, field) in fields {
        let holds = (at.text("type") == Some(kind)) == at.has(field);
        let message = format!("If consistent hash type is {field}, the {field} field must be set.");
        at.require(holds, &message, found);
    }
}

fn reporting_period(at: &At<'_>, found: &mut Found) {
    at.require(
        at.as_text().and_then(duration_millis) > Some(0),
        "reportingPeriod must be greater than 0",
        found,
    );
}

fn fraction(at: &At<'_>, found: &mut Found) {
    let holds = at.number("numerator") <= Some(at.number("denominator").unwrap_or(100));
    at.require(
        holds,
        "numerator must be less than or equal to denominator",
        found,
    );
}

fn active_health_check(at: &At<'_>, found: &mut Found) {
    let is = |kind| at.text("type") == Some(kind);
    for (kind, field) in [("HTTP", "http"), ("TCP", "tcp")] {
        let message = format!("If Health Checker type is {kind}, {field} field needs to be set.");
        at.require(is(kind) == at.has(field), &message, found);
    }
    let holds = !at.has("grpc") || is("GRPC");
    at.require(
        holds,
        "The grpc field can only be set if the Health Checker type is GRPC.",
        found,
    );
    if let Some(http) = at.get("http") {
        let writes = http
            .text("method")
            .is_some_and(|it| ["POST", "PUT"].iter().any(|m| it.eq_ignore_ascii_case(m)));
        let holds = !http.has("requestBody") || writes;
        http.require(
            holds,
            "The requestBody field can only be set when method is POST or PUT.",
            found,
        );
    }
    let payloads = [
        ["http", "requestBody"],
        ["http", "expectedResponse"],
        ["tcp", "send"],
        ["tcp", "receive"],
    ];
    for way in payloads {
        on(at, &way, payload, found);
    }
    if let Some(matches) = at.follow(&["healthCheckLog", "matches"]) {
        let any = |words: [&str; 2]| {
            matches
                .items()
                .any(|it| it.as_text().is_some_and(|word| words.contains(&word)))
        };
        let holds = any(["Failure", "FailureSeriesStart"]) == any(["Success", "HealthyTransition"]);
        matches.require(
            holds,
            "a failure type and a success type must both be specified together",
            found,
        );
    }
    for sink in at
        .follow(&["healthCheckLog", "sinks"])
        .iter()
        .flat_map(At::items)
    {
        let message = "If ProxyHealthCheckLogSink type is File, file field needs to be set.";
        sink.require(
            (sink.text("type") == Some("File")) == sink.has("file"),
            message,
            found,
        );
    }
}

fn payload(at: &At<'_>, found: &mut Found) {
    for (kind, field) in [("Text", "text"), ("Binary", "binary")] {
        let message = format!("If payload type is {kind}, {field} field needs to be set.");
        at.require(
            (at.text("type") == Some(kind)) == at.has(field),
            &message,
            found,
        );
    }
}

pub(super) fn keepalive(at: &At<'_>, found: &mut Found) {
    let millis = |name| at.text(name).and_then(duration_millis);
    if let (Some(timeout), Some(interval)) = (millis("timeout"), millis("interval")) {
        at.require(
            timeout < interval,
            "timeout must be less than interval",
            found,
        );
    }
}

fn rate_limit_rules(rules: &At<'_>, found: &mut Found) {
    for rule in rules.items() {
        for selector in rule.items_of("clientSelectors") {
            selector.require(
                ["headers", "methods", "path", "sourceCIDR", "queryParams"].iter().any(|name| selector.has(name)),
                "at least one of headers, methods, path, sourceCIDR or queryParams must be specified",
                found,
            );
        }
        for name in ["request", "response"] {
            if let Some(cost) = rule.follow(&["cost", name]) {
                let both = cost.has("number") && cost.has("metadata");
                cost.require(
                    !both,
                    "only one of number or metadata can be specified",
                    found,
                );
            }
        }
    }
}

fn local_rules(rules: &At<'_>, found: &mut Found) {
    let none = |way: &[&str]| rules.items().all(|rule| rule.follow(way).is_none());
    rules.require(
        none(&["cost", "response"]),
        "response cost is not supported for Local Rate Limits",
        found,
    );
    let holds = none(&["limit", "fromMetadata"]);
    rules.require(
        holds,
        "limit fromMetadata is not supported for Local Rate Limits",
        found,
    );
}

fn bandwidth_limit(at: &At<'_>, found: &mut Found) {
    let holds = at.has("request") || at.has("response");
    at.require(
        holds,
        "at least one of request or response must be specified",
        found,
    );
}

fn fault_injection(at: &At<'_>, found: &mut Found) {
    at.require(
        at.has("delay") || at.has("abort"),
        "Delay and abort faults are set at least one.",
        found,
    );
    if let Some(abort) = at.get("abort") {
        let (http, grpc) = (abort.has("httpStatus"), abort.has("grpcStatus"));
        abort.require(
            !(http && grpc),
            "httpStatus and grpcStatus cannot be simultaneously defined.",
            found,
        );
        abort.require(
            http || grpc,
            "httpStatus and grpcStatus are set at least one.",
            found,
        );
    }
}

fn admission_control(at: &At<'_>, found: &mut Found) {
    // The schema has the same bounds for the two percentages, so only the window needs a rule.
    if let Some(window) = at.text("samplingWindow").and_then(duration_millis) {
        at.require(window >= 1_000, "samplingWindow must be at least 1s", found);
    }
}
