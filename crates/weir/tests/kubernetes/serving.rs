//! Traffic follows what the cluster says: routes, endpoints, Secrets, and what is deleted.

use serde_json::json;

use crate::cluster::{Cluster, GATEWAYS, Site, condition};
use crate::http;
use crate::process::eventually;

pub(crate) fn follows(cluster: &Cluster, name: &str) {
    let site = Site::new(cluster, name);
    let replica = site.run(&[]);
    let weir = &replica.weir;
    let address = weir.listening(80);
    let version = |expected: &str| {
        eventually(&format!("version {expected} is served"), || {
            let answer = http::try_get(address, "/").ok()?;
            (answer.status == 200 && answer.head.contains(&format!("x-version: {expected}")))
                .then_some(())
        });
    };
    version("1");
    site.route("shop", "/", "2");
    version("2");

    site.apply(
        "
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: other-1, labels: {kubernetes.io/service-name: other}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [192.0.2.9]}]
---
apiVersion: v1
kind: Service
metadata: {name: other}
spec: {ports: [{port: 80}]}
",
    );
    let endpoint = |expected: &str| {
        eventually(&format!("{expected} is an endpoint"), || {
            let plan = weir.api("/api/plan").json();
            plan["endpoints"]
                .to_string()
                .contains(expected)
                .then_some(())
        });
    };
    endpoint("192.0.2.9:8080");
    let slice = site.path("/apis/discovery.k8s.io/v1", "endpointslices/other-1");
    cluster.merge(
        &slice,
        &json!({"endpoints": [{"addresses": ["192.0.2.10"]}]}),
    );
    endpoint("192.0.2.10:8080");

    cluster.delete(&site.path(GATEWAYS, "httproutes/shop"));
    eventually("the route is gone", || {
        (http::try_get(address, "/").ok()?.status == 404).then_some(())
    });
    cluster.delete(&site.path(GATEWAYS, "gateways/edge"));
    eventually("the port is closed", || {
        http::try_get(address, "/").is_err().then_some(())
    });
}

pub(crate) fn secrets(cluster: &Cluster, name: &str) {
    let site = Site::new(cluster, name);
    let gateway = site.path(GATEWAYS, "gateways/edge");
    let https = json!({"spec": {"listeners": [{"name": "https", "protocol": "HTTPS", "port": 443,
        "tls": {"certificateRefs": [{"name": "cert"}]}}]}});
    cluster.merge(&gateway, &https);
    let replica = site.run(&[]);
    let resolved = |expected: &str| {
        site.wait(
            &format!("ResolvedRefs is {expected}"),
            GATEWAYS,
            "gateways/edge",
            |it| {
                let conditions = &it["status"]["listeners"][0]["conditions"];
                (condition(conditions, "ResolvedRefs") == expected).then_some(())
            },
        );
    };
    resolved("False");
    let pair = rcgen::generate_simple_self_signed(["shop.example".to_owned()])
        .expect("a certificate can be made");
    let secret = |name: &str, certificate: &str| {
        let data = json!({"tls.crt": certificate, "tls.key": pair.signing_key.serialize_pem()});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
            "type": "kubernetes.io/tls", "stringData": data});
        site.apply(&secret.to_string());
    };
    secret("cert", &pair.cert.pem());
    resolved("True");
    replica.weir.listening(443);
    // A change of the content is followed, also to something that cannot be used.
    secret("cert", "no certificate");
    resolved("False");
    secret("cert", &pair.cert.pem());
    resolved("True");
    cluster.delete(&site.path("/api/v1", "secrets/cert"));
    resolved("False");
}
