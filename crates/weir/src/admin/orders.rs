//! What an operator tells a running gateway: to put an earlier configuration in force, and what to log.
//!
//! Orders are POST requests with a JSON body. A page in a browser cannot send one to another origin without asking
//! first (CORS), which this API never allows.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::oneshot;

use super::AdminState;
use super::api::{json_response, with_configuration};
use crate::follow::Order;
use crate::in_force::InForce;

/// How long an order may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is in force, and what was.
pub(super) async fn config(State(state): State<AdminState>) -> Response {
    with_configuration(&state, |it| {
        json_response(&json!({
            "sequence": it.sequence,
            "hash": it.hash,
            "held": it.held,
            "history": state.history.entries(),
        }))
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RollBack {
    /// A sequence or a hash.
    to: Option<String>,
    #[serde(default)]
    release: bool,
}

/// Puts an earlier configuration in force and holds it, or releases it.
pub(super) async fn roll_back(
    State(state): State<AdminState>,
    body: Result<Json<RollBack>, JsonRejection>,
) -> Response {
    let Json(RollBack { to, release }) = match body {
        Ok(body) => body,
        Err(error) => return refused(StatusCode::BAD_REQUEST, &error.body_text()),
    };
    let order = match (to, release) {
        (to, false) => Order::RollBack(to),
        (None, true) => Order::Release,
        (Some(_), true) => {
            let message = "expected either `to` or `release`, not both";
            return refused(StatusCode::BAD_REQUEST, message);
        }
    };
    match ordered(&state, order).await {
        Ok(Ok(it)) => json_response(&json!({
            "sequence": it.sequence,
            "hash": it.hash,
            "held": it.held,
            "restored": it.restored,
        })),
        Ok(Err(message)) => refused(StatusCode::CONFLICT, &message),
        Err(message) => refused(StatusCode::SERVICE_UNAVAILABLE, message),
    }
}

/// What the follower says, or why it says nothing.
async fn ordered(
    state: &AdminState,
    order: Order,
) -> Result<Result<Arc<InForce>, String>, &'static str> {
    let (reply, answer) = oneshot::channel();
    let gone = "the gateway takes no orders: it is about to end";
    let waiting = async {
        state.orders.send((order, reply)).await.map_err(|_| gone)?;
        answer.await.map_err(|_| gone)
    };
    let late = "the gateway is busy; see /config for what became of the order";
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .map_err(|_| late)?
}

/// What is logged.
pub(super) async fn log_level(State(state): State<AdminState>) -> Response {
    json_response(&json!({ "level": state.log.level() }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogLevel {
    level: String,
}

/// Logs something else from now on.
pub(super) async fn set_log_level(
    State(state): State<AdminState>,
    body: Result<Json<LogLevel>, JsonRejection>,
) -> Response {
    let Json(LogLevel { level }) = match body {
        Ok(body) => body,
        Err(error) => return refused(StatusCode::BAD_REQUEST, &error.body_text()),
    };
    match state.log.set_level(&level) {
        Ok(()) => {
            tracing::warn!(level, "what is logged was changed by order");
            json_response(&json!({ "level": level }))
        }
        Err(message) => refused(StatusCode::BAD_REQUEST, &message),
    }
}

fn refused(status: StatusCode, message: &str) -> Response {
    (status, format!("{message}\n")).into_response()
}
