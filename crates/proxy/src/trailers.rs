//! Which trailers pass, in either direction, and which are announced.

use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    COOKIE, EXPECT, HOST, MAX_FORWARDS, SET_COOKIE, TE, TRAILER,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::headers::{
    X_ENVOY_EXTERNAL_ADDRESS, X_FORWARDED_FOR, X_FORWARDED_PROTO, X_REQUEST_ID,
    remove_connection_headers,
};
use crate::rewrite::X_FORWARDED_HOST;

/// Headers that mean something in a head only (RFC 9110, section 6.5.1), where they have been looked at already.
const HEAD_ONLY: [HeaderName; 18] = [
    AUTHORIZATION,
    CACHE_CONTROL,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    COOKIE,
    EXPECT,
    HOST,
    MAX_FORWARDS,
    SET_COOKIE,
    TE,
    TRAILER,
    X_ENVOY_EXTERNAL_ADDRESS,
    X_FORWARDED_FOR,
    X_FORWARDED_HOST,
    X_FORWARDED_PROTO,
    X_REQUEST_ID,
];

/// Removes from trailers, in either direction, what has no business there: whoever merges them into the head must not
/// come to see another message than was routed.
pub(crate) fn prepare(trailers: &mut HeaderMap) {
    remove_connection_headers(trailers);
    for name in HEAD_ONLY {
        trailers.remove(name);
    }
}

/// Announces the trailers of a call of gRPC to a client of HTTP/1.1, which gets only those that are announced. Backends that
/// speak HTTP/2 need not announce theirs.
pub(crate) fn announce_grpc(headers: &mut HeaderMap) {
    if !headers.contains_key(TRAILER) && !headers.contains_key(CONTENT_LENGTH) {
        let names = HeaderValue::from_static("grpc-status, grpc-message, grpc-status-details-bin");
        headers.insert(TRAILER, names);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(headers: &HeaderMap) -> Vec<&str> {
        headers.keys().map(HeaderName::as_str).collect()
    }

    #[test]
    fn what_belongs_to_a_head_is_removed() {
        let mut trailers = HeaderMap::new();
        for name in [
            "x-sum",
            "content-length",
            "transfer-encoding",
            "Host",
            "connection",
            "upgrade",
            "x-forwarded-for",
            "grpc-status",
        ] {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            trailers.append(name, HeaderValue::from_static("1"));
        }
        prepare(&mut trailers);
        assert_eq!(names(&trailers), ["x-sum", "grpc-status"]);
    }

    #[test]
    fn what_is_announced_already_is_not_announced_again() {
        for (name, announced) in [("trailer", false), ("content-length", false), ("x", true)] {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static("1"));
            announce_grpc(&mut headers);
            assert_eq!(headers.len() == 2, announced, "{name}");
        }
    }
}
