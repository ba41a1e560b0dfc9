//! The routes and settings of our plan as [`Settings`], in the shape of the reference's plan.
//!
//! The one place, with its two parts, that says which field of our plan is which of the reference's. What has no field there, because the
//! reference leaves it to its data plane, is not compared.

mod answer;
mod cluster;
mod route;

pub(crate) use cluster::GRPC_STATUSES;

use std::time::Duration;

use serde_json::{Value, json};
use weir_plan::features::request_buffer::RequestBuffer;
use weir_plan::{
    Cluster, ClusterPolicy, DirectResponse, Endpoint, EndpointAddress, EndpointMap, L4Action,
    L4Route, PerMillion, Plan, RouteAction, RouteKind, RoutePolicy, RouteRule, SplitTarget,
    UpstreamProtocol,
};

use super::settings::Routes;

/// Every route of a plan, under the names that [`super::reference::routes`] gives.
pub(crate) fn routes(plan: &Plan, endpoints: &EndpointMap) -> Routes {
    let mut routes = Routes::default();
    for listener in &plan.listeners {
        for host in &listener.hosts {
            for route in &host.routes {
                let rule = &route.rule.name;
                let text = route.name.to_string();
                let place = text.rsplit_once("/match/").map_or("", |(_, place)| place);
                let (place, _host) = place.split_once('/').unwrap_or((place, ""));
                let kind = rule.kind.as_str().to_ascii_lowercase();
                let host = format!("{} {}", listener.name, host.hostname);
                let name = format!(
                    "{host} {kind}/{}/rule/{}/match/{place}",
                    rule.route, rule.index
                );
                routes.push(host, name, &of_rule(&route.rule, plan, endpoints));
            }
        }
    }
    for listener in &plan.l4 {
        for route in &listener.routes {
            let kind = route.name.kind.as_str().to_ascii_lowercase();
            let name = format!("{} {kind}/{}", listener.name, route.name.route);
            routes.push(
                format!("{} ", listener.name),
                name,
                &of_l4_route(route, endpoints),
            );
        }
    }
    routes
}

/// Of the settings of connections, those that mean something without HTTP: fewer for datagrams.
fn of_l4_route(route: &L4Route, endpoints: &EndpointMap) -> Value {
    let L4Route {
        name,
        origin,
        hostnames: _,
        stat_name,
        action,
    } = route;
    let L4Action::Forward {
        cluster,
        refused_weight: _,
    } = action
    else {
        return json!({"refused": true});
    };
    let mut settings = of_connections(&cluster.policy);
    let fields = settings.as_object_mut();
    fields
        .expect("it is an object")
        .retain(|key, _| match name.kind {
            RouteKind::Udp => ["loadBalancer", "dns"].contains(&key.as_str()),
            RouteKind::Http | RouteKind::Grpc | RouteKind::Tcp | RouteKind::Tls => {
                !["http2", "useClientProtocol", "admissionControl"].contains(&key.as_str())
            }
        });
    settings["statName"] = json!(stat_name.as_deref());
    // The reference says no policy of datagrams.
    let policy = origin
        .policies
        .first()
        .filter(|_| name.kind != RouteKind::Udp);
    settings["policy"] = json!(policy.map(|it| it.name.to_string()));
    settings["backends"] = backends(cluster, name.kind, endpoints).collect();
    settings
}

fn of_rule(rule: &RouteRule, plan: &Plan, endpoints: &EndpointMap) -> Value {
    let RouteRule {
        name,
        origin,
        policy,
        unlogged: _,
        request_headers: _,
        response_headers: _,
        cors: _,
        action,
    } = rule;
    let forward = match action {
        RouteAction::Respond(DirectResponse { status, .. }) => {
            return json!({"directResponse": status});
        }
        RouteAction::Forward(forward) => forward,
        RouteAction::Redirect(_) => return json!({}),
    };
    let mut settings = of_requests(policy);
    let stat_name = policy.telemetry.route_stat_name.as_ref();
    settings["statName"] = json!(stat_name.map(|it| it.of(name)));
    let clusters: Vec<&Cluster> = forward
        .targets
        .iter()
        .filter_map(|it| match &it.target {
            SplitTarget::Cluster(name) => plan.clusters.get(name).map(|it| &**it),
            SplitTarget::Invalid(_) => None,
        })
        .collect();
    if let Some(cluster) = clusters.first() {
        add(&mut settings, of_connections(&cluster.policy));
    }
    settings["policy"] = json!(origin.policies.first().map(|it| it.name.to_string()));
    settings["backends"] = clusters
        .iter()
        .flat_map(|it| backends(it, name.kind, endpoints))
        .collect();
    settings
}

fn of_requests(policy: &RoutePolicy) -> Value {
    let RoutePolicy {
        timeout,
        retry,
        rate_limit,
        bandwidth_limit,
        fault_injection,
        compression,
        response_override,
        request_buffer,
        http_upgrade,
        telemetry,
    } = policy;
    json!({
        "timeout": route::route_timeout(timeout),
        "retry": retry.as_ref().map(route::retry),
        "rateLimit": route::rate_limit(rate_limit),
        "bandwidthLimit": bandwidth_limit.as_ref().map(answer::bandwidth_limit),
        "faultInjection": fault_injection.as_ref().map(route::fault_injection),
        "compression": compression.iter().map(answer::compressor).collect::<Value>(),
        "responseOverride": answer::response_override(response_override),
        "requestBuffer": request_buffer.map(|RequestBuffer { limit }| json!({"limit": limit})),
        "httpUpgrade": answer::http_upgrade(http_upgrade),
        "telemetry": answer::telemetry(telemetry),
    })
}

fn of_connections(policy: &ClusterPolicy) -> Value {
    let ClusterPolicy {
        circuit_breaker,
        admission_control,
        timeout,
        load_balancer,
        health_check,
        connection,
        dns,
    } = policy;
    let mut settings = json!({
        "circuitBreaker": cluster::circuit_breaker(circuit_breaker),
        "admissionControl": admission_control.as_ref().map(cluster::admission_control),
        "timeout": cluster::cluster_timeout(timeout),
        "loadBalancer": cluster::load_balancer(load_balancer),
        "healthCheck": cluster::health_check(health_check),
        "dns": cluster::dns(dns),
    });
    add(&mut settings, cluster::connection(connection));
    settings
}

fn backends<'a>(
    cluster: &'a Cluster,
    kind: RouteKind,
    map: &'a EndpointMap,
) -> impl Iterator<Item = Value> + 'a {
    cluster.localities.iter().map(move |locality| {
        let endpoints = map.get(&locality.endpoints);
        let protocol = match cluster.protocol {
            // What the endpoint chooses is no part of the reference's.
            UpstreamProtocol::Http1 | UpstreamProtocol::Negotiated => "HTTP",
            UpstreamProtocol::Http2 if kind == RouteKind::Grpc => "GRPC",
            UpstreamProtocol::Http2 => "HTTP2",
            UpstreamProtocol::Tcp => "TCP",
            UpstreamProtocol::Udp => "UDP",
        };
        json!({
            "weight": locality.weight,
            "priority": (locality.priority > 0).then_some(locality.priority),
            "protocol": protocol,
            "endpoints": endpoints.into_iter().flat_map(|it| it.iter()).map(endpoint).collect::<Value>(),
        })
    })
}

fn endpoint(endpoint: &Endpoint) -> Value {
    let Endpoint {
        address,
        hostname,
        zone,
    } = endpoint;
    let (host, port) = match address {
        EndpointAddress::Ip(it) => (it.ip().to_string(), Some(it.port())),
        EndpointAddress::Fqdn(name, port) => (name.to_string(), Some(*port)),
        EndpointAddress::Unix(path) => (path.to_string(), None),
    };
    json!({"host": host, "port": port, "hostname": hostname.as_deref(), "zone": zone.as_deref()})
}

/// Lays one object over another, object by object.
pub(crate) fn add(to: &mut Value, from: Value) {
    match (to, from) {
        (Value::Object(to), Value::Object(from)) => {
            for (key, value) in from {
                add(to.entry(key).or_insert(Value::Null), value);
            }
        }
        (to, from) => *to = from,
    }
}

/// A limit that may be off, which is written as 0.
fn limit(limit: Option<Duration>) -> String {
    duration(limit.unwrap_or_default())
}

fn duration(duration: Duration) -> String {
    weir_plan::units::format_duration(duration)
}

/// Millionths as a percentage: a whole number where it is one.
fn percent(PerMillion(parts): PerMillion) -> Value {
    if parts % 10_000 == 0 {
        json!(parts / 10_000)
    } else {
        json!(f64::from(parts) / 10_000.0)
    }
}

/// Bytes as the reference writes them (RFC 4648, section 4).
pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let number = (0..3).fold(0, |number, place| {
            number << 8 | u32::from(chunk.get(place).copied().unwrap_or(0))
        });
        for place in 0..4 {
            let digit = DIGITS[(number >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= chunk.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    text
}
