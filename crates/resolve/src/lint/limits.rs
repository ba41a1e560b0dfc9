//! Limits that can never be reached, since another one is reached first; and limits that let nothing through.

use std::collections::BTreeSet;
use std::sync::Arc;

use weir_plan::features::circuit_breaker::CircuitBreaker;
use weir_plan::features::rate_limit::{ClientMatch, FromMetadata, RateLimit, RateLimitRule};
use weir_plan::{ClusterPolicy, Plan, Rate, UpstreamProtocol};

use super::{InForce, warn_at_setting};
use crate::attach::object_ref;
use crate::diagnostics::{Diagnostics, FieldPath};
use crate::effective::Applied;

const ID: &str = "limit-unreachable";

pub(super) fn check(plan: &Plan, in_force: &[InForce<'_>], found: &mut Diagnostics) {
    let one_at_a_time = one_request_per_connection(plan);
    for InForce { applied, chain: _ } in in_force {
        circuit_breaker(applied, &one_at_a_time, found);
        let RateLimit { local, global } = &applied.route.rate_limit;
        if let Some(local) = local {
            shadowed(&local.rules, "local", counts_before, found);
        }
        if let Some(global) = global {
            shadowed(&global.rules, "global", counts_in_windows_of, found);
        }
    }
}

/// The settings of clusters all of which speak HTTP/1.
fn one_request_per_connection(plan: &Plan) -> BTreeSet<*const ClusterPolicy> {
    let of = |http1: bool| {
        let clusters = plan.clusters.values();
        clusters
            .filter(move |it| (it.protocol == UpstreamProtocol::Http1) == http1)
            .map(|it| Arc::as_ptr(&it.policy))
    };
    let others: BTreeSet<_> = of(false).collect();
    of(true).filter(|it| !others.contains(it)).collect()
}

fn circuit_breaker(
    applied: &Applied,
    one_at_a_time: &BTreeSet<*const ClusterPolicy>,
    found: &mut Diagnostics,
) {
    let CircuitBreaker {
        max_connections,
        max_pending_requests,
        max_parallel_requests,
        max_retries: _,
        max_requests_per_connection: _,
        max_connections_per_endpoint,
    } = &applied.cluster.circuit_breaker;
    let mut warn = |setting, id, message| {
        warn_at_setting(&applied.effective, setting, id, message, found);
    };
    // None acts as one.
    let connections = u64::from(*max_connections).max(1);
    let most = connections + u64::from(*max_pending_requests);
    if *max_pending_requests == 0 {
        let message = "this refuses every request, as each is pending until its connection is made; write 1 or more";
        warn(
            "circuitBreaker.maxPendingRequests",
            "nothing-passes",
            message.to_owned(),
        );
    } else if u64::from(*max_parallel_requests) > most
        && one_at_a_time.contains(&Arc::as_ptr(&applied.cluster))
    {
        let message = format!(
            "this is never reached: in HTTP/1 each request has a connection to itself, and there are no more than {most} \
             with one (maxConnections) or waiting for one (maxPendingRequests)"
        );
        warn("circuitBreaker.maxParallelRequests", ID, message);
    }
    if let Some(per_endpoint) = max_connections_per_endpoint
        && u64::from(*per_endpoint) > connections
    {
        let message = format!(
            "this is never reached: all endpoints together have no more than {connections} (maxConnections)"
        );
        warn("circuitBreaker.perEndpoint.maxConnections", ID, message);
    }
}

/// Warns about rules that refuse nothing which another one does not refuse. `before` says of the limits of two rules, the
/// first of which counts all that the second does, and whether the first is written first, whether it is so.
fn shadowed(
    rules: &[RateLimitRule],
    half: &str,
    before: fn(Rate, Rate, bool) -> bool,
    found: &mut Diagnostics,
) {
    for (at, rule) in rules.iter().enumerate() {
        let other = rules.iter().enumerate().find(|(other_at, other)| {
            let same = rule.limit == other.limit && counts(rule, other);
            *other_at != at
                && before(other.limit, rule.limit, *other_at < at)
                && counts(other, rule)
                // Of two that are the same the later is superfluous.
                && !(same && *other_at > at)
        });
        let Some((_, other)) = other.filter(|_| !rule.shadow) else {
            continue;
        };
        let field = FieldPath::new(format!("spec.rateLimit.{half}.rules")).index(rule.name.index);
        let message = format!(
            "this rule never refuses a request that {} ({}) does not refuse, which counts the same requests; remove it, or \
             let it allow less",
            other.name, other.limit
        );
        found.warning(&object_ref(&rule.name.policy), field, ID, message);
    }
}

/// Whether one rule counts every request that another counts, in counts that are no narrower, for no less.
fn counts(one: &RateLimitRule, other: &RateLimitRule) -> bool {
    let RateLimitRule {
        name: _,
        matches,
        limit: _,
        request_cost,
        response_cost,
        from_metadata,
        shared,
        shadow,
        headers: _,
    } = one;
    // What stands in metadata is not known here.
    let known = |it: &FromMetadata| *it == FromMetadata::NONE;
    !shadow
        && known(from_metadata)
        && known(&other.from_metadata)
        && (*shared || !other.shared)
        && *request_cost >= other.request_cost
        && *response_cost >= other.response_cost
        && demands_no_more(matches, &other.matches)
}

/// Whether every condition of one is a condition of the other.
fn demands_no_more(one: &ClientMatch, other: &ClientMatch) -> bool {
    let ClientMatch {
        headers,
        methods,
        path,
        source_cidr,
        query_params,
    } = one;
    headers.iter().all(|it| other.headers.contains(it))
        && (methods.is_empty() || *methods == other.methods)
        && (path.is_none() || *path == other.path)
        && (source_cidr.is_none() || *source_cidr == other.source_cidr)
        && query_params
            .iter()
            .all(|it| other.query_params.contains(it))
}

/// Token buckets are asked from the strictest, those alike in the order written; a request that one refuses does not
/// reach the next. So the bucket of a stricter rule with no more room is always the first to be empty.
fn counts_before(one: Rate, other: Rate, written_first: bool) -> bool {
    let speed = |it: Rate, other: Rate| u64::from(it.requests) * other.unit.seconds();
    let (speed, others) = (speed(one, other), speed(other, one));
    one.requests <= other.requests && (speed < others || (speed == others && written_first))
}

/// Windows of one count begin with windows of the other where its unit is a multiple of the other's.
fn counts_in_windows_of(one: Rate, other: Rate, _written_first: bool) -> bool {
    one.requests <= other.requests && one.unit.seconds().is_multiple_of(other.unit.seconds())
}
