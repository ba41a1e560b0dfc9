//! How long `resolve` and `explain` take with as many policies as routes, a fifth of them by selector, and in how much memory.
//!
//! `cargo run --profile quick -p weir-resolve --example policy_scale -- 10000 one` makes 10,000 HTTPRoutes on one Gateway,
//! 8,000 policies that name a route each and 2,000 that select by labels: `one` route each, a `hundred` routes each, or
//! `expressions`, the same hundred by an expression in place of a label. Objects are made before the clock starts.
//!
//! Admission is that of one policy for each route, from a YAML value to the typed object: every rule that an API server checks.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weir_plan::{NamespacedName, RouteKind};
use weir_resolve::{Context, Memo, Object, Resources, explain, resolve};

/// How often each thing is measured; the median is printed.
const ROUNDS: usize = 11;

/// Which routes a selector fits.
#[derive(Clone, Copy)]
enum Fit {
    One,
    Hundred,
    Expressions,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let count = arguments
        .next()
        .map_or(10_000, |it| it.parse().expect("a number of routes"));
    let fit = match arguments.next().as_deref() {
        None | Some("one") => Fit::One,
        Some("hundred") => Fit::Hundred,
        Some("expressions") => Fit::Expressions,
        Some(_) => panic!("one, hundred or expressions"),
    };
    let context = Context {
        controller_name: weir_resolve::api::DEFAULT_CONTROLLER_NAME.to_owned(),
        every_class: true,
        support: |_| weir_plan::Support::Full,
        client_support: weir_plan::Support::Full,
        allow_unenforced: false,
        allow_loopback: true,
        addresses: weir_resolve::Addresses::Shared,
    };
    let mut resources = world(count, fit);
    let objects = peak_memory();

    let mut memo = Memo::default();
    let start = Instant::now();
    let mut last = resolve(&resources, &context, &mut memo);
    report("first resolve", start.elapsed());
    let memory = peak_memory();

    let mut edited = |what: &str, edit: &dyn Fn(usize) -> Value| {
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
        report(what, took);
    };
    edited("an edited policy", &|round| by_name(0, round + 5000));
    edited("an edited selector policy", &|round| {
        by_selector(count - 1, count, fit, round + 5000)
    });
    edited("an edited route", &|round| {
        route(0, count, &format!("/{round}"))
    });
    let name = NamespacedName::new("shop", format!("route-{}", count - 1));
    report(
        "explain",
        median(|| {
            let start = Instant::now();
            let explanations = explain::route(&last, RouteKind::Http, &name, None);
            let took = start.elapsed();
            assert_eq!(explanations[0].policies.len(), 1);
            took
        }),
    );
    let documents: Vec<Value> = (0..count).map(|index| by_name(index, 1000)).collect();
    let start = Instant::now();
    for document in documents {
        Object::read(document).expect("an object without errors");
    }
    report("admission of the policies", start.elapsed());
    #[expect(clippy::print_stdout, reason = "an example prints its result")]
    {
        println!("{:>28} {objects:8} MiB", "peak with the objects");
        println!("{:>28} {memory:8} MiB", "peak after the first resolve");
    }
}

fn report(what: &str, took: Duration) {
    #[expect(clippy::print_stdout, reason = "an example prints its result")]
    {
        println!("{what:>28} {:8.2} ms", took.as_secs_f64() * 1e3);
    }
}

fn median(mut measure: impl FnMut() -> Duration) -> Duration {
    let mut all: Vec<_> = (0..ROUNDS).map(|_| measure()).collect();
    all.sort();
    all[ROUNDS / 2]
}

/// The most memory that this process has had resident, in MiB.
fn peak_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|it| it.starts_with("VmHWM:"));
    let kib = line.and_then(|it| it.split_whitespace().nth(1)?.parse::<usize>().ok());
    kib.expect("a size in kB") / 1024
}

fn world(count: usize, fit: Fit) -> Resources {
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
    for index in 0..count {
        insert(&mut resources, route(index, count, "/"));
        insert(
            &mut resources,
            json!({"apiVersion": "v1", "kind": "Service",
                "metadata": {"name": format!("service-{index}"), "namespace": "shop"},
                "spec": {"ports": [{"port": 80}]}}),
        );
        let policy = if index < count * 4 / 5 {
            by_name(index, 1000)
        } else {
            by_selector(index, count, fit, 1000)
        };
        insert(&mut resources, policy);
    }
    resources
}

/// The hundred routes that this one belongs to.
fn group(index: usize, count: usize) -> String {
    format!("group-{}", index % (count / 100))
}

fn route(index: usize, count: usize, path: &str) -> Value {
    json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
    "metadata": {"name": format!("route-{index}"), "namespace": "shop",
        "labels": {"app": format!("app-{index}"), "group": group(index, count), "tier": "web"}},
    "spec": {
        "parentRefs": [{"name": "edge"}],
        "hostnames": [format!("host-{index}.example.com")],
        "rules": [{"matches": [{"path": {"type": "PathPrefix", "value": path}}],
            "backendRefs": [{"name": format!("service-{index}"), "port": 80}]}],
    }})
}

fn by_name(route: usize, connections: usize) -> Value {
    policy(
        route,
        connections,
        "targetRefs",
        &json!([{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": format!("route-{route}")}]),
    )
}

fn by_selector(index: usize, count: usize, fit: Fit, connections: usize) -> Value {
    let (key, chosen) = match fit {
        Fit::One => (
            "matchLabels",
            json!({"app": format!("app-{index}"), "tier": "web"}),
        ),
        Fit::Hundred => (
            "matchLabels",
            json!({"group": group(index, count), "tier": "web"}),
        ),
        Fit::Expressions => (
            "matchExpressions",
            json!([{"key": "group", "operator": "In", "values": [group(index, count)]}]),
        ),
    };
    policy(
        index,
        connections,
        "targetSelectors",
        &json!([{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", key: chosen}]),
    )
}

fn policy(index: usize, connections: usize, key: &str, targets: &Value) -> Value {
    json!({"apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "BackendTrafficPolicy",
    "metadata": {"name": format!("policy-{index}"), "namespace": "shop"},
    "spec": {
        key: targets,
        "circuitBreaker": {"maxConnections": connections},
        "rateLimit": {"local": {"rules": [{"limit": {"requests": 10, "unit": "Second"}}]}},
        "timeout": {"http": {"requestTimeout": "5s"}},
        "retry": {"numRetries": 2},
    }})
}

fn insert(resources: &mut Resources, document: Value) {
    let (object, _) = Object::read(document).expect("an object without errors");
    resources.insert(object.expect("an object of a kind that is read"));
}
