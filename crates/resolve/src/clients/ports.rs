//! What holds for a connection before it is known which listener of a port it belongs to. It is the same for all of them:
//! each setting is that of the policy that comes first among those that write it.

use std::collections::{BTreeMap, BTreeSet};

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
        let settled = of_port(&policies, lowered);
        for (loser, Claim { field, by }) in &settled.displaced {
            let text = format!(
                "it does not hold on port {}: all its listeners have what {} says, which comes first",
                port.1, claims.policies[*by].name
            );
            let object = object_ref(&claims.policies[*loser].name.name);
            found.warning(&object, field.clone(), "port-setting-taken", text);
        }
        if let Some(first) = without.first() {
            for (id, field) in written(&policies, lowered) {
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

/// The fields of settings of the socket, in the order of [`SocketSettings`].
const FIELDS: [&str; 6] = [
    "spec.tcpKeepalive",
    "spec.proxyProtocol",
    "spec.connection.connectionLimit.value",
    "spec.connection.socketBufferLimit",
    "spec.timeout.tcp.connectionInspectionTimeout",
    "spec.timeout.tcp.tlsHandshakeTimeout",
];

fn of_port(policies: &BTreeSet<PolicyId>, lowered: &BTreeMap<PolicyId, Lowered>) -> Settled {
    let mut settled = Settled {
        socket: ClientSocket::DEFAULT,
        displaced: Vec::new(),
    };
    let Settled { socket, displaced } = &mut settled;
    let mut first: [Option<PolicyId>; 6] = [None; 6];
    // They are in the order of precedence.
    for id in policies {
        let mut take = Taker {
            id: *id,
            first: &mut first,
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
        take.take(0, &mut socket.tcp_keepalive, tcp_keepalive.clone());
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
    first: &'a mut [Option<PolicyId>; 6],
    displaced: &'a mut Vec<(PolicyId, Claim)>,
}

impl Taker<'_> {
    fn take<T: PartialEq>(&mut self, field: usize, socket: &mut T, written: Option<T>) {
        let Some(written) = written else { return };
        match self.first[field] {
            None => {
                *socket = written;
                self.first[field] = Some(self.id);
            }
            Some(by) if *socket != written => {
                let field = FieldPath::new(FIELDS[field]);
                self.displaced.push((self.id, Claim { field, by }));
            }
            Some(_) => {}
        }
    }
}

/// The settings of the socket that each policy writes.
fn written<'a>(
    policies: &'a BTreeSet<PolicyId>,
    lowered: &'a BTreeMap<PolicyId, Lowered>,
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
        let fields = FIELDS.iter().zip(there).filter(|(_, there)| *there);
        fields.map(|(field, _)| (*id, FieldPath::new(*field)))
    })
}
