//! `routingType`: requests go to the endpoints of a Service, or to its cluster IP.

use crate::backend::Backend;
use crate::client::Client;
use crate::gateway::{EDGE, Gateway, policy, route};

#[test]
fn requests_go_to_the_endpoints_or_to_the_cluster_ip() {
    let [cluster_ip, endpoint] = ["cluster ip", "endpoint"].map(Backend::named);
    let port = cluster_ip.address.port();
    let service = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: app}}\n\
         spec: {{clusterIP: 127.0.0.1, ports: [{{port: {port}, targetPort: {endpoint}}}]}}\n\
         ---\n\
         apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\n\
         metadata: {{name: app, labels: {{kubernetes.io/service-name: app}}}}\n\
         ports: [{{port: {endpoint}}}]\nendpoints: [{{addresses: [127.0.0.1]}}]\n",
        endpoint = endpoint.address.port()
    );
    let route = route(
        "app",
        &format!("[{{backendRefs: [{{name: app, port: {port}}}]}}]"),
    );
    let routed = |kind| policy("routed", "HTTPRoute app", &format!("routingType: {kind}"));
    let mut gateway = Gateway::start(&[EDGE, &service, &route]);
    let answer = |gateway: &Gateway| {
        let mut client = Client::connect(gateway.address());
        client.get("any.example", "/").text()
    };
    assert_eq!(answer(&gateway), "endpoint");
    for (kind, expected) in [
        ("Service", "cluster ip"),
        ("Endpoint", "endpoint"),
        ("Service", "cluster ip"),
    ] {
        gateway.apply(&[EDGE, &service, &route, &routed(kind)]);
        assert_eq!(answer(&gateway), expected);
    }
}
