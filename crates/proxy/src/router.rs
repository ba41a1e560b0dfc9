//! From a request to its route: by port, then listener, then host name, then path. Pure.
//!
//! Each step is a look-up in a map, so that the time does not grow with the number of routes; only routes that share a
//! path, and those with regular expressions, are tried one after the other.

mod host;
mod index;
mod matcher;

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;

use http::header::HOST;
use http::{HeaderMap, Method};
use weir_plan::features::http_upgrade::{HttpUpgrade, HttpUpgrades};
use weir_plan::{Listener, PathNormalisation, Plan, Route, RouteName, VirtualHost};

use crate::path::{Normalised, normalise};
use crate::pattern::Patterns;
pub(crate) use host::{ByHost, host_name};
use index::PathIndex;
use matcher::Matcher;

/// A plan compiled for look-up. `S` is what the data plane keeps with each route.
#[derive(Debug)]
pub struct Router<S = ()> {
    ports: HashMap<u16, ByHost<Arc<ListenerTable<S>>>>,
    listeners: Vec<Arc<ListenerTable<S>>>,
}

/// The route that a request takes.
#[derive(Clone, Debug)]
pub struct Found {
    /// The listener that it belongs to.
    pub listener: Arc<Listener>,
    /// The route.
    pub route: Arc<Route>,
}

/// What a route is looked up by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// The host name: lower case, without port; empty where the request names none.
    pub(crate) host: &'a str,
    /// The path in normal form.
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
    pub(crate) method: &'a Method,
    pub(crate) headers: &'a HeaderMap,
}

/// A listener and its routes.
#[derive(Debug)]
pub(crate) struct ListenerTable<S> {
    pub(crate) listener: Arc<Listener>,
    hosts: ByHost<Arc<HostTable<S>>>,
}

#[derive(Debug)]
struct HostTable<S> {
    host: Arc<VirtualHost>,
    entries: Vec<Arc<Entry<S>>>,
    index: PathIndex,
    /// The places of the routes that take CONNECT, which names no path. They take nothing else.
    tunnels: Box<[usize]>,
}

/// A route, compiled.
#[derive(Debug)]
pub(crate) struct Entry<S> {
    pub(crate) route: Arc<Route>,
    matcher: Matcher,
    pub(crate) state: S,
}

/// What a look-up found: perhaps a listener, and perhaps a route of it.
#[derive(Debug)]
pub(crate) struct LookedUp<'a, S> {
    pub(crate) listener: Option<&'a Arc<ListenerTable<S>>>,
    pub(crate) entry: Option<&'a Arc<Entry<S>>>,
}

impl Router {
    /// Compiles a plan.
    pub fn new(plan: &Plan) -> Self {
        Self::build(plan, None, &mut Patterns::default(), &mut |_, _, _, _| ())
    }

    /// The route that a request on a port takes. The host is the request's `Host` or `:authority`; the path is brought
    /// into normal form first, as the gateway does.
    pub fn find(&self, port: u16, request: &http::request::Parts) -> Option<Found> {
        let authority = match request.uri.authority() {
            Some(authority) => authority.as_str(),
            None => request
                .headers
                .get(HOST)
                .and_then(|host| host.to_str().ok())
                .unwrap_or_default(),
        };
        let path = match normalise(request.uri.path(), self.path_rules(port)) {
            Normalised::Same | Normalised::Refused => Cow::Borrowed(request.uri.path()),
            Normalised::Changed(path) | Normalised::Redirect(path) => Cow::Owned(path),
        };
        let LookedUp { listener, entry } = self.look_up(
            port,
            &Wanted {
                host: &host_name(authority),
                path: &path,
                query: request.uri.query(),
                method: &request.method,
                headers: &request.headers,
            },
        );
        Some(Found {
            listener: Arc::clone(&listener?.listener),
            route: Arc::clone(&entry?.route),
        })
    }
}

impl<S> Router<S> {
    /// What becomes of the paths of requests on a port.
    fn path_rules(&self, port: u16) -> PathNormalisation {
        let listeners = self.listeners.iter().map(|it| &it.listener);
        let mut policies = listeners
            .filter(|it| it.port == port)
            .filter_map(|it| it.client.as_ref());
        policies
            .next()
            .map_or(PathNormalisation::DEFAULT, |it| it.path)
    }
}

/// Makes what is kept with a route, from what the previous plan kept with the route of that name.
pub(crate) type MakeState<'a, S> =
    dyn FnMut(&Arc<Listener>, &Arc<Route>, Option<&Arc<Entry<S>>>, &mut Patterns) -> S + 'a;

impl<S> Router<S> {
    /// Compiles a plan. What is the same `Arc` as in the previous plan is taken over as it is, state included; `state`
    /// is asked for the rest.
    pub(crate) fn build(
        plan: &Plan,
        previous: Option<&Self>,
        patterns: &mut Patterns,
        state: &mut MakeState<'_, S>,
    ) -> Self {
        let known: HashMap<_, _> = previous
            .iter()
            .flat_map(|router| &router.listeners)
            .map(|table| (&table.listener.name, table))
            .collect();
        let mut ports: HashMap<u16, ByHost<_>> = HashMap::new();
        let mut listeners = Vec::with_capacity(plan.listeners.len());
        for listener in &plan.listeners {
            let known = known.get(&listener.name).copied();
            let table = match known {
                Some(known) if Arc::ptr_eq(&known.listener, listener) => Arc::clone(known),
                _ => Arc::new(ListenerTable::build(listener, known, patterns, state)),
            };
            ports
                .entry(listener.port)
                .or_default()
                .insert(&listener.hostname, Arc::clone(&table));
            listeners.push(table);
        }
        Self { ports, listeners }
    }

    /// Looks a request on a port up.
    pub(crate) fn look_up(&self, port: u16, wanted: &Wanted<'_>) -> LookedUp<'_, S> {
        let listener = self
            .ports
            .get(&port)
            .and_then(|listeners| listeners.get(wanted.host));
        let host = listener.and_then(|table| table.hosts.get(wanted.host));
        LookedUp {
            listener,
            entry: host.and_then(|host| host.find(wanted)),
        }
    }

    /// Every route, compiled.
    #[cfg(test)]
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Arc<Entry<S>>> {
        self.listeners
            .iter()
            .flat_map(|table| table.hosts.values())
            .flat_map(|host| &host.entries)
    }
}

impl<S> ListenerTable<S> {
    fn build(
        listener: &Arc<Listener>,
        previous: Option<&Arc<Self>>,
        patterns: &mut Patterns,
        state: &mut MakeState<'_, S>,
    ) -> Self {
        let by_name = OnceCell::new();
        let mut hosts = ByHost::default();
        hosts.reserve(listener.hosts.len());
        for host in &listener.hosts {
            let known = previous.and_then(|table| table.hosts.get_same(&host.hostname));
            let table = match known {
                Some(known) if Arc::ptr_eq(&known.host, host) => Arc::clone(known),
                _ => {
                    let entries = host.routes.iter().enumerate().map(|(place, route)| {
                        let at_place = known.and_then(|table| table.entries.get(place));
                        let known = match at_place {
                            Some(entry) if Arc::ptr_eq(&entry.route, route) => Some(entry),
                            _ => by_name
                                .get_or_init(|| previous.map(|it| it.by_name()).unwrap_or_default())
                                .get(&route.name)
                                .copied(),
                        };
                        match known {
                            Some(entry) if Arc::ptr_eq(&entry.route, route) => Arc::clone(entry),
                            _ => Arc::new(Entry {
                                route: Arc::clone(route),
                                matcher: Matcher::new(route, patterns),
                                state: state(listener, route, known, patterns),
                            }),
                        }
                    });
                    let routes = || host.routes.iter();
                    let paths = routes().map(|it| (!is_tunnel(it)).then_some(&it.matches.path));
                    let tunnels = (0..).zip(routes()).filter(|(_, it)| is_tunnel(it));
                    let tunnels = tunnels.map(|(place, _)| place);
                    Arc::new(HostTable {
                        host: Arc::clone(host),
                        entries: entries.collect(),
                        index: PathIndex::new(paths),
                        tunnels: tunnels.collect(),
                    })
                }
            };
            hosts.insert(&host.hostname, table);
        }
        Self {
            listener: Arc::clone(listener),
            hosts,
        }
    }

    fn by_name(&self) -> HashMap<&RouteName, &Arc<Entry<S>>> {
        self.hosts
            .values()
            .flat_map(|host| &host.entries)
            .map(|entry| (&entry.route.name, entry))
            .collect()
    }
}

/// Whether a route takes CONNECT requests.
pub(super) fn is_tunnel(route: &Route) -> bool {
    match &route.rule.policy.http_upgrade {
        HttpUpgrades::WebSocket => false,
        HttpUpgrades::Only(list) => list
            .iter()
            .any(|it| matches!(it, HttpUpgrade::Connect { .. })),
    }
}

impl<S> HostTable<S> {
    /// The first route, in the order of the plan, that a request fulfils.
    fn find(&self, wanted: &Wanted<'_>) -> Option<&Arc<Entry<S>>> {
        if *wanted.method == Method::CONNECT {
            let mut tunnels = self.tunnels.iter().map(|&place| &self.entries[place]);
            return tunnels.find(|it| it.matcher.fits(wanted));
        }
        let mut best = self.entries.len();
        self.index.candidates(wanted.path, |places| {
            let better = places
                .iter()
                .map(|&place| place as usize)
                .take_while(|&place| place < best)
                .find(|&place| self.entries[place].matcher.fits(wanted));
            best = better.unwrap_or(best);
        });
        self.entries.get(best)
    }
}

#[cfg(test)]
mod tests;
