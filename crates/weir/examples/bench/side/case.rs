//! What is measured: the cases by name, each with its load and with what the proxies are set up for.

/// A case.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) load: Load,
    pub(crate) setup: Setup,
}

/// What clients send, and with which program.
#[derive(Clone, Copy)]
pub(crate) enum Load {
    /// Small GETs of `wrk` to a route (0: the first), as fast as they are answered.
    Get { connections: u32, route: usize },
    /// POSTs of 16 KiB by `wrk`.
    Post,
    /// GETs of 1 MiB by `wrk`.
    Large,
    /// GETs over HTTP/2 by `h2load`.
    Http2,
    /// Unary calls over HTTP/2 by `h2load`.
    Grpc,
    /// Small GETs at a fixed rate, by a client of our own.
    Rate,
    /// Small GETs, each on a new TLS connection, by a client of our own.
    Handshakes,
}

/// What the proxies are set up for.
#[derive(Clone, Copy)]
pub(crate) struct Setup {
    /// How many routes of the one host there are, each with a prefix of the path and a cluster of its own.
    pub(crate) routes: usize,
    /// Circuit breaker, timeout, retries and a local rate limit, all far above the load.
    pub(crate) policies: bool,
    pub(crate) tls: bool,
    /// A line of JSON for each request in a file; for Weir and Envoy.
    pub(crate) logs: bool,
}

/// With policies.
const USUAL: Setup = Setup {
    routes: 10,
    policies: true,
    tls: false,
    logs: false,
};
const PLAIN: Setup = Setup {
    policies: false,
    ..USUAL
};
const TLS: Setup = Setup { tls: true, ..USUAL };
const LOGS: Setup = Setup {
    logs: true,
    ..USUAL
};

const fn case(name: &'static str, what: &'static str, load: Load, setup: Setup) -> Case {
    Case {
        name,
        what,
        load,
        setup,
    }
}

const fn get(connections: u32) -> Load {
    Load::Get {
        connections,
        route: 0,
    }
}

/// Small GETs to one route of many.
const fn routes(name: &'static str, what: &'static str, routes: usize, route: usize) -> Case {
    let load = Load::Get {
        connections: 64,
        route,
    };
    case(name, what, load, Setup { routes, ..USUAL })
}

/// All there are, in the order of the table.
pub(crate) const CASES: [Case; 18] = [
    case("get-64", "small GET, 64 connections", get(64), USUAL),
    case("get-64-plain", "the same without policies", get(64), PLAIN),
    case("get-1024", "small GET, 1,024 connections", get(1024), USUAL),
    case(
        "get-1024-plain",
        "the same without policies",
        get(1024),
        PLAIN,
    ),
    case(
        "get-64-logs",
        "get-64 with JSON access logs to a file (Weir and Envoy)",
        get(64),
        LOGS,
    ),
    case(
        "rate",
        "small GET at a fixed rate (--rate), 64 connections, latency from when each was due",
        Load::Rate,
        USUAL,
    ),
    case("post", "POST of 16 KiB, 64 connections", Load::Post, USUAL),
    case(
        "large",
        "responses of 1 MiB, 16 connections",
        Load::Large,
        USUAL,
    ),
    case(
        "h2",
        "HTTP/2 to HTTP/1.1: small GET, 16 connections of 32 streams",
        Load::Http2,
        USUAL,
    ),
    case(
        "https",
        "small GET over TLS 1.3, 64 kept connections",
        get(64),
        TLS,
    ),
    case(
        "handshakes",
        "a new TLS 1.3 connection (ECDSA P-256, not resumed) for each small GET, 16 at once",
        Load::Handshakes,
        TLS,
    ),
    case(
        "grpc",
        "unary gRPC, HTTP/2 on both sides, 16 connections of 32 streams",
        Load::Grpc,
        USUAL,
    ),
    routes("routes-10-first", "get-64, the first route of 10", 10, 0),
    routes("routes-10-last", "get-64, the last route of 10", 10, 9),
    routes(
        "routes-1000-first",
        "get-64, the first route of 1,000",
        1_000,
        0,
    ),
    routes(
        "routes-1000-last",
        "get-64, the last route of 1,000",
        1_000,
        999,
    ),
    routes(
        "routes-10000-first",
        "get-64, the first route of 10,000",
        10_000,
        0,
    ),
    routes(
        "routes-10000-last",
        "get-64, the last route of 10,000",
        10_000,
        9_999,
    ),
];
