//! The CORS filter of a rule, read into the plan's form.

use http::{HeaderName, HeaderValue, Method};
use weir_plan::{Cors, CorsList, OriginMatch};

use super::rules::Invalid;
use gateway_api::experimental::httproutes as api;

/// For how long the answer to a preflight request holds unless the filter says, in seconds.
const MAX_AGE: i32 = 5;

/// Reads a filter.
pub(crate) fn read(filter: &api::HttpRouteRulesFiltersCors) -> Result<Cors, Invalid> {
    let api::HttpRouteRulesFiltersCors {
        allow_credentials,
        allow_headers,
        allow_methods,
        allow_origins,
        expose_headers,
        max_age,
    } = filter;
    let is_header = |text: &str| HeaderName::from_bytes(text.as_bytes()).is_ok();
    let is_method = |text: &str| Method::from_bytes(text.as_bytes()).is_ok();
    let max_age = max_age.unwrap_or(MAX_AGE);
    Ok(Cors {
        allow_origins: allow_origins
            .iter()
            .flatten()
            .map(|it| origin(it))
            .collect::<Result<_, _>>()?,
        allow_credentials: *allow_credentials == Some(true),
        allow_methods: list("allowMethods", allow_methods, is_method)?,
        allow_headers: list("allowHeaders", allow_headers, is_header)?,
        expose_headers: list("exposeHeaders", expose_headers, is_header)?,
        max_age: u32::try_from(max_age)
            .ok()
            .filter(|it| *it > 0)
            .ok_or_else(|| Invalid::value(format!("CORS: maxAge {max_age} is not over 0")))?,
    })
}

/// `*`, or `SCHEME://HOST` with or without a port.
fn origin(text: &str) -> Result<OriginMatch, Invalid> {
    if text == "*" {
        return Ok(OriginMatch::Any);
    }
    let bad = || {
        Invalid::value(format!(
            "CORS: origin {text:?} is neither * nor http or https with a host, such as https://*.example.com"
        ))
    };
    let (scheme, authority) = text.split_once("://").ok_or_else(bad)?;
    let scheme = scheme.to_ascii_lowercase();
    let own_port = match scheme.as_str() {
        "http" => 80,
        "https" => 443,
        _ => return Err(bad()),
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok().filter(|it| *it > 0)),
        None => (authority, Some(own_port)),
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._*".contains(&byte);
    match port {
        Some(port) if !host.is_empty() && host.bytes().all(allowed) => Ok(OriginMatch::Of {
            scheme: scheme.into(),
            host: host.to_ascii_lowercase().into(),
            port,
        }),
        Some(_) | None => Err(bad()),
    }
}

/// A list as a header says it. `*` among others takes them in.
fn list(
    field: &str,
    written: &Option<Vec<String>>,
    is_one: impl Fn(&str) -> bool,
) -> Result<CorsList, Invalid> {
    let written = written.as_deref().unwrap_or_default();
    if written.iter().any(|it| it == "*") {
        return Ok(CorsList::Any);
    }
    if let Some(bad) = written.iter().find(|it| !is_one(it)) {
        return Err(Invalid::value(format!(
            "CORS: {bad:?} cannot be in {field}"
        )));
    }
    let joined = HeaderValue::try_from(written.join(", "));
    Ok(CorsList::These(joined.expect(
        "names of methods and headers are fit for a header's value",
    )))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    fn read(filter: Value) -> Result<Value, String> {
        let filter = serde_json::from_value(filter).unwrap();
        match super::read(&filter) {
            Ok(cors) => Ok(serde_json::to_value(cors).unwrap()),
            Err(invalid) => Err(invalid.message),
        }
    }

    #[test]
    fn a_filter_is_read_with_its_defaults() {
        assert_eq!(
            read(json!({})),
            Ok(json!({
                "allow_origins": [], "allow_credentials": false, "allow_methods": "", "allow_headers": "",
                "expose_headers": "", "max_age": 5,
            }))
        );
        let full = json!({
            "allowOrigins": ["*", "HTTPS://*.Example.com", "http://a.example:8080"],
            "allowCredentials": true,
            "allowMethods": ["GET", "*"],
            "allowHeaders": ["X-One", "x-two"],
            "exposeHeaders": ["x-three"],
            "maxAge": 3600,
        });
        assert_eq!(
            read(full),
            Ok(json!({
                "allow_origins": [
                    "Any",
                    {"Of": {"scheme": "https", "host": "*.example.com", "port": 443}},
                    {"Of": {"scheme": "http", "host": "a.example", "port": 8080}},
                ],
                "allow_credentials": true,
                "allow_methods": "Any",
                "allow_headers": "X-One, x-two",
                "expose_headers": "x-three",
                "max_age": 3600,
            }))
        );
    }

    #[test]
    fn what_is_no_origin_method_or_header_is_refused() {
        for filter in [
            json!({"allowOrigins": ["example.com"]}),
            json!({"allowOrigins": ["ftp://example.com"]}),
            json!({"allowOrigins": ["https://"]}),
            json!({"allowOrigins": ["https://a:0"]}),
            json!({"allowOrigins": ["https://a:port"]}),
            json!({"allowOrigins": ["https://a/path"]}),
            json!({"allowMethods": ["GET POST"]}),
            json!({"allowHeaders": ["a b"]}),
            json!({"exposeHeaders": ["a\nb"]}),
            json!({"maxAge": 0}),
        ] {
            assert!(read(filter.clone()).is_err(), "{filter}");
        }
    }
}
