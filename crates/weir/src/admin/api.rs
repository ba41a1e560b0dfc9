//! What is in force, as JSON: the values that the process works with, serialized.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde::Serialize;
use serde_json::json;
use weir_plan::{ListenerName, PolicyRef, RuleName};
use weir_resolve::explain::clients;
use weir_resolve::status::PolicyAncestorStatus;

use super::{AdminState, health};
use crate::commands::translate::PlanView;
use crate::findings;
use crate::in_force::InForce;
use crate::question::{self, Answer, Question};

/// What is in force, where it is served, and all statuses.
pub(super) async fn status(State(state): State<AdminState>) -> Response {
    with_configuration(&state, |it| {
        let reasons = health::reasons_not_ready(&state);
        let listening: Vec<_> = it
            .addresses
            .iter()
            .map(|(port, address)| json!({ "port": port, "address": address }))
            .collect();
        let refused: Vec<_> = it
            .unserved
            .errors
            .iter()
            .map(|error| json!({ "port": error.port, "message": error.message }))
            .collect();
        json_response(&json!({
            "version": env!("CARGO_PKG_VERSION"),
            "ready": reasons.is_empty(),
            "reasons": reasons,
            "sources": state.sources,
            "configuration": {
                "hash": it.hash,
                "sequence": it.sequence,
                "applied": it.applied.to_string(),
                "resolveMs": millis(it.resolve_time),
                "applyMs": millis(it.apply_time),
                "counts": it.configuration.counts(),
            },
            "admin": state.address,
            "listening": listening,
            "notListening": refused,
            "statuses": it.statuses(),
        }))
    })
}

/// What is wrong in the files, and with the ports.
pub(super) async fn findings(State(state): State<AdminState>) -> Response {
    with_configuration(&state, |it| {
        let (errors, warnings) = findings::count(it.findings());
        let findings: Vec<_> = it.findings().collect();
        json_response(&json!({
            "hash": it.hash,
            "errors": errors,
            "warnings": warnings,
            "findings": findings,
            "missing": it.configuration.loaded.missing,
        }))
    })
}

/// The plan and the endpoints.
pub(super) async fn plan(State(state): State<AdminState>) -> Response {
    with_configuration(&state, |it| json_response(&PlanView::of(&it.configuration)))
}

/// The policies, with their conditions and the rules or listeners that they reach.
pub(super) async fn policies(State(state): State<AdminState>) -> Response {
    with_configuration(&state, |it| {
        let mut views: BTreeMap<PolicyRef, PolicyView<'_>> = BTreeMap::new();
        for name in it.configuration.loaded.resources.policies.keys() {
            let policy = PolicyRef {
                kind: "BackendTrafficPolicy".into(),
                name: name.clone(),
            };
            views.entry(policy).or_default().ancestors =
                it.statuses().policies.get(name).map_or(&[], Vec::as_slice);
        }
        for effective in &it.configuration.resolution.effective {
            let (rule, listener) = (&effective.rule, &effective.listener);
            for policy in &effective.policy.policies {
                views
                    .entry(policy.clone())
                    .or_default()
                    .affects
                    .push(Affected { rule, listener });
            }
            for lost in &effective.policy.lost {
                let entry = LostAt {
                    rule,
                    listener,
                    reason: &lost.reason,
                };
                views
                    .entry(lost.policy.clone())
                    .or_default()
                    .without_effect_on
                    .push(entry);
            }
        }
        let views: Vec<_> = views
            .iter()
            .map(|(policy, view)| Named { policy, view })
            .collect();
        let resolution = &it.configuration.resolution;
        let of_clients: Vec<_> = clients::named(resolution, |_| true)
            .into_iter()
            .filter_map(|name| clients::policy(resolution, name))
            .collect();
        json_response(&json!({ "hash": it.hash, "policies": views, "clientPolicies": of_clients }))
    })
}

#[derive(Serialize)]
struct Named<'a> {
    policy: &'a PolicyRef,
    #[serde(flatten)]
    view: &'a PolicyView<'a>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct PolicyView<'a> {
    /// Its status.
    ancestors: &'a [PolicyAncestorStatus],
    /// The rules whose settings it contributes to.
    affects: Vec<Affected<'a>>,
    /// The rules that it means but loses to another policy.
    without_effect_on: Vec<LostAt<'a>>,
}

#[derive(Serialize)]
struct Affected<'a> {
    rule: &'a RuleName,
    listener: &'a ListenerName,
}

#[derive(Serialize)]
struct LostAt<'a> {
    rule: &'a RuleName,
    listener: &'a ListenerName,
    reason: &'a str,
}

/// The effective policy of a route, or of the rule that a request reaches; or what a policy affects.
pub(super) async fn explain(
    State(state): State<AdminState>,
    Query(query): Query<Vec<(String, String)>>,
) -> Response {
    let question = match asked(query) {
        Ok(question) => question,
        Err(message) => return (StatusCode::BAD_REQUEST, message + "\n").into_response(),
    };
    with_configuration(&state, |it| {
        match question::answer(&question, &it.configuration, || it.router(), &it.addresses) {
            Err(error) => (StatusCode::BAD_REQUEST, format!("{error:#}\n")).into_response(),
            Ok(Answer::Nothing(reason)) => (StatusCode::NOT_FOUND, reason + "\n").into_response(),
            Ok(Answer::Explained(explained)) => json_response(&explained),
            Ok(Answer::Policies(policies)) => json_response(&policies),
            Ok(Answer::ClientPolicies(policies)) => json_response(&policies),
            Ok(Answer::Listeners(listeners)) => json_response(&listeners),
        }
    })
}

fn asked(query: Vec<(String, String)>) -> Result<Question, String> {
    let (mut subject, mut request, mut headers) = (Vec::new(), None, Vec::new());
    for (key, value) in query {
        match key.as_str() {
            "route" => subject.push(Question::Route(value)),
            "policy" => subject.push(Question::Policy(value)),
            "client-policy" => subject.push(Question::ClientPolicy(value)),
            "listener" => subject.push(Question::Listener(value)),
            "request" => request = Some(value),
            "header" => headers.push(value),
            _ => {
                return Err(format!(
                    "unknown parameter {key}: expected route, policy, client-policy, listener, or request and header"
                ));
            }
        }
    }
    let only = if subject.len() == 1 {
        subject.pop()
    } else {
        None
    };
    match (only, request) {
        (Some(question), None) if headers.is_empty() => Ok(question),
        (None, Some(request)) if subject.is_empty() => Ok(Question::Request { request, headers }),
        _ => Err(
            "expected route=NAME, policy=NAME, client-policy=NAME, listener=NAME, or request=METHOD%20URL and any number of header=NAME:VALUE"
                .to_owned(),
        ),
    }
}

pub(super) fn with_configuration(
    state: &AdminState,
    answer: impl FnOnce(&InForce) -> Response,
) -> Response {
    let in_force: Option<Arc<InForce>> = state.in_force.borrow().clone();
    match in_force {
        Some(in_force) => answer(&in_force),
        None => (
            StatusCode::SERVICE_UNAVAILABLE,
            "no configuration is in force yet\n",
        )
            .into_response(),
    }
}

pub(super) fn json_response<T: Serialize>(value: &T) -> Response {
    match serde_json::to_string_pretty(value) {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text + "\n").into_response(),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("cannot write JSON: {error}\n"),
        )
            .into_response(),
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}
