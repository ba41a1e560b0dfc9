//! Routes: redirects, answers of the gateway, rewrites, header changes, and shares.

use weir_plan::{
    DirectResponse, Forward, ForwardedPath, HeaderChanges, HostRewrite, PathRewrite, Redirect,
    RouteAction, RoutePolicy, SplitTarget, UrlRewrite, WeightedTarget,
};

use crate::backend::Backend;
use crate::{Gateway, outcome, rule, to_cluster};

fn changes(set: &[(&'static str, &'static str)], remove: &[&'static str]) -> HeaderChanges {
    let header = |name: &str| name.parse().expect("a name");
    HeaderChanges {
        set: set
            .iter()
            .map(|(name, value)| (header(name), value.parse().expect("a value")))
            .collect(),
        add: Vec::new(),
        remove: remove.iter().map(|name| header(name)).collect(),
    }
}

#[test]
fn without_a_route_there_is_404() {
    let backend = Backend::start();
    let gateway = Gateway::start(&[rule("/a", RoutePolicy::DEFAULT)], &[backend.address]);
    let mut client = gateway.connect();
    let response = client.get("/b", "");
    assert_eq!(response.told(), (404, ""));
    assert_eq!(response.header("content-length"), Some("0"));
    assert_eq!(response.header("content-type"), None);
    assert_eq!(response.header("server"), None);
    assert!(!response.closes());
    assert_eq!(gateway.logged(1), outcome(404, "NR", "route_not_found"));
    // The same connection serves on, but not after a body that was not read.
    assert_eq!(client.get("/a", "").status, 200);
    let response = client.post("/b", 10);
    assert!(response.status == 404 && response.closes(), "{response:?}");
    let mut client = gateway.connect();
    client.send("CONNECT test:80 HTTP/1.1\r\nhost: test:80\r\n\r\n");
    let response = client.read();
    assert!(response.status == 404 && response.closes(), "{response:?}");
}

#[test]
fn redirects_and_answers_come_from_the_gateway() {
    let mut away = rule("/away", RoutePolicy::DEFAULT);
    away.action = RouteAction::Redirect(Redirect {
        scheme: Some("https".into()),
        hostname: Some("example.com".into()),
        path: Some(PathRewrite::ReplacePrefixMatch("/new".into())),
        port: None,
        status: 301,
    });
    let mut broken = rule("/broken", RoutePolicy::DEFAULT);
    broken.action = RouteAction::Respond(DirectResponse {
        status: 500,
        reason: "the policy is invalid".into(),
        content: None,
    });
    broken.response_headers = changes(&[("x-seen", "1")], &[]);
    let gateway = Gateway::start(&[away, broken], &[]);
    let mut client = gateway.connect();
    let response = client.get("/away/x?q=1", "");
    let location = response.header("location");
    assert_eq!(
        (response.status, location),
        (301, Some("https://example.com/new/x?q=1"))
    );
    assert_eq!(gateway.logged(1), outcome(301, "-", "direct_response"));
    let response = client.get("/broken", "");
    assert_eq!(response.told(), (500, ""));
    assert_eq!(response.header("x-seen"), Some("1"));
    assert_eq!(gateway.logged(2), outcome(500, "-", "direct_response"));
}

#[test]
fn urls_and_headers_are_changed_on_the_way() {
    let backend = Backend::start();
    let mut changed = rule("/headers", RoutePolicy::DEFAULT);
    changed.request_headers = changes(&[("x-rule", "1"), ("x-both", "rule")], &["x-secret"]);
    changed.response_headers = changes(&[("x-kept", "changed")], &["server"]);
    let mut target = to_cluster(1);
    target.request_headers = changes(&[("x-both", "target")], &[]);
    target.response_headers = changes(&[("x-kept", "target"), ("x-target", "1")], &[]);
    changed.action = RouteAction::Forward(Forward {
        rewrite: Some(Box::new(UrlRewrite {
            hostname: Some(HostRewrite::Name("inner.example.com".into())),
            append_forwarded_host: false,
            path: Some(ForwardedPath::Plain(PathRewrite::ReplaceFullPath(
                "/headers".into(),
            ))),
        })),
        credential: None,
        session: None,
        mirrors: Vec::new(),
        targets: vec![target],
    });
    let gateway = Gateway::start(&[changed], &[backend.address]);
    let response = gateway.connect().get("/headers/x?q=1", "x-secret: 1\r\n");
    assert_eq!(response.header("x-kept"), Some("changed"));
    assert_eq!(response.header("x-target"), Some("1"));
    assert_eq!(response.header("server"), None);
    let seen = backend.only();
    assert_eq!(seen.path(), "/headers?q=1");
    let headers = [
        "host",
        "x-rule",
        "x-both",
        "x-secret",
        "x-envoy-original-path",
    ];
    assert_eq!(
        headers.map(|name| seen.header(name)),
        [
            Some("inner.example.com"),
            Some("1"),
            Some("target"),
            None,
            None
        ]
    );
    assert_eq!(gateway.log(1)[0]["x-envoy-origin-path"], "/headers/x?q=1");
}

#[test]
fn shares_go_by_weight_and_invalid_backends_answer_for_theirs() {
    let backend = Backend::start();
    let invalid = WeightedTarget {
        target: SplitTarget::Invalid(DirectResponse {
            status: 500,
            reason: "no such service".into(),
            content: None,
        }),
        ..to_cluster(1)
    };
    let mut split = rule("/", RoutePolicy::DEFAULT);
    split.action = RouteAction::Forward(Forward {
        rewrite: None,
        credential: None,
        session: None,
        mirrors: Vec::new(),
        targets: vec![to_cluster(3), invalid, to_cluster(0)],
    });
    let gateway = Gateway::start(&[split], &[backend.address]);
    let mut client = gateway.connect();
    let failed = (0..400)
        .filter(|_| client.get("/", "").status == 500)
        .count();
    // 100 are expected; with 400 draws, 4.6 standard deviations are 40.
    assert!((60..140).contains(&failed), "{failed}");
    let log = gateway.log(400);
    let no_cluster = log.iter().filter(|it| it["response_flags"] == "NC").count();
    assert_eq!(no_cluster, failed);
}

#[test]
fn an_upgrade_is_refused_and_an_offer_of_http_2_is_not_taken_up() {
    let backend = Backend::start();
    let gateway = Gateway::start(&[rule("/", RoutePolicy::DEFAULT)], &[backend.address]);
    let mut client = gateway.connect();
    let response = client.get(
        "/",
        "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: x\r\n",
    );
    assert_eq!(response.status, 200);
    assert_eq!(backend.only().header("upgrade"), None);
    let response = client.get("/", "connection: upgrade\r\nupgrade: spdy/3.1\r\n");
    assert!(response.status == 403 && response.closes(), "{response:?}");
    assert_eq!(gateway.logged(2), outcome(403, "-", "upgrade_failed"));
}
