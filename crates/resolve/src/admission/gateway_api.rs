//! The rules of the Gateway API that the engine relies on: ports, host names, weights, paths, counts, unique names.
//!
//! The types are checked by reading them; these are the limits that types do not have, in the words of the CRDs.

use std::collections::BTreeSet;

use serde_json::Value;

use super::pattern::duration_millis;
use super::schema::Schema::{Integer, List, Text};
use super::schema::{DURATION, Schema, list, up_to};
use super::values::At;
use super::{Violation, pattern};
use crate::diagnostics::FieldPath;

type Found = Vec<Violation>;

/// What the API server would refuse in the spec of an object of the Gateway API.
pub(crate) fn check(kind: &str, spec: &Value) -> Vec<Violation> {
    let spec = &At::new(spec, FieldPath::new("spec"));
    let found = &mut Vec::new();
    match kind {
        "Gateway" | "ListenerSet" => listeners(spec, found),
        "HTTPRoute" => route(spec, http_rule, found),
        "GRPCRoute" => route(spec, grpc_rule, found),
        "BackendTLSPolicy" => backend_tls(spec, found),
        "TCPRoute" | "TLSRoute" | "UDPRoute" => route(spec, backends, found),
        _ => {}
    }
    std::mem::take(found)
}

const PORT: Schema = Integer(1, 65535);
const HOST: Schema = Text(1, 253, Some(pattern::WILDCARD_HOSTNAME));
const HOSTS: Schema = List(&up_to(16, HOST));
const RETRY_CODES: Schema = List(&list(Integer(400, 599)));
const SECTION_NAME: Schema = Text(1, 253, Some(pattern::HOSTNAME));
const HEADER_NAME: Schema = Text(1, 256, Some(pattern::TOKEN));

fn listeners(spec: &At<'_>, found: &mut Found) {
    let (mut names, mut places) = (BTreeSet::new(), BTreeSet::new());
    for listener in spec.items_within("listeners", 1, 64, found) {
        listener.hold("name", &SECTION_NAME, found);
        listener.hold("port", &PORT, found);
        listener.hold("hostname", &HOST, found);
        let name = listener.text("name");
        listener.require(
            names.insert(name),
            "Listener name must be unique within the Gateway",
            found,
        );
        listener_tls(&listener, found);
        let place = (
            listener.number("port"),
            listener.text("protocol"),
            listener.text("hostname"),
        );
        let message = "Combination of port, protocol and hostname must be unique for each listener";
        listener.require(places.insert(place), message, found);
    }
}

fn listener_tls(listener: &At<'_>, found: &mut Found) {
    let Some(tls) = listener.get("tls") else {
        return;
    };
    let protocol = listener.text("protocol").unwrap_or_default();
    listener.require(
        !matches!(protocol, "HTTP" | "TCP" | "UDP"),
        "tls must not be specified for protocols ['HTTP', 'TCP', 'UDP']",
        found,
    );
    let terminates = matches!(tls.text("mode"), None | Some("Terminate"));
    listener.require(
        protocol != "HTTPS" || terminates,
        "tls mode must be Terminate for protocol HTTPS",
        found,
    );
    let references = tls.items_within("certificateRefs", 0, 64, found);
    tls.require(
        !terminates || !references.is_empty() || tls.has("options"),
        "certificateRefs or options must be specified when mode is Terminate",
        found,
    );
    for reference in references {
        reference.hold("name", &SECTION_NAME, found);
    }
}

fn backend_tls(spec: &At<'_>, found: &mut Found) {
    let targets = spec.items_within("targetRefs", 1, 16, found);
    for target in targets {
        target.hold("sectionName", &SECTION_NAME, found);
    }
    let Some(validation) = spec.get("validation") else {
        return;
    };
    validation.hold("hostname", &Text(1, 253, Some(pattern::HOSTNAME)), found);
    let authorities = validation.items_within("caCertificateRefs", 0, 8, found);
    let well_known = validation
        .text("wellKnownCACertificates")
        .unwrap_or_default();
    validation.require(
        authorities.is_empty() || well_known.is_empty(),
        "must not contain both CACertificateRefs and WellKnownCACertificates",
        found,
    );
    validation.require(
        !authorities.is_empty() || !well_known.is_empty(),
        "must specify either CACertificateRefs or WellKnownCACertificates",
        found,
    );
    for name in validation.items_within("subjectAltNames", 0, 5, found) {
        let (hostname, uri) = (name.has("hostname"), name.has("uri"));
        let is_hostname = name.text("type") == Some("Hostname");
        name.require(
            is_hostname == hostname,
            "SubjectAltName element must contain Hostname, if and only if Type is set to Hostname",
            found,
        );
        name.require(
            is_hostname != uri,
            "SubjectAltName element must contain URI, if and only if Type is set to URI",
            found,
        );
    }
}

fn route(spec: &At<'_>, rule: fn(&At<'_>, &mut Found), found: &mut Found) {
    spec.hold("hostnames", &HOSTS, found);
    for parent in spec.items_within("parentRefs", 0, 32, found) {
        parent.hold("port", &PORT, found);
        parent.hold("sectionName", &SECTION_NAME, found);
    }
    let mut names = BTreeSet::new();
    for item in spec.items_within("rules", 1, 16, found) {
        item.hold("name", &SECTION_NAME, found);
        let unique = item.text("name").is_none_or(|name| names.insert(name));
        item.require(unique, "Rule name must be unique within the route", found);
        rule(&item, found);
    }
}

fn backends(rule: &At<'_>, found: &mut Found) {
    for backend in rule.items_within("backendRefs", 0, 16, found) {
        backend_ref(&backend, found);
        backend.hold("weight", &Integer(0, 1_000_000), found);
        filters(&backend, found);
    }
}

fn backend_ref(at: &At<'_>, found: &mut Found) {
    at.hold("port", &PORT, found);
    let service = at.text("group").unwrap_or_default().is_empty()
        && at.text("kind").unwrap_or("Service") == "Service";
    at.require(
        !service || at.has("port"),
        "Must have port for Service reference",
        found,
    );
}

fn grpc_rule(rule: &At<'_>, found: &mut Found) {
    for matching in rule.items_within("matches", 0, 64, found) {
        names(&matching, "headers", found);
    }
    filters(rule, found);
    backends(rule, found);
}

fn http_rule(rule: &At<'_>, found: &mut Found) {
    for matching in rule.items_within("matches", 0, 64, found) {
        names(&matching, "headers", found);
        matching.items_within("queryParams", 0, 16, found);
        if let Some(path) = matching.get("path") {
            path_match(&path, found);
        }
    }
    filters(rule, found);
    backends(rule, found);
    let redirects = rule
        .items_of("filters")
        .iter()
        .any(|it| it.has("requestRedirect"));
    rule.require(
        !(redirects && rule.has_items("backendRefs")),
        "RequestRedirect filter must not be used together with backendRefs",
        found,
    );
    if let Some(timeouts) = rule.get("timeouts") {
        timeouts.hold("request", &DURATION, found);
        timeouts.hold("backendRequest", &DURATION, found);
        let millis = |name| timeouts.text(name).and_then(duration_millis);
        if let (Some(request @ 1..), Some(backend)) = (millis("request"), millis("backendRequest"))
        {
            timeouts.require(
                backend <= request,
                "backendRequest timeout cannot be longer than request timeout",
                found,
            );
        }
    }
    if let Some(retry) = rule.get("retry") {
        retry.hold("codes", &RETRY_CODES, found);
        retry.hold("attempts", &Integer(0, i64::from(i32::MAX)), found);
        retry.hold("backoff", &DURATION, found);
    }
}

/// A path of the Gateway API: absolute, normal, and of characters that stand in paths.
fn path_match(path: &At<'_>, found: &mut Found) {
    path.hold("value", &Text(0, 1024, None), found);
    let kind = path.text("type").unwrap_or("PathPrefix");
    let value = path.text("value").unwrap_or("/");
    if kind == "RegularExpression" {
        return;
    }
    let absolute = "value must be an absolute path and start with '/' when type one of ['Exact', 'PathPrefix']";
    path.require(value.starts_with('/'), absolute, found);
    for part in ["//", "/./", "/../", "%2f", "%2F", "#"] {
        let message = format!("must not contain '{part}' when type one of ['Exact', 'PathPrefix']");
        path.require(!value.contains(part), &message, found);
    }
    for end in ["/..", "/."] {
        let message = format!("must not end with '{end}' when type one of ['Exact', 'PathPrefix']");
        path.require(!value.ends_with(end), &message, found);
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@%/#".contains(c);
    let message = "must only contain valid characters (matching ^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})+$) \
                   for types ['Exact', 'PathPrefix']";
    path.require(
        value.chars().all(fits) && escapes_are_whole(value),
        message,
        found,
    );
}

fn escapes_are_whole(path: &str) -> bool {
    let hex = |c: Option<&u8>| c.is_some_and(u8::is_ascii_hexdigit);
    let bytes = path.as_bytes();
    let mut escapes = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%');
    escapes.all(|(at, _)| hex(bytes.get(at + 1)) && hex(bytes.get(at + 2)))
}

/// The filters of a rule or of one of its backends.
fn filters(at: &At<'_>, found: &mut Found) {
    const FIELDS: [(&str, &str); 8] = [
        ("RequestHeaderModifier", "requestHeaderModifier"),
        ("ResponseHeaderModifier", "responseHeaderModifier"),
        ("RequestMirror", "requestMirror"),
        ("RequestRedirect", "requestRedirect"),
        ("URLRewrite", "urlRewrite"),
        ("ExtensionRef", "extensionRef"),
        ("CORS", "cors"),
        ("ExternalAuth", "externalAuth"),
    ];
    for filter in at.items_within("filters", 0, 16, found) {
        let kind = filter.text("type");
        for (name, field) in FIELDS {
            let (meant, set) = (kind == Some(name), filter.has(field));
            let message = format!("filter.{field} must be nil if the filter.type is not {name}");
            filter.require(!set || meant, &message, found);
            let message = format!("filter.{field} must be specified for {name} filter.type");
            filter.require(!meant || set, &message, found);
        }
        for field in ["requestHeaderModifier", "responseHeaderModifier"] {
            if let Some(modifier) = filter.get(field) {
                names(&modifier, "set", found);
                names(&modifier, "add", found);
                modifier.items_within("remove", 0, 16, found);
            }
        }
        if let Some(redirect) = filter.get("requestRedirect") {
            redirect.hold("port", &PORT, found);
            redirect.hold("hostname", &Text(1, 253, Some(pattern::HOSTNAME)), found);
        }
        if let Some(rewrite) = filter.get("urlRewrite") {
            rewrite.hold("hostname", &Text(1, 253, Some(pattern::HOSTNAME)), found);
        }
        if let Some(mirror) = filter.get("requestMirror") {
            self::mirror(&mirror, found);
        }
        if let Some(cors) = filter.get("cors") {
            cors.items_within("allowOrigins", 0, 64, found);
            cors.items_within("allowHeaders", 0, 64, found);
            cors.items_within("exposeHeaders", 0, 64, found);
            cors.hold("maxAge", &Integer(1, i64::from(i32::MAX)), found);
        }
    }
}

fn mirror(mirror: &At<'_>, found: &mut Found) {
    if let Some(backend) = mirror.get("backendRef") {
        backend_ref(&backend, found);
    }
    mirror.hold("percent", &Integer(0, 100), found);
    mirror.require(
        !(mirror.has("percent") && mirror.has("fraction")),
        "Only one of percent or fraction may be specified in HTTPRequestMirrorFilter",
        found,
    );
    if let Some(fraction) = mirror.get("fraction") {
        fraction.hold("numerator", &Integer(0, i64::from(i32::MAX)), found);
        fraction.hold("denominator", &Integer(1, i64::from(i32::MAX)), found);
        let denominator = fraction.number("denominator").unwrap_or(100);
        fraction.require(
            fraction
                .number("numerator")
                .is_none_or(|it| it <= denominator),
            "numerator must be less than or equal to denominator",
            found,
        );
    }
}

/// A list of headers, each with a name of its own.
fn names(at: &At<'_>, list: &str, found: &mut Found) {
    let mut names = BTreeSet::new();
    for header in at.items_within(list, 0, 16, found) {
        header.hold("name", &HEADER_NAME, found);
        header.hold("value", &Text(0, 4096, None), found);
        let message = format!(
            "Duplicate value: {:?}",
            header.text("name").unwrap_or_default()
        );
        header.require(names.insert(header.text("name")), &message, found);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn refused(filter: &Value) -> Vec<String> {
        let spec = json!({"rules": [{"filters": [filter]}]});
        let found = check("HTTPRoute", &spec);
        found.into_iter().map(|it| it.message).collect()
    }

    #[test]
    fn shares_of_mirrors_and_lists_of_cors_are_within_bounds() {
        let mirror = |share: Value| {
            let mut filter = json!({"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "s", "port": 80}}});
            for (name, value) in share.as_object().unwrap() {
                filter["requestMirror"][name] = value.clone();
            }
            filter
        };
        let cors = |cors: Value| json!({"type": "CORS", "cors": cors});
        for (filter, faults) in [
            (mirror(json!({})), 0),
            (mirror(json!({"percent": 100})), 0),
            (mirror(json!({"percent": 101})), 1),
            (mirror(json!({"percent": -1})), 1),
            (mirror(json!({"fraction": {"numerator": 100}})), 0),
            (mirror(json!({"fraction": {"numerator": 101}})), 1),
            (
                mirror(json!({"fraction": {"numerator": 3, "denominator": 3}})),
                0,
            ),
            (
                mirror(json!({"fraction": {"numerator": 0, "denominator": 0}})),
                1,
            ),
            (
                mirror(json!({"percent": 1, "fraction": {"numerator": 1}})),
                1,
            ),
            (cors(json!({"maxAge": 1, "allowOrigins": vec!["*"; 64]})), 0),
            (cors(json!({"maxAge": 0})), 1),
            (cors(json!({"allowOrigins": vec!["*"; 65]})), 1),
        ] {
            assert_eq!(
                refused(&filter).len(),
                faults,
                "{filter}: {:?}",
                refused(&filter)
            );
        }
    }
}
