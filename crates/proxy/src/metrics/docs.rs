//! Every metric of the data plane: its name, kind, labels and meaning. A test holds the output against it.

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricDoc {
    /// Its name; all begin with `weir_`.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Its labels, in order.
    pub labels: &'static [&'static str],
    /// What it means.
    pub help: &'static str,
}

const fn doc(
    name: &'static str,
    kind: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> MetricDoc {
    MetricDoc {
        name,
        kind,
        labels,
        help,
    }
}

const LISTENER: &[&str] = &["listener"];
const CLUSTER: &[&str] = &["cluster"];

/// Every metric, in the order of the output. `listener` is `namespace/gateway/listener` (empty for requests that no
/// listener answers for), `rule` names a rule of a route (empty for requests without a route), `cluster` what a rule
/// forwards to.
pub const DOCS: &[MetricDoc] = &[
    doc(
        "weir_requests_total",
        "counter",
        &["listener", "rule", "code_class"],
        "Requests that have ended, by class of status; none: the client went away before it got one",
    ),
    doc(
        "weir_requests_active",
        "gauge",
        LISTENER,
        "Requests in progress",
    ),
    doc(
        "weir_response_flags_total",
        "counter",
        &["listener", "flag"],
        "Requests with a response flag, as the access log has them",
    ),
    doc(
        "weir_request_bytes_total",
        "counter",
        LISTENER,
        "Bytes of request bodies received from clients",
    ),
    doc(
        "weir_response_bytes_total",
        "counter",
        LISTENER,
        "Bytes of response bodies sent to clients",
    ),
    doc(
        "weir_request_duration_seconds",
        "histogram",
        LISTENER,
        "From a request's head to the end of its response",
    ),
    doc(
        "weir_retry_attempts_total",
        "counter",
        &["listener", "rule"],
        "Attempts after the first",
    ),
    doc(
        "weir_rate_limit_requests_total",
        "counter",
        &["listener", "scope", "limit", "result"],
        "Requests that a rule of a limit counted: ok, limited, or shadowed (would have been limited)",
    ),
    doc(
        "weir_rate_limit_store_counters",
        "gauge",
        &[],
        "Counters that the embedded store of global limits holds",
    ),
    doc(
        "weir_rate_limit_store_evictions_total",
        "counter",
        &[],
        "Counters that the embedded store forgot, while they were running, for want of room",
    ),
    doc(
        "weir_circuit_breaker_connections",
        "gauge",
        CLUSTER,
        "Connections to endpoints, those being made included",
    ),
    doc(
        "weir_circuit_breaker_pending_requests",
        "gauge",
        CLUSTER,
        "Requests that wait for a connection",
    ),
    doc(
        "weir_circuit_breaker_requests",
        "gauge",
        CLUSTER,
        "Requests in progress at endpoints",
    ),
    doc(
        "weir_circuit_breaker_retries",
        "gauge",
        CLUSTER,
        "Retries in progress, those that wait for their back-off included",
    ),
    doc(
        "weir_circuit_breaker_overflow_total",
        "counter",
        &["cluster", "limit"],
        "What a circuit breaker refused: connections, pending_requests, requests or retries",
    ),
    doc(
        "weir_upstream_requests_total",
        "counter",
        CLUSTER,
        "Requests sent to endpoints, each attempt by itself",
    ),
    doc(
        "weir_upstream_connections_total",
        "counter",
        CLUSTER,
        "Connections made to endpoints",
    ),
    doc(
        "weir_upstream_connect_failures_total",
        "counter",
        &["cluster", "reason"],
        "Connections to endpoints that could not be made: refused (by the endpoint or the network) or timeout",
    ),
    doc(
        "weir_upstream_connections_closed_total",
        "counter",
        &["cluster", "reason"],
        "Connections closed by a setting: idle, max_requests or max_duration",
    ),
    doc(
        "weir_downstream_connections",
        "gauge",
        &[],
        "Connections from clients",
    ),
    doc(
        "weir_downstream_connections_total",
        "counter",
        &[],
        "Connections accepted from clients",
    ),
    doc(
        "weir_downstream_connections_closed_total",
        "counter",
        &["reason"],
        "Connections from clients closed by us: overflow (too many), limit (too many on their port, by its policy), \
         protocol_error, head_timeout, idle, max_duration, max_requests, or before their requests proxy_protocol (no \
         PROXY header where there has to be one, or a bad one), inspection_timeout, tls_error (no TLS that both speak), tls_timeout, tls_overflow (too many handshakes) or \
         tls_server_name (no listener has the name)",
    ),
    doc(
        "weir_downstream_tls_handshakes_total",
        "counter",
        &["kind"],
        "TLS handshakes of clients that were completed: full, or resumed from an earlier session",
    ),
    doc(
        "weir_mirrored_requests_total",
        "counter",
        &["result"],
        "Copies of requests for mirrors: answered, failed (no connection, or no answer in time), cut_off (the body was not taken fast enough) or refused (too many in progress)",
    ),
    doc(
        "weir_mirrored_requests_active",
        "gauge",
        &[],
        "Copies of requests for mirrors in progress",
    ),
    doc(
        "weir_access_log_dropped_total",
        "counter",
        &[],
        "Lines of the access log that were dropped because they could not be written, or not fast enough",
    ),
];
