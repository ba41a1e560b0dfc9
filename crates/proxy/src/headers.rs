//! Header rules that hold for every request and response, as Envoy Gateway sets Envoy up: what is refused, what is
//! removed, what is added.

use std::net::IpAddr;

use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT, HOST, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use weir_plan::{HeaderChanges, RequestIdAction, WithUnderscores};

use crate::client::detection::Detected;
use crate::options::Limits;
use crate::rejection::Rejection;

pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(crate) const X_ENVOY_EXTERNAL_ADDRESS: HeaderName =
    HeaderName::from_static("x-envoy-external-address");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Headers that mean one connection only.
const HOP_BY_HOP: [HeaderName; 6] = [
    CONNECTION,
    HTTP2_SETTINGS,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// What follows `x-envoy-` in headers by which trusted peers steer Envoy. Clients are not trusted.
const STEERING: [&str; 24] = [
    "attempt-count",
    "decorator-operation",
    "downstream-service-cluster",
    "downstream-service-node",
    "expected-rq-timeout-ms",
    "external-address",
    "force-trace",
    "hedge-on-per-try-timeout",
    "internal",
    "ip-tags",
    "is-timeout-retry",
    "max-retries",
    "original-path",
    "original-url",
    "retriable-header-names",
    "retriable-status-codes",
    "retry-grpc-on",
    "retry-on",
    "upstream-alt-stat-name",
    "upstream-rq-per-try-timeout-ms",
    "upstream-rq-timeout-alt-response",
    "upstream-rq-timeout-ms",
    "upstream-service-time",
    "upstream-stream-duration-ms",
];

/// What a listener takes of heads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadRules {
    /// What becomes of headers with an underscore in their name.
    pub(crate) underscores: WithUnderscores,
    /// Bytes of a head. None: as many as the process takes.
    pub(crate) max_bytes: Option<u32>,
}

/// Whether a head is one that a gateway should take at all; if so, the authority that it asks for (`host:port`, empty
/// where an HTTP/1.0 client names none).
pub(crate) fn authority<'a>(
    head: &'a Parts,
    limits: &Limits,
    rules: HeadRules,
) -> Result<&'a str, Rejection> {
    let Limits {
        max_connections: _,
        max_head_bytes,
        max_headers,
        max_uri_bytes,
        handshake_timeout: _,
        max_handshakes: _,
        head_timeout: _,
        idle_timeout: _,
    } = limits;
    if target_len(head) > *max_uri_bytes {
        return Err(Rejection::uri_too_long());
    }
    if head.headers.len() > *max_headers {
        return Err(Rejection::head_too_large("too_many_headers"));
    }
    let mut bytes = target_len(head) + head.method.as_str().len() + " HTTP/1.1\r\n\r\n".len();
    for (name, value) in &head.headers {
        bytes += name.as_str().len() + value.len() + ": \r\n".len();
        let refused = rules.underscores == WithUnderscores::RejectRequest;
        if refused && name.as_str().contains('_') {
            return Err(Rejection::malformed("http1.unexpected_underscore"));
        }
    }
    if bytes > rules.max_bytes(*max_head_bytes) {
        return Err(Rejection::head_too_large("headers_too_large"));
    }
    let mut hosts = head.headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(_), Some(_)) => return Err(Rejection::malformed("http1.multiple_hosts")),
        (Some(host), None) => Some(host.to_str().map_err(|_| invalid_host())?),
        // In HTTP/2 the target has it.
        (None, _) if head.version == Version::HTTP_2 && head.uri.authority().is_some() => None,
        (None, _) if head.version >= Version::HTTP_11 => {
            return Err(Rejection::malformed("missing_host_header"));
        }
        (None, _) => None,
    };
    // `host:port` alone is a target of CONNECT, `*` one of OPTIONS.
    let names_host_only = head.uri.authority().is_some() && head.uri.scheme().is_none();
    let is_asterisk = head.uri.path() == "*";
    if names_host_only != (head.method == Method::CONNECT)
        || is_asterisk && head.method != Method::OPTIONS
    {
        return Err(Rejection::malformed("http1.invalid_url"));
    }
    // A target in absolute form says which host is meant, whatever the header says.
    let authority = match head.uri.authority() {
        Some(authority) => authority.as_str(),
        None => host.unwrap_or_default(),
    };
    if host.is_some_and(|host| !is_authority(host)) || !is_authority(authority) {
        return Err(invalid_host());
    }
    Ok(authority)
}

impl HeadRules {
    /// Bytes that a head may have, where the process takes this many unless a listener says otherwise.
    pub(crate) fn max_bytes(self, unless: usize) -> usize {
        self.max_bytes.map_or(unless, |it| it as usize)
    }
}

/// Removes the headers with an underscore in their name.
pub(crate) fn remove_underscores(headers: &mut HeaderMap) {
    let odd: smallvec::SmallVec<[HeaderName; 2]> = headers
        .keys()
        .filter(|name| name.as_str().contains('_'))
        .cloned()
        .collect();
    for name in odd {
        headers.remove(name);
    }
}

/// Removes the dot at the end of a host, in front of its port where it has one.
pub(crate) fn remove_host_dot(headers: &mut HeaderMap) {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else {
        return;
    };
    let port = host.rfind(':').unwrap_or(host.len());
    if let Some(name) = host[..port].strip_suffix('.') {
        let host = HeaderValue::try_from(format!("{name}{}", &host[port..]));
        headers.insert(HOST, host.expect("a host without its dot is one"));
    }
}

fn invalid_host() -> Rejection {
    Rejection::malformed("http1.invalid_host")
}

fn target_len(head: &Parts) -> usize {
    let path = head.uri.path_and_query().map_or(0, |it| it.as_str().len());
    path + head.uri.authority().map_or(0, |it| it.as_str().len())
}

/// A host name or address, perhaps with a port; no user name.
pub(crate) fn is_authority(text: &str) -> bool {
    let port_begins = match text.rfind(']') {
        Some(bracket) => bracket + 1,
        None => text.find(':').unwrap_or(text.len()),
    };
    let (host, port) = text.split_at(port_begins);
    let port_fits = match port.strip_prefix(':') {
        Some(port) => port.bytes().all(|byte| byte.is_ascii_digit()),
        None => port.is_empty(),
    };
    let within = match host.strip_prefix('[') {
        Some(address) => match address.strip_suffix(']') {
            Some(address) => return port_fits && address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => return false,
        },
        None => host,
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&byte);
    port_fits && within.bytes().all(allowed)
}

/// True where a request (or response) carries gRPC.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| {
        let rest = value.as_bytes().strip_prefix(b"application/grpc");
        rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'+')
    })
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking {
    /// The address at the other end of the connection.
    pub(crate) peer: IpAddr,
    /// Who the client is taken for.
    pub(crate) detected: Detected,
    /// The scheme of the connection.
    pub(crate) scheme: &'static str,
    /// What becomes of the request's id.
    pub(crate) request_id: RequestIdAction,
}

/// Makes the headers of a request from a client what limits, routes and backends are to see: what means this connection
/// only is gone, what clients may not say is gone, who they are is added. Returns the scheme that was asked for.
pub(crate) fn prepare_request(
    headers: &mut HeaderMap,
    asking: &Asking,
    rng: &mut fastrand::Rng,
) -> &'static str {
    let Asking {
        peer,
        detected:
            Detected {
                client,
                trusted_peer,
                append,
            },
        scheme,
        request_id,
    } = *asking;
    remove_connection_headers(headers);
    join_cookies(headers);
    let steering: smallvec::SmallVec<[HeaderName; 2]> = headers
        .keys()
        .filter(|name| {
            let what = name.as_str().strip_prefix("x-envoy-");
            what.is_some_and(|what| STEERING.binary_search(&what).is_ok())
        })
        .cloned()
        .collect();
    for name in steering {
        headers.remove(name);
    }
    if headers.get(TE).is_some() && !wants_trailers(headers) {
        headers.remove(TE);
    }
    let waits = |it: &HeaderValue| it.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if headers.get(EXPECT).is_some_and(waits) {
        headers.remove(EXPECT);
    }
    let external = address(client);
    if append {
        let peer = match peer == client {
            true => external.clone(),
            false => address(peer),
        };
        let forwarded = match headers.contains_key(X_FORWARDED_FOR) {
            false => peer,
            true => appended(headers, &peer),
        };
        headers.insert(X_FORWARDED_FOR, forwarded);
    }
    headers.insert(X_ENVOY_EXTERNAL_ADDRESS, external);
    let has_id = headers.contains_key(X_REQUEST_ID);
    match request_id {
        RequestIdAction::Generate => drop(headers.insert(X_REQUEST_ID, self::request_id(rng))),
        RequestIdAction::PreserveOrGenerate if !has_id => {
            headers.insert(X_REQUEST_ID, self::request_id(rng));
        }
        RequestIdAction::PreserveOrGenerate | RequestIdAction::Preserve => {}
        RequestIdAction::Disable => drop(headers.remove(X_REQUEST_ID)),
    }
    match headers.get(X_FORWARDED_PROTO) {
        Some(said) if trusted_peer => match said.as_bytes() {
            b"https" => "https",
            b"http" => "http",
            _ => scheme,
        },
        Some(_) | None => {
            headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
            scheme
        }
    }
}

/// Makes one `cookie` of several, which HTTP/2 clients may send for the sake of compression and HTTP/1.1 does not know
/// (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(COOKIE).iter();
    if let (Some(first), Some(second)) = (cookies.next(), cookies.next()) {
        let mut whole = first.as_bytes().to_vec();
        for cookie in std::iter::once(second).chain(cookies) {
            whole.extend_from_slice(b"; ");
            whole.extend_from_slice(cookie.as_bytes());
        }
        let whole = HeaderValue::from_bytes(&whole).expect("each part of it is a header's value");
        headers.insert(COOKIE, whole);
    }
}

/// Writes the length of a body, once it is known to be one, in the one way that nobody reads differently.
pub(crate) fn plain_length(headers: &mut HeaderMap) {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let (Some(length), more) = (lengths.next(), lengths.next()) else {
        return;
    };
    let text = length.as_bytes();
    if more.is_some() || text.len() > 1 && text[0] == b'0' {
        let digits = text.iter().position(|digit| *digit != b'0');
        let digits = &text[digits.unwrap_or(text.len() - 1)..];
        let plain = HeaderValue::from_bytes(digits).expect("a part of a value is one");
        headers.insert(CONTENT_LENGTH, plain);
    }
}

/// Removes from a response what means the connection to the endpoint only.
pub(crate) fn prepare_response(headers: &mut HeaderMap) {
    // Of two framings the coding counts, which is undone here: its length would be a lie.
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    remove_connection_headers(headers);
}

/// Makes a route's changes.
pub(crate) fn change(headers: &mut HeaderMap, changes: &HeaderChanges) {
    let HeaderChanges { set, add, remove } = changes;
    for (name, value) in set {
        headers.insert(name, value.clone());
    }
    for (name, value) in add {
        headers.append(name, value.clone());
    }
    for name in remove {
        headers.remove(name);
    }
}

/// A random (version 4) UUID.
pub(crate) fn request_id(rng: &mut fastrand::Rng) -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let random = rng.u128(..) & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let mut text = [b'-'; 36];
    let places = (0..36).filter(|place| !matches!(place, 8 | 13 | 18 | 23));
    for (nibble, place) in places.enumerate() {
        text[place] = DIGITS[(random >> (124 - 4 * nibble)) as usize & 0xf];
    }
    HeaderValue::from_bytes(&text).expect("hexadecimal digits and hyphens are a header value")
}

/// Removes what means one connection only.
pub(crate) fn remove_connection_headers(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        remove_named_by_connection(headers);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

fn remove_named_by_connection(headers: &mut HeaderMap) {
    let named: smallvec::SmallVec<[HeaderName; 4]> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|name| !name.eq_ignore_ascii_case(b"close"))
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        // `te: trailers` is passed on, and a request without its host is none.
        .filter(|name| *name != TE && *name != HOST)
        .collect();
    for name in named {
        headers.remove(name);
    }
}

fn wants_trailers(headers: &HeaderMap) -> bool {
    headers
        .get_all(TE)
        .iter()
        .all(|value| value.as_bytes().trim_ascii() == b"trailers")
}

fn appended(headers: &HeaderMap, client: &HeaderValue) -> HeaderValue {
    let mut joined = Vec::new();
    for value in headers.get_all(X_FORWARDED_FOR) {
        joined.extend_from_slice(value.as_bytes());
        joined.push(b',');
    }
    joined.extend_from_slice(client.as_bytes());
    HeaderValue::try_from(joined).expect("header values joined by commas are a header value")
}

fn address(client: IpAddr) -> HeaderValue {
    HeaderValue::try_from(client.to_string()).expect("an address is a header value")
}

#[cfg(test)]
mod tests;
