//! How long reading takes: 10,000 HTTPRoutes and 1,000 policies from one file and from a file for each, then one edit
//! among 3,000 routes. `cargo run --release -p weir-provider --example parse [ROUTES]`.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use weir_provider::{Source, Watch, read};

fn main() {
    let routes: usize = std::env::args()
        .nth(1)
        .and_then(|it| it.parse().ok())
        .unwrap_or(10_000);
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let documents: Vec<String> = (0..routes)
        .map(route)
        .chain((0..routes / 10).map(policy))
        .collect();

    let one = folder.path().join("one");
    fs::create_dir(&one).expect("a folder can be made");
    fs::write(one.join("all.yaml"), documents.concat()).expect("a file can be written");
    report(&format!("one file, {} documents", documents.len()), || {
        once(&one);
    });

    let many = folder.path().join("many");
    fs::create_dir(&many).expect("a folder can be made");
    for (number, document) in documents.iter().enumerate() {
        fs::write(many.join(format!("{number}.yaml")), document).expect("a file can be written");
    }
    report(&format!("{} files", documents.len()), || once(&many));

    edits(&folder.path().join("watched"), 3_000);
    edits_in_one_file(&folder.path().join("watched.yaml"), 3_000);
}

fn once(path: &Path) {
    let loaded = read(&[Source::Path(path.to_owned())]).expect("the files are there");
    assert!(loaded.findings.is_empty(), "{:?}", loaded.findings.first());
}

/// From the edit of one file among many to the new reading.
fn edits(folder: &Path, routes: usize) {
    fs::create_dir(folder).expect("a folder can be made");
    for number in 0..routes {
        fs::write(folder.join(format!("{number}.yaml")), route(number))
            .expect("a file can be written");
    }
    follow(folder, &format!("edit of one of {routes} files"), |edit| {
        fs::write(
            folder.join("7.yaml"),
            route(7).replace("weir", &format!("weir-{edit}")),
        )
    });
}

/// From the edit of one document of a large file to the new reading.
fn edits_in_one_file(file: &Path, routes: usize) {
    let text: String = (0..routes).map(route).collect();
    fs::write(file, &text).expect("a file can be written");
    follow(
        file,
        &format!("edit of one of {routes} documents"),
        |edit| fs::write(file, text.replacen("weir", &format!("weir-{edit}"), 1)),
    );
}

fn follow(path: &Path, what: &str, edit: impl Fn(usize) -> std::io::Result<()>) {
    let (_watch, mut receiver) =
        Watch::start(vec![Source::Path(path.to_owned())]).expect("the files can be watched");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime can be made");
    let mut times: Vec<Duration> = (0..50)
        .map(|number| {
            let start = Instant::now();
            edit(number).expect("a file can be written");
            runtime
                .block_on(receiver.changed())
                .expect("the watch goes on");
            let took = start.elapsed();
            receiver.mark_unchanged();
            took
        })
        .collect();
    times.sort_unstable();
    println!(
        "{what}, debounce included: median {:?}, slowest {:?}",
        times[25], times[49]
    );
}

/// The best of five.
fn report(what: &str, run: impl Fn()) {
    let times = (0..5).map(|_| {
        let start = Instant::now();
        run();
        start.elapsed()
    });
    println!("{what}: {:?}", times.min().expect("there are five"));
}

fn route(number: usize) -> String {
    format!(
        "---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: route-{number}
  labels:
    app: app-{number}
spec:
  parentRefs:
  - name: gateway
    sectionName: http
  hostnames:
  - host-{number}.example.com
  rules:
  - matches:
    - path:
        type: PathPrefix
        value: /api/{number}
    - headers:
      - name: x-version
        value: \"2\"
    filters:
    - type: RequestHeaderModifier
      requestHeaderModifier:
        set:
        - name: x-from
          value: weir
    backendRefs:
    - name: service-{number}
      port: 8080
      weight: 90
    - name: service-{number}-canary
      port: 8080
      weight: 10
"
    )
}

fn policy(number: usize) -> String {
    format!(
        "---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata:
  name: policy-{number}
spec:
  targetRefs:
  - group: gateway.networking.k8s.io
    kind: HTTPRoute
    name: route-{number}
  circuitBreaker:
    maxConnections: {number}
  timeout:
    http:
      requestTimeout: 5s
  retry:
    numRetries: 3
    retryOn:
      triggers: [5xx, connect-failure]
  rateLimit:
    local:
      rules:
      - clientSelectors:
        - headers:
          - name: x-user
            type: Distinct
        limit:
          requests: 10
          unit: Second
"
    )
}
