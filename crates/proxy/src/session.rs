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

/// A session as a client brings it: `ADDRESS`, or `ADDRESS END IDLE_END` where one of its ends is limited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    /// The endpoint's address.
    pub(crate) address: String,
    /// When it ends whatever happens, and if there is no further request; in seconds since 1970.
    end: Option<u64>,
    idle_end: Option<u64>,
}

/// The session that a request belongs to. None: it belongs to none, or its time is up.
pub(crate) fn asked(
    session: &SessionPersistence,
    headers: &HeaderMap,
    now: Now,
) -> Option<Session> {
    let SessionPersistence {
        carrier,
        absolute_timeout,
        idle_timeout,
    } = session;
    let value = match carrier {
        SessionCarrier::Cookie { name, permanent: _ } => cookie(headers, name)?,
        SessionCarrier::Header(HeaderNameText(name)) => headers.get(name)?.as_bytes(),
    };
    let value = URL_SAFE_NO_PAD
        .decode(value.get(..value.len().min(LONGEST))?)
        .ok()?;
    let text = String::from_utf8(value).ok()?;
    if absolute_timeout.is_none() && idle_timeout.is_none() {
        return Some(Session {
            address: text,
            end: None,
            idle_end: None,
        });
    }
    let mut parts = text.splitn(3, ' ');
    let address = parts.next()?.to_owned();
    // A session from before its rule had a limit has no end that could be believed.
    let mut end = |limited: bool| match (parts.next()?, limited) {
        (_, false) => Some(None),
        (text, true) => text
            .parse()
            .ok()
            .filter(|end| seconds(now) < *end)
            .map(Some),
    };
    Some(Session {
        address,
        end: end(absolute_timeout.is_some())?,
        idle_end: end(idle_timeout.is_some())?,
    })
}

/// Tells a client the endpoint that answered, where it has asked for none or another, or where its session lasts longer
/// now. `matched` is the route's own path match.
pub(crate) fn tell(
    session: &SessionPersistence,
    matched: &PathMatch,
    asked: Option<&Session>,
    endpoint: &EndpointAddress,
    now: Now,
    headers: &mut HeaderMap,
) {
    let SessionPersistence {
        carrier,
        absolute_timeout,
        idle_timeout,
    } = session;
    let now = seconds(now);
    let address = endpoint.to_string();
    let same = asked.filter(|it| it.address == address);
    let told = Session {
        address,
        end: match same {
            Some(it) => it.end,
            None => absolute_timeout.map(|most| now.saturating_add(most.as_secs())),
        },
        idle_end: idle_timeout.map(|most| now.saturating_add(most.as_secs())),
    };
    if same == Some(&told) {
        return;
    }
    let Session {
        address,
        end,
        idle_end,
    } = told;
    let text = match (end, idle_end) {
        (None, None) => address,
        (_, _) => {
            let time = |it: Option<u64>| it.map_or("-".to_owned(), |it| it.to_string());
            format!("{address} {} {}", time(end), time(idle_end))
        }
    };
    let value = URL_SAFE_NO_PAD.encode(text);
    match carrier {
        SessionCarrier::Cookie { name, permanent } => {
            let age = end.filter(|_| *permanent).map_or_else(String::new, |end| {
                format!(" Max-Age={};", end.saturating_sub(now))
            });
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

const fn seconds(now: Now) -> u64 {
    now.unix_nanos / 1_000_000_000
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

    fn by_cookie(permanent: bool, absolute: Option<u64>, idle: Option<u64>) -> SessionPersistence {
        let name = "s".into();
        SessionPersistence {
            carrier: SessionCarrier::Cookie { name, permanent },
            absolute_timeout: absolute.map(Duration::from_secs),
            idle_timeout: idle.map(Duration::from_secs),
        }
    }

    #[test]
    fn a_client_brings_back_what_it_was_told_until_its_time_is_up() {
        let endpoint = EndpointAddress::Ip("10.0.0.1:80".parse().unwrap());
        let matched = PathMatch::Prefix("/a".into());
        let told = |session: &SessionPersistence, asked: Option<&Session>| {
            let mut headers = HeaderMap::new();
            tell(session, &matched, asked, &endpoint, at(1_000), &mut headers);
            headers
                .get(SET_COOKIE)
                .map(|it| it.to_str().unwrap().to_owned())
        };
        let other = Session {
            address: "10.0.0.2:80".to_owned(),
            end: Some(1_001),
            idle_end: None,
        };
        for (permanent, absolute, idle, attributes, last) in [
            (false, None, None, "; Path=/a; HttpOnly", None),
            (false, Some(60), None, "; Path=/a; HttpOnly", Some(1_059)),
            (
                true,
                Some(60),
                None,
                "; Max-Age=60; Path=/a; HttpOnly",
                Some(1_059),
            ),
            (false, None, Some(5), "; Path=/a; HttpOnly", Some(1_004)),
            (false, Some(3), Some(5), "; Path=/a; HttpOnly", Some(1_002)),
        ] {
            let session = by_cookie(permanent, absolute, idle);
            let cookie = told(&session, Some(&other)).unwrap();
            let (pair, rest) = cookie.split_at(cookie.find(';').unwrap());
            assert_eq!(rest, attributes);
            let mut back = HeaderMap::new();
            back.insert(http::header::COOKIE, HeaderValue::from_str(pair).unwrap());
            let asked = |now| asked(&session, &back, at(now));
            let until = last.unwrap_or(u64::MAX / 2_000_000_000);
            assert_eq!(asked(until).unwrap().address, "10.0.0.1:80");
            if last.is_some() {
                assert_eq!(asked(until + 1), None);
            }
            assert_eq!(told(&session, asked(1_000).as_ref()), None);
        }
    }

    #[test]
    fn what_is_no_session_is_none() {
        for value in ["", "s=", "s=!", "s=\"AA\"", "t=MTAuMC4wLjE6ODA"] {
            let mut headers = HeaderMap::new();
            headers.insert(http::header::COOKIE, HeaderValue::from_str(value).unwrap());
            let found = asked(&by_cookie(false, Some(60), None), &headers, at(0));
            assert_eq!(found, None, "{value}");
        }
    }
}
