//! Whose address counts as the client's: the peer's, or one that a trusted proxy in front of this one has noted.
//!
//! As Envoy reads `x-forwarded-for`: plain addresses without ports, over all lines of the header as if they were one.
//! Whatever is no address ends the trust: the peer's counts.

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue, StatusCode};
use ipnet::IpNet;
use weir_plan::ClientIpDetection;

use crate::headers::X_FORWARDED_FOR;
use crate::rejection::Rejection;

/// Who a client is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Detected {
    /// The client's address.
    pub(crate) client: IpAddr,
    /// Whether the peer is a proxy that is trusted in what it says of the client, such as `x-forwarded-proto`.
    pub(crate) trusted_peer: bool,
    /// Whether the peer's address is appended to `x-forwarded-for`.
    pub(crate) append: bool,
}

/// Finds out who a client is.
///
/// # Errors
/// The answer (403) where the address has to be in a header and is not.
pub(crate) fn detect(
    how: &ClientIpDetection,
    peer: IpAddr,
    headers: &HeaderMap,
) -> Result<Detected, Rejection> {
    let detected = |client: Option<IpAddr>, trusted_peer, append| Detected {
        client: client.unwrap_or(peer),
        trusted_peer,
        append,
    };
    Ok(match how {
        ClientIpDetection::Direct { append } => detected(None, false, *append),
        ClientIpDetection::TrustedHops { hops, append } => {
            detected(from_the_right(headers, *hops), true, *append)
        }
        ClientIpDetection::TrustedNetworks { networks, append } => {
            let trusted = is_in(networks, peer);
            let client = trusted.then(|| first_outside(headers, networks)).flatten();
            detected(client, trusted, *append)
        }
        ClientIpDetection::Header { name, fail_closed } => {
            match headers.get(&name.0).and_then(address) {
                Some(client) => detected(Some(client), true, false),
                None if *fail_closed => {
                    let details = "rejecting_because_detection_failed";
                    return Err(Rejection::new(StatusCode::FORBIDDEN, details));
                }
                None => detected(None, false, false),
            }
        }
    })
}

/// The address at this place from the right, counted from 1. Places that are empty count.
fn from_the_right(headers: &HeaderMap, hops: u32) -> Option<IpAddr> {
    let place = usize::try_from(hops.saturating_sub(1)).ok()?;
    parse(entries(headers).nth(place)?)
}

/// The first address from the right that is in none of the networks, or the leftmost. None: there is none, or something
/// that is no address stands before it.
fn first_outside(headers: &HeaderMap, networks: &[IpNet]) -> Option<IpAddr> {
    let mut last = None;
    for entry in entries(headers).filter(|it| !it.is_empty()) {
        let address = parse(entry)?;
        last = Some(address);
        if !is_in(networks, address) {
            break;
        }
    }
    last
}

/// The elements of `x-forwarded-for` from right to left.
fn entries(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
    lines
        .flat_map(|line| line.as_bytes().rsplit(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
}

fn is_in(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

fn address(value: &HeaderValue) -> Option<IpAddr> {
    parse(value.as_bytes().trim_ascii())
}

/// A plain address. An IPv4 address in the form of IPv6 is the IPv4 address that it is.
fn parse(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    text.parse::<IpAddr>().ok().map(|it| it.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use weir_plan::features::rate_limit::HeaderNameText;

    use super::*;

    fn headers(name: &'static str, lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, HeaderValue::from_str(line).expect("a value"));
        }
        headers
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    const PEER: &str = "10.0.0.9";

    #[test]
    fn trusted_hops_count_from_the_right() {
        // (header lines, one hop, two hops); none: the peer. As Envoy 1.40 has it.
        let cases: [(&[&str], Option<&str>, Option<&str>); 13] = [
            (&[], None, None),
            (&["1.1.1.1"], Some("1.1.1.1"), None),
            (&["1.1.1.1, 2.2.2.2"], Some("2.2.2.2"), Some("1.1.1.1")),
            (&["1.1.1.1 ,2.2.2.2 "], Some("2.2.2.2"), Some("1.1.1.1")),
            (&["1.1.1.1", "3.3.3.3"], Some("3.3.3.3"), Some("1.1.1.1")),
            (&["1.1.1.1,,2.2.2.2"], Some("2.2.2.2"), None),
            (&["1.1.1.1, "], None, Some("1.1.1.1")),
            (&["1.1.1.1:80"], None, None),
            (&["bad"], None, None),
            (&["bad,2.2.2.2"], Some("2.2.2.2"), None),
            (&["2001:db8::1"], Some("2001:db8::1"), None),
            (&["[2001:db8::1]"], None, None),
            (&["::ffff:9.9.9.9"], Some("9.9.9.9"), None),
        ];
        for (lines, one, two) in cases {
            let headers = headers("x-forwarded-for", lines);
            for (hops, expected) in [(1, one), (2, two)] {
                let how = ClientIpDetection::TrustedHops { hops, append: true };
                let detected = detect(&how, ip(PEER), &headers).expect("somebody");
                assert_eq!(
                    detected.client,
                    ip(expected.unwrap_or(PEER)),
                    "{lines:?} {hops}"
                );
                assert!(detected.trusted_peer && detected.append);
            }
        }
    }

    #[test]
    fn trusted_networks_are_passed_over_from_the_right() {
        let networks = |list: &[&str]| ClientIpDetection::TrustedNetworks {
            networks: list.iter().map(|it| it.parse().expect("one")).collect(),
            append: false,
        };
        let trusted = networks(&["10.0.0.0/8", "2001:db8::/32"]);
        // (header lines, whose address)
        let cases: [(&[&str], &str); 11] = [
            (&[], PEER),
            (&["7.7.7.7"], "7.7.7.7"),
            (&["7.7.7.7,10.1.1.1"], "7.7.7.7"),
            (&["8.8.8.8,7.7.7.7,10.1.1.1"], "7.7.7.7"),
            (&["8.8.8.8", "10.1.1.1, 2001:db8::5"], "8.8.8.8"),
            (&["10.1.1.1,10.2.2.2"], "10.1.1.1"),
            (&["::ffff:10.1.1.1"], "10.1.1.1"),
            (&["7.7.7.7,,10.1.1.1,"], "7.7.7.7"),
            (&["7.7.7.7,bad,10.1.1.1"], PEER),
            (&["bad,7.7.7.7"], "7.7.7.7"),
            (&["7.7.7.7:80"], PEER),
        ];
        for (lines, expected) in cases {
            let headers = headers("x-forwarded-for", lines);
            let detected = detect(&trusted, ip(PEER), &headers).expect("somebody");
            assert_eq!(detected.client, ip(expected), "{lines:?}");
            assert!(detected.trusted_peer && !detected.append);
        }
        // Nobody else is believed.
        let headers = headers("x-forwarded-for", &["7.7.7.7"]);
        let detected = detect(&trusted, ip("11.0.0.1"), &headers).expect("somebody");
        assert_eq!(detected.client, ip("11.0.0.1"));
        assert!(!detected.trusted_peer);
    }

    #[test]
    fn a_header_names_the_client_or_the_request_is_refused() {
        let how = |fail_closed| ClientIpDetection::Header {
            name: HeaderNameText(HeaderName::from_static("x-t")),
            fail_closed,
        };
        let cases: [(&[&str], Option<&str>); 7] = [
            (&[], None),
            (&["6.6.6.6"], Some("6.6.6.6")),
            (&[" 6.6.6.6 "], Some("6.6.6.6")),
            (&["6.6.6.6", "7.7.7.7"], Some("6.6.6.6")),
            (&["6.6.6.6,7.7.7.7"], None),
            (&["6.6.6.6:80"], None),
            (&["2001:db8::5"], Some("2001:db8::5")),
        ];
        for (lines, expected) in cases {
            let headers = headers("x-t", lines);
            let open = detect(&how(false), ip(PEER), &headers).expect("somebody");
            assert_eq!(open.client, ip(expected.unwrap_or(PEER)), "{lines:?}");
            assert_eq!(open.trusted_peer, expected.is_some());
            let closed = detect(&how(true), ip(PEER), &headers);
            match expected {
                Some(client) => assert_eq!(closed.expect("somebody").client, ip(client)),
                None => assert_eq!(closed.expect_err("refused").status.as_u16(), 403),
            }
        }
    }

    #[test]
    fn by_default_nobody_is_trusted() {
        let headers = headers("x-forwarded-for", &["1.1.1.1"]);
        let detected = detect(&ClientIpDetection::DEFAULT, ip(PEER), &headers);
        let expected = Detected {
            client: ip(PEER),
            trusted_peer: false,
            append: true,
        };
        assert_eq!(detected, Ok(expected));
    }
}
