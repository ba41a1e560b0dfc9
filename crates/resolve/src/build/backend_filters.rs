//! The filters of a backendRef: what they change, and those that only a rule may have.

use weir_plan::{Credential, HeaderChanges};

use super::backends::Referring;
use super::filters::{Refusal, header_changes, once};
use super::route_filter::{self, RouteFilter};
use super::rules::Invalid;
use crate::resources::Resources;
use gateway_api::experimental::httproutes as api;

/// What the filters of a backendRef say.
#[derive(Debug, Default)]
pub(crate) struct BackendFilters {
    /// Changes to request headers.
    pub(crate) request_headers: HeaderChanges,
    /// Changes to response headers.
    pub(crate) response_headers: HeaderChanges,
    /// A credential for the backend.
    pub(crate) credential: Option<Credential>,
}

impl BackendFilters {
    /// True where they say nothing.
    pub(crate) fn is_empty(&self) -> bool {
        let Self {
            request_headers,
            response_headers,
            credential,
        } = self;
        request_headers.is_empty() && response_headers.is_empty() && credential.is_none()
    }
}

/// Reads the filters of a backendRef: header modifiers, and HTTPRouteFilters that inject a credential and do nothing
/// else, as Envoy Gateway takes them.
pub(crate) fn read(
    filters: &[api::HttpRouteRulesBackendRefsFilters],
    from: Referring<'_>,
    resources: &Resources,
) -> Result<BackendFilters, Refusal> {
    use api::HttpRouteRulesBackendRefsFiltersType as Type;
    let mut said = BackendFilters::default();
    for (index, filter) in filters.iter().enumerate() {
        let again = filters[..index].iter().any(|it| it.r#type == filter.r#type);
        let empty = |name| Invalid::value(format!("filters[{index}] ({name}) has no settings"));
        let unsupported = |name: &str| Err(Invalid::backend_filter(name).into());
        match filter.r#type {
            Type::RequestHeaderModifier => {
                once(again, "RequestHeaderModifier")?;
                let modifier = filter.request_header_modifier.as_ref();
                let modifier = modifier.ok_or_else(|| empty("requestHeaderModifier"))?;
                said.request_headers = header_changes!(modifier)?;
            }
            Type::ResponseHeaderModifier => {
                once(again, "ResponseHeaderModifier")?;
                let modifier = filter.response_header_modifier.as_ref();
                let modifier = modifier.ok_or_else(|| empty("responseHeaderModifier"))?;
                said.response_headers = header_changes!(modifier)?;
            }
            Type::ExtensionRef => {
                let reference = filter.extension_ref.as_ref();
                let reference = extension(reference.ok_or_else(|| empty("extensionRef"))?);
                let RouteFilter {
                    rewrite,
                    respond,
                    credential,
                    cookies,
                } = route_filter::follow(&reference, from, resources)?;
                if rewrite.is_some() || respond.is_some() || !cookies.is_empty() {
                    return unsupported("ExtensionRef to more than credentialInjection");
                }
                once(
                    credential.is_some() && said.credential.is_some(),
                    "credentialInjection",
                )?;
                said.credential = said.credential.take().or(credential);
            }
            Type::RequestRedirect => return unsupported("RequestRedirect"),
            Type::UrlRewrite => return unsupported("URLRewrite"),
            Type::RequestMirror => return unsupported("RequestMirror"),
            Type::Cors => return unsupported("CORS"),
            Type::ExternalAuth => return unsupported("ExternalAuth"),
        }
    }
    Ok(said)
}

/// The ExtensionRefs of a rule and of its backendRefs, which the API's Rust form has two types for.
pub(crate) fn references(
    rule: &api::HttpRouteRules,
) -> impl Iterator<Item = api::HttpRouteRulesFiltersExtensionRef> {
    let of_rule = rule.filters.iter().flatten();
    let of_rule = of_rule.filter_map(|it| it.extension_ref.clone());
    let of_backends = rule.backend_refs.iter().flatten();
    let of_backends = of_backends
        .flat_map(|it| it.filters.iter().flatten())
        .filter_map(|it| it.extension_ref.as_ref().map(extension));
    of_rule.chain(of_backends)
}

fn extension(
    reference: &api::HttpRouteRulesBackendRefsFiltersExtensionRef,
) -> api::HttpRouteRulesFiltersExtensionRef {
    let api::HttpRouteRulesBackendRefsFiltersExtensionRef { group, kind, name } = reference;
    api::HttpRouteRulesFiltersExtensionRef {
        group: group.clone(),
        kind: kind.clone(),
        name: name.clone(),
    }
}
