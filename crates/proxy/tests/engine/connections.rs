//! Connections from clients: keep-alive, pipelining, limits in number and time, garbage.

use std::time::{Duration, Instant};

use weir_proxy::AccessLogTarget;

use crate::backend::{Backend, wait_until};
use crate::client::{Client, answer};
use crate::{address, options, serve};

#[test]
fn a_connection_serves_one_request_after_the_other() {
    let backend = Backend::start();
    let proxy = serve(options(1), &[80], &[&backend]);
    let mut client = Client::connect(address(&proxy, 80));
    for path in ["/a", "/b", "/c"] {
        assert_eq!(client.get(path), answer(path));
    }
    let pipelined: String = ["/1", "/2", "/3"]
        .map(|path| format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n"))
        .concat();
    client.send(&pipelined);
    for path in ["/1", "/2", "/3"] {
        assert_eq!(client.read().expect("an answer"), answer(path));
    }
    client.send(
        "POST /p HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    );
    assert_eq!(client.read().expect("an answer").body, "POST /p 3");
    client.send("GET /last HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    let last = client.read().expect("an answer");
    assert_eq!((last.body.as_str(), last.closes), ("GET /last 0", true));
    assert!(client.ends());
    assert_eq!(backend.accepted(), 1, "one connection is enough");
}

#[test]
fn too_many_connections_are_closed_at_once() {
    let backend = Backend::start();
    let mut options = options(2);
    options.limits.max_connections = 2;
    let proxy = serve(options, &[80], &[&backend]);
    let address = address(&proxy, 80);
    let mut clients = [Client::connect(address), Client::connect(address)];
    for client in &mut clients {
        assert_eq!(client.get("/x"), answer("/x"));
    }
    assert!(Client::connect(address).ends());
    let [first, mut second] = clients;
    drop(first);
    wait_until("there is room again", || {
        Client::connect(address).try_get("/x").is_ok()
    });
    assert_eq!(second.get("/x"), answer("/x"));
}

#[test]
fn heads_and_pauses_have_their_time() {
    let backend = Backend::start();
    let mut options = options(1);
    options.limits.head_timeout = Duration::from_millis(100);
    options.limits.idle_timeout = Duration::from_millis(400);
    let proxy = serve(options, &[80], &[&backend]);
    let address = address(&proxy, 80);

    // Half a head, at the start and after a request.
    for requests in [0, 2] {
        let mut slow = Client::connect(address);
        for _ in 0..requests {
            assert_eq!(slow.get("/x"), answer("/x"));
        }
        let start = Instant::now();
        slow.send("GET / HTTP/1.1\r\nhost: te");
        let response = slow.read().expect("an answer");
        assert_eq!((response.status, response.closes), (408, true));
        assert!(slow.ends());
        assert!(start.elapsed() >= Duration::from_millis(100));
    }
    // Nothing at all: the pause between requests may be longer than a head.
    let mut idle = Client::connect(address);
    assert_eq!(idle.get("/x"), answer("/x"));
    let start = Instant::now();
    assert!(idle.ends());
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(390), "{took:?}");
    // A request in progress may take longer than both.
    let mut busy = Client::connect(address);
    busy.send("GET /hold HTTP/1.1\r\nhost: test\r\n\r\n");
    backend.wait_for_held(1);
    assert!(
        Client::connect(address).ends(),
        "an idle connection outlived its time"
    );
    backend.release(1);
    assert_eq!(busy.read().expect("an answer"), answer("/hold"));
    assert_eq!(busy.get("/x"), answer("/x"));
}

#[test]
fn garbage_and_half_requests_disturb_nobody() {
    let backend = Backend::start();
    let proxy = serve(options(1), &[80], &[&backend]);
    let address = address(&proxy, 80);
    let mut other = Client::connect(address);
    for garbage in [
        "\0\0\0\r\n\r\n",
        "GET /\r\n\r\n",
        "what is this?\r\n\r\n",
        "GET / HTTP/1.1\nhost : x\n\n",
    ] {
        let mut client = Client::connect(address);
        client.send(garbage);
        let response = client.read().expect("an answer");
        assert_eq!(
            (response.status, response.closes),
            (400, true),
            "{garbage:?}"
        );
        assert!(client.ends());
        assert_eq!(other.get("/x"), answer("/x"));
    }
    for half in [
        "",
        "G",
        "GET / HT",
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nab",
    ] {
        let mut client = Client::connect(address);
        client.send(half);
        drop(client);
        assert_eq!(other.get("/x"), answer("/x"));
    }
}

#[test]
fn framing_that_could_be_read_in_two_ways_is_refused() {
    let backend = Backend::start();
    let proxy = serve(options(1), &[80], &[&backend]);
    let address = address(&proxy, 80);
    let refused = [
        "content-length: 3\r\ncontent-length: 4",
        "content-length: 3, 3",
        "content-length: +3",
        "content-length: -3",
        "content-length : 3",
        "content-length: 3\r\n\tx",
        "transfer-encoding: xchunked",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: identity\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked, identity",
        "transfer-encoding: chunked;q=1",
        "content-length: 3\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 999",
    ];
    for headers in refused {
        let mut client = Client::connect(address);
        client.send(&format!(
            "POST / HTTP/1.1\r\nhost: test\r\n{headers}\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        ));
        let response = client
            .read()
            .unwrap_or_else(|error| panic!("{headers:?}: {error}"));
        assert_eq!(
            (response.status, response.closes),
            (400, true),
            "{headers:?}"
        );
        assert!(client.ends(), "{headers:?}");
    }
    assert_eq!(backend.accepted(), 0);
    // A bare line feed ends a line, and the next request is where it should be.
    let mut client = Client::connect(address);
    client.send("GET /lf HTTP/1.1\nhost: test\n\nGET /next HTTP/1.1\r\nhost: test\r\n\r\n");
    assert_eq!(client.read().expect("an answer"), answer("/lf"));
    assert_eq!(client.read().expect("an answer"), answer("/next"));
}

#[test]
fn what_could_not_be_read_is_logged_and_counted() {
    let backend = Backend::start();
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("access.log");
    let mut options = options(1);
    options.access_log = AccessLogTarget::File(log.clone()).into();
    let proxy = serve(options, &[80], &[&backend]);
    let address = address(&proxy, 80);
    let inputs = [
        "what is this?\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: x\r\nx_y: z\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
    ];
    for input in inputs {
        let mut client = Client::connect(address);
        client.send(input);
        assert_eq!(client.read().expect("an answer").status, 400);
        assert!(client.ends());
    }
    wait_until("all are counted", || {
        let metrics = proxy.metrics();
        metrics
            .lines()
            .any(|line| line.contains("protocol_error") && line.ends_with(" 4"))
    });
    drop(proxy);
    let log = std::fs::read_to_string(log).expect("the log");
    assert_eq!(log.lines().count(), inputs.len(), "{log}");
    for line in log.lines() {
        let logged = ["\"response_flags\":\"DPE\"", "\"response_code\":400"];
        assert!(logged.iter().all(|it| line.contains(it)), "{line}");
    }
}

#[test]
fn a_client_that_leaves_ends_its_request() {
    let backend = Backend::start();
    let proxy = serve(options(1), &[80], &[&backend]);
    let mut client = Client::connect(address(&proxy, 80));
    client.send("GET /hold HTTP/1.1\r\nhost: test\r\n\r\n");
    backend.wait_for_held(1);
    backend.wait_for_open(1);
    drop(client);
    backend.wait_for_open(0);
}
