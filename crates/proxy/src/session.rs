//! Session persistence: the requests of a client go to the endpoint that answered its first.
//!
//! As with Envoy, nothing is kept here: the client brings the endpoint's address (and until when the session lasts) in a
//! cookie or header, in base64. It is a wish among the endpoints of the rule; one that is not there is not followed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue};
use weir_limiter::Now;
use weir_plan::features::rate_limit::HeaderNameText;
use weir_plan::{EndpointAddress, PathMatch, SessionCarrier, SessionPersistence};

use crate::cookie::cookie;

/// The most bytes of a session that are looked at: more than any address has.
const LONGEST: usize = 1_024;

/// The address of the endpoint whose session a request belongs to. None: it belongs to none, or its time is up.
pub(crate) fn asked(session: &SessionPersistence, headers: &HeaderMap, now: Now) -> Option<String> {
    let SessionPersistence {
        carrier,
        absolute_timeout,
    } = session;
    let value = match carrier {
        SessionCarrier::Cookie { name, permanent: _ } => cookie(headers, name)?,
        SessionCarrier::Header(HeaderNameText(name)) => headers.get(name)?.as_bytes(),
    };
    let value = URL_SAFE_NO_PAD
        .decode(value.get(..value.len().min(LONGEST))?)
        .ok()?;
    let text = String::from_utf8(value).ok()?;
    if absolute_timeout.is_none() {
        return Some(text);
    }
    let (address, end) = text.rsplit_once(' ')?;
    (now.unix_nanos / 1_000_000_000 < end.parse().ok()?).then(|| address.to_owned())
}

/// Tells a client the endpoint that answered, where it has asked for none or another. `matched` is the route's own path
/// match.
pub(crate) fn tell(
    session: &SessionPersistence,
    matched: &PathMatch,
    asked: Option<&str>,
    endpoint: &EndpointAddress,
    now: Now,
    headers: &mut HeaderMap,
) {
    let SessionPersistence {
        carrier,
        absolute_timeout,
    } = session;
    let address = endpoint.to_string();
    if asked == Some(address.as_str()) {
        return;
    }
    let text = match absolute_timeout {
        Some(most) => format!(
            "{address} {}",
            now.unix_nanos / 1_000_000_000 + most.as_secs()
        ),
        None => address,
    };
    let value = URL_SAFE_NO_PAD.encode(text);
    match carrier {
        SessionCarrier::Cookie { name, permanent } => {
            let age = absolute_timeout
                .filter(|_| *permanent)
                .map_or_else(String::new, |most| format!(" Max-Age={};", most.as_secs()));
            let path = path(matched);
            let cookie = format!("{name}=\"{value}\";{age} Path={path}; HttpOnly");
            if let Ok(cookie) = HeaderValue::try_from(cookie) {
                headers.append(SET_COOKIE, cookie);
            }
        }
        SessionCarrier::Header(HeaderNameText(name)) => {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
    }
}

/// The paths on which a client is to send a cookie: those of the route, as far as a cookie can say it.
fn path(matched: &PathMatch) -> &str {
    match matched {
        PathMatch::Exact(path) => path,
        PathMatch::Prefix(prefix) if !prefix.is_empty() => prefix,
        PathMatch::Prefix(_) | PathMatch::Regex(_) => "/",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Now {
        Now {
            steady_nanos: 0,
            unix_nanos: seconds * 1_000_000_000,
        }
    }

    fn by_cookie(permanent: bool, absolute_timeout: Option<u64>) -> SessionPersistence {
        let name = "s".into();
        SessionPersistence {
            carrier: SessionCarrier::Cookie { name, permanent },
            absolute_timeout: absolute_timeout.map(Duration::from_secs),
        }
    }

    #[test]
    fn a_client_brings_back_what_it_was_told_until_its_time_is_up() {
        let endpoint = EndpointAddress::Ip("10.0.0.1:80".parse().unwrap());
        let matched = PathMatch::Prefix("/a".into());
        let told = |session: &SessionPersistence, asked: Option<&str>| {
            let mut headers = HeaderMap::new();
            tell(session, &matched, asked, &endpoint, at(1_000), &mut headers);
            headers
                .get(SET_COOKIE)
                .map(|it| it.to_str().unwrap().to_owned())
        };
        for (permanent, timeout, attributes, last) in [
            (false, None, "; Path=/a; HttpOnly", None),
            (false, Some(60), "; Path=/a; HttpOnly", Some(1_059)),
            (
                true,
                Some(60),
                "; Max-Age=60; Path=/a; HttpOnly",
                Some(1_059),
            ),
        ] {
            let session = by_cookie(permanent, timeout);
            let cookie = told(&session, Some("10.0.0.2:80")).unwrap();
            let (pair, rest) = cookie.split_at(cookie.find(';').unwrap());
            assert_eq!(rest, attributes);
            let mut back = HeaderMap::new();
            back.insert(http::header::COOKIE, HeaderValue::from_str(pair).unwrap());
            let asked = |now| asked(&session, &back, at(now));
            let last = last.unwrap_or(u64::MAX / 2_000_000_000);
            assert_eq!(asked(last).as_deref(), Some("10.0.0.1:80"));
            if timeout.is_some() {
                assert_eq!(asked(last + 1), None);
            }
            assert_eq!(told(&session, asked(1_000).as_deref()), None);
        }
    }

    #[test]
    fn what_is_no_session_is_none() {
        for value in ["", "s=", "s=!", "s=\"AA\"", "t=MTAuMC4wLjE6ODA"] {
            let mut headers = HeaderMap::new();
            headers.insert(http::header::COOKIE, HeaderValue::from_str(value).unwrap());
            let found = asked(&by_cookie(false, Some(60)), &headers, at(0));
            assert_eq!(found, None, "{value}");
        }
    }
}
