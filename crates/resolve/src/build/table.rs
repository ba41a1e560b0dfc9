//! The routes of every listener by host name, kept up to date route by route.
//!
//! What no change touched is the same `Arc` in the next plan.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use weir_plan::{
    ClientPolicy, Cluster, ClusterName, HostMatch, L4Listener, Listener, ListenerTls, Plan,
    VirtualHost,
};

use super::order::{Entry, L4Entry, l4_precedence, precedence};
use super::route::Built;
use crate::clients::Clients;
use crate::topology::gateways::GatewayDetail;
use crate::topology::{ListenerKey, ListenerNode};

/// What the plan is put together from.
#[derive(Debug, Default)]
pub(crate) struct Table {
    listeners: BTreeMap<ListenerKey, Hosts>,
    clusters: BTreeMap<ClusterName, Arc<Cluster>>,
    l4: BTreeMap<ListenerKey, Vec<L4Entry>>,
    /// The last plan, until something changes.
    plan: Option<Arc<Plan>>,
}

/// The routes of one listener.
#[derive(Debug, Default)]
struct Hosts {
    hosts: BTreeMap<BySpecificity, Host>,
    /// The listener as last put together, until something changes.
    listener: Option<Arc<Listener>>,
}

/// The routes under one host name.
#[derive(Debug, Default)]
struct Host {
    entries: Vec<Entry>,
    /// The virtual host as last put together, until something changes.
    host: Option<Arc<VirtualHost>>,
}

impl Table {
    /// Puts what a route was built to in place of what it was.
    pub(crate) fn replace(&mut self, old: Option<&Built>, new: Option<&Built>) {
        let none = Built::default();
        let (old, new) = (old.unwrap_or(&none), new.unwrap_or(&none));
        let (was, is) = (&old.entries, &new.entries);
        if was != is {
            self.plan = None;
            for (listener, host, entries) in was {
                self.remove(listener, host, entries);
            }
            for (listener, host, entries) in is {
                self.insert(listener, host, entries);
            }
        }
        let (was, is) = (&old.l4, &new.l4);
        if was != is {
            self.plan = None;
            for (listener, entry) in was {
                if let Some(entries) = self.l4.get_mut(listener) {
                    entries.retain(|it| it != entry);
                }
            }
            for (listener, entry) in is {
                let entries = self.l4.entry(listener.clone()).or_default();
                entries.push(entry.clone());
                entries.sort_by(l4_precedence);
            }
        }
        let (was, is) = (&old.clusters, &new.clusters);
        if was.len() != is.len() || !was.iter().zip(is).all(|(a, b)| Arc::ptr_eq(a, b)) {
            self.plan = None;
            for cluster in was {
                self.clusters.remove(&cluster.name);
            }
            let named = is.iter().map(|it| (it.name.clone(), Arc::clone(it)));
            self.clusters.extend(named);
        }
    }

    fn remove(&mut self, listener: &ListenerKey, host: &HostMatch, entries: &[Entry]) {
        let Some(hosts) = self.listeners.get_mut(listener) else {
            return;
        };
        hosts.listener = None;
        let host = BySpecificity(host.clone());
        if let Some(known) = hosts.hosts.get_mut(&host) {
            known.host = None;
            known.entries.retain(|it| !entries.contains(it));
            if known.entries.is_empty() {
                hosts.hosts.remove(&host);
            }
        }
    }

    fn insert(&mut self, listener: &ListenerKey, host: &HostMatch, entries: &[Entry]) {
        let hosts = self.listeners.entry(listener.clone()).or_default();
        hosts.listener = None;
        let host = hosts.hosts.entry(BySpecificity(host.clone())).or_default();
        host.host = None;
        host.entries.extend_from_slice(entries);
    }

    /// The plan: every listener that serves, with its routes, and the clusters.
    ///
    /// What `clients` say of TLS takes the place of what a listener says itself.
    pub(crate) fn plan(&mut self, gateways: &[Arc<GatewayDetail>], clients: &Clients) -> Arc<Plan> {
        let served = gateways
            .iter()
            .flat_map(|gateway| gateway.node.listeners.iter().zip(&gateway.tls))
            .filter(|(node, _)| node.programmed);
        let mut listeners: Vec<_> = served
            .map(|(node, tls)| {
                let of = clients.listeners.get(&node.key);
                let tls = of.and_then(|it| it.tls.as_ref()).or(tls.as_ref());
                let client = of.and_then(|it| it.client.as_ref());
                self.listeners
                    .entry(node.key.clone())
                    .or_default()
                    .listener(node, tls, client)
            })
            .collect();
        listeners.sort_by(|a, b| {
            let key = |it: &Arc<Listener>| it.port;
            key(a)
                .cmp(&key(b))
                .then_with(|| a.hostname.specificity().cmp(&b.hostname.specificity()))
                .then_with(|| a.name.cmp(&b.name))
        });
        let l4 = self.l4_listeners(gateways, clients);
        if let Some(plan) = &self.plan {
            let same = plan
                .listeners
                .iter()
                .zip(&listeners)
                .all(|(a, b)| Arc::ptr_eq(a, b));
            if same && plan.listeners.len() == listeners.len() && plan.l4 == l4 {
                return Arc::clone(plan);
            }
        }
        let plan = Arc::new(Plan {
            listeners,
            clusters: self.clusters.clone(),
            l4,
        });
        self.plan = Some(Arc::clone(&plan));
        plan
    }
}

impl Table {
    /// Where a listener's policy is invalid, it has no routes.
    fn l4_listeners(
        &self,
        gateways: &[Arc<GatewayDetail>],
        clients: &Clients,
    ) -> Vec<Arc<L4Listener>> {
        let nodes = gateways.iter().flat_map(|it| &it.node.listeners);
        let mut listeners: Vec<_> = nodes
            .filter_map(|node| {
                let of = clients.listeners.get(&node.key);
                let invalid = of.is_some_and(|it| it.invalid.is_some());
                let routes = self.l4.get(&node.key).filter(|_| !invalid);
                let routes = routes.into_iter().flatten();
                Some(Arc::new(L4Listener {
                    name: node.key.plan_name(),
                    port: node.port,
                    transport: node.transport?,
                    hostname: node.hostname.clone(),
                    client: of.and_then(|it| it.client.clone()),
                    routes: routes.map(|it| Arc::clone(&it.route)).collect(),
                }))
            })
            .collect();
        listeners.sort_by(|a, b| (a.port, &a.name).cmp(&(b.port, &b.name)));
        listeners
    }
}

impl Hosts {
    fn listener(
        &mut self,
        node: &ListenerNode,
        tls: Option<&Arc<ListenerTls>>,
        client: Option<&Arc<ClientPolicy>>,
    ) -> Arc<Listener> {
        let name = node.key.plan_name();
        if let Some(known) = &self.listener
            && known.name == name
            && known.port == node.port
            && known.hostname == node.hostname
            && known.tls.as_ref() == tls
            && known.client.as_ref() == client
        {
            return Arc::clone(known);
        }
        let hosts = self
            .hosts
            .iter_mut()
            .map(|(name, host)| host.virtual_host(&name.0))
            .collect();
        let listener = Arc::new(Listener {
            name,
            port: node.port,
            hostname: node.hostname.clone(),
            tls: tls.cloned(),
            client: client.cloned(),
            hosts,
        });
        self.listener = Some(Arc::clone(&listener));
        listener
    }
}

impl Host {
    fn virtual_host(&mut self, hostname: &HostMatch) -> Arc<VirtualHost> {
        if let Some(known) = &self.host {
            return Arc::clone(known);
        }
        self.entries.sort_by(precedence);
        let routes = self
            .entries
            .iter()
            .map(|it| Arc::clone(&it.route))
            .collect();
        let host = Arc::new(VirtualHost {
            hostname: hostname.clone(),
            routes,
        });
        self.host = Some(Arc::clone(&host));
        host
    }
}

/// A host name, the more specific first.
#[derive(Debug, PartialEq, Eq)]
struct BySpecificity(HostMatch);

impl Ord for BySpecificity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.specificity().cmp(&other.0.specificity())
    }
}

impl PartialOrd for BySpecificity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
