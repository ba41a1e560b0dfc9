//! Without an API server: what was last read goes on being served, and what was missed is made up for.

use std::fs;
use std::net::TcpListener;

use crate::cluster::{Cluster, GATEWAYS, Site, kubeconfig};
use crate::http;
use crate::process::eventually;

pub(crate) fn survived(cluster: &Cluster, name: &str) {
    let site = Site::new(cluster, name);
    site.route("old", "/old", "old");
    let replica = site.run(&["--log-level", "info,kube_runtime=debug"]);
    let weir = &replica.weir;
    let address = weir.listening(80);
    let version = |path: &str| {
        let answer = http::get(address, path);
        let version = answer
            .head
            .lines()
            .find_map(|it| it.strip_prefix("x-version: "));
        version.unwrap_or_default().to_owned()
    };
    eventually("the routes are served", || {
        (version("/") == "1" && version("/old") == "old").then_some(())
    });
    cluster.kill();
    weir.wait_for_log("the API server cannot be reached");
    let ready = http::get(weir.admin(), "/readyz");
    assert_eq!(
        (ready.status, version("/").as_str()),
        (200, "1"),
        "{}",
        ready.body
    );

    // While the gateway stands still, the API server comes back and goes beyond what can still be watched.
    weir.signal("STOP");
    cluster.revive();
    cluster.delete(&site.path(GATEWAYS, "httproutes/old"));
    site.route("new", "/new", "new");
    weir.signal("CONT");
    eventually("what was missed is made up for", || {
        (version("/new") == "new" && version("/old") == "1").then_some(())
    });
    let expired = |it: &String| it.contains("too old resource version") || it.contains("Expired");
    let log = weir.log();
    assert!(
        log.iter().any(expired),
        "the watch has not expired: {log:#?}"
    );
    // And the watch goes on.
    site.route("new", "/new", "newer");
    eventually("changes are followed", || {
        (version("/new") == "newer").then_some(())
    });
    site.wait("told of", GATEWAYS, "httproutes/new", |it| {
        let condition = &it["status"]["parents"][0]["conditions"][0];
        (condition["observedGeneration"] == it["metadata"]["generation"]).then_some(())
    });
}

pub(crate) fn start(cluster: &Cluster, name: &str) {
    let site = Site::new(cluster, name);
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("kubeconfig");
    // A port that nobody listens on for as long as it is bound.
    let nobody = TcpListener::bind("127.0.0.1:0").expect("there are ports");
    let address = nobody.local_addr().expect("it is bound");
    drop(nobody);
    site.apply(
        "{apiVersion: v1, kind: ServiceAccount, metadata: {name: nobody, namespace: weir-system}}",
    );
    for (text, reason) in [
        (
            kubeconfig(&format!("https://{address}"), "none"),
            "the API server cannot be reached",
        ),
        (
            cluster.kubeconfig("nobody"),
            "not allowed to list gateways.gateway.networking.k8s.io",
        ),
    ] {
        fs::write(&file, text).expect("it can be written");
        let mut replica = site.run_as(&file, &[]);
        let weir = &mut replica.weir;
        eventually(&format!("{reason:?} is why it is not ready"), || {
            let ready = http::try_get(weir.admin(), "/readyz").ok()?;
            (ready.status == 503 && ready.body.contains(reason)).then_some(())
        });
        assert_eq!(http::get(weir.admin(), "/healthz").status, 200);
        weir.signal("TERM");
        assert_eq!(weir.wait().code(), Some(143), "{:#?}", weir.log());
    }
}
