//! What a cluster may have that is not expected: objects that cannot be read, kinds that are not there, or not any more.

use serde_json::json;

use crate::cluster::{Cluster, DEFINITIONS, POLICIES, Site};
use crate::http;
use crate::process::eventually;

pub(crate) fn broken(cluster: &Cluster, name: &str) {
    let site = Site::new(cluster, name);
    let definition = format!("{DEFINITIONS}/httproutefilters.gateway.envoyproxy.io");
    let whole = cluster.get(&definition);
    // As a definition of the future may allow what we do not know.
    let mut lax = whole["spec"]["versions"].clone();
    lax[0]["schema"]["openAPIV3Schema"] =
        json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    cluster.merge(&definition, &json!({"spec": {"versions": lax}}));
    let filter = json!({"apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "HTTPRouteFilter",
        "metadata": {"name": "odd"}, "spec": {"urlRewrite": 5}});
    eventually("the definition is in force", || {
        (cluster.try_apply(name, &filter)["kind"] == "HTTPRouteFilter").then_some(())
    });
    let replica = site.run(&[]);
    let weir = &replica.weir;
    let address = weir.listening(80);
    eventually("it is reported", || {
        let findings = weir.api("/api/findings").json()["findings"].clone();
        let mut findings = findings.as_array()?.iter();
        findings
            .any(|it| it["object"].to_string().contains("odd") && it["severity"] == "error")
            .then_some(())
    });
    site.route("shop", "/", "2");
    eventually("other objects are followed", || {
        let answer = http::try_get(address, "/").ok()?;
        answer.head.contains("x-version: 2").then_some(())
    });
    cluster.delete(&site.path(POLICIES, "httproutefilters/odd"));
    eventually("it is forgotten", || {
        let findings = weir.api("/api/findings").json();
        (findings["errors"] == 0).then_some(())
    });
    cluster.merge(
        &definition,
        &json!({"spec": {"versions": whole["spec"]["versions"]}}),
    );
}

pub(crate) fn appears(cluster: &Cluster, name: &str) {
    let definition = format!("{DEFINITIONS}/backendtrafficpolicies.gateway.envoyproxy.io");
    cluster.delete(&definition);
    eventually("the kind is gone", || {
        (cluster.get(&definition)["kind"] == "Status").then_some(())
    });
    let site = Site::new(cluster, name);
    let replica = site.run(&[]);
    let weir = &replica.weir;
    weir.wait_for_log("the cluster has no backendtrafficpolicies.gateway.envoyproxy.io");
    weir.listening(80);
    cluster.define();
    site.apply(
        "
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {name: limits}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: shop}]
  timeout: {http: {requestTimeout: 5s}}
",
    );
    let policies = |expected: u64| {
        eventually(&format!("{expected} policies are in force"), || {
            let status = weir.api("/api/status").json();
            (status["configuration"]["counts"]["policies"] == expected).then_some(())
        });
    };
    policies(1);
    site.wait("told of", POLICIES, "backendtrafficpolicies/limits", |it| {
        it["status"]["ancestors"][0]["controllerName"]
            .as_str()
            .map(str::to_owned)
    });
    cluster.delete(&definition);
    policies(0);
    assert_eq!(http::get(weir.listening(80), "/").status, 200);
    cluster.define();
}
