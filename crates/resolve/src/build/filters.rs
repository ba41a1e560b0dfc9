//! The filters of a rule: what they change, and why a rule with some of them cannot be served.

use http::{HeaderName, HeaderValue};
use std::sync::Arc;
use weir_plan::{
    CookieMatch, Cors, Credential, DirectResponse, ForwardedPath, HeaderChanges, HostRewrite,
    PathMatch, PathRewrite, Redirect, RouteMatch, UrlRewrite,
};

use super::backends::{Referring, Unresolved};
use super::cors;
use super::mirrors::{self, RuleMirror};
use super::route_filter::{self, RouteFilter};
use super::rules::Invalid;
use crate::Context;
use crate::resources::Resources;
use gateway_api::experimental::httproutes as api;

/// What the filters of a rule say.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    /// Changes to request headers.
    pub(crate) request_headers: HeaderChanges,
    /// Changes to response headers.
    pub(crate) response_headers: HeaderChanges,
    /// Where the client is sent.
    pub(crate) redirect: Option<Redirect>,
    /// What is changed in the URL.
    pub(crate) rewrite: Option<UrlRewrite>,
    /// What the gateway answers by itself.
    pub(crate) respond: Option<DirectResponse>,
    /// Which pages of other origins may use the answers.
    pub(crate) cors: Option<Cors>,
    /// A credential for the backends.
    pub(crate) credential: Option<Credential>,
    /// Sets of cookies, any of which requests must have besides the matches. Empty: none.
    pub(crate) cookies: Vec<Vec<CookieMatch>>,
    /// Where copies of requests go.
    pub(crate) mirrors: Vec<RuleMirror>,
}

/// Why a rule with some filters cannot be served.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// A filter cannot be used.
    Invalid(Invalid),
    /// A filter refers to what is not there.
    Unresolved(Unresolved),
}

impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

/// Header changes: alike in the API, four types in its Rust form.
macro_rules! header_changes {
    ($modifier:expr) => {{
        let modifier = $modifier;
        $crate::build::filters::changes(
            modifier
                .set
                .iter()
                .flatten()
                .map(|it| (it.name.as_str(), it.value.as_str())),
            modifier
                .add
                .iter()
                .flatten()
                .map(|it| (it.name.as_str(), it.value.as_str())),
            modifier.remove.iter().flatten().map(String::as_str),
        )
    }};
}

pub(super) use header_changes;

/// Reads the filters of a rule with these matches.
pub(crate) fn of_rule(
    filters: &[api::HttpRouteRulesFilters],
    matches: &[RouteMatch],
    from: Referring<'_>,
    resources: &Resources,
    context: &Context,
) -> Result<Filters, Refusal> {
    use api::HttpRouteRulesFiltersType as Type;
    let mut read = Filters::default();
    for (index, filter) in filters.iter().enumerate() {
        let named = |name: &str| format!("filters[{index}] ({name})");
        let again = filters[..index].iter().any(|it| it.r#type == filter.r#type);
        let empty = |name| Invalid::value(format!("{} has no settings", named(name)));
        match filter.r#type {
            Type::RequestHeaderModifier => {
                once(again, "RequestHeaderModifier")?;
                let modifier = filter.request_header_modifier.as_ref();
                let modifier = modifier.ok_or_else(|| empty("requestHeaderModifier"))?;
                read.request_headers = header_changes!(modifier)?;
            }
            Type::ResponseHeaderModifier => {
                once(again, "ResponseHeaderModifier")?;
                let modifier = filter.response_header_modifier.as_ref();
                let modifier = modifier.ok_or_else(|| empty("responseHeaderModifier"))?;
                read.response_headers = header_changes!(modifier)?;
            }
            Type::RequestRedirect => {
                once(again, "RequestRedirect")?;
                let redirect = filter
                    .request_redirect
                    .as_ref()
                    .ok_or_else(|| empty("requestRedirect"))?;
                read.redirect = Some(self::redirect(redirect, matches)?);
            }
            Type::UrlRewrite => {
                once(again, "URLRewrite")?;
                let rewrite = filter
                    .url_rewrite
                    .as_ref()
                    .ok_or_else(|| empty("urlRewrite"))?;
                add_rewrite(&mut read.rewrite, self::rewrite(rewrite, matches)?)?;
            }
            Type::RequestMirror => {
                let mirror = filter.request_mirror.as_ref();
                let mirror = mirror.ok_or_else(|| empty("requestMirror"))?;
                let mirror = mirrors::read(index, mirror, from, resources, context);
                read.mirrors.push(mirror);
            }
            Type::Cors => {
                once(again, "CORS")?;
                let filter = filter.cors.as_ref().ok_or_else(|| empty("cors"))?;
                read.cors = Some(cors::read(filter)?);
            }
            Type::ExternalAuth => return Err(Invalid::filter("ExternalAuth").into()),
            Type::ExtensionRef => {
                let reference = filter.extension_ref.as_ref();
                let reference = reference.ok_or_else(|| empty("extensionRef"))?;
                let RouteFilter {
                    rewrite,
                    respond,
                    credential,
                    cookies,
                } = route_filter::follow(reference, from, resources)?;
                if let Some(rewrite) = rewrite {
                    add_rewrite(&mut read.rewrite, rewrite)?;
                }
                if let Some(respond) = respond {
                    once(read.respond.is_some(), "directResponse")?;
                    read.respond = Some(respond);
                }
                if let Some(credential) = credential {
                    once(read.credential.is_some(), "credentialInjection")?;
                    read.credential = Some(credential);
                }
                if !cookies.is_empty() && !read.cookies.is_empty() {
                    let message =
                        "only one HTTPRouteFilter with matches is supported per HTTPRouteRule";
                    return Err(Invalid::value(message.to_owned()).into());
                }
                read.cookies.extend(cookies);
            }
        }
    }
    let redirect = read.redirect.is_some();
    let respond = read.respond.is_some();
    // Envoy Gateway's words.
    for (with, what) in [(respond, "DirectResponse"), (redirect, "RequestRedirect")] {
        if with && !read.mirrors.is_empty() {
            let message = format!(
                "RequestMirror filter cannot be used when the rule also configures a {what} filter"
            );
            return Err(incompatible(message).into());
        }
    }
    for (both, one, other) in [
        (
            redirect && read.rewrite.is_some(),
            "RequestRedirect",
            "URLRewrite",
        ),
        (redirect && respond, "RequestRedirect", "directResponse"),
    ] {
        if both {
            let message = format!("the filters {one} and {other} cannot be used together");
            return Err(incompatible(message).into());
        }
    }
    Ok(read)
}

/// Several filters may say different parts of what is changed in the URL.
fn add_rewrite(known: &mut Option<UrlRewrite>, new: UrlRewrite) -> Result<(), Invalid> {
    let Some(known) = known else {
        *known = Some(new);
        return Ok(());
    };
    let UrlRewrite {
        hostname,
        append_forwarded_host,
        path,
    } = new;
    if known.hostname.is_some() && hostname.is_some() || known.path.is_some() && path.is_some() {
        let message = "cannot configure multiple urlRewrite filters for a single HTTPRouteRule";
        return Err(incompatible(message.to_owned()));
    }
    if hostname.is_some() {
        known.hostname = hostname;
        known.append_forwarded_host = append_forwarded_host;
    }
    known.path = known.path.take().or(path);
    Ok(())
}

fn incompatible(message: String) -> Invalid {
    Invalid {
        reason: "IncompatibleFilters",
        message,
    }
}

/// Refuses a filter that is given again.
pub(super) fn once(again: bool, name: &str) -> Result<(), Invalid> {
    if again {
        return Err(incompatible(format!(
            "the filter {name} is given more than once"
        )));
    }
    Ok(())
}

/// Changes of headers as the plan has them.
pub(super) fn changes<'a>(
    set: impl Iterator<Item = (&'a str, &'a str)>,
    add: impl Iterator<Item = (&'a str, &'a str)>,
    remove: impl Iterator<Item = &'a str>,
) -> Result<HeaderChanges, Invalid> {
    Ok(HeaderChanges {
        set: headers(set)?,
        add: headers(add)?,
        remove: remove.map(header_name).collect::<Result<_, _>>()?,
    })
}

/// The first of several entries for one header counts, as the Gateway API has it.
pub(crate) fn headers<'a>(
    headers: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<Vec<(HeaderName, HeaderValue)>, Invalid> {
    let mut read: Vec<(HeaderName, HeaderValue)> = Vec::new();
    for (name, value) in headers {
        let name = header_name(name)?;
        let bad = |_| {
            Invalid::value(format!(
                "the value {value:?} of header {name} is no header value"
            ))
        };
        let value = HeaderValue::from_str(value).map_err(bad)?;
        if read.iter().all(|(known, _)| *known != name) {
            read.push((name, value));
        }
    }
    Ok(read)
}

/// A header that may be changed.
pub(crate) fn header_name(name: &str) -> Result<HeaderName, Invalid> {
    let read = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| Invalid::value(format!("{name:?} is no header name")))?;
    if read == http::header::HOST {
        let message = "header host cannot be changed by a header modifier; use a URLRewrite filter with hostname";
        return Err(Invalid::value(message.to_owned()));
    }
    // Whoever sets one of these makes the next message on the connection begin where it does not.
    if read == http::header::CONTENT_LENGTH || read == http::header::TRANSFER_ENCODING {
        return Err(Invalid::value(format!(
            "header {read} cannot be changed by a header modifier; it follows from the body"
        )));
    }
    Ok(read)
}

fn redirect(
    redirect: &api::HttpRouteRulesFiltersRequestRedirect,
    matches: &[RouteMatch],
) -> Result<Redirect, Invalid> {
    let api::HttpRouteRulesFiltersRequestRedirect {
        hostname,
        path,
        port,
        scheme,
        status_code,
    } = redirect;
    let path = path.as_ref().map(|path| {
        let full =
            path.r#type == api::HttpRouteRulesFiltersRequestRedirectPathType::ReplaceFullPath;
        path_rewrite(
            full,
            path.replace_full_path.as_deref(),
            path.replace_prefix_match.as_deref(),
            matches,
        )
    });
    let status = match status_code.unwrap_or(302) {
        301 => 301,
        302 => 302,
        303 => 303,
        307 => 307,
        308 => 308,
        other => {
            return Err(Invalid::value(format!(
                "redirect status {other} is none of 301, 302, 303, 307 and 308"
            )));
        }
    };
    let port = port.map(|port| match u16::try_from(port) {
        Ok(port @ 1..) => Ok(port),
        Ok(0) | Err(_) => Err(Invalid::value(format!(
            "redirect port {port} is not between 1 and 65535"
        ))),
    });
    Ok(Redirect {
        scheme: scheme.as_ref().map(|scheme| match scheme {
            api::HttpRouteRulesFiltersRequestRedirectScheme::Http => "http".into(),
            api::HttpRouteRulesFiltersRequestRedirectScheme::Https => "https".into(),
        }),
        hostname: hostname
            .as_deref()
            .filter(|it| !it.is_empty())
            .map(Into::into),
        path: path.transpose()?,
        port: port.transpose()?,
        status,
    })
}

fn rewrite(
    rewrite: &api::HttpRouteRulesFiltersUrlRewrite,
    matches: &[RouteMatch],
) -> Result<UrlRewrite, Invalid> {
    let api::HttpRouteRulesFiltersUrlRewrite { hostname, path } = rewrite;
    let path = path.as_ref().map(|path| {
        let full = path.r#type == api::HttpRouteRulesFiltersUrlRewritePathType::ReplaceFullPath;
        path_rewrite(
            full,
            path.replace_full_path.as_deref(),
            path.replace_prefix_match.as_deref(),
            matches,
        )
    });
    let hostname = hostname.as_deref().filter(|it| !it.is_empty());
    if let Some(bad) = hostname.filter(|it| HeaderValue::from_str(it).is_err()) {
        return Err(Invalid::value(format!("{bad:?} is no host name")));
    }
    Ok(UrlRewrite {
        hostname: hostname.map(|it| HostRewrite::Name(it.into())),
        append_forwarded_host: true,
        path: path.transpose()?.map(ForwardedPath::Plain),
    })
}

fn path_rewrite(
    full: bool,
    replace_full_path: Option<&str>,
    replace_prefix_match: Option<&str>,
    matches: &[RouteMatch],
) -> Result<PathRewrite, Invalid> {
    let (name, value) = if full {
        ("replaceFullPath", replace_full_path)
    } else {
        ("replacePrefixMatch", replace_prefix_match)
    };
    let value =
        value.ok_or_else(|| Invalid::value(format!("a path of type {name} needs {name}")))?;
    // The value goes into a request line or a location header as it is.
    if value.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err(Invalid::value(format!(
            "{name} {value:?} has characters that a path cannot have"
        )));
    }
    if full {
        return Ok(PathRewrite::ReplaceFullPath(with_slash(value)));
    }
    if !matches
        .iter()
        .all(|it| matches!(it.path, PathMatch::Prefix(_)))
    {
        let message = "replacePrefixMatch needs matches of type PathPrefix on its rule".to_owned();
        return Err(Invalid::value(message));
    }
    Ok(PathRewrite::ReplacePrefixMatch(with_slash(
        value.trim_end_matches('/'),
    )))
}

fn with_slash(path: &str) -> Arc<str> {
    if path.starts_with('/') {
        path.into()
    } else {
        format!("/{path}").into()
    }
}
