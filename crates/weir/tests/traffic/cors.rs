//! CORS filters on the wire: preflight requests that the gateway answers, and answers that pages may use. The cases are
//! those of the Gateway API's conformance tests and its field texts.

use crate::backend::{Backend, reply, response};
use crate::client::{Response, call, request};
use crate::gateway::{EDGE, Gateway, policy, route, to};

/// A rule for the paths below `path` with this CORS filter in flow style.
fn rule(path: &str, cors: &str, rest: &str) -> String {
    format!(
        "{{matches: [{{path: {{value: {path}}}{rest}}}], filters: [{{type: CORS, cors: {cors}}}], backendRefs: [{}]}}",
        to("echo")
    )
}

const LISTED: &str = "{allowOrigins: ['https://www.foo.com', 'https://*.bar.com'], allowMethods: [GET, OPTIONS], \
    allowHeaders: [x-header-1, x-header-2], exposeHeaders: [x-header-3, x-header-4], maxAge: 3600, allowCredentials: true}";
const ANY: &str =
    "{allowOrigins: ['*'], allowMethods: ['*'], allowHeaders: ['*'], exposeHeaders: ['*']";

const ALLOW: [&str; 6] = [
    "access-control-allow-origin",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-expose-headers",
    "access-control-max-age",
    "access-control-allow-credentials",
];

fn preflight(gateway: &Gateway, path: &str, origin: &str, asked: &[(&str, &str)]) -> Response {
    let headers = [&[("origin", origin)], asked].concat();
    call(
        gateway.address(),
        &request("OPTIONS", "any.example", path, &headers, b""),
    )
}

/// What an answer allows, in the order of [`ALLOW`]; `-` for nothing.
fn allowed(response: &Response) -> [&str; 6] {
    ALLOW.map(|name| response.header(name).unwrap_or("-"))
}

#[test]
fn preflight_requests_are_answered_by_the_gateway() {
    let backend = Backend::named("echo");
    let rules = [
        rule("/listed", LISTED, ""),
        rule("/any", &format!("{ANY}}}"), ""),
        rule(
            "/credentials",
            &format!("{ANY}, allowCredentials: true}}"),
            "",
        ),
        rule("/nobody", "{}", ""),
    ];
    let gateway = Gateway::setup().log().start(&[
        EDGE,
        &backend.yaml("echo"),
        &route("cors", &format!("[{}]", rules.join(", "))),
    ]);
    let (foo, bar) = ("https://www.foo.com", "https://x.www.bar.com");
    let method = ("access-control-request-method", "PUT");
    let headers = ("access-control-request-headers", "x-header-1, x-header-9");
    let listed = |origin| {
        [
            origin,
            "GET, OPTIONS",
            "x-header-1, x-header-2",
            "x-header-3, x-header-4",
            "3600",
            "true",
        ]
    };
    let none = ["-"; 6];
    let both = &[method, headers][..];
    let cases = [
        ("/listed", foo, both, listed(foo)),
        ("/listed", bar, both, listed(bar)),
        ("/listed", "https://bar.com", both, none),
        ("/listed", "http://www.foo.com", both, none),
        ("/listed", "https://foobar.com", both, none),
        (
            "/any",
            "https://a.com:12345",
            both,
            ["https://a.com:12345", "PUT", headers.1, "*", "5", "-"],
        ),
        (
            "/any",
            "null",
            &[method],
            ["null", "PUT", "-", "*", "5", "-"],
        ),
        (
            "/credentials",
            foo,
            both,
            [
                foo,
                "PUT",
                headers.1,
                "content-length, access-control-allow-methods, access-control-allow-headers, access-control-max-age, vary",
                "5",
                "true",
            ],
        ),
        ("/nobody", foo, both, none),
    ];
    for (path, origin, asked, expected) in cases {
        let response = preflight(&gateway, path, origin, asked);
        assert_eq!(response.brief(), (200, String::new()), "{path} {origin}");
        let mut found = allowed(&response);
        let sorted = |names: &str| -> Vec<String> {
            let mut names: Vec<_> = names.split(", ").map(str::to_owned).collect();
            names.sort();
            names
        };
        if path == "/credentials" {
            // The names of the answer's own headers, in whatever order.
            let mut names = sorted(found[3]);
            names.retain(|it| it != "date");
            assert_eq!(names, sorted(expected[3]));
            found[3] = expected[3];
        }
        assert_eq!(found, expected, "{path} {origin}");
        assert_eq!(response.header("vary"), Some("origin"), "{path} {origin}");
    }
    assert_eq!(backend.count(), 0);
    let logged = gateway.logged(cases.len());
    assert_eq!(logged[0]["response_code_details"], "cors_response");
}

#[test]
fn answers_say_which_pages_may_use_them() {
    let backend = Backend::start(|seen| match seen.target.as_str() {
        "/listed/own" => vec![crate::backend::Step::Send(response(
            200,
            &[("access-control-allow-origin", "*"), ("vary", "Accept")],
            "",
        ))],
        _ => reply(200, ""),
    });
    let rules = [
        rule("/listed", LISTED, ""),
        rule("/any", &format!("{ANY}}}"), ""),
        rule(
            "/credentials",
            &format!("{ANY}, allowCredentials: true}}"),
            "",
        ),
    ];
    let limit = policy(
        "limit",
        "HTTPRoute cors",
        "rateLimit: {local: {rules: [{clientSelectors: [{path: {value: /any/limited}}], limit: {requests: 0, unit: Hour}}]}}",
    );
    let gateway = Gateway::start(&[
        EDGE,
        &backend.yaml("echo"),
        &limit,
        &route("cors", &format!("[{}]", rules.join(", "))),
    ]);
    let ask = |method: &str, path: &str, headers: &[(&str, &str)]| {
        call(
            gateway.address(),
            &request(method, "any.example", path, headers, b""),
        )
    };
    let foo = "https://www.foo.com";
    let of_foo = &[("origin", foo)][..];
    let listed = [foo, "-", "-", "x-header-3, x-header-4", "-", "true"];
    let any = [foo, "-", "-", "*", "-", "-"];
    let none = ["-"; 6];
    let cases = [
        ("GET", "/listed", of_foo, 200, listed, "origin"),
        ("GET", "/listed/own", of_foo, 200, listed, "Accept"),
        // What the backend says of itself stays where the filter has nothing to say.
        (
            "GET",
            "/listed/own",
            &[("origin", "https://foobar.com")],
            200,
            ["*", "-", "-", "-", "-", "-"],
            "Accept",
        ),
        (
            "GET",
            "/listed",
            &[("origin", "https://foobar.com")],
            200,
            none,
            "origin",
        ),
        ("GET", "/listed", &[], 200, none, "origin"),
        ("PUT", "/any", of_foo, 200, any, "origin"),
        // An OPTIONS request that asks about no method is one like any other.
        ("OPTIONS", "/any", of_foo, 200, any, "origin"),
        // The gateway's own answers as well: a page must be able to see that it is to come back later.
        ("GET", "/any/limited", of_foo, 429, any, "origin"),
    ];
    for (method, path, headers, status, expected, vary) in cases {
        let response = ask(method, path, headers);
        assert_eq!(response.status, status, "{method} {path} {headers:?}");
        assert_eq!(allowed(&response), expected, "{method} {path} {headers:?}");
        assert_eq!(response.header("vary"), Some(vary), "{method} {path}");
    }
    assert_eq!(backend.count(), 7);
    let credentials = ask("GET", "/credentials", of_foo);
    let exposed = credentials.header("access-control-expose-headers").unwrap();
    assert!(
        exposed.contains("content-length") && !exposed.contains('*'),
        "{exposed}"
    );
    // Preflight requests come before limits.
    let response = preflight(
        &gateway,
        "/any/limited",
        foo,
        &[("access-control-request-method", "GET")],
    );
    assert_eq!((response.status, allowed(&response)[1]), (200, "GET"));
}

#[test]
fn a_preflight_request_takes_the_route_of_the_request_that_it_asks_about() {
    let backend = Backend::named("echo");
    let only = |methods: &str| format!("{{allowOrigins: ['*'], allowMethods: [{methods}]}}");
    let rules = [
        rule("/", &only("GET, POST"), ", method: GET"),
        rule("/", &only("PUT"), ", method: PUT"),
        format!(
            "{{matches: [{{path: {{value: /}}, method: DELETE}}], backendRefs: [{}]}}",
            to("echo")
        ),
    ];
    let gateway = Gateway::start(&[
        EDGE,
        &backend.yaml("echo"),
        &route("cors", &format!("[{}]", rules.join(", "))),
    ]);
    let about = |method| {
        let asked = [("access-control-request-method", method)];
        let response = preflight(&gateway, "/a", "https://a.com", &asked);
        let methods = response.header("access-control-allow-methods");
        (response.status, methods.map(str::to_owned))
    };
    assert_eq!(about("GET"), (200, Some("GET, POST".to_owned())));
    assert_eq!(about("PUT"), (200, Some("PUT".to_owned())));
    assert_eq!(about("DELETE"), (404, None));
    assert_eq!(about("PATCH"), (404, None));
    let plain = request(
        "OPTIONS",
        "any.example",
        "/a",
        &[("origin", "https://a.com")],
        b"",
    );
    assert_eq!(call(gateway.address(), &plain).status, 404);
    assert_eq!(backend.count(), 0);
}
