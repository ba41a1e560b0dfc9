//! Enforces `httpUpgrade`: which protocols a request may switch its connection to, and what is said about it on both
//! sides. What is sent afterwards is the business of [`crate::tunnel`].
//!
//! Upgrades are a matter of HTTP/1.1, and of the extended CONNECT of HTTP/2, which becomes one. An offer of `h2c` is
//! never taken up nor passed on: who makes it goes on in HTTP/1.1.

use std::borrow::Cow;

use http::header::{CONNECTION, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use weir_plan::features::http_upgrade::{HttpUpgrade, HttpUpgrades};

use crate::client::header_rules::Texts;
use crate::rejection::Rejection;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// To be answered on the connection as it is.
    Nothing,
    /// To go on in this protocol.
    Protocol(HeaderValue),
    /// To go on in one of several.
    Choice,
    /// To be connected through.
    Connect,
}

/// What a connection goes on as, if the endpoint agrees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Switch {
    /// In another protocol.
    Protocol(HeaderValue),
    /// As bytes for the endpoint, which is asked by the CONNECT itself, or not at all.
    Connect {
        /// Whether the endpoint knows nothing of the CONNECT.
        terminate: bool,
    },
}

impl Switch {
    /// Whether an answer of this status begins it.
    pub(crate) fn begins(&self, status: StatusCode) -> bool {
        match self {
            Self::Protocol(_) => status == StatusCode::SWITCHING_PROTOCOLS,
            Self::Connect { terminate: _ } => status.is_success(),
        }
    }

    /// The protocol's name, for the log.
    pub(crate) fn name(&self) -> Cow<'_, str> {
        match self {
            Self::Protocol(name) => String::from_utf8_lossy(name.as_bytes()),
            Self::Connect { terminate: _ } => Cow::Borrowed("CONNECT"),
        }
    }
}

/// What a request asks for, before the headers that say so are removed. `ignored`: protocols that are overlooked.
pub(crate) fn wanted(head: &Parts, ignored: &Texts) -> Wanted {
    if head.method == Method::CONNECT {
        return Wanted::Connect;
    }
    // In HTTP/2 there is no such header but the one that an extended CONNECT becomes.
    if head.version < Version::HTTP_11 || !head.headers.contains_key(UPGRADE) {
        return Wanted::Nothing;
    }
    if !tokens(&head.headers, &CONNECTION).any(|it| it.eq_ignore_ascii_case(b"upgrade")) {
        return Wanted::Nothing;
    }
    let mut protocols = tokens(&head.headers, &UPGRADE)
        .filter(|it| !it.eq_ignore_ascii_case(b"h2c"))
        .filter(|it| !is_ignored(it, ignored));
    match (protocols.next(), protocols.next()) {
        (None, _) => Wanted::Nothing,
        (Some(protocol), None) => match HeaderValue::from_bytes(protocol) {
            Ok(protocol) => Wanted::Protocol(protocol),
            Err(_) => Wanted::Choice,
        },
        (Some(_), Some(_)) => Wanted::Choice,
    }
}

fn is_ignored(protocol: &[u8], ignored: &Texts) -> bool {
    !ignored.is_empty()
        && std::str::from_utf8(protocol).is_ok_and(|it| ignored.any(&it.to_ascii_lowercase()))
}

/// What a request may switch to, if it asks for something. `bodiless`: nothing follows its head, so that there
/// is no doubt where the other protocol begins.
///
/// # Errors
/// The answer where it asks for what the route does not allow.
pub(crate) fn admit(
    allowed: &HttpUpgrades,
    wanted: Wanted,
    bodiless: bool,
) -> Result<Option<Switch>, Rejection> {
    let switch = match wanted {
        Wanted::Nothing => return Ok(None),
        Wanted::Protocol(protocol) if is_allowed(allowed, protocol.as_bytes()) => {
            Switch::Protocol(protocol)
        }
        Wanted::Connect => connect(allowed).ok_or_else(failed)?,
        Wanted::Protocol(_) | Wanted::Choice => return Err(failed()),
    };
    match bodiless {
        true => Ok(Some(switch)),
        false => Err(Rejection::malformed("http1.upgrade_with_body")),
    }
}

/// What becomes of a CONNECT; none: it is not allowed. Of several entries the first counts.
fn connect(allowed: &HttpUpgrades) -> Option<Switch> {
    let HttpUpgrades::Only(list) = allowed else {
        return None;
    };
    list.iter().find_map(|it| match it {
        HttpUpgrade::Connect { terminate } => Some(Switch::Connect {
            terminate: *terminate,
        }),
        HttpUpgrade::Protocol(_) => None,
    })
}

/// The answer where there can be no other protocol.
pub(crate) fn failed() -> Rejection {
    let mut rejection = Rejection::new(StatusCode::FORBIDDEN, "upgrade_failed");
    rejection.close = true;
    rejection
}

/// Asks an endpoint, or tells a client, that the connection goes on in a protocol.
pub(crate) fn announce(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, protocol);
}

/// Whether an answer switches to the protocol that was asked for, and to no other.
pub(crate) fn is_as_asked(answer: &HeaderMap, asked: Option<&HeaderValue>) -> bool {
    let mut protocols = tokens(answer, &UPGRADE);
    match (asked, protocols.next(), protocols.next()) {
        (Some(asked), Some(protocol), None) => protocol.eq_ignore_ascii_case(asked.as_bytes()),
        (_, _, _) => false,
    }
}

fn is_allowed(allowed: &HttpUpgrades, protocol: &[u8]) -> bool {
    match allowed {
        HttpUpgrades::WebSocket => protocol.eq_ignore_ascii_case(b"websocket"),
        HttpUpgrades::Only(list) => list.iter().any(|it| match it {
            HttpUpgrade::Protocol(name) => protocol.eq_ignore_ascii_case(name.as_bytes()),
            // Of requests with that method.
            HttpUpgrade::Connect { terminate: _ } => false,
        }),
    }
}

/// The elements of a header that is a list.
fn tokens<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let values = headers.get_all(name).into_iter();
    values
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|it| !it.is_empty())
}

#[cfg(test)]
mod tests {
    use http::Request;
    use weir_plan::StringMatch;

    use super::*;
    use crate::pattern::Patterns;

    fn none() -> Texts {
        Texts::new(&[], &mut Patterns::default())
    }

    fn parts(version: Version, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::get("/").version(version);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn an_upgrade_is_named_by_the_connection() {
        let one = |name: &'static str| Wanted::Protocol(HeaderValue::from_static(name));
        // (connection, upgrade, what is wanted)
        let cases = [
            ("keep-alive, Upgrade", "websocket", one("websocket")),
            ("upgrade", "WebSocket", one("WebSocket")),
            ("upgrade", "h2c", Wanted::Nothing),
            ("upgrade", "H2C, websocket", one("websocket")),
            ("upgrade", "spdy/3.1, websocket", Wanted::Choice),
            ("upgrade", "", Wanted::Nothing),
            ("close", "websocket", Wanted::Nothing),
        ];
        for (connection, upgrade, expected) in cases {
            let headers = [("connection", connection), ("upgrade", upgrade)];
            let found = wanted(&parts(Version::HTTP_11, &headers), &none());
            assert_eq!(found, expected, "{connection} | {upgrade}");
            assert_eq!(
                wanted(&parts(Version::HTTP_10, &headers), &none()),
                Wanted::Nothing,
                "an old version has no upgrades"
            );
        }
        let two = [
            ("connection", "upgrade"),
            ("upgrade", "a"),
            ("upgrade", "b"),
        ];
        assert_eq!(
            wanted(&parts(Version::HTTP_11, &two), &none()),
            Wanted::Choice
        );
        let bare = [("upgrade", "websocket")];
        assert_eq!(
            wanted(&parts(Version::HTTP_11, &bare), &none()),
            Wanted::Nothing
        );
    }

    #[test]
    fn some_are_overlooked() {
        let ignored = [
            StringMatch::Exact("Foo".into()),
            StringMatch::Prefix("tls/".into()),
        ];
        let ignored = Texts::new(&ignored, &mut Patterns::default());
        // (upgrade, what is wanted)
        let one = |name: &'static str| Wanted::Protocol(HeaderValue::from_static(name));
        let cases = [
            ("foo", Wanted::Nothing),
            ("TLS/1.2, FOO", Wanted::Nothing),
            ("foo, websocket", one("websocket")),
            ("food", one("food")),
        ];
        for (upgrade, expected) in cases {
            let headers = [("connection", "upgrade"), ("upgrade", upgrade)];
            let found = wanted(&parts(Version::HTTP_11, &headers), &ignored);
            assert_eq!(found, expected, "{upgrade}");
        }
    }

    #[test]
    fn the_list_says_what_is_allowed() {
        let only = |names: &[&str]| {
            let protocol = |name: &&str| HttpUpgrade::Protocol((*name).into());
            HttpUpgrades::Only(names.iter().map(protocol).collect())
        };
        let connect = HttpUpgrades::Only(vec![HttpUpgrade::Connect { terminate: false }]);
        let cases = [
            (HttpUpgrades::WebSocket, "WebSocket", true),
            (HttpUpgrades::WebSocket, "spdy/3.1", false),
            (only(&["spdy/3.1"]), "SPDY/3.1", true),
            (only(&["spdy/3.1"]), "websocket", false),
            (only(&["spdy/3.1", "websocket"]), "websocket", true),
            (only(&[]), "websocket", false),
            (connect, "CONNECT", false),
        ];
        for (allowed, protocol, expected) in cases {
            let wanted = || Wanted::Protocol(HeaderValue::from_static(protocol));
            let admitted = admit(&allowed, wanted(), true);
            match expected {
                true => {
                    let switch = Switch::Protocol(HeaderValue::from_static(protocol));
                    assert_eq!(admitted, Ok(Some(switch)));
                }
                false => assert_eq!(admitted, Err(failed()), "{allowed:?} {protocol}"),
            }
            let with_body = admit(&allowed, wanted(), false).expect_err("it has a body");
            let status = if expected { 400 } else { 403 };
            assert_eq!(with_body.status.as_u16(), status);
            assert_eq!(admit(&allowed, Wanted::Choice, true), Err(failed()));
            assert_eq!(admit(&allowed, Wanted::Nothing, true), Ok(None));
        }
    }

    #[test]
    fn an_answer_switches_to_what_was_asked_for() {
        let websocket = HeaderValue::from_static("websocket");
        let cases = [
            (Some(&websocket), "WebSocket", true),
            (Some(&websocket), "other", false),
            (Some(&websocket), "websocket, other", false),
            (Some(&websocket), "", false),
            (None, "websocket", false),
        ];
        for (asked, upgrade, expected) in cases {
            let headers = parts(Version::HTTP_11, &[("upgrade", upgrade)]).headers;
            assert_eq!(is_as_asked(&headers, asked), expected, "{upgrade}");
        }
    }
}
