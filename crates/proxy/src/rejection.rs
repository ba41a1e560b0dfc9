//! Answers that the gateway gives by itself: one type, with the texts, codes and flags that Envoy has for each reason.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use weir_plan::DirectContent;

use crate::body::Body;
use crate::flags::Flag;
use crate::headers;

/// The details of a request whose client has left.
pub(crate) const DOWNSTREAM_GONE: &str = "downstream_remote_disconnect";

/// Why a request was answered here, and with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejection {
    pub(crate) status: StatusCode,
    /// The body; empty: none.
    pub(crate) body: Cow<'static, str>,
    /// What the plan gives the answer besides its status, its body in place of the other.
    pub(crate) content: Option<Arc<DirectContent>>,
    /// What goes to the log, besides what is there already.
    pub(crate) flag: Option<Flag>,
    /// The `response_code_details` of the log.
    pub(crate) details: Cow<'static, str>,
    /// Why no connection to an endpoint could be made.
    pub(crate) transport_failure: Option<Box<str>>,
    /// The gRPC status, where it does not follow from the status.
    pub(crate) grpc_status: Option<u8>,
    /// Where the client is sent.
    pub(crate) location: Option<HeaderValue>,
    /// Whether the connection ends with the answer whatever became of the request.
    pub(crate) close: bool,
}

/// The content type of an answer to a call of gRPC.
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

impl Rejection {
    /// An answer with a status and details only.
    pub(crate) fn new(status: StatusCode, details: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            body: Cow::Borrowed(""),
            content: None,
            flag: None,
            details: details.into(),
            transport_failure: None,
            grpc_status: None,
            location: None,
            close: false,
        }
    }

    /// With a body.
    pub(crate) fn body(mut self, body: impl Into<Cow<'static, str>>) -> Self {
        self.body = body.into();
        self
    }

    /// With a flag.
    pub(crate) fn flag(mut self, flag: Flag) -> Self {
        self.flag = Some(flag);
        self
    }

    /// The client did not send proper HTTP. The connection ends, since nobody knows where the next request begins.
    pub(crate) fn malformed(details: &'static str) -> Self {
        Self::protocol_error(StatusCode::BAD_REQUEST, "Bad Request", details)
    }

    /// The client left before the end of its request. Nobody reads this.
    pub(crate) fn abandoned() -> Self {
        Self {
            close: true,
            ..Self::new(StatusCode::BAD_REQUEST, DOWNSTREAM_GONE)
                .flag(Flag::DownstreamConnectionTermination)
        }
    }

    /// The head is larger than is allowed, or has too many headers.
    pub(crate) fn head_too_large(details: &'static str) -> Self {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        Self::protocol_error(status, "Request Header Fields Too Large", details)
    }

    /// The request's target is longer than is allowed.
    pub(crate) fn uri_too_long() -> Self {
        Self::protocol_error(StatusCode::URI_TOO_LONG, "URI Too Long", "uri_too_long")
    }

    fn protocol_error(status: StatusCode, body: &'static str, details: &'static str) -> Self {
        Self {
            close: true,
            ..Self::new(status, details)
                .body(body)
                .flag(Flag::DownstreamProtocolError)
        }
    }

    /// The process has no room for new requests. Envoy's text, and the details of its overload manager.
    pub(crate) fn overloaded() -> Self {
        Self {
            close: true,
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "overload")
                .body("envoy overloaded")
                .flag(Flag::OverloadManagerTerminated)
        }
    }

    /// No route fits.
    pub(crate) fn no_route() -> Self {
        Self::new(StatusCode::NOT_FOUND, "route_not_found").flag(Flag::NoRouteFound)
    }

    /// The request is for a listener that is not the one of its connection.
    pub(crate) fn misdirected() -> Self {
        Self::new(StatusCode::MISDIRECTED_REQUEST, "misdirected_request")
    }

    /// The backend does not exist.
    pub(crate) fn no_cluster(status: StatusCode) -> Self {
        Self::new(status, "cluster_not_found").flag(Flag::NoClusterFound)
    }

    /// The backend has no endpoints.
    pub(crate) fn no_healthy_upstream() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "no_healthy_upstream")
            .body("no healthy upstream")
            .flag(Flag::NoHealthyUpstream)
    }

    /// The client is sent elsewhere.
    pub(crate) fn redirect(
        status: StatusCode,
        location: HeaderValue,
        details: &'static str,
    ) -> Self {
        Self {
            location: Some(location),
            ..Self::new(status, details)
        }
    }

    /// The answer itself. A gRPC client gets the gRPC form of it; `incomplete` says that the request has not been read
    /// to its end, so that the connection cannot serve another.
    pub(crate) fn into_response(self, grpc: bool, incomplete: bool) -> Response<Body> {
        let Self {
            status,
            body,
            content,
            flag: _,
            details: _,
            transport_failure: _,
            grpc_status,
            location,
            close,
        } = self;
        let mut headers = HeaderMap::with_capacity(6);
        if close || incomplete {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(location) = location {
            headers.insert(LOCATION, location);
        }
        let text = match (&content, body) {
            (Some(content), _) => Bytes::from_owner(Arc::clone(&content.body.0)),
            (None, Cow::Borrowed(text)) => Bytes::from_static(text.as_bytes()),
            (None, Cow::Owned(text)) => Bytes::from(text),
        };
        let (status, body) = if grpc {
            let grpc_status = grpc_status.unwrap_or_else(|| grpc_status_of(status));
            headers.insert(CONTENT_TYPE, GRPC);
            headers.insert(GRPC_STATUS, HeaderValue::from(u16::from(grpc_status)));
            if let Some(message) = grpc_message(&text) {
                headers.insert(GRPC_MESSAGE, message);
            }
            (StatusCode::OK, Body::empty())
        } else if text.is_empty() {
            (status, Body::empty())
        } else {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            (status, Body::full(text))
        };
        let length = http_body::Body::size_hint(&body).exact().unwrap_or(0);
        // Trailers alone have no length, but for what HTTP/1.1 says by itself.
        if !grpc && !status.is_informational() && status != StatusCode::NO_CONTENT {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        if let Some(content) = content {
            headers::change(&mut headers, &content.headers);
            if grpc {
                // Whatever the type of the text that stands in `grpc-message`.
                headers.insert(CONTENT_TYPE, GRPC);
            }
        }
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }
}

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// The gRPC status that stands for an HTTP status.
fn grpc_status_of(status: StatusCode) -> u8 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// A text as `grpc-message` carries it: percent-encoded. None where there is no text.
fn grpc_message(text: &[u8]) -> Option<HeaderValue> {
    if text.is_empty() {
        return None;
    }
    let mut encoded = String::with_capacity(text.len());
    for byte in text {
        match byte {
            b'%' => encoded.push_str("%25"),
            b' '..=b'~' => encoded.push(char::from(*byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    HeaderValue::try_from(encoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(response: &Response<Body>) -> String {
        let headers = response.headers().iter();
        let headers = headers.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
        format!(
            "{} {}",
            response.status().as_u16(),
            headers.collect::<Vec<_>>().join(", ")
        )
    }

    #[test]
    fn answers_have_their_form() {
        let limited = || {
            Rejection::new(StatusCode::TOO_MANY_REQUESTS, "local_rate_limited")
                .body("local_rate_limited")
                .flag(Flag::RateLimited)
        };
        let abort = Rejection {
            grpc_status: Some(5),
            ..Rejection::new(StatusCode::OK, "fault_filter_abort").body("50 % ä")
        };
        let location = HeaderValue::from_static("/a");
        let redirect = Rejection::redirect(StatusCode::FOUND, location, "direct_response");
        let cases = [
            (
                limited().into_response(false, false),
                "429 content-type: text/plain, content-length: 18",
            ),
            (
                limited().into_response(false, true),
                "429 connection: close, content-type: text/plain, content-length: 18",
            ),
            (
                limited().into_response(true, false),
                "200 content-type: application/grpc, grpc-status: 14, grpc-message: local_rate_limited",
            ),
            (
                Rejection::no_route().into_response(false, false),
                "404 content-length: 0",
            ),
            (
                Rejection::no_route().into_response(true, false),
                "200 content-type: application/grpc, grpc-status: 12",
            ),
            (
                abort.into_response(true, false),
                "200 content-type: application/grpc, grpc-status: 5, grpc-message: 50 %25 %C3%A4",
            ),
            (
                redirect.into_response(false, false),
                "302 location: /a, content-length: 0",
            ),
            (
                Rejection::malformed("x").into_response(false, false),
                "400 connection: close, content-type: text/plain, content-length: 11",
            ),
        ];
        for (response, expected) in cases {
            assert_eq!(head(&response), expected);
        }
    }

    #[test]
    fn statuses_have_a_grpc_form() {
        let cases = [
            (400, 13),
            (401, 16),
            (403, 7),
            (404, 12),
            (413, 2),
            (429, 14),
            (500, 2),
            (502, 14),
            (503, 14),
            (504, 14),
        ];
        for (status, grpc) in cases {
            assert_eq!(
                grpc_status_of(StatusCode::from_u16(status).unwrap()),
                grpc,
                "{status}"
            );
        }
    }
}
