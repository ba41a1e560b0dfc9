//! Tests of what is done to headers.

use http::Request;

use super::*;

type Headers<'a> = &'a [(&'a str, &'a str)];

fn parts(uri: &str, headers: Headers<'_>) -> Parts {
    let mut request = Request::get(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

const RULES: HeadRules = HeadRules {
    underscores: WithUnderscores::RejectRequest,
    max_bytes: None,
};

/// As a request of 10.0.0.1 that nobody vouches for.
const DIRECT: Asking = Asking {
    peer: PEER,
    detected: Detected {
        client: PEER,
        trusted_peer: false,
        append: true,
    },
    scheme: "http",
    request_id: RequestIdAction::Generate,
};
const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

fn prepare(head: &mut Parts, request_id: RequestIdAction) -> &'static str {
    let asking = Asking {
        request_id,
        ..DIRECT
    };
    prepare_request(&mut head.headers, &asking, &mut fastrand::Rng::with_seed(1))
}

#[test]
fn a_request_names_one_proper_host() {
    let cases: [(&str, Headers<'_>, Result<&str, &str>); 18] = [
        ("/", &[("host", "a.com:80")], Ok("a.com:80")),
        ("/", &[("host", "[::1]:80")], Ok("[::1]:80")),
        ("/", &[("host", "")], Ok("")),
        ("http://b.com/", &[("host", "a.com")], Ok("b.com")),
        ("/", &[], Err("missing_host_header")),
        ("a", &[("host", "a")], Err("http1.invalid_url")),
        ("a:80", &[("host", "a")], Err("http1.invalid_url")),
        ("*", &[("host", "a")], Err("http1.invalid_url")),
        ("http://b.com/", &[], Err("missing_host_header")),
        (
            "/",
            &[("host", "a"), ("host", "a")],
            Err("http1.multiple_hosts"),
        ),
        ("/", &[("host", "a b")], Err("http1.invalid_host")),
        ("/", &[("host", "a/b")], Err("http1.invalid_host")),
        ("/", &[("host", "a:b")], Err("http1.invalid_host")),
        ("/", &[("host", "u@a")], Err("http1.invalid_host")),
        ("/", &[("host", "[::1")], Err("http1.invalid_host")),
        ("/", &[("host", "[a]")], Err("http1.invalid_host")),
        (
            "http://u@b.com/",
            &[("host", "b.com")],
            Err("http1.invalid_host"),
        ),
        (
            "/",
            &[("host", "a"), ("x_y", "1")],
            Err("http1.unexpected_underscore"),
        ),
    ];
    for (uri, headers, expected) in cases {
        let head = parts(uri, headers);
        let found =
            authority(&head, &Limits::default(), RULES).map_err(|it| it.details.into_owned());
        assert_eq!(found, expected.map_err(str::to_owned), "{uri} {headers:?}");
    }
    let mut second = parts("http://b.com/", &[]);
    second.version = Version::HTTP_2;
    assert_eq!(authority(&second, &Limits::default(), RULES), Ok("b.com"));
    let mut nameless = parts("/", &[]);
    nameless.version = Version::HTTP_2;
    assert!(authority(&nameless, &Limits::default(), RULES).is_err());
    let mut old = parts("/", &[]);
    old.version = Version::HTTP_10;
    assert_eq!(authority(&old, &Limits::default(), RULES), Ok(""));
}

#[test]
fn heads_are_bounded() {
    let limits = Limits {
        max_uri_bytes: 10,
        max_headers: 3,
        max_head_bytes: 100,
        ..Limits::default()
    };
    let long = "v".repeat(70);
    let cases: [(&str, Headers<'_>, u16); 4] = [
        ("/123456789", &[], 200),
        ("/1234567890", &[], 414),
        ("/", &[("a", "1"), ("b", "1"), ("c", "1")], 431),
        ("/", &[("a", &long)], 431),
    ];
    for (uri, headers, status) in cases {
        let headers = [&[("host", "h")], headers].concat();
        let head = parts(uri, &headers);
        let found = authority(&head, &limits, RULES).map_or_else(|it| it.status.as_u16(), |_| 200);
        assert_eq!(found, status, "{uri} {headers:?}");
    }
}

#[test]
fn a_request_is_made_ready_for_backends() {
    let mut head = parts(
        "/",
        &[
            ("host", "a"),
            ("connection", "close, X-Secret, te, host"),
            ("x-secret", "1"),
            ("keep-alive", "timeout=1"),
            ("te", "gzip"),
            ("expect", "100-Continue"),
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "2.2.2.2"),
            ("x-forwarded-proto", "https"),
            ("x-envoy-retry-on", "5xx"),
            ("x-envoy-max-retries", "9"),
            ("x-envoy-foo", "kept"),
            ("x-request-id", "mine"),
            ("trailer", "x"),
        ],
    );
    let scheme = prepare(&mut head, RequestIdAction::Generate);
    assert_eq!(scheme, "http");
    let id = head.headers.remove(X_REQUEST_ID).expect("an id is made");
    assert_ne!(id, "mine");
    let mut headers: Vec<_> = head
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    headers.sort_unstable();
    assert_eq!(
        headers,
        [
            "host: a",
            "trailer: x",
            "x-envoy-external-address: 10.0.0.1",
            "x-envoy-foo: kept",
            "x-forwarded-for: 1.1.1.1,2.2.2.2,10.0.0.1",
            "x-forwarded-proto: http",
        ]
    );
    let mut trailers = parts("/", &[("te", "trailers"), ("connection", "te")]);
    prepare(&mut trailers, RequestIdAction::Generate);
    assert_eq!(trailers.headers[TE], "trailers");
}

#[test]
fn steering_headers_are_sorted_for_their_search() {
    assert!(STEERING.is_sorted());
}

#[test]
fn request_ids_are_random_uuids() {
    let mut rng = fastrand::Rng::with_seed(7);
    let ids = [0; 50].map(|_| request_id(&mut rng));
    for id in &ids {
        let text = id.to_str().unwrap();
        let groups: Vec<_> = text.split('-').map(str::len).collect();
        assert_eq!(groups, [8, 4, 4, 4, 12], "{text}");
        assert!(
            text[14..].starts_with('4') && "89ab".contains(&text[19..20]),
            "{text}"
        );
    }
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn grpc_is_told_by_its_content_type() {
    let cases = [
        ("application/grpc", true),
        ("application/grpc+proto", true),
        ("application/grpc-web", false),
        ("application/json", false),
    ];
    for (value, grpc) in cases {
        assert_eq!(
            is_grpc(&parts("/", &[("content-type", value)]).headers),
            grpc,
            "{value}"
        );
    }
}

#[test]
fn a_trusted_proxy_says_who_asks_and_how() {
    let client = IpAddr::from([7, 7, 7, 7]);
    // (x-forwarded-proto, trusted, appended; x-forwarded-for, x-forwarded-proto and scheme then)
    let cases = [
        (
            Some("https"),
            true,
            true,
            "1.1.1.1,10.0.0.1",
            "https",
            "https",
        ),
        (Some("https"), true, false, "1.1.1.1", "https", "https"),
        (
            Some("https"),
            false,
            true,
            "1.1.1.1,10.0.0.1",
            "http",
            "http",
        ),
        (Some("wss"), true, true, "1.1.1.1,10.0.0.1", "wss", "http"),
        (None, true, true, "1.1.1.1,10.0.0.1", "http", "http"),
    ];
    for (said, trusted_peer, append, forwarded, proto, scheme) in cases {
        let mut head = parts("/", &[("host", "a"), ("x-forwarded-for", "1.1.1.1")]);
        if let Some(said) = said {
            let said = HeaderValue::from_static(said);
            head.headers.insert(X_FORWARDED_PROTO, said);
        }
        let asking = Asking {
            detected: Detected {
                client,
                trusted_peer,
                append,
            },
            ..DIRECT
        };
        let mut rng = fastrand::Rng::with_seed(1);
        let found = prepare_request(&mut head.headers, &asking, &mut rng);
        assert_eq!(found, scheme, "{said:?} {trusted_peer}");
        assert_eq!(head.headers[X_FORWARDED_FOR], forwarded);
        assert_eq!(head.headers[X_FORWARDED_PROTO], proto);
        assert_eq!(head.headers[X_ENVOY_EXTERNAL_ADDRESS], "7.7.7.7");
    }
}

#[test]
fn ids_of_requests_are_kept_made_or_removed() {
    let made = |id: Option<&HeaderValue>| id.is_some_and(|id| id.len() == 36);
    let mine = |id: Option<&HeaderValue>| id.is_some_and(|id| id == "mine");
    let none = |id: Option<&HeaderValue>| id.is_none();
    type Is = fn(Option<&HeaderValue>) -> bool;
    let cases: [(_, Is, Is); 4] = [
        (RequestIdAction::Generate, made, made),
        (RequestIdAction::PreserveOrGenerate, mine, made),
        (RequestIdAction::Preserve, mine, none),
        (RequestIdAction::Disable, none, none),
    ];
    for (action, with, without) in cases {
        let mut head = parts("/", &[("x-request-id", "mine")]);
        prepare(&mut head, action);
        assert!(with(head.headers.get(X_REQUEST_ID)), "{action:?}");
        let mut head = parts("/", &[]);
        prepare(&mut head, action);
        assert!(without(head.headers.get(X_REQUEST_ID)), "{action:?}");
    }
}

#[test]
fn a_dot_behind_the_host_can_be_removed() {
    let cases = [
        ("a.b.", "a.b"),
        ("a.b.:80", "a.b:80"),
        ("a.b..", "a.b."),
        ("a.b", "a.b"),
        ("[::1]:80", "[::1]:80"),
        (".", ""),
        ("", ""),
    ];
    for (host, expected) in cases {
        let mut head = parts("/", &[("host", host)]);
        remove_host_dot(&mut head.headers);
        assert_eq!(head.headers[HOST], expected, "{host}");
    }
}

#[test]
fn underscores_are_refused_removed_or_let_through() {
    let mut head = parts("/", &[("host", "a"), ("x_y", "1"), ("x-y", "2")]);
    let rules = |underscores| HeadRules {
        underscores,
        max_bytes: None,
    };
    let limits = Limits::default();
    for (action, passes) in [
        (WithUnderscores::Allow, true),
        (WithUnderscores::DropHeader, true),
        (WithUnderscores::RejectRequest, false),
    ] {
        let found = authority(&head, &limits, rules(action));
        assert_eq!(found.is_ok(), passes, "{action:?}");
    }
    remove_underscores(&mut head.headers);
    let left: Vec<_> = head.headers.keys().map(HeaderName::as_str).collect();
    assert_eq!(left, ["host", "x-y"]);
}

#[test]
fn a_listener_has_its_own_bound_of_heads() {
    let long = "v".repeat(200);
    let head = parts("/", &[("host", "h"), ("a", &long)]);
    for (max_bytes, status) in [(None, 200), (Some(230), 431), (Some(300), 200)] {
        let rules = HeadRules { max_bytes, ..RULES };
        let found = authority(&head, &Limits::default(), rules);
        let found = found.map_or_else(|it| it.status.as_u16(), |_| 200);
        assert_eq!(found, status, "{max_bytes:?}");
    }
}
