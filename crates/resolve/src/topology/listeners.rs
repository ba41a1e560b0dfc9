//! Listeners as Gateways and ListenerSets write them, and which of them contend for the same traffic.
//!
//! All Gateways of ours share one address, so their listeners must differ as if one Gateway had them all.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use weir_plan::{HostMatch, RouteKind, Transport};

use super::selectors::Namespaces;
use super::tls::{CertificateRef, TlsConfig};
use crate::api::{GATEWAY_GROUP, Gateway, ListenerSet};

/// What a listener says, whoever wrote it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Listener {
    /// Its name where it was written.
    pub(crate) name: String,
    /// Its place in the list where it was written.
    pub(crate) index: usize,
    /// Its port, 0 where what is written is no port.
    pub(crate) port: u16,
    /// Its protocol as written.
    pub(crate) protocol: String,
    /// Its host names.
    pub(crate) hostname: HostMatch,
    /// The route kinds that may attach, in the order of [`RouteKind::ALL`], served or not.
    pub(crate) kinds: Vec<RouteKind>,
    /// Kinds that it names and that cannot attach to it or are not served.
    pub(crate) refused_kinds: Vec<String>,
    /// The namespaces from which routes may attach.
    pub(crate) namespaces: Namespaces,
    /// What it says about TLS.
    pub(crate) tls: Option<TlsConfig>,
    /// Why it does not serve.
    pub(crate) problem: Option<Problem>,
    /// What it refers to in vain, whether or not it serves without that.
    pub(crate) unresolved: Option<Problem>,
}

impl Listener {
    /// What comes in over it, where it is for a protocol below HTTP and nothing else is the matter with it.
    pub(crate) fn transport(&self) -> Option<Transport> {
        let unserved = self
            .problem
            .as_ref()
            .is_none_or(|it| it.reason == Reason::UnsupportedProtocol);
        match self.protocol.as_str() {
            _ if !unserved => None,
            "TCP" => Some(Transport::Tcp),
            "TLS" if self.tls.as_ref().is_some_and(|it| it.passthrough) => {
                Some(Transport::TlsPassthrough)
            }
            "TLS" => Some(Transport::TlsTerminate),
            "UDP" => Some(Transport::Udp),
            _ => None,
        }
    }
}

/// Why a listener does not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The sort of problem.
    pub(crate) reason: Reason,
    /// What is wrong, and what to do.
    pub(crate) message: String,
}

/// The sorts of problems of a listener, named as in its conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    UnsupportedProtocol,
    PortUnavailable,
    Invalid,
    InvalidRouteKinds,
    InvalidCertificateRef,
    InvalidClientCertificateRef,
    InvalidCaCertificateRef,
    InvalidCaCertificateKind,
    NoValidCaCertificate,
    RefNotPermitted,
    HostnameConflict,
    ProtocolConflict,
}

impl Reason {
    /// The reason as conditions spell it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::UnsupportedProtocol => "UnsupportedProtocol",
            Self::PortUnavailable => "PortUnavailable",
            Self::Invalid => "Invalid",
            Self::InvalidRouteKinds => "InvalidRouteKinds",
            Self::InvalidCertificateRef => "InvalidCertificateRef",
            Self::InvalidClientCertificateRef => "InvalidClientCertificateRef",
            Self::InvalidCaCertificateRef => "InvalidCACertificateRef",
            Self::InvalidCaCertificateKind => "InvalidCACertificateKind",
            Self::NoValidCaCertificate => "NoValidCACertificate",
            Self::RefNotPermitted => "RefNotPermitted",
            Self::HostnameConflict => "HostnameConflict",
            Self::ProtocolConflict => "ProtocolConflict",
        }
    }

    /// Whether a listener with this problem is none that can be accepted, rather than one that cannot be served.
    pub(crate) fn is_refusal(self) -> bool {
        match self {
            Self::UnsupportedProtocol
            | Self::PortUnavailable
            | Self::NoValidCaCertificate
            | Self::HostnameConflict
            | Self::ProtocolConflict => true,
            Self::Invalid
            | Self::InvalidRouteKinds
            | Self::InvalidCertificateRef
            | Self::InvalidClientCertificateRef
            | Self::InvalidCaCertificateRef
            | Self::InvalidCaCertificateKind
            | Self::RefNotPermitted => false,
        }
    }

    /// Whether another listener is in the way.
    pub(crate) fn is_conflict(self) -> bool {
        matches!(self, Self::HostnameConflict | Self::ProtocolConflict)
    }
}

/// Reads `allowedRoutes.namespaces.selector` or the like: one type in the API, one for each place in its Rust form.
macro_rules! label_selector {
    ($selector:expr) => {
        LabelSelector {
            match_labels: $selector.match_labels.clone(),
            match_expressions: $selector.match_expressions.as_ref().map(|all| {
                all.iter()
                    .map(|it| LabelSelectorRequirement {
                        key: it.key.clone(),
                        operator: it.operator.clone(),
                        values: it.values.clone(),
                    })
                    .collect()
            }),
        }
    };
}
pub(crate) use label_selector;

/// Reads the listeners of a Gateway or ListenerSet: alike in the API, two types in its Rust form.
macro_rules! listeners {
    ($listeners:expr, $namespace:expr, $api:ident, $from:ident, $mode:ident) => {
        $listeners.iter().enumerate().map(|(index, it)| {
            let allowed = it.allowed_routes.as_ref();
            let namespaces = allowed.and_then(|it| it.namespaces.as_ref());
            let selector = namespaces.and_then(|it| it.selector.as_ref());
            let namespaces = match namespaces.and_then(|it| it.from.as_ref()) {
                Some($api::$from::All) => Namespaces::All,
                Some($api::$from::Selector) => selector.map_or(Namespaces::None, |it| {
                    Namespaces::Selector(label_selector!(it))
                }),
                Some($api::$from::Same) | None => Namespaces::Same($namespace.to_owned()),
            };
            let tls = it.tls.as_ref().map(|tls| {
                let references = tls.certificate_refs.iter().flatten();
                let references = references.map(|it| CertificateRef {
                    group: it.group.clone(),
                    kind: it.kind.clone(),
                    namespace: it.namespace.clone(),
                    name: it.name.clone(),
                });
                TlsConfig {
                    passthrough: tls.mode == Some($api::$mode::Passthrough),
                    references: references.collect(),
                    options: tls.options.clone().unwrap_or_default(),
                }
            });
            let kinds = allowed.and_then(|it| it.kinds.as_ref()).map(|kinds| {
                kinds
                    .iter()
                    .map(|it| (it.group.as_deref(), it.kind.as_str()))
                    .collect::<Vec<_>>()
            });
            let passthrough = tls.as_ref().is_some_and(|it| it.passthrough);
            let possible = kinds_of(&it.protocol, passthrough);
            let (kinds, refused_kinds) = split_kinds(possible, kinds.as_deref());
            Listener {
                name: it.name.clone(),
                index,
                port: u16::try_from(it.port).unwrap_or(0),
                protocol: it.protocol.clone(),
                hostname: hostname(&it.protocol, it.hostname.as_deref()),
                problem: problem_of(&it.protocol, it.port, tls.as_ref(), &kinds),
                unresolved: None,
                tls,
                kinds,
                refused_kinds,
                namespaces,
            }
        })
    };
}

/// The listeners that a Gateway writes itself.
pub(crate) fn of_gateway(gateway: &Gateway, namespace: &str) -> Vec<Listener> {
    use gateway_api::experimental::gateways as api;
    listeners!(
        gateway.spec.listeners,
        namespace,
        api,
        GatewayListenersAllowedRoutesNamespacesFrom,
        GatewayListenersTlsMode
    )
    .collect()
}

/// The listeners of a ListenerSet.
pub(crate) fn of_set(set: &ListenerSet, namespace: &str) -> Vec<Listener> {
    use gateway_api::experimental::listenersets as api;
    listeners!(
        set.spec.listeners,
        namespace,
        api,
        ListenerSetListenersAllowedRoutesNamespacesFrom,
        ListenerSetListenersTlsMode
    )
    .collect()
}

/// Whether routes of this kind are served.
pub(crate) fn serves(kind: RouteKind) -> bool {
    match kind {
        RouteKind::Http | RouteKind::Grpc => true,
        RouteKind::Tcp | RouteKind::Tls | RouteKind::Udp => false,
    }
}

/// The kinds of routes that can attach to a listener of this protocol.
fn kinds_of(protocol: &str, passthrough: bool) -> &'static [RouteKind] {
    match protocol {
        "HTTP" | "HTTPS" => &[RouteKind::Http, RouteKind::Grpc],
        "TLS" if passthrough => &[RouteKind::Tls],
        "TLS" => &[RouteKind::Tcp, RouteKind::Tls],
        "TCP" => &[RouteKind::Tcp],
        "UDP" => &[RouteKind::Udp],
        _ => &[],
    }
}

/// The possible kinds that are allowed, and what else is named: kinds that are not possible or not served.
fn split_kinds(
    possible: &[RouteKind],
    allowed: Option<&[(Option<&str>, &str)]>,
) -> (Vec<RouteKind>, Vec<String>) {
    let Some(allowed) = allowed.filter(|kinds| !kinds.is_empty()) else {
        return (possible.to_vec(), Vec::new());
    };
    let is = |kind: &RouteKind, (group, name): &(Option<&str>, &str)| {
        group.unwrap_or(GATEWAY_GROUP) == GATEWAY_GROUP && kind.as_str() == *name
    };
    let kinds = possible
        .iter()
        .copied()
        .filter(|kind| allowed.iter().any(|it| is(kind, it)));
    let refused = allowed
        .iter()
        .filter(|it| !possible.iter().any(|kind| serves(*kind) && is(kind, it)))
        .map(|(_, kind)| (*kind).to_owned());
    (kinds.collect(), refused.collect())
}

fn hostname(protocol: &str, hostname: Option<&str>) -> HostMatch {
    match protocol {
        "TCP" | "UDP" => HostMatch::Any,
        _ => HostMatch::parse(hostname.unwrap_or_default()),
    }
}

/// What is wrong with a listener by itself.
fn problem_of(
    protocol: &str,
    port: i32,
    tls: Option<&TlsConfig>,
    kinds: &[RouteKind],
) -> Option<Problem> {
    let problem = |reason, message| Some(Problem { reason, message });
    if !(1..=65535).contains(&port) {
        return problem(
            Reason::PortUnavailable,
            format!("port {port} is not between 1 and 65535"),
        );
    }
    match (protocol, tls) {
        ("HTTP", _) => {}
        ("HTTPS", None) => {
            let message = "Listener must have TLS set when protocol is HTTPS.".to_owned();
            return problem(Reason::Invalid, message);
        }
        ("HTTPS", Some(tls)) if tls.passthrough => {
            let message = "TLS Passthrough mode is not supported, TLS mode must be Terminate.";
            return problem(Reason::Invalid, message.to_owned());
        }
        ("HTTPS", Some(_)) => {}
        (_, _) => {
            let message = format!(
                "protocol {protocol} is not served by this version of Weir, which serves HTTP and HTTPS"
            );
            return problem(Reason::UnsupportedProtocol, message);
        }
    }
    if !kinds.iter().any(|kind| serves(*kind)) {
        let message =
            "none of allowedRoutes.kinds is served here; this version of Weir serves HTTPRoute and GRPCRoute"
                .to_owned();
        return problem(Reason::InvalidRouteKinds, message);
    }
    None
}

/// What listeners have taken so far, by port.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    ports: BTreeMap<u16, Port>,
}

#[derive(Debug)]
struct Port {
    wire: Wire,
    protocol: String,
    owner: String,
    hostnames: BTreeMap<HostMatch, String>,
}

/// What the first bytes on a connection are. One port can tell listeners apart only if it is the same for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wire {
    Clear,
    Tls,
}

/// TCP and UDP listeners do not contend here: as long as they are not served, they take nothing from others.
fn wire(listener: &Listener) -> Option<Wire> {
    let contends = listener
        .problem
        .as_ref()
        .is_none_or(|it| matches!(it.reason, Reason::UnsupportedProtocol | Reason::Invalid));
    match listener.protocol.as_str() {
        "HTTP" if contends => Some(Wire::Clear),
        "HTTPS" | "TLS" if contends => Some(Wire::Tls),
        _ => None,
    }
}

impl Claims {
    /// Settles the listeners of one Gateway or ListenerSet, `owner`. Those that cannot be told apart from each other
    /// all lose, as the Gateway API has it; those that cannot be told apart from earlier ones lose to them.
    pub(crate) fn settle(&mut self, listeners: &mut [Listener], owner: &str) {
        let mut wires: BTreeMap<u16, Vec<Wire>> = BTreeMap::new();
        let mut same: BTreeMap<(u16, HostMatch), Vec<String>> = BTreeMap::new();
        for listener in &*listeners {
            let Some(wire) = wire(listener) else { continue };
            wires.entry(listener.port).or_default().push(wire);
            let names = same
                .entry((listener.port, listener.hostname.clone()))
                .or_default();
            names.push(listener.name.clone());
        }
        for listener in listeners {
            let Some(own) = wire(listener) else { continue };
            let port = listener.port;
            let others = &same[&(port, listener.hostname.clone())];
            let conflict = if wires[&port].iter().any(|it| *it != own) {
                Some((
                    Reason::ProtocolConflict,
                    format!("port {port} is also used with another protocol here"),
                ))
            } else if others.len() > 1 {
                let others: Vec<_> = others
                    .iter()
                    .filter(|name| **name != listener.name)
                    .collect();
                let hostname = &listener.hostname;
                let message = format!(
                    "port {port} with host name {hostname} is also used by listeners {others:?} here; give each its own"
                );
                Some((Reason::HostnameConflict, message))
            } else {
                self.claim(listener, own, owner).err()
            };
            if let Some((reason, message)) = conflict {
                listener.problem = Some(Problem { reason, message });
            }
        }
    }

    fn claim(
        &mut self,
        listener: &Listener,
        wire: Wire,
        owner: &str,
    ) -> Result<(), (Reason, String)> {
        let owner = format!("listener {} of {owner}", listener.name);
        let port = self.ports.entry(listener.port).or_insert_with(|| Port {
            wire,
            protocol: listener.protocol.clone(),
            owner: owner.clone(),
            hostnames: BTreeMap::new(),
        });
        if port.wire != wire {
            let message = format!(
                "port {} is taken with protocol {} by {}, which comes first",
                listener.port, port.protocol, port.owner
            );
            return Err((Reason::ProtocolConflict, message));
        }
        if let Some(first) = port.hostnames.get(&listener.hostname) {
            let message = format!(
                "port {} with host name {} is taken by {first}, which comes first; all Gateways share one address",
                listener.port, listener.hostname
            );
            return Err((Reason::HostnameConflict, message));
        }
        port.hostnames.insert(listener.hostname.clone(), owner);
        Ok(())
    }
}
