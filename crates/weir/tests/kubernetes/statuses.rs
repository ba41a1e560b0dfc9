//! Statuses in the API server: true, of the newest generation, written once, and beside those of others.

use serde_json::{Value, json};

use crate::cluster::{Cluster, GATEWAYS, POLICIES, Site, condition};
use crate::process::eventually;

const POLICY: &str = "
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {name: limits}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: shop}]
  timeout: {http: {requestTimeout: 5s}}
";

pub(crate) fn are_true(cluster: &Cluster, name: &str) {
    let site = Site::new(cluster, name);
    site.apply(POLICY);
    site.apply(
        "
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {name: outside}
spec: {endpoints: [{fqdn: {hostname: shop.example, port: 80}}]}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: ClientTrafficPolicy
metadata: {name: clients}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: edge}]
  timeout: {http: {requestReceivedTimeout: 10s}}
",
    );
    let _replica = site.run(&["--publish-address", "192.0.2.7,gw.example.com"]);

    let class = format!("{GATEWAYS}/gatewayclasses/{name}");
    eventually("the class is accepted", || {
        let status = &cluster.get(&class)["status"];
        let features = status["supportedFeatures"].as_array()?.len();
        (condition(&status["conditions"], "Accepted") == "True" && features > 0).then_some(())
    });
    let attached = |expected: u64| {
        site.wait(
            &format!("{expected} routes"),
            GATEWAYS,
            "gateways/edge",
            |it| {
                let status = &it["status"];
                let programmed = condition(&status["conditions"], "Programmed") == "True";
                (programmed && status["listeners"][0]["attachedRoutes"] == expected)
                    .then(|| status.clone())
            },
        )
    };
    let status = attached(1);
    let addresses = json!([{"type": "IPAddress", "value": "192.0.2.7"}, {"type": "Hostname", "value": "gw.example.com"}]);
    assert_eq!(status["addresses"], addresses);
    accepted(&site, GATEWAYS, "httproutes/shop", "parents");
    accepted(
        &site,
        POLICIES,
        "backendtrafficpolicies/limits",
        "ancestors",
    );
    accepted(
        &site,
        POLICIES,
        "clienttrafficpolicies/clients",
        "ancestors",
    );
    site.wait("accepted", POLICIES, "backends/outside", |it| {
        (condition(&it["status"]["conditions"], "Accepted") == "True").then_some(())
    });

    // A new generation is told of, and the time stays that of the last flip.
    let before = accepted(&site, GATEWAYS, "httproutes/shop", "parents");
    site.route("shop", "/", "2");
    let after = site.wait("the new generation", GATEWAYS, "httproutes/shop", |it| {
        let condition = &it["status"]["parents"][0]["conditions"][0];
        (condition["observedGeneration"] == it["metadata"]["generation"]
            && condition["observedGeneration"] != before["observedGeneration"])
            .then(|| condition.clone())
    });
    assert_eq!(after["lastTransitionTime"], before["lastTransitionTime"]);

    cluster.delete(&site.path(GATEWAYS, "httproutes/shop"));
    attached(0);
}

/// Waits until an object is accepted in its first relation, and returns that condition.
fn accepted(site: &Site<'_>, root: &str, object: &str, relations: &str) -> Value {
    site.wait("accepted", root, object, |it| {
        let relation = &it["status"][relations][0];
        let ours = relation["controllerName"] == *site.controller();
        let first = &relation["conditions"][0];
        (ours && first["type"] == "Accepted" && first["status"] == "True").then(|| first.clone())
    })
}

pub(crate) fn of_others(cluster: &Cluster, name: &str) {
    let site = Site::new(cluster, name);
    let replica = site.run(&[]);
    let route = "httproutes/shop";
    accepted(&site, GATEWAYS, route, "parents");
    let ours = site.get(GATEWAYS, route)["status"]["parents"][0].clone();
    let theirs = json!({"parentRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "theirs"}, "controllerName": "example.com/other", "conditions": [
        {"type": "Accepted", "status": "True", "reason": "Accepted", "message": "", "observedGeneration": 1,
         "lastTransitionTime": "2026-01-02T03:04:05Z"}]});
    let status = format!("{}/status", site.path(GATEWAYS, route));
    cluster.merge(&status, &json!({"status": {"parents": [theirs, ours]}}));
    site.route("shop", "/", "2");
    let parents = site.wait("ours is of the new generation", GATEWAYS, route, |it| {
        let parents = &it["status"]["parents"];
        (parents[1]["conditions"][0]["observedGeneration"] == it["metadata"]["generation"])
            .then(|| parents.clone())
    });
    assert_eq!(parents[0], theirs);

    // What somebody else makes of our entry is put right again.
    let mut wrong = parents.clone();
    wrong[1]["conditions"][0]["status"] = "False".into();
    cluster.merge(&status, &json!({"status": {"parents": wrong}}));
    site.wait("it is put right", GATEWAYS, route, |it| {
        (it["status"]["parents"][1]["conditions"][0]["status"] == "True").then_some(())
    });

    // A route that leaves keeps the entries of others alone.
    cluster.merge(
        &site.path(GATEWAYS, route),
        &json!({"spec": {"parentRefs": []}}),
    );
    site.wait("ours is gone", GATEWAYS, route, |it| {
        (it["status"]["parents"] == json!([theirs])).then_some(())
    });
    drop(replica);
}

pub(crate) fn once(cluster: &Cluster, name: &str) {
    let site = Site::new(cluster, name);
    site.apply(POLICY);
    let replica = site.run(&[]);
    accepted(
        &site,
        POLICIES,
        "backendtrafficpolicies/limits",
        "ancestors",
    );
    accepted(&site, GATEWAYS, "httproutes/shop", "parents");
    site.wait("programmed", GATEWAYS, "gateways/edge", |it| {
        (condition(&it["status"]["conditions"], "Programmed") == "True").then_some(())
    });
    let class = format!("{GATEWAYS}/gatewayclasses/{name}");
    let versions = || {
        let objects = [
            site.get(POLICIES, "backendtrafficpolicies/limits"),
            site.get(GATEWAYS, "httproutes/shop"),
            site.get(GATEWAYS, "gateways/edge"),
            cluster.get(&class),
        ];
        objects.map(|it| it["metadata"]["resourceVersion"].clone())
    };
    let before = versions();
    // Other objects come, change and go meanwhile; the last of them marks that all was taken in and written.
    for round in 0..5 {
        let service = format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: more-{round}}}, spec: {{ports: [{{port: 80}}]}}}}"
        );
        site.apply(&service);
    }
    site.apply(
        "
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {name: last}
spec: {endpoints: [{fqdn: {hostname: shop.example, port: 80}}]}
",
    );
    site.wait("accepted", POLICIES, "backends/last", |it| {
        (condition(&it["status"]["conditions"], "Accepted") == "True").then_some(())
    });
    assert_eq!(versions(), before);
    drop(replica);
    let again = site.run(&[]);
    again
        .weir
        .wait_for_log("leading: this replica writes statuses");
    site.apply(
        &POLICY
            .replace("name: limits", "name: marker")
            .replace("name: shop", "name: none"),
    );
    site.wait(
        "told of its target",
        POLICIES,
        "backendtrafficpolicies/marker",
        |it| it["metadata"]["resourceVersion"].is_string().then_some(()),
    );
    assert_eq!(
        versions(),
        before,
        "a new process writes what is there already"
    );
}
