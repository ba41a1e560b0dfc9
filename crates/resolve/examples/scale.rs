//! How long `resolve` takes for many routes: from an empty memo, and after one edited object; and lints and
//! explanations of what came out.
//!
//! `cargo run --release -p weir-resolve --example scale -- 10000 1000` makes 10,000 HTTPRoutes on one Gateway, each with
//! a host name and a Service of its own, and 1,000 policies on every tenth route; objects are made before the clock
//! starts.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weir_plan::NamespacedName;
use weir_resolve::{Context, Memo, Object, Resources, endpoints, explain, lint, resolve};

/// How often each thing is measured; the median is printed.
const ROUNDS: usize = 11;

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .map(|it| it.parse::<usize>().expect("a number of objects"));
    let (routes, policies) = (
        arguments.next().unwrap_or(10_000),
        arguments.next().unwrap_or(1_000),
    );
    let context = Context {
        controller_name: weir_resolve::api::DEFAULT_CONTROLLER_NAME.to_owned(),
        every_class: true,
        support: |_| weir_plan::Support::Full,
        client_support: weir_plan::Support::Full,
        allow_unenforced: false,
        allow_loopback: true,
        addresses: weir_resolve::Addresses::Shared,
    };
    let mut resources = world(routes, policies);

    let empty = median(|| {
        let start = Instant::now();
        let resolution = resolve(&resources, &context, &mut Memo::default());
        let took = start.elapsed();
        assert_eq!(resolution.plan.clusters.len(), routes);
        took
    });
    let endpoints = median(|| {
        let start = Instant::now();
        let map = endpoints(&resources);
        let took = start.elapsed();
        assert_eq!(map.len(), routes);
        took
    });
    let mut memo = Memo::default();
    let mut last = resolve(&resources, &context, &mut memo);
    let mut edited = |kind: &str, edit: &dyn Fn(usize) -> Value| {
        let mut round = 0;
        let took = median(|| {
            round += 1;
            insert(&mut resources, edit(round));
            let start = Instant::now();
            let resolution = resolve(&resources, &context, &mut memo);
            let took = start.elapsed();
            last = resolution;
            took
        });
        report(&format!("after an edited {kind}"), took);
    };
    report("from an empty memo", empty);
    report("endpoints", endpoints);
    let unedited = world(routes, policies);
    let resolution = resolve(&unedited, &context, &mut Memo::default());
    report("lints", time(|| lint::lint(&unedited, &resolution)));
    let name = NamespacedName::new("shop", "policy-0");
    report(
        "explanation of a policy",
        time(|| explain::policy::policy(&resolution, &name)),
    );
    report(
        "explanation of a route",
        time(|| explain::rules(&resolution, |it| &*it.rule.route.name == "route-0")),
    );
    edited("nothing", &|_| route(0, "/"));
    edited("route", &|round| route(round, &format!("/{round}")));
    edited("policy", &|round| policy(0, round + 5000));
    edited("service", &|round| service(routes / 2, 80 + round));
}

fn report(what: &str, took: Duration) {
    #[expect(clippy::print_stdout, reason = "an example prints its result")]
    {
        println!("{what:>32} {:8.2} ms", took.as_secs_f64() * 1e3);
    }
}

fn time<T>(work: impl Fn() -> T) -> Duration {
    median(|| {
        let start = Instant::now();
        let _ = work();
        start.elapsed()
    })
}

fn median(mut measure: impl FnMut() -> Duration) -> Duration {
    let mut all: Vec<_> = (0..ROUNDS).map(|_| measure()).collect();
    all.sort();
    all[ROUNDS / 2]
}

fn world(routes: usize, policies: usize) -> Resources {
    let mut resources = Resources::default();
    insert(
        &mut resources,
        json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": "weir"},
            "spec": {"controllerName": weir_resolve::api::DEFAULT_CONTROLLER_NAME}}),
    );
    insert(
        &mut resources,
        json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
            "metadata": {"name": "edge", "namespace": "shop"},
            "spec": {"gatewayClassName": "weir", "listeners": [{"name": "http", "protocol": "HTTP", "port": 80}]}}),
    );
    for index in 0..routes {
        insert(&mut resources, route(index, "/"));
        insert(&mut resources, service(index, 80));
    }
    for index in 0..policies {
        insert(
            &mut resources,
            policy(index * routes.max(1) / policies, 1000),
        );
    }
    resources
}

fn route(index: usize, path: &str) -> Value {
    json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
    "metadata": {"name": format!("route-{index}"), "namespace": "shop"},
    "spec": {
        "parentRefs": [{"name": "edge"}],
        "hostnames": [format!("host-{index}.example.com")],
        "rules": [{"matches": [{"path": {"type": "PathPrefix", "value": path}}],
            "backendRefs": [{"name": format!("service-{index}"), "port": 80}]}],
    }})
}

fn service(index: usize, target: usize) -> Value {
    json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": format!("service-{index}"), "namespace": "shop"},
        "spec": {"ports": [{"port": 80, "targetPort": target}]}})
}

fn policy(route: usize, connections: usize) -> Value {
    json!({"apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "BackendTrafficPolicy",
    "metadata": {"name": format!("policy-{route}"), "namespace": "shop"},
    "spec": {
        "targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": format!("route-{route}")}],
        "circuitBreaker": {"maxConnections": connections},
        "rateLimit": {"local": {"rules": [{"limit": {"requests": 10, "unit": "Second"}}]}},
    }})
}

fn insert(resources: &mut Resources, document: Value) {
    let (object, _) = Object::read(document).expect("an object without errors");
    resources.insert(object.expect("an object of a kind that is read"));
}
