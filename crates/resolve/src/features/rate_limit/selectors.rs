//! Which requests a rate-limit rule counts: its selectors, lowered into one match.

use std::sync::Arc;

use http::{HeaderName, Method};
use ipnet::IpNet;
use weir_plan::features::rate_limit::{
    CidrMatch, ClientMatch, HeaderNameText, InvertibleMatch, LimitValueMatch, MethodMatch,
    NamedMatch, PathPattern,
};

use super::{CidrSelector, ClientSelector, FEATURE, MethodSelector, PathSelector, ValueMatch};
use crate::expression;
use crate::features::Faults;

/// All conditions of all selectors together. Of several paths or ranges the last counts, as in the reference.
pub(super) fn lower(
    selectors: &[ClientSelector],
    at: &str,
    found: &mut Faults,
) -> Option<ClientMatch> {
    let faults = found.fatal();
    let mut matches = ClientMatch::default();
    for (index, selector) in selectors.iter().enumerate() {
        let at = format!("{at}.clientSelectors[{index}]");
        let ClientSelector {
            headers,
            methods,
            path,
            source_cidr,
            query_params,
        } = selector;
        let before = matches.clone();
        for (index, header) in headers.iter().flatten().enumerate() {
            let at = format!("{at}.headers[{index}]");
            match header_match(header) {
                Ok(header) => matches.headers.push(header),
                Err(text) => found.add(FEATURE, at, text),
            }
        }
        for (index, MethodSelector { value, invert }) in methods.iter().flatten().enumerate() {
            match Method::from_bytes(value.as_bytes()) {
                Ok(method) => matches.methods.push(MethodMatch {
                    method,
                    invert: invert.unwrap_or(false),
                }),
                Err(_) => found.add(
                    FEATURE,
                    format!("{at}.methods[{index}].value"),
                    format!("invalid method {value:?}"),
                ),
            }
        }
        if let Some(path) = path {
            if matches.path.is_some() {
                let text = "a rule counts by one path: the ones before are left out";
                found.ignored(FEATURE, format!("{at}.path"), text);
            }
            match path_match(path) {
                Ok(path) => matches.path = Some(path),
                Err(text) => found.add(FEATURE, format!("{at}.path"), text),
            }
        }
        if let Some(CidrSelector {
            r#type,
            value,
            invert,
        }) = source_cidr
        {
            let (distinct, invert) = (
                r#type.as_deref() == Some("Distinct"),
                invert.unwrap_or(false),
            );
            if matches.source_cidr.is_some() {
                let text = "a rule counts by one range: the ones before are left out";
                found.ignored(FEATURE, format!("{at}.sourceCIDR"), text);
            }
            match value.parse::<IpNet>() {
                Ok(cidr) => {
                    let cidr = cidr.trunc();
                    matches.source_cidr = Some(CidrMatch {
                        cidr,
                        distinct,
                        invert,
                    });
                }
                Err(_) => {
                    let text =
                        format!("unable to translate rateLimit: invalid CIDR address: {value}");
                    found.add(FEATURE, format!("{at}.sourceCIDR.value"), text);
                }
            }
        }
        for (index, param) in query_params.iter().flatten().enumerate() {
            match query_match(param) {
                Ok(param) => matches.query_params.push(param),
                Err(text) => found.add(FEATURE, format!("{at}.queryParams[{index}]"), text),
            }
        }
        if before == matches && found.fatal() == faults && path.is_none() && source_cidr.is_none() {
            let text = "unable to translate rateLimit. At least one of the header or method or path or sourceCIDR or \
                        queryParameters must be specified";
            found.add(FEATURE, at, text);
        }
    }
    (found.fatal() == faults).then_some(matches)
}

fn header_match(header: &ValueMatch) -> Result<NamedMatch<HeaderNameText>, String> {
    let ValueMatch {
        r#type,
        name,
        value,
        invert,
    } = header;
    let invert = invert.unwrap_or(false);
    let value = match (r#type.as_deref().unwrap_or("Exact"), value) {
        ("Exact", Some(value)) => LimitValueMatch::Exact {
            value: value.as_str().into(),
            invert,
        },
        ("RegularExpression", Some(value)) => LimitValueMatch::Regex {
            pattern: regex(value)?,
            invert,
        },
        ("Distinct", None) if invert => {
            return Err("unable to translate rateLimit.Invert is not applicable for distinct header match type".to_owned());
        }
        ("Distinct", None) => LimitValueMatch::Distinct,
        _ => {
            return Err("unable to translate rateLimit. Either the header.Type is not valid or the header is missing a value"
                .to_owned());
        }
    };
    let name = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| format!("invalid header name {name:?}"))?;
    Ok(NamedMatch {
        name: HeaderNameText(name),
        value,
    })
}

fn query_match(param: &ValueMatch) -> Result<NamedMatch<Arc<str>>, String> {
    let ValueMatch {
        r#type,
        name,
        value,
        invert,
    } = param;
    if name.is_empty() {
        return Err("name is required when QueryParamMatch is specified".to_owned());
    }
    let invert = invert.unwrap_or(false);
    let value = value.as_deref().filter(|value| !value.is_empty());
    let value = match (r#type.as_deref().unwrap_or("Exact"), value) {
        ("Exact", Some(value)) => LimitValueMatch::Exact {
            value: value.into(),
            invert,
        },
        ("RegularExpression", Some(value)) => LimitValueMatch::Regex {
            pattern: regex(value)?,
            invert,
        },
        (kind @ ("Exact" | "RegularExpression"), None) => {
            return Err(format!(
                "value is required for {kind} query parameter match"
            ));
        }
        ("Distinct", Some(_)) => {
            let text = "unable to translate rateLimit.Value is not applicable for distinct query parameter match type";
            return Err(text.to_owned());
        }
        ("Distinct", None) if invert => {
            let text = "unable to translate rateLimit.Invert is not applicable for distinct query parameter match type";
            return Err(text.to_owned());
        }
        ("Distinct", None) => LimitValueMatch::Distinct,
        (other, _) => return Err(format!("invalid query parameter match type: {other}")),
    };
    Ok(NamedMatch {
        name: name.as_str().into(),
        value,
    })
}

fn path_match(path: &PathSelector) -> Result<InvertibleMatch<PathPattern>, String> {
    let PathSelector {
        r#type,
        value,
        invert,
    } = path;
    let value = value.as_deref().unwrap_or("/");
    let value = match r#type.as_deref().unwrap_or("PathPrefix") {
        "Exact" => PathPattern::Exact(value.into()),
        "PathPrefix" => PathPattern::Prefix(value.into()),
        "RegularExpression" => PathPattern::Regex(regex(value)?),
        _ => return Err("unable to translate rateLimit: invalid path type.".to_owned()),
    };
    Ok(InvertibleMatch {
        value,
        invert: invert.unwrap_or(false),
    })
}

/// The expression, where it is one.
fn regex(pattern: &str) -> Result<Arc<str>, String> {
    match expression::groups(pattern) {
        Ok(_) => Ok(pattern.into()),
        Err(error) => Err(format!(
            "regex {pattern:?} is invalid: error parsing regexp: {error}"
        )),
    }
}
