//! The echo backend: answers every request with what it was asked, and is slow or fails where the request says so.
//!
//! For trying a gateway on: `weir echo` runs one, `weir quickstart` several.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, Uri, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::serve::{self, Bounds};

/// What a request may ask of the backend; part of the help of `weir echo`.
pub(crate) const CONTROLS: &str = "\
The answer is JSON: the backend's name, which request this was, method, path, query, headers, and
the size of the body. A request can ask for something else, by its query or by a header:
  ?delay=500ms    x-echo-delay: 500ms    wait first (at most 10m)
  ?status=503     x-echo-status: 503     answer with this status (200 to 599)
  ?size=100000    x-echo-size: 100000    answer with so many bytes of text (at most 16777216)
  ?flaky=3        x-echo-flaky: 3        of 3 such requests, answer two with 503 and the
                                         third well (at most 1000)

Examples:
  weir echo --listen 127.0.0.1:3000
  curl 'http://127.0.0.1:3000/cart?delay=500ms'
  curl -i 'http://127.0.0.1:3000/cart?status=503'";

const MAX_DELAY: Duration = Duration::from_secs(600);
const MAX_SIZE: usize = 16 * 1024 * 1024;
const MAX_FLAKY: u64 = 1_000;
const BOUNDS: Bounds = Bounds {
    connections: 16_384,
    head_timeout: Duration::from_secs(3_600),
};

/// Binds the address of a backend. What connects from then on is served as soon as [`serve`] runs.
pub(crate) fn bind(address: SocketAddr) -> Result<std::net::TcpListener> {
    let bind = || {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok::<_, std::io::Error>(listener)
    };
    bind().with_context(|| {
        format!("cannot listen on {address}; choose another address with --listen")
    })
}

/// Serves a backend until `stop`. Needs a runtime.
pub(crate) async fn serve(
    listener: std::net::TcpListener,
    name: &str,
    stop: CancellationToken,
) -> Result<()> {
    let listener = TcpListener::from_std(listener).context("cannot serve an echo backend")?;
    let backend = Arc::new(Backend {
        name: name.to_owned(),
        requests: AtomicU64::new(0),
        flaky: AtomicU64::new(0),
    });
    let router = Router::new().fallback(answer).with_state(backend);
    serve::serve(listener, router, BOUNDS, stop).await;
    Ok(())
}

#[derive(Debug)]
struct Backend {
    name: String,
    /// Requests so far.
    requests: AtomicU64,
    /// Requests so far that asked for `flaky`.
    flaky: AtomicU64,
}

async fn answer(State(backend): State<Arc<Backend>>, request: Request) -> Response {
    let nth = backend.requests.fetch_add(1, Ordering::Relaxed) + 1;
    let (head, body) = request.into_parts();
    let Controls {
        delay,
        status,
        size,
        flaky,
    } = match Controls::read(&head.uri, &head.headers) {
        Ok(controls) => controls,
        Err(message) => return (StatusCode::BAD_REQUEST, message + "\n").into_response(),
    };
    let body_bytes = count(body).await;
    tokio::time::sleep(delay).await;
    let fails = flaky
        .is_some_and(|of| !(backend.flaky.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(of));
    let status = if fails {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        status
    };
    let (content_type, text) = match size {
        Some(size) => ("text/plain", "x".repeat(size)),
        None => {
            let answer = json!({
                "backend": backend.name,
                "request": nth,
                "method": head.method.as_str(),
                "path": head.uri.path(),
                "query": head.uri.query(),
                "headers": headers(&head.headers),
                "body_bytes": body_bytes,
            });
            ("application/json", format!("{answer:#}\n"))
        }
    };
    (
        status,
        [
            (header::CONTENT_TYPE.as_str(), content_type),
            ("x-echo-backend", backend.name.as_str()),
        ],
        text,
    )
        .into_response()
}

/// What the request asks for.
#[derive(Debug, PartialEq, Eq)]
struct Controls {
    delay: Duration,
    status: StatusCode,
    size: Option<usize>,
    flaky: Option<u64>,
}

impl Controls {
    fn read(uri: &Uri, headers: &HeaderMap) -> Result<Self, String> {
        let Query(query) = Query::<Vec<(String, String)>>::try_from_uri(uri).unwrap_or_default();
        let control = |name: &str| -> Option<String> {
            let of_header = || {
                headers
                    .get(format!("x-echo-{name}"))
                    .and_then(|it| it.to_str().ok())
                    .map(str::to_owned)
            };
            query
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.clone())
                .or_else(of_header)
        };
        Ok(Self {
            delay: read(
                control("delay"),
                "delay",
                "a duration up to 10m, such as 500ms",
                |text| {
                    crate::cli::duration(text)
                        .ok()
                        .filter(|it| *it <= MAX_DELAY)
                },
            )?
            .unwrap_or_default(),
            status: read(
                control("status"),
                "status",
                "a status from 200 to 599",
                |text| {
                    text.parse()
                        .ok()
                        .filter(|code| (200..600).contains(code))
                        .and_then(|code| StatusCode::from_u16(code).ok())
                },
            )?
            .unwrap_or(StatusCode::OK),
            size: read(
                control("size"),
                "size",
                "a number of bytes up to 16777216",
                |text| text.parse().ok().filter(|size| *size <= MAX_SIZE),
            )?,
            flaky: read(
                control("flaky"),
                "flaky",
                "a number from 1 to 1000",
                |text| text.parse().ok().filter(|of| (1..=MAX_FLAKY).contains(of)),
            )?,
        })
    }
}

fn read<T>(
    text: Option<String>,
    name: &str,
    expected: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, String> {
    let Some(text) = text else { return Ok(None) };
    parse(&text)
        .map(Some)
        .ok_or_else(|| format!("{name}={text}: expected {expected}"))
}

/// The size of a body, which is not kept. One that breaks off counts as far as it came.
async fn count(mut body: Body) -> u64 {
    let mut bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
    }
    bytes
}

/// The headers; those that are there more than once as a list.
fn headers(headers: &HeaderMap) -> BTreeMap<&str, Value> {
    let text = |value: &http::HeaderValue| Value::from(String::from_utf8_lossy(value.as_bytes()));
    headers
        .keys()
        .map(|name| {
            let values: Vec<Value> = headers.get_all(name).iter().map(text).collect();
            let value = match <[Value; 1]>::try_from(values) {
                Ok([value]) => value,
                Err(values) => Value::from(values),
            };
            (name.as_str(), value)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(uri: &str, header: Option<(&'static str, &'static str)>) -> Result<Controls, String> {
        let mut headers = HeaderMap::new();
        headers.extend(header.map(|(name, value)| {
            (
                http::HeaderName::from_static(name),
                http::HeaderValue::from_static(value),
            )
        }));
        Controls::read(&uri.parse().unwrap(), &headers)
    }

    #[test]
    fn requests_say_what_they_want() {
        let plain = || Controls {
            delay: Duration::ZERO,
            status: StatusCode::OK,
            size: None,
            flaky: None,
        };
        let cases = [
            ("/", None, plain()),
            (
                "/?delay=500ms",
                None,
                Controls {
                    delay: Duration::from_millis(500),
                    ..plain()
                },
            ),
            (
                "/?x=1&status=503&size=3",
                None,
                Controls {
                    status: StatusCode::SERVICE_UNAVAILABLE,
                    size: Some(3),
                    ..plain()
                },
            ),
            (
                "/",
                Some(("x-echo-flaky", "2")),
                Controls {
                    flaky: Some(2),
                    ..plain()
                },
            ),
            (
                "/?flaky=3",
                Some(("x-echo-flaky", "2")),
                Controls {
                    flaky: Some(3),
                    ..plain()
                },
            ),
        ];
        for (uri, header, expected) in cases {
            assert_eq!(read(uri, header), Ok(expected), "{uri} {header:?}");
        }
    }

    #[test]
    fn what_cannot_be_had_is_refused() {
        for uri in [
            "/?delay=1d",
            "/?delay=11m",
            "/?status=99",
            "/?status=100",
            "/?size=16777217",
            "/?flaky=0",
            "/?size=-1",
        ] {
            let message = read(uri, None).unwrap_err();
            assert!(message.contains("expected"), "{uri}: {message}");
        }
    }
}
