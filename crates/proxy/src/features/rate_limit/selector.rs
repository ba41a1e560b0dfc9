//! Which requests a rule of a limit counts, and by which values it tells them apart.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, Method};
use ipnet::IpNet;
use regex::bytes::Regex;
use smallvec::SmallVec;
use weir_plan::features::rate_limit::{
    CidrMatch, ClientMatch, HeaderNameText, InvertibleMatch, LimitValueMatch, MethodMatch,
    NamedMatch, PathPattern,
};

use crate::pattern::Patterns;

/// A request as limits see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limited<'a> {
    pub(crate) method: &'a Method,
    /// The path with its query, as `:path` is.
    pub(crate) target: &'a str,
    pub(crate) query: Option<&'a str>,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) client: IpAddr,
}

/// The values that tell a request's count from those of others under one rule; empty: they share one.
pub(crate) type Distinct<'a> = SmallVec<[Cow<'a, [u8]>; 2]>;

/// A compiled [`ClientMatch`].
#[derive(Debug)]
pub(crate) struct Selector {
    headers: Box<[(HeaderName, Condition)]>,
    methods: Box<[MethodMatch]>,
    path: Option<(PathCondition, bool)>,
    source: Option<CidrMatch>,
    parameters: Box<[(Arc<str>, Condition)]>,
    /// Whether there is a condition that gives each value a count of its own.
    pub(crate) is_distinct: bool,
}

#[derive(Debug)]
enum Condition {
    Distinct,
    Exact(Arc<str>, bool),
    Regex(Arc<Regex>, bool),
}

#[derive(Debug)]
enum PathCondition {
    Exact(Arc<str>),
    Prefix(Arc<str>),
    Regex(Arc<Regex>),
}

impl Selector {
    /// Compiles a match. None where an expression does not compile, which is logged: the rule applies to nothing.
    pub(crate) fn new(matches: &ClientMatch, patterns: &mut Patterns) -> Option<Self> {
        let ClientMatch {
            headers,
            methods,
            path,
            source_cidr,
            query_params,
        } = matches;
        let headers = headers
            .iter()
            .map(
                |NamedMatch {
                     name: HeaderNameText(name),
                     value,
                 }| { Some((name.clone(), Condition::new(value, patterns)?)) },
            )
            .collect::<Option<Box<[_]>>>()?;
        let parameters = query_params
            .iter()
            .map(|NamedMatch { name, value }| {
                Some((Arc::clone(name), Condition::new(value, patterns)?))
            })
            .collect::<Option<Box<[_]>>>()?;
        let path = match path {
            Some(InvertibleMatch { value, invert }) => {
                Some((PathCondition::new(value, patterns)?, *invert))
            }
            None => None,
        };
        let is_distinct = source_cidr.as_ref().is_some_and(|it| it.distinct)
            || headers.iter().any(|(_, it)| it.is_distinct())
            || parameters.iter().any(|(_, it)| it.is_distinct());
        Some(Self {
            headers,
            methods: methods.as_slice().into(),
            path,
            source: source_cidr.clone(),
            parameters,
            is_distinct,
        })
    }

    /// Whether the rule counts a request, and by which values: those of headers, the client's address, those of
    /// parameters.
    pub(crate) fn select<'a>(&self, request: &Limited<'a>) -> Option<Distinct<'a>> {
        let mut distinct = Distinct::new();
        for (name, condition) in &self.headers {
            let values = request.headers.get_all(name).iter();
            condition.check(values.map(|it| Cow::Borrowed(it.as_bytes())), &mut distinct)?;
        }
        let method_fits = self.methods.is_empty()
            || self
                .methods
                .iter()
                .any(|it| (it.method == *request.method) != it.invert);
        let path_fits = match &self.path {
            Some((path, invert)) => path.fits(request.target) != *invert,
            None => true,
        };
        if !method_fits || !path_fits {
            return None;
        }
        if let Some(CidrMatch {
            cidr,
            distinct: each,
            invert,
        }) = &self.source
        {
            if contains(cidr, request.client) == *invert {
                return None;
            }
            if *each {
                distinct.push(Cow::Owned(octets(request.client)));
            }
        }
        for (name, condition) in &self.parameters {
            condition.check(parameter(request.query, name).into_iter(), &mut distinct)?;
        }
        Some(distinct)
    }
}

impl Condition {
    fn new(value: &LimitValueMatch, patterns: &mut Patterns) -> Option<Self> {
        Some(match value {
            LimitValueMatch::Distinct => Self::Distinct,
            LimitValueMatch::Exact { value, invert } => Self::Exact(Arc::clone(value), *invert),
            LimitValueMatch::Regex { pattern, invert } => {
                Self::Regex(patterns.whole(pattern)?, *invert)
            }
        })
    }

    const fn is_distinct(&self) -> bool {
        matches!(self, Self::Distinct)
    }

    /// Some if the condition holds: one of the values fits (inverted: none does). A distinct one adds the first value.
    fn check<'a>(
        &self,
        mut values: impl Iterator<Item = Cow<'a, [u8]>>,
        distinct: &mut Distinct<'a>,
    ) -> Option<()> {
        let holds = match self {
            Self::Distinct => {
                distinct.push(values.next()?);
                true
            }
            Self::Exact(text, invert) => values.any(|it| *it == *text.as_bytes()) != *invert,
            Self::Regex(regex, invert) => values.any(|it| regex.is_match(&it)) != *invert,
        };
        holds.then_some(())
    }
}

impl PathCondition {
    fn new(path: &PathPattern, patterns: &mut Patterns) -> Option<Self> {
        Some(match path {
            PathPattern::Exact(path) => Self::Exact(Arc::clone(path)),
            PathPattern::Prefix(prefix) => Self::Prefix(prefix.trim_end_matches('/').into()),
            PathPattern::Regex(text) => Self::Regex(patterns.whole(text)?),
        })
    }

    fn fits(&self, target: &str) -> bool {
        match self {
            Self::Exact(path) => **path == *target,
            Self::Prefix(prefix) => target.strip_prefix(&**prefix).is_some_and(|rest| {
                rest.is_empty() || prefix.is_empty() || rest.starts_with(['/', '?', '#', ';'])
            }),
            Self::Regex(regex) => regex.is_match(target.as_bytes()),
        }
    }
}

/// Whether a range has an address; an IPv4 address written as IPv6 is the IPv4 address.
fn contains(cidr: &IpNet, client: IpAddr) -> bool {
    match (cidr, client.to_canonical()) {
        (IpNet::V6(cidr), IpAddr::V4(client)) => cidr.contains(&client.to_ipv6_mapped()),
        (_, client) => cidr.contains(&client),
    }
}

fn octets(client: IpAddr) -> Vec<u8> {
    match client.to_canonical() {
        IpAddr::V4(client) => client.octets().to_vec(),
        IpAddr::V6(client) => client.octets().to_vec(),
    }
}

/// The first value of a parameter, percent-decoded; a plus sign is a plus sign.
fn parameter<'a>(query: Option<&'a str>, name: &str) -> Option<Cow<'a, [u8]>> {
    query?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (*decoded(key) == *name.as_bytes()).then(|| decoded(value))
    })
}

fn decoded(text: &str) -> Cow<'_, [u8]> {
    if !text.contains('%') {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = (byte == b'%').then(|| after.get(..2)).flatten();
        let escaped = escaped.and_then(|digits| {
            let digit = |at: usize| char::from(digits[at]).to_digit(16);
            u8::try_from(digit(0)? * 16 + digit(1)?).ok()
        });
        match escaped {
            Some(escaped) => {
                bytes.push(escaped);
                rest = &after[2..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    Cow::Owned(bytes)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn select(
        matches: &ClientMatch,
        target: &str,
        headers: &[(&str, &str)],
        client: &str,
    ) -> Option<Vec<Vec<u8>>> {
        let mut request = Request::get(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let request = Limited {
            method: &head.method,
            target: head.uri.path_and_query().unwrap().as_str(),
            query: head.uri.query(),
            headers: &head.headers,
            client: client.parse().unwrap(),
        };
        let selector = Selector::new(matches, &mut Patterns::default())?;
        let distinct = selector.select(&request)?;
        assert_eq!(selector.is_distinct, !distinct.is_empty());
        Some(distinct.into_iter().map(Cow::into_owned).collect())
    }

    fn exact(value: &str, invert: bool) -> LimitValueMatch {
        LimitValueMatch::Exact {
            value: value.into(),
            invert,
        }
    }

    fn regex(pattern: &str, invert: bool) -> LimitValueMatch {
        LimitValueMatch::Regex {
            pattern: pattern.into(),
            invert,
        }
    }

    #[test]
    fn headers_fit_by_any_of_their_values() {
        let cases: [(LimitValueMatch, &[&str], bool); 14] = [
            (exact("a", false), &["a"], true),
            (exact("a", false), &["A"], false),
            (exact("a", false), &["b", "a"], true),
            (exact("b,a", false), &["b", "a"], false),
            (exact("a", false), &[], false),
            (exact("a", true), &["b"], true),
            (exact("a", true), &["b", "a"], false),
            (exact("a", true), &[], true),
            (regex("a.", false), &["ab"], true),
            (regex("a.", false), &["abc"], false),
            (regex("a.", true), &["abc"], true),
            (regex("a.", true), &[], true),
            (LimitValueMatch::Distinct, &["x", "y"], true),
            (LimitValueMatch::Distinct, &[], false),
        ];
        for (value, values, fits) in cases {
            let headers: Vec<_> = values.iter().map(|value| ("x-h", *value)).collect();
            let name = HeaderNameText(HeaderName::from_static("x-h"));
            let matches = ClientMatch {
                headers: vec![NamedMatch { name, value }],
                ..ClientMatch::default()
            };
            let found = select(&matches, "/", &headers, "::1");
            assert_eq!(found.is_some(), fits, "{matches:?} {values:?}");
            if matches.headers[0].value == LimitValueMatch::Distinct {
                assert_eq!(found, fits.then(|| vec![b"x".to_vec()]));
            }
        }
    }

    #[test]
    fn methods_are_alternatives() {
        let matching = |methods: &[(Method, bool)]| ClientMatch {
            methods: methods
                .iter()
                .map(|(method, invert)| MethodMatch {
                    method: method.clone(),
                    invert: *invert,
                })
                .collect(),
            ..ClientMatch::default()
        };
        let cases = [
            (matching(&[]), true),
            (matching(&[(Method::GET, false)]), true),
            (matching(&[(Method::POST, false)]), false),
            (
                matching(&[(Method::POST, false), (Method::GET, false)]),
                true,
            ),
            (matching(&[(Method::GET, true)]), false),
            (matching(&[(Method::POST, true)]), true),
        ];
        for (matches, fits) in cases {
            assert_eq!(
                select(&matches, "/", &[], "::1").is_some(),
                fits,
                "{matches:?}"
            );
        }
    }

    #[test]
    fn paths_are_compared_with_their_query() {
        let of = |value| ClientMatch {
            path: Some(InvertibleMatch {
                value,
                invert: false,
            }),
            ..ClientMatch::default()
        };
        let exact = |path: &str| of(PathPattern::Exact(path.into()));
        let prefix = |path: &str| of(PathPattern::Prefix(path.into()));
        let cases = [
            (exact("/x"), "/x", true),
            (exact("/x"), "/x?q=1", false),
            (exact("/x?q=1"), "/x?q=1", true),
            (prefix("/a"), "/a", true),
            (prefix("/a"), "/a/b", true),
            (prefix("/a"), "/a?b", true),
            (prefix("/a"), "/a;b", true),
            (prefix("/a"), "/ab", false),
            (prefix("/a/"), "/a/b", true),
            (prefix("/"), "/ab", true),
            (of(PathPattern::Regex("/a.*".into())), "/a?b", true),
            (of(PathPattern::Regex("/a".into())), "/a?b", false),
        ];
        for (mut matches, target, fits) in cases {
            assert_eq!(
                select(&matches, target, &[], "::1").is_some(),
                fits,
                "{matches:?} {target}"
            );
            matches.path.as_mut().unwrap().invert = true;
            assert_eq!(
                select(&matches, target, &[], "::1").is_some(),
                !fits,
                "{matches:?} {target}"
            );
        }
    }

    #[test]
    fn clients_are_told_by_address() {
        let of = |cidr: &str, distinct, invert| ClientMatch {
            source_cidr: Some(CidrMatch {
                cidr: cidr.parse().unwrap(),
                distinct,
                invert,
            }),
            ..ClientMatch::default()
        };
        let cases = [
            (of("10.0.0.0/8", false, false), "10.1.2.3", Some(vec![])),
            (
                of("10.0.0.0/8", false, false),
                "::ffff:10.1.2.3",
                Some(vec![]),
            ),
            (of("10.0.0.0/8", false, false), "11.1.2.3", None),
            (of("10.0.0.0/8", false, true), "11.1.2.3", Some(vec![])),
            (
                of("10.0.0.0/8", true, false),
                "10.1.2.3",
                Some(vec![vec![10, 1, 2, 3]]),
            ),
            (
                of("10.0.0.0/8", true, false),
                "::ffff:10.1.2.3",
                Some(vec![vec![10, 1, 2, 3]]),
            ),
            (of("10.0.0.0/8", true, false), "11.1.2.3", None),
            (
                of("::ffff:10.0.0.0/104", false, false),
                "10.1.2.3",
                Some(vec![]),
            ),
            (of("::/0", false, false), "2001:db8::1", Some(vec![])),
            (of("0.0.0.0/0", false, false), "2001:db8::1", None),
        ];
        for (matches, client, found) in cases {
            assert_eq!(
                select(&matches, "/", &[], client),
                found,
                "{matches:?} {client}"
            );
        }
    }

    #[test]
    fn parameters_are_decoded_and_the_first_counts() {
        let of = |value| ClientMatch {
            query_params: vec![NamedMatch {
                name: "q x".into(),
                value,
            }],
            ..ClientMatch::default()
        };
        let cases = [
            (of(exact("a b", false)), "/?q%20x=a%20b&q%20x=c", true),
            (of(exact("c", false)), "/?q%20x=a%20b&q%20x=c", false),
            (of(exact("a b", false)), "/?q%20x=a+b", false),
            (of(exact("a+b", false)), "/?q%20x=a+b", true),
            (of(exact("%zz", false)), "/?q%20x=%zz", true),
            (of(exact("a", true)), "/", true),
            (of(exact("", false)), "/?q%20x", true),
            (of(regex("a.*", false)), "/?q%20x=%61b", true),
            (of(LimitValueMatch::Distinct), "/", false),
        ];
        for (matches, target, fits) in cases {
            assert_eq!(
                select(&matches, target, &[], "::1").is_some(),
                fits,
                "{matches:?} {target}"
            );
        }
        let distinct = select(&of(LimitValueMatch::Distinct), "/?q%20x=%41", &[], "::1");
        assert_eq!(distinct, Some(vec![b"A".to_vec()]));
    }
}
