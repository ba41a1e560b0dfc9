//! The admin API: how the gateway is, what is in force, and why. Read only, without authentication, so on loopback.
//!
//! It shows names, settings and statuses; the contents of ConfigMaps and Secrets are no part of what it serializes.

mod api;
mod health;

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderValue, Method, StatusCode, header};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::error;
use weir_proxy::Proxy;

use crate::cli::Admin;
use crate::in_force::InForce;
use crate::metrics::Metrics;
use crate::serve::{self, Bounds};

/// What the admin API looks at.
#[derive(Clone, Debug)]
pub(crate) struct AdminState {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Where resources are read from.
    pub(crate) sources: Vec<String>,
    pub(crate) in_force: watch::Receiver<Option<Arc<InForce>>>,
    pub(crate) proxy: Arc<Proxy>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) draining: CancellationToken,
}

const BOUNDS: Bounds = Bounds {
    connections: 64,
    head_timeout: Duration::from_secs(10),
};

const INDEX: &str = "\
The admin API of Weir.

  /healthz                      200 while the process lives
  /readyz                       200 while all that is configured is served, else 503 with the reasons
  /metrics                      metrics for Prometheus
  /api/status                   what is in force, where it is served, and the status of every object
  /api/findings                 what is wrong in the files
  /api/plan                     what is enforced: listeners, routes, clusters, endpoints
  /api/policies                 the policies, their conditions, and the route rules that they affect
  /api/explain?route=NAME       the effective policy of a route, and where it comes from
  /api/explain?policy=NAME      what a policy affects
  /api/explain?request=GET%20http://HOST/PATH&header=NAME:VALUE
                                the same for the rule that a request reaches
";

/// Binds the address of the admin API, if it is to have one.
pub(crate) fn bind(admin: Admin) -> Result<Option<std::net::TcpListener>> {
    let Admin::On(address) = admin else {
        return Ok(None);
    };
    let listener = std::net::TcpListener::bind(address).map_err(|error| {
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

/// Serves the admin API as long as the process lives.
pub(crate) async fn serve(listener: std::net::TcpListener, state: AdminState) {
    match TcpListener::from_std(listener) {
        Ok(listener) => {
            serve::serve(listener, router(state), BOUNDS, CancellationToken::new()).await;
        }
        Err(error) => error!(%error, "the admin API cannot be served"),
    }
}

fn router(state: AdminState) -> Router {
    Router::new()
        .route("/", get(|| async { INDEX }))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
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

/// Lets through only reads that are addressed to this host. A page in a browser that had its own name point at
/// loopback (DNS rebinding) is told no, because its requests bear its own name.
async fn guard(State(state): State<AdminState>, request: Request, next: Next) -> Response {
    let method = request.method();
    if method != Method::GET && method != Method::HEAD {
        let allow = [(header::ALLOW, "GET, HEAD")];
        return (
            StatusCode::METHOD_NOT_ALLOWED,
            allow,
            "the admin API only answers GET and HEAD\n",
        )
            .into_response();
    }
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|it| it.to_str().ok());
    if !host_is_allowed(state.address.ip(), host) {
        let message = "this host name is not served here; ask for localhost, 127.0.0.1 or [::1]\n";
        return (StatusCode::MISDIRECTED_REQUEST, message).into_response();
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
