//! Changes of the URL: rewrites before forwarding, and the places that redirects point at.

use std::borrow::Cow;

use std::sync::Arc;

use http::header::{HOST, HeaderMap};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Uri};
use regex::bytes::Regex;
use weir_plan::features::rate_limit::HeaderNameText;
use weir_plan::{
    Endpoint, EndpointAddress, Forward, ForwardedPath, HostRewrite, PathMatch, PathRewrite,
    Redirect, RegexRewrite, RouteAction, UrlRewrite,
};

use crate::headers;
use crate::pattern::Patterns;

/// The compiled expressions of a rule's rewrite.
#[derive(Debug)]
pub(crate) struct Expressions {
    hostname: Option<Arc<Regex>>,
    path: Option<Arc<Regex>>,
}

impl Expressions {
    /// None: the rule's rewrite has none.
    pub(crate) fn of(action: &RouteAction, patterns: &mut Patterns) -> Option<Box<Self>> {
        let RouteAction::Forward(Forward {
            rewrite: Some(rewrite),
            credential: _,
            session: _,
            mirrors: _,
            targets: _,
        }) = action
        else {
            return None;
        };
        let UrlRewrite {
            hostname,
            append_forwarded_host: _,
            path,
        } = &**rewrite;
        let hostname = match hostname {
            Some(HostRewrite::PathRegex(it)) => patterns.part(&it.pattern),
            Some(HostRewrite::Name(_) | HostRewrite::Header(_) | HostRewrite::Backend) | None => {
                None
            }
        };
        let path = match path {
            Some(ForwardedPath::ReplaceRegexMatch(it)) => patterns.part(&it.pattern),
            Some(ForwardedPath::Plain(_)) | None => None,
        };
        (hostname.is_some() || path.is_some()).then(|| Box::new(Self { hostname, path }))
    }
}

/// Changes the URL of a request as a rule says, all but a host name that comes from the endpoint, see [`to_endpoint`].
/// `matched` is the route's own path match. None: the result is no proper URL.
pub(crate) fn url(
    changes: &UrlRewrite,
    matched: &PathMatch,
    expressions: Option<&Expressions>,
    head: &mut Parts,
) -> Option<()> {
    let UrlRewrite {
        hostname,
        append_forwarded_host,
        path: new_path,
    } = changes;
    let old_path = head.uri.path();
    let host = match hostname {
        Some(HostRewrite::Name(name)) => Some(HeaderValue::try_from(&**name).ok()?),
        Some(HostRewrite::Header(HeaderNameText(name))) => head.headers.get(name).cloned(),
        Some(HostRewrite::PathRegex(rewrite)) => {
            let regex = expressions?.hostname.as_ref()?;
            Some(HeaderValue::try_from(replaced(rewrite, regex, old_path)?).ok()?)
        }
        Some(HostRewrite::Backend) | None => None,
    };
    let path = match new_path {
        Some(ForwardedPath::Plain(rewrite)) => Some(path(rewrite, matched, old_path)),
        Some(ForwardedPath::ReplaceRegexMatch(rewrite)) => {
            let regex = expressions?.path.as_ref()?;
            let path = replaced(rewrite, regex, old_path)?;
            Some(Cow::Owned(if path.starts_with('/') {
                path
            } else {
                format!("/{path}")
            }))
        }
        None => None,
    };
    // A CONNECT has no path.
    if let Some(path) = path.filter(|_| head.method != Method::CONNECT) {
        let target = with_query(&path, head.uri.query());
        head.uri = Uri::from(PathAndQuery::try_from(target).ok()?);
    }
    // What a client says may be anything.
    let is_host = |it: &HeaderValue| {
        let text = it.to_str();
        text.is_ok_and(|text| !text.is_empty() && headers::is_authority(text))
    };
    if let Some(host) = host.filter(is_host) {
        set_host(&mut head.headers, host, *append_forwarded_host);
    }
    Some(())
}

/// Gives a request the name of the endpoint that it is sent to, where the rule asks for that and the endpoint has one.
pub(crate) fn to_endpoint(changes: &UrlRewrite, endpoint: &Endpoint, headers: &mut HeaderMap) {
    let UrlRewrite {
        hostname,
        append_forwarded_host,
        path: _,
    } = changes;
    if *hostname != Some(HostRewrite::Backend) {
        return;
    }
    let Endpoint {
        address,
        hostname,
        zone: _,
    } = endpoint;
    let name = match (hostname, address) {
        (Some(name), _) | (None, EndpointAddress::Fqdn(name, _)) => name,
        (None, EndpointAddress::Ip(_) | EndpointAddress::Unix(_)) => return,
    };
    if let Ok(host) = HeaderValue::try_from(&**name) {
        set_host(headers, host, *append_forwarded_host);
    }
}

pub(crate) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// As Envoy does, what was asked for is not appended where it stands last already.
fn set_host(headers: &mut HeaderMap, host: HeaderValue, append: bool) {
    let Some(asked) = headers.insert(HOST, host).filter(|_| append) else {
        return;
    };
    let known: Vec<_> = headers
        .get_all(X_FORWARDED_HOST)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    let last = known
        .last()
        .and_then(|it| it.rsplit(|byte| *byte == b',').next());
    if last.is_some_and(|last| last.trim_ascii() == asked.as_bytes()) {
        return;
    }
    let all = [&known[..], &[asked.as_bytes()]].concat().join(&b',');
    if let Ok(all) = HeaderValue::from_bytes(&all) {
        headers.insert(X_FORWARDED_HOST, all);
    }
}

/// A path with each match replaced. None: that is no text.
fn replaced(rewrite: &RegexRewrite, regex: &Regex, path: &str) -> Option<String> {
    let RegexRewrite {
        pattern: _,
        replacement,
    } = rewrite;
    let changed = regex.replace_all(path.as_bytes(), replacement.as_bytes());
    String::from_utf8(changed.into_owned()).ok()
}

/// What a redirect is made from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requested<'a> {
    /// The scheme of its URL.
    pub(crate) scheme: &'a str,
    /// The host name, without port.
    pub(crate) host: &'a str,
    /// The port that the Gateway names.
    pub(crate) port: u16,
    /// The path in normal form.
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
}

/// A path changed as a route says. `matched` is the route's own path match, whose prefix is what is replaced.
pub(crate) fn path<'a>(rewrite: &'a PathRewrite, matched: &PathMatch, path: &str) -> Cow<'a, str> {
    match rewrite {
        PathRewrite::ReplaceFullPath(full) if full.is_empty() => Cow::Borrowed("/"),
        PathRewrite::ReplaceFullPath(full) => Cow::Borrowed(full),
        PathRewrite::ReplacePrefixMatch(with) => {
            let rest = match matched {
                PathMatch::Prefix(prefix) => path.strip_prefix(&**prefix).unwrap_or(path),
                PathMatch::Exact(_) | PathMatch::Regex(_) => path,
            };
            let changed = format!("{}{rest}", with.trim_end_matches('/'));
            Cow::Owned(if changed.is_empty() {
                "/".to_owned()
            } else {
                changed
            })
        }
    }
}

/// A path with its query, as one text.
pub(crate) fn with_query(path: &str, query: Option<&str>) -> String {
    match query {
        Some(query) => [path, "?", query].concat(),
        None => path.to_owned(),
    }
}

/// Where a redirect points. None where that is no proper URL.
pub(crate) fn location(
    redirect: &Redirect,
    matched: &PathMatch,
    requested: &Requested<'_>,
) -> Option<HeaderValue> {
    let Redirect {
        scheme,
        hostname,
        path: rewrite,
        port,
        status: _,
    } = redirect;
    let Requested {
        scheme: own_scheme,
        host,
        port: listener_port,
        path: old,
        query,
    } = *requested;
    let own_port = |scheme: &str| if scheme == "https" { 443 } else { 80 };
    let port = match (port, scheme) {
        (Some(port), _) => *port,
        (None, Some(scheme)) => own_port(scheme),
        (None, None) => listener_port,
    };
    let scheme = scheme.as_deref().unwrap_or(own_scheme);
    let host = hostname.as_deref().unwrap_or(host);
    let target = match rewrite {
        Some(rewrite) => with_query(&path(rewrite, matched, old), query),
        None => with_query(old, query),
    };
    let location = if port == own_port(scheme) {
        format!("{scheme}://{host}{target}")
    } else {
        format!("{scheme}://{host}:{port}{target}")
    };
    HeaderValue::try_from(location).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matched_prefix_is_replaced() {
        // (matched prefix, replacement, path, result)
        let cases = [
            ("/foo", "/xyz", "/foo/bar", "/xyz/bar"),
            ("/foo", "/xyz/", "/foo/bar", "/xyz/bar"),
            ("/foo", "/xyz", "/foo", "/xyz"),
            ("/foo", "/xyz", "/foo/", "/xyz/"),
            ("/foo", "", "/foo/bar", "/bar"),
            ("/foo", "", "/foo", "/"),
            ("/foo", "/", "/foo/bar", "/bar"),
            ("/foo", "/", "/foo", "/"),
            ("", "/xyz", "/bar", "/xyz/bar"),
        ];
        for (prefix, with, old, new) in cases {
            let rewrite = PathRewrite::ReplacePrefixMatch(with.into());
            let changed = path(&rewrite, &PathMatch::Prefix(prefix.into()), old);
            assert_eq!(changed, new, "{prefix} by {with} in {old}");
        }
        let full = PathRewrite::ReplaceFullPath("/all".into());
        assert_eq!(path(&full, &PathMatch::Exact("/a".into()), "/a"), "/all");
    }

    #[test]
    fn a_redirect_takes_from_the_request_what_it_does_not_say() {
        let requested = |port| Requested {
            scheme: if port == 443 { "https" } else { "http" },
            host: "example.com",
            port,
            path: "/a/b",
            query: Some("q=1"),
        };
        let redirect = |scheme: Option<&str>, hostname: Option<&str>, port, path| Redirect {
            scheme: scheme.map(Into::into),
            hostname: hostname.map(Into::into),
            path,
            port,
            status: 302,
        };
        let prefix = PathRewrite::ReplacePrefixMatch("/c".into());
        let cases = [
            (
                redirect(None, None, None, None),
                80,
                "http://example.com/a/b?q=1",
            ),
            (
                redirect(None, None, None, None),
                8080,
                "http://example.com:8080/a/b?q=1",
            ),
            (
                redirect(None, None, None, None),
                443,
                "https://example.com/a/b?q=1",
            ),
            (
                redirect(Some("http"), None, None, None),
                443,
                "http://example.com/a/b?q=1",
            ),
            (
                redirect(None, None, Some(8443), None),
                443,
                "https://example.com:8443/a/b?q=1",
            ),
            (
                redirect(Some("https"), None, None, None),
                8080,
                "https://example.com/a/b?q=1",
            ),
            (
                redirect(Some("https"), Some("x.org"), Some(8443), None),
                80,
                "https://x.org:8443/a/b?q=1",
            ),
            (
                redirect(None, Some("x.org"), Some(80), Some(prefix)),
                8080,
                "http://x.org/c/b?q=1",
            ),
        ];
        for (redirect, port, expected) in cases {
            let location = location(&redirect, &PathMatch::Prefix("/a".into()), &requested(port));
            assert_eq!(location.unwrap(), expected, "{redirect:?}");
        }
    }
}
