//! The flags of the access log: chosen keys, lines as text, a share of the requests.

use std::fs;

use crate::http;
use crate::process::{eventually, output};
use crate::run::Site;

#[test]
fn the_access_log_has_chosen_keys_of_a_share_of_the_requests() {
    let site = Site::new();
    let log = site.path().join(".access.log");
    let log = log.to_str().expect("it is text");
    let weir = site.run_with(&[
        "--access-log",
        log,
        "--access-log-fields",
        "method,response_code,x-envoy-origin-path",
        "--access-log-sample",
        "0",
    ]);
    let address = weir.listening(8080);
    for path in ["/a", "/b?status=503", "/c"] {
        http::get(address, path);
    }
    // What did not go well is logged whatever the share.
    let lines = eventually("the line is written", || {
        fs::read_to_string(log).ok().filter(|it| it.ends_with('\n'))
    });
    let line =
        "{\"method\":\"GET\",\"response_code\":503,\"x-envoy-origin-path\":\"/b?status=503\"}\n";
    assert_eq!(lines, line);
    let wrong = output(&["run", ".", "--access-log-fields", "respons_code"]);
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn the_access_log_may_be_text_of_operators() {
    let site = Site::new();
    let log = site.path().join(".access.log");
    let log = log.to_str().expect("it is text");
    let format = "%REQ(:METHOD)% %RESPONSE_CODE% %REQ(x-none)% %HOSTNAME%";
    let weir = site.run_with(&["--access-log", log, "--access-log-format", format]);
    http::get(weir.listening(8080), "/a");
    let lines = eventually("the line is written", || {
        fs::read_to_string(log).ok().filter(|it| it.ends_with('\n'))
    });
    assert!(lines.starts_with("GET 200 - "), "{lines}");
    assert!(!lines.contains("HOSTNAME"), "{lines}");
    let wrong = output(&["run", ".", "--access-log-format", "%SPAN_ID%"]);
    assert_eq!(wrong.status.code(), Some(2));
    let told = String::from_utf8_lossy(&wrong.stderr);
    assert!(
        told.contains("no operator SPAN_ID") && told.contains("RESPONSE_FLAGS_LONG"),
        "{told}"
    );
}
