//! Weir's side of a case: a Gateway, its routes, and a BackendTrafficPolicy on all of them.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::Result;

use super::case::{Load, Setup};
use super::{Case, HOST, PROXY, Site, path};
use crate::process::{self, Process, free_port, on_core};

pub(crate) fn start(binary: &Path, case: &Case, site: &Site) -> Result<Process> {
    let folder = tempfile::Builder::new()
        .prefix("weir")
        .tempdir_in(&site.place)?
        .keep();
    fs::write(folder.join("all.yaml"), resources(case, site)?)?;
    let port = free_port()?;
    let mut command = on_core(binary, Some(PROXY));
    command.arg("run").arg(&folder).args(["--workers", "1"]);
    command.args(["--admin", "off", "--log-level", "error"]);
    command.args(["--port-map", &format!("80={port}"), "--access-log"]);
    if case.setup.logs {
        command.arg(folder.join("access.log"));
    } else {
        command.arg("off");
    }
    process::start(command, port)
}

fn resources(case: &Case, site: &Site) -> Result<String> {
    let Setup {
        routes,
        policies,
        tls,
        logs: _,
    } = case.setup;
    let grpc = matches!(case.load, Load::Grpc);
    let (listener, port, protocols) = (
        if tls {
            "{name: web, protocol: HTTPS, port: 80, tls: {certificateRefs: [{name: tls}]}}"
        } else {
            "{name: web, protocol: HTTP, port: 80}"
        },
        if grpc {
            site.grpc_backend
        } else {
            site.backend
        },
        if grpc {
            "appProtocols: [gateway.envoyproxy.io/h2c], "
        } else {
            ""
        },
    );
    let mut text = format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: weir}}
spec: {{controllerName: weir.dev/gateway-controller}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge}}
spec:
  gatewayClassName: weir
  listeners: [{listener}]
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {{name: backend}}
spec: {{{protocols}endpoints: [{{ip: {{address: 127.0.0.1, port: {port}}}}}]}}
"
    );
    if tls {
        write!(
            text,
            "---
apiVersion: v1
kind: Secret
metadata: {{name: tls, annotations: {{weir.dev/certificate-file: {}, weir.dev/key-file: {}}}}}
type: kubernetes.io/tls
",
            site.certificate.display(),
            site.key.display()
        )?;
    }
    if policies {
        text += "---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {name: policies}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: edge}]
  circuitBreaker: {maxConnections: 8192, maxPendingRequests: 8192, maxParallelRequests: 8192}
  timeout: {http: {requestTimeout: 10s}}
  retry: {numRetries: 2, retryOn: {triggers: [connect-failure]}}
  rateLimit: {local: {rules: [{limit: {requests: 1000000, unit: Second}}]}}
";
    }
    for route in 0..routes {
        let path = path(route);
        write!(
            text,
            "---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: r{route:05}}}
spec:
  parentRefs: [{{name: edge}}]
  hostnames: [{HOST}]
  rules:
  - matches: [{{path: {{type: PathPrefix, value: {path}}}}}]
    backendRefs: [{{group: gateway.envoyproxy.io, kind: Backend, name: backend}}]
"
        )?;
    }
    Ok(text)
}
