//! What holds for a connection before it is known which listener of a port it belongs to. It is the same for all of them:
//! each setting is that of the policy that comes first among those that write it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use weir_plan::{ClientSocket, NamespacedName};

use super::claims::{Claims, object_ref};
use super::lower::{Lowered, SocketSettings};
use crate::attach::PolicyId;
use crate::diagnostics::{Diagnostics, FieldPath};
use crate::topology::ListenerKey;

/// A port, with the Gateway that has it for itself; none: all share it.
type Port<'a> = (Option<&'a NamespacedName>, u16);

/// What a port has come to.
pub(super) struct Settled {
    pub(super) socket: ClientSocket,
    /// The policy of each setting, in the order of [`FIELDS`].
    pub(super) from: [Option<PolicyId>; 6],
    /// The policies of which a setting does not hold here, with the setting and the policy whose does.
    pub(super) displaced: Vec<(PolicyId, Claim)>,
}

/// A setting of a port, and the policy that it is from.
#[derive(Clone)]
pub(super) struct Claim {
    pub(super) field: FieldPath,
    pub(super) by: PolicyId,
}

/// The sockets of all ports. `listeners` has each listener's port, and its policy where that is valid there.
pub(super) fn settle<'a>(
    listeners: impl Iterator<Item = (Port<'a>, &'a ListenerKey, Option<PolicyId>)>,
    lowered: &BTreeMap<PolicyId, Lowered>,
    claims: &Claims,
    found: &mut Diagnostics,
) -> BTreeMap<Port<'a>, Settled> {
    let mut ports: BTreeMap<Port<'a>, (BTreeSet<PolicyId>, Vec<&ListenerKey>)> = BTreeMap::new();
    for (port, listener, policy) in listeners {
        let (policies, without) = ports.entry(port).or_default();
        match policy {
            Some(policy) => drop(policies.insert(policy)),
            None => without.push(listener),
        }
    }
    let settled = ports.into_iter().map(|(port, (policies, without))| {
        let settled = of_port(&policies, lowered, claims);
        for (loser, Claim { field, by }) in &settled.displaced {
            let text = format!(
                "it does not hold on port {}: all its listeners have what {} says, which comes first",
                port.1, claims.policies[*by].name
            );
            let object = object_ref(&claims.policies[*loser].name.name);
            found.warning(&object, field.clone(), "port-setting-taken", text);
        }
        if let Some(first) = without.first() {
            for (id, field) in written(&policies, lowered, claims) {
                let text = format!(
                    "it holds for all connections to port {}, those for listener {} included, which has no such policy",
                    port.1,
                    first.plan_name()
                );
                let object = object_ref(&claims.policies[id].name.name);
                found.warning(&object, field, "port-setting-shared", text);
            }
        }
        (port, settled)
    });
    settled.collect()
}

/// The fields below `spec` of each setting of the socket, in the order of [`SocketSettings`].
pub(super) const FIELDS: [&[&str]; 6] = [
    &["tcpKeepalive"],
    &["proxyProtocol", "enableProxyProtocol"],
    &[
        "connection.connectionLimit.value",
        "connection.connectionLimit.closeDelay",
    ],
    &["connection.socketBufferLimit"],
    &["timeout.tcp.connectionInspectionTimeout"],
    &["timeout.tcp.tlsHandshakeTimeout"],
];

fn of_port(
    policies: &BTreeSet<PolicyId>,
    lowered: &BTreeMap<PolicyId, Lowered>,
    claims: &Claims,
) -> Settled {
    let mut settled = Settled {
        socket: ClientSocket::DEFAULT,
        from: [None; 6],
        displaced: Vec::new(),
    };
    let Settled {
        socket,
        from,
        displaced,
    } = &mut settled;
    // They are in the order of precedence.
    for id in policies {
        let mut take = Taker {
            id: *id,
            settings: &claims.policies[*id].settings,
            from,
            displaced,
        };
        let SocketSettings {
            tcp_keepalive,
            proxy_protocol,
            limit,
            buffer_bytes,
            inspection_timeout,
            handshake_timeout,
        } = &lowered[id].socket;
        take.take(0, &mut socket.tcp_keepalive, *tcp_keepalive);
        take.take(1, &mut socket.proxy_protocol, *proxy_protocol);
        take.take(2, &mut socket.limit, limit.map(Some));
        take.take(3, &mut socket.buffer_bytes, buffer_bytes.map(Some));
        take.take(4, &mut socket.inspection_timeout, *inspection_timeout);
        take.take(5, &mut socket.handshake_timeout, *handshake_timeout);
    }
    settled
}

struct Taker<'a> {
    id: PolicyId,
    settings: &'a Value,
    from: &'a mut [Option<PolicyId>; 6],
    displaced: &'a mut Vec<(PolicyId, Claim)>,
}

impl Taker<'_> {
    fn take<T: PartialEq>(&mut self, setting: usize, socket: &mut T, written: Option<T>) {
        let Some(written) = written else { return };
        match self.from[setting] {
            None => {
                *socket = written;
                self.from[setting] = Some(self.id);
            }
            Some(by) if *socket != written => {
                let field = field(setting, self.settings);
                self.displaced.push((self.id, Claim { field, by }));
            }
            Some(_) => {}
        }
    }
}

/// The field that says a setting in these settings, of those that may.
fn field(setting: usize, settings: &Value) -> FieldPath {
    let written = |it: &FieldPath| it.in_value(settings).is_some_and(|it| !it.is_null());
    let fields = FIELDS[setting].iter().map(|it| FieldPath::new(*it));
    let first = fields
        .clone()
        .find(written)
        .or_else(|| fields.clone().next());
    FieldPath::new("spec").join(first.as_ref().map_or("", FieldPath::as_str))
}

/// The settings of the socket that each policy writes.
fn written<'a>(
    policies: &'a BTreeSet<PolicyId>,
    lowered: &'a BTreeMap<PolicyId, Lowered>,
    claims: &'a Claims,
) -> impl Iterator<Item = (PolicyId, FieldPath)> + 'a {
    policies.iter().flat_map(|id| {
        let SocketSettings {
            tcp_keepalive,
            proxy_protocol,
            limit,
            buffer_bytes,
            inspection_timeout,
            handshake_timeout,
        } = &lowered[id].socket;
        let there = [
            tcp_keepalive.is_some(),
            proxy_protocol.is_some(),
            limit.is_some(),
            buffer_bytes.is_some(),
            inspection_timeout.is_some(),
            handshake_timeout.is_some(),
        ];
        let settings = there.into_iter().enumerate().filter(|(_, there)| *there);
        settings.map(|(setting, _)| (*id, field(setting, &claims.policies[*id].settings)))
    })
}
