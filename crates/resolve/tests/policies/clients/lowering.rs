//! What each field of a ClientTrafficPolicy comes to in the plan, and what is said of values that cannot be.

use serde_json::{Value, json};

use super::{answers, client, findings, of_clients, resolved, told};

fn lowered(spec: &str) -> Value {
    let resolution = resolved(&client("c", "Gateway edge", spec));
    let accepted = "Gateway edge: Accepted=True Accepted";
    assert_eq!(told(&resolution, "c")[0], accepted, "{spec}");
    serde_json::to_value(of_clients(&resolution, "http")).unwrap()
}

#[test]
fn each_field_reaches_the_plan() {
    let set = |names: &[&str]| json!(names.iter().map(|it| [*it, "1"]).collect::<Vec<_>>());
    // (what is written, where it is in the plan, what it comes to)
    let cases = [
        (
            "tcpKeepalive: {probes: 3, idleTime: 1m, interval: 5s}",
            "/socket/tcp_keepalive",
            json!({"probes": 3, "idle_time": "1m", "interval": "5s"}),
        ),
        (
            "proxyProtocol: {}",
            "/socket/proxy_protocol",
            json!("Required"),
        ),
        (
            "proxyProtocol: {optional: true}",
            "/socket/proxy_protocol",
            json!("Optional"),
        ),
        (
            "enableProxyProtocol: false",
            "/socket/proxy_protocol",
            Value::Null,
        ),
        (
            "connection: {connectionLimit: {value: 7, closeDelay: 2s}}",
            "/socket/limit",
            json!({"value": 7, "close_delay": "2s"}),
        ),
        (
            "connection: {connectionLimit: {value: 7}}",
            "/socket/limit",
            json!({"value": 7, "close_delay": "0s"}),
        ),
        (
            "connection: {connectionLimit: {maxConnectionDuration: 1h}}",
            "/connection/max_duration",
            json!("1h"),
        ),
        (
            "connection: {connectionLimit: {maxConnectionDuration: 0s}}",
            "/connection/max_duration",
            Value::Null,
        ),
        (
            "connection: {connectionLimit: {maxRequestsPerConnection: 9}}",
            "/connection/max_requests",
            json!(9),
        ),
        (
            "connection: {connectionLimit: {maxStreamDuration: 3s}}",
            "/connection/max_stream_duration",
            json!("3s"),
        ),
        (
            "connection: {bufferLimit: 64Ki}",
            "/connection/buffer_limit",
            json!(65_536),
        ),
        (
            "connection: {socketBufferLimit: 8Ki}",
            "/socket/buffer_bytes",
            json!(8_192),
        ),
        (
            "timeout: {tcp: {connectionInspectionTimeout: 2s}}",
            "/socket/inspection_timeout",
            json!("2s"),
        ),
        // Everything is bounded.
        (
            "timeout: {tcp: {connectionInspectionTimeout: 0s}}",
            "/socket/inspection_timeout",
            json!("24h"),
        ),
        (
            "timeout: {tcp: {tlsHandshakeTimeout: 4s}}",
            "/socket/handshake_timeout",
            json!("4s"),
        ),
        (
            "timeout: {tcp: {idleTimeout: 2m}}",
            "/timeout/tcp_idle",
            json!("2m"),
        ),
        (
            "timeout: {http: {requestReceivedTimeout: 5s}}",
            "/timeout/request_received",
            json!("5s"),
        ),
        (
            "timeout: {http: {requestReceivedTimeout: 0s}}",
            "/timeout/request_received",
            Value::Null,
        ),
        (
            "timeout: {http: {requestHeadersReceivedTimeout: 6s}}",
            "/timeout/request_headers_received",
            json!("6s"),
        ),
        (
            "timeout: {http: {idleTimeout: 90s}}",
            "/timeout/idle",
            json!("1m30s"),
        ),
        (
            "timeout: {http: {idleTimeout: 0s}}",
            "/timeout/idle",
            Value::Null,
        ),
        (
            "clientIPDetection: {xForwardedFor: {numTrustedHops: 2}}",
            "/ip_detection",
            json!({"TrustedHops": {"hops": 2, "append": true}}),
        ),
        (
            "clientIPDetection: {xForwardedFor: {numTrustedHops: 2, disableXForwardedForAppend: true}}",
            "/ip_detection",
            json!({"TrustedHops": {"hops": 2, "append": false}}),
        ),
        // Nobody is trusted.
        (
            "clientIPDetection: {xForwardedFor: {numTrustedHops: 0}}",
            "/ip_detection",
            json!({"Direct": {"append": true}}),
        ),
        (
            "clientIPDetection: {directSourceIP: {}}",
            "/ip_detection",
            json!({"Direct": {"append": true}}),
        ),
        (
            "clientIPDetection: {xForwardedFor: {trustedCIDRs: [10.0.0.0/8, 'fd00::/8']}}",
            "/ip_detection",
            json!({"TrustedNetworks": {"networks": ["10.0.0.0/8", "fd00::/8"], "append": true}}),
        ),
        (
            "clientIPDetection: {customHeader: {name: X-Client, failClosed: true}}",
            "/ip_detection",
            json!({"Header": {"name": "x-client", "fail_closed": true}}),
        ),
        (
            "path: {escapedSlashesAction: KeepUnchanged, disableMergeSlashes: true}",
            "/path",
            json!({"merge_slashes": false, "escaped_slashes": "KeepUnchanged"}),
        ),
        (
            "path: {escapedSlashesAction: RejectRequest}",
            "/path/escaped_slashes",
            json!("RejectRequest"),
        ),
        (
            "path: {escapedSlashesAction: UnescapeAndForward}",
            "/path/escaped_slashes",
            json!("UnescapeAndForward"),
        ),
        (
            "headers: {enableEnvoyHeaders: true}",
            "/headers/envoy_headers",
            json!(true),
        ),
        (
            "headers: {withUnderscoresAction: DropHeader}",
            "/headers/with_underscores",
            json!("DropHeader"),
        ),
        (
            "headers: {withUnderscoresAction: Allow}",
            "/headers/with_underscores",
            json!("Allow"),
        ),
        (
            "headers: {requestID: Disable}",
            "/headers/request_id",
            json!("Disable"),
        ),
        (
            "headers: {requestID: Preserve}",
            "/headers/request_id",
            json!("Preserve"),
        ),
        (
            "headers: {preserveXRequestID: false}",
            "/headers/request_id",
            json!("Generate"),
        ),
        (
            "headers: {xForwardedClientCert: {mode: ForwardOnly}}",
            "/headers/client_cert",
            json!("ForwardOnly"),
        ),
        (
            "headers: {xForwardedClientCert: {mode: AppendForward, certDetailsToAdd: [URI, DNS, URI]}}",
            "/headers/client_cert",
            json!({"AppendForward": ["URI", "DNS"]}),
        ),
        (
            "headers: {xForwardedClientCert: {}}",
            "/headers/client_cert",
            json!("Sanitize"),
        ),
        (
            "headers: {host: {stripTrailingHostDot: true}}",
            "/headers/strip_trailing_host_dot",
            json!(true),
        ),
        // Rounded up to whole KiB, as Envoy counts.
        (
            "headers: {maxRequestHeaderLimit: '1025'}",
            "/headers/max_bytes",
            json!(2_048),
        ),
        (
            "headers: {earlyRequestHeaders: {set: [{name: A, value: '1'}]}}",
            "/headers/early_request/set",
            set(&["a"]),
        ),
        (
            "headers: {earlyRequestHeaders: {addIfAbsent: [{name: b, value: '1'}]}}",
            "/headers/early_request/add_if_absent",
            set(&["b"]),
        ),
        (
            "headers: {lateResponseHeaders: {add: [{name: c, value: '1'}]}}",
            "/headers/late_response/add",
            set(&["c"]),
        ),
        (
            "headers: {lateResponseHeaders: {remove: [Server]}}",
            "/headers/late_response/remove",
            json!(["server"]),
        ),
        (
            "headers: {lateResponseHeaders: {removeOnMatch: [{type: Prefix, value: x-}, {value: z}]}}",
            "/headers/late_response/remove_on_match",
            json!([{"Prefix": "x-"}, {"Exact": "z"}]),
        ),
        (
            "http1: {enableTrailers: false}",
            "/http1/trailers",
            json!(false),
        ),
        (
            "http1: {enableTrailers: null}",
            "/http1/trailers",
            json!(true),
        ),
        (
            "http1: {preserveHeaderCase: true}",
            "/http1/preserve_header_case",
            json!(true),
        ),
        (
            "http1: {disableSafeMaxConnectionDuration: true}",
            "/http1/safe_max_duration",
            json!(false),
        ),
        (
            "http1: {ignoredUpgradeTypes: [{type: Suffix, value: h2c}]}",
            "/http1/ignored_upgrades",
            json!([{"Suffix": "h2c"}]),
        ),
        (
            "http2: {initialStreamWindowSize: 128Ki, initialConnectionWindowSize: 2Mi, maxConcurrentStreams: 5}",
            "/http2/initial_stream_window_size",
            json!(131_072),
        ),
        (
            "http2: {initialConnectionWindowSize: 2Mi}",
            "/http2/initial_connection_window_size",
            json!(2_097_152),
        ),
        (
            "http2: {maxConcurrentStreams: 5}",
            "/http2/max_concurrent_streams",
            json!(5),
        ),
        (
            "http2: {onInvalidMessage: TerminateStream}",
            "/http2/on_invalid_message",
            json!("TerminateStream"),
        ),
        ("healthCheck: {path: /up}", "/health_check", json!("/up")),
        ("scheme: MatchBackend", "/scheme", json!("MatchBackend")),
    ];
    for (spec, at, expected) in cases {
        let lowered = lowered(spec);
        assert_eq!(lowered.pointer(at), Some(&expected), "{spec}: {lowered:#}");
    }
}

#[test]
fn values_that_cannot_be_make_the_policy_invalid() {
    // (what is written, what the policy is told, where the finding is)
    let cases = [
        (
            "tcpKeepalive: {idleTime: x}",
            "TCP KeepAlive: invalid IdleTime value x.",
            "tcpKeepalive.idleTime",
        ),
        (
            "tcpKeepalive: {interval: x}",
            "TCP KeepAlive: invalid Interval value x.",
            "tcpKeepalive.interval",
        ),
        (
            "connection: {connectionLimit: {value: 1, closeDelay: x}}",
            "Connection: invalid CloseDelay value x.",
            "connection.connectionLimit.closeDelay",
        ),
        (
            "connection: {bufferLimit: 5Gi}",
            "Connection: BufferLimit value 5Gi is out of range, must be between 0 and 4294967295.",
            "connection.bufferLimit",
        ),
        (
            "connection: {socketBufferLimit: 5Gi}",
            "Connection: SocketBufferLimit value 5Gi is out of range, must be between 0 and 4294967295.",
            "connection.socketBufferLimit",
        ),
        (
            "timeout: {tcp: {idleTimeout: x}}",
            "Timeout: invalid TCP IdleTimeout value x.",
            "timeout.tcp.idleTimeout",
        ),
        (
            "timeout: {http: {requestReceivedTimeout: x}}",
            "Timeout: invalid HTTP RequestReceivedTimeout value x.",
            "timeout.http.requestReceivedTimeout",
        ),
        (
            "timeout: {http: {streamIdleTimeout: x}}",
            "Timeout: invalid HTTP StreamIdleTimeout value x.",
            "timeout.http.streamIdleTimeout",
        ),
        (
            "headers: {earlyRequestHeaders: {add: [{name: a/b, value: '1'}]}}",
            "Headers: EarlyRequestHeaders cannot add a header with a '/' or ':' character in them. Header: '\"a/b\"'.",
            "headers.earlyRequestHeaders.add[0]",
        ),
        (
            "headers: {maxRequestHeaderLimit: 9Mi}",
            "Headers: MaxRequestHeaderLimit value 9Mi is out of range, must be between 1Ki and 8192Ki.",
            "headers.maxRequestHeaderLimit",
        ),
        (
            "http2: {initialStreamWindowSize: 1Ki}",
            "HTTP2: InitialStreamWindowSize value 1Ki is out of range, must be between 65535 and 2147483647.",
            "http2.initialStreamWindowSize",
        ),
        (
            "http1: {ignoredUpgradeTypes: [{type: RegularExpression, value: '('}]}",
            "",
            "http1.ignoredUpgradeTypes[0].value",
        ),
        (
            "clientIPDetection: {xForwardedFor: {trustedCIDRs: [10.0.0.0/99]}}",
            "ClientIPDetection: invalid TrustedCIDRs value 10.0.0.0/99.",
            "clientIPDetection.xForwardedFor.trustedCIDRs[0]",
        ),
        // What does not fit the field at all.
        (
            "http2: {maxConcurrentStreams: -1}",
            "",
            "http2.maxConcurrentStreams",
        ),
    ];
    for (spec, told_of, field) in cases {
        let resolution = resolved(&client("c", "Gateway edge#http", spec));
        assert_eq!(answers(&resolution, "http"), [500, 500, 500], "{spec}");
        let expected = format!("Gateway edge#http: Accepted=False Invalid {told_of}");
        let said = told(&resolution, "c");
        assert!(
            if told_of.is_empty() {
                said[0].starts_with(&expected)
            } else {
                said == [expected.clone()]
            },
            "{spec}: {said:?}, not {expected}"
        );
        assert_eq!(
            findings(&resolution, "c"),
            [format!("invalid-policy spec.{field}")],
            "{spec}"
        );
    }
    // One thing of each group is told, and all of headers and HTTP/2, in the order of the reference.
    let spec = "timeout: {tcp: {idleTimeout: x}, http: {idleTimeout: z}}, connection: {bufferLimit: 5Gi}, \
                http2: {initialStreamWindowSize: 1Ki, initialConnectionWindowSize: 2Ki}";
    let resolution = resolved(&client("c", "Gateway edge#http", spec));
    assert_eq!(
        told(&resolution, "c"),
        [
            "Gateway edge#http: Accepted=False Invalid Connection: BufferLimit value 5Gi is out of range, must be between 0 and 4294967295\n\
          Timeout: invalid TCP IdleTimeout value x\n\
          HTTP2: InitialStreamWindowSize value 1Ki is out of range, must be between 65535 and 2147483647\n\
          InitialConnectionWindowSize value 2Ki is out of range, must be between 65535 and 2147483647."
        ]
    );
}
