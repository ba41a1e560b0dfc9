//! What a backendRef leads to, and why one leads nowhere.

use std::net::IpAddr;
use std::sync::Arc;

use weir_plan::{EndpointsName, NamespacedName, RouteKind, UpstreamProtocol, UpstreamTls};

use crate::Context;
use crate::api::backend::{BackendEndpoint, BackendSpec};
use crate::api::{Backend, GATEWAY_GROUP, POLICY_GROUP, Service};
use crate::backend_tls::own::Own;
use crate::backend_tls::{self, BackendKind};
use crate::endpoints::cluster_ip;
use crate::references::{Referent, Referrer, permitted};
use crate::resources::Resources;

/// The endpoints that a backendRef leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Which.
    pub(crate) endpoints: EndpointsName,
    /// What takes their place under `routingType: Service`: the cluster IP, where there is one.
    pub(crate) cluster_ip: Option<EndpointsName>,
    /// 1 for a Backend that only stands in, else 0.
    pub(crate) priority: u8,
    /// What their addresses are.
    pub(crate) addresses: Addresses,
    /// What they speak.
    pub(crate) protocol: UpstreamProtocol,
    /// TLS around that; none: clear text.
    pub(crate) tls: Option<Arc<UpstreamTls>>,
}

/// What the addresses of a backend are. One cluster does not mix them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Addresses {
    /// IP addresses and sockets: known.
    Static,
    /// Host names: to be resolved.
    Names,
}

/// Why a backendRef leads nowhere: the condition `ResolvedRefs=False`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unresolved {
    /// A word for machines.
    pub(crate) reason: &'static str,
    /// A sentence for people.
    pub(crate) message: String,
}

/// What a reference of a route says.
#[derive(Clone, Debug)]
pub(crate) struct BackendRef<'a> {
    pub(crate) group: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) name: NamespacedName,
    pub(crate) port: Option<i32>,
}

/// The route that refers to a backend.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Referring<'a> {
    pub(crate) kind: RouteKind,
    pub(crate) namespace: &'a Arc<str>,
}

/// Follows a reference from a route.
pub(crate) fn follow(
    to: &BackendRef<'_>,
    from: Referring<'_>,
    resources: &Resources,
    context: &Context,
) -> Result<Target, Unresolved> {
    let BackendRef {
        group,
        kind,
        name,
        port,
    } = to;
    let sort = match (*group, *kind) {
        ("", "Service") => Sort::Service,
        (POLICY_GROUP, "Backend") => Sort::Backend,
        _ => {
            let message = format!(
                "{kind} of group {group:?} is no backend that can be used; use a Service or a Backend"
            );
            return Err(Unresolved {
                reason: "InvalidKind",
                message,
            });
        }
    };
    let referrer = Referrer {
        group: GATEWAY_GROUP,
        kind: from.kind.as_str(),
        namespace: from.namespace,
    };
    let referent = Referent {
        group,
        kind,
        namespace: &name.namespace,
        name: &name.name,
    };
    if !permitted(&resources.reference_grants, referrer, referent) {
        let message =
            format!("{kind} {name} is in another namespace, which has no ReferenceGrant for it");
        return Err(Unresolved {
            reason: "RefNotPermitted",
            message,
        });
    }
    let missing = || Unresolved {
        reason: "BackendNotFound",
        message: format!("there is no {kind} {name}"),
    };
    match sort {
        Sort::Service => of_service(
            name,
            *port,
            resources.services.get(name).ok_or_else(missing)?,
            from.kind,
            resources,
        ),
        Sort::Backend => of_backend(
            name,
            resources.backends.get(name).ok_or_else(missing)?,
            from.kind,
            context,
            resources,
        ),
    }
}

/// Except for HTTP, the kind of the route says what is spoken, whatever a backend says of itself.
fn spoken(kind: RouteKind, own: UpstreamProtocol) -> UpstreamProtocol {
    match kind {
        RouteKind::Http => own,
        RouteKind::Grpc => UpstreamProtocol::Http2,
        RouteKind::Tcp | RouteKind::Tls => UpstreamProtocol::Tcp,
        RouteKind::Udp => UpstreamProtocol::Udp,
    }
}

enum Sort {
    Service,
    Backend,
}

fn of_service(
    name: &NamespacedName,
    port: Option<i32>,
    service: &Service,
    kind: RouteKind,
    resources: &Resources,
) -> Result<Target, Unresolved> {
    let refuse = |reason, message| Err(Unresolved { reason, message });
    let Some(spec) = &service.spec else {
        return refuse("BackendNotFound", format!("Service {name} has no ports"));
    };
    if spec.type_.as_deref() == Some("ExternalName") {
        let message = format!(
            "Service {name} is of type ExternalName, which is not supported; use a Backend with fqdn"
        );
        return refuse("UnsupportedValue", message);
    }
    let Some(number) = port else {
        return refuse(
            "PortNotSpecified",
            format!("a reference to Service {name} needs a port"),
        );
    };
    let transport = match kind {
        RouteKind::Udp => "UDP",
        RouteKind::Http | RouteKind::Grpc | RouteKind::Tcp | RouteKind::Tls => "TCP",
    };
    let mut ports = spec
        .ports
        .iter()
        .flatten()
        .filter(|it| it.protocol.as_deref().unwrap_or("TCP") == transport);
    let Some(port) = ports.clone().find(|it| it.port == number) else {
        let known: Vec<_> = ports.by_ref().map(|it| it.port).collect();
        let message = format!("Service {name} has no {transport} port {number}; it has {known:?}");
        return refuse("PortNotFound", message);
    };
    let port_name = port.name.as_deref();
    let is_secure = backend_tls::is_asked_for(resources, BackendKind::Service, name, port_name);
    let protocol = match port.app_protocol.as_deref() {
        Some(protocol) if kind.is_http() => match protocol_named(protocol, is_secure) {
            Some(protocol) => protocol,
            None => {
                let message = format!(
                    "port {number} of Service {name} speaks {protocol}, which needs a BackendTLSPolicy that says who the backend is"
                );
                return refuse("UnsupportedProtocol", message);
            }
        },
        Some(_) | None => unnamed_protocol(is_secure),
    };
    let number = u16::try_from(number).map_err(|_| Unresolved {
        reason: "PortNotFound",
        message: format!("port {number} of Service {name} is not between 1 and 65535"),
    })?;
    let endpoints = match kind {
        RouteKind::Udp => EndpointsName::of_udp_service(name, number),
        RouteKind::Http | RouteKind::Grpc | RouteKind::Tcp | RouteKind::Tls => {
            EndpointsName::of_service(name, number)
        }
    };
    let protocol = spoken(kind, protocol);
    let place = (BackendKind::Service, name, port_name);
    let tls = backend_tls::of(resources, place, None, protocol)?;
    let (tls, protocol) = tls.map_or((None, protocol), |(tls, it)| (Some(tls), it));
    Ok(Target {
        endpoints,
        cluster_ip: cluster_ip(service).map(|_| EndpointsName::of_cluster_ip(name, number)),
        priority: 0,
        addresses: Addresses::Static,
        protocol,
        tls,
    })
}

/// What is spoken where nothing says it: in TLS, the endpoint chooses.
fn unnamed_protocol(is_secure: bool) -> UpstreamProtocol {
    match is_secure {
        true => UpstreamProtocol::Negotiated,
        false => UpstreamProtocol::Http1,
    }
}

/// What an application protocol means; none: one that is not supported. Names that mean nothing to a gateway say nothing,
/// as do those that ask for TLS where there is some, with what is needed for it. WebSocket begins in HTTP/1.1.
fn protocol_named(protocol: &str, is_secure: bool) -> Option<UpstreamProtocol> {
    let name = protocol
        .rsplit_once('/')
        .map_or(protocol, |(domain, name)| {
            let known = ["kubernetes.io", "gateway.envoyproxy.io"].contains(&domain);
            if known { name } else { protocol }
        });
    match name.to_ascii_lowercase().as_str() {
        "h2c" | "http2" | "grpc" => Some(UpstreamProtocol::Http2),
        "wss" | "https" | "tls" if !is_secure => None,
        "ws" | "wss" => Some(UpstreamProtocol::Http1),
        _ => Some(unnamed_protocol(is_secure)),
    }
}

fn of_backend(
    name: &NamespacedName,
    backend: &Backend,
    kind: RouteKind,
    context: &Context,
    resources: &Resources,
) -> Result<Target, Unresolved> {
    let accepted = check(name, backend, context, resources).map_err(|why| Unresolved {
        reason: why.reason,
        message: format!("Backend {name} was not accepted: {}", why.message),
    })?;
    let Accepted {
        addresses,
        protocol,
        tls,
    } = accepted;
    let protocol = spoken(kind, protocol);
    let place = (BackendKind::Backend, name, None);
    let tls = backend_tls::of(resources, place, tls.as_ref(), protocol)?;
    let (tls, protocol) = tls.map_or((None, protocol), |(tls, it)| (Some(tls), it));
    let priority = u8::from(backend.spec.fallback == Some(true));
    Ok(Target {
        endpoints: EndpointsName::of_backend(name),
        cluster_ip: None,
        priority,
        addresses,
        protocol,
        tls,
    })
}

/// What a Backend comes to by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    addresses: Addresses,
    protocol: UpstreamProtocol,
    tls: Option<Own>,
}

/// Why a Backend is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotAccepted {
    /// A word for machines, for routes that refer to it.
    pub(crate) reason: &'static str,
    /// What is wrong.
    pub(crate) message: String,
}

/// The fields of a Backend, and the values of fields, for which [`check`] does not accept it although they are valid; in
/// the form of [`weir_plan::Support::Partial`], below its spec.
pub(crate) const UNSERVED: &str = "type=DynamicResolver tls.signatureAlgorithms tls.fingerprints";

/// What a Backend comes to, or why it is not accepted.
pub(crate) fn check(
    name: &NamespacedName,
    backend: &Backend,
    context: &Context,
    resources: &Resources,
) -> Result<Accepted, NotAccepted> {
    let BackendSpec {
        r#type,
        endpoints,
        app_protocols,
        fallback: _,
        tls,
    } = &backend.spec;
    let refuse = |message: String| NotAccepted {
        reason: "UnsupportedValue",
        message,
    };
    match r#type.as_deref().unwrap_or("Endpoints") {
        "Endpoints" => {}
        "DynamicResolver" => {
            return Err(refuse(
                "type DynamicResolver is not supported yet".to_owned(),
            ));
        }
        other => return Err(refuse(format!("type {other} is unknown; use Endpoints"))),
    }
    let by_policy = backend_tls::is_asked_for(resources, BackendKind::Backend, name, None);
    let tls = tls.as_ref();
    let tls = tls.map(|it| backend_tls::own::read(name, it, by_policy, resources));
    let tls = tls.transpose().map_err(|message| NotAccepted {
        reason: "InvalidBackendTLS",
        message,
    })?;
    let is_secure = by_policy || tls.is_some();
    let mut protocol = unnamed_protocol(is_secure);
    for name in app_protocols {
        protocol = protocol_named(name, is_secure).ok_or_else(|| NotAccepted {
            reason: "UnsupportedProtocol",
            message: format!("{name} needs TLS: tls of the Backend, or a BackendTLSPolicy"),
        })?;
    }
    let mut sorts = endpoints.iter().map(|it| check_endpoint(it, context));
    let first = sorts
        .next()
        .ok_or_else(|| refuse("it has no endpoints".to_owned()))?
        .map_err(refuse)?;
    for sort in sorts {
        if sort.map_err(refuse)? != first {
            return Err(refuse(
                "fqdn endpoints cannot be mixed with ip or unix endpoints".to_owned(),
            ));
        }
    }
    Ok(Accepted {
        addresses: first,
        protocol,
        tls,
    })
}

fn check_endpoint(endpoint: &BackendEndpoint, context: &Context) -> Result<Addresses, String> {
    let BackendEndpoint {
        hostname,
        fqdn,
        ip,
        unix,
        zone: _,
    } = endpoint;
    if let Some(hostname) = hostname.as_deref() {
        check_hostname(hostname, false)?;
    }
    match (fqdn, ip, unix) {
        (Some(fqdn), None, None) => {
            check_port(fqdn.port)?;
            check_hostname(&fqdn.hostname, context.allow_loopback)?;
            Ok(Addresses::Names)
        }
        (None, Some(ip), None) => {
            check_port(ip.port)?;
            check_ip(&ip.address, context.allow_loopback)?;
            Ok(Addresses::Static)
        }
        (None, None, Some(unix)) if unix.path.is_empty() || unix.path.len() > 108 => Err(format!(
            "unix path {:?} is not between 1 and 108 bytes long",
            unix.path
        )),
        (None, None, Some(_)) => Ok(Addresses::Static),
        _ => Err("an endpoint must have exactly one of fqdn, ip and unix".to_owned()),
    }
}

fn check_port(port: i32) -> Result<(), String> {
    match port {
        1..=65535 => Ok(()),
        _ => Err(format!("port {port} is not between 1 and 65535")),
    }
}

fn check_ip(address: &str, allow_loopback: bool) -> Result<(), String> {
    let ip: IpAddr = address
        .parse()
        .map_err(|_| format!("IP address {address} is invalid"))?;
    if ip.to_canonical().is_loopback() && !allow_loopback {
        return Err(format!(
            "IP address {address} is a loopback address, which only file mode may use"
        ));
    }
    Ok(())
}

fn check_hostname(hostname: &str, single_label: bool) -> Result<(), String> {
    let name = hostname.strip_suffix('.').unwrap_or(hostname);
    let is_label = |label: &str| {
        let inner = label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-');
        (1..=63).contains(&label.len()) && inner && !label.starts_with('-') && !label.ends_with('-')
    };
    if name.parse::<IpAddr>().is_ok() {
        Err(format!("hostname {hostname} is an IP address"))
    } else if name.len() > 253 || !name.split('.').all(is_label) {
        Err(format!("hostname {hostname} is not a valid FQDN"))
    } else if !single_label && !name.contains('.') {
        Err(format!(
            "hostname {hostname} should be a domain with at least two segments separated by dots"
        ))
    } else {
        Ok(())
    }
}
