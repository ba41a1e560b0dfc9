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
        let found = authority(&head, &Limits::default()).map_err(|it| it.details.into_owned());
        assert_eq!(found, expected.map_err(str::to_owned), "{uri} {headers:?}");
    }
    let mut second = parts("http://b.com/", &[]);
    second.version = Version::HTTP_2;
    assert_eq!(authority(&second, &Limits::default()), Ok("b.com"));
    let mut nameless = parts("/", &[]);
    nameless.version = Version::HTTP_2;
    assert!(authority(&nameless, &Limits::default()).is_err());
    let mut old = parts("/", &[]);
    old.version = Version::HTTP_10;
    assert_eq!(authority(&old, &Limits::default()), Ok(""));
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
        let found = authority(&head, &limits).map_or_else(|it| it.status.as_u16(), |_| 200);
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
            ("x-forwarded-client-cert", "Hash=0"),
            ("x-envoy-retry-on", "5xx"),
            ("x-envoy-max-retries", "9"),
            ("x-envoy-foo", "kept"),
            ("x-request-id", "mine"),
            ("trailer", "x"),
        ],
    );
    let id = HeaderValue::from_static("id");
    prepare_request(&mut head.headers, [10, 0, 0, 1].into(), "http", id);
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
            "x-request-id: id",
        ]
    );
    let mut trailers = parts("/", &[("te", "trailers"), ("connection", "te")]);
    prepare_request(
        &mut trailers.headers,
        [10, 0, 0, 1].into(),
        "http",
        HeaderValue::from_static("id"),
    );
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
