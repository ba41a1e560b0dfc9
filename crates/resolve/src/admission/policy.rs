//! The schema of BackendTrafficPolicy: every field of every feature, with its limits.
//!
//! Fields without a limit in the reference have none here. [`super::policy_upstream`] has the features that concern the
//! way to the backends, [`super::policy_traffic`] those that concern requests and responses.

use serde_json::Value;

use super::policy_traffic::{
    ADMISSION_CONTROL, BANDWIDTH_LIMIT, COMPRESSION, FAULT_INJECTION, HTTP_UPGRADE, RATE_LIMIT,
    RESPONSE_OVERRIDE, TELEMETRY,
};
use super::policy_upstream::{
    CIRCUIT_BREAKER, CONNECTION, DNS, HEALTH_CHECK, HTTP2, LOAD_BALANCER, RETRY, TIMEOUT,
};
use super::schema::Schema::{Bool, ByteSize, Int32, Integer, List, Map, Object, Text, Words};
use super::schema::{DURATION, INT32, Schema, TEXT, list, may, must};
use super::{Violation, judge, pattern, policy_rules, schema};

/// What the API server would refuse in the spec of a BackendTrafficPolicy.
pub(crate) fn check(spec: &Value) -> Vec<Violation> {
    judge(spec, &SPEC, policy_rules::check)
}

/// Gives fields that differ from ours only in upper and lower case our names, as Go does in files.
pub(crate) fn fold_case(spec: &mut Value) {
    schema::fold_case(spec, &SPEC);
}

pub(crate) const SPEC: Schema = Object(&[
    may("targetRef", TARGET_REF),
    may("targetRefs", List(&list(TARGET_REF))),
    may("targetSelectors", List(&list(TARGET_SELECTOR))),
    may("mergeType", TEXT),
    may("loadBalancer", LOAD_BALANCER),
    may("retry", RETRY),
    may(
        "proxyProtocol",
        Object(&[must("version", Words(&["V1", "V2"]))]),
    ),
    may(
        "tcpKeepalive",
        Object(&[
            may("probes", INT32),
            may("idleTime", DURATION),
            may("interval", DURATION),
        ]),
    ),
    may("healthCheck", HEALTH_CHECK),
    may("circuitBreaker", CIRCUIT_BREAKER),
    may("timeout", TIMEOUT),
    may("connection", CONNECTION),
    may("dns", DNS),
    may("http2", HTTP2),
    may("rateLimit", RATE_LIMIT),
    may("bandwidthLimit", BANDWIDTH_LIMIT),
    may("faultInjection", FAULT_INJECTION),
    may("admissionControl", ADMISSION_CONTROL),
    may("useClientProtocol", Bool),
    may("compression", List(&list(COMPRESSION))),
    may("compressor", List(&list(COMPRESSION))),
    may("responseOverride", List(&list(RESPONSE_OVERRIDE))),
    may("httpUpgrade", List(&list(HTTP_UPGRADE))),
    may("requestBuffer", Object(&[may("limit", ByteSize)])),
    may("telemetry", TELEMETRY),
    may("routingType", TEXT),
]);

pub(super) const KIND: Schema = Text(1, 63, Some(pattern::KIND));
pub(super) const GROUP: Schema = Text(0, 253, Some(pattern::GROUP));
pub(super) const OBJECT_NAME: Schema = Text(1, 253, None);
pub(super) const HTTP_STATUS: Schema = Integer(100, 599);
pub(super) const PORT: Schema = Integer(1, 65535);
pub(super) const PERCENT: Schema = Integer(0, 100);
pub(super) const NUMBER_OF: Schema = Integer(0, 4_294_967_295);
pub(super) const FRACTION: Schema =
    Object(&[must("numerator", Int32(0)), may("denominator", Int32(1))]);

const TARGET_REF: Schema = Object(&[
    // Required by the reference; people leave it out, and there is only one that fits.
    may("group", GROUP),
    must("kind", KIND),
    must("name", OBJECT_NAME),
    may("sectionName", Text(1, 253, Some(pattern::HOSTNAME))),
]);
pub(super) const TARGET_SELECTOR: Schema = Object(&[
    may("group", GROUP),
    must("kind", KIND),
    may("matchLabels", Map(&TEXT)),
    may("matchExpressions", List(&list(MATCH_EXPRESSION))),
    may(
        "namespaces",
        Object(&[
            may("from", Words(&["Same", "All", "Selector"])),
            may(
                "selector",
                Object(&[
                    may("matchLabels", Map(&TEXT)),
                    may("matchExpressions", List(&list(MATCH_EXPRESSION))),
                ]),
            ),
        ]),
    ),
]);
const MATCH_EXPRESSION: Schema = Object(&[
    must("key", TEXT),
    must("operator", TEXT),
    may("values", List(&list(TEXT))),
]);
