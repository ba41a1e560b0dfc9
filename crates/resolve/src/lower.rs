//! From settings as written to the settings of the plan: final values, or what is wrong with them.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use weir_plan::features::connection::Connection;
use weir_plan::features::rate_limit::RateLimit;
use weir_plan::{ClusterPolicy, NamespacedName, RoutePolicy};

use crate::api::ConfigMap;
use crate::api::scalar::parse_duration;
use crate::api::spec::BackendTrafficPolicySpec;
use crate::clients::OfRoutes;
use crate::diagnostics::FieldPath;
use crate::effective::Applied;
use crate::features::rate_limit::RateLimit as RateLimitSpec;
use crate::features::retry::Retry;
use crate::features::routing_type::RoutingType;
use crate::features::{
    Faults, admission_control, bandwidth_limit, circuit_breaker, compression, connection, dns,
    fault_injection, health_check, http_upgrade, load_balancer, rate_limit, request_buffer,
    response_override, retry, routing_type, telemetry, timeout,
};
use crate::merge::Merged;
use crate::own::OwnSettings;
use crate::resources::Resources;
use crate::strict::{self, Mismatch};

/// What settings come to.
#[derive(Clone, Debug)]
pub(crate) struct Lowered {
    /// The settings as written, and by whom.
    pub(crate) merged: Merged,
    /// What applies to requests; the defaults where the settings are invalid.
    pub(crate) route: Arc<RoutePolicy>,
    /// The same on listeners that keep the headers of rate limits back.
    pub(crate) quiet: Arc<RoutePolicy>,
    /// What applies to connections, likewise.
    pub(crate) cluster: Arc<ClusterPolicy>,
    /// Where requests to Services go, likewise; none: as the gateway says.
    pub(crate) routing_type: Option<RoutingType>,
    /// What is wrong with the settings.
    pub(crate) faults: Faults,
    /// Why they are invalid: the text of the policy's status.
    pub(crate) invalid: Option<String>,
    /// The ConfigMaps that were looked at.
    pub(crate) config_maps: Vec<(NamespacedName, Option<Arc<ConfigMap>>)>,
}

/// What settings come to that say nothing.
const DEFAULTS: (RoutePolicy, ClusterPolicy, Option<RoutingType>) =
    (RoutePolicy::DEFAULT, ClusterPolicy::DEFAULT, None);

/// Lowers settings. One that is invalid makes all of them so.
pub(crate) fn lower(merged: Merged, resources: &Resources) -> Lowered {
    let mut faults = Faults::default();
    let mut config_maps = Vec::new();
    let (route, cluster, routing_type) = match read(&merged) {
        Ok(spec) => settings(&spec, &merged, resources, &mut config_maps, &mut faults),
        Err((field, text)) => {
            faults.add("", field, text);
            DEFAULTS
        }
    };
    let invalid = faults.message();
    let quiet = (route.rate_limit != RateLimit::NONE).then(|| quiet(&route, &merged));
    let merged = without_hidden_limits(merged);
    let quiet = quiet.filter(|_| invalid.is_none());
    let (route, cluster, routing_type) = match invalid {
        None => (route, cluster, routing_type),
        Some(_) => DEFAULTS,
    };
    let route = Arc::new(route);
    Lowered {
        merged,
        quiet: quiet.map_or_else(|| Arc::clone(&route), Arc::new),
        route,
        cluster: Arc::new(cluster),
        routing_type,
        faults,
        invalid,
        config_maps,
    }
}

/// What applies to requests on listeners that keep the headers of rate limits back, but where a rule asks for them.
fn quiet(route: &RoutePolicy, merged: &Merged) -> RoutePolicy {
    let limits = merged.settings.get("rateLimit");
    let limits = limits.and_then(|it| RateLimitSpec::deserialize(it).ok());
    let mut route = route.clone();
    // What is wrong with them has been said.
    let found = &mut Faults::default();
    route.rate_limit = rate_limit::lower(limits.as_ref(), &merged.rules, false, found);
    route
}

/// Settings without the half of `rateLimit` that its deprecated `type` leaves out, so that nobody is told that it applies.
fn without_hidden_limits(mut merged: Merged) -> Merged {
    let Some(limits) = merged.settings.get_mut("rateLimit") else {
        return merged;
    };
    let hidden = match limits.get("type").and_then(Value::as_str) {
        Some("Global") => "local",
        Some("Local") => "global",
        Some(_) | None => return merged,
    };
    let half = FieldPath::new("rateLimit").child(hidden);
    if let Some(limits) = limits.as_object_mut() {
        limits.remove(hidden);
    }
    merged
        .from
        .retain(|field, _| !field.is_within(half.as_str()));
    merged
}

/// What two policies come to that cannot be merged: the settings of the child, which are invalid for it.
pub(crate) fn unmerged(merged: Merged, text: String) -> Lowered {
    let mut faults = Faults::default();
    faults.add("", "mergeType", text);
    let route = Arc::new(RoutePolicy::DEFAULT);
    Lowered {
        merged,
        quiet: Arc::clone(&route),
        route,
        cluster: Arc::new(ClusterPolicy::DEFAULT),
        routing_type: None,
        invalid: faults.message(),
        faults,
        config_maps: Vec::new(),
    }
}

impl Lowered {
    /// Whether the same settings would come to the same now.
    pub(crate) fn is_current(&self, resources: &Resources) -> bool {
        self.config_maps.iter().all(
            |(name, seen)| match (seen, resources.config_maps.get(name)) {
                (None, None) => true,
                (Some(seen), Some(now)) => Arc::ptr_eq(seen, now),
                (Some(_), None) | (None, Some(_)) => false,
            },
        )
    }
}

/// The typed form of settings, or the field that does not fit and why.
fn read(merged: &Merged) -> Result<BackendTrafficPolicySpec, (String, String)> {
    // Places are followed only where something is wrong, which is rare.
    BackendTrafficPolicySpec::deserialize(&merged.settings).or_else(|_| {
        let (spec, _unknown) = strict::read(&merged.settings, &FieldPath::default());
        spec.map_err(|Mismatch { at, message }| {
            (at.to_string(), format!("invalid spec.{at}: {message}"))
        })
    })
}

fn settings(
    spec: &BackendTrafficPolicySpec,
    merged: &Merged,
    resources: &Resources,
    config_maps: &mut Vec<(NamespacedName, Option<Arc<ConfigMap>>)>,
    found: &mut Faults,
) -> (RoutePolicy, ClusterPolicy, Option<RoutingType>) {
    let BackendTrafficPolicySpec {
        target_ref: _,
        target_refs: _,
        target_selectors: _,
        merge_type: _,
        load_balancer,
        retry,
        proxy_protocol,
        tcp_keepalive,
        health_check,
        circuit_breaker,
        timeout,
        connection,
        dns,
        http2,
        rate_limit,
        bandwidth_limit,
        fault_injection,
        admission_control,
        use_client_protocol,
        compression,
        compressor,
        response_override,
        http_upgrade,
        request_buffer,
        telemetry,
        routing_type,
    } = spec;
    // The order of these lines is the order of a status message.
    let rate_limit = rate_limit::lower(rate_limit.as_ref(), &merged.rules, true, found);
    let bandwidth_limit = bandwidth_limit::lower(bandwidth_limit.as_ref(), found);
    let load_balancer = load_balancer::lower(load_balancer.as_ref(), found);
    let circuit_breaker = circuit_breaker::lower(circuit_breaker.as_ref(), found);
    let tcp_keepalive = connection::lower_keepalive("TCPKeepalive", tcp_keepalive.as_ref(), found);
    let retry = retry::lower(retry.as_ref(), found);
    let (route_timeout, cluster_timeout) = timeout::lower(timeout.as_ref(), found);
    let (buffer_limit, preconnect) = connection::lower_buffers(connection.as_ref(), found);
    let http2 = connection::http2::lower(http2.as_ref(), found);
    let proxy_protocol = connection::lower_proxy_protocol(proxy_protocol.as_ref(), found);
    let response_override = response_override
        .as_deref()
        .map_or_else(Vec::new, |overrides| {
            let namespace = override_namespace(merged);
            let names = response_override::config_maps(overrides, namespace);
            config_maps.extend(
                names.map(|(_, name)| (name.clone(), resources.config_maps.get(&name).cloned())),
            );
            let find = |name: &NamespacedName| resources.config_maps.get(name).map(|it| &**it);
            response_override::lower(overrides, namespace, &find, found)
        });
    let buffered = request_buffer.is_some();
    let request_buffer = request_buffer::lower(request_buffer.as_ref(), found);
    let telemetry = telemetry::lower(telemetry.as_ref(), found);
    let upgrades = http_upgrade.as_deref();
    if buffered && upgrades.is_some_and(|it| !it.is_empty()) {
        request_buffer::check_clash(found);
    }
    let fault_injection = fault_injection::lower(fault_injection.as_ref(), found);
    let health_check = health_check::lower(health_check.as_ref(), found);
    let admission_control = admission_control::lower(admission_control.as_ref(), found);
    let dns = dns::lower(dns.as_ref(), found);
    let http_upgrade = http_upgrade::lower(upgrades, buffered, found);
    let compression = compression::lower(compression.as_deref(), compressor.as_deref(), found);
    let routing_type = routing_type::lower(routing_type.as_deref(), found);
    (
        RoutePolicy {
            timeout: route_timeout,
            retry,
            rate_limit,
            bandwidth_limit,
            fault_injection,
            compression,
            response_override,
            request_buffer,
            http_upgrade,
            telemetry,
        },
        ClusterPolicy {
            circuit_breaker,
            admission_control,
            timeout: cluster_timeout,
            load_balancer,
            health_check,
            connection: Connection {
                buffer_limit,
                preconnect,
                tcp_keepalive,
                http2,
                proxy_protocol,
                use_client_protocol: *use_client_protocol == Some(true),
            },
            dns,
        },
        routing_type,
    )
}

/// The namespace of the policy that wrote the list of response overrides.
fn override_namespace(merged: &Merged) -> &str {
    let list = "responseOverride[";
    let first = merged
        .from
        .range(FieldPath::new(list)..)
        .next()
        .filter(|(path, _)| path.as_str().starts_with(list));
    first.map_or("", |(_, policy)| &*policy.name.namespace)
}

/// The settings of a rule on a listener: what it sets itself comes before the policy's, and what the listener says behind.
pub(crate) fn for_rule(
    applied: &Applied,
    own: Option<&OwnSettings>,
    listener: &OfRoutes,
) -> Arc<RoutePolicy> {
    let OfRoutes {
        refused: _,
        stream_idle,
        rate_limit_headers,
    } = listener;
    let policy = if *rate_limit_headers {
        &applied.route
    } else {
        &applied.quiet
    };
    let idle = applied
        .effective
        .settings
        .pointer("/timeout/http/streamIdleTimeout");
    let idle_written = applied.invalid.is_none() && idle.is_some_and(|it| !it.is_null());
    let stream_idle = stream_idle.as_ref().filter(|_| !idle_written);
    if own.is_none() && stream_idle.is_none() {
        return Arc::clone(policy);
    }
    let mut policy = RoutePolicy::clone(policy);
    if let Some(request) = own
        .and_then(OwnSettings::request_timeout)
        .and_then(parse_duration)
    {
        policy.timeout = timeout::with_request(&policy.timeout, request, idle_written);
    }
    if let Some(idle) = stream_idle {
        policy.timeout.stream_idle = idle.limit;
    }
    if let Some(own) = own.and_then(OwnSettings::retry) {
        let own = Retry::deserialize(own).unwrap_or_default();
        // It has nothing in it that could be wrong.
        policy.retry = retry::lower(Some(&own), &mut Faults::default());
    }
    Arc::new(policy)
}

#[cfg(test)]
mod tests;
