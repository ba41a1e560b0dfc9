//! HTTPRouteFilters: what a filter of type `ExtensionRef` leads to, and what comes of it for its rule.
//!
//! A part that cannot be used refuses the whole rule: a credential that is not injected or a match that is not made
//! would open what the filter closes.

use std::sync::Arc;

use http::HeaderName;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use weir_plan::features::rate_limit::HeaderNameText;
use weir_plan::features::response_override::ReplacedBody;
use weir_plan::operator::{self, Piece};
use weir_plan::{
    CookieMatch, Credential, DirectContent, DirectResponse, ForwardedPath, HostRewrite,
    NamespacedName, RegexRewrite, RouteKind, UrlRewrite,
};

use super::backends::{Referring, Unresolved};
use super::filters::{Refusal, header_name, headers};
use super::matches::{self, groups};
use super::rules::Invalid;
use crate::api::POLICY_GROUP;
use crate::api::http_route_filter::{
    CredentialInjection, DirectResponseFilter, FilterMatch, HostnameRewrite, HttpRouteFilterSpec,
    InjectedCredential, RegexPathRewrite, RegexSubstitution, SecretRef, UrlRewriteFilter,
};
use crate::api::secret::{self, CREDENTIAL};
use crate::features::response_override::{self, HeaderChanges, HeaderValue, OverrideBody};
use crate::operators;
use crate::references::{Referent, Referrer, permitted};
use crate::resources::Resources;
use gateway_api::experimental::httproutes as api;

/// What an HTTPRouteFilter does to its rule.
#[derive(Debug)]
pub(crate) struct RouteFilter {
    pub(crate) rewrite: Option<UrlRewrite>,
    pub(crate) respond: Option<DirectResponse>,
    pub(crate) credential: Option<Credential>,
    /// Sets of cookies, any of which requests must have. Empty: none.
    pub(crate) cookies: Vec<Vec<CookieMatch>>,
}

/// The HTTPRouteFilter that a reference means, whether or not there is one. None: it means something else.
pub(crate) fn name(
    reference: &api::HttpRouteRulesFiltersExtensionRef,
    namespace: &Arc<str>,
) -> Option<NamespacedName> {
    let api::HttpRouteRulesFiltersExtensionRef { group, kind, name } = reference;
    ((group.as_str(), kind.as_str()) == (POLICY_GROUP, "HTTPRouteFilter"))
        .then(|| NamespacedName::new(Arc::clone(namespace), name.as_str()))
}

/// The ConfigMap that an HTTPRouteFilter takes a body from.
pub(crate) fn config_map(filter: &NamespacedName, resources: &Resources) -> Option<NamespacedName> {
    let filter_spec = &resources.http_route_filters.get(filter)?.spec;
    let body = filter_spec.direct_response.as_ref()?.body.as_ref()?;
    from_config_map(body, &filter.namespace)
}

/// Follows a reference from a rule.
pub(crate) fn follow(
    reference: &api::HttpRouteRulesFiltersExtensionRef,
    from: Referring<'_>,
    resources: &Resources,
) -> Result<RouteFilter, Refusal> {
    let unresolved = |reason, message| Refusal::Unresolved(Unresolved { reason, message });
    let Some(name) = name(reference, from.namespace) else {
        let api::HttpRouteRulesFiltersExtensionRef { group, kind, name } = reference;
        let message = format!(
            "Reference {}/{name} not found for filter type: {kind} of group {group:?}; use an HTTPRouteFilter of group {POLICY_GROUP}",
            from.namespace
        );
        return Err(unresolved("InvalidKind", message));
    };
    let Some(filter) = resources.http_route_filters.get(&name) else {
        let message = format!("Unable to translate HTTPRouteFilter: {name}");
        return Err(unresolved("BackendNotFound", message));
    };
    let HttpRouteFilterSpec {
        url_rewrite,
        direct_response,
        credential_injection,
        matches,
    } = &filter.spec;
    let invalid = |Invalid { reason, message }| {
        let message = format!("invalid filter HTTPRouteFilter: {message}");
        Refusal::Invalid(Invalid { reason, message })
    };
    let rewrite = url_rewrite.as_ref().map(rewrite).transpose();
    let respond = direct_response
        .as_ref()
        .map(|it| respond(it, &name, from.kind, resources))
        .transpose();
    let credential = credential_injection
        .as_ref()
        .map(|it| credential(it, &name, resources))
        .transpose();
    let matches = matches.iter().flatten();
    let cookies = matches
        .map(|FilterMatch { cookies }| matches::cookies(cookies.as_deref().unwrap_or_default()));
    Ok(RouteFilter {
        rewrite: rewrite.map_err(invalid)?,
        respond: respond.map_err(invalid)?,
        credential: credential.map_err(invalid)?,
        cookies: cookies.collect::<Result<_, _>>().map_err(invalid)?,
    })
}

/// The Secret that an HTTPRouteFilter takes a credential from.
pub(crate) fn secret(filter: &NamespacedName, resources: &Resources) -> Option<NamespacedName> {
    let filter_spec = &resources.http_route_filters.get(filter)?.spec;
    let injection = filter_spec.credential_injection.as_ref()?;
    Some(secret_name(&injection.credential.value_ref, filter))
}

fn secret_name(reference: &SecretRef, filter: &NamespacedName) -> NamespacedName {
    let namespace = reference
        .namespace
        .as_deref()
        .map_or_else(|| Arc::clone(&filter.namespace), Into::into);
    NamespacedName::new(namespace, reference.name.as_str())
}

/// The credential itself is in no message.
fn credential(
    injection: &CredentialInjection,
    filter: &NamespacedName,
    resources: &Resources,
) -> Result<Credential, Invalid> {
    let CredentialInjection {
        header,
        overwrite,
        credential: InjectedCredential { value_ref },
    } = injection;
    let SecretRef {
        group,
        kind,
        name: _,
        namespace: _,
    } = value_ref;
    let (group, kind) = (group.as_deref().unwrap_or_default(), kind.as_deref());
    if (group, kind.unwrap_or("Secret")) != ("", "Secret") {
        let message = "a credential comes from a Secret of the core group only";
        return Err(Invalid::value(message.to_owned()));
    }
    let secret = secret_name(value_ref, filter);
    let from = Referrer {
        group: POLICY_GROUP,
        kind: "HTTPRouteFilter",
        namespace: &filter.namespace,
    };
    let to = Referent {
        group: "",
        kind: "Secret",
        namespace: &secret.namespace,
        name: &secret.name,
    };
    if !permitted(&resources.reference_grants, from, to) {
        return Err(Invalid::value(format!(
            "secret {secret} is in another namespace, which has no ReferenceGrant for it"
        )));
    }
    let found = resources
        .secrets
        .get(&secret)
        .ok_or_else(|| Invalid::value(format!("secret {secret} does not exist")))?;
    let value = match &found.credential {
        Some(secret::Credential::Value(value)) => value.clone(),
        Some(secret::Credential::Unfit) => {
            return Err(Invalid::value(format!(
                "credential key {CREDENTIAL} of secret {secret} is no header's value; it may have a line break at its end"
            )));
        }
        None => {
            return Err(Invalid::value(format!(
                "credential key {CREDENTIAL} not found in secret {secret}"
            )));
        }
    };
    let header = match header.as_deref().filter(|it| !it.is_empty()) {
        None => AUTHORIZATION,
        Some(name) => header_name(name)?,
    };
    Ok(Credential {
        header: HeaderNameText(header),
        overwrite: *overwrite == Some(true),
        value,
    })
}

fn rewrite(filter: &UrlRewriteFilter) -> Result<UrlRewrite, Invalid> {
    let UrlRewriteFilter {
        hostname,
        path,
        append_x_forwarded_host,
    } = filter;
    let path = path.as_ref().map(|path| {
        let RegexPathRewrite {
            r#type: _,
            replace_regex_match,
        } = path;
        let written = replace_regex_match
            .as_ref()
            .filter(|it| !it.pattern.is_empty());
        let written = written.ok_or_else(|| {
            let message = r#"ReplaceRegexMatch Pattern must be set when rewrite path type is "ReplaceRegexMatch""#;
            Invalid::value(message.to_owned())
        })?;
        replacement(written, "ReplaceRegexMatch").map(ForwardedPath::ReplaceRegexMatch)
    });
    Ok(UrlRewrite {
        hostname: hostname.as_ref().map(host).transpose()?,
        append_forwarded_host: append_x_forwarded_host.unwrap_or(true),
        path: path.transpose()?,
    })
}

fn host(rewrite: &HostnameRewrite) -> Result<HostRewrite, Invalid> {
    let HostnameRewrite {
        r#type,
        header,
        path_regex,
    } = rewrite;
    match (r#type.as_str(), header, path_regex) {
        ("Backend", _, _) => Ok(HostRewrite::Backend),
        ("Header", Some(name), _) => match HeaderName::from_bytes(name.as_bytes()) {
            Ok(name) => Ok(HostRewrite::Header(HeaderNameText(name))),
            Err(_) => Err(Invalid::value(format!("{name:?} is no header name"))),
        },
        ("PathRegex", _, Some(written)) => {
            replacement(written, "PathRegex").map(HostRewrite::PathRegex)
        }
        (other, _, _) => Err(Invalid::value(format!(
            "a hostname rewrite of type {other:?} is not complete, or not known"
        ))),
    }
}

/// An expression as it is written, and its replacement in the syntax of the `regex` crate.
fn replacement(written: &RegexSubstitution, what: &str) -> Result<RegexRewrite, Invalid> {
    let RegexSubstitution {
        pattern,
        substitution,
    } = written;
    let groups = groups(what, pattern).map_err(|Invalid { reason, message }| Invalid {
        reason,
        message: format!("{what} must be a valid RE2 regular expression: {message}"),
    })?;
    Ok(RegexRewrite {
        pattern: pattern.as_str().into(),
        replacement: from_re2(substitution, groups)?.into(),
    })
}

/// RE2's `\1` and `\\` in the syntax of the `regex` crate. The expression has so many groups, the whole match included.
fn from_re2(substitution: &str, groups: usize) -> Result<String, Invalid> {
    let bad = |why: String| Invalid::value(format!("substitution {substitution:?}: {why}"));
    let mut text = String::with_capacity(substitution.len());
    let mut rest = substitution.chars();
    while let Some(next) = rest.next() {
        match next {
            '\\' => match rest.next() {
                Some('\\') => text.push('\\'),
                Some(digit @ '0'..='9') => {
                    let group = usize::from(digit as u8 - b'0');
                    if group >= groups {
                        return Err(bad(format!("the pattern has no group {group}")));
                    }
                    text.push_str(&format!("${{{group}}}"));
                }
                Some(_) | None => {
                    let why = r"a \ stands before a digit or another \";
                    return Err(bad(why.to_owned()));
                }
            },
            '$' => text.push_str("$$"),
            other => text.push(other),
        }
    }
    Ok(text)
}

fn respond(
    filter: &DirectResponseFilter,
    name: &NamespacedName,
    route: RouteKind,
    resources: &Resources,
) -> Result<DirectResponse, Invalid> {
    let DirectResponseFilter {
        content_type,
        body,
        status_code,
        header,
    } = filter;
    let status = status_code.unwrap_or(200);
    let status = match u16::try_from(status) {
        Ok(status @ 200..=599) => status,
        Ok(_) | Err(_) => {
            return Err(Invalid::value(format!("invalid StatusCode value {status}")));
        }
    };
    if route == RouteKind::Grpc && status < 300 {
        let message = format!(
            "directResponse with status {status} cannot be used for a GRPCRoute: gRPC takes 2xx for a success, which needs a message"
        );
        return Err(Invalid::value(message));
    }
    let body = match body {
        Some(body) => self::body(body, name, resources)?,
        None => Arc::default(),
    };
    let HeaderChanges {
        set,
        add,
        remove: _,
    } = header.clone().unwrap_or_default();
    let content_type = content_type.as_deref().filter(|it| !it.is_empty());
    let written = |list: &Option<Vec<HeaderValue>>| -> Result<Vec<(String, String)>, Invalid> {
        let list = list.iter().flatten();
        list.map(|HeaderValue { name, value }| Ok((name.clone(), self::written(value, name)?)))
            .collect()
    };
    let (mut set, add) = (written(&set)?, written(&add)?);
    if let Some(content_type) = content_type {
        let names_it = |(name, _): &(String, String)| name.eq_ignore_ascii_case("content-type");
        if !set.iter().any(names_it) {
            set.push((CONTENT_TYPE.to_string(), content_type.replace('%', "%%")));
        }
    }
    let values = set.iter().chain(&add).map(|(_, value)| value.as_str());
    let text = std::str::from_utf8(&body).ok();
    let operators = values.chain(text).any(has_operators);
    let plain = |text: &str| match operators {
        true => text.to_owned(),
        false => text.replace("%%", "%"),
    };
    let pairs = |list: &[(String, String)]| {
        let list: Vec<_> = list
            .iter()
            .map(|(name, value)| (name.as_str(), plain(value)))
            .collect();
        headers(list.iter().map(|(name, value)| (*name, value.as_str())))
    };
    let headers = weir_plan::HeaderChanges {
        set: pairs(&set)?,
        add: pairs(&add)?,
        remove: Vec::new(),
    };
    let content = DirectContent {
        body: ReplacedBody(
            text.map_or_else(|| Arc::clone(&body), |text| plain(text).into_bytes().into()),
        ),
        headers,
        operators,
    };
    let empty = content.body.0.is_empty() && content.headers.is_empty();
    Ok(DirectResponse {
        status,
        reason: format!("HTTPRouteFilter {name} says so").into(),
        content: (!empty).then(|| Arc::new(content)),
    })
}

fn body(
    body: &OverrideBody,
    filter: &NamespacedName,
    resources: &Resources,
) -> Result<Arc<[u8]>, Invalid> {
    let Some(name) = from_config_map(body, &filter.namespace) else {
        let inline = body.inline.as_deref().unwrap_or_default();
        return Ok(self::written(inline, "the body")?.into_bytes().into());
    };
    let config_map = resources.config_maps.get(&name);
    let bytes = response_override::body(&name, config_map.map(|it| &**it));
    let ReplacedBody(bytes) = bytes.map_err(Invalid::value)?;
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(self::written(text, &format!("ConfigMap {name}"))?
            .into_bytes()
            .into()),
        Err(_) => Ok(bytes),
    }
}

fn from_config_map(body: &OverrideBody, namespace: &Arc<str>) -> Option<NamespacedName> {
    let OverrideBody {
        r#type,
        inline: _,
        value_ref,
    } = body;
    let name = value_ref
        .as_ref()
        .filter(|_| r#type.as_deref() == Some("ValueRef"))?;
    Some(NamespacedName::new(
        Arc::clone(namespace),
        name.name.as_str(),
    ))
}

/// A text of an answer, perhaps with operators.
fn written(text: &str, place: &str) -> Result<String, Invalid> {
    let bad = |why: String| Invalid::value(format!("{place}: {why}"));
    operators::check(text).map_err(bad)?;
    for piece in operator::pieces(text) {
        let unserved = match piece {
            Piece::Unserved(name) => name,
            Piece::Filled(operator, _) if !operator.is_known_at_answer() => operator.name(),
            Piece::Text(_) | Piece::Filled(..) => continue,
        };
        return Err(bad(format!(
            "operator {unserved}, written like this, is not supported yet in a directResponse"
        )));
    }
    Ok(text.to_owned())
}

/// Whether a text has operators. If not, its percent signs are written twice all the same.
fn has_operators(text: &str) -> bool {
    let mut pieces = operator::pieces(text).into_iter();
    pieces.any(|it| matches!(it, Piece::Filled(..)))
}
