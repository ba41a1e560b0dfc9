//! Envoy's side of a case: a static bootstrap with what Envoy Gateway programs for the same resources.

use std::fs;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::case::{Load, Setup};
use super::{Case, HOST, PROXY, Site, path};
use crate::process::{self, Process, free_port, on_core};

const LIMIT: &str =
    "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit";

pub(crate) fn start(program: &Path, case: &Case, site: &Site) -> Result<Process> {
    let port = free_port()?;
    let file = site.place.join("envoy.json");
    fs::write(&file, serde_json::to_vec(&bootstrap(case, site, port))?)?;
    let mut command = on_core(program, Some(PROXY));
    command.arg("-c").arg(file);
    command.args(["--concurrency", "1", "--disable-hot-restart"]);
    command.args(["--log-level", "error"]);
    process::start(command, port)
}

fn bootstrap(case: &Case, site: &Site, port: u16) -> Value {
    let Setup {
        routes,
        policies,
        tls,
        logs,
    } = case.setup;
    let mut filters = vec![json!({
        "name": "envoy.filters.http.router",
        "typedConfig": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
            "suppressEnvoyHeaders": true
        }
    })];
    if policies {
        let limit = json!({
            "name": "envoy.filters.http.local_ratelimit",
            "typedConfig": {
                "@type": LIMIT,
                "maxDynamicDescriptors": 10_000,
                "statPrefix": "http_local_rate_limiter"
            }
        });
        filters.insert(0, limit);
    }
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "accessLog": if logs { json!([access_log(site)]) } else { json!([]) },
        "commonHttpProtocolOptions": {"headersWithUnderscoresAction": "REJECT_REQUEST"},
        "http2ProtocolOptions": {
            "initialConnectionWindowSize": 1_048_576,
            "initialStreamWindowSize": 65_536,
            "maxConcurrentStreams": 100
        },
        "httpFilters": filters,
        "mergeSlashes": true,
        "normalizePath": true,
        "pathWithEscapedSlashesAction": "UNESCAPE_AND_REDIRECT",
        "routeConfig": {
            "name": "edge/web",
            "ignorePortInHostMatching": true,
            "virtualHosts": [{
                "name": "edge/web/host",
                "domains": [HOST],
                "routes": (0..routes).map(|it| route(it, policies)).collect::<Vec<_>>()
            }]
        },
        "serverHeaderTransformation": "PASS_THROUGH",
        "statPrefix": "http-80",
        "useRemoteAddress": true
    });
    let mut chain = json!({
        "filters": [{"name": "envoy.filters.network.http_connection_manager", "typedConfig": manager}]
    });
    if tls {
        chain["transportSocket"] = transport_socket(site);
    }
    json!({
        "staticResources": {
            "listeners": [{
                "name": "edge/web",
                "address": {"socketAddress": {"address": "127.0.0.1", "portValue": port}},
                "filterChains": [chain],
                "maxConnectionsToAcceptPerSocketEvent": 1,
                "perConnectionBufferLimitBytes": 32_768
            }],
            "clusters": (0..routes).map(|it| cluster(it, case, site)).collect::<Vec<_>>()
        }
    })
}

fn name(route: usize) -> String {
    format!("httproute/default/r{route:05}/rule/0")
}

fn route(route: usize, policies: bool) -> Value {
    let mut action =
        json!({"cluster": name(route), "upgradeConfigs": [{"upgradeType": "websocket"}]});
    let mut value = json!({
        "name": format!("{}/match/0/host", name(route)),
        "match": {"pathSeparatedPrefix": path(route)}
    });
    if policies {
        action["timeout"] = json!("10s");
        action["retryPolicy"] = json!({
            "retryOn": "connect-failure",
            "numRetries": 2,
            "hostSelectionRetryMaxAttempts": 5,
            "retryHostPredicate": [{
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typedConfig": {"@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"}
            }]
        });
        let all = json!({"defaultValue": {"numerator": 100}});
        value["typedPerFilterConfig"] = json!({
            "envoy.filters.http.local_ratelimit": {
                "@type": LIMIT,
                "statPrefix": "http_local_rate_limiter",
                "alwaysConsumeDefaultTokenBucket": false,
                "enableXRatelimitHeaders": "DRAFT_VERSION_03",
                "filterEnabled": all,
                "filterEnforced": all,
                "tokenBucket": {"fillInterval": "1s", "maxTokens": 1_000_000, "tokensPerFill": 1_000_000}
            }
        });
    }
    value["route"] = action;
    value
}

fn cluster(route: usize, case: &Case, site: &Site) -> Value {
    let grpc = matches!(case.load, Load::Grpc);
    let port = if grpc {
        site.grpc_backend
    } else {
        site.backend
    };
    let threshold = if case.setup.policies {
        json!({"maxConnections": 8192, "maxPendingRequests": 8192, "maxRequests": 8192, "maxRetries": 1024})
    } else {
        json!({"maxRetries": 1024})
    };
    let mut cluster = json!({
        "name": name(route),
        "type": "STATIC",
        "connectTimeout": "10s",
        "circuitBreakers": {"thresholds": [threshold]},
        "commonLbConfig": {},
        "dnsLookupFamily": "V4_PREFERRED",
        "ignoreHealthOnHostRemoval": true,
        "loadBalancingPolicy": {"policies": [{"typedExtensionConfig": {
            "name": "envoy.load_balancing_policies.least_request",
            "typedConfig": {
                "@type": "type.googleapis.com/envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest",
                "localityLbConfig": {"localityWeightedLbConfig": {}}
            }
        }}]},
        "loadAssignment": {
            "clusterName": name(route),
            "endpoints": [{
                "loadBalancingWeight": 1,
                "locality": {"region": format!("{}/backend/0", name(route))},
                "lbEndpoints": [{
                    "loadBalancingWeight": 1,
                    "endpoint": {"address": {"socketAddress": {"address": "127.0.0.1", "portValue": port}}}
                }]
            }]
        },
        "perConnectionBufferLimitBytes": 32_768
    });
    if grpc {
        cluster["typedExtensionProtocolOptions"] = json!({
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicitHttpConfig": {"http2ProtocolOptions": {
                    "initialConnectionWindowSize": 1_048_576,
                    "initialStreamWindowSize": 65_536
                }}
            }
        });
    }
    cluster
}

fn transport_socket(site: &Site) -> Value {
    json!({
        "name": "envoy.transport_sockets.tls",
        "typedConfig": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "commonTlsContext": {
                "alpnProtocols": ["h2", "http/1.1"],
                "tlsCertificates": [{
                    "certificateChain": {"filename": site.certificate},
                    "privateKey": {"filename": site.key}
                }]
            },
            "disableStatefulSessionResumption": true
        }
    })
}

/// The format that Envoy Gateway logs in unless it is told otherwise.
fn access_log(site: &Site) -> Value {
    json!({
        "name": "envoy.access_loggers.file",
        "typedConfig": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": site.place.join("envoy.log"),
            "logFormat": {"jsonFormat": {
                "start_time": "%START_TIME%",
                "method": "%REQ(:METHOD)%",
                "x-envoy-origin-path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
                "protocol": "%PROTOCOL%",
                "response_code": "%RESPONSE_CODE%",
                "response_flags": "%RESPONSE_FLAGS%",
                "response_code_details": "%RESPONSE_CODE_DETAILS%",
                "connection_termination_details": "%CONNECTION_TERMINATION_DETAILS%",
                "upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
                "bytes_received": "%BYTES_RECEIVED%",
                "bytes_sent": "%BYTES_SENT%",
                "duration": "%DURATION%",
                "x-envoy-upstream-service-time": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
                "x-forwarded-for": "%REQ(X-FORWARDED-FOR)%",
                "user-agent": "%REQ(USER-AGENT)%",
                "x-request-id": "%REQ(X-REQUEST-ID)%",
                ":authority": "%REQ(:AUTHORITY)%",
                "upstream_host": "%UPSTREAM_HOST%",
                "upstream_cluster": "%UPSTREAM_CLUSTER%",
                "upstream_local_address": "%UPSTREAM_LOCAL_ADDRESS%",
                "downstream_local_address": "%DOWNSTREAM_LOCAL_ADDRESS%",
                "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
                "requested_server_name": "%REQUESTED_SERVER_NAME%",
                "route_name": "%ROUTE_NAME%"
            }}
        }
    })
}
