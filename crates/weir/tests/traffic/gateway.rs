//! A whole gateway inside the test: YAML through reading and resolving to a data plane on loopback.
//!
//! What users write goes in, sockets come out. Nothing is mocked; only the clock, the seed and the endpoints of a
//! Backend may be the test's own.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use weir_limiter::Clock;
use weir_plan::{Endpoint, EndpointAddress, EndpointMap, EndpointsName, NamespacedName};
use weir_provider::Source;
use weir_proxy::{
    AccessLogForm, AccessLogOptions, AccessLogTarget, Limits, ListenError, Options, Proxy,
    TextFormat,
};
use weir_resolve::{Context, Memo, Severity, Statuses};

use crate::backend::Backend;
use crate::client::wait_until;

/// A class of ours and a Gateway `edge` that listens for HTTP on port 80.
pub(crate) const EDGE: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: weir}
spec: {controllerName: weir.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: weir
  listeners: [{name: http, protocol: HTTP, port: 80}]
";

/// A backendRef to the Backend `name`, for use inside a flow mapping.
pub(crate) fn to(name: &str) -> String {
    format!("{{group: gateway.envoyproxy.io, kind: Backend, name: {name}}}")
}

/// An HTTPRoute on `edge` with these rules, a list in YAML's flow style.
pub(crate) fn route(name: &str, rules: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}}}\n\
         spec: {{parentRefs: [{{name: edge}}], rules: {rules}}}\n"
    )
}

/// An HTTPRoute on `edge` that sends everything to the Backend `name`.
pub(crate) fn route_all(name: &str) -> String {
    route(name, &format!("[{{backendRefs: [{}]}}]", to(name)))
}

/// A BackendTrafficPolicy for one target (`Kind name` or `Kind name section`) with these settings in flow style.
pub(crate) fn policy(name: &str, target: &str, settings: &str) -> String {
    let mut words = target.split(' ');
    let (kind, target) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let section = words
        .next()
        .map(|it| format!(", sectionName: {it}"))
        .unwrap_or_default();
    format!(
        "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: BackendTrafficPolicy\nmetadata: {{name: {name}}}\n\
         spec: {{targetRefs: [{{group: gateway.networking.k8s.io, kind: {kind}, name: {target}{section}}}], {settings}}}\n"
    )
}

fn log_file(folder: &TempDir) -> PathBuf {
    folder.path().join("access.log")
}

/// A gateway that is being set up.
#[derive(Debug)]
pub(crate) struct Setup {
    workers: usize,
    clock: Clock,
    limits: Limits,
    ports: BTreeMap<u16, u16>,
    moved: EndpointMap,
    log: Option<TempDir>,
    log_form: AccessLogForm,
}

impl Setup {
    /// With an access log, see [`Gateway::logged`].
    pub(crate) fn log(mut self) -> Self {
        self.log = Some(tempfile::tempdir().expect("there is room for a folder"));
        self
    }

    /// The same with lines of this format, see [`Gateway::log_lines`].
    pub(crate) fn log_as(mut self, format: &str) -> Self {
        let format = TextFormat::new(format, "host").expect("the format is one");
        self.log_form = AccessLogForm::Text(format);
        self.log()
    }

    /// So many workers.
    pub(crate) fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Other bounds on what clients send than the default ones.
    pub(crate) fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    /// A fixed port in place of one that the YAML names.
    pub(crate) fn port(mut self, port: u16, local: u16) -> Self {
        self.ports.insert(port, local);
        self
    }

    /// A backend in place of the endpoints of the Backend `default/NAME`.
    pub(crate) fn moved(mut self, name: &str, backend: &Backend) -> Self {
        let endpoint = Endpoint {
            address: EndpointAddress::Ip(backend.address),
            hostname: None,
            zone: None,
        };
        self.moved.insert(
            EndpointsName::of_backend(&NamespacedName::new("default", name)),
            Arc::new([endpoint]),
        );
        self
    }

    /// Starts the gateway with these documents.
    pub(crate) fn start(self, documents: &[&str]) -> Gateway {
        let Self {
            workers,
            clock,
            limits,
            ports,
            moved,
            log,
            log_form,
        } = self;
        let proxy = Proxy::start(Options {
            workers,
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port_map: ports,
            limits,
            access_log: AccessLogOptions {
                target: log.as_ref().map_or(AccessLogTarget::Off, |folder| {
                    AccessLogTarget::File(log_file(folder))
                }),
                form: log_form,
                per_million: 1_000_000,
            },
            clock: clock.clone(),
            seed: Some(7),
        })
        .expect("the data plane starts");
        let mut gateway = Gateway {
            proxy,
            clock,
            moved,
            log,
            memo: Memo::default(),
            refused: Vec::new(),
            statuses: Statuses::default(),
        };
        gateway.apply(documents);
        gateway
    }
}

/// A running gateway. It stops when it is dropped.
#[derive(Debug)]
pub(crate) struct Gateway {
    proxy: Proxy,
    /// The time that limits go by; it stands still until a test turns it.
    pub(crate) clock: Clock,
    /// Ports that could not be bound when the newest documents were applied.
    pub(crate) refused: Vec<ListenError>,
    statuses: Statuses,
    moved: EndpointMap,
    log: Option<TempDir>,
    memo: Memo,
}

impl Gateway {
    /// One worker and a clock that stands still, unless it is set up otherwise.
    pub(crate) fn setup() -> Setup {
        Setup {
            workers: 1,
            clock: Clock::manual(Duration::from_secs(1_800_000_000)), // a full minute, in the year 2027
            limits: Limits::default(),
            ports: [80, 81, 443, 8080, 8081, 8443].map(|port| (port, 0)).into(),
            moved: EndpointMap::new(),
            log: None,
            log_form: AccessLogForm::Json(None),
        }
    }

    /// Starts with these documents.
    pub(crate) fn start(documents: &[&str]) -> Self {
        Self::setup().start(documents)
    }

    /// Puts other documents in force.
    pub(crate) fn apply(&mut self, documents: &[&str]) {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        for (index, document) in documents.iter().enumerate() {
            let path = folder.path().join(format!("{index}.yaml"));
            std::fs::write(path, document).expect("the folder can be written");
        }
        let loaded = weir_provider::read(&[Source::Path(folder.path().to_owned())])
            .expect("the folder can be read");
        let wrong: Vec<_> = loaded
            .findings
            .iter()
            .filter(|it| it.severity == Severity::Error)
            .collect();
        assert!(
            wrong.is_empty(),
            "the documents of a test are valid: {wrong:#?}"
        );

        let context = Context {
            controller_name: weir_resolve::api::DEFAULT_CONTROLLER_NAME.to_owned(),
            every_class: true,
            support: weir_proxy::support,
            client_support: weir_proxy::CLIENT_SUPPORT,
            allow_unenforced: false,
            allow_loopback: true,
            addresses: weir_resolve::Addresses::Shared,
        };
        let resolution = weir_resolve::resolve(&loaded.resources, &context, &mut self.memo);
        let mut endpoints = weir_resolve::endpoints(&loaded.resources);
        endpoints.extend(self.moved.clone());
        self.refused = self.proxy.apply(&resolution.plan, &endpoints);
        self.statuses = resolution.statuses;
    }

    /// Where port 80 of the YAML is served.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address_of(80)
    }

    /// Where a port of the YAML is served.
    pub(crate) fn address_of(&self, port: u16) -> SocketAddr {
        self.addresses()[&port]
    }

    /// Where each port of the YAML is served.
    pub(crate) fn addresses(&self) -> BTreeMap<u16, SocketAddr> {
        self.proxy.addresses()
    }

    /// The conditions of a ClientTrafficPolicy, such as `Accepted=True Accepted TEXT`.
    pub(crate) fn told(&self, policy: &str) -> Vec<String> {
        let ancestors = &self.statuses.client_policies[&NamespacedName::new("default", policy)];
        let conditions = ancestors.iter().flat_map(|it| &it.conditions);
        conditions
            .map(|it| format!("{}={:?} {} {}", it.r#type, it.status, it.reason, it.message))
            .collect()
    }

    /// The data plane.
    pub(crate) fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// The lines of the access log, once there are so many.
    pub(crate) fn logged(&self, count: usize) -> Vec<serde_json::Value> {
        self.log_lines(count)
            .iter()
            .map(|line| serde_json::from_str(line).expect("a line is JSON"))
            .collect()
    }

    /// The same as they are written.
    pub(crate) fn log_lines(&self, count: usize) -> Vec<String> {
        let file = log_file(self.log.as_ref().expect("the log was switched on"));
        let read = || std::fs::read_to_string(&file).unwrap_or_default();
        wait_until(&format!("{count} lines of the log"), || {
            read().lines().count() >= count
        });
        read().lines().map(str::to_owned).collect()
    }

    /// The sum of a metric's samples whose name and labels contain all of these texts; 0 where there is none yet.
    ///
    /// # Panics
    /// When the first text, which begins the metric's name, fits no metric at all: the test would ask for nothing.
    pub(crate) fn metric(&self, texts: &[&str]) -> f64 {
        let metrics = self.proxy.metrics();
        let name = texts.first().expect("a metric is asked for");
        let mut families = metrics
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
        assert!(
            families.any(|family| family.starts_with(name) || name.starts_with(family)),
            "there is no metric {name}"
        );
        let samples = metrics.lines().filter(|line| !line.starts_with('#'));
        samples
            .filter(|line| texts.iter().all(|text| line.contains(text)))
            .map(|line| {
                line.rsplit(' ')
                    .next()
                    .and_then(|value| value.parse::<f64>().ok())
                    .expect("a sample has a value")
            })
            .sum()
    }
}
