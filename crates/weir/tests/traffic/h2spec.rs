//! The cases of h2spec, a program that tests HTTP/2 servers. `scripts/h2spec` builds it and runs this.

use std::process::Command;

use crate::backend::Backend;
use crate::gateway::{EDGE, Gateway, route_all};

/// The cases that fail, and why that is right.
const FAIL: [&str; 1] = [
    // Ports speak HTTP/1.1 as well, in which such a request line is answered (400) before the connection is closed.
    "Sends invalid connection preface",
];

#[test]
#[ignore = "needs h2spec, which scripts/h2spec builds and then runs this test with"]
fn http2_is_as_specified() {
    let program = std::env::var_os("H2SPEC").expect("H2SPEC names the program; use scripts/h2spec");
    let backend = Backend::named("app");
    let gateway = Gateway::start(&[EDGE, &backend.yaml("app"), &route_all("app")]);
    let port = gateway.address().port().to_string();
    let output = Command::new(program)
        .args(["--strict", "-h", "127.0.0.1", "-p", &port])
        .output()
        .expect("the program runs");
    let output = String::from_utf8_lossy(&output.stdout);
    let (_, summary) = output
        .rsplit_once("Finished in")
        .expect("it comes to an end");
    assert!(summary.contains("146 tests"), "{summary}");
    // A case that fails is listed twice: in its place, and at the end.
    let failed: std::collections::BTreeSet<_> = output
        .lines()
        .filter_map(|line| line.rsplit_once("× ")?.1.split_once(": "))
        .map(|(_, title)| title)
        .collect();
    assert_eq!(failed, FAIL.into(), "{output}");
}
