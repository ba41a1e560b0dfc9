//! The admin API: how the gateway is, what is in force, and why; and orders to it. On loopback unless said otherwise, and
//! with a token where others may reach it.
//!
//! It shows names, settings and statuses; the contents of ConfigMaps and Secrets are no part of what it serializes.

mod api;
mod health;
mod orders;
mod token;

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderValue, Method, StatusCode, header};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::error;
use weir_proxy::Proxy;

pub(crate) use self::token::Token;
use crate::cli::Admin;
use crate::follow::Ordered;
use crate::history::History;
use crate::in_force::InForce;
use crate::metrics::Metrics;
use crate::serve::{self, Bounds};
use crate::telemetry::LogControl;

/// What the admin API looks at.
#[derive(Clone, Debug)]
pub(crate) struct AdminState {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// What it asks for; none: nothing.
    pub(crate) token: Option<Token>,
    /// Where resources are read from.
    pub(crate) sources: Vec<String>,
    /// What a cluster still has to tell before anything can be served; none: resources come from files.
    pub(crate) waiting: Option<watch::Receiver<Vec<String>>>,
    pub(crate) in_force: watch::Receiver<Option<Arc<InForce>>>,
    pub(crate) proxy: Arc<Proxy>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) draining: CancellationToken,
    pub(crate) history: Arc<History>,
    pub(crate) orders: mpsc::Sender<Ordered>,
    pub(crate) log: LogControl,
}

const BOUNDS: Bounds = Bounds {
    connections: 64,
    head_timeout: Duration::from_secs(10),
};

const INDEX: &str = r#"The admin API of Weir.

  /healthz                      200 while the process lives
  /readyz                       200 while all that is configured is served, else 503 with the reasons
  /metrics                      metrics for Prometheus
  /config                       the configuration in force and the last 20, with what each one changed
  /api/status                   what is in force, where it is served, and the status of every object
  /api/findings                 what is wrong in the files
  /api/plan                     what is enforced: listeners, routes, clusters, endpoints
  /api/policies                 the policies, their conditions, and the route rules or listeners that they affect
  /api/explain?route=NAME       the effective policy of a route, and where it comes from
  /api/explain?policy=NAME      what a policy affects
  /api/explain?client-policy=NAME
                                the same of a ClientTrafficPolicy
  /api/explain?listener=NAME    how a listener deals with its clients, and who says so
  /api/explain?request=GET%20http://HOST/PATH&header=NAME:VALUE
                                the same for the rule that a request reaches
  /api/log-level                what is logged

Orders, by POST with a body of JSON:

  /api/rollback                 {"to": "SEQUENCE or HASH"} holds an earlier configuration in force, {} the one before;
                                {"release": true} follows the files again
  /api/log-level                {"level": "debug"}
"#;

/// Binds the address of the admin API, if it is to have one. `before`: the socket of the process whose place is taken.
///
/// # Errors
/// When it cannot be bound, and where other machines could reach it while it asks for no token.
pub(crate) fn bind(
    admin: Admin,
    token: Option<&Token>,
    before: Option<std::net::TcpListener>,
) -> Result<Option<std::net::TcpListener>> {
    let Admin::On(address) = admin else {
        return Ok(None);
    };
    if token.is_none() && !address.ip().to_canonical().is_loopback() {
        bail!(
            "other machines could reach the admin API on {address}; give it a token with --admin-token-file FILE, or bind \
             it to loopback. --metrics opens an address for probes and metrics alone"
        );
    }
    let bound = match before.filter(|it| is_at(it, address)) {
        Some(listener) => Ok(listener),
        None => std::net::TcpListener::bind(address),
    };
    let listener = bound.map_err(|error| {
        if error.kind() == ErrorKind::AddrInUse {
            anyhow!(
                "the admin address {address} is in use, perhaps by another Weir; stop what listens there, or choose \
                 another with --admin ADDR:PORT or --admin off"
            )
        } else {
            let what = format!("cannot listen on the admin address {address}; choose another with --admin");
            anyhow!(error).context(what)
        }
    })?;
    listener
        .set_nonblocking(true)
        .context("cannot set up the admin API")?;
    Ok(Some(listener))
}

/// Serves the admin API until `stop`.
pub(crate) async fn serve(
    listener: std::net::TcpListener,
    state: AdminState,
    stop: CancellationToken,
) {
    match TcpListener::from_std(listener) {
        Ok(listener) => {
            serve::serve(listener, router(state), BOUNDS, stop).await;
        }
        Err(error) => error!(%error, "the admin API cannot be served"),
    }
}

/// Whether a socket is one that binding this address would give.
fn is_at(listener: &std::net::TcpListener, address: SocketAddr) -> bool {
    listener.local_addr().is_ok_and(|it| {
        it.ip() == address.ip() && (address.port() == 0 || it.port() == address.port())
    })
}

/// Binds the address for probes and metrics. `before`: the socket of the process whose place is taken.
pub(crate) fn bind_probes(
    address: SocketAddr,
    before: Option<std::net::TcpListener>,
) -> Result<std::net::TcpListener> {
    let bound = match before.filter(|it| is_at(it, address)) {
        Some(listener) => Ok(listener),
        None => std::net::TcpListener::bind(address),
    };
    let listener = bound
        .with_context(|| format!("cannot listen on {address}; choose another with --metrics"))?;
    listener
        .set_nonblocking(true)
        .context("cannot set up the address for metrics")?;
    Ok(listener)
}

/// Serves probes and metrics until `stop`, to everybody.
pub(crate) async fn serve_probes(
    listener: std::net::TcpListener,
    state: AdminState,
    stop: CancellationToken,
) {
    match TcpListener::from_std(listener) {
        Ok(listener) => {
            let router = probes().with_state(state);
            serve::serve(listener, router, BOUNDS, stop).await;
        }
        Err(error) => error!(%error, "probes and metrics cannot be served"),
    }
}

fn probes() -> Router<AdminState> {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
}

fn router(state: AdminState) -> Router {
    probes()
        .route("/", get(|| async { INDEX }))
        .route("/config", get(orders::config))
        .route("/api/rollback", post(orders::roll_back))
        .route(
            "/api/log-level",
            get(orders::log_level).post(orders::set_log_level),
        )
        .route("/api/status", get(api::status))
        .route("/api/findings", get(api::findings))
        .route("/api/plan", get(api::plan))
        .route("/api/policies", get(api::policies))
        .route("/api/explain", get(api::explain))
        .fallback(|| async {
            (
                StatusCode::NOT_FOUND,
                "there is no such page; / lists those there are\n",
            )
        })
        .layer(middleware::from_fn_with_state(state.clone(), guard))
        .with_state(state)
}

/// The paths that take orders.
const ORDERS: [&str; 2] = ["/api/rollback", "/api/log-level"];
/// The paths that ask for no token: they tell nothing that a probe need not know.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];

/// Lets through only reads and orders that are addressed to this host, with the token where there is one. A page in a
/// browser that had its own name point at loopback (DNS rebinding) is told no, because its requests bear its own name.
async fn guard(State(state): State<AdminState>, request: Request, next: Next) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    let reads = method == Method::GET || method == Method::HEAD;
    let orders = method == Method::POST && ORDERS.contains(&path);
    if !reads && !orders {
        let (allow, message) = if ORDERS.contains(&path) {
            ("GET, HEAD, POST", "this path answers GET, HEAD and POST\n")
        } else {
            ("GET, HEAD", "this path only answers GET and HEAD\n")
        };
        let allow = [(header::ALLOW, allow)];
        return (StatusCode::METHOD_NOT_ALLOWED, allow, message).into_response();
    }
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|it| it.to_str().ok());
    if !host_is_allowed(state.address.ip(), host) {
        let message = "this host name is not served here; ask for localhost, 127.0.0.1 or [::1]\n";
        return (StatusCode::MISDIRECTED_REQUEST, message).into_response();
    }
    let token = state.token.filter(|_| !OPEN.contains(&path));
    if token.is_some_and(|it| !it.is_in(request.headers())) {
        let ask = [(header::WWW_AUTHENTICATE, "Bearer")];
        let message = "the admin API asks for its token: Authorization: Bearer TOKEN\n";
        return (StatusCode::UNAUTHORIZED, ask, message).into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// Whether a request with this `Host` is meant for an API bound to this address. An API that others can reach has
/// names that we do not know.
fn host_is_allowed(bound: IpAddr, host: Option<&str>) -> bool {
    if !bound.is_loopback() {
        return true;
    }
    let Some(host) = host else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    name.eq_ignore_ascii_case("localhost")
        || matches!(name, "127.0.0.1" | "[::1]")
        || name.trim_start_matches('[').trim_end_matches(']').parse() == Ok(bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_hosts_are_allowed() {
        let cases = [
            ("127.0.0.1", Some("localhost"), true),
            ("127.0.0.1", Some("LocalHost:9901"), true),
            ("127.0.0.1", Some("127.0.0.1:9901"), true),
            ("127.0.0.1", Some("[::1]:9901"), true),
            ("::1", Some("[::1]"), true),
            ("127.0.0.2", Some("127.0.0.2:1"), true),
            ("127.0.0.1", Some("127.0.0.2"), false),
            ("127.0.0.1", Some("evil.example.com:9901"), false),
            ("127.0.0.1", Some("localhost.example.com"), false),
            ("127.0.0.1", Some("127.0.0.1.example.com"), false),
            ("127.0.0.1", Some(""), false),
            ("127.0.0.1", None, false),
            ("0.0.0.0", Some("gateway.example.com"), true),
        ];
        for (bound, host, expected) in cases {
            assert_eq!(
                host_is_allowed(bound.parse().unwrap(), host),
                expected,
                "{bound} {host:?}"
            );
        }
    }
}
