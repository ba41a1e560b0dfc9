//! Writes what is served: a Gateway, one backend, and any number of routes, one file each, some with a policy.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

/// The host name of a route.
pub(crate) fn host(route: usize) -> String {
    format!("r{route}.example.com")
}

/// Writes a folder of so many routes; every tenth has a policy.
pub(crate) fn write(folder: &Path, routes: usize, backend: u16) -> Result<()> {
    fs::write(
        folder.join("gateway.yaml"),
        format!(
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
  listeners: [{{name: http, protocol: HTTP, port: 80}}]
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {{name: echo}}
spec: {{endpoints: [{{ip: {{address: 127.0.0.1, port: {backend}}}}}]}}
"
        ),
    )?;
    for route in 0..routes {
        write_route(folder, route, 0)?;
    }
    Ok(())
}

/// Whether a route has a policy.
pub(crate) fn has_policy(route: usize) -> bool {
    route.is_multiple_of(10)
}

/// Writes one route anew, as an editor does: beside, then renamed. The version shows in the header `x-version` of its
/// responses, and in the policy's settings where there is one.
pub(crate) fn write_route(folder: &Path, route: usize, version: usize) -> Result<()> {
    let mut text = format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: r{route}}}
spec:
  parentRefs: [{{name: edge}}]
  hostnames: [{host}]
  rules:
  - matches: [{{path: {{type: PathPrefix, value: /}}}}]
    filters:
    - type: ResponseHeaderModifier
      responseHeaderModifier: {{set: [{{name: x-version, value: v{version}.}}]}}
    backendRefs: [{{group: gateway.envoyproxy.io, kind: Backend, name: echo}}]
",
        host = host(route)
    );
    if has_policy(route) {
        let limit = 1_000_000 + version;
        text += &format!(
            "---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {{name: p{route}}}
spec:
  targetRefs: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, name: r{route}}}]
  circuitBreaker: {{maxConnections: 512, maxParallelRequests: 2048}}
  timeout: {{http: {{requestTimeout: 10s}}}}
  retry: {{numRetries: 2, retryOn: {{triggers: [connect-failure]}}}}
  rateLimit: {{local: {{rules: [{{limit: {{requests: {limit}, unit: Hour}}}}]}}}}
"
        );
    }
    let beside: PathBuf = folder.join(format!(".r{route}.tmp"));
    fs::write(&beside, text)?;
    fs::rename(beside, folder.join(format!("r{route:05}.yaml")))?;
    Ok(())
}
