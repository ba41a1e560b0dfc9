//! `weir run`: what files say is served, edits take effect, and what breaks is said while the last good goes on.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;

use crate::http::{self, Answer};
use crate::process::{Echo, Weir, eventually, output, weir};

const GATEWAY: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: weir}
spec: {controllerName: weir.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: weir
  listeners:
  - {name: http, protocol: HTTP, port: 8080}
";

/// A route whose answers bear a header that says which version of the file is in force.
pub(crate) fn route(version: &str) -> String {
    format!(
        "\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: shop}}
spec:
  parentRefs: [{{name: edge}}]
  rules:
  - filters:
    - type: ResponseHeaderModifier
      responseHeaderModifier:
        set: [{{name: x-version, value: '{version}'}}]
    backendRefs: [{{name: shop, port: 80}}]
---
apiVersion: v1
kind: Service
metadata: {{name: shop}}
spec:
  ports: [{{port: 80}}]
"
    )
}

/// A folder with a gateway and the route, and the arguments to serve it with a backend.
pub(crate) struct Site {
    pub(crate) dir: tempfile::TempDir,
    _echo: Echo,
    backend: String,
}

impl Site {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder can be made");
        let echo = Echo::start("shop");
        let backend = format!("default/shop:80={}", echo.address);
        let site = Self {
            dir,
            _echo: echo,
            backend,
        };
        site.write("gateway.yaml", GATEWAY);
        site.write("route.yaml", &route("1"));
        site
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        // As an editor saves: a new file takes the place of the old one.
        let new = self.path().join(format!(".{name}.new"));
        fs::write(&new, text).expect("it can be written");
        fs::rename(new, self.path().join(name)).expect("it can be renamed");
    }

    pub(crate) fn run(&self) -> Weir {
        self.run_with(&[])
    }

    pub(crate) fn run_with(&self, more: &[&str]) -> Weir {
        let mut args = vec!["--port-map", "8080=0"];
        args.extend(more);
        self.run_alone(&args)
    }

    /// With no address that is not given.
    pub(crate) fn run_alone(&self, more: &[&str]) -> Weir {
        let mut args = vec![
            self.path().to_str().expect("it is text"),
            "--backend",
            &self.backend,
        ];
        args.extend(more);
        Weir::run(&args)
    }
}

pub(crate) fn version(answer: &Answer) -> Option<String> {
    answer
        .head
        .lines()
        .find_map(|line| line.strip_prefix("x-version: ").map(str::to_owned))
}

pub(crate) fn wait_for_version(address: SocketAddr, expected: &str) {
    eventually(&format!("version {expected} is served"), || {
        (version(&http::get(address, "/")).as_deref() == Some(expected)).then_some(())
    });
}

#[test]
fn an_edit_takes_effect() {
    let site = Site::new();
    let weir = site.run();
    let address = weir.listening(8080);
    let answer = http::get(address, "/cart");
    assert_eq!(
        (answer.status, version(&answer).as_deref()),
        (200, Some("1"))
    );
    assert_eq!(answer.json()["backend"], "shop");
    let hash = weir.api("/api/status").json()["configuration"]["hash"].clone();
    site.write("route.yaml", &route("2"));
    wait_for_version(address, "2");
    eventually("the status shows the new configuration", || {
        let now = weir.api("/api/status").json();
        (now["configuration"]["hash"] != hash
            && now["configuration"]["sequence"].as_u64() > Some(1))
        .then_some(())
    });
    assert_eq!(
        weir.listening(8080),
        address,
        "a listener that stays keeps its port"
    );
    fs::remove_file(site.path().join("route.yaml")).unwrap();
    eventually("the route is gone", || {
        (http::get(address, "/").status == 404).then_some(())
    });
}

#[test]
fn what_breaks_keeps_its_last_good_version() {
    let site = Site::new();
    let weir = site.run();
    let address = weir.listening(8080);
    site.write("route.yaml", "kind: HTTPRoute\n  broken: [");
    let findings = eventually("the finding shows", || {
        let findings = weir.api("/api/findings").json();
        (findings["errors"].as_u64() > Some(0)).then_some(findings)
    });
    let finding = &findings["findings"][0];
    assert!(
        finding["file"].as_str().unwrap().ends_with("route.yaml"),
        "{finding}"
    );
    assert!(finding["line"].as_u64().is_some(), "{finding}");
    assert_eq!(version(&http::get(address, "/")).as_deref(), Some("1"));
    assert_eq!(
        weir.api("/readyz").status,
        200,
        "all that ever was good is served"
    );
    let metrics = weir.api("/metrics").body;
    assert!(
        metrics.contains("weir_config_findings{severity=\"error\"} 1"),
        "{metrics}"
    );
    let logged = weir
        .log()
        .iter()
        .any(|line| line.contains("\"level\":\"ERROR\"") && line.contains("route.yaml"));
    assert!(logged, "{:#?}", weir.log());
    site.write("route.yaml", &route("1"));
    eventually("the log says that it is mended", || {
        let mut lines = weir.log().into_iter();
        lines.find(|it| it.contains("what is in force did not") && it.contains("\"errors\":0"))
    });
    site.write("route.yaml", &route("3"));
    wait_for_version(address, "3");
    assert_eq!(weir.api("/api/findings").json()["errors"], 0);
}

#[test]
fn what_never_was_good_makes_it_unready() {
    let site = Site::new();
    site.write("other.yaml", "kind: HTTPRoute\n  broken: [");
    let weir = site.run();
    let address = weir.listening(8080);
    assert_eq!(http::get(address, "/").status, 200, "the rest is served");
    let ready = weir.api("/readyz");
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("other.yaml"), "{}", ready.body);
    assert_eq!(weir.api("/healthz").status, 200);
    fs::remove_file(site.path().join("other.yaml")).unwrap();
    eventually("it is ready", || {
        (weir.api("/readyz").status == 200).then_some(())
    });
}

#[test]
fn an_empty_folder_serves_nothing_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let weir = Weir::run(&[dir.path().to_str().unwrap()]);
    weir.wait_for_log("there is no Gateway");
    eventually("the configuration is in force", || {
        (weir.api("/api/status").status == 200).then_some(())
    });
    let ready = weir.api("/readyz");
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("nothing is served"), "{}", ready.body);
    assert_eq!(
        weir.api("/api/status").json()["listening"],
        serde_json::json!([])
    );
}

#[test]
fn a_listener_comes_and_goes() {
    let site = Site::new();
    let weir = site.run_with(&["--port-map", "8081=0"]);
    weir.listening(8080);
    weir.wait_for_log("--port-map 8081=0 has no effect yet");
    let second = "  - {name: other, protocol: HTTP, port: 8081}\n";
    site.write("gateway.yaml", &format!("{GATEWAY}{second}"));
    let address = weir.listening(8081);
    assert_eq!(http::get(address, "/").status, 200);
    site.write("gateway.yaml", GATEWAY);
    eventually("the port is closed", || {
        http::try_get(address, "/").is_err().then_some(())
    });
}

#[test]
fn standard_input_is_a_source() {
    let echo = Echo::start("shop");
    let mut command = weir();
    command
        .args([
            "run",
            "-",
            "--admin",
            "127.0.0.1:0",
            "--access-log",
            "off",
            "--log-format",
            "json",
        ])
        .args([
            "--port-map",
            "8080=0",
            "--backend",
            &format!("default/shop:80={}", echo.address),
        ])
        .stdin(Stdio::piped());
    let mut weir = Weir::start(command);
    let mut stdin = weir.stdin();
    stdin
        .write_all(format!("{GATEWAY}---\n{}", route("stdin")).as_bytes())
        .unwrap();
    drop(stdin);
    let answer = http::get(weir.listening(8080), "/");
    assert_eq!(
        (answer.status, version(&answer).as_deref()),
        (200, Some("stdin"))
    );
}

#[test]
fn a_path_that_is_not_there_is_said() {
    let run = output(&["run", "no-such-folder", "--admin", "off"]);
    assert_eq!(run.status.code(), Some(2));
    let message = String::from_utf8_lossy(&run.stderr);
    assert!(message.contains("no-such-folder"), "{message}");
}

#[test]
fn wrong_usage_is_said() {
    for args in [
        &["run"][..],
        &["run", ".", "--port-map", "80"],
        &["run", ".", "--port-map", "80=8080,80=8081"],
        &["run", ".", "--port-map", "80=8080,81=8080"],
        &["run", ".", "--backend", "shop"],
        &["run", ".", "--workers", "0"],
        &["run", ".", "--drain-timeout", "30"],
        &["run", ".", "--admin", "9901"],
        &["run", ".", "--log-level", "nonsense"],
        &["check"],
        &["translate", "."],
        &["nonsense"],
    ] {
        assert_eq!(output(args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn a_port_in_use_is_said_and_shows_in_the_status() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let site = Site::new();
    let second = "  - {name: other, protocol: HTTP, port: 8081}\n";
    site.write("gateway.yaml", &format!("{GATEWAY}{second}"));
    let weir = site.run_with(&["--port-map", &format!("8081={port}")]);
    let address = weir.listening(8080);
    assert_eq!(
        http::get(address, "/").status,
        200,
        "the other port is served"
    );
    let ready = weir.api("/readyz");
    assert_eq!(ready.status, 503);
    assert!(
        ready.body.contains(&port.to_string()) && ready.body.contains("--port-map"),
        "{}",
        ready.body
    );
    let status = weir.api("/api/status").json();
    let listeners = status["statuses"]["gateways"]["default/edge"]["listeners"]
        .as_array()
        .unwrap()
        .clone();
    let programmed = |name: &str| {
        let listener = listeners.iter().find(|it| it["name"] == name).unwrap();
        let conditions = listener["conditions"].as_array().unwrap();
        conditions
            .iter()
            .find(|it| it["type"] == "Programmed")
            .unwrap()["status"]
            .clone()
    };
    assert_eq!(
        (programmed("http"), programmed("other")),
        ("True".into(), "False".into())
    );
    let finding = &weir.api("/api/findings").json()["findings"][0];
    assert_eq!(finding["id"], "cannot-listen");
    drop(taken);
    eventually("the port is served when it is free", || {
        (weir.api("/readyz").status == 200).then_some(())
    });
}

#[test]
fn a_second_weir_on_the_same_port_is_refused() {
    let site = Site::new();
    let first = site.run();
    let port = first.listening(8080).port();
    let second = output(&[
        "run",
        site.path().to_str().unwrap(),
        "--port-map",
        &format!("8080={port}"),
        "--admin",
        "off",
    ]);
    assert_eq!(second.status.code(), Some(1));
    let message = String::from_utf8_lossy(&second.stderr);
    assert!(
        message.contains(&port.to_string()) && message.contains("--port-map"),
        "{message}"
    );
    let admin = first.admin().to_string();
    let third = output(&[
        "run",
        site.path().to_str().unwrap(),
        "--port-map",
        "8080=0",
        "--admin",
        &admin,
    ]);
    assert_eq!(third.status.code(), Some(1));
    let message = String::from_utf8_lossy(&third.stderr);
    assert!(
        message.contains(&admin) && message.contains("--admin"),
        "{message}"
    );
    assert_eq!(http::get(first.listening(8080), "/").status, 200);
}

#[test]
fn a_backend_override_without_its_service_says_what_is_missing() {
    let site = Site::new();
    let weir = site.run_with(&[
        "--backend",
        "default/nowhere:80=127.0.0.1:9",
        "--backend",
        "default/shop:81=127.0.0.1:9",
    ]);
    weir.listening(8080);
    let findings = weir.api("/api/findings").json();
    let messages: Vec<&str> = findings["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|it| it["id"] == "backend-override")
        .filter_map(|it| it["message"].as_str())
        .collect();
    assert_eq!(messages.len(), 2, "{findings}");
    assert!(
        messages[0].contains("there is no Service default/nowhere"),
        "{messages:?}"
    );
    assert!(messages[1].contains("no port 81, but [80]"), "{messages:?}");
}

/// New work is refused first, and what is in progress goes on. Where nothing is in progress, nothing would be won by it.
#[test]
fn above_the_ceiling_of_memory_new_work_is_refused() {
    let site = Site::new();
    // Any process holds more than a mebibyte.
    let weir = site.run_with(&["--max-memory", "1Mi"]);
    let address = weir.listening(8080);
    assert_eq!(http::get(address, "/cart").status, 200);
    let slow = std::thread::spawn(move || http::get(address, "/cart?delay=1500ms"));
    weir.wait_for_log("new work is refused");
    // Until the one in progress ends, its connection among them, others are closed or answered 503.
    let refused = http::try_get(address, "/cart");
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(slow.join().expect("it ends").status, 200);
    weir.wait_for_log("new work is taken again");
    let answer = eventually("it is taken", || http::try_get(address, "/cart").ok());
    assert_eq!(answer.status, 200);
    let metrics = weir.api("/metrics").body;
    assert!(
        metrics.contains("\nweir_process_resident_memory_bytes "),
        "{metrics}"
    );
}

#[test]
fn above_the_ceiling_of_connections_further_ones_are_closed() {
    let site = Site::new();
    let weir = site.run_with(&["--max-connections", "2"]);
    let address = weir.listening(8080);
    let open: Vec<_> = (0..2)
        .map(|_| std::net::TcpStream::connect(address).expect("it listens"))
        .collect();
    eventually("two are counted", || {
        let metrics = weir.api("/metrics").body;
        metrics
            .contains("\nweir_downstream_connections 2\n")
            .then_some(())
    });
    let third = http::try_get(address, "/cart");
    assert!(third.is_err(), "{third:?}");
    drop(open);
    let answer = eventually("there is room again", || {
        http::try_get(address, "/cart").ok()
    });
    assert_eq!(answer.status, 200);
}
