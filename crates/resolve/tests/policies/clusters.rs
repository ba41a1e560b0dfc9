//! What policies come to in the clusters of the plan: which endpoints they lead to, how backends are put together.

use weir_plan::Cluster;

use super::{policy, resolved};

/// The clusters of a plan as `name: endpoints`, those of more than one backend with `+` in between.
fn clusters(more: &str) -> Vec<String> {
    let line = |cluster: &Cluster| {
        let endpoints = cluster.localities.iter().map(|it| it.endpoints.as_str());
        let endpoints: Vec<_> = endpoints.collect();
        format!("{}: {}", cluster.name, endpoints.join(" + "))
    };
    let plan = resolved(more).plan;
    plan.clusters.values().map(|it| line(it)).collect()
}

/// The Service of the base, with a cluster IP.
pub(crate) const WITH_CLUSTER_IP: &str = "
---
apiVersion: v1
kind: Service
metadata: {name: backend, namespace: shop}
spec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}
";

#[test]
fn the_most_specific_policy_says_where_requests_to_services_go() {
    let routed = |name, target, kind| policy(name, target, &format!("routingType: {kind}"));
    let [pay, rest, one] = [
        "HTTPRoute/shop/web/rule:pay@shop/edge",
        "HTTPRoute/shop/web/rule:rest@shop/edge",
        "HTTPRoute/shop/one/rule/0@shop/edge",
    ];
    let (endpoints, ip) = (
        "Service/shop/backend:80",
        "Service/shop/backend:80/cluster-ip",
    );
    for (policies, expected) in [
        (
            vec![],
            [(one, endpoints), (pay, endpoints), (rest, endpoints)],
        ),
        (
            vec![routed("gateway", "Gateway edge", "Service")],
            [(one, ip), (pay, ip), (rest, ip)],
        ),
        (
            vec![
                routed("gateway", "Gateway edge", "Service"),
                routed("route", "HTTPRoute web", "Endpoint"),
            ],
            [(one, ip), (pay, endpoints), (rest, endpoints)],
        ),
        (
            vec![
                routed("route", "HTTPRoute web", "Service"),
                routed("rule", "HTTPRoute web#pay", "Endpoint"),
            ],
            [(one, endpoints), (pay, endpoints), (rest, ip)],
        ),
        // A policy that says nothing of it replaces one that does, unless it is merged into it.
        (
            vec![
                routed("gateway", "Gateway edge", "Service"),
                policy("rule", "HTTPRoute web#pay", "retry: {}"),
                policy(
                    "route",
                    "HTTPRoute one",
                    "mergeType: StrategicMerge, retry: {}",
                ),
            ],
            [(one, ip), (pay, endpoints), (rest, ip)],
        ),
        // No routing type: the default applies.
        (
            vec![routed("gateway", "Gateway edge", "Cluster")],
            [(one, endpoints), (pay, endpoints), (rest, endpoints)],
        ),
    ] {
        let more = format!("{WITH_CLUSTER_IP}{}", policies.concat());
        let expected = expected.map(|(name, endpoints)| format!("{name}: {endpoints}"));
        assert_eq!(clusters(&more), expected, "{policies:?}");
    }
}

#[test]
fn a_service_without_a_cluster_ip_has_its_endpoints_used() {
    let routed = policy("route", "HTTPRoute one", "routingType: Service");
    let clusters = clusters(&routed);
    let expected = "HTTPRoute/shop/one/rule/0@shop/edge: Service/shop/backend:80";
    assert_eq!(clusters[0], expected);
}

#[test]
fn listeners_with_different_routing_have_clusters_of_their_own() {
    let routed = policy("listener", "Gateway edge#other", "routingType: Service");
    let clusters = clusters(&format!("{WITH_CLUSTER_IP}{routed}"));
    assert_eq!(
        clusters[1..3],
        [
            "HTTPRoute/shop/web/rule:pay@shop/edge/http: Service/shop/backend:80",
            "HTTPRoute/shop/web/rule:pay@shop/edge/other: Service/shop/backend:80/cluster-ip",
        ]
    );
}

#[test]
fn backends_have_clusters_of_their_own_where_zones_matter() {
    let split = "
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: split, namespace: shop}
spec:
  parentRefs: [{name: edge, sectionName: http}]
  rules: [{backendRefs: [{name: backend, port: 80, weight: 3}, {name: backend, port: 80}]}]
";
    let of_split = |balancer: &str| {
        let policy = policy("zones", "HTTPRoute split", balancer);
        let mut clusters = clusters(&format!("{split}{policy}"));
        clusters.retain(|it| it.starts_with("HTTPRoute/shop/split"));
        clusters
    };
    let rule = "HTTPRoute/shop/split/rule/0";
    let backend = "Service/shop/backend:80";
    assert_eq!(
        of_split("loadBalancer: {type: Random}"),
        [format!("{rule}@shop/edge: {backend} + {backend}")]
    );
    for zones in ["preferLocal: {}", "weightedZones: [{zone: a, weight: 2}]"] {
        let balancer = format!("loadBalancer: {{type: Random, zoneAware: {{{zones}}}}}");
        let apart = [0, 1].map(|at| format!("{rule}/backend/{at}@shop/edge: {backend}"));
        assert_eq!(of_split(&balancer), apart, "{zones}");
    }
}

#[test]
fn a_cluster_knows_the_first_host_name_of_its_route() {
    let resolution = resolved("");
    let hostname = |route: &str| {
        let mut clusters = resolution.plan.clusters.values();
        let cluster = clusters.find(|it| it.name.as_str().contains(route));
        cluster.and_then(|it| it.hostname.as_deref())
    };
    assert_eq!(hostname("/one/"), Some("one.example.com"));
    assert_eq!(hostname("/web/"), None);
}
