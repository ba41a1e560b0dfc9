//! Of several replicas one writes statuses: the holder of the Lease. All serve.

use std::time::{Duration, Instant};

use crate::cluster::{Cluster, GATEWAYS, Replica, Site};
use crate::http;
use crate::process::{eventually, within};

/// Each replica tells another address, so that the status of the Gateway says who wrote it.
const ADDRESSES: [&str; 3] = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
const LEADING: &str = "leading: this replica writes statuses";
/// A Lease that is not renewed is good for 15 seconds; a replica looks at it every 2.
const KILLED: Duration = Duration::from_secs(20);
const STOPPED: Duration = Duration::from_secs(4);

pub(crate) fn one_writes(cluster: &Cluster, name: &str) {
    let site = Site::new(cluster, name);
    let start = |address| site.run(&["--publish-address", address]);
    let told = |expected: &str| {
        site.wait(
            &format!("told by {expected}"),
            GATEWAYS,
            "gateways/edge",
            |it| (it["status"]["addresses"][0]["value"] == expected).then_some(()),
        );
    };
    let mut first = start(ADDRESSES[0]);
    first.weir.wait_for_log(LEADING);
    told(ADDRESSES[0]);
    let second = start(ADDRESSES[1]);
    for replica in [&first, &second] {
        assert_eq!(http::get(replica.weir.listening(80), "/").status, 200);
    }
    // Both know of the change; whoever does not lead does not write.
    site.route("shop", "/", "2");
    for replica in [&first, &second] {
        eventually("version 2 is served", || {
            let answer = http::try_get(replica.weir.listening(80), "/").ok()?;
            answer.head.contains("x-version: 2").then_some(())
        });
    }
    told(ADDRESSES[0]);
    assert!(!leads(&second), "{:#?}", second.weir.log());

    first.weir.signal("KILL");
    first.weir.wait();
    // Longer than anything else takes.
    within(KILLED, "the Lease is taken", || {
        assert_eq!(http::get(second.weir.listening(80), "/").status, 200);
        leads(&second).then_some(())
    });
    told(ADDRESSES[1]);

    let third = start(ADDRESSES[2]);
    third.weir.listening(80);
    let stopped = Instant::now();
    drop(second);
    eventually("the Lease is taken", || leads(&third).then_some(()));
    assert!(stopped.elapsed() < STOPPED, "{:?}", stopped.elapsed());
    told(ADDRESSES[2]);
}

fn leads(replica: &Replica) -> bool {
    replica.weir.log().iter().any(|it| it.contains(LEADING))
}
