//! The extended CONNECT of HTTP/2 (RFC 8441) as the upgrade of HTTP/1.1 that it stands for, so that one rule holds for
//! both; and back.

use http::header::{CONNECTION, CONTENT_LENGTH, UPGRADE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::ext::Protocol;

use crate::features::http_upgrade;

/// Makes an extended CONNECT a request for an upgrade. Nothing else in HTTP/2 has the header that it gets.
pub(super) fn into_upgrade<B>(request: &mut Request<B>) {
    let Some(protocol) = request.extensions_mut().remove::<Protocol>() else {
        return;
    };
    // A header's value it was; one that is none asks for nothing that could be allowed.
    let protocol = HeaderValue::from_str(protocol.as_str());
    let protocol = protocol.unwrap_or(HeaderValue::from_static(""));
    *request.method_mut() = Method::GET;
    http_upgrade::announce(request.headers_mut(), protocol);
}

/// Makes an answer that begins a tunnel what HTTP/2 has for it.
pub(super) fn agree<B>(response: &mut Response<B>) {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        *response.status_mut() = StatusCode::OK;
    }
    for name in [CONNECTION, UPGRADE, CONTENT_LENGTH] {
        response.headers_mut().remove(name);
    }
}
