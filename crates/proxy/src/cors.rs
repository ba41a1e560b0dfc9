//! Cross-origin requests: what a browser is told about a rule that has a CORS filter.
//!
//! As Envoy does it, an allowed origin is named letter for letter, never by `*`, so that answers hold with credentials
//! as well as without; `vary: origin` keeps caches from mixing them up. A preflight request of an origin that is not
//! allowed is no request for the backend either: it gets an answer without permissions, as the Gateway API says.

use std::sync::Arc;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use weir_plan::features::response_override::ReplacedBody;
use weir_plan::{Cors, CorsList, DirectContent, HeaderChanges, OriginMatch};

use crate::rejection::Rejection;

/// The method that a preflight request asks about. None: it is none.
pub(crate) fn preflight<'a>(method: &Method, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
    (*method == Method::OPTIONS && headers.contains_key(ORIGIN))
        .then(|| headers.get(ACCESS_CONTROL_REQUEST_METHOD))?
}

/// The origin of a request, where a rule allows it.
pub(crate) fn allowed_origin(cors: &Cors, headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(ORIGIN)?;
    let text = origin.to_str().ok()?;
    cors.allow_origins
        .iter()
        .any(|it| allows(it, text))
        .then(|| origin.clone())
}

/// The answer to a preflight request, to which [`annotate`] adds what all answers have.
pub(crate) fn answer(cors: &Cors, allowed: bool, asked: &HeaderMap) -> Rejection {
    let Cors {
        allow_origins: _,
        allow_credentials: _,
        allow_methods,
        allow_headers,
        expose_headers: _,
        max_age,
    } = cors;
    let list = |list: &CorsList, asked: Option<&HeaderValue>| match list {
        CorsList::Any => asked.cloned(),
        CorsList::These(these) => (!these.is_empty()).then(|| these.clone()),
    };
    let methods = list(allow_methods, asked.get(ACCESS_CONTROL_REQUEST_METHOD));
    let headers = list(allow_headers, asked.get(ACCESS_CONTROL_REQUEST_HEADERS));
    let permissions = [
        (ACCESS_CONTROL_ALLOW_METHODS, methods),
        (ACCESS_CONTROL_ALLOW_HEADERS, headers),
        (
            ACCESS_CONTROL_MAX_AGE,
            Some(HeaderValue::from(u64::from(*max_age))),
        ),
    ];
    let said = permissions.into_iter().filter(|_| allowed);
    let content = DirectContent {
        body: ReplacedBody(Arc::default()),
        headers: HeaderChanges {
            set: said
                .filter_map(|(name, value)| Some((name, value?)))
                .collect(),
            add: Vec::new(),
            remove: Vec::new(),
        },
        operators: false,
    };
    Rejection {
        content: Some(Arc::new(content)),
        ..Rejection::new(StatusCode::OK, "cors_response")
    }
}

/// Adds to an answer what a page of the given origin, which is allowed, may do with it.
pub(crate) fn annotate(cors: &Cors, origin: Option<HeaderValue>, headers: &mut HeaderMap) {
    let Cors {
        allow_origins: _,
        allow_credentials,
        allow_methods: _,
        allow_headers: _,
        expose_headers,
        max_age: _,
    } = cors;
    if !varies_by_origin(headers) {
        headers.append(VARY, HeaderValue::from_static("origin"));
    }
    let Some(origin) = origin else { return };
    let exposed = match expose_headers {
        CorsList::Any if *allow_credentials => all_names(headers),
        CorsList::Any => Some(HeaderValue::from_static("*")),
        CorsList::These(these) => (!these.is_empty()).then(|| these.clone()),
    };
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    if *allow_credentials {
        let yes = HeaderValue::from_static("true");
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
    }
    if let Some(exposed) = exposed {
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
}

fn varies_by_origin(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(VARY).iter().map(HeaderValue::as_bytes);
    values.any(|value| {
        let mut names = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        names.any(|name| name == b"*" || name.eq_ignore_ascii_case(b"origin"))
    })
}

/// What `*` means where a page may send credentials, which is then no wildcard.
fn all_names(headers: &HeaderMap) -> Option<HeaderValue> {
    let names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    let names = HeaderValue::try_from(names.join(", ")).ok();
    names.filter(|it| !it.is_empty())
}

/// Whether an origin, as a browser writes it, is one of those meant.
fn allows(allowed: &OriginMatch, origin: &str) -> bool {
    match allowed {
        OriginMatch::Any => true,
        OriginMatch::Of { scheme, host, port } => {
            let Some((of_scheme, authority)) = origin.split_once("://") else {
                return false;
            };
            let own_port = if &**scheme == "https" { 443 } else { 80 };
            let (of_host, of_port) = match authority.rsplit_once(':') {
                Some((of_host, of_port)) => (of_host, of_port.parse().ok()),
                None => (authority, Some(own_port)),
            };
            of_scheme.eq_ignore_ascii_case(scheme)
                && of_port == Some(*port)
                && fits(host.as_bytes(), of_host.as_bytes())
        }
    }
}

/// Whether a host is what a pattern says, in which `*` stands for any text that is not empty.
fn fits(pattern: &[u8], host: &[u8]) -> bool {
    // Where to go on when the text behind the last `*` turns out not to fit: it takes in one byte more.
    let (mut at, mut place, mut last) = (0, 0, None);
    while place < host.len() {
        if pattern.get(at) == Some(&b'*') {
            (at, place) = (at + 1, place + 1);
            last = Some((at, place));
        } else if pattern
            .get(at)
            .is_some_and(|it| it.eq_ignore_ascii_case(&host[place]))
        {
            (at, place) = (at + 1, place + 1);
        } else if let Some((behind, taken)) = last {
            (at, place) = (behind, taken + 1);
            last = Some((behind, place));
        } else {
            return false;
        }
    }
    at == pattern.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(scheme: &str, host: &str, port: u16) -> OriginMatch {
        OriginMatch::Of {
            scheme: scheme.into(),
            host: host.into(),
            port,
        }
    }

    #[test]
    fn origins_are_compared_by_scheme_host_and_port() {
        let cases = [
            (OriginMatch::Any, "null", true),
            (of("https", "a.com", 443), "https://a.com", true),
            (of("https", "a.com", 443), "https://A.com:443", true),
            (of("https", "a.com", 443), "http://a.com", false),
            (of("https", "a.com", 443), "https://a.com:8443", false),
            (of("https", "a.com", 443), "https://a.com.evil", false),
            (of("https", "a.com", 443), "a.com", false),
            (of("http", "a.com", 8080), "http://a.com:8080", true),
            (of("https", "*.a.com", 443), "https://www.a.com", true),
            (of("https", "*.a.com", 443), "https://x.www.a.com", true),
            (of("https", "*.a.com", 443), "https://a.com", false),
            (of("https", "*.a.com", 443), "https://.a.com", false),
            (of("https", "*.a.com", 443), "https://www.a.com.evil", false),
            (of("https", "*.a.com", 443), "https://evil-a.com", false),
            (of("https", "*", 443), "https://anything.example", true),
            (of("https", "*", 443), "https://anything.example:444", false),
            (of("https", "a.*.b.*.c", 443), "https://a.b.b.x.b.y.c", true),
            (of("https", "a.*.b.*.c", 443), "https://a.b.b.c", false),
        ];
        for (allowed, origin, expected) in cases {
            assert_eq!(allows(&allowed, origin), expected, "{allowed:?} {origin}");
        }
    }

    #[test]
    fn answers_vary_by_origin_and_say_so_once() {
        for (before, after) in [
            (&[][..], &["origin"][..]),
            (&["accept-encoding"], &["accept-encoding", "origin"]),
            (&["accept, Origin"], &["accept, Origin"]),
            (&["*"], &["*"]),
        ] {
            let mut headers = HeaderMap::new();
            for value in before {
                headers.append(VARY, HeaderValue::from_static(value));
            }
            let cors = Cors {
                allow_origins: Vec::new(),
                allow_credentials: true,
                allow_methods: CorsList::Any,
                allow_headers: CorsList::Any,
                expose_headers: CorsList::Any,
                max_age: 5,
            };
            annotate(&cors, None, &mut headers);
            let vary: Vec<_> = headers.get_all(VARY).iter().collect();
            assert_eq!(vary, after);
        }
    }
}
