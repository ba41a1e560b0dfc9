//! Retries that the timeout of the request cuts off, and retries that multiply the load on a backend that fails.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_plan::features::circuit_breaker::{CircuitBreaker, RetryLimit};
use weir_plan::features::retry::Retry;
use weir_plan::units::format_duration;
use weir_plan::{ListenerName, RouteKind, RouteRule, RuleName};

use super::{InForce, warn_at_setting};
use crate::Resolution;
use crate::diagnostics::{Diagnostics, FieldPath};
use crate::effective::{Applied, EffectiveRule};
use crate::own::REQUEST_TIMEOUT;
use crate::topology::routes::route_ref;

/// Retries of one request from which on they are taken for too many, unless a budget bounds them: a backend that fails
/// then gets more than six times its usual load.
const MANY_RETRIES: u32 = 6;

const PER_TRY: &str = "retry.perRetry.timeout";

pub(super) fn check(resolution: &Resolution, in_force: &[InForce<'_>], found: &mut Diagnostics) {
    cut_off(resolution, found);
    // What retries apply to: rules of HTTP and gRPC that say nothing of retries themselves.
    let retried: BTreeSet<_> = resolution
        .effective
        .iter()
        .filter(|it| matches!(it.rule.kind, RouteKind::Http | RouteKind::Grpc))
        .filter(|it| it.own.as_ref().is_none_or(|own| own.retry().is_none()))
        .map(|it| Arc::as_ptr(&it.policy))
        .collect();
    for InForce { applied, chain: _ } in in_force {
        if retried.contains(&Arc::as_ptr(&applied.effective)) {
            amplification(applied, found);
        }
    }
}

/// The plan has final values, those that a route's own timeouts and retries give included.
fn cut_off(resolution: &Resolution, found: &mut Diagnostics) {
    let mut seen = BTreeSet::new();
    let mut cut: Vec<(&RouteRule, &ListenerName, String)> = Vec::new();
    for listener in &resolution.plan.listeners {
        for route in listener.hosts.iter().flat_map(|host| &host.routes) {
            if seen.insert(Arc::as_ptr(&route.rule.policy))
                && let Some(text) = too_long(&route.rule)
            {
                cut.push((&route.rule, &listener.name, text));
            }
        }
    }
    if cut.is_empty() {
        return;
    }
    let rules: BTreeMap<(&RuleName, &ListenerName), &EffectiveRule> = resolution
        .effective
        .iter()
        .map(|it| ((&it.rule, &it.listener), &**it))
        .collect();
    for (rule, listener, text) in cut {
        let name = &rule.name;
        let Some(EffectiveRule { policy, own, .. }) = rules.get(&(name, listener)) else {
            continue;
        };
        let own = own.as_deref();
        let own_request = own.is_some_and(|it| it.request_timeout().is_some());
        let request = match (
            own_request,
            policy.from.get(&FieldPath::new(REQUEST_TIMEOUT)),
        ) {
            (true, _) => format!("which {name} sets itself"),
            (false, Some(policy)) => format!("which {policy} sets"),
            (false, None) => "the default".to_owned(),
        };
        let message = format!(
            "{text}, {request}: the last ones are cut off; make fewer or shorter attempts, or raise the request timeout"
        );
        if own.is_some_and(|it| it.retry().is_some()) {
            let field = FieldPath::new("spec.rules")
                .index(name.index)
                .child("retry");
            let object = route_ref(name.kind, &name.route);
            found.warning(&object, field, "retries-exceed-timeout", message);
        } else {
            warn_at_setting(policy, PER_TRY, "retries-exceed-timeout", message, found);
        }
    }
}

/// How all attempts together exceed the time that a request may take, where they do.
fn too_long(rule: &RouteRule) -> Option<String> {
    let Retry {
        num_retries,
        triggers: _,
        status_codes: _,
        per_try_timeout,
        back_off: _,
        num_attempts_per_priority: _,
    } = rule.policy.retry.as_ref()?;
    let (per_try, request) = ((*per_try_timeout)?, rule.policy.timeout.request?);
    let attempts = num_retries.saturating_add(1);
    let all = per_try.saturating_mul(attempts);
    (all > request).then(|| {
        format!(
            "{attempts} attempts of {} take {} and the pauses between them, more than the request timeout of {}",
            format_duration(per_try),
            format_duration(all),
            format_duration(request)
        )
    })
}

fn amplification(applied: &Applied, found: &mut Diagnostics) {
    let Some(retry) = &applied.route.retry else {
        return;
    };
    let CircuitBreaker {
        max_connections: _,
        max_pending_requests: _,
        max_parallel_requests,
        max_retries,
        max_requests_per_connection: _,
        max_connections_per_endpoint: _,
    } = &applied.cluster.circuit_breaker;
    let RetryLimit::Count(max_retries) = max_retries else {
        return;
    };
    let id = "retry-amplification";
    if retry.num_retries >= MANY_RETRIES {
        let attempts = u64::from(retry.num_retries) + 1;
        let message = format!(
            "a backend that fails gets {attempts} times its usual load; write fewer than {MANY_RETRIES} retries, or bound \
             them with circuitBreaker.retryBudget"
        );
        warn_at_setting(&applied.effective, "retry.numRetries", id, message, found);
    }
    if max_retries > max_parallel_requests {
        let message = format!(
            "this bounds nothing: retries are requests as well, and no more than {max_parallel_requests} of these may be in \
             progress; lower it, or write circuitBreaker.retryBudget"
        );
        let setting = "circuitBreaker.maxParallelRetries";
        warn_at_setting(&applied.effective, setting, id, message, found);
    }
}
