//! What the API server refuses is refused, in its words.

use serde_json::json;

use super::*;

#[test]
fn what_the_api_server_refuses_is_refused() {
    let target = json!({"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "edge"});
    let with = |field: &str, value: Value| {
        let mut spec = json!({"targetRefs": [target]});
        spec[field] = value;
        spec
    };
    let detect = |value: Value| with("clientIPDetection", value);
    let headers = |value: Value| with("headers", value);
    let tls = |value: Value| with("tls", value);
    let limit = |value: Value| with("connection", json!({"connectionLimit": value}));
    // (spec, where and what; empty: nothing)
    let cases = [
        (with("http3", json!({})), ""),
        (
            json!({}),
            "spec: either targetRef or targetRefs must be used",
        ),
        (
            json!({"targetRef": target, "targetRefs": [target]}),
            "spec: either targetRef or targetRefs must be used",
        ),
        (json!({"targetSelectors": [{"kind": "Gateway"}]}), ""),
        (
            json!({"targetRefs": [{"kind": "Gateway", "name": "edge"}]}),
            "spec.targetRefs[0].group: Required value",
        ),
        (
            json!({"targetRef": {"group": "apps", "kind": "Gateway", "name": "a"}}),
            "spec: this policy can only have a targetRef.group of gateway.networking.k8s.io",
        ),
        (
            json!({"targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "a"}]}),
            "spec: this policy can only have a targetRefs[*].kind of Gateway or ListenerSet",
        ),
        (
            json!({"targetSelectors": [{"kind": "Gateway", "group": "apps"}]}),
            "spec.targetSelectors[0]: group must be gateway.networking.k8s.io",
        ),
        (
            json!({"targetSelectors": [{"kind": "Gateway", "namespaces": {"from": "Selector"}}]}),
            "spec.targetSelectors[0].namespaces: selector must be specified when from is Selector",
        ),
        (detect(json!({"directSourceIP": {}})), ""),
        (detect(json!({"xForwardedFor": {"numTrustedHops": 2}})), ""),
        (
            detect(json!({})),
            "spec.clientIPDetection: exactly one of xForwardedFor, customHeader, or directSourceIP must be set",
        ),
        (
            detect(json!({"customHeader": {"name": "x-ip"}, "directSourceIP": {}})),
            "spec.clientIPDetection: exactly one of xForwardedFor, customHeader, or directSourceIP must be set",
        ),
        (
            detect(json!({"xForwardedFor": {}})),
            "spec.clientIPDetection.xForwardedFor: only one of numTrustedHops or trustedCIDRs must be set",
        ),
        (
            detect(json!({"xForwardedFor": {"numTrustedHops": 1, "trustedCIDRs": ["10.0.0.0/8"]}})),
            "spec.clientIPDetection.xForwardedFor: only one of numTrustedHops or trustedCIDRs must be set",
        ),
        (
            detect(json!({"xForwardedFor": {"trustedCIDRs": ["10.0.0.0/8", "fd00::/8"]}})),
            "",
        ),
        (
            detect(json!({"xForwardedFor": {"trustedCIDRs": []}})),
            "spec.clientIPDetection.xForwardedFor.trustedCIDRs: Invalid value: 0: spec.clientIPDetection.xForwardedFor.trustedCIDRs in body should have at least 1 items",
        ),
        (
            detect(json!({"customHeader": {"name": "x_ip"}})),
            r#"spec.clientIPDetection.customHeader.name: Invalid value: "x_ip": spec.clientIPDetection.customHeader.name in body should match '^[A-Za-z0-9-]+$'"#,
        ),
        (limit(json!({"value": 1, "closeDelay": "1s"})), ""),
        (
            limit(json!({"closeDelay": "1s"})),
            "spec.connection.connectionLimit: closeDelay can only be configured when value is set",
        ),
        (
            limit(json!({"value": 0})),
            "spec.connection.connectionLimit.value: Invalid value: 0: spec.connection.connectionLimit.value in body should be greater than or equal to 1",
        ),
        (headers(json!({"requestID": "Disable"})), ""),
        (
            headers(json!({"requestID": "Disable", "preserveXRequestID": false})),
            "spec.headers: preserveXRequestID and requestID cannot both be set.",
        ),
        (
            headers(
                json!({"xForwardedClientCert": {"mode": "SanitizeSet", "certDetailsToAdd": ["DNS"]}}),
            ),
            "",
        ),
        (
            headers(json!({"xForwardedClientCert": {"certDetailsToAdd": ["DNS"]}})),
            "spec.headers.xForwardedClientCert: certDetailsToAdd can only be set when mode is AppendForward or SanitizeSet",
        ),
        (
            headers(json!({"earlyRequestHeaders": {"remove": []}})),
            "spec.headers.earlyRequestHeaders.remove: Invalid value: 0: spec.headers.earlyRequestHeaders.remove in body should have at least 1 items",
        ),
        (
            headers(
                json!({"lateResponseHeaders": {"set": [{"name": "a", "value": "b"}, {"name": "a", "value": "c"}]}}),
            ),
            r#"spec.headers.lateResponseHeaders.set[1]: Duplicate value: "a""#,
        ),
        (
            with(
                "http2",
                json!({"connectionKeepalive": {"timeout": "5s", "interval": "5s"}}),
            ),
            "spec.http2.connectionKeepalive: timeout must be less than interval",
        ),
        (
            with("http2", json!({"maxConcurrentStreams": 0})),
            "spec.http2.maxConcurrentStreams: Invalid value: 0: spec.http2.maxConcurrentStreams in body should be greater than or equal to 1",
        ),
        (tls(json!({"minVersion": "Auto", "maxVersion": "1.0"})), ""),
        (tls(json!({"minVersion": "1.3", "maxVersion": "Auto"})), ""),
        (
            tls(json!({"minVersion": "1.3", "maxVersion": "1.2"})),
            "spec.tls: minVersion must be smaller or equal to maxVersion",
        ),
        (
            tls(json!({"maxVersion": "1.1"})),
            "spec.tls: minVersion must be smaller or equal to maxVersion",
        ),
        (
            tls(json!({"minVersion": "1.3", "ciphers": ["a"]})),
            "spec.tls: setting ciphers has no effect if the minimum possible TLS version is 1.3",
        ),
        (
            tls(json!({"clientValidation": {"allowExpiredCertificate": true}})),
            "",
        ),
        (
            tls(json!({"clientValidation": {"allowExpiredCertificate": true, "mode": "Request"}})),
            "spec.tls.clientValidation: allowExpiredCertificate can only be set when mode is VerifyIfGiven or RequireAndVerify",
        ),
        (
            tls(json!({"clientValidation": {"crl": {}}})),
            "spec.tls.clientValidation.crl.refs: Required value",
        ),
        (
            with("timeout", json!({"http": {"idleTimeout": "1d"}})),
            r#"spec.timeout.http.idleTimeout: Invalid value: "1d": spec.timeout.http.idleTimeout in body should match '^([0-9]{1,5}(h|m|s|ms)){1,4}$'"#,
        ),
        (
            with("clientIpDetection", json!({})),
            r#"spec.clientIpDetection: unknown field "clientIpDetection": did you mean "clientIPDetection"?"#,
        ),
    ];
    for (spec, expected) in cases {
        let found = check(&spec);
        let found: Vec<_> = found
            .iter()
            .map(|Violation { at, id: _, message }| format!("{}: {message}", at.as_str()))
            .collect();
        assert_eq!(found.join("\n"), expected, "{spec}");
    }
}
