//! The schema and the rules of ClientTrafficPolicy.

use serde_json::Value;

use super::policy::{GROUP, KIND, OBJECT_NAME, TARGET_SELECTOR};
use super::policy_traffic::{HEADER_NAME, STRING_MATCH};
use super::policy_upstream::HTTP2;
use super::schema::Schema::{Bool, ByteSize, Integer, List, Object, Text, Words};
use super::schema::{self, DURATION, INT32, Schema, TEXT, Unique, list, may, must, up_to};
use super::values::At;
use super::{Violation, judge, pattern, policy_rules};

/// What the API server would refuse in the spec of a ClientTrafficPolicy.
pub(crate) fn check(spec: &Value) -> Vec<Violation> {
    judge(spec, &SPEC, rules)
}

/// Gives fields that differ from ours only in upper and lower case our names, as Go does in files.
pub(crate) fn fold_case(spec: &mut Value) {
    schema::fold_case(spec, &SPEC);
}

pub(crate) const SPEC: Schema = Object(&[
    may("targetRef", TARGET_REF),
    may("targetRefs", List(&list(TARGET_REF))),
    may("targetSelectors", List(&list(TARGET_SELECTOR))),
    may(
        "tcpKeepalive",
        Object(&[
            may("probes", INT32),
            may("idleTime", DURATION),
            may("interval", DURATION),
        ]),
    ),
    may("enableProxyProtocol", Bool),
    may("proxyProtocol", Object(&[may("optional", Bool)])),
    may("clientIPDetection", CLIENT_IP_DETECTION),
    may("tls", TLS),
    may(
        "path",
        Object(&[
            may(
                "escapedSlashesAction",
                Words(&[
                    "KeepUnchanged",
                    "RejectRequest",
                    "UnescapeAndForward",
                    "UnescapeAndRedirect",
                ]),
            ),
            may("disableMergeSlashes", Bool),
        ]),
    ),
    may("headers", HEADERS),
    may("timeout", TIMEOUT),
    may("connection", CONNECTION),
    may("http1", HTTP1),
    may("http2", HTTP2),
    may("http3", Object(&[])),
    may("grpc", Object(&[may("enableWeb", Bool)])),
    may("healthCheck", Object(&[must("path", Text(1, 1024, None))])),
    may("scheme", Words(&["Preserve", "MatchBackend"])),
]);

const TARGET_REF: Schema = Object(&[
    must("group", GROUP),
    must("kind", KIND),
    must("name", OBJECT_NAME),
    may("sectionName", Text(1, 253, Some(pattern::HOSTNAME))),
]);
const CLIENT_IP_DETECTION: Schema = Object(&[
    may(
        "xForwardedFor",
        Object(&[
            may("numTrustedHops", INT32),
            may(
                "trustedCIDRs",
                List(&schema::List {
                    items: Text(0, usize::MAX, Some(pattern::CIDR)),
                    least: 1,
                    most: usize::MAX,
                    unique: Unique::Nothing,
                }),
            ),
            may("disableXForwardedForAppend", Bool),
        ]),
    ),
    may(
        "customHeader",
        Object(&[
            must("name", Text(1, 255, Some(pattern::PLAIN_HEADER))),
            may("failClosed", Bool),
        ]),
    ),
    may("directSourceIP", Object(&[])),
]);
const VERSIONS: &[&str] = &["Auto", "1.0", "1.1", "1.2", "1.3"];
const TLS: Schema = Object(&[
    may("minVersion", Words(VERSIONS)),
    may("maxVersion", Words(VERSIONS)),
    may("ciphers", List(&list(TEXT))),
    may("ecdhCurves", List(&list(TEXT))),
    may("signatureAlgorithms", List(&list(TEXT))),
    may("alpnProtocols", List(&list(TEXT))),
    may("clientValidation", CLIENT_VALIDATION),
    may(
        "session",
        Object(&[may(
            "resumption",
            Object(&[may("stateless", Object(&[])), may("stateful", Object(&[]))]),
        )]),
    ),
    may("fingerprints", List(&list(Words(&["JA3", "JA4"])))),
]);
const OBJECT_REF: Schema = Object(&[
    may("group", GROUP),
    may("kind", KIND),
    must("name", OBJECT_NAME),
    may("namespace", Text(1, 63, Some(pattern::LABEL))),
]);
const STRING_MATCHES: Schema = List(&list(STRING_MATCH));
const CLIENT_VALIDATION: Schema = Object(&[
    may(
        "mode",
        Words(&["Request", "RequireAny", "VerifyIfGiven", "RequireAndVerify"]),
    ),
    may("optional", Bool),
    may("caCertificateRefs", List(&up_to(8, OBJECT_REF))),
    may("spkiHashes", List(&list(TEXT))),
    may("certificateHashes", List(&list(TEXT))),
    may(
        "subjectAltNames",
        Object(&[
            may("dnsNames", STRING_MATCHES),
            may("emailAddresses", STRING_MATCHES),
            may("ipAddresses", STRING_MATCHES),
            may("uris", STRING_MATCHES),
            may(
                "otherNames",
                List(&list(Object(&[
                    must("oid", TEXT),
                    may("type", MATCH_TYPE),
                    must("value", Text(1, 1024, None)),
                ]))),
            ),
        ]),
    ),
    may(
        "crl",
        Object(&[
            must(
                "refs",
                List(&schema::List {
                    items: OBJECT_REF,
                    least: 1,
                    most: 8,
                    unique: Unique::Nothing,
                }),
            ),
            may("onlyVerifyLeafCertificate", Bool),
        ]),
    ),
    may("allowExpiredCertificate", Bool),
]);
const MATCH_TYPE: Schema = Words(&["Exact", "Prefix", "Suffix", "RegularExpression"]);
const HEADERS: Schema = Object(&[
    may("enableEnvoyHeaders", Bool),
    may("disableRateLimitHeaders", Bool),
    may(
        "xForwardedClientCert",
        Object(&[
            may(
                "mode",
                Words(&[
                    "Sanitize",
                    "ForwardOnly",
                    "AppendForward",
                    "SanitizeSet",
                    "AlwaysForwardOnly",
                ]),
            ),
            may(
                "certDetailsToAdd",
                List(&up_to(
                    5,
                    Words(&["Subject", "Cert", "Chain", "DNS", "URI"]),
                )),
            ),
        ]),
    ),
    may(
        "withUnderscoresAction",
        Words(&["Allow", "RejectRequest", "DropHeader"]),
    ),
    may("preserveXRequestID", Bool),
    may(
        "requestID",
        Words(&["PreserveOrGenerate", "Preserve", "Generate", "Disable"]),
    ),
    may("earlyRequestHeaders", HEADER_MODIFIER),
    may("lateResponseHeaders", HEADER_MODIFIER),
    may("host", Object(&[may("stripTrailingHostDot", Bool)])),
    may("maxRequestHeaderLimit", ByteSize),
]);
const HEADER_MODIFIER: Schema = Object(&[
    may("set", List(&NAMED_HEADERS)),
    may("add", List(&NAMED_HEADERS)),
    may("addIfAbsent", List(&NAMED_HEADERS)),
    may("remove", List(&from_one_to_64(TEXT, Unique::Items))),
    may(
        "removeOnMatch",
        List(&from_one_to_64(STRING_MATCH, Unique::Nothing)),
    ),
]);
const NAMED_HEADERS: schema::List = from_one_to_64(
    Object(&[
        must("name", HEADER_NAME),
        must("value", Text(1, 4096, None)),
    ]),
    Unique::Key("name"),
);
const TIMEOUT: Schema = Object(&[
    may(
        "tcp",
        Object(&[
            may("idleTimeout", DURATION),
            may("tlsHandshakeTimeout", DURATION),
            may("connectionInspectionTimeout", DURATION),
        ]),
    ),
    may(
        "http",
        Object(&[
            may("requestReceivedTimeout", DURATION),
            may("requestHeadersReceivedTimeout", DURATION),
            may("idleTimeout", DURATION),
            may("streamIdleTimeout", DURATION),
        ]),
    ),
]);
const CONNECTION: Schema = Object(&[
    may(
        "connectionLimit",
        Object(&[
            may("value", Integer(1, i64::MAX)),
            may("closeDelay", DURATION),
            may("maxConnectionDuration", DURATION),
            may("maxRequestsPerConnection", INT32),
            may("maxStreamDuration", DURATION),
        ]),
    ),
    may("bufferLimit", ByteSize),
    may("socketBufferLimit", ByteSize),
    may("maxAcceptPerSocketEvent", INT32),
]);
const HTTP1: Schema = Object(&[
    may("enableTrailers", Bool),
    may("preserveHeaderCase", Bool),
    may("http10", Object(&[may("useDefaultHost", Bool)])),
    may("ignoredUpgradeTypes", STRING_MATCHES),
    may("disableSafeMaxConnectionDuration", Bool),
]);

const fn from_one_to_64(items: Schema, unique: Unique) -> schema::List {
    schema::List {
        items,
        least: 1,
        most: 64,
        unique,
    }
}

fn rules(spec: &At<'_>, found: &mut Vec<Violation>) {
    policy_rules::targets_of(
        spec,
        &["Gateway", "ListenerSet"],
        "Gateway or ListenerSet",
        found,
    );
    if let Some(at) = spec.get("clientIPDetection") {
        let ways = ["xForwardedFor", "customHeader", "directSourceIP"];
        at.require(
            ways.iter().filter(|it| at.has(it)).count() == 1,
            "exactly one of xForwardedFor, customHeader, or directSourceIP must be set",
            found,
        );
        if let Some(at) = at.get("xForwardedFor") {
            at.require(
                at.has("numTrustedHops") != at.has("trustedCIDRs"),
                "only one of numTrustedHops or trustedCIDRs must be set",
                found,
            );
        }
    }
    if let Some(limit) = spec.follow(&["connection", "connectionLimit"]) {
        limit.require(
            !limit.has("closeDelay") || limit.has("value"),
            "closeDelay can only be configured when value is set",
            found,
        );
    }
    if let Some(headers) = spec.get("headers") {
        headers.require(
            !(headers.has("preserveXRequestID") && headers.has("requestID")),
            "preserveXRequestID and requestID cannot both be set.",
            found,
        );
        if let Some(cert) = headers.get("xForwardedClientCert") {
            let adds = matches!(cert.text("mode"), Some("AppendForward" | "SanitizeSet"));
            cert.require(
                adds || !cert.has_items("certDetailsToAdd"),
                "certDetailsToAdd can only be set when mode is AppendForward or SanitizeSet",
                found,
            );
        }
    }
    if let Some(at) = spec.follow(&["http2", "connectionKeepalive"]) {
        policy_rules::keepalive(&at, found);
    }
    if let Some(tls) = spec.get("tls") {
        tls_rules(&tls, found);
    }
}

fn tls_rules(tls: &At<'_>, found: &mut Vec<Violation>) {
    tls.require(
        tls.text("minVersion") != Some("1.3") || !tls.has("ciphers"),
        "setting ciphers has no effect if the minimum possible TLS version is 1.3",
        found,
    );
    let age = |word: &str| VERSIONS.iter().position(|it| *it == word);
    let least = age(tls.text("minVersion").unwrap_or("1.2"));
    let most = tls.text("maxVersion").filter(|it| *it != "Auto");
    tls.require(
        most.is_none_or(|most| least <= age(most)),
        "minVersion must be smaller or equal to maxVersion",
        found,
    );
    if let Some(validation) = tls.get("clientValidation") {
        let verifies = matches!(
            validation.text("mode"),
            None | Some("VerifyIfGiven" | "RequireAndVerify")
        );
        validation.require(
            verifies || !validation.is_true("allowExpiredCertificate"),
            "allowExpiredCertificate can only be set when mode is VerifyIfGiven or RequireAndVerify",
            found,
        );
    }
}

#[cfg(test)]
mod tests;
