//! The matches of a rule, read into the plan's form.

use std::sync::Arc;

use http::{HeaderName, Method};
use weir_plan::{CookieMatch, HeaderMatch, PathMatch, QueryMatch, RouteMatch, ValueMatch};

use super::rules::Invalid;
use crate::api::http_route_filter as filter;
use crate::expression;
use gateway_api::experimental::httproutes as api;

/// Reads the matches of a rule. A rule without any matches every request.
pub(crate) fn read(matches: &[api::HttpRouteRulesMatches]) -> Result<Vec<RouteMatch>, Invalid> {
    if matches.is_empty() {
        let (path, method) = (PathMatch::Prefix("".into()), None);
        return Ok(vec![RouteMatch {
            path,
            method,
            headers: Vec::new(),
            query: Vec::new(),
            cookies: Vec::new(),
        }]);
    }
    matches.iter().map(read_one).collect()
}

fn read_one(it: &api::HttpRouteRulesMatches) -> Result<RouteMatch, Invalid> {
    let api::HttpRouteRulesMatches {
        headers,
        method,
        path,
        query_params,
    } = it;
    Ok(RouteMatch {
        path: self::path(path.as_ref())?,
        method: method.as_ref().map(self::method),
        headers: self::headers(headers.as_deref().unwrap_or_default())?,
        query: query(query_params.as_deref().unwrap_or_default())?,
        // Those of an HTTPRouteFilter come later, see `with_cookies`.
        cookies: Vec::new(),
    })
}

/// Each match of a rule with each set of cookies, any of which is to be there as well. None: the matches as they are.
pub(crate) fn with_cookies(
    matches: Vec<RouteMatch>,
    cookies: &[Vec<CookieMatch>],
) -> Vec<RouteMatch> {
    if cookies.is_empty() {
        return matches;
    }
    let each = matches.iter().flat_map(|it| {
        cookies.iter().map(move |cookies| RouteMatch {
            path: it.path.clone(),
            method: it.method.clone(),
            headers: it.headers.clone(),
            query: it.query.clone(),
            cookies: cookies.clone(),
        })
    });
    each.collect()
}

/// The conditions on cookies of an HTTPRouteFilter.
pub(crate) fn cookies(cookies: &[filter::CookieMatch]) -> Result<Vec<CookieMatch>, Invalid> {
    let read = |it: &filter::CookieMatch| {
        let filter::CookieMatch {
            r#type,
            name,
            value,
        } = it;
        let regular = match r#type.as_deref() {
            None | Some("Exact") => false,
            Some("RegularExpression") => true,
            Some(other) => {
                return Err(Invalid::value(format!(
                    "{other:?} is no way to match a cookie; use Exact or RegularExpression"
                )));
            }
        };
        Ok(CookieMatch {
            name: name.as_str().into(),
            value: self::value("cookie", name, regular, value)?,
        })
    };
    cookies.iter().map(read).collect()
}

fn path(path: Option<&api::HttpRouteRulesMatchesPath>) -> Result<PathMatch, Invalid> {
    use api::HttpRouteRulesMatchesPathType as Type;
    let value = path.and_then(|it| it.value.as_deref()).unwrap_or("/");
    let absolute = || match value.starts_with('/') {
        true => Ok(value),
        false => Err(Invalid::value(format!(
            "path {value:?} does not begin with a slash"
        ))),
    };
    match path
        .and_then(|it| it.r#type.as_ref())
        .unwrap_or(&Type::PathPrefix)
    {
        Type::Exact => Ok(PathMatch::Exact(absolute()?.into())),
        Type::PathPrefix => Ok(PathMatch::Prefix(absolute()?.trim_end_matches('/').into())),
        Type::RegularExpression => Ok(PathMatch::Regex(regex("path", value)?)),
    }
}

fn method(method: &api::HttpRouteRulesMatchesMethod) -> Method {
    use api::HttpRouteRulesMatchesMethod as It;
    match method {
        It::Get => Method::GET,
        It::Head => Method::HEAD,
        It::Post => Method::POST,
        It::Put => Method::PUT,
        It::Delete => Method::DELETE,
        It::Connect => Method::CONNECT,
        It::Options => Method::OPTIONS,
        It::Trace => Method::TRACE,
        It::Patch => Method::PATCH,
    }
}

/// The first of several matches on one header counts, as the Gateway API has it.
fn headers(headers: &[api::HttpRouteRulesMatchesHeaders]) -> Result<Vec<HeaderMatch>, Invalid> {
    let mut read: Vec<HeaderMatch> = Vec::with_capacity(headers.len());
    for api::HttpRouteRulesMatchesHeaders {
        name,
        r#type,
        value,
    } in headers
    {
        let regular = *r#type == Some(api::HttpRouteRulesMatchesHeadersType::RegularExpression);
        let value = self::value("header", name, regular, value)?;
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| Invalid::value(format!("{name:?} is no header name")))?;
        if read.iter().all(|known| known.name != name) {
            read.push(HeaderMatch { name, value });
        }
    }
    Ok(read)
}

/// The first of several matches on one parameter counts, as the Gateway API has it.
fn query(params: &[api::HttpRouteRulesMatchesQueryParams]) -> Result<Vec<QueryMatch>, Invalid> {
    let mut read: Vec<QueryMatch> = Vec::with_capacity(params.len());
    for api::HttpRouteRulesMatchesQueryParams {
        name,
        r#type,
        value,
    } in params
    {
        let regular = *r#type == Some(api::HttpRouteRulesMatchesQueryParamsType::RegularExpression);
        let value = self::value("query parameter", name, regular, value)?;
        if read.iter().all(|known| *known.name != **name) {
            read.push(QueryMatch {
                name: name.as_str().into(),
                value,
            });
        }
    }
    Ok(read)
}

fn value(what: &str, name: &str, regular: bool, value: &str) -> Result<ValueMatch, Invalid> {
    if regular {
        Ok(ValueMatch::Regex(regex(&format!("{what} {name}"), value)?))
    } else {
        Ok(ValueMatch::Exact(value.into()))
    }
}

fn regex(what: &str, pattern: &str) -> Result<Arc<str>, Invalid> {
    groups(what, pattern).map(|_| pattern.into())
}

/// How many groups an expression has, the whole match included; it is `what` in a message.
pub(crate) fn groups(what: &str, pattern: &str) -> Result<usize, Invalid> {
    expression::groups(pattern).map_err(|error| {
        Invalid::value(format!(
            "regular expression {pattern:?} for {what} is invalid: {error}"
        ))
    })
}
