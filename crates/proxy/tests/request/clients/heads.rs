//! What is kept of the heads of requests, what is added to them and to answers, and how HTTP/1 is spoken.

use weir_plan::{
    ClientHeaders, ClientHttp1, ClientIpDetection, ClientPolicy, EscapedSlashes, HeaderChanges,
    ListenerHeaderChanges, PathNormalisation, PathRewrite, Redirect, RequestIdAction, RouteAction,
    RoutePolicy, StringMatch, WithUnderscores,
};

use super::{gateway, with_rules};
use crate::backend::Backend;
use crate::client::PATIENCE;
use crate::{outcome, rule, wait_for};

fn headers(headers: ClientHeaders) -> ClientPolicy {
    ClientPolicy {
        headers,
        ..ClientPolicy::DEFAULT
    }
}

fn http1(http1: ClientHttp1) -> ClientPolicy {
    ClientPolicy {
        http1,
        ..ClientPolicy::DEFAULT
    }
}

#[test]
fn underscores_are_taken_refused_or_dropped() {
    let cases = [
        (WithUnderscores::Allow, 200, Some("1")),
        (WithUnderscores::DropHeader, 200, None),
        (WithUnderscores::RejectRequest, 400, None),
    ];
    for (with_underscores, status, seen) in cases {
        let backend = Backend::start();
        let policy = headers(ClientHeaders {
            with_underscores,
            ..ClientHeaders::DEFAULT
        });
        let gateway = gateway(policy, &backend);
        let response = gateway.connect().get("/", "x_y: 1\r\nx-y: 2\r\n");
        assert_eq!(response.status, status, "{with_underscores:?}");
        if status == 200 {
            let told = ["x_y", "x-y"].map(|name| backend.only().header(name).map(str::to_owned));
            assert_eq!(told, [seen, Some("2")].map(|it| it.map(str::to_owned)));
        } else {
            let refused = outcome(400, "DPE", "http1.unexpected_underscore");
            assert_eq!(gateway.logged(1), refused);
            assert!(backend.seen().is_empty());
        }
    }
}

#[test]
fn the_id_of_a_request_is_kept_made_or_removed() {
    use RequestIdAction::{Disable, Generate, Preserve, PreserveOrGenerate};
    // (setting, what becomes of `mine`, whether there is one where there was none)
    let cases = [
        (PreserveOrGenerate, Some(true), true),
        (Preserve, Some(true), false),
        (Generate, Some(false), true),
        (Disable, None, false),
    ];
    for (request_id, kept, made) in cases {
        let backend = Backend::start();
        let policy = headers(ClientHeaders {
            request_id,
            ..ClientHeaders::DEFAULT
        });
        let gateway = gateway(policy, &backend);
        let mut client = gateway.connect();
        client.get("/", "x-request-id: mine\r\n");
        client.get("/", "");
        let ids: Vec<_> = backend
            .seen()
            .iter()
            .map(|it| it.header("x-request-id").map(str::to_owned))
            .collect();
        let is_mine = ids[0].as_deref().map(|it| it == "mine");
        assert_eq!((is_mine, ids[1].is_some()), (kept, made), "{request_id:?}");
        let made = ids.iter().flatten().filter(|it| *it != "mine");
        assert!(made.clone().all(|it| it.len() == 36), "{ids:?}");
        let logged = gateway.log(2);
        assert_eq!(logged[0]["x-request-id"].as_str(), ids[0].as_deref());
        assert_eq!(logged[1]["x-request-id"].as_str(), ids[1].as_deref());
    }
}

fn changes(first: &str) -> ListenerHeaderChanges {
    let name = |name: &str| name.parse().expect("a name");
    let header = |(key, value): (&str, &str)| (name(key), value.parse().expect("a value"));
    ListenerHeaderChanges {
        plain: HeaderChanges {
            set: [("x-set", first)].map(header).to_vec(),
            add: [("x-add", "2")].map(header).to_vec(),
            remove: vec![name("x-removed")],
        },
        add_if_absent: [("x-there", "3"), ("x-absent", "4")].map(header).to_vec(),
        remove_on_match: vec![
            StringMatch::Prefix("X-Pre-".into()),
            StringMatch::Suffix("-suf".into()),
            StringMatch::Exact("x-exact".into()),
            StringMatch::RegularExpression("x-[0-9]+".into()),
        ],
    }
}

#[test]
fn headers_are_changed_before_all_else_and_after_all_else() {
    let backend = Backend::start();
    let policy = headers(ClientHeaders {
        early_request: changes("early"),
        late_response: changes("late"),
        ..ClientHeaders::DEFAULT
    });
    let mut changed = rule("/", RoutePolicy::DEFAULT);
    let header = |text: &str| ("x-set".parse().unwrap(), text.parse().unwrap());
    changed.request_headers.set = vec![header("route")];
    changed.response_headers.set = vec![header("route")];
    let gateway = with_rules(policy, &[changed], &[backend.address]);
    let response = gateway.connect().get(
        "/",
        "x-set: 0\r\nx-add: 1\r\nx-removed: 1\r\nx-there: 1\r\nX-Pre-A: 1\r\nX-A-Suf: 1\r\nx-exact: 1\r\n\
         x-12: 1\r\nx-12a: 1\r\n",
    );
    let told = |head: &str| {
        let lines = head.lines().filter(|it| it.starts_with("x-"));
        let mut lines: Vec<_> = lines
            .filter(|it| !it.starts_with("x-forwarded") && !it.starts_with("x-envoy"))
            .filter(|it| !it.starts_with("x-request-id"))
            .map(str::to_owned)
            .collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(
        told(&backend.only().head),
        [
            "x-12a: 1",
            "x-absent: 4",
            "x-add: 1",
            "x-add: 2",
            "x-set: route",
            "x-there: 1"
        ],
        "the route comes later"
    );
    assert_eq!(
        told(&response.head),
        ["x-absent: 4", "x-add: 2", "x-set: late", "x-there: 3"],
        "the route came before"
    );
}

#[test]
fn envoys_headers_are_added_where_they_are_wanted() {
    for envoy_headers in [true, false] {
        let backend = Backend::start();
        let policy = headers(ClientHeaders {
            envoy_headers,
            ..ClientHeaders::DEFAULT
        });
        let gateway = gateway(policy, &backend);
        let response = gateway.connect().get("/", "");
        let time = response.header("x-envoy-upstream-service-time");
        assert_eq!(
            time.map(|it| it.parse::<u64>().is_ok()),
            envoy_headers.then_some(true)
        );
        let seen = backend.only();
        let left = seen.header("x-envoy-expected-rq-timeout-ms");
        let left = left.map(|it| (14_000..=15_000).contains(&it.parse().unwrap_or(0)));
        assert_eq!(left, envoy_headers.then_some(true));
    }
}

#[test]
fn a_head_has_as_many_bytes_as_the_listener_takes() {
    let backend = Backend::start();
    for (max_bytes, length, status) in [
        (Some(2_048), 1_500, 200),
        (Some(2_048), 2_500, 431),
        (None, 30_000, 200),
        (None, 70_000, 431),
        (Some(100_000), 90_000, 200),
    ] {
        let policy = headers(ClientHeaders {
            max_bytes,
            ..ClientHeaders::DEFAULT
        });
        let gateway = gateway(policy, &backend);
        let long = format!("x-long: {}\r\n", "x".repeat(length));
        let response = gateway.connect().get("/", &long);
        assert_eq!(response.status, status, "{max_bytes:?} {length}");
    }
}

#[test]
fn a_dot_at_the_end_of_the_host_goes_where_it_is_to_go() {
    for (strip_trailing_host_dot, sent, seen) in [
        (true, "example.com.", "example.com"),
        (true, "example.com.:80", "example.com:80"),
        (true, "example.com", "example.com"),
        (false, "example.com.", "example.com."),
    ] {
        let backend = Backend::start();
        let policy = headers(ClientHeaders {
            strip_trailing_host_dot,
            ..ClientHeaders::DEFAULT
        });
        let gateway = gateway(policy, &backend);
        let mut client = gateway.connect();
        client.send(format!("GET / HTTP/1.1\r\nhost: {sent}\r\n\r\n"));
        assert_eq!(client.read().status, 200);
        assert_eq!(backend.only().header("host"), Some(seen));
    }
}

#[test]
fn paths_are_brought_into_the_form_that_the_listener_wants() {
    use EscapedSlashes::{KeepUnchanged, RejectRequest, UnescapeAndForward, UnescapeAndRedirect};
    // (merge, escaped slashes, asked for, status, what the backend or the client is told)
    let cases = [
        (true, KeepUnchanged, "/a%2fb//c", 200, "/a%2fb/c"),
        (false, KeepUnchanged, "/a%2Fb//c", 200, "/a%2Fb//c"),
        (true, KeepUnchanged, "/a%5cb", 200, "/a%5cb"),
        (true, RejectRequest, "/a%2fb", 400, ""),
        (true, RejectRequest, "/a%5Cb", 400, ""),
        (true, RejectRequest, "/a//b", 200, "/a/b"),
        (
            true,
            UnescapeAndRedirect,
            "/a%2fb//c?q=%2f",
            307,
            "/a/b/c?q=%2f",
        ),
        (false, UnescapeAndRedirect, "/a%2fb//c", 307, "/a/b//c"),
        (
            true,
            UnescapeAndForward,
            "/a%2f%2fb?q=%2f",
            200,
            "/a/b?q=%2f",
        ),
        (false, UnescapeAndForward, "/a%2f/b", 200, "/a//b"),
        (true, UnescapeAndForward, "/a/..%2f../b", 200, "/b"),
        (false, KeepUnchanged, "/a/./b/../c", 200, "/a/c"),
    ];
    for (merge_slashes, escaped_slashes, asked, status, told) in cases {
        let backend = Backend::start();
        let policy = ClientPolicy {
            path: PathNormalisation {
                merge_slashes,
                escaped_slashes,
            },
            ..ClientPolicy::DEFAULT
        };
        let gateway = gateway(policy, &backend);
        let mut client = gateway.connect();
        let response = client.get(asked, "");
        assert_eq!(response.status, status, "{escaped_slashes:?} {asked}");
        match status {
            200 => assert_eq!(backend.only().path(), told, "{escaped_slashes:?} {asked}"),
            307 => assert_eq!(response.header("location"), Some(told)),
            _ => assert!(backend.seen().is_empty()),
        }
        if status != 200 {
            let refused = outcome(u64::from(status), "-", "path_normalization_failed");
            assert_eq!(gateway.logged(1), refused);
            let grpc = client.get(asked, "content-type: application/grpc\r\n");
            assert!(grpc.header("grpc-status").is_some(), "{grpc:?}");
        }
    }
}

#[test]
fn trailers_pass_where_they_are_wanted() {
    for trailers in [true, false] {
        let backend = Backend::start();
        let policy = http1(ClientHttp1 {
            trailers,
            ..ClientHttp1::DEFAULT
        });
        let gateway = gateway(policy, &backend);
        let mut client = gateway.connect();
        client.send(
            "POST /trailers HTTP/1.1\r\nhost: test\r\nte: trailers\r\ntrailer: x-t\r\n\
             transfer-encoding: chunked\r\nconnection: close\r\n\r\n1\r\na\r\n0\r\nx-t: 1\r\n\r\n",
        );
        let answer = client.rest();
        assert_eq!(answer.contains("x-sum: 7\r\n"), trailers, "{answer}");
        assert!(answer.contains("hello"), "{answer}");
        assert_eq!(backend.only().trailers.contains("x-t: 1"), trailers);
    }
}

#[test]
fn the_letter_case_of_headers_stays_where_it_is_wanted() {
    for preserve_header_case in [true, false] {
        let backend = Backend::start();
        let policy = http1(ClientHttp1 {
            preserve_header_case,
            ..ClientHttp1::DEFAULT
        });
        let gateway = gateway(policy, &backend);
        let response = gateway.connect().get("/Case", "X-MiXeD: 1\r\n");
        let seen = backend.only().head;
        assert_eq!(seen.contains("X-MiXeD: 1"), preserve_header_case, "{seen}");
        assert_eq!(seen.contains("x-mixed: 1"), !preserve_header_case, "{seen}");
        let head = response.head;
        assert_eq!(head.contains("X-ThEiRs: 1"), preserve_header_case, "{head}");
        assert_eq!(
            head.contains("x-theirs: 1"),
            !preserve_header_case,
            "{head}"
        );
    }
}

#[test]
fn http_1_0_has_a_host_where_one_is_given() {
    for (given, status, host) in [
        (Some("old.example"), 200, Some("old.example")),
        (None, 200, None),
    ] {
        let backend = Backend::start();
        let policy = http1(ClientHttp1 {
            http10_default_host: given.map(Into::into),
            ..ClientHttp1::DEFAULT
        });
        let gateway = gateway(policy, &backend);
        let mut client = gateway.connect();
        client.send("GET / HTTP/1.0\r\n\r\n");
        assert_eq!(client.read().status, status);
        assert_eq!(backend.only().header("host"), host);
        let mut client = gateway.connect();
        client.send("GET / HTTP/1.0\r\nhost: own\r\n\r\n");
        assert_eq!(client.read().status, 200);
        assert_eq!(backend.seen()[1].header("host"), Some("own"));
    }
}

#[test]
fn some_upgrades_are_overlooked() {
    let backend = Backend::start();
    let policy = http1(ClientHttp1 {
        ignored_upgrades: vec![StringMatch::Exact("Foo".into())],
        ..ClientHttp1::DEFAULT
    });
    let gateway = gateway(policy, &backend);
    let mut client = gateway.connect();
    let asked = client.get("/", "connection: upgrade\r\nupgrade: foo\r\n");
    assert_eq!(asked.status, 200);
    assert_eq!(backend.only().header("upgrade"), None);
    let other = client.get("/", "connection: upgrade\r\nupgrade: bar\r\n");
    assert_eq!(other.status, 403);
}

#[test]
fn the_listener_says_by_itself_whether_it_is_well() {
    let backend = Backend::start();
    let policy = ClientPolicy {
        health_check: Some("/healthz".into()),
        ..ClientPolicy::DEFAULT
    };
    let gateway = gateway(policy, &backend);
    let mut client = gateway.connect();
    assert_eq!(client.get("/healthz", "").told(), (200, ""));
    assert_eq!(gateway.logged(1), outcome(200, "-", "health_check_ok"));
    assert!(backend.seen().is_empty());
    for path in ["/healthz/", "/healthz2", "/healthz?x"] {
        assert_eq!(client.get(path, "").status, 200);
    }
    assert_eq!(backend.seen().len(), 3, "no other path is meant");
}

#[test]
fn a_listener_that_drains_says_that_it_is_not_well() {
    let backend = Backend::start();
    let policy = ClientPolicy {
        health_check: Some("/healthz".into()),
        ..ClientPolicy::DEFAULT
    };
    let gateway = gateway(policy, &backend);
    let address = gateway.proxy.addresses()[&80];
    let mut client = gateway.connect();
    client.send("GET /healthz HTTP/1.1\r\nho");
    let mut seen = gateway.connect();
    assert_eq!(seen.get("/healthz", "").status, 200);
    let asking = std::thread::spawn(move || {
        wait_for("a port that takes nothing new", || {
            std::net::TcpStream::connect(address).is_err().then_some(())
        });
        client.send("st: test\r\n\r\n");
        client.read()
    });
    assert!(gateway.proxy.drain(PATIENCE));
    let response = asking.join().expect("an answer");
    assert_eq!(response.told(), (503, ""));
    assert!(response.closes());
    let failed = outcome(503, "LH", "health_check_failed");
    assert_eq!(gateway.logged(2), failed);
}

#[test]
fn a_trusted_proxy_says_which_scheme_was_asked_for() {
    let backend = Backend::start();
    let mut away = rule("/", RoutePolicy::DEFAULT);
    away.action = RouteAction::Redirect(Redirect {
        scheme: None,
        hostname: None,
        path: Some(PathRewrite::ReplaceFullPath("/new".into())),
        port: None,
        status: 302,
    });
    for (hops, scheme) in [(Some(1), "https"), (None, "http")] {
        let policy = ClientPolicy {
            ip_detection: match hops {
                Some(hops) => ClientIpDetection::TrustedHops { hops, append: true },
                None => ClientIpDetection::DEFAULT,
            },
            ..ClientPolicy::DEFAULT
        };
        let gateway = with_rules(policy, std::slice::from_ref(&away), &[backend.address]);
        let said = "x-forwarded-proto: https\r\nx-forwarded-for: 7.7.7.7\r\n";
        let response = gateway.connect().get("/", said);
        let location = response.header("location").unwrap_or_default();
        assert!(
            location.starts_with(&format!("{scheme}://test")),
            "{location}"
        );
    }
}
