//! What applies to connections and endpoints, in the reference's notation: a function for each feature.

use serde_json::{Value, json};
use weir_plan::features::admission_control::{AdmissionControl, HttpSuccess};
use weir_plan::features::circuit_breaker::{CircuitBreaker, RetryLimit};
use weir_plan::features::connection::{
    Connection, ConnectionKeepalive, Http2, OnInvalidMessage, Preconnect, ProxyProtocol,
    TcpKeepalive,
};
use weir_plan::features::dns::{Dns, DnsLookupFamily};
use weir_plan::features::health_check::{
    ActiveHealthCheck, HealthCheck, HttpProbe, PassiveHealthCheck, Payload, Probe,
};
use weir_plan::features::load_balancer::{
    Algorithm, BackendUtilization, ConsistentHash, DynamicModule, GeneratedCookie, HashCookie,
    HashKey, LoadBalancer, OutOfBand, PreferLocal, SlowStart, ZoneAware,
};
use weir_plan::features::timeout::ClusterTimeout;

use super::{base64, duration, limit, percent};

pub(crate) fn cluster_timeout(timeout: &ClusterTimeout) -> Value {
    let ClusterTimeout {
        connect,
        connection_idle,
        max_connection_duration,
    } = timeout;
    json!({
        "tcp": {"connectTimeout": duration(*connect)},
        "http": {
            "connectionIdleTimeout": limit(*connection_idle),
            "maxConnectionDuration": max_connection_duration.map(duration),
        },
    })
}

pub(crate) fn circuit_breaker(breaker: &CircuitBreaker) -> Value {
    let CircuitBreaker {
        max_connections,
        max_pending_requests,
        max_parallel_requests,
        max_retries,
        max_requests_per_connection,
        max_connections_per_endpoint,
    } = breaker;
    let (retries, budget) = match max_retries {
        RetryLimit::Count(count) => (Some(count), None),
        RetryLimit::Budget { share, floor } => (
            None,
            Some(json!({"percent": percent(*share), "minRetryConcurrency": floor})),
        ),
    };
    json!({
        "maxConnections": max_connections,
        "maxPendingRequests": max_pending_requests,
        "maxParallelRequests": max_parallel_requests,
        "maxParallelRetries": retries,
        "retryBudget": budget,
        "maxRequestsPerConnection": max_requests_per_connection,
        "perEndpoint": max_connections_per_endpoint.map(|it| json!({"maxConnections": it})),
    })
}

/// Everything about connections, under the several names that the reference has for it.
pub(crate) fn connection(connection: &Connection) -> Value {
    let Connection {
        buffer_limit,
        preconnect:
            Preconnect {
                per_endpoint_percent,
                predictive_percent,
            },
        tcp_keepalive,
        http2,
        proxy_protocol,
        use_client_protocol,
    } = connection;
    let tcp_keepalive = tcp_keepalive.map(
        |TcpKeepalive {
             probes,
             idle_time,
             interval,
         }| {
            json!({
                "probes": probes,
                "idleTime": idle_time.map(|it| it.as_secs()),
                "interval": interval.map(|it| it.as_secs()),
            })
        },
    );
    let proxy_protocol = proxy_protocol.map(|version| match version {
        ProxyProtocol::V1 => json!({"version": "V1"}),
        ProxyProtocol::V2 => json!({"version": "V2"}),
    });
    json!({
        "backendConnection": {
            "bufferLimit": buffer_limit,
            "preconnect": {
                "perEndpointPercent": per_endpoint_percent,
                "predictivePercent": predictive_percent,
            },
        },
        "tcpKeepalive": tcp_keepalive,
        "http2": self::http2(http2),
        "proxyProtocol": proxy_protocol,
        "useClientProtocol": use_client_protocol,
    })
}

fn http2(http2: &Http2) -> Value {
    let Http2 {
        initial_stream_window_size,
        initial_connection_window_size,
        max_concurrent_streams,
        on_invalid_message,
        connection_keepalive,
    } = http2;
    let keepalive = connection_keepalive.map(
        |ConnectionKeepalive {
             interval,
             timeout,
             interval_jitter,
             idle_interval,
         }| {
            json!({
                "interval": interval.map(duration),
                "timeout": duration(timeout),
                "intervalJitter": interval_jitter,
                "idleInterval": idle_interval.map(duration),
            })
        },
    );
    json!({
        "initialStreamWindowSize": initial_stream_window_size,
        "initialConnectionWindowSize": initial_connection_window_size,
        "maxConcurrentStreams": max_concurrent_streams,
        "resetStreamOnError": *on_invalid_message == OnInvalidMessage::TerminateStream,
        "connectionKeepalive": keepalive,
    })
}

pub(crate) fn dns(dns: &Dns) -> Value {
    let Dns {
        refresh_rate,
        respect_ttl,
        lookup_family,
    } = dns;
    let family = match lookup_family {
        DnsLookupFamily::V4 => "IPv4",
        DnsLookupFamily::V6 => "IPv6",
        DnsLookupFamily::V4Preferred => "IPv4Preferred",
        DnsLookupFamily::V6Preferred => "IPv6Preferred",
        DnsLookupFamily::All => "IPv4AndIPv6",
    };
    json!({
        "dnsRefreshRate": duration(*refresh_rate),
        "respectDnsTtl": respect_ttl,
        "lookupFamily": family,
    })
}

pub(crate) fn health_check(health: &HealthCheck) -> Value {
    let HealthCheck {
        active,
        passive,
        panic_threshold,
    } = health;
    json!({
        "active": active.as_ref().map(self::active),
        "passive": passive.as_ref().map(self::passive),
        "panicThreshold": panic_threshold,
    })
}

fn active(active: &ActiveHealthCheck) -> Value {
    let ActiveHealthCheck {
        probe,
        timeout,
        interval,
        initial_jitter,
        unhealthy_threshold,
        healthy_threshold,
        port,
        // The reference's plan says nothing of it in any case.
        log: _,
    } = active;
    let (kind, probe) = match probe {
        Probe::Http(probe) => ("http", http_probe(probe)),
        Probe::Tcp { send, receive } => (
            "tcp",
            json!({"send": send.as_ref().map(payload), "receive": receive.as_ref().map(payload)}),
        ),
        Probe::Grpc { service } => ("grpc", json!({"service": **service})),
    };
    let mut projected = json!({
        "timeout": duration(*timeout),
        "interval": duration(*interval),
        "initialJitter": duration(*initial_jitter),
        "unhealthyThreshold": unhealthy_threshold,
        "healthyThreshold": healthy_threshold,
        "overrides": port.map(|port| json!({"port": port})),
    });
    projected[kind] = probe;
    projected
}

fn http_probe(probe: &HttpProbe) -> Value {
    let HttpProbe {
        host,
        path,
        method,
        expected_statuses,
        retriable_statuses,
        expected_response,
        request_body,
    } = probe;
    json!({
        "host": host.as_deref(),
        "path": **path,
        "method": method.as_str(),
        "expectedStatuses": expected_statuses,
        "retriableStatuses": retriable_statuses,
        "expectedResponse": expected_response.as_ref().map(payload),
        "requestBody": request_body.as_ref().map(payload),
    })
}

fn payload(Payload(bytes): &Payload) -> Value {
    json!({"binary": base64(bytes)})
}

fn passive(passive: &PassiveHealthCheck) -> Value {
    let PassiveHealthCheck {
        interval,
        base_ejection_time,
        max_ejection_time: _,
        max_ejection_percent,
        always_eject_one_endpoint,
        consecutive_5xx_errors,
        consecutive_gateway_errors,
        split_external_local_origin_errors,
        consecutive_local_origin_failures,
        failure_percentage_threshold,
    } = passive;
    json!({
        "interval": duration(*interval),
        "baseEjectionTime": duration(*base_ejection_time),
        "maxEjectionPercent": max_ejection_percent,
        "alwaysEjectOneEndpoint": always_eject_one_endpoint,
        "consecutive5XxErrors": consecutive_5xx_errors.unwrap_or(0),
        "consecutiveGatewayErrors": consecutive_gateway_errors.unwrap_or(0),
        "splitExternalLocalOriginErrors": split_external_local_origin_errors,
        "consecutiveLocalOriginFailures": consecutive_local_origin_failures.unwrap_or(0),
        "failurePercentageThreshold": failure_percentage_threshold,
    })
}

pub(crate) fn load_balancer(balancer: &LoadBalancer) -> Value {
    let LoadBalancer {
        algorithm,
        zone_aware,
        endpoint_override,
    } = balancer;
    let (kind, algorithm) = match algorithm {
        Algorithm::RoundRobin { slow_start } => (
            "roundRobin",
            json!({"slowStart": slow_start.map(self::slow_start)}),
        ),
        Algorithm::LeastRequest { slow_start } => (
            "leastRequest",
            json!({"slowStart": slow_start.map(self::slow_start)}),
        ),
        Algorithm::Random => ("random", json!({})),
        Algorithm::ConsistentHash(hash) => ("consistentHash", consistent_hash(hash)),
        Algorithm::BackendUtilization(it) => ("backendUtilization", backend_utilization(it)),
        Algorithm::DynamicModule(DynamicModule {
            name,
            lb_policy_name,
            config,
        }) => (
            "dynamicModule",
            json!({"name": **name, "lbPolicyName": **lb_policy_name, "config": config.as_deref()}),
        ),
    };
    let (prefer_local, weighted_zones) = match zone_aware {
        None => (None, None),
        Some(ZoneAware::PreferLocal(it)) => (Some(self::prefer_local(*it)), None),
        Some(ZoneAware::WeightedZones(zones)) => (
            None,
            Some(
                zones
                    .iter()
                    .map(|(zone, weight)| json!({"zone": **zone, "weight": weight}))
                    .collect::<Value>(),
            ),
        ),
    };
    let sources: Value = endpoint_override
        .iter()
        .map(|it| json!({"header": **it}))
        .collect();
    let mut projected = json!({
        "endpointOverride": (!endpoint_override.is_empty()).then(|| json!({"extractFrom": sources})),
        "preferLocal": prefer_local,
        "weightedZones": weighted_zones,
    });
    projected[kind] = algorithm;
    projected
}

fn consistent_hash(ConsistentHash { key, table_size }: &ConsistentHash) -> Value {
    let named = |names: &[std::sync::Arc<str>]| -> Value {
        names.iter().map(|name| json!({"name": **name})).collect()
    };
    let (kind, key) = match key {
        HashKey::SourceIp => ("sourceIP", json!(true)),
        HashKey::Headers(names) => ("headers", named(names)),
        HashKey::QueryParams(names) => ("queryParams", named(names)),
        HashKey::Cookie(HashCookie { name, generated }) => {
            let (ttl, attributes) = match generated {
                None => (None, None),
                Some(GeneratedCookie {
                    max_age,
                    attributes,
                }) => (Some(limit(*max_age)), Some(json!(attributes))),
            };
            (
                "cookie",
                json!({"name": **name, "ttl": ttl, "attributes": attributes}),
            )
        }
    };
    let mut projected = json!({"tableSize": table_size});
    projected[kind] = key;
    projected
}

fn backend_utilization(utilization: &BackendUtilization) -> Value {
    let BackendUtilization {
        blackout_period,
        weight_expiration_period,
        weight_update_period,
        error_utilization_penalty_percent,
        metric_names,
        keep_response_headers,
        out_of_band,
        slow_start,
    } = utilization;
    let out_of_band = out_of_band.as_ref().map(
        |OutOfBand {
             reporting_period,
             port,
             authority,
         }| {
            json!({
                "reportingPeriod": duration(*reporting_period),
                "port": port,
                "authority": authority.as_deref(),
            })
        },
    );
    json!({
        "blackoutPeriod": duration(*blackout_period),
        "weightExpirationPeriod": duration(*weight_expiration_period),
        "weightUpdatePeriod": duration(*weight_update_period),
        "errorUtilizationPenaltyPercent": error_utilization_penalty_percent,
        "metricNamesForComputingUtilization": metric_names,
        "keepResponseHeaders": keep_response_headers,
        "outOfBand": out_of_band,
        "slowStart": slow_start.map(self::slow_start),
    })
}

fn prefer_local(
    PreferLocal {
        min_endpoints_threshold,
        percentage_enabled,
        force_from,
    }: PreferLocal,
) -> Value {
    json!({
        "minEndpointsThreshold": min_endpoints_threshold,
        "percentageEnabled": percentage_enabled,
        "force": force_from.map(|it| json!({"minEndpointsInZoneThreshold": it})),
    })
}

fn slow_start(SlowStart { window }: SlowStart) -> Value {
    json!({"window": duration(window)})
}

pub(crate) fn admission_control(control: &AdmissionControl) -> Value {
    let AdmissionControl {
        sampling_window,
        min_success_rate,
        rejection_aggression,
        min_request_rate,
        max_rejection,
        http_success,
        grpc_success,
    } = control;
    let http = match http_success {
        HttpSuccess::BelowServerErrors => json!("below 500"),
        HttpSuccess::Statuses(statuses) => json!(statuses),
    };
    let grpc: Vec<&str> = grpc_success
        .iter()
        .filter_map(|number| GRPC_STATUSES.get(usize::from(*number)).copied())
        .collect();
    json!({
        "samplingWindow": duration(*sampling_window),
        "minSuccessRate": min_success_rate,
        "rejectionAggression": rejection_aggression,
        "minRequestRate": min_request_rate,
        "maxRejectionPercent": max_rejection,
        "successCriteria": {"http": {"statusCodes": http}, "grpc": {"statusCodes": grpc}},
    })
}

/// The statuses of gRPC by name, in the order of their numbers.
pub(crate) const GRPC_STATUSES: [&str; 17] = [
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
