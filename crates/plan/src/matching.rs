//! What a request must look like to take a route. Plain data; the proxy compiles it, `explain` prints it.

use std::sync::Arc;

use http::{HeaderName, Method};
use serde::{Serialize, Serializer};

/// Which host names a listener or virtual host answers for. Host names are in lower case, without a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostMatch {
    /// This name only.
    Exact(Arc<str>),
    /// Any name that ends in this suffix, which begins with a dot: `.example.com` is written `*.example.com`. At
    /// least one label stands in front of it.
    Suffix(Arc<str>),
    /// Every name, and requests without one.
    Any,
}

impl HostMatch {
    /// Reads a Gateway API host name: empty or `*` is any, `*.example.com` a suffix.
    pub fn parse(hostname: &str) -> Self {
        let hostname = hostname.to_ascii_lowercase();
        match hostname.strip_prefix('*') {
            Some("") => Self::Any,
            Some(suffix) => Self::Suffix(suffix.into()),
            None if hostname.is_empty() => Self::Any,
            None => Self::Exact(hostname.into()),
        }
    }

    /// Whether a host name (lower case, without port) is meant.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => **name == *host,
            Self::Suffix(suffix) => host.len() > suffix.len() && host.ends_with(&**suffix),
            Self::Any => true,
        }
    }

    /// The names that both mean, if there are any.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Any, it) | (it, Self::Any) => Some(it.clone()),
            (Self::Exact(name), it) | (it, Self::Exact(name)) => {
                it.matches(name).then(|| Self::Exact(Arc::clone(name)))
            }
            (Self::Suffix(one), Self::Suffix(two)) => {
                let (long, short) = if one.len() >= two.len() {
                    (one, two)
                } else {
                    (two, one)
                };
                long.ends_with(&**short)
                    .then(|| Self::Suffix(Arc::clone(long)))
            }
        }
    }

    /// Sorts the more specific first: exact names, then suffixes from the longest, then any; equals by text.
    pub fn specificity(&self) -> (u8, std::cmp::Reverse<usize>, &str) {
        match self {
            Self::Exact(name) => (0, std::cmp::Reverse(name.len()), name),
            Self::Suffix(suffix) => (1, std::cmp::Reverse(suffix.len()), suffix),
            Self::Any => (2, std::cmp::Reverse(0), ""),
        }
    }
}

impl std::fmt::Display for HostMatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Suffix(suffix) => write!(f, "*{suffix}"),
            Self::Any => f.write_str("*"),
        }
    }
}

impl Serialize for HostMatch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Everything that a request must fulfil to take a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RouteMatch {
    /// The path.
    pub path: PathMatch,
    /// The method; none: any.
    #[serde(serialize_with = "method")]
    pub method: Option<Method>,
    /// Headers, all of which must match.
    pub headers: Vec<HeaderMatch>,
    /// Query parameters, all of which must match.
    pub query: Vec<QueryMatch>,
    /// Cookies, all of which must match.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cookies: Vec<CookieMatch>,
}

/// A match on the path, without the query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum PathMatch {
    /// The whole path, letter for letter.
    Exact(Arc<str>),
    /// A prefix of whole path elements, without a trailing slash: `/a` means `/a` and `/a/b` but not `/ab`. The
    /// empty prefix means every path.
    Prefix(Arc<str>),
    /// A regular expression (RE2) that the whole path fulfils.
    Regex(Arc<str>),
}

/// A match on the value of a header or query parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum ValueMatch {
    /// The whole value, letter for letter.
    Exact(Arc<str>),
    /// A regular expression that the whole value fulfils.
    Regex(Arc<str>),
}

/// A match on a header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeaderMatch {
    /// The header's name.
    #[serde(serialize_with = "header_name")]
    pub name: HeaderName,
    /// What its value (several joined by `,`) must be.
    pub value: ValueMatch,
}

/// A match on a query parameter; the first of several with one name counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QueryMatch {
    /// The parameter's name, letter for letter.
    pub name: Arc<str>,
    /// What its value must be.
    pub value: ValueMatch,
}

/// A match on a cookie; the first of several with one name counts. Quotes around its value are no part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CookieMatch {
    /// The cookie's name, letter for letter.
    pub name: Arc<str>,
    /// What its value must be.
    pub value: ValueMatch,
}

/// Serializes a header name as text.
pub(crate) fn header_name<S: Serializer>(
    name: &HeaderName,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(name.as_str())
}

fn method<S: Serializer>(method: &Option<Method>, serializer: S) -> Result<S::Ok, S::Error> {
    match method {
        Some(method) => serializer.serialize_some(method.as_str()),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_match_and_intersect() {
        let parse = HostMatch::parse;
        assert!(parse("*.example.com").matches("a.b.example.com"));
        assert!(!parse("*.example.com").matches("example.com"));
        assert!(!parse("*.example.com").matches(".example.com"));
        assert!(parse("").matches("anything"));
        assert_eq!(parse("Foo.Example.com"), parse("foo.example.com"));
        assert_eq!(
            parse("*.example.com").intersection(&parse("a.example.com")),
            Some(parse("a.example.com"))
        );
        assert_eq!(
            parse("*.example.com").intersection(&parse("*.a.example.com")),
            Some(parse("*.a.example.com"))
        );
        assert_eq!(
            parse("*.example.com").intersection(&parse("*.example.net")),
            None
        );
        assert_eq!(parse("*").intersection(&parse("*")), Some(HostMatch::Any));
    }

    #[test]
    fn the_more_specific_host_sorts_first() {
        let mut hosts = ["*", "*.com", "b.com", "*.example.com", "a.com"].map(HostMatch::parse);
        hosts.sort_by(|a, b| a.specificity().cmp(&b.specificity()));
        assert_eq!(
            hosts.map(|host| host.to_string()),
            ["a.com", "b.com", "*.example.com", "*.com", "*"]
        );
    }
}
