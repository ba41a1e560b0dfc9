//! What routes are built to, as tables of what goes in and what comes out.

mod annotations;
mod backend_tls;
mod backends;
mod credential;
mod filters;
mod grpc;
mod l4;
mod matches;
mod own_tls;
mod policies;
mod route_filter;
mod session;

use serde_json::{Value, json};
use weir_plan::{Cluster, Plan, RouteAction, RouteRule, SplitTarget};

use crate::Resolution;

/// The rules of a plan, each once, in the order of the table.
pub(super) fn rules(plan: &Plan) -> Vec<&RouteRule> {
    let routes = plan
        .listeners
        .iter()
        .flat_map(|it| &it.hosts)
        .flat_map(|it| &it.routes);
    let mut rules: Vec<&RouteRule> = Vec::new();
    for route in routes {
        if !rules.iter().any(|it| std::ptr::eq(*it, &*route.rule)) {
            rules.push(&route.rule);
        }
    }
    rules
}

/// What a plan does with requests of a rule, in short.
pub(super) fn action(rule: &RouteRule) -> String {
    match &rule.action {
        RouteAction::Forward(forward) => {
            let targets = forward.targets.iter().map(|it| match &it.target {
                SplitTarget::Cluster(name) => format!("{} {name}", it.weight),
                SplitTarget::Invalid(answer) => format!("{} {}", it.weight, answer.status),
            });
            targets.collect::<Vec<_>>().join(", ")
        }
        RouteAction::Redirect(it) => format!("{it:?}"),
        RouteAction::Respond(it) => format!("{} {}", it.status, it.reason),
    }
}

/// The clusters of a plan in short: `NAME: WEIGHT*PRIORITY ENDPOINTS ...`.
pub(super) fn clusters(plan: &Plan) -> Vec<String> {
    let short = |it: &Cluster| {
        let localities = it
            .localities
            .iter()
            .map(|it| format!("{}*{} {}", it.weight, it.priority, it.endpoints));
        format!("{}: {}", it.name, localities.collect::<Vec<_>>().join(" "))
    };
    plan.clusters.values().map(|it| short(it)).collect()
}

pub(super) fn found(resolution: &Resolution) -> Vec<String> {
    resolution
        .diagnostics
        .iter()
        .map(|it| format!("{} {}", it.field, it.id))
        .collect()
}

pub(super) fn policy(name: &str, target: &Value, spec: &Value) -> Value {
    let mut spec = spec.clone();
    spec["targetRefs"] = json!([target]);
    spec["targetRefs"][0]["group"] = json!("gateway.networking.k8s.io");
    json!({"kind": "BackendTrafficPolicy", "metadata": {"name": name}, "spec": spec})
}
