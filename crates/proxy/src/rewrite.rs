//! Changes of the URL: rewrites before forwarding, and the places that redirects point at.

use std::borrow::Cow;

use http::HeaderValue;
use weir_plan::{PathMatch, PathRewrite, Redirect};

/// What a redirect is made from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requested<'a> {
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
    let scheme = scheme.as_deref().unwrap_or("http");
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
