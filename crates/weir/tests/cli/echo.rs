//! `weir echo`: what it answers, and how it is told to be slow or to fail.

use std::time::{Duration, Instant};

use crate::http::{get, raw};
use crate::process::{Echo, output};

#[test]
fn it_answers_what_it_was_asked() {
    let echo = Echo::start("shop");
    let request = "POST /cart?x=1 HTTP/1.1\r\nhost: a.example.com\r\nx-user: 7\r\nx-user: 8\r\ncontent-length: 5\r\n\
                   connection: close\r\n\r\nhello";
    let answer = raw(echo.address, request).unwrap().json();
    assert_eq!(answer["backend"], "shop");
    assert_eq!(answer["method"], "POST");
    assert_eq!(answer["path"], "/cart");
    assert_eq!(answer["query"], "x=1");
    assert_eq!(answer["body_bytes"], 5);
    assert_eq!(answer["headers"]["host"], "a.example.com");
    assert_eq!(answer["headers"]["x-user"], serde_json::json!(["7", "8"]));
}

#[test]
fn it_does_what_it_is_told() {
    let echo = Echo::start("shop");
    assert_eq!(get(echo.address, "/?status=503").status, 503);
    assert_eq!(get(echo.address, "/?size=100000").body.len(), 100_000);
    let start = Instant::now();
    assert_eq!(get(echo.address, "/?delay=300ms").status, 200);
    assert!(start.elapsed() >= Duration::from_millis(300));
    let statuses: Vec<u16> = (0..6)
        .map(|_| get(echo.address, "/?flaky=3").status)
        .collect();
    assert_eq!(statuses, [503, 503, 200, 503, 503, 200]);
    assert_eq!(get(echo.address, "/?status=abc").status, 400);
}

#[test]
fn its_controls_are_in_the_help() {
    let help = String::from_utf8(output(&["echo", "--help"]).stdout).unwrap();
    for control in ["?delay=", "?status=", "?size=", "?flaky="] {
        assert!(help.contains(control), "{control} is not in\n{help}");
    }
}

#[test]
fn a_port_in_use_is_said() {
    let echo = Echo::start("shop");
    let second = output(&["echo", "--listen", &echo.address.to_string()]);
    assert_eq!(second.status.code(), Some(1));
    let message = String::from_utf8_lossy(&second.stderr);
    assert!(
        message.contains(&format!("cannot listen on {}", echo.address)),
        "{message}"
    );
    assert!(message.contains("--listen"), "{message}");
}
