//! `headers`: what becomes of the headers of clients before routes, limits and backends see them, and that no change of
//! headers changes where messages begin and end.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use super::{ask, client, gateway, with};
use crate::backend::Backend;
use crate::client::{Client, call, get, request};
use crate::frames::{Connection, DATA, Outcome, block, fields, frame};
use crate::gateway::{EDGE, Gateway, policy, route, route_all, to};
use crate::http2;

fn early(changes: &str) -> String {
    format!("headers: {{earlyRequestHeaders: {{{changes}}}}}")
}

#[test]
fn routes_and_limits_see_headers_as_the_listener_has_changed_them() {
    let (zoned, plain) = (Backend::named("zoned"), Backend::named("plain"));
    let rules = format!(
        "[{{matches: [{{headers: [{{name: x-zone, value: inner}}]}}], backendRefs: [{}]}}, {{backendRefs: [{}]}}]",
        to("zoned"),
        to("plain")
    );
    let limit = policy(
        "limit",
        "HTTPRoute app",
        "rateLimit: {local: {rules: [{clientSelectors: [{headers: [{name: x-user, type: Distinct}]}], \
         limit: {requests: 1, unit: Hour}}]}}",
    );
    let start = |changes: &str| {
        Gateway::start(&[
            EDGE,
            &zoned.yaml("zoned"),
            &plain.yaml("plain"),
            &route("app", &rules),
            &limit,
            &client("clients", "Gateway edge", &early(changes)),
        ])
    };
    let cases = [
        ("set: [{name: x-zone, value: inner}]", "", "zoned"),
        ("set: [{name: x-zone, value: inner}]", "outer", "zoned"),
        ("addIfAbsent: [{name: X-Zone, value: inner}]", "", "zoned"),
        (
            "addIfAbsent: [{name: X-Zone, value: inner}]",
            "outer",
            "plain",
        ),
        ("remove: [X-Zone]", "inner", "plain"),
        (
            "removeOnMatch: [{type: Prefix, value: X-}]",
            "inner",
            "plain",
        ),
        ("remove: [x-other]", "inner", "zoned"),
    ];
    for (changes, zone, expected) in cases {
        let gateway = start(changes);
        let headers: &[_] = match zone {
            "" => &[],
            zone => &[("x-zone", zone)],
        };
        assert_eq!(ask(&gateway, headers).text(), expected, "{changes} {zone}");
    }
    // All users are one, whatever they call themselves.
    let gateway = start("set: [{name: x-user, value: anybody}]");
    let statuses = ["ann", "bob"].map(|user| ask(&gateway, &[("x-user", user)]).status);
    assert_eq!(statuses, [200, 429]);
}

#[test]
fn no_policy_may_change_the_host_or_the_framing() {
    let backend = Backend::named("app");
    for name in ["content-length", "Transfer-Encoding", "Host"] {
        let header = format!("{{name: \"{name}\", value: '7'}}");
        for list in ["earlyRequestHeaders", "lateResponseHeaders"] {
            for change in [
                format!("set: [{header}]"),
                format!("add: [{header}]"),
                format!("addIfAbsent: [{header}]"),
                format!("remove: [\"{name}\"]"),
            ] {
                let gateway = gateway(&format!("headers: {{{list}: {{{change}}}}}"), &backend);
                let told = gateway.told("clients");
                assert!(
                    told[0].starts_with("Accepted=False Invalid Headers: "),
                    "{told:?}"
                );
                assert_eq!(
                    get(gateway.address(), "any.example", "/").status,
                    500,
                    "{change}"
                );
            }
        }
    }
    assert_eq!(backend.count(), 0);
}

/// Bodies that are requests themselves, for whoever is mistaken about where they begin.
const INNER: &str = "GET /inner HTTP/1.1\r\nhost: any.example\r\n\r\n";

#[test]
fn changes_that_match_much_leave_messages_whole() {
    let chunked = format!(
        "POST /chunked HTTP/1.1\r\nhost: any.example\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{INNER}\r\n0\r\n\r\n",
        INNER.len()
    );
    let changes = [
        "removeOnMatch: [{type: RegularExpression, value: '.*'}]",
        "removeOnMatch: [{type: Prefix, value: h}, {type: Suffix, value: -length}, {type: Prefix, value: T}]",
        "removeOnMatch: [{value: Content-Length}, {value: transfer-encoding}, {value: HOST}]",
        "set: [{name: connection, value: 'close, content-length, host'}, {name: upgrade, value: websocket}]",
        "add: [{name: connection, value: transfer-encoding}, {name: te, value: chunked}, {name: keep-alive, value: '1'}]",
        "set: [{name: expect, value: 100-continue}, {name: proxy-connection, value: close}, {name: trailer, value: x}]",
    ];
    for change in changes {
        let backend = Backend::named("app");
        let policy = format!(
            "headers: {{earlyRequestHeaders: {{{change}}}, lateResponseHeaders: {{{}}}}}",
            if change.starts_with("removeOnMatch") {
                change
            } else {
                "remove: [x]"
            }
        );
        let gateway = gateway(&policy, &backend);
        assert!(
            gateway.told("clients")[0].starts_with("Accepted=True"),
            "{change}"
        );
        let mut client = Client::connect(gateway.address());
        client.send(&request(
            "POST",
            "any.example",
            "/sized",
            &[],
            INNER.as_bytes(),
        ));
        assert_eq!(
            client.receive().brief(),
            (200, "app".to_owned()),
            "{change}"
        );
        client.send(chunked.as_bytes());
        assert_eq!(
            client.receive().brief(),
            (200, "app".to_owned()),
            "{change}"
        );
        client.send(&request("HEAD", "any.example", "/head", &[], b""));
        assert_eq!(client.receive_head().status, 200, "{change}");
        assert_eq!(
            client.get("any.example", "/last").brief(),
            (200, "app".to_owned()),
            "{change}"
        );
        let client = http2::Client::connect(gateway.address());
        let post = Request::post("http://any.example/h2").body(Full::new(Bytes::from(INNER)));
        let (status, text, _) = client.whole(client.send(post.expect("a request")));
        assert_eq!((status, text.as_str()), (200, "app"), "{change}");
        let requests = backend.requests();
        let seen: Vec<_> = requests
            .iter()
            .map(|it| (it.target.as_str(), String::from_utf8_lossy(&it.body)))
            .collect();
        let expected = [
            ("/sized", INNER),
            ("/chunked", INNER),
            ("/head", ""),
            ("/last", ""),
            ("/h2", INNER),
        ];
        let expected = expected.map(|(target, body)| (target, body.into()));
        assert_eq!(seen, expected, "{change}");
        for request in &requests {
            assert_eq!(request.header("host"), Some("any.example"), "{change}");
        }
    }
}

#[test]
fn names_with_an_underscore_are_dealt_with_in_trailers_as_in_heads() {
    // The status of a request with such a header, whether it arrives, and whether such a trailer does.
    let cases = [
        ("headers: {withUnderscoresAction: Allow}", 200, true),
        ("headers: {withUnderscoresAction: DropHeader}", 200, false),
        (
            "headers: {withUnderscoresAction: RejectRequest}",
            400,
            false,
        ),
        ("scheme: Preserve", 400, false),
    ];
    for (settings, status, arrives) in cases {
        let backend = Backend::named("app");
        let gateway = gateway(settings, &backend);
        assert_eq!(
            ask(&gateway, &[("x_zone", "1")]).status,
            status,
            "{settings}"
        );
        if status == 200 {
            assert_eq!(
                backend.last().header("x_zone").is_some(),
                arrives,
                "{settings}"
            );
        }
        let bytes = b"POST / HTTP/1.1\r\nhost: any.example\r\ntransfer-encoding: chunked\r\n\
                      trailer: x-sum, x_sum, content_length\r\n\r\n\
                      3\r\nabc\r\n0\r\nx-sum: 1\r\nx_sum: 2\r\n\r\n";
        assert_eq!(call(gateway.address(), bytes).status, 200, "{settings}");
        let check = |version: &str| {
            let trailers = backend.last().trailers;
            let has = |name: &str| trailers.iter().any(|(it, _)| it == name);
            assert!(has("x-sum"), "{settings}: {version} {trailers:?}");
            assert_eq!(has("x_sum"), arrives, "{settings}: {version} {trailers:?}");
        };
        check("HTTP/1.1");
        let mut connection = Connection::open(gateway.address());
        let post = fields(&[("POST", "/")], &[("trailer", "x-sum, x_sum")]);
        connection.request(1, &post, false).expect("it is taken");
        let data = frame(DATA, 0, 1, b"abc");
        connection.send(&data).expect("it is taken");
        let trailers = block(&[("x-sum", "1"), ("x_sum", "2")]);
        connection.request(1, &trailers, true).expect("it is taken");
        assert_eq!(connection.outcome(1), Outcome::Status(200), "{settings}");
        check("HTTP/2");
    }
}

#[test]
fn ids_hosts_and_sizes_of_heads_are_as_the_listener_wants_them() {
    let backend = Backend::named("app");
    let id = |settings: &str, said: &[(&str, &str)]| {
        let gateway = gateway(settings, &backend);
        assert_eq!(ask(&gateway, said).status, 200, "{settings}");
        backend.last().header("x-request-id").map(str::to_owned)
    };
    let said = [("x-request-id", "mine")];
    let mine = Some("mine".to_owned());
    for (settings, keeps, makes) in [
        ("scheme: Preserve", false, true),
        ("headers: {requestID: Generate}", false, true),
        ("headers: {requestID: PreserveOrGenerate}", true, true),
        ("headers: {preserveXRequestID: true}", true, true),
        ("headers: {requestID: Preserve}", true, false),
        ("headers: {requestID: Disable}", false, false),
    ] {
        let with = id(settings, &said);
        assert_eq!(with == mine, keeps, "{settings}");
        assert_eq!(with.is_some(), keeps || makes, "{settings}");
        assert_eq!(id(settings, &[]).is_some(), makes, "{settings}");
    }

    let strict = gateway("headers: {maxRequestHeaderLimit: 1Ki}", &backend);
    assert_eq!(ask(&strict, &[("x-long", &"x".repeat(900))]).status, 200);
    assert_eq!(ask(&strict, &[("x-long", &"x".repeat(1_100))]).status, 431);
    let generous = gateway("headers: {maxRequestHeaderLimit: 100Ki}", &backend);
    assert_eq!(
        ask(&generous, &[("x-long", &"x".repeat(90_000))]).status,
        200
    );

    let shop = route_all("app").replace("rules:", "hostnames: [shop.example.com], rules:");
    let (app, dots) = (
        backend.yaml("app"),
        client(
            "clients",
            "Gateway edge",
            "headers: {host: {stripTrailingHostDot: true}}",
        ),
    );
    let host = |documents: &[&str]| {
        let gateway = Gateway::start(documents);
        let answer = get(gateway.address(), "shop.example.com.:80", "/");
        assert_eq!(answer.status, 200);
        backend.last().header("host").map(str::to_owned)
    };
    let [plain, stripped] = ["shop.example.com.:80", "shop.example.com:80"].map(str::to_owned);
    assert_eq!(host(&[EDGE, &app, &shop]), Some(plain));
    assert_eq!(host(&[EDGE, &app, &shop, &dots]), Some(stripped));
}

#[test]
fn headers_of_limits_are_kept_back_unless_a_rule_wants_them() {
    let backend = Backend::named("app");
    let quiet = "headers: {disableRateLimitHeaders: true}";
    let limit = |more: &str| {
        let rule = "clientSelectors: [{headers: [{name: x-user, value: ann}]}], limit: {requests: 1, unit: Hour}";
        let rules = format!("rateLimit: {{local: {{rules: [{{{rule}{more}}}]}}}}");
        policy("limit", "HTTPRoute app", &rules)
    };
    let shown = |settings: &str, limit: &str| {
        let gateway = with(settings, &backend, &[limit]);
        let shown = [200, 429].map(|status| {
            let answer = ask(&gateway, &[("x-user", "ann")]);
            assert_eq!(answer.status, status);
            answer.header("x-ratelimit-limit").is_some()
        });
        assert_eq!(shown[0], shown[1]);
        shown[0]
    };
    assert!(shown("scheme: Preserve", &limit("")));
    assert!(!shown(quiet, &limit("")));
    assert!(shown(quiet, &limit(", xRateLimitHeaders: DraftVersion03")));
}
