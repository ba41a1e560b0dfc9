//! The endpoints behind Service ports and Backends.
//!
//! They change more often than anything else, so they are computed apart from the plan, which only names them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use k8s_openapi::api::core::v1::ServicePort;
use k8s_openapi::api::discovery::v1::EndpointPort;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use weir_plan::{Endpoint, EndpointAddress, EndpointMap, EndpointsName, NamespacedName};

use crate::api::backend::BackendEndpoint;
use crate::api::{EndpointSlice, Service};
use crate::resources::Resources;

/// The label by which an EndpointSlice names its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// The endpoints of every Service port and Backend, those without any included; and the cluster IP of every Service port
/// that has one.
///
/// Ready endpoints count; where a port has none, those that still serve while they terminate. Endpoints of Services
/// are in the order of their addresses, those of Backends as written; each is there once.
pub fn endpoints(resources: &Resources) -> EndpointMap {
    let slices = slices_by_service(resources);
    let mut map = EndpointMap::new();
    for (name, service) in &resources.services {
        let slices = slices.get(name).map(Vec::as_slice).unwrap_or_default();
        for port in service
            .spec
            .iter()
            .flat_map(|spec| spec.ports.iter().flatten())
        {
            let named = match port.protocol.as_deref() {
                None | Some("TCP") => EndpointsName::of_service,
                Some("UDP") => EndpointsName::of_udp_service,
                Some(_) => continue,
            };
            if let Ok(number) = u16::try_from(port.port) {
                let key = named(name, number);
                map.insert(key, of_port(service, port, slices).into());
                if let Some(ip) = cluster_ip(service) {
                    let endpoint = Endpoint {
                        address: EndpointAddress::Ip(SocketAddr::new(ip, number)),
                        hostname: None,
                        zone: None,
                    };
                    map.insert(
                        EndpointsName::of_cluster_ip(name, number),
                        [endpoint].into(),
                    );
                }
            }
        }
    }
    for (name, backend) in &resources.backends {
        let mut endpoints: Vec<Endpoint> = Vec::new();
        for endpoint in backend.spec.endpoints.iter().filter_map(of_backend) {
            if !endpoints.contains(&endpoint) {
                endpoints.push(endpoint);
            }
        }
        map.insert(EndpointsName::of_backend(name), endpoints.into());
    }
    map
}

/// A Service's cluster IP, of its first family where it has both. Headless Services have none.
pub(crate) fn cluster_ip(service: &Service) -> Option<IpAddr> {
    let spec = service.spec.as_ref()?;
    let first = spec.cluster_ips.iter().flatten().next();
    first.or(spec.cluster_ip.as_ref())?.parse().ok()
}

fn slices_by_service(resources: &Resources) -> BTreeMap<NamespacedName, Vec<&EndpointSlice>> {
    let mut services: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (name, slice) in &resources.endpoint_slices {
        if let Some(service) = slice
            .metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get(SERVICE_NAME))
        {
            let service = NamespacedName::new(Arc::clone(&name.namespace), service.as_str());
            services.entry(service).or_default().push(&**slice);
        }
    }
    services
}

fn of_port(service: &Service, port: &ServicePort, slices: &[&EndpointSlice]) -> Vec<Endpoint> {
    // A Service of both families has the same pods in slices of each: its first family is taken.
    let families = service
        .spec
        .as_ref()
        .and_then(|spec| spec.ip_families.as_deref())
        .unwrap_or_default();
    let family = families
        .first()
        .filter(|family| slices.iter().any(|slice| slice.address_type == **family));
    let slices = slices
        .iter()
        .filter(|slice| family.is_none_or(|family| slice.address_type == *family));
    let (mut ready, mut terminating) = (Vec::new(), Vec::new());
    for slice in slices {
        let Some(number) = port_of(slice, port) else {
            continue;
        };
        for endpoint in &slice.endpoints {
            let Some(address) = endpoint
                .addresses
                .first()
                .and_then(|it| address(it, number))
            else {
                continue;
            };
            let conditions = endpoint.conditions.as_ref();
            let says = |condition: fn(
                &k8s_openapi::api::discovery::v1::EndpointConditions,
            ) -> Option<bool>| { conditions.and_then(condition) };
            let found = Endpoint {
                address,
                hostname: None,
                zone: endpoint.zone.as_deref().map(Into::into),
            };
            if says(|it| it.ready) != Some(false) {
                ready.push(found);
            } else if says(|it| it.terminating) == Some(true) && says(|it| it.serving) == Some(true)
            {
                terminating.push(found);
            }
        }
    }
    let mut endpoints = if ready.is_empty() { terminating } else { ready };
    endpoints.sort();
    endpoints.dedup();
    endpoints
}

/// The number that a slice gives to a Service's port: by the port's name, else (in slices written by hand) by its
/// target.
fn port_of(slice: &EndpointSlice, port: &ServicePort) -> Option<u16> {
    let name = port.name.as_deref().unwrap_or_default();
    let target = match &port.target_port {
        Some(IntOrString::Int(target)) => Some(*target),
        Some(IntOrString::String(_)) => None,
        None => Some(port.port),
    };
    let ports =
        || {
            slice.ports.iter().flatten().filter(|it| {
                transport(it.protocol.as_deref()) == transport(port.protocol.as_deref())
            })
        };

    let named = ports().find(|it| it.name.as_deref().unwrap_or_default() == name);
    let targeted = || ports().find(|it| target.is_some() && it.port == target);
    let EndpointPort { port: number, .. } = named.or_else(targeted)?;
    // Without a number, a slice means whatever port is asked for.
    u16::try_from(number.or(target)?).ok()
}

/// A port's protocol, TCP unless it says so.
fn transport(protocol: Option<&str>) -> &str {
    protocol.unwrap_or("TCP")
}

fn address(text: &str, port: u16) -> Option<EndpointAddress> {
    match text.parse::<IpAddr>() {
        Ok(ip) => Some(EndpointAddress::Ip(SocketAddr::new(ip, port))),
        Err(_) if text.is_empty() => None,
        Err(_) => Some(EndpointAddress::Fqdn(text.into(), port)),
    }
}

/// An endpoint of a Backend. Backends with one that cannot be read are not accepted, so leaving it out loses nothing.
fn of_backend(endpoint: &BackendEndpoint) -> Option<Endpoint> {
    let BackendEndpoint {
        hostname,
        fqdn,
        ip,
        unix,
        zone,
    } = endpoint;
    let address = if let Some(ip) = ip {
        let address = ip.address.parse().ok()?;
        EndpointAddress::Ip(SocketAddr::new(address, u16::try_from(ip.port).ok()?))
    } else if let Some(fqdn) = fqdn {
        let hostname = fqdn.hostname.strip_suffix('.').unwrap_or(&fqdn.hostname);
        EndpointAddress::Fqdn(
            hostname.to_ascii_lowercase().into(),
            u16::try_from(fqdn.port).ok()?,
        )
    } else {
        EndpointAddress::Unix(unix.as_ref()?.path.as_str().into())
    };
    let shared = |text: &Option<String>| text.as_deref().map(Into::into);
    Some(Endpoint {
        address,
        hostname: shared(hostname),
        zone: shared(zone),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of_service(service: &Value, slices: &[Value]) -> Vec<String> {
        let mut resources = Resources::default();
        let service = json!({"metadata": {"name": "s", "namespace": "ns"}, "spec": service});
        resources.services.insert(
            NamespacedName::new("ns", "s"),
            Arc::new(serde_json::from_value(service).unwrap()),
        );
        for (index, slice) in slices.iter().enumerate() {
            let mut slice = slice.clone();
            let name = format!("slice-{index}");
            slice["metadata"] =
                json!({"name": name, "namespace": "ns", "labels": {SERVICE_NAME: "s"}});
            let slice = serde_json::from_value(slice).unwrap();
            resources
                .endpoint_slices
                .insert(NamespacedName::new("ns", name), Arc::new(slice));
        }
        show(&endpoints(&resources))
    }

    fn show(map: &EndpointMap) -> Vec<String> {
        map.iter()
            .map(|(name, endpoints)| {
                let list: Vec<_> = endpoints.iter().map(|it| it.address.to_string()).collect();
                format!("{name} {}", list.join(" "))
            })
            .collect()
    }

    fn slice(ports: &Value, addresses: &[&str]) -> Value {
        let endpoints: Vec<_> = addresses
            .iter()
            .map(|it| json!({"addresses": [it]}))
            .collect();
        json!({"addressType": "IPv4", "ports": ports, "endpoints": endpoints})
    }

    #[test]
    fn ports_are_found_by_name_then_by_target() {
        let http = json!([{"name": "http", "port": 8080}]);
        let cases = [
            (
                json!({"port": 80, "name": "http"}),
                http.clone(),
                "10.0.0.1:8080",
            ),
            (
                json!({"port": 80}),
                json!([{"port": 9000}]),
                "10.0.0.1:9000",
            ),
            (
                json!({"port": 80}),
                json!([{"name": "", "port": 9000}]),
                "10.0.0.1:9000",
            ),
            (
                json!({"port": 80, "targetPort": 8080}),
                http.clone(),
                "10.0.0.1:8080",
            ),
            (json!({"port": 8080}), http.clone(), "10.0.0.1:8080"),
            (
                json!({"port": 80, "name": "web", "targetPort": 81}),
                http.clone(),
                "",
            ),
            (
                json!({"port": 80, "name": "web", "targetPort": "http"}),
                http,
                "",
            ),
            (
                json!({"port": 80, "targetPort": 81}),
                json!([{}]),
                "10.0.0.1:81",
            ),
            (
                json!({"port": 80}),
                json!([{"port": 9000, "protocol": "UDP"}]),
                "",
            ),
        ];
        for (port, ports, expected) in cases {
            let service = json!({"ports": [port]});
            let number = port["port"].clone();
            let found = of_service(&service, &[slice(&ports, &["10.0.0.1"])]);
            assert_eq!(
                found,
                [format!("Service/ns/s:{number} {expected}")],
                "{port}"
            );
        }
        let other = json!({"ports": [{"port": 53, "protocol": "SCTP"}]});
        assert!(of_service(&other, &[]).is_empty());
        // A port for datagrams is another than one of the same number for connections.
        let both = json!({"ports": [{"port": 53, "name": "tcp"}, {"port": 53, "name": "udp", "protocol": "UDP"}]});
        let ports =
            json!([{"name": "tcp", "port": 1}, {"name": "udp", "port": 2, "protocol": "UDP"}]);
        assert_eq!(
            of_service(&both, &[slice(&ports, &["10.0.0.1"])]),
            [
                "Service/ns/s:53 10.0.0.1:1",
                "Service/ns/s:53/udp 10.0.0.1:2"
            ]
        );
    }

    #[test]
    fn ready_endpoints_count_and_terminating_ones_stand_in() {
        let endpoint = |address: &str, conditions: Value| json!({"addresses": [address], "conditions": conditions});
        let slice = |endpoints: &[Value]| json!({"addressType": "IPv4", "ports": [{"port": 1}], "endpoints": endpoints});
        let service = json!({"ports": [{"port": 1}]});
        let ready = endpoint("10.0.0.2", json!({"ready": true}));
        let unsaid = endpoint("10.0.0.1", json!({}));
        let broken = endpoint("10.0.0.3", json!({"ready": false}));
        let leaving = endpoint(
            "10.0.0.4",
            json!({"ready": false, "serving": true, "terminating": true}),
        );
        let gone = endpoint(
            "10.0.0.5",
            json!({"ready": false, "serving": false, "terminating": true}),
        );
        let all = [&ready, &unsaid, &broken, &leaving, &gone, &ready].map(Clone::clone);
        assert_eq!(
            of_service(&service, &[slice(&all)]),
            ["Service/ns/s:1 10.0.0.1:1 10.0.0.2:1"]
        );
        let none_ready = [broken, leaving, gone];
        assert_eq!(
            of_service(&service, &[slice(&none_ready)]),
            ["Service/ns/s:1 10.0.0.4:1"]
        );
    }

    #[test]
    fn the_first_family_of_a_service_is_taken() {
        let ports = json!([{"port": 1}]);
        let v4 = slice(&ports, &["10.0.0.1"]);
        let mut v6 = slice(&ports, &["fd00::1"]);
        v6["addressType"] = json!("IPv6");
        let both = [v4, v6];
        let service = |families: Value| json!({"ports": [{"port": 1}], "ipFamilies": families});
        assert_eq!(
            of_service(&service(json!(["IPv6", "IPv4"])), &both),
            ["Service/ns/s:1 [fd00::1]:1"]
        );
        assert_eq!(
            of_service(&service(Value::Null), &both),
            ["Service/ns/s:1 10.0.0.1:1 [fd00::1]:1"]
        );
        assert_eq!(
            of_service(&service(json!(["IPv6"])), &both[..1]),
            ["Service/ns/s:1 10.0.0.1:1"]
        );
    }

    #[test]
    fn cluster_ips_are_there_beside_the_endpoints() {
        let slice = slice(&json!([{"port": 9000}]), &["10.0.0.1"]);
        for (spec, expected) in [
            (
                json!({"clusterIP": "1.1.1.1"}),
                Some("Service/ns/s:80/cluster-ip 1.1.1.1:80"),
            ),
            (
                json!({"clusterIP": "fd00::1", "clusterIPs": ["fd00::1", "1.1.1.1"]}),
                Some("Service/ns/s:80/cluster-ip [fd00::1]:80"),
            ),
            (json!({"clusterIP": "None", "clusterIPs": ["None"]}), None),
            (json!({"clusterIP": ""}), None),
            (json!({}), None),
        ] {
            let mut service = spec.clone();
            service["ports"] = json!([{"port": 80}]);
            let mut found = of_service(&service, std::slice::from_ref(&slice)).into_iter();
            let endpoints = found.next();
            assert_eq!(endpoints.as_deref(), Some("Service/ns/s:80 10.0.0.1:9000"));
            assert_eq!(found.next().as_deref(), expected, "{spec}");
        }
    }

    #[test]
    fn backends_keep_their_order_and_say_where_they_are() {
        let backend = serde_json::from_value(json!({"metadata": {}, "spec": {"endpoints": [
            {"unix": {"path": "/run/app.sock"}},
            {"ip": {"address": "::1", "port": 80}, "zone": "a", "hostname": "app.example.com"},
            {"fqdn": {"hostname": "App.example.com.", "port": 443}},
            {"unix": {"path": "/run/app.sock"}},
            {"ip": {"address": "nonsense", "port": 80}},
            {"ip": {"address": "10.0.0.1", "port": 70000}},
        ]}}))
        .unwrap();
        let mut resources = Resources::default();
        resources
            .backends
            .insert(NamespacedName::new("ns", "b"), Arc::new(backend));
        let map = endpoints(&resources);
        assert_eq!(
            show(&map),
            ["Backend/ns/b unix:/run/app.sock [::1]:80 app.example.com:443"]
        );
        let second = &map[&EndpointsName::of_backend(&NamespacedName::new("ns", "b"))][1];
        assert_eq!(
            (second.zone.as_deref(), second.hostname.as_deref()),
            (Some("a"), Some("app.example.com"))
        );
    }
}
