//! Orders to a running gateway: an earlier configuration in force again, another log level; and who may give them.

use std::net::SocketAddr;
use std::process::Output;

use crate::http::{get, raw};
use crate::process::{eventually, output, weir};
use crate::run::{Site, route, version, wait_for_version};

fn ask(admin: SocketAddr, args: &[&str]) -> Output {
    let admin = admin.to_string();
    output(&[args, &["--admin", &admin]].concat())
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn an_earlier_configuration_is_held_until_it_is_released() {
    let site = Site::new();
    let weir = site.run();
    let address = weir.listening(8080);
    let admin = weir.admin();
    for edit in ["2", "3"] {
        site.write("route.yaml", &route(edit));
        wait_for_version(address, edit);
    }
    let list = text(&ask(admin, &["rollback", "--list"]));
    let changes = list.matches("changed HTTPRoute default/shop").count();
    assert_eq!(changes, 2, "{list}");
    assert!(list.contains("in force\n"), "{list}");

    let back = ask(admin, &["rollback"]);
    assert_eq!(back.status.code(), Some(0));
    assert!(
        text(&back).contains("configuration 2 is in force again"),
        "{}",
        text(&back)
    );
    wait_for_version(address, "2");
    // Edits wait.
    site.write("route.yaml", &route("4"));
    weir.wait_for_log("the files changed; what they say waits");
    assert_eq!(version(&get(address, "/")).as_deref(), Some("2"));
    assert_eq!(weir.api("/config").json()["held"], true);
    assert!(weir.api("/metrics").body.contains("\nweir_config_held 1\n"));
    assert_eq!(weir.api("/readyz").status, 200);

    // By its sequence, and by its hash.
    let first = ask(admin, &["rollback", "1", "-o", "json"]);
    let first: serde_json::Value = serde_json::from_slice(&first.stdout).expect("JSON");
    assert_eq!(first["restored"], 1);
    wait_for_version(address, "1");
    let history = weir.api("/config").json()["history"].clone();
    let third = history
        .as_array()
        .expect("a list")
        .iter()
        .find(|it| it["sequence"] == 3)
        .expect("the third")["hash"]
        .clone();
    let by_hash = third.as_str().expect("a text");
    assert_eq!(ask(admin, &["rollback", by_hash]).status.code(), Some(0));
    wait_for_version(address, "3");

    let unknown = ask(admin, &["rollback", "77"]);
    assert_eq!(unknown.status.code(), Some(1));
    let why = String::from_utf8_lossy(&unknown.stderr);
    assert!(why.contains("none of the last 20 configurations"), "{why}");

    assert_eq!(
        ask(admin, &["rollback", "--release"]).status.code(),
        Some(0)
    );
    wait_for_version(address, "4");
    site.write("route.yaml", &route("5"));
    wait_for_version(address, "5");
    assert_eq!(
        ask(admin, &["rollback", "--release"]).status.code(),
        Some(1)
    );
    assert_eq!(weir.api("/config").json()["held"], false);
}

#[test]
fn going_back_again_goes_further_back() {
    let site = Site::new();
    let weir = site.run();
    let address = weir.listening(8080);
    let admin = weir.admin();
    for edit in ["2", "3", "4"] {
        site.write("route.yaml", &route(edit));
        wait_for_version(address, edit);
    }
    for earlier in ["3", "2", "1"] {
        assert_eq!(ask(admin, &["rollback"]).status.code(), Some(0));
        wait_for_version(address, earlier);
    }
    let none = ask(admin, &["rollback"]);
    assert_eq!(none.status.code(), Some(1));
    let why = String::from_utf8_lossy(&none.stderr);
    assert!(why.contains("there is no earlier configuration"), "{why}");
    assert_eq!(version(&get(address, "/")).as_deref(), Some("1"));

    // From what was gone back to by its sequence, which was gone back to before.
    assert_eq!(ask(admin, &["rollback", "5"]).status.code(), Some(0));
    wait_for_version(address, "3");
    assert_eq!(ask(admin, &["rollback"]).status.code(), Some(0));
    wait_for_version(address, "2");

    // And from what the files say by now.
    site.write("route.yaml", &route("5"));
    weir.wait_for_log("the files changed; what they say waits");
    let released = ask(admin, &["rollback", "--release"]);
    assert_eq!(released.status.code(), Some(0));
    wait_for_version(address, "5");
    assert_eq!(ask(admin, &["rollback"]).status.code(), Some(0));
    wait_for_version(address, "2");
}

#[test]
fn the_last_twenty_configurations_are_remembered() {
    let site = Site::new();
    let weir = site.run();
    let address = weir.listening(8080);
    for edit in 2..=25 {
        site.write("route.yaml", &route(&edit.to_string()));
        wait_for_version(address, &edit.to_string());
    }
    let config = eventually("the history is written", || {
        let config = weir.api("/config").json();
        (config["sequence"] == 25).then_some(config)
    });
    let history = config["history"].as_array().expect("a list");
    assert_eq!(history.len(), 20);
    assert_eq!(history[0]["sequence"], 25);
    assert_eq!(history[19]["sequence"], 6);
    assert_eq!(history[19]["changed"][0]["change"], "changed");
    assert_eq!(ask(weir.admin(), &["rollback", "6"]).status.code(), Some(0));
    wait_for_version(address, "6");
    // The one before is only there to tell what the oldest changed.
    assert_eq!(ask(weir.admin(), &["rollback", "5"]).status.code(), Some(1));
}

#[test]
fn what_is_logged_can_be_changed() {
    let site = Site::new();
    let weir = site.run();
    weir.listening(8080);
    let admin = weir.admin();
    assert_eq!(text(&ask(admin, &["log-level"])), "info\n");
    let json = ask(admin, &["log-level", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(json, serde_json::json!({"level": "info"}));
    assert_eq!(text(&ask(admin, &["log-level", "debug"])), "debug\n");
    // That the files changed and nothing else is said at that level only.
    site.write("other.yaml", "# nothing\n");
    weir.wait_for_log("the files changed, what is in force did not");
    assert_eq!(ask(admin, &["log-level", "loud"]).status.code(), Some(2));
    let refused = post(admin, "/api/log-level", "", r#"{"level": "loud"}"#);
    assert_eq!(refused, 400);
    assert_eq!(text(&ask(admin, &["log-level"])), "debug\n");
}

/// The status of an order; `more` are further lines of its head.
fn post(admin: SocketAddr, path: &str, more: &str, body: &str) -> u16 {
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: {admin}\r\ncontent-type: application/json\r\n{more}content-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    );
    raw(admin, &request).expect("an answer").status
}

#[test]
fn pages_in_browsers_give_no_orders() {
    let site = Site::new();
    let weir = site.run();
    weir.listening(8080);
    let admin = weir.admin();
    // What a form or a script can send to another origin without asking.
    for kind in ["text/plain", "application/x-www-form-urlencoded"] {
        let request = format!(
            "POST /api/rollback HTTP/1.1\r\nhost: {admin}\r\ncontent-type: {kind}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}"
        );
        assert_eq!(raw(admin, &request).expect("an answer").status, 400);
    }
    let asking =
        format!("OPTIONS /api/rollback HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n");
    assert_eq!(raw(admin, &asking).expect("an answer").status, 405);
    for body in [
        "",
        "[]",
        r#"{"too": "1"}"#,
        r#"{"to": "1", "release": true}"#,
    ] {
        assert_eq!(post(admin, "/api/rollback", "", body), 400, "{body}");
    }
}

#[test]
fn where_others_may_reach_it_the_admin_api_asks_for_its_token() {
    let site = Site::new();
    let folder = site.path().to_str().expect("it is text");
    let open = weir()
        .args(["run", folder, "--admin", "0.0.0.0:0"])
        .output()
        .expect("the binary runs");
    assert_eq!(open.status.code(), Some(1));
    let why = String::from_utf8_lossy(&open.stderr);
    assert!(why.contains("--admin-token-file"), "{why}");

    let token = site.path().join("token");
    std::fs::write(&token, "correct-horse-battery\n").expect("it can be written");
    let token = token.to_str().expect("it is text");
    let weir = site.run_with(&["--admin-token-file", token, "--metrics", "127.0.0.1:0"]);
    let admin = weir.admin();
    let with = |authorization: &str| {
        raw(
            admin,
            &format!(
                "GET /config HTTP/1.1\r\nhost: {admin}\r\n{authorization}connection: close\r\n\r\n"
            ),
        )
        .expect("an answer")
        .status
    };
    eventually("it is ready", || {
        (get(admin, "/readyz").status == 200).then_some(())
    });
    assert_eq!(with(""), 401);
    assert_eq!(with("authorization: Bearer correct-horse-batterx\r\n"), 401);
    assert_eq!(with("authorization: Bearer correct-horse-battery\r\n"), 200);
    assert_eq!(get(admin, "/healthz").status, 200);
    assert_eq!(get(admin, "/metrics").status, 401);
    assert_eq!(post(admin, "/api/rollback", "", "{}"), 401);

    let without = ask(admin, &["rollback", "--list"]);
    assert_eq!(without.status.code(), Some(2));
    let why = String::from_utf8_lossy(&without.stderr);
    assert!(why.contains("asks for its token"), "{why}");
    let listed = ask(admin, &["rollback", "--list", "--admin-token-file", token]);
    assert_eq!(listed.status.code(), Some(0));

    let line = weir.wait_for_log("probes and metrics are served");
    let probes: SocketAddr = line["address"]
        .as_str()
        .and_then(|it| it.parse().ok())
        .expect("the line has the address");
    for (path, status) in [
        ("/healthz", 200),
        ("/readyz", 200),
        ("/metrics", 200),
        ("/config", 404),
        ("/api/plan", 404),
    ] {
        assert_eq!(get(probes, path).status, status, "{path}");
    }
    assert!(!weir.log().concat().contains("correct-horse"));
}

#[test]
fn a_support_bundle_has_what_the_api_shows_and_no_secret() {
    let site = Site::new();
    site.write(
        "secret.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {key: hidden-treasure}\n",
    );
    let filter = "{type: FILTERHeaderModifier, fieldHeaderModifier: {set: [{name: authorization, value: hidden-treasure}], \
                  add: [{name: x-key, value: hidden-treasure}]}}";
    let named = "[{name: key, value: hidden-treasure}]";
    site.write(
        "credentials.yaml",
        &format!(
            "apiVersion: gateway.networking.k8s.io/v1\n\
             kind: HTTPRoute\n\
             metadata: {{name: credentials}}\n\
             spec:\n  parentRefs: [{{name: edge}}]\n  rules:\n  \
             - matches: [{{path: {{value: /asked}}, headers: {named}, queryParams: {named}}}]\n    \
             filters: [{}, {}]\n    backendRefs: [{{name: shop, port: 80}}]\n\
             ---\n\
             apiVersion: gateway.envoyproxy.io/v1alpha1\n\
             kind: BackendTrafficPolicy\n\
             metadata: {{name: credentials}}\n\
             spec:\n  targetRefs: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, name: credentials}}]\n  \
             rateLimit: {{local: {{rules: [{{clientSelectors: [{{headers: {named}}}], limit: {{requests: 1, unit: Hour}}}}]}}}}\n",
            filter.replace("FILTER", "Request").replace("field", "request"),
            filter.replace("FILTER", "Response").replace("field", "response"),
        ),
    );
    let weir = site.run();
    weir.listening(8080);
    let out = site.path().join(".bundle.tar.gz");
    let out = out.to_str().expect("it is text");
    let written = ask(weir.admin(), &["support-bundle", "--out", out]);
    assert_eq!(
        written.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&written.stderr)
    );
    let file = std::fs::File::open(out).expect("it is there");
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    let mut names = Vec::new();
    for entry in archive.entries().expect("it is an archive") {
        let mut entry = entry.expect("a file");
        let name = entry.path().expect("a name").display().to_string();
        let mut content = String::new();
        std::io::Read::read_to_string(&mut entry, &mut content).expect("a text");
        assert!(
            !content.is_empty() && !content.contains("hidden-treasure"),
            "{name}: {content}"
        );
        if name.ends_with("plan.json") {
            let redacted = content.matches("[redacted]").count();
            assert!(content.contains("/asked") && redacted >= 7, "{content}");
        }
        assert!(text(&written).contains(name.trim_start_matches("weir-support/")));
        if name.ends_with(".json") {
            serde_json::from_str::<serde_json::Value>(&content).expect("JSON");
        }
        names.push(name);
    }
    assert_eq!(names.len(), 9, "{names:?}");
    // What is there is not written over.
    let again = ask(weir.admin(), &["support-bundle", "--out", out]);
    assert_eq!(again.status.code(), Some(2));
}
