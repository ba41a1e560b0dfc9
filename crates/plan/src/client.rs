//! How a listener deals with its clients: who they are, how long they may take, what of their requests is kept.
//!
//! What a ClientTrafficPolicy says, or the defaults. What it says about TLS is part of [`crate::ListenerTls`]; what it
//! says about pauses of streams and about rate-limit headers is part of the policies of the routes.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use ipnet::IpNet;
use serde::Serialize;

use crate::features::connection::{ConnectionKeepalive, OnInvalidMessage, TcpKeepalive};
use crate::features::rate_limit::HeaderNameText;
use crate::name::PolicyRef;
use crate::plan::{HeaderChanges, headers};
use crate::units::{duration, optional_duration};

/// How a listener deals with its clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClientPolicy {
    /// The policy that says so; none: the defaults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<PolicyRef>,
    /// What holds for a connection before it is known which listener of a port it belongs to. Equal on all listeners of
    /// a port.
    pub socket: ClientSocket,
    /// How long its connections may live.
    pub connection: ClientConnection,
    /// Whose address counts as the client's.
    pub ip_detection: ClientIpDetection,
    /// How long clients may take.
    pub timeout: ClientTimeout,
    /// What becomes of the paths they ask for.
    pub path: PathNormalisation,
    /// What becomes of the headers they send, and which ones are added.
    pub headers: ClientHeaders,
    /// How HTTP/1 is spoken.
    pub http1: ClientHttp1,
    /// How HTTP/2 is spoken.
    pub http2: ClientHttp2,
    /// The path that is answered 200 by the listener itself, for those who look after its health.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<Arc<str>>,
    /// Which `:scheme` backends see.
    pub scheme: ForwardedScheme,
}

impl ClientPolicy {
    /// What applies where no policy says anything: Envoy Gateway's settings, and nobody is trusted.
    pub const DEFAULT: Self = Self {
        origin: None,
        socket: ClientSocket::DEFAULT,
        connection: ClientConnection::DEFAULT,
        ip_detection: ClientIpDetection::DEFAULT,
        timeout: ClientTimeout::DEFAULT,
        path: PathNormalisation::DEFAULT,
        headers: ClientHeaders::DEFAULT,
        http1: ClientHttp1::DEFAULT,
        http2: ClientHttp2::DEFAULT,
        health_check: None,
        scheme: ForwardedScheme::Preserve,
    };
}

/// What holds for a connection as soon as it is accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClientSocket {
    /// Probes of idle TCP connections; none: none are sent.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// Whether a PROXY header (v1 or v2) comes first, which says who the client is.
    pub proxy_protocol: Option<DownstreamProxyProtocol>,
    /// How many may be open at one time; none: as many as the process takes.
    pub limit: Option<ConnectionLimit>,
    /// Bytes of the kernel's buffer in each direction; none: the system's choice.
    pub buffer_bytes: Option<u32>,
    /// How long it may take until the PROXY header and the ClientHello have come.
    #[serde(serialize_with = "duration")]
    pub inspection_timeout: Duration,
    /// How long the TLS handshake may take; none: as long as the process allows.
    #[serde(serialize_with = "optional_duration")]
    pub handshake_timeout: Option<Duration>,
}

impl ClientSocket {
    /// No probes, no PROXY header, no limit, and Envoy's 15 s for the first bytes.
    pub const DEFAULT: Self = Self {
        tcp_keepalive: None,
        proxy_protocol: None,
        limit: None,
        buffer_bytes: None,
        inspection_timeout: Duration::from_secs(15),
        handshake_timeout: None,
    };
}

/// Whether a PROXY header must come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum DownstreamProxyProtocol {
    /// A connection without one is closed.
    Required,
    /// One without it is served, as what it is.
    Optional,
}

/// How many connections may be open at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ConnectionLimit {
    /// The number, 1 or more.
    pub value: u64,
    /// How long those above it are kept, unread, before they are closed; zero: not at all.
    #[serde(serialize_with = "duration")]
    pub close_delay: Duration,
}

/// How long the connections of a listener may live, and what they buffer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClientConnection {
    /// The age from which a connection is drained.
    #[serde(serialize_with = "optional_duration")]
    pub max_duration: Option<Duration>,
    /// The request that is the last of a connection, counted from 1.
    pub max_requests: Option<u32>,
    /// How long one request with its response may take.
    #[serde(serialize_with = "optional_duration")]
    pub max_stream_duration: Option<Duration>,
    /// Bytes that are buffered for a connection in each direction before its sender is slowed down.
    pub buffer_limit: u32,
}

impl ClientConnection {
    /// No limits, and Envoy Gateway's buffer.
    pub const DEFAULT: Self = Self {
        max_duration: None,
        max_requests: None,
        max_stream_duration: None,
        buffer_limit: 32_768,
    };
}

/// Whose address counts as the client's, for limits, hashing, logs, and what backends are told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum ClientIpDetection {
    /// The peer of the connection, or whom its PROXY header names.
    Direct {
        /// Whether its address is appended to `x-forwarded-for`.
        append: bool,
    },
    /// The address that the proxies in front of this one noted in `x-forwarded-for`: this many from the right, 1 or more. Where there are
    /// fewer, the peer's.
    TrustedHops {
        /// How many from the right.
        hops: u32,
        /// Whether the peer's address is appended to `x-forwarded-for`.
        append: bool,
    },
    /// The first address from the right in `x-forwarded-for` that is in none of these networks, where the peer is in one of
    /// them; the leftmost where all are. Otherwise the peer's.
    TrustedNetworks {
        /// The networks, one or more.
        networks: Vec<IpNet>,
        /// Whether the peer's address is appended to `x-forwarded-for`.
        append: bool,
    },
    /// The address in this header.
    Header {
        /// Its name.
        name: HeaderNameText,
        /// Whether requests without an address in it are refused (403); otherwise the peer's counts.
        fail_closed: bool,
    },
}

impl ClientIpDetection {
    /// Nobody is trusted.
    pub const DEFAULT: Self = Self::Direct { append: true };
}

/// How long clients may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClientTimeout {
    /// How long a connection may be without a request; none: as long as it likes.
    #[serde(serialize_with = "optional_duration")]
    pub idle: Option<Duration>,
    /// From the first byte of a request to its last; none: only other limits count.
    #[serde(serialize_with = "optional_duration")]
    pub request_received: Option<Duration>,
    /// From the first byte of a request's head to its last; none: as long as the process allows.
    #[serde(serialize_with = "optional_duration")]
    pub request_headers_received: Option<Duration>,
    /// The longest pause in both directions of a TCP connection whose content nobody reads; none: for ever.
    #[serde(serialize_with = "optional_duration")]
    pub tcp_idle: Option<Duration>,
}

impl ClientTimeout {
    /// Envoy's defaults: an hour without a request, or without a byte.
    pub const DEFAULT: Self = Self {
        idle: Some(Duration::from_secs(3_600)),
        request_received: None,
        request_headers_received: None,
        tcp_idle: Some(Duration::from_secs(3_600)),
    };
}

/// What becomes of the paths that clients ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PathNormalisation {
    /// Whether slashes beside one another become one.
    pub merge_slashes: bool,
    /// What becomes of `%2F` and `%5C`.
    pub escaped_slashes: EscapedSlashes,
}

impl PathNormalisation {
    /// Envoy Gateway's.
    pub const DEFAULT: Self = Self {
        merge_slashes: true,
        escaped_slashes: EscapedSlashes::UnescapeAndRedirect,
    };
}

/// What becomes of `%2F` and `%5C` in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum EscapedSlashes {
    /// They stay.
    KeepUnchanged,
    /// The request is refused (400).
    RejectRequest,
    /// They become slashes, and the client is sent to the new path (307; gRPC 400).
    UnescapeAndRedirect,
    /// They become slashes.
    UnescapeAndForward,
}

/// What becomes of the headers of requests, and which ones are added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClientHeaders {
    /// Whether `x-envoy-` headers are added to requests and responses.
    pub envoy_headers: bool,
    /// What becomes of headers with an underscore in their name.
    pub with_underscores: WithUnderscores,
    /// What becomes of `x-request-id`.
    pub request_id: RequestIdAction,
    /// What becomes of `x-forwarded-client-cert`.
    pub client_cert: XForwardedClientCert,
    /// Changes of a request before anything else is done with it.
    pub early_request: ListenerHeaderChanges,
    /// Changes of a response after all else.
    pub late_response: ListenerHeaderChanges,
    /// Whether a dot at the end of the host is removed.
    pub strip_trailing_host_dot: bool,
    /// Bytes of a request's head; more is answered 431. None: as many as the process takes.
    pub max_bytes: Option<u32>,
}

impl ClientHeaders {
    /// Envoy Gateway's.
    pub const DEFAULT: Self = Self {
        envoy_headers: false,
        with_underscores: WithUnderscores::RejectRequest,
        request_id: RequestIdAction::Generate,
        client_cert: XForwardedClientCert::Sanitize,
        early_request: ListenerHeaderChanges::NONE,
        late_response: ListenerHeaderChanges::NONE,
        strip_trailing_host_dot: false,
        max_bytes: None,
    };
}

/// What becomes of headers with an underscore in their name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum WithUnderscores {
    /// They are taken like all others.
    Allow,
    /// The request is refused (400).
    RejectRequest,
    /// They are removed.
    DropHeader,
}

/// What becomes of `x-request-id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum RequestIdAction {
    /// It stays; where there is none, one is made.
    PreserveOrGenerate,
    /// It stays, or is not there.
    Preserve,
    /// One is always made.
    Generate,
    /// It is removed.
    Disable,
}

/// What becomes of `x-forwarded-client-cert`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum XForwardedClientCert {
    /// It is removed.
    Sanitize,
    /// It stays where the client showed a certificate.
    ForwardOnly,
    /// It stays in any case.
    AlwaysForwardOnly,
    /// Where the client showed a certificate, these details are appended to it; else it is removed.
    AppendForward(Vec<CertDetail>),
    /// Where the client showed a certificate, these details take its place; else it is removed.
    SanitizeSet(Vec<CertDetail>),
}

/// What is told of a client's certificate, besides its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum CertDetail {
    /// Whom it is for.
    Subject,
    /// The certificate, in PEM, URL encoded.
    Cert,
    /// The certificate with its chain.
    Chain,
    /// The host names in it.
    #[serde(rename = "DNS")]
    Dns,
    /// The URIs in it.
    #[serde(rename = "URI")]
    Uri,
}

/// Changes of headers for a whole listener, in this order: set, add, add where absent, remove, remove what matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListenerHeaderChanges {
    /// Set, added, removed by name.
    #[serde(flatten)]
    pub plain: HeaderChanges,
    /// Added where there is none of the name.
    #[serde(serialize_with = "headers")]
    pub add_if_absent: Vec<(HeaderName, HeaderValue)>,
    /// Those with such a name are removed.
    pub remove_on_match: Vec<StringMatch>,
}

impl ListenerHeaderChanges {
    /// None.
    pub const NONE: Self = Self {
        plain: HeaderChanges {
            set: Vec::new(),
            add: Vec::new(),
            remove: Vec::new(),
        },
        add_if_absent: Vec::new(),
        remove_on_match: Vec::new(),
    };

    /// Whether nothing changes.
    pub const fn is_none(&self) -> bool {
        let Self {
            plain,
            add_if_absent,
            remove_on_match,
        } = self;
        let HeaderChanges { set, add, remove } = plain;
        set.is_empty()
            && add.is_empty()
            && remove.is_empty()
            && add_if_absent.is_empty()
            && remove_on_match.is_empty()
    }
}

/// A match on a text. Of names of headers and upgrades, upper and lower case are one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum StringMatch {
    /// The whole text.
    Exact(Arc<str>),
    /// How it begins.
    Prefix(Arc<str>),
    /// How it ends.
    Suffix(Arc<str>),
    /// A regular expression (RE2) that the whole text fulfils.
    RegularExpression(Arc<str>),
}

/// How HTTP/1 is spoken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClientHttp1 {
    /// Whether trailers are passed on.
    pub trailers: bool,
    /// Whether the letter case of header names stays as it came.
    pub preserve_header_case: bool,
    /// The host of HTTP/1.0 requests that name none; none: they have none.
    pub http10_default_host: Option<Arc<str>>,
    /// Upgrades that are overlooked, where they would be refused.
    pub ignored_upgrades: Vec<StringMatch>,
    /// Whether a connection that has lived long enough ends with the next request, so that none is lost; otherwise
    /// it ends as soon as it is idle.
    pub safe_max_duration: bool,
}

impl ClientHttp1 {
    /// Envoy Gateway's, but for trailers, which pass.
    pub const DEFAULT: Self = Self {
        trailers: true,
        preserve_header_case: false,
        http10_default_host: None,
        ignored_upgrades: Vec::new(),
        safe_max_duration: true,
    };
}

/// How HTTP/2 is spoken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClientHttp2 {
    /// The window of a stream, in bytes; 65,535 or more.
    pub initial_stream_window_size: u32,
    /// The window of a connection, in bytes; 65,535 or more.
    pub initial_connection_window_size: u32,
    /// Streams at one time over a connection.
    pub max_concurrent_streams: u32,
    /// What a malformed message ends.
    pub on_invalid_message: OnInvalidMessage,
    /// Pings.
    pub keepalive: Option<ConnectionKeepalive>,
}

impl ClientHttp2 {
    /// Envoy Gateway's windows and number of streams.
    pub const DEFAULT: Self = Self {
        initial_stream_window_size: 65_536,
        initial_connection_window_size: 1_048_576,
        max_concurrent_streams: 100,
        on_invalid_message: OnInvalidMessage::TerminateConnection,
        keepalive: None,
    };
}

/// Which `:scheme` backends see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum ForwardedScheme {
    /// That of the client's request.
    Preserve,
    /// `https` where the backend is spoken to in TLS, else `http`.
    MatchBackend,
}
