//! What each listener gets of the policy that it has, and why a policy is invalid on one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value};
use weir_plan::{
    ClientPolicy, ClientSocket, HostMatch, ListenerName, ListenerTls, NamespacedName, Transport,
};

use super::claims::{Claims, Standing};
use super::findings::{self, Reach};
use super::lower::{self, Lowered};
use super::ports::{self, Claim};
use super::{OfListener, OfRoutes};
use crate::attach::PolicyId;
use crate::diagnostics::Diagnostics;
use crate::effective::Lost;
use crate::resources::Resources;
use crate::topology::attachments::Attachments;
use crate::topology::{ListenerKey, ListenerNode};
use crate::{Addresses, Context};

/// What all listeners get.
pub(super) struct Used {
    pub(super) listeners: BTreeMap<ListenerKey, Arc<OfListener>>,
    /// The listeners that have each policy, in the order of the topology.
    pub(super) by_policy: BTreeMap<PolicyId, Vec<Told>>,
}

/// A listener that has a policy, and why that is invalid there.
pub(super) type Told = (ListenerKey, Option<Arc<str>>);

/// A listener that serves, or would if its protocol were served.
struct Served<'a> {
    node: &'a ListenerNode,
    tls: Option<&'a Arc<ListenerTls>>,
    http: bool,
    /// The addresses that it shares with others: those of its Gateway, or all.
    address: Option<&'a NamespacedName>,
    standing: Standing,
    /// The policies that would have it, but say nothing here, and why.
    kept_out: Vec<(PolicyId, Arc<str>)>,
}

impl Served<'_> {
    /// The policies that are told of it: those that say nothing here, and the one that has it.
    fn policies(&self) -> impl Iterator<Item = PolicyId> + '_ {
        let kept_out = self.kept_out.iter().map(|(id, _)| *id);
        kept_out.chain(self.standing.policy)
    }
}

/// What a listener has come to.
struct Outcome {
    invalid: Option<Arc<str>>,
    default_host: Option<Arc<str>>,
    tls: Option<Arc<ListenerTls>>,
}

pub(super) fn of_each(
    resources: &Resources,
    attachments: &Attachments,
    context: &Context,
    claims: &Claims,
    found: &mut Diagnostics,
) -> Used {
    let mut served = served(attachments, context, claims);
    // Where a listener's own policy says nothing, that of its Gateway is next.
    for _ in 0..2 {
        keep_out(&mut served, claims);
    }
    let policies: BTreeSet<PolicyId> = served.iter().flat_map(Served::policies).collect();
    let lowered: BTreeMap<PolicyId, Lowered> = policies
        .into_iter()
        .map(|id| {
            let claimant = &claims.policies[id];
            (
                id,
                lower::lower(&claimant.policy, &claimant.name, resources),
            )
        })
        .collect();
    let outcomes: Vec<Outcome> = served
        .iter()
        .map(|it| match it.standing.policy {
            Some(id) => outcome(it, &lowered[&id], attachments),
            None => Outcome {
                invalid: None,
                default_host: None,
                tls: None,
            },
        })
        .collect();
    let on_ports = served.iter().zip(&outcomes).map(|(it, outcome)| {
        let valid = it.standing.policy;
        let valid = valid.filter(|_| outcome.invalid.is_none());
        ((it.address, it.node.port), &it.node.key, valid)
    });
    let sockets = ports::settle(on_ports, &lowered, claims, found);
    let mut reaches: BTreeMap<PolicyId, Reach> = BTreeMap::new();
    for (it, outcome) in served.iter().zip(&outcomes) {
        for id in it.policies() {
            let Reach {
                http,
                tls,
                certificates,
            } = reaches.entry(id).or_default();
            *http |= it.http;
            *tls |= it.tls.is_some();
            let spoken = outcome.tls.as_ref().or(it.tls);
            *certificates |= spoken.is_some_and(|it| it.clients.is_some());
        }
    }
    let mut used = Used {
        listeners: BTreeMap::new(),
        by_policy: BTreeMap::new(),
    };
    for (it, outcome) in served.into_iter().zip(outcomes) {
        let key = &it.node.key;
        let kept_out = it.kept_out.into_iter().map(|(id, why)| (id, Some(why)));
        let has = it.standing.policy.map(|id| (id, outcome.invalid.clone()));
        for (id, why) in kept_out.chain(has) {
            let told = (key.clone(), why);
            used.by_policy.entry(id).or_default().push(told);
        }
        let socket = &sockets[&(it.address, it.node.port)];
        let of = of_listener(
            key.plan_name(),
            it.standing,
            outcome,
            socket,
            &lowered,
            claims,
        );
        if of.policy.is_some() || of.client.is_some() || !of.lost.is_empty() {
            used.listeners.insert(key.clone(), Arc::new(of));
        }
    }
    findings::report(&lowered, &reaches, &used, claims, found);
    used
}

/// All listeners that a policy says anything of.
fn served<'a>(attachments: &'a Attachments, context: &Context, claims: &Claims) -> Vec<Served<'a>> {
    let gateways = attachments.gateways.iter();
    let listeners = gateways.flat_map(|gateway| {
        let all = gateway.node.listeners.iter().zip(&gateway.tls);
        all.map(move |(node, tls)| (&gateway.node.name, node, tls))
    });
    let numbered = listeners.enumerate();
    numbered
        .filter_map(|(index, (gateway, node, tls))| {
            let http = node.programmed && matches!(node.protocol.as_str(), "HTTP" | "HTTPS");
            let l4 = match node.transport {
                Some(Transport::Tcp | Transport::TlsPassthrough | Transport::TlsTerminate) => true,
                Some(Transport::Udp) | None => false,
            };
            (http || l4).then(|| Served {
                node,
                tls: tls.as_ref(),
                http,
                address: match context.addresses {
                    Addresses::Shared => None,
                    Addresses::PerGateway => Some(gateway),
                },
                standing: claims.standing(index),
                kept_out: Vec::new(),
            })
        })
        .collect()
}

fn outcome(listener: &Served<'_>, lowered: &Lowered, attachments: &Attachments) -> Outcome {
    let invalid = |why: String| Outcome {
        invalid: Some(why.into()),
        default_host: None,
        tls: None,
    };
    let (default_host, no_host) = if lowered.default_host && listener.http {
        match default_host(listener.node, attachments) {
            Ok(host) => (Some(host), None),
            Err(why) => (None, Some(why)),
        }
    } else {
        (None, None)
    };
    if let Some(why) = lowered.invalid(listener.http, listener.tls.is_some(), no_host) {
        return invalid(why);
    }
    match listener.tls.map(|it| lowered.tls.apply(it)).transpose() {
        Ok(tls) => Outcome {
            invalid: None,
            default_host,
            tls: tls.map(Arc::new),
        },
        Err(why) => invalid(format!("{}: {why}", lower::TLS)),
    }
}

/// Takes listeners from the policies that cannot be told apart on them, and gives them to those of their Gateways.
fn keep_out(served: &mut [Served<'_>], claims: &Claims) {
    let reasons: Vec<_> = served.iter().map(|it| overlap(it, served)).collect();
    for (it, why) in served.iter_mut().zip(reasons) {
        let (Some(id), Some(why)) = (it.standing.policy, why) else {
            continue;
        };
        let Standing {
            policy,
            by_gateway,
            gateways,
            lost,
        } = &mut it.standing;
        *policy = gateways.take();
        *by_gateway = policy.is_some();
        if let Some(next) = *policy {
            lost.retain(|it| it.policy != claims.policies[next].name);
        }
        let name = claims.policies[id].name.clone();
        lost.push(Lost {
            policy: name,
            reason: why.clone(),
        });
        it.kept_out.push((id, why.into()));
    }
}

/// Why a policy cannot be on a listener for clear text: others on its port, whose connections look the same, do not have
/// it. A policy of a whole Gateway leaves its own listeners to other policies.
fn overlap(listener: &Served<'_>, all: &[Served<'_>]) -> Option<String> {
    let clear = |it: &Served<'_>| it.http && it.node.protocol == "HTTP";
    if !clear(listener) || listener.standing.policy.is_none() {
        return None;
    }
    let (key, policy) = (&listener.node.key, listener.standing.policy);
    let others: Vec<String> = all
        .iter()
        .filter(|it| {
            clear(it)
                && it.address == listener.address
                && it.node.port == listener.node.port
                && it.node.key != *key
                && it.standing.policy != policy
                && !(listener.standing.by_gateway && it.node.key.gateway == key.gateway)
        })
        .map(|it| it.node.key.plan_name().to_string())
        .collect();
    (!others.is_empty()).then(|| {
        format!(
            "ClientTrafficPolicy is being applied to multiple http (non https) listeners ({}) on the same port, which is not allowed",
            others.join(", ")
        )
    })
}

/// The host of HTTP/1.0 requests that name none: the listener's, else the only one that its routes have.
fn default_host(node: &ListenerNode, attachments: &Attachments) -> Result<Arc<str>, &'static str> {
    if let HostMatch::Exact(name) = &node.hostname {
        return Ok(Arc::clone(name));
    }
    let carriers = attachments.routes.iter().flat_map(|it| &it.carriers);
    let on_it = carriers.filter(|it| it.served && it.listener == node.key);
    let hosts: BTreeSet<&Arc<str>> = on_it
        .flat_map(|it| &it.hosts)
        .filter_map(|host| match host {
            HostMatch::Exact(name) => Some(name),
            HostMatch::Suffix(_) | HostMatch::Any => None,
        })
        .collect();
    let mut hosts = hosts.into_iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => Ok(Arc::clone(host)),
        (None, _) => Err("cannot set http10 default host on listener with only wildcard hostnames"),
        (Some(_), Some(_)) => Err(
            "cannot set http10 default host on listener with only wildcard hostnames and more than one possible default route",
        ),
    }
}

fn of_listener(
    name: ListenerName,
    standing: Standing,
    outcome: Outcome,
    socket: &ports::Settled,
    lowered: &BTreeMap<PolicyId, Lowered>,
    claims: &Claims,
) -> OfListener {
    let Standing {
        policy,
        by_gateway: _,
        gateways: _,
        lost,
    } = standing;
    let Outcome {
        invalid,
        default_host,
        tls,
    } = outcome;
    let named = |id: PolicyId| claims.policies[id].name.clone();
    let of_policy = policy.map(|id| &lowered[&id]);
    let valid = of_policy.filter(|_| invalid.is_none());
    let mut client = valid.map_or(ClientPolicy::DEFAULT, |it| it.client.clone());
    client.socket.clone_from(&socket.socket);
    client.http1.http10_default_host = default_host;
    let says = client.origin.is_some() || client.socket != ClientSocket::DEFAULT;
    let displaced = socket.displaced.iter();
    let displaced = displaced.filter(|(loser, _)| policy == Some(*loser));
    let port = ports::FIELDS.into_iter().zip(socket.from);
    OfListener {
        name,
        port: port
            .filter_map(|(fields, id)| Some((fields, named(id?))))
            .collect(),
        policy: policy.map(named),
        settings: policy.map_or_else(
            || Arc::new(Value::Object(Map::new())),
            |id| Arc::clone(&claims.policies[id].settings),
        ),
        lost,
        routes: OfRoutes {
            refused: invalid.clone(),
            stream_idle: valid.and_then(|it| it.stream_idle.clone()),
            rate_limit_headers: valid.is_none_or(|it| it.rate_limit_headers),
        },
        invalid,
        displaced: displaced
            .map(|(_, Claim { field, by })| (field.clone(), named(*by)))
            .collect(),
        client: says.then(|| Arc::new(client)),
        tls,
    }
}
