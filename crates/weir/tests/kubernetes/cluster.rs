//! The API server, as an administrator and as the ServiceAccount of Weir, and gateways that watch it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{Echo, Weir, eventually, workspace};

/// Where objects of our kinds are.
pub(crate) const POLICIES: &str = "/apis/gateway.envoyproxy.io/v1alpha1";
/// Where objects of the Gateway API are.
pub(crate) const GATEWAYS: &str = "/apis/gateway.networking.k8s.io/v1";
/// Where definitions of kinds are.
pub(crate) const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// An API server of the tests.
#[derive(Debug)]
pub(crate) struct Cluster {
    process: Mutex<Process>,
    server: String,
    token: String,
    folder: TempDir,
    definitions: PathBuf,
}

#[derive(Debug)]
struct Process {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Process {
    fn order(&mut self, order: &str) -> Value {
        let input = self.child.stdin.as_mut().expect("it is piped");
        writeln!(input, "{order}").expect("the API server takes orders");
        self.hear()
    }

    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("it says UTF-8");
        serde_json::from_str(&line)
            .expect("the API server says that it is ready; see above why not")
    }
}

impl Cluster {
    /// Starts an API server with all definitions and with the roles of Weir.
    pub(crate) fn start(folder: &Path) -> Self {
        let mut child = Command::new(folder.join("kubernetes"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the API server starts");
        let said = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut process = Process { child, said };
        let ready = process.hear();
        let text = |name: &str| ready[name].as_str().expect("it is said").to_owned();
        let cluster = Self {
            process: Mutex::new(process),
            server: text("server"),
            token: text("token"),
            folder: tempfile::tempdir().expect("a folder can be made"),
            definitions: folder.join("crds"),
        };
        cluster.define();
        let roles = workspace().join("deploy/kubernetes/rbac.yaml");
        cluster.apply("", &fs::read_to_string(roles).expect("the roles are there"));
        let kubeconfig = cluster.kubeconfig("weir");
        fs::write(cluster.weir(), kubeconfig).expect("it can be written");
        cluster
    }

    /// Creates all definitions, and waits until their kinds are served.
    pub(crate) fn define(&self) {
        for folder in [&self.definitions, &workspace().join("deploy/crds")] {
            let mut files: Vec<_> = fs::read_dir(folder)
                .expect("the definitions are there")
                .map(|it| it.expect("they can be listed").path())
                .collect();
            files.sort();
            for file in files {
                self.apply("", &fs::read_to_string(file).expect("it can be read"));
            }
        }
        eventually("all kinds are served", || {
            let all = self.get(DEFINITIONS);
            let served = |it: &Value| {
                let conditions = it["status"]["conditions"].as_array();
                let mut conditions = conditions.into_iter().flatten();
                let established =
                    conditions.any(|it| it["type"] == "Established" && it["status"] == "True");
                let (group, version) = (&it["spec"]["group"], &it["spec"]["versions"][0]["name"]);
                let names = &it["spec"]["names"]["plural"];
                let path = [group, version, names].map(|it| it.as_str().unwrap_or_default());
                established && self.get(&format!("/apis/{}", path.join("/")))["items"].is_array()
            };
            all["items"].as_array()?.iter().all(served).then_some(())
        });
    }

    /// The kubeconfig under which gateways run: with the ServiceAccount and the roles of deploy/kubernetes.
    pub(crate) fn weir(&self) -> PathBuf {
        self.folder.path().join("weir.kubeconfig")
    }

    /// The kubeconfig of a ServiceAccount of the namespace weir-system.
    pub(crate) fn kubeconfig(&self, account: &str) -> String {
        let request =
            json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
        let path = format!("/api/v1/namespaces/weir-system/serviceaccounts/{account}/token");
        let token = &self.call("POST", &path, "application/json", &request)["status"]["token"];
        let token = token.as_str().expect("a token is given");
        kubeconfig(&self.server, token)
    }

    /// Applies documents; those without a namespace go to this one.
    pub(crate) fn apply(&self, namespace: &str, text: &str) {
        let documents: Vec<Value> = serde_saphyr::from_multiple(text).expect("it is YAML");
        for document in documents {
            let answer = self.try_apply(namespace, &document);
            assert_ne!(answer["kind"], "Status", "{answer:#}");
        }
    }

    /// Applies a document; what the API server refuses comes back as a `Status`.
    pub(crate) fn try_apply(&self, namespace: &str, document: &Value) -> Value {
        let path = path(namespace, document);
        let path = format!("{path}?fieldManager=tests&force=true");
        self.call("PATCH", &path, "application/apply-patch+yaml", document)
    }

    /// An object or a list; where there is none, a `Status` that says so.
    pub(crate) fn get(&self, path: &str) -> Value {
        self.call("GET", path, "application/json", &Value::Null)
    }

    /// Changes parts of an object or, with a path that ends in `/status`, of its status.
    pub(crate) fn merge(&self, path: &str, patch: &Value) {
        let answer = self.call("PATCH", path, "application/merge-patch+json", patch);
        assert_ne!(answer["kind"], "Status", "{answer:#}");
    }

    pub(crate) fn delete(&self, path: &str) {
        let answer = self.call("DELETE", path, "application/json", &Value::Null);
        assert_ne!(answer["status"], "Failure", "{answer:#}");
    }

    /// Ends the API server as if its machine had failed. What it stored stays.
    pub(crate) fn kill(&self) {
        self.order("kill");
    }

    /// Starts it again at the same address.
    pub(crate) fn revive(&self) {
        self.order("start");
    }

    fn order(&self, order: &str) {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        process.order(order);
    }

    /// Ends everything.
    pub(crate) fn end(&self) {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        drop(process.child.stdin.take());
        let _ = process.child.wait();
    }

    fn call(&self, method: &str, path: &str, format: &str, body: &Value) -> Value {
        let mut curl = Command::new("curl")
            .args(["--silent", "--show-error", "--insecure", "--max-time", "20"])
            .args(["--request", method, "--header"])
            .arg(format!("authorization: Bearer {}", self.token))
            .args(["--header", &format!("content-type: {format}")])
            .args(["--data-binary", "@-"])
            .arg(format!("{}{path}", self.server))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("curl is there");
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let mut input = curl.stdin.take().expect("it is piped");
        // curl reads all of it before it writes.
        input.write_all(body.as_bytes()).expect("curl reads");
        drop(input);
        let output = curl.wait_with_output().expect("curl ends");
        let text = String::from_utf8_lossy(&output.stdout);
        serde_json::from_str(&text).unwrap_or_else(|_| json!({"kind": "Status", "message": text}))
    }
}

/// A kubeconfig for whoever has a token.
pub(crate) fn kubeconfig(server: &str, token: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Config, current-context: c, contexts: [{{name: c, context: {{cluster: c, user: u, namespace: \
         weir-system}}}}], clusters: [{{name: c, cluster: {{server: '{server}', insecure-skip-tls-verify: true}}}}], users: \
         [{{name: u, user: {{token: {token}}}}}]}}"
    )
}

/// Where the API has an object.
fn path(namespace: &str, document: &Value) -> String {
    let text = |it: &Value| it.as_str().expect("it is a text").to_owned();
    let (version, kind) = (text(&document["apiVersion"]), text(&document["kind"]));
    let name = text(&document["metadata"]["name"]);
    let root = if version == "v1" {
        "/api/v1".to_owned()
    } else {
        format!("/apis/{version}")
    };
    let plural = match kind.to_lowercase() {
        it if it.ends_with("policy") => format!("{}ies", it.trim_end_matches('y')),
        it if it.ends_with("class") => format!("{it}es"),
        it => format!("{it}s"),
    };
    let namespace = match kind.as_str() {
        "ClusterRole"
        | "ClusterRoleBinding"
        | "CustomResourceDefinition"
        | "GatewayClass"
        | "Namespace"
        | "ValidatingAdmissionPolicy"
        | "ValidatingAdmissionPolicyBinding" => String::new(),
        _ => format!(
            "/namespaces/{}",
            document["metadata"]["namespace"]
                .as_str()
                .unwrap_or(namespace)
        ),
    };
    format!("{root}{namespace}/{plural}/{name}")
}

/// A namespace with a Gateway `edge`, an HTTPRoute `shop` and a backend, for one test.
#[derive(Debug)]
pub(crate) struct Site<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) namespace: &'a str,
    echo: Echo,
}

impl<'a> Site<'a> {
    pub(crate) fn new(cluster: &'a Cluster, namespace: &'a str) -> Self {
        let site = Self {
            cluster,
            namespace,
            echo: Echo::start("shop"),
        };
        cluster.apply(
            "",
            &format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {namespace}}}}}"),
        );
        site.apply(&format!(
            "
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: {namespace}}}
spec: {{controllerName: {controller}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge}}
spec: {{gatewayClassName: {namespace}, listeners: [{{name: http, protocol: HTTP, port: 80}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: shop}}
spec: {{ports: [{{port: 80}}]}}
",
            controller = site.controller()
        ));
        site.route("shop", "/", "1");
        site
    }

    /// The name of the controller of this test alone.
    pub(crate) fn controller(&self) -> String {
        format!("weir.dev/{}", self.namespace)
    }

    pub(crate) fn apply(&self, text: &str) {
        self.cluster.apply(self.namespace, text);
    }

    /// Creates or changes a route of everything below a path, whose answers say a version.
    pub(crate) fn route(&self, name: &str, prefix: &str, version: &str) {
        self.apply(&format!(
            "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}}}
spec:
  parentRefs: [{{name: edge}}]
  rules:
  - matches: [{{path: {{type: PathPrefix, value: '{prefix}'}}}}]
    filters:
    - type: ResponseHeaderModifier
      responseHeaderModifier: {{set: [{{name: x-version, value: '{version}'}}]}}
    backendRefs: [{{name: shop, port: 80}}]
"
        ));
    }

    /// Where an object of the namespace is, such as `gateways/edge` below [`GATEWAYS`].
    pub(crate) fn path(&self, root: &str, object: &str) -> String {
        format!("{root}/namespaces/{}/{object}", self.namespace)
    }

    pub(crate) fn get(&self, root: &str, object: &str) -> Value {
        self.cluster.get(&self.path(root, object))
    }

    /// Waits until a gateway has said something true about an object; what `find` returns comes back.
    pub(crate) fn wait<T>(
        &self,
        what: &str,
        root: &str,
        object: &str,
        find: impl Fn(&Value) -> Option<T>,
    ) -> T {
        eventually(
            &format!("{object}: {what}; it is {:#}", self.get(root, object)),
            || find(&self.get(root, object)),
        )
    }

    /// A gateway of this test's class that watches its namespace.
    pub(crate) fn run(&self, more: &[&str]) -> Replica {
        self.run_as(&self.cluster.weir(), more)
    }

    pub(crate) fn run_as(&self, kubeconfig: &Path, more: &[&str]) -> Replica {
        let kubeconfig = kubeconfig.to_str().expect("it is text");
        let controller = self.controller();
        let backend = format!("{}/shop:80={}", self.namespace, self.echo.address);
        let mut args = vec!["--provider", "kubernetes", "--kubeconfig", kubeconfig];
        args.extend(["--controller-name", &controller, "--backend", &backend]);
        args.extend([
            "--watch-namespaces",
            self.namespace,
            "--port-map",
            "80=0,443=0",
        ]);
        args.extend(more);
        Replica {
            weir: Weir::run(&args),
        }
    }
}

/// A gateway that gives the Lease back when it is dropped, so that the next test need not wait for it.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) weir: Weir,
}

impl Drop for Replica {
    fn drop(&mut self) {
        if self.weir.is_running() && !std::thread::panicking() {
            self.weir.signal("CONT");
            self.weir.signal("TERM");
            self.weir.wait();
        }
    }
}

/// The status of a condition, `""` where it is not there.
pub(crate) fn condition<'v>(conditions: &'v Value, r#type: &str) -> &'v str {
    let mut conditions = conditions.as_array().into_iter().flatten();
    let found = conditions.find(|it| it["type"] == r#type);
    found
        .and_then(|it| it["status"].as_str())
        .unwrap_or_default()
}
