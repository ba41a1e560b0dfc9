//! Session persistence on the wire: a client stays on the endpoint that answered its first request.

use std::time::Duration;

use weir_limiter::Clock;

use crate::backend::{Backend, backend_yaml};
use crate::client::{Response, call, request};
use crate::gateway::{EDGE, Gateway, route, to};

fn three() -> [Backend; 3] {
    [
        Backend::named("a"),
        Backend::named("b"),
        Backend::named("c"),
    ]
}

fn ask(gateway: &Gateway, path: &str, headers: &[(&str, &str)]) -> Response {
    call(
        gateway.address(),
        &request("GET", "any.example", path, headers, b""),
    )
}

/// The cookie of an answer as a client sends it, and its attributes.
fn cookie(response: &Response) -> Option<(String, String)> {
    let (pair, attributes) = response.header("set-cookie")?.split_once("; ")?;
    Some((pair.to_owned(), attributes.to_owned()))
}

#[test]
fn a_cookie_keeps_a_client_on_its_endpoint_as_long_as_that_is_there() {
    let [a, b, c] = three();
    let rules = format!(
        "[{{matches: [{{path: {{value: /shop}}}}], sessionPersistence: {{sessionName: here}}, backendRefs: [{}]}}]",
        to("all")
    );
    let rules = route("sticky", &rules);
    let mut gateway = Gateway::start(&[EDGE, &backend_yaml("all", &[&a, &b, &c]), &rules]);
    let first = ask(&gateway, "/shop", &[]);
    let (pair, attributes) = cookie(&first).unwrap();
    assert!(pair.starts_with("here="), "{pair}");
    assert_eq!(attributes, "Path=/shop; HttpOnly");
    for _ in 0..20 {
        let response = ask(
            &gateway,
            "/shop/cart",
            &[("cookie", &format!("x=y; {pair}"))],
        );
        assert_eq!(response.text(), first.text());
        assert_eq!(response.header("set-cookie"), None);
    }
    // Clients without one are spread as ever.
    let mut seen: Vec<_> = (0..40)
        .map(|_| ask(&gateway, "/shop", &[]).text())
        .collect();
    seen.sort();
    seen.dedup();
    assert_eq!(seen, ["a", "b", "c"]);
    // What was never told by us leads nowhere else than to an endpoint of the rule.
    for forged in ["here=nonsense", "here=MTI3LjAuMC4xOjE"] {
        let response = ask(&gateway, "/shop", &[("cookie", forged)]);
        assert!(
            response.status == 200 && cookie(&response).is_some(),
            "{forged}"
        );
    }
    let others: Vec<_> = [(&a, "a"), (&b, "b"), (&c, "c")]
        .into_iter()
        .filter(|(_, name)| *name != first.text())
        .map(|(backend, _)| backend)
        .collect();
    gateway.apply(&[EDGE, &backend_yaml("all", &others), &rules]);
    let moved = ask(&gateway, "/shop", &[("cookie", &pair)]);
    assert_eq!(moved.status, 200);
    assert_ne!(moved.text(), first.text());
    let (pair, _) = cookie(&moved).unwrap();
    let again = ask(&gateway, "/shop", &[("cookie", &pair)]);
    assert_eq!(again.text(), moved.text());
}

#[test]
fn a_header_keeps_a_client_on_its_share_of_a_split() {
    let [a, b, c] = three();
    let rules = format!(
        "[{{sessionPersistence: {{sessionName: X-Session, type: Header}}, backendRefs: [{}, {{group: gateway.envoyproxy.io, \
         kind: Backend, name: c, filters: [{{type: ResponseHeaderModifier, responseHeaderModifier: {{set: [{{name: share, value: c}}]}}}}]}}]}}]",
        to("ab")
    );
    let gateway = Gateway::start(&[
        EDGE,
        &backend_yaml("ab", &[&a, &b]),
        &c.yaml("c"),
        &route("sticky", &rules),
    ]);
    let mut of_c = 0;
    for _ in 0..10 {
        let first = ask(&gateway, "/", &[]);
        let session = first.header("x-session").unwrap().to_owned();
        of_c += usize::from(first.text() == "c");
        for _ in 0..5 {
            let response = ask(&gateway, "/", &[("x-session", &session)]);
            assert_eq!(response.text(), first.text());
            assert_eq!(response.header("share"), first.header("share"));
            assert_eq!(response.header("x-session"), None);
        }
    }
    assert!((1..10).contains(&of_c), "{of_c}");
}

#[test]
fn a_session_ends_with_its_absolute_timeout() {
    let [a, b, c] = three();
    let rules = format!(
        "[{{sessionPersistence: {{sessionName: s, absoluteTimeout: 60s, cookieConfig: {{lifetimeType: Permanent}}}}, backendRefs: [{}]}}]",
        to("all")
    );
    let gateway = Gateway::start(&[
        EDGE,
        &backend_yaml("all", &[&a, &b, &c]),
        &route("sticky", &rules),
    ]);
    let clock: &Clock = &gateway.clock;
    let first = ask(&gateway, "/", &[]);
    let (pair, attributes) = cookie(&first).unwrap();
    assert_eq!(attributes, "Max-Age=60; Path=/; HttpOnly");
    clock.advance(Duration::from_secs(59));
    let last = ask(&gateway, "/", &[("cookie", &pair)]);
    assert_eq!((last.text(), cookie(&last)), (first.text(), None));
    clock.advance(Duration::from_secs(1));
    let after = ask(&gateway, "/", &[("cookie", &pair)]);
    assert!(cookie(&after).is_some());
}

#[test]
fn a_session_ends_when_it_has_been_idle_for_too_long() {
    let [a, b, c] = three();
    let all = backend_yaml("all", &[&a, &b, &c]);
    // (settings, how a client gets its session and brings it back, Max-Age at first and after 50 seconds)
    let permanent = "absoluteTimeout: 100s, cookieConfig: {lifetimeType: Permanent}, ";
    for (more, by_header, ages) in [
        ("", false, None),
        ("type: Header, ", true, None),
        (permanent, false, Some(["Max-Age=100; ", "Max-Age=50; "])),
    ] {
        let rules = format!(
            "[{{sessionPersistence: {{sessionName: s, {more}idleTimeout: 60s}}, backendRefs: [{}]}}]",
            to("all")
        );
        let gateway = Gateway::start(&[EDGE, &all, &route("sticky", &rules)]);
        let told = |response: &Response| match by_header {
            true => response.header("s").map(str::to_owned),
            false => cookie(response).map(|(pair, _)| pair),
        };
        let ask = |session: &str| {
            let name = if by_header { "s" } else { "cookie" };
            ask(&gateway, "/", &[(name, session)])
        };
        let first = ask("none");
        let session = told(&first).expect("a session begins");
        let at_once = ask(&session);
        assert_eq!(told(&at_once), None, "nothing has changed");
        gateway.clock.advance(Duration::from_secs(50));
        let later = ask(&session);
        assert_eq!(later.text(), first.text());
        let renewed = told(&later).expect("it lasts longer now");
        if let Some(ages) = ages {
            for (response, age) in [(&first, ages[0]), (&later, ages[1])] {
                let (_, attributes) = cookie(response).expect("a cookie");
                assert!(attributes.starts_with(age), "{attributes}");
            }
        }
        gateway.clock.advance(Duration::from_secs(10));
        let begun = |response: &Response| {
            // A new session is told even if it leads to the same endpoint.
            told(response).expect("a session begins") != renewed
        };
        assert!(
            begun(&ask(&session)),
            "the first has been idle for 60 seconds"
        );
        gateway.clock.advance(Duration::from_secs(35));
        let last = ask(&renewed);
        assert_eq!(last.text(), first.text(), "the second for 45 only");
        gateway.clock.advance(Duration::from_secs(5));
        let over = ask(&told(&last).expect("it lasts longer still"));
        let length = match ages {
            Some(_) => "Max-Age=100; ",
            None => "Path=/; ",
        };
        if !by_header {
            // With an absolute end the session is over; without one it goes on.
            let (_, attributes) = cookie(&over).expect("a cookie");
            assert!(attributes.starts_with(length), "{attributes}");
        }
    }
}
