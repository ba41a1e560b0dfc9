//! The schemas of a policy's settings for requests and responses: limits, faults, compression, overrides, telemetry.

use super::pattern;
use super::policy::{FRACTION, GROUP, HTTP_STATUS, KIND, NUMBER_OF, OBJECT_NAME, PERCENT};
use super::schema::Schema::{
    Bool, ByteSize, Codes, Int32, Integer, List, Map, Number, Object, Text, Words,
};
use super::schema::{
    self, DURATION, Field, INT32, INTEGER, Schema, TEXT, Unique, list, may, must, up_to,
};

pub(super) const RATE_LIMIT: Schema = Object(&[
    may("type", Words(&["Global", "Local"])),
    may(
        "global",
        Object(&[must("rules", List(&up_to(256, RATE_LIMIT_RULE)))]),
    ),
    may(
        "local",
        Object(&[may("rules", List(&up_to(16, RATE_LIMIT_RULE)))]),
    ),
]);
const RATE_LIMIT_RULE: Schema = Object(&[
    may("clientSelectors", List(&up_to(8, CLIENT_SELECTOR))),
    must(
        "limit",
        Object(&[
            must("requests", NUMBER_OF),
            must(
                "unit",
                Words(&["Second", "Minute", "Hour", "Day", "Week", "Month", "Year"]),
            ),
            may(
                "fromMetadata",
                Object(&[
                    must("namespace", Text(1, usize::MAX, None)),
                    must("key", Text(1, usize::MAX, None)),
                ]),
            ),
        ]),
    ),
    may(
        "cost",
        Object(&[may("request", COST), may("response", COST)]),
    ),
    may("shared", Bool),
    may("shadowMode", Bool),
    may("xRateLimitHeaders", Words(&["Off", "DraftVersion03"])),
]);
const CLIENT_SELECTOR: Schema = Object(&[
    may("headers", List(&up_to(128, VALUE_MATCH))),
    may(
        "methods",
        List(&list(Object(&[
            must(
                "value",
                Words(&[
                    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
                ]),
            ),
            may("invert", Bool),
        ]))),
    ),
    may(
        "path",
        Object(&[
            may("type", Words(&["Exact", "PathPrefix", "RegularExpression"])),
            may("value", Text(0, 1024, None)),
            may("invert", Bool),
        ]),
    ),
    may(
        "sourceCIDR",
        Object(&[
            may("type", Words(&["Exact", "Distinct"])),
            must("value", Text(1, 256, None)),
            may("invert", Bool),
        ]),
    ),
    may("queryParams", List(&up_to(16, VALUE_MATCH))),
]);
const VALUE_MATCH: Schema = Object(&[
    may("type", Words(&["Exact", "RegularExpression", "Distinct"])),
    must("name", Text(1, 256, None)),
    may("value", Text(0, 1024, None)),
    may("invert", Bool),
]);
const COST: Schema = Object(&[
    must("from", Words(&["Number", "Metadata"])),
    may("number", INTEGER),
    may(
        "metadata",
        Object(&[must("namespace", TEXT), must("key", TEXT)]),
    ),
]);

const BANDWIDTH: Field = must(
    "limit",
    Object(&[
        must("value", ByteSize),
        must("unit", Words(&["Second", "Minute", "Hour"])),
    ]),
);
pub(super) const BANDWIDTH_LIMIT: Schema = Object(&[
    may("request", Object(&[BANDWIDTH])),
    may(
        "response",
        Object(&[
            BANDWIDTH,
            may(
                "responseTrailers",
                Object(&[may(
                    "prefix",
                    Text(0, usize::MAX, Some(pattern::HEADER_PREFIX)),
                )]),
            ),
        ]),
    ),
]);

pub(super) const FAULT_INJECTION: Schema = Object(&[
    may(
        "delay",
        Object(&[must("fixedDelay", DURATION), may("percentage", Number)]),
    ),
    may(
        "abort",
        Object(&[
            may("httpStatus", Integer(200, 600)),
            may("grpcStatus", Integer(0, 16)),
            may("percentage", Number),
        ]),
    ),
]);

pub(super) const ADMISSION_CONTROL: Schema = Object(&[
    may("samplingWindow", DURATION),
    may("minSuccessRate", Integer(1, 100)),
    may("rejectionAggression", Int32(1)),
    may("minRequestRate", Int32(0)),
    may("maxRejectionPercent", PERCENT),
    may(
        "successCriteria",
        Object(&[
            may(
                "http",
                Object(&[may("statusCodes", List(&list(HTTP_STATUS)))]),
            ),
            may(
                "grpc",
                Object(&[may("statusCodes", List(&list(Words(GRPC_STATUSES))))]),
            ),
        ]),
    ),
]);
/// The statuses of gRPC in the order of their numbers, from 0.
pub(crate) const GRPC_STATUSES: &[&str] = &[
    "Ok",
    "Cancelled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

pub(super) const COMPRESSION: Schema = Object(&[
    must("type", Words(&["Gzip", "Brotli", "Zstd"])),
    may("gzip", Object(&[])),
    may("brotli", Object(&[])),
    may("zstd", Object(&[])),
    may("minContentLength", ByteSize),
]);

pub(super) const HTTP_UPGRADE: Schema = Object(&[
    must("type", TEXT),
    may("connect", Object(&[may("terminate", Bool)])),
]);

pub(super) const RESPONSE_OVERRIDE: Schema = Object(&[
    must(
        "match",
        Object(&[
            may(
                "statusCodes",
                List(&schema::List {
                    items: STATUS_CODE_MATCH,
                    least: 1,
                    most: 50,
                    unique: Unique::Nothing,
                }),
            ),
            may(
                "responseHeaders",
                List(&schema::List {
                    items: Object(&[must("name", HEADER_NAME), must("value", STRING_MATCH)]),
                    least: 1,
                    most: 16,
                    unique: Unique::Nothing,
                }),
            ),
        ]),
    ),
    may("source", Words(&["All", "Local", "Backend"])),
    may(
        "response",
        Object(&[
            may("statusCode", INTEGER),
            may("contentType", TEXT),
            may("body", RESPONSE_BODY),
            may("header", HEADER_CHANGES),
        ]),
    ),
    may("redirect", REDIRECT),
]);
const STATUS_CODE_MATCH: Schema = Object(&[
    may("type", Words(&["Value", "Range"])),
    may("value", INTEGER),
    may(
        "range",
        Object(&[must("start", INTEGER), must("end", INTEGER)]),
    ),
]);
pub(super) const STRING_MATCH: Schema = Object(&[
    may(
        "type",
        Words(&["Exact", "Prefix", "Suffix", "RegularExpression"]),
    ),
    must("value", Text(1, 1024, None)),
]);
pub(super) const HEADER_NAME: Schema = Text(1, 256, Some(pattern::TOKEN));
const HEADERS: schema::List = schema::List {
    items: Object(&[
        must("name", HEADER_NAME),
        must("value", Text(1, 4096, None)),
    ]),
    least: 0,
    most: 16,
    unique: Unique::Key("name"),
};
pub(super) const HEADER_CHANGES: Schema = Object(&[
    may("add", List(&HEADERS)),
    may("set", List(&HEADERS)),
    may(
        "remove",
        List(&schema::List {
            items: TEXT,
            least: 0,
            most: 16,
            unique: Unique::Items,
        }),
    ),
]);
pub(super) const RESPONSE_BODY: Schema = Object(&[
    may("type", Words(&["Inline", "ValueRef"])),
    may("inline", TEXT),
    may(
        "valueRef",
        Object(&[
            must("group", GROUP),
            must("kind", KIND),
            must("name", OBJECT_NAME),
        ]),
    ),
]);
const REDIRECT: Schema = Object(&[
    may("scheme", Words(&["http", "https"])),
    may("hostname", Text(1, 253, Some(pattern::HOSTNAME))),
    may(
        "path",
        Object(&[
            must("type", Words(&["ReplaceFullPath", "ReplacePrefixMatch"])),
            may("replaceFullPath", Text(0, 1024, None)),
            may("replacePrefixMatch", Text(0, 1024, None)),
        ]),
    ),
    may("port", INT32),
    may("statusCode", Codes(&[301, 302])),
]);

pub(super) const TELEMETRY: Schema = Object(&[
    may(
        "tracing",
        Object(&[
            may("samplingFraction", FRACTION),
            may("clientSamplingFraction", FRACTION),
            may("overallSamplingFraction", FRACTION),
            may("customTags", Map(&CUSTOM_TAG)),
            may("tags", Map(&TEXT)),
            may(
                "spanName",
                Object(&[must("client", TEXT), must("server", TEXT)]),
            ),
        ]),
    ),
    may("metrics", Object(&[may("routeStatName", TEXT)])),
]);
const CUSTOM_TAG: Schema = Object(&[
    may("type", Words(&["Literal", "Environment", "RequestHeader"])),
    may("literal", Object(&[must("value", TEXT)])),
    may(
        "environment",
        Object(&[must("name", TEXT), may("defaultValue", TEXT)]),
    ),
    may(
        "requestHeader",
        Object(&[must("name", TEXT), may("defaultValue", TEXT)]),
    ),
]);
