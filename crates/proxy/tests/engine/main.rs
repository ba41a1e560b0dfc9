//! The engine of the data plane on real sockets: ports that come and go, connections and their limits, plans that
//! change under load.

mod backend;
mod client;
mod connections;
mod plans;
mod ports;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use weir_limiter::Clock;
use weir_plan::features::circuit_breaker::CircuitBreaker;
use weir_plan::{
    Cluster, ClusterName, ClusterPolicy, Endpoint, EndpointAddress, EndpointMap, EndpointsName,
    Forward, HeaderChanges, HostMatch, Listener, ListenerName, Locality, NamespacedName, Origin,
    PathMatch, Plan, Route, RouteAction, RouteKind, RouteMatch, RouteName, RoutePolicy, RouteRule,
    RuleName, SplitTarget, UpstreamProtocol, VirtualHost, WeightedTarget,
};
use weir_proxy::{AccessLogTarget, Limits, Options, Proxy};

use backend::Backend;

/// Options for tests: any free ports of loopback for the ports 80 to 84, nothing logged.
fn options(workers: usize) -> Options {
    Options {
        workers,
        bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port_map: (80..85).map(|port| (port, 0)).collect(),
        limits: Limits::default(),
        access_log: AccessLogTarget::Off.into(),
        clock: Clock::system(),
        seed: Some(1),
    }
}

/// A proxy that serves the ports, all of which forward to the backends.
fn serve(options: Options, ports: &[u16], backends: &[&Backend]) -> Proxy {
    let proxy = Proxy::start(options).expect("started");
    let errors = proxy.apply(&plan(ports, CircuitBreaker::DEFAULT), &endpoints(backends));
    assert_eq!(errors, []);
    proxy
}

fn address(proxy: &Proxy, port: u16) -> SocketAddr {
    *proxy.addresses().get(&port).expect("the port is served")
}

fn set() -> EndpointsName {
    EndpointsName::of_backend(&NamespacedName::new("default", "backend"))
}

fn endpoints(backends: &[&Backend]) -> EndpointMap {
    let endpoint = |backend: &&Backend| Endpoint {
        address: EndpointAddress::Ip(backend.address),
        hostname: None,
        zone: None,
    };
    EndpointMap::from([(set(), backends.iter().map(endpoint).collect())])
}

/// A plan with a listener for each port, and one rule that forwards everything to one cluster.
fn plan(ports: &[u16], circuit_breaker: CircuitBreaker) -> Arc<Plan> {
    let name = NamespacedName::new("default", "it");
    let rule_name = RuleName {
        kind: RouteKind::Http,
        route: name.clone(),
        index: 0,
        rule: None,
    };
    let cluster_name = ClusterName::of_rule(&rule_name, &name, None, None);
    let cluster = Cluster {
        name: cluster_name.clone(),
        origin: Origin::default(),
        protocol: UpstreamProtocol::Http1,
        tls: None,
        localities: vec![Locality {
            weight: 1,
            priority: 0,
            endpoints: set(),
        }],
        hostname: None,
        policy: Arc::new(ClusterPolicy {
            circuit_breaker,
            ..ClusterPolicy::DEFAULT
        }),
    };
    let rule = Arc::new(RouteRule {
        name: rule_name.clone(),
        origin: Origin::default(),
        policy: Arc::new(RoutePolicy::DEFAULT),
        unlogged: false,
        request_headers: HeaderChanges::default(),
        response_headers: HeaderChanges::default(),
        cors: None,
        action: RouteAction::Forward(Forward {
            rewrite: None,
            credential: None,
            session: None,
            mirrors: Vec::new(),
            targets: vec![WeightedTarget {
                weight: 1,
                target: SplitTarget::Cluster(cluster_name.clone()),
                credential: None,
                request_headers: HeaderChanges::default(),
                response_headers: HeaderChanges::default(),
            }],
        }),
    });
    let route = Arc::new(Route {
        name: RouteName::of(&rule_name, 0, "*"),
        matches: RouteMatch {
            path: PathMatch::Prefix(Arc::from("")),
            method: None,
            headers: Vec::new(),
            query: Vec::new(),
            cookies: Vec::new(),
        },
        rule,
    });
    let listener = |port: &u16| {
        Arc::new(Listener {
            name: ListenerName {
                gateway: name.clone(),
                listener: Arc::from(format!("port-{port}")),
            },
            port: *port,
            hostname: HostMatch::Any,
            tls: None,
            client: None,
            hosts: vec![Arc::new(VirtualHost {
                hostname: HostMatch::Any,
                routes: vec![Arc::clone(&route)],
            })],
        })
    };
    Arc::new(Plan {
        listeners: ports.iter().map(listener).collect(),
        clusters: BTreeMap::from([(cluster_name, Arc::new(cluster))]),
        l4: Vec::new(),
    })
}
