//! The rules of HTTPRouteFilter in CEL.

use super::{Rule, rule};

/// The rules of HTTPRouteFilter.
pub(crate) const HTTP_ROUTE_FILTER: &[Rule] = &[
    rule(
        "urlRewrite.hostname",
        "!has(self.header) || self.type == 'Header'",
        "header must be nil if the type is not Header",
    ),
    rule(
        "urlRewrite.hostname",
        "has(self.header) || self.type != 'Header'",
        "header must be specified for Header type",
    ),
    rule(
        "urlRewrite.hostname",
        "!has(self.pathRegex) || self.type == 'PathRegex'",
        "pathRegex must be nil if the type is not PathRegex",
    ),
    rule(
        "urlRewrite.hostname",
        "has(self.pathRegex) || self.type != 'PathRegex'",
        "pathRegex must be specified for PathRegex type",
    ),
    rule(
        "urlRewrite.path",
        "has(self.replaceRegexMatch)",
        "If HTTPPathModifier type is ReplaceRegexMatch, replaceRegexMatch field needs to be set.",
    ),
    rule(
        "directResponse.body",
        "(has(self.type) && self.type != 'Inline') || has(self.inline)",
        "inline must be set for type Inline",
    ),
    rule(
        "directResponse.body",
        "!has(self.type) || self.type != 'ValueRef' || has(self.valueRef)",
        "valueRef must be set for type ValueRef",
    ),
    rule(
        "directResponse.body",
        "!has(self.valueRef) || self.valueRef.kind == 'ConfigMap'",
        "only ConfigMap is supported for ValueRef",
    ),
    rule(
        "directResponse.header",
        "!has(self.remove) || self.remove.size() == 0",
        "header.remove is not supported for DirectResponse",
    ),
];
