//! For probes and scrapers: whether the process lives, whether it serves what it should, and its metrics.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use super::AdminState;

/// Always 200: a process that answers lives.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// 200 while all that is configured is served, else 503 and the reasons, one a line.
pub(super) async fn readyz(State(state): State<AdminState>) -> Response {
    let reasons = reasons_not_ready(&state);
    if reasons.is_empty() {
        return "ready\n".into_response();
    }
    let mut text = "not ready\n".to_owned();
    for reason in reasons {
        text.push_str("- ");
        text.push_str(&reason);
        text.push('\n');
    }
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

/// Why the gateway does not serve all that is configured; empty: it does.
pub(super) fn reasons_not_ready(state: &AdminState) -> Vec<String> {
    if state.draining.is_cancelled() {
        return vec!["draining: the process is about to end".to_owned()];
    }
    match (state.in_force.borrow().as_ref(), &state.waiting) {
        // In a cluster one Gateway of many that cannot be served must not take the others out of service.
        (Some(_), Some(_)) => Vec::new(),
        (Some(in_force), None) => in_force.reasons_not_ready(),
        (None, waiting) => {
            let mut reasons = vec!["no configuration is in force yet".to_owned()];
            reasons.extend(waiting.iter().flat_map(|it| it.borrow().clone()));
            reasons
        }
    }
}

/// The proxy's metrics and the process's own.
pub(super) async fn metrics(State(state): State<AdminState>) -> impl IntoResponse {
    let text = state.metrics.appended_to(state.proxy.metrics());
    (
        [(
            header::CONTENT_TYPE,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        )],
        text,
    )
}
