//! A request that somebody asks about in words, such as `GET http://shop.example.com/cart`, and the rule it reaches.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use weir_plan::{Listener, Plan};
use weir_proxy::{Found, Router};

/// The port of a URL that names none.
const fn default_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

/// Where a request ends up.
#[derive(Debug)]
pub(crate) enum Reach {
    /// At a rule.
    Rule {
        /// The listener and the route.
        found: Found,
        /// What had to be assumed about the request, in a sentence.
        note: Option<String>,
    },
    /// At a listener that has no route for it, as this says.
    NoRoute(String),
    /// It is not clear at which listener, for this reason.
    NoListener(String),
}

/// A request, and the port that its URL names.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) head: Parts,
    url_port: Option<u16>,
    /// Whether it is asked for within TLS.
    secure: bool,
}

/// Finds the rule that a request reaches under a plan. `addresses` are the local ones of the plan's ports, where it is
/// served; a URL may name either port.
///
/// # Errors
/// When the request cannot be understood.
pub(crate) fn reach(
    request: &str,
    headers: &[String],
    plan: &Plan,
    router: &Router,
    addresses: &BTreeMap<u16, SocketAddr>,
) -> Result<Reach> {
    let asked = parse(request, headers)?;
    Ok(reach_of(&asked, plan, router, addresses))
}

/// Finds the rule that a request reaches that was read before.
pub(crate) fn reach_of(
    Asked {
        head,
        url_port,
        secure,
    }: &Asked,
    plan: &Plan,
    router: &Router,
    addresses: &BTreeMap<u16, SocketAddr>,
) -> Reach {
    let ports: Vec<u16> = plan.listeners.iter().map(|it| it.port).collect();
    let (port, note) = match choose_port(*url_port, *secure, &ports, addresses) {
        Ok(chosen) => chosen,
        Err(message) => return Reach::NoListener(message),
    };
    let speaks_tls = |it: &Arc<Listener>| it.port == port && it.tls.is_some();
    if plan.listeners.iter().any(speaks_tls) != *secure {
        let (spoken, scheme) = if *secure {
            ("clear text", "http")
        } else {
            ("TLS", "https")
        };
        return Reach::NoListener(format!(
            "port {port} speaks {spoken}: ask with {scheme}:// in the URL"
        ));
    }
    match router.find(port, head) {
        Some(found) => Reach::Rule { found, note },
        None => {
            let host = head
                .headers
                .get(header::HOST)
                .and_then(|it| it.to_str().ok())
                .unwrap_or_default();
            let (method, target) = (&head.method, &head.uri);
            Reach::NoRoute(format!(
                "{method} {target} to the host {host} on port {port} reaches no route and is answered 404"
            ))
        }
    }
}

/// Reads a request: a method and URL, and headers as `name: value`.
///
/// # Errors
/// When it cannot be understood.
pub(crate) fn parse(request: &str, headers: &[String]) -> Result<Asked> {
    let expected = "expected a method and a URL, such as 'GET http://shop.example.com/cart'";
    let (method, url) = request
        .trim()
        .split_once(char::is_whitespace)
        .unwrap_or(("GET", request.trim()));
    let method: Method = method
        .parse()
        .with_context(|| format!("{method:?} is no method: {expected}"))?;
    let url: Uri = url
        .trim()
        .parse()
        .with_context(|| format!("{:?} is no URL: {expected}", url.trim()))?;
    let (secure, authority) = match (url.scheme_str(), url.authority()) {
        (Some("http"), Some(authority)) => (false, authority),
        (Some("https"), Some(authority)) => (true, authority),
        (_, _) => bail!("{url} is no URL that is served: {expected}"),
    };
    let mut map = HeaderMap::new();
    let host = match authority.port_u16() {
        Some(port) if port != default_port(secure) => format!("{}:{port}", authority.host()),
        Some(_) | None => authority.host().to_owned(),
    };
    map.insert(
        header::HOST,
        host.parse()
            .with_context(|| format!("{host:?} is no host name"))?,
    );
    for text in headers {
        let (name, value) = header_of(text)?;
        if name == header::HOST {
            map.insert(name, value);
        } else {
            map.append(name, value);
        }
    }
    let target = url.path_and_query().map_or("/", |it| it.as_str());
    let mut request = Request::builder()
        .method(method)
        .uri(target)
        .body(())
        .context("cannot make the request")?;
    *request.headers_mut() = map;
    Ok(Asked {
        head: request.into_parts().0,
        url_port: authority.port_u16(),
        secure,
    })
}

fn header_of(text: &str) -> Result<(HeaderName, HeaderValue)> {
    let parse = || {
        let (name, value) = text.split_once(':')?;
        Some((name.trim().parse().ok()?, value.trim().parse().ok()?))
    };
    parse().ok_or_else(|| {
        anyhow!("{text:?} is no header: expected a name and a value, such as 'x-user: 7'")
    })
}

/// The Gateway's port that a URL means: that of the URL, or the one it is mapped to, or the only one there is.
fn choose_port(
    url_port: Option<u16>,
    secure: bool,
    ports: &[u16],
    addresses: &BTreeMap<u16, SocketAddr>,
) -> Result<(u16, Option<String>), String> {
    let wanted = url_port.unwrap_or(default_port(secure));
    let mapped = addresses
        .iter()
        .find(|(_, address)| Some(address.port()) == url_port)
        .map(|(port, _)| *port);
    if let Some(port) = mapped {
        return Ok((port, None));
    }
    if ports.contains(&wanted) {
        return Ok((wanted, None));
    }
    match ports {
        [] => Err("there is no listener".to_owned()),
        [only, rest @ ..] if rest.iter().all(|it| it == only) => Ok((
            *only,
            Some(format!(
                "port {wanted} has no listener; taken is {only}, the only port that has one"
            )),
        )),
        _ => {
            let mut ports = ports.to_vec();
            ports.dedup();
            let ports = ports
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", ");
            Err(format!(
                "port {wanted} has no listener; ports with listeners are {ports}: name one in the URL"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read() {
        let cases = [
            (
                "GET http://shop.example.com/cart?x=1",
                "GET",
                "/cart?x=1",
                "shop.example.com",
                None,
            ),
            (
                "POST http://shop.example.com:8080",
                "POST",
                "/",
                "shop.example.com:8080",
                Some(8080),
            ),
            (
                "http://shop.example.com/",
                "GET",
                "/",
                "shop.example.com",
                None,
            ),
            ("GET http://[::1]:80/", "GET", "/", "[::1]", Some(80)),
            ("GET https://a.b:443/", "GET", "/", "a.b", Some(443)),
            ("GET https://a.b:80/", "GET", "/", "a.b:80", Some(80)),
        ];
        for (text, method, target, host, port) in cases {
            let Asked {
                head,
                url_port,
                secure,
            } = parse(text, &[]).unwrap();
            assert_eq!(secure, text.contains("https"), "{text}");
            assert_eq!(head.method, method, "{text}");
            assert_eq!(head.uri.to_string(), target, "{text}");
            assert_eq!(head.headers[header::HOST], host, "{text}");
            assert_eq!(url_port, port, "{text}");
        }
    }

    #[test]
    fn headers_are_read() {
        let headers = [
            "Host: other.example.com".to_owned(),
            "x-user: 7".to_owned(),
            "x-user:8".to_owned(),
        ];
        let head = parse("GET http://shop.example.com/", &headers)
            .unwrap()
            .head;
        assert_eq!(head.headers[header::HOST], "other.example.com");
        assert_eq!(
            head.headers.get_all("x-user").iter().collect::<Vec<_>>(),
            ["7", "8"]
        );
        assert!(parse("GET http://shop.example.com/", &["nonsense".to_owned()]).is_err());
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for text in [
            "",
            "GET",
            "shop.example.com",
            "GET /cart",
            "G T http://a/ b",
        ] {
            assert!(parse(text, &[]).is_err(), "{text}");
        }
    }

    #[test]
    fn which_port_is_meant() {
        let mapped = BTreeMap::from([(80, "127.0.0.1:9080".parse().unwrap())]);
        let none = BTreeMap::new();
        let port = |url, ports: &[u16], addresses| {
            choose_port(url, false, ports, addresses)
                .map(|(port, note)| (port, note.is_some()))
                .ok()
        };
        let cases = [
            (port(None, &[80, 81], &none), Some((80, false))),
            (port(Some(81), &[80, 81], &none), Some((81, false))),
            (port(None, &[8080, 8080], &none), Some((8080, true))),
            (port(None, &[8080, 8081], &none), None),
            (port(Some(9080), &[80, 81], &mapped), Some((80, false))),
            (port(None, &[], &none), None),
        ];
        assert_eq!(choose_port(None, true, &[80, 443], &none), Ok((443, None)));
        for (index, (found, expected)) in cases.into_iter().enumerate() {
            assert_eq!(found, expected, "case {index}");
        }
    }
}
