//! The schemas of a policy's settings for the way to the backends: load balancing, health, connections, retries.

use super::pattern;
use super::policy::{FRACTION, HTTP_STATUS, NUMBER_OF, PERCENT, PORT};
use super::schema::Schema::{Any, Bool, ByteSize, Int32, Integer, List, Map, Object, Text, Words};
use super::schema::{self, DURATION, INT32, INTEGER, Schema, TEXT, Unique, list, may, must, up_to};

pub(super) const LOAD_BALANCER: Schema = Object(&[
    must(
        "type",
        Words(&[
            "ConsistentHash",
            "LeastRequest",
            "Random",
            "RoundRobin",
            "BackendUtilization",
            "DynamicModule",
        ]),
    ),
    may("slowStart", Object(&[must("window", DURATION)])),
    may("consistentHash", CONSISTENT_HASH),
    may("backendUtilization", BACKEND_UTILIZATION),
    may("dynamicModule", DYNAMIC_MODULE),
    may(
        "endpointOverride",
        Object(&[must(
            "extractFrom",
            List(&schema::List {
                items: Object(&[may("header", TEXT)]),
                least: 1,
                most: 10,
                unique: Unique::Nothing,
            }),
        )]),
    ),
    may("zoneAware", ZONE_AWARE),
]);
const NAMED: Schema = Object(&[must("name", TEXT)]);
const CONSISTENT_HASH: Schema = Object(&[
    must(
        "type",
        Words(&["SourceIP", "Header", "Headers", "Cookie", "QueryParams"]),
    ),
    may("header", NAMED),
    may("headers", List(&list(NAMED))),
    may(
        "cookie",
        Object(&[
            must("name", TEXT),
            may("ttl", DURATION),
            may("attributes", Map(&TEXT)),
        ]),
    ),
    may("queryParams", List(&list(NAMED))),
    may("tableSize", Integer(2, 5_000_011)),
]);
const BACKEND_UTILIZATION: Schema = Object(&[
    may("blackoutPeriod", DURATION),
    may("weightExpirationPeriod", DURATION),
    may("weightUpdatePeriod", DURATION),
    may("errorUtilizationPenaltyPercent", Int32(0)),
    may("metricNamesForComputingUtilization", List(&list(TEXT))),
    may("keepResponseHeaders", Bool),
    may(
        "outOfBand",
        Object(&[
            may("reportingPeriod", DURATION),
            may("port", PORT),
            may("authority", Text(1, 259, Some(pattern::AUTHORITY))),
        ]),
    ),
]);
const DYNAMIC_MODULE: Schema = Object(&[
    must("name", Text(1, 253, Some(pattern::MODULE))),
    must("lbPolicyName", Text(1, 253, None)),
    may("config", Any),
]);
const ZONE_AWARE: Schema = Object(&[
    may(
        "preferLocal",
        Object(&[
            may("minEndpointsThreshold", INTEGER),
            may("percentageEnabled", PERCENT),
            may(
                "force",
                Object(&[may("minEndpointsInZoneThreshold", INT32)]),
            ),
        ]),
    ),
    may(
        "weightedZones",
        List(&schema::List {
            items: Object(&[must("zone", TEXT), must("weight", INT32)]),
            least: 0,
            most: usize::MAX,
            unique: Unique::Key("zone"),
        }),
    ),
]);

pub(super) const RETRY: Schema = Object(&[
    may("numRetries", Int32(0)),
    may("numAttemptsPerPriority", INT32),
    may(
        "retryOn",
        Object(&[
            may("triggers", List(&list(Words(RETRY_TRIGGERS)))),
            may("httpStatusCodes", List(&list(HTTP_STATUS))),
        ]),
    ),
    may(
        "perRetry",
        Object(&[
            may("timeout", DURATION),
            may(
                "backOff",
                Object(&[may("baseInterval", DURATION), may("maxInterval", DURATION)]),
            ),
        ]),
    ),
]);
const RETRY_TRIGGERS: &[&str] = &[
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

pub(super) const HEALTH_CHECK: Schema = Object(&[
    may("panicThreshold", PERCENT),
    may("active", ACTIVE_HEALTH_CHECK),
    may(
        "passive",
        Object(&[
            may("interval", DURATION),
            may("baseEjectionTime", DURATION),
            may("maxEjectionPercent", PERCENT),
            may("consecutive5XxErrors", INT32),
            may("consecutiveGatewayErrors", INT32),
            may("consecutiveLocalOriginFailures", INT32),
            may("splitExternalLocalOriginErrors", Bool),
            may("failurePercentageThreshold", PERCENT),
            may("alwaysEjectOneEndpoint", Bool),
        ]),
    ),
]);
const ACTIVE_HEALTH_CHECK: Schema = Object(&[
    must("type", Words(&["HTTP", "TCP", "GRPC"])),
    may("timeout", DURATION),
    may("interval", DURATION),
    may("initialJitter", DURATION),
    may("unhealthyThreshold", Int32(1)),
    may("healthyThreshold", Int32(1)),
    may(
        "http",
        Object(&[
            may("hostname", Text(1, 253, Some(pattern::HOSTNAME))),
            must("path", Text(1, 1024, None)),
            may("method", Text(0, 16, None)),
            may("expectedStatuses", List(&list(HTTP_STATUS))),
            may("retriableStatuses", List(&list(HTTP_STATUS))),
            may("expectedResponse", PAYLOAD),
            may("requestBody", PAYLOAD),
        ]),
    ),
    may(
        "tcp",
        Object(&[may("send", PAYLOAD), may("receive", PAYLOAD)]),
    ),
    may("grpc", Object(&[may("service", TEXT)])),
    may("overrides", Object(&[may("port", PORT)])),
    may(
        "healthCheckLog",
        Object(&[
            may(
                "sinks",
                List(&up_to(
                    1,
                    Object(&[
                        must("type", Words(&["File"])),
                        may("file", Object(&[must("path", Text(1, usize::MAX, None))])),
                    ]),
                )),
            ),
            may(
                "matches",
                List(&schema::List {
                    items: Words(&[
                        "Failure",
                        "FailureSeriesStart",
                        "Success",
                        "HealthyTransition",
                    ]),
                    least: 0,
                    most: 4,
                    unique: Unique::Items,
                }),
            ),
        ]),
    ),
]);
const PAYLOAD: Schema = Object(&[
    must("type", Words(&["Text", "Binary"])),
    may("text", TEXT),
    may("binary", TEXT),
]);

pub(super) const CIRCUIT_BREAKER: Schema = Object(&[
    may("maxConnections", NUMBER_OF),
    may("maxPendingRequests", NUMBER_OF),
    may("maxParallelRequests", NUMBER_OF),
    may("maxParallelRetries", NUMBER_OF),
    may("maxRequestsPerConnection", NUMBER_OF),
    may("perEndpoint", Object(&[may("maxConnections", NUMBER_OF)])),
    may(
        "retryBudget",
        Object(&[must("percent", FRACTION), may("minRetryConcurrency", INT32)]),
    ),
]);

pub(super) const TIMEOUT: Schema = Object(&[
    may("tcp", Object(&[may("connectTimeout", DURATION)])),
    may(
        "http",
        Object(&[
            may("connectionIdleTimeout", DURATION),
            may("maxConnectionDuration", DURATION),
            may("requestTimeout", DURATION),
            may("maxStreamDuration", DURATION),
            may("streamIdleTimeout", DURATION),
        ]),
    ),
]);

pub(super) const CONNECTION: Schema = Object(&[
    may("bufferLimit", ByteSize),
    may("socketBufferLimit", ByteSize),
    may(
        "preconnect",
        Object(&[
            may("perEndpointPercent", Integer(100, 300)),
            may("predictivePercent", Int32(100)),
        ]),
    ),
]);

pub(super) const DNS: Schema = Object(&[
    may("dnsRefreshRate", DURATION),
    may("respectDnsTtl", Bool),
    may(
        "lookupFamily",
        Words(&[
            "IPv4",
            "IPv6",
            "IPv4Preferred",
            "IPv6Preferred",
            "IPv4AndIPv6",
        ]),
    ),
]);

pub(super) const HTTP2: Schema = Object(&[
    may("initialStreamWindowSize", ByteSize),
    may("initialConnectionWindowSize", ByteSize),
    may("maxConcurrentStreams", Integer(1, 2_147_483_647)),
    may("onInvalidMessage", TEXT),
    may(
        "connectionKeepalive",
        Object(&[
            may("interval", DURATION),
            may("timeout", DURATION),
            may("intervalJitter", PERCENT),
            may("idleInterval", DURATION),
        ]),
    ),
]);
