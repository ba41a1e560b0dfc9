//! The admin API: what it answers, to whom, and what it refuses.

use crate::http::{raw, request};
use crate::run::Site;

#[test]
fn every_page_of_the_index_answers() {
    let site = Site::new();
    let weir = site.run();
    weir.listening(8080);
    let index = weir.api("/").body;
    for path in [
        "/healthz",
        "/readyz",
        "/metrics",
        "/api/status",
        "/api/findings",
        "/api/plan",
        "/api/policies",
        "/api/log-level",
        "/config",
    ] {
        assert!(index.contains(path), "{path} is not in\n{index}");
        let answer = weir.api(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        if path.starts_with("/api/") {
            assert!(answer.json().is_object(), "{path}");
        }
    }
    assert!(index.contains("/api/explain"), "{index}");
    assert_eq!(weir.api("/api/nothing").status, 404);
    let metrics = weir.api("/metrics").body;
    assert_eq!(metrics.matches("# EOF").count(), 1, "{metrics}");
    assert!(metrics.contains("weir_config_applied_total"), "{metrics}");
}

#[test]
fn other_host_names_are_refused() {
    let site = Site::new();
    let weir = site.run();
    let admin = weir.admin();
    let cases = [
        ("localhost", 200),
        ("127.0.0.1:1", 200),
        ("[::1]", 200),
        ("evil.example.com", 421),
        ("10.0.0.1", 421),
    ];
    for (host, status) in cases {
        let answer = request(admin, "GET", "/healthz", host).unwrap();
        assert_eq!(answer.status, status, "{host}: {}", answer.body);
    }
    let without = raw(admin, "GET /healthz HTTP/1.1\r\nconnection: close\r\n\r\n").unwrap();
    assert_eq!(without.status, 421);
}

#[test]
fn nothing_but_reading_is_allowed() {
    let site = Site::new();
    let weir = site.run();
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        for path in ["/", "/healthz", "/api/plan", "/nothing"] {
            let answer = request(weir.admin(), method, path, "localhost").unwrap();
            assert_eq!(answer.status, 405, "{method} {path}");
            assert!(answer.head.contains("allow: get, head"), "{}", answer.head);
        }
    }
}

#[test]
fn a_head_without_end_is_refused() {
    let site = Site::new();
    let weir = site.run();
    let endless = format!(
        "GET / HTTP/1.1\r\nhost: localhost\r\nx: {}",
        "a".repeat(1_000_000)
    );
    // Whether the answer is read or the connection breaks first is a matter of time.
    if let Ok(answer) = raw(weir.admin(), &endless) {
        assert_eq!(answer.status, 431, "{}", answer.head);
    }
    assert_eq!(weir.api("/healthz").status, 200);
}

#[test]
fn the_contents_of_secrets_and_config_maps_are_not_shown() {
    let site = Site::new();
    site.write(
        "secret.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {key: hidden-treasure}\n---\n\
         apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {key: hidden-treasure}\n",
    );
    let weir = site.run();
    weir.listening(8080);
    for path in [
        "/api/status",
        "/api/findings",
        "/api/plan",
        "/api/policies",
        "/api/explain?route=shop",
        "/metrics",
    ] {
        assert!(!weir.api(path).body.contains("hidden-treasure"), "{path}");
    }
}

#[test]
fn policies_say_what_they_affect() {
    let site = Site::new();
    site.write(
        "policies.yaml",
        "apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {name: everywhere}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: edge}]
  timeout: {http: {requestTimeout: 5s}}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {name: shop}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: shop}]
  timeout: {http: {requestTimeout: 7s}}
",
    );
    let weir = site.run();
    weir.listening(8080);
    let policies = weir.api("/api/policies").json();
    let policy = |name: &str| {
        let all = policies["policies"].as_array().unwrap();
        let name = format!("BackendTrafficPolicy/default/{name}");
        all.iter()
            .find(|it| it["policy"] == name)
            .unwrap_or_else(|| panic!("{name} is not in {policies:#}"))
            .clone()
    };
    assert_eq!(
        policy("shop")["affects"][0]["rule"],
        "HTTPRoute/default/shop/rule/0"
    );
    assert_eq!(policy("everywhere")["affects"], serde_json::json!([]));
    assert_eq!(
        policy("everywhere")["withoutEffectOn"][0]["rule"],
        "HTTPRoute/default/shop/rule/0"
    );
    assert!(
        policy("shop")["ancestors"][0]["conditions"][0]["type"] == "Accepted",
        "{policies:#}"
    );
}

#[test]
fn explain_answers_for_routes_and_requests() {
    let site = Site::new();
    let weir = site.run();
    let port = weir.listening(8080).port();
    let by_route = weir.api("/api/explain?route=shop");
    assert_eq!(by_route.status, 200, "{}", by_route.body);
    let by_request = weir.api(&format!(
        "/api/explain?request=GET%20http://localhost:{port}/cart"
    ));
    assert_eq!(by_request.status, 200, "{}", by_request.body);
    assert!(
        by_request.body.contains("HTTPRoute/default/shop/rule/0"),
        "{}",
        by_request.body
    );
    assert_eq!(weir.api("/api/explain?route=nothing").status, 404);
    assert_eq!(weir.api("/api/explain?policy=nothing").status, 404);
    assert_eq!(weir.api("/api/explain?request=nonsense%20x").status, 400);
    assert_eq!(weir.api("/api/explain?rote=shop").status, 400);
}
