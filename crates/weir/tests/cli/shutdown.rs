//! Signals: the first drains, a second one stops at once.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::http;
use crate::process::{Weir, eventually, weir};
use crate::run::Site;

/// Sends a request that takes so long, and waits until it is in progress.
fn slow_request(
    weir: &Weir,
    path: &'static str,
) -> std::thread::JoinHandle<std::io::Result<http::Answer>> {
    let address = weir.listening(8080);
    let request = std::thread::spawn(move || http::try_get(address, path));
    eventually("the request is in progress", || {
        let metrics = weir.api("/metrics").body;
        let active = |line: &str| {
            line.contains("active") && !line.starts_with('#') && line.trim_end().ends_with(" 1")
        };
        metrics.lines().any(active).then_some(())
    });
    request
}

#[test]
fn a_signal_lets_requests_in_progress_end() {
    for signal in ["TERM", "INT"] {
        let site = Site::new();
        let mut weir = site.run();
        let (address, admin) = (weir.listening(8080), weir.admin());
        let request = slow_request(&weir, "/?delay=2s");
        weir.signal(signal);
        eventually("it is draining", || {
            let ready = http::try_get(admin, "/readyz").ok()?;
            (ready.status == 503 && ready.body.contains("draining")).then_some(())
        });
        eventually("new connections are refused", || {
            http::try_get(address, "/").is_err().then_some(())
        });
        assert!(weir.is_running(), "it waits for the request");
        assert_eq!(request.join().unwrap().unwrap().status, 200);
        assert_eq!(weir.wait().code(), Some(0));
    }
}

#[test]
fn a_second_signal_stops_at_once() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let site = Site::new();
        let mut weir = site.run();
        let request = slow_request(&weir, "/?delay=1m");
        weir.signal(signal);
        weir.wait_for_log("draining");
        assert!(weir.is_running());
        let start = Instant::now();
        let status = eventually("it stops", || {
            weir.signal(signal);
            (!weir.is_running()).then(|| weir.wait())
        });
        assert_eq!(status.code(), Some(code));
        assert!(start.elapsed() < Duration::from_secs(10));
        assert!(request.join().unwrap().is_err(), "the request was cut off");
    }
}

#[test]
fn signals_that_come_together_are_one() {
    let site = Site::new();
    let mut weir = site.run();
    let request = slow_request(&weir, "/?delay=2s");
    weir.signal_twice("TERM");
    assert_eq!(request.join().unwrap().unwrap().status, 200);
    assert_eq!(weir.wait().code(), Some(0));
}

#[test]
fn the_drain_timeout_cuts_off() {
    let site = Site::new();
    let mut weir = site.run_with(&["--drain-timeout", "200ms"]);
    let request = slow_request(&weir, "/?delay=1m");
    weir.signal("TERM");
    assert_eq!(weir.wait().code(), Some(1));
    assert!(request.join().unwrap().is_err(), "the request was cut off");
}

#[test]
fn an_idle_gateway_ends_soon() {
    let site = Site::new();
    let mut weir = site.run();
    weir.listening(8080);
    let start = Instant::now();
    weir.signal("TERM");
    assert_eq!(weir.wait().code(), Some(0));
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "nothing was in progress"
    );
}

#[test]
fn a_signal_ends_a_gateway_that_still_waits_for_its_input() {
    let mut command = weir();
    command
        .args(["run", "-", "--admin", "127.0.0.1:0", "--log-format", "json"])
        .stdin(Stdio::piped());
    let mut weir = Weir::start(command);
    let _open = weir.stdin();
    let ready = http::get(weir.admin(), "/readyz");
    assert_eq!(ready.status, 503);
    assert!(
        ready.body.contains("no configuration is in force yet"),
        "{}",
        ready.body
    );
    weir.signal("TERM");
    assert_eq!(weir.wait().code(), Some(143));
}
