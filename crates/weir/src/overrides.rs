//! `--backend`: endpoints from the command line in place of those of a Service's port.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use weir_plan::{Endpoint, EndpointAddress, EndpointMap, EndpointsName, NamespacedName};
use weir_resolve::{FieldPath, ObjectRef, Resources, Severity};

use crate::findings::Finding;

/// One `NAMESPACE/SERVICE:PORT=ADDRESS:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BackendOverride {
    pub(crate) service: NamespacedName,
    pub(crate) port: u16,
    pub(crate) address: SocketAddr,
}

impl FromStr for BackendOverride {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (service, address) = text.split_once('=')?;
            let (service, port) = service.rsplit_once(':')?;
            let (namespace, name) = service.split_once('/')?;
            let named = !namespace.is_empty() && !name.is_empty() && !name.contains('/');
            let address = match address.strip_prefix("localhost:") {
                Some(port) => SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().ok()?)),
                None => address.parse().ok()?,
            };
            named.then_some(Self {
                service: NamespacedName::new(namespace, name),
                port: port.parse().ok()?,
                address,
            })
        };
        parse().ok_or_else(|| {
            "expected a Service's namespace, name and port, and an IP address and port in its place, such as \
             default/shop:80=127.0.0.1:3000"
                .to_owned()
        })
    }
}

/// Puts the overrides into the endpoints. Several for one port of a Service are used together.
pub(crate) fn apply(overrides: &[BackendOverride], endpoints: &mut EndpointMap) {
    let mut by_name: BTreeMap<EndpointsName, Vec<Endpoint>> = BTreeMap::new();
    for BackendOverride {
        service,
        port,
        address,
    } in overrides
    {
        let endpoint = Endpoint {
            address: EndpointAddress::Ip(*address),
            hostname: None,
            zone: None,
        };
        for name in [
            EndpointsName::of_service(service, *port),
            EndpointsName::of_cluster_ip(service, *port),
        ] {
            by_name.entry(name).or_default().push(endpoint.clone());
        }
    }
    endpoints.extend(
        by_name
            .into_iter()
            .map(|(name, endpoints)| (name, Arc::from(endpoints))),
    );
}

/// What is wrong with the overrides: a Service that is not there, or lacks the port.
pub(crate) fn findings(overrides: &[BackendOverride], resources: &Resources) -> Vec<Finding> {
    let mut found = Vec::new();
    for BackendOverride {
        service,
        port,
        address,
    } in overrides
    {
        let flag = format!("--backend {service}:{port}={address} has no effect");
        let message = match resources.services.get(service) {
            None => format!("{flag}: there is no Service {service}; add one with the port {port}"),
            Some(object) => {
                let ports = object
                    .spec
                    .iter()
                    .flat_map(|spec| spec.ports.iter().flatten())
                    .map(|it| it.port);
                let ports: Vec<i32> = ports.collect();
                if ports.contains(&i32::from(*port)) {
                    continue;
                }
                let has = ports
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(", ");
                format!("{flag}: the Service has no port {port}, but [{has}]")
            }
        };
        let object = ObjectRef {
            group: String::new(),
            kind: "Service".to_owned(),
            name: service.clone(),
        };
        found.push(Finding {
            location: None,
            severity: Severity::Warning,
            id: "backend-override".into(),
            object: Some(object),
            field: FieldPath::default(),
            message,
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_are_read() {
        let read = |text: &str| {
            text.parse::<BackendOverride>()
                .ok()
                .map(|it| (it.service.to_string(), it.port, it.address))
        };
        let here = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let cases = [
            (
                "default/shop:80=127.0.0.1:3000",
                Some(("default/shop".to_owned(), 80, here(3000))),
            ),
            (
                "default/shop:80=localhost:3000",
                Some(("default/shop".to_owned(), 80, here(3000))),
            ),
            (
                "a/b:1=[::1]:2",
                Some(("a/b".to_owned(), 1, "[::1]:2".parse().unwrap())),
            ),
            ("shop:80=127.0.0.1:3000", None),
            ("default/shop=127.0.0.1:3000", None),
            ("default/shop:80", None),
            ("default/shop:80=example.com:3000", None),
            ("default/a/b:80=127.0.0.1:3000", None),
            ("/shop:80=127.0.0.1:3000", None),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn several_for_one_port_are_used_together() {
        let overrides =
            ["a/b:1=127.0.0.1:2", "a/b:1=127.0.0.1:3"].map(|text| text.parse().unwrap());
        let mut endpoints = EndpointMap::new();
        apply(&overrides, &mut endpoints);
        let name = EndpointsName::of_service(&NamespacedName::new("a", "b"), 1);
        assert_eq!(endpoints[&name].len(), 2);
    }
}
