//! The life of a request on real sockets: raw clients, small backends, and a clock that stands still where limits are
//! counted.

mod backend;
mod client;
mod clients;
mod failures;
mod heads;
mod limits;
mod observing;
mod routes;
mod timeouts;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_limiter::Clock;
use weir_plan::features::circuit_breaker::CircuitBreaker;
use weir_plan::features::connection::Connection;
use weir_plan::features::dns::Dns;
use weir_plan::features::health_check::HealthCheck;
use weir_plan::features::load_balancer::{Algorithm, LoadBalancer};
use weir_plan::features::timeout::ClusterTimeout;
use weir_plan::{
    ClientPolicy, Cluster, ClusterName, ClusterPolicy, Endpoint, EndpointAddress, EndpointMap,
    EndpointsName, Forward, HeaderChanges, HostMatch, Listener, ListenerName, Locality,
    NamespacedName, Origin, PathMatch, Plan, PolicyRef, Route, RouteAction, RouteKind, RouteMatch,
    RouteName, RoutePolicy, RouteRule, RuleName, SplitTarget, UpstreamProtocol, VirtualHost,
    WeightedTarget,
};
use weir_proxy::{AccessLogTarget, Limits, Options, Proxy};

use client::{Client, PATIENCE};

/// A proxy with routes on one port.
struct Gateway {
    proxy: Proxy,
    clock: Clock,
    log: PathBuf,
    /// How its listener deals with clients.
    client: Option<Arc<ClientPolicy>>,
    _folder: tempfile::TempDir,
}

/// One rule, for paths that begin with a prefix.
#[derive(Clone)]
struct Rule {
    prefix: &'static str,
    policy: RoutePolicy,
    action: RouteAction,
    request_headers: HeaderChanges,
    response_headers: HeaderChanges,
}

/// A rule that forwards to the backends under a policy.
fn rule(prefix: &'static str, policy: RoutePolicy) -> Rule {
    Rule {
        prefix,
        policy,
        action: RouteAction::Forward(Forward {
            rewrite: None,
            credential: None,
            session: None,
            mirrors: Vec::new(),
            targets: vec![to_cluster(1)],
        }),
        request_headers: HeaderChanges::default(),
        response_headers: HeaderChanges::default(),
    }
}

/// A target that is the backends.
fn to_cluster(weight: u32) -> WeightedTarget {
    WeightedTarget {
        weight,
        target: SplitTarget::Cluster(cluster_name()),
        credential: None,
        request_headers: HeaderChanges::default(),
        response_headers: HeaderChanges::default(),
    }
}

/// What is between the gateway and its backends.
const CLUSTER: ClusterPolicy = ClusterPolicy {
    admission_control: None,
    circuit_breaker: CircuitBreaker::DEFAULT,
    timeout: ClusterTimeout::DEFAULT,
    load_balancer: LoadBalancer {
        algorithm: Algorithm::RoundRobin { slow_start: None },
        zone_aware: None,
        endpoint_override: Vec::new(),
    },
    health_check: HealthCheck::DEFAULT,
    connection: Connection::DEFAULT,
    dns: Dns::DEFAULT,
};

impl Gateway {
    /// Two workers, these rules, and these backends.
    fn start(rules: &[Rule], backends: &[SocketAddr]) -> Self {
        Self::with(Limits::default(), rules, CLUSTER, backends)
    }

    fn with(
        limits: Limits,
        rules: &[Rule],
        policy: ClusterPolicy,
        backends: &[SocketAddr],
    ) -> Self {
        Self::under(limits, None, rules, policy, backends)
    }

    /// The same, where the listener deals with its clients as a policy says.
    fn under(
        limits: Limits,
        client: Option<ClientPolicy>,
        rules: &[Rule],
        policy: ClusterPolicy,
        backends: &[SocketAddr],
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("access.log");
        let clock = Clock::manual(Duration::from_secs(1_699_999_980));
        let proxy = Proxy::start(Options {
            workers: 2,
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port_map: BTreeMap::from([(80, 0)]),
            limits,
            access_log: AccessLogTarget::File(log.clone()).into(),
            clock: clock.clone(),
            seed: Some(1),
        });
        let gateway = Self {
            proxy: proxy.expect("started"),
            clock,
            log,
            client: client.map(Arc::new),
            _folder: folder,
        };
        gateway.apply(rules, policy, backends);
        gateway
    }

    /// Puts other rules in force.
    fn apply(&self, rules: &[Rule], policy: ClusterPolicy, backends: &[SocketAddr]) {
        let plan = plan(rules, policy, self.client.as_ref());
        let errors = self.proxy.apply(&plan, &endpoints(backends));
        assert_eq!(errors, []);
    }

    fn connect(&self) -> Client {
        Client::connect(*self.proxy.addresses().get(&80).expect("the port is served"))
    }

    /// The log, once it has this many lines.
    fn log(&self, lines: usize) -> Vec<serde_json::Value> {
        wait_for(&format!("{lines} lines in the log"), || {
            let log = read_log(&self.log);
            (log.len() >= lines).then_some(log)
        })
    }

    /// The last line of the log, once it has this many: the code, the flags and the details.
    fn logged(&self, lines: usize) -> (u64, String, String) {
        let line = self.log(lines).remove(lines - 1);
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        (
            line["response_code"].as_u64().expect("a code"),
            text("response_flags"),
            text("response_code_details"),
        )
    }
}

fn read_log(path: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(path).expect("a log");
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let lines = whole.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().expect("lines of JSON")
}

/// Waits until there is something, for so long and no longer.
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::yield_now();
    }
}

/// What a logged outcome should be.
fn outcome(code: u64, flags: &str, details: &str) -> (u64, String, String) {
    (code, flags.to_owned(), details.to_owned())
}

fn object(name: &str) -> NamespacedName {
    NamespacedName::new("default", name)
}

fn rule_name(index: usize) -> RuleName {
    RuleName {
        kind: RouteKind::Http,
        route: object("route"),
        index,
        rule: None,
    }
}

fn cluster_name() -> ClusterName {
    ClusterName::of_rule(&rule_name(0), &object("gateway"), None, None)
}

fn set() -> EndpointsName {
    EndpointsName::of_backend(&object("backend"))
}

fn endpoints(backends: &[SocketAddr]) -> EndpointMap {
    let endpoint = |address: &SocketAddr| Endpoint {
        address: EndpointAddress::Ip(*address),
        hostname: None,
        zone: None,
    };
    EndpointMap::from([(set(), backends.iter().map(endpoint).collect())])
}

fn plan(rules: &[Rule], policy: ClusterPolicy, client: Option<&Arc<ClientPolicy>>) -> Arc<Plan> {
    let routes = rules.iter().enumerate().map(|(index, rule)| {
        let Rule {
            prefix,
            policy,
            action,
            request_headers,
            response_headers,
        } = rule.clone();
        Arc::new(Route {
            name: RouteName::of(&rule_name(index), 0, "*"),
            matches: RouteMatch {
                path: PathMatch::Prefix(prefix.trim_end_matches('/').into()),
                method: None,
                headers: Vec::new(),
                query: Vec::new(),
                cookies: Vec::new(),
            },
            rule: Arc::new(RouteRule {
                name: rule_name(index),
                origin: Origin {
                    policies: vec![PolicyRef {
                        kind: "BackendTrafficPolicy".into(),
                        name: object("policy"),
                    }],
                },
                policy: Arc::new(policy),
                unlogged: false,
                request_headers,
                response_headers,
                cors: None,
                action,
            }),
        })
    });
    let cluster = Cluster {
        name: cluster_name(),
        origin: Origin::default(),
        protocol: UpstreamProtocol::Http1,
        tls: None,
        localities: vec![Locality {
            weight: 1,
            priority: 0,
            endpoints: set(),
        }],
        hostname: None,
        policy: Arc::new(policy),
    };
    Arc::new(Plan {
        listeners: vec![Arc::new(Listener {
            name: ListenerName {
                gateway: object("gateway"),
                listener: "http".into(),
            },
            port: 80,
            hostname: HostMatch::Any,
            tls: None,
            client: client.cloned(),
            hosts: vec![Arc::new(VirtualHost {
                hostname: HostMatch::Any,
                routes: routes.collect(),
            })],
        })],
        clusters: BTreeMap::from([(cluster_name(), Arc::new(cluster))]),
        l4: Vec::new(),
    })
}
