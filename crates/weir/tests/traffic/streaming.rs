//! Bodies flow as they come, in both directions at once, and are held back where one side is slow; backends that answer
//! early, say two things at once, or go on talking.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use crate::backend::{Backend, Gate, Step};
use crate::client::{Client, PATIENCE, get, wait_until};
use crate::gateway::{EDGE, Gateway, policy, route_all};

/// A backend whose every connection is in the hands of the test. Its object `app`.
pub(crate) fn by_hand(serve: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            std::thread::spawn(move || serve(stream));
        }
    });
    format!(
        "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: Backend\nmetadata: {{name: app}}\n\
         spec: {{endpoints: [{{ip: {{address: 127.0.0.1, port: {port}}}}}]}}\n"
    )
}

/// Reads until these bytes have come; false where the connection ends before.
pub(crate) fn read_until(stream: &mut impl Read, end: &[u8]) -> bool {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(end) {
        match stream.read(&mut byte) {
            Ok(1) => seen.push(byte[0]),
            _ => return false,
        }
    }
    true
}

#[test]
fn what_a_backend_sends_arrives_before_it_sends_more() {
    let gate = Gate::default();
    let backend = Backend::start({
        let gate = gate.clone();
        move |_| {
            let event = |text: &str| format!("{:x}\r\n{text}\r\n", text.len()).into_bytes();
            vec![
                Step::Send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n".to_vec()),
                Step::Send(event("data: one\n\n")),
                Step::Hold(gate.clone()),
                Step::Send(event("data: two\n\n")),
                Step::Send(b"0\r\n\r\n".to_vec()),
            ]
        }
    });
    let gateway = Gateway::start(&[EDGE, &backend.yaml("app"), &route_all("app")]);
    let mut client =
        TcpStream::connect(gateway.address()).expect("the gateway accepts connections");
    client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: any.example\r\n\r\n")
        .expect("it is taken");
    assert!(read_until(&mut client, b"data: one\n\n"));
    gate.open();
    assert!(read_until(&mut client, b"data: two\n\n"));
}

#[test]
fn what_a_client_sends_arrives_before_it_sends_more() {
    // With and without retries, which keep a copy of the body.
    for settings in ["timeout: {}", "retry: {numRetries: 3}"] {
        let app = by_hand(|mut stream| {
            while read_until(&mut stream, b"\r\n\r\n") {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                    .expect("it is taken");
                for _ in 0..3 {
                    assert!(read_until(&mut stream, b"ping\r\n"));
                    stream.write_all(b"4\r\npong\r\n").expect("it is taken");
                }
                assert!(read_until(&mut stream, b"0\r\n\r\n"));
                stream.write_all(b"0\r\n\r\n").expect("it is taken");
            }
        });
        let gateway = Gateway::start(&[
            EDGE,
            &app,
            &route_all("app"),
            &policy("p", "HTTPRoute app", settings),
        ]);
        let mut client =
            TcpStream::connect(gateway.address()).expect("the gateway accepts connections");
        client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        client
            .write_all(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
            .expect("it is taken");
        for _ in 0..3 {
            client.write_all(b"4\r\nping\r\n").expect("it is taken");
            assert!(read_until(&mut client, b"pong"), "{settings}");
        }
        client.write_all(b"0\r\n\r\n").expect("it is taken");
        assert!(read_until(&mut client, b"0\r\n\r\n"), "{settings}");
    }
}

#[test]
fn a_slow_backend_holds_the_client_back() {
    for settings in [
        "timeout: {http: {requestTimeout: 0s}}",
        "retry: {numRetries: 3}",
    ] {
        let app = by_hand(|mut stream| {
            let _ = read_until(&mut stream, b"\r\n\r\n");
            std::thread::sleep(PATIENCE); // it never reads on
        });
        let gateway = Gateway::start(&[
            EDGE,
            &app,
            &route_all("app"),
            &policy("p", "HTTPRoute app", settings),
        ]);
        let mut client =
            TcpStream::connect(gateway.address()).expect("the gateway accepts connections");
        client
            .set_write_timeout(Some(Duration::from_millis(500)))
            .expect("a timeout");
        let length = 256 << 20;
        let head =
            format!("POST / HTTP/1.1\r\nhost: any.example\r\ncontent-length: {length}\r\n\r\n");
        client.write_all(head.as_bytes()).expect("it is taken");
        let piece = vec![b'x'; 1 << 20];
        let taken = (0..256)
            .take_while(|_| client.write_all(&piece).is_ok())
            .count();
        assert!(
            taken < 64,
            "{taken} MiB were taken in for a backend that reads nothing"
        );
    }
}

#[test]
fn a_backend_may_answer_before_it_has_read_the_request() {
    for retries in [
        "timeout: {}",
        "retry: {numRetries: 3, retryOn: {triggers: [reset]}}",
    ] {
        let app = by_hand(|mut stream| {
            let _ = read_until(&mut stream, b"\r\n\r\n");
            let answer =
                b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig";
            stream.write_all(answer).expect("it is taken");
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest); // until the gateway closes
        });
        let gateway = Gateway::start(&[
            EDGE,
            &app,
            &route_all("app"),
            &policy("p", "HTTPRoute app", retries),
        ]);
        let mut client = Client::connect(gateway.address());
        client.send(
            b"POST / HTTP/1.1\r\nhost: any.example\r\ncontent-length: 100000000\r\n\r\nbegun",
        );
        assert_eq!(
            client.receive().brief(),
            (413, "big".to_owned()),
            "{retries}"
        );
    }
}

#[test]
fn a_backend_that_goes_on_talking_answers_nobody_else() {
    let app = by_hand(|mut stream| {
        while read_until(&mut stream, b"\r\n\r\n") {
            let first = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood";
            let second = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
            if stream
                .write_all(format!("{first}{second}").as_bytes())
                .is_err()
            {
                return;
            }
        }
    });
    let gateway = Gateway::start(&[EDGE, &app, &route_all("app")]);
    let mut client = Client::connect(gateway.address());
    for request in 0..50 {
        let response = client.get("any.example", "/");
        assert_ne!(response.text(), "evil", "request {request}");
        assert_eq!(response.status, 200, "request {request}");
    }
}

#[test]
fn a_response_with_two_framings_reaches_the_client_with_one() {
    let forms = [
        "content-length: 100\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        "content-length: 4\r\ncontent-length: 5\r\n\r\nbody",
        "content-length: 4, 5\r\n\r\nbody",
        "content-length: x\r\n\r\nbody",
        "transfer-encoding: gzip, chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
    ];
    for form in forms {
        let app = by_hand(move |mut stream| {
            while read_until(&mut stream, b"\r\n\r\n") {
                let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\n{form}").as_bytes());
            }
        });
        let gateway = Gateway::start(&[EDGE, &app, &route_all("app")]);
        let mut client = Client::connect(gateway.address());
        client.send(&crate::client::request("GET", "any.example", "/", &[], b""));
        let response = client.receive();
        match response.status {
            502 => {}
            200 => {
                let framings = response.headers.iter().filter(|(name, _)| {
                    name.eq_ignore_ascii_case("content-length")
                        || name.eq_ignore_ascii_case("transfer-encoding")
                });
                assert_eq!(framings.count(), 1, "{form:?}: {response:?}");
                assert_eq!(
                    (response.text().as_str(), response.complete),
                    ("body", true),
                    "{form:?}"
                );
            }
            status => panic!("{status} for {form:?}"),
        }
    }
}

#[test]
fn an_old_client_gets_a_chunked_response_without_chunks() {
    let backend = Backend::start(|_| {
        vec![Step::Send(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n"
                .to_vec(),
        )]
    });
    let gateway = Gateway::start(&[EDGE, &backend.yaml("app"), &route_all("app")]);
    for connection in ["", "connection: keep-alive\r\n"] {
        let mut client = Client::connect(gateway.address());
        client.send(format!("GET / HTTP/1.0\r\nhost: any.example\r\n{connection}\r\n").as_bytes());
        let response = client.receive();
        assert_eq!(
            (
                response.text().as_str(),
                response.header("transfer-encoding")
            ),
            ("body", None)
        );
    }
}

#[test]
fn a_head_from_a_backend_has_a_bound() {
    let app = by_hand(|mut stream| {
        let _ = read_until(&mut stream, b"\r\n\r\n");
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream
            .write_all(
                b"x-more: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
            )
            .is_ok()
        {}
    });
    let gateway = Gateway::start(&[EDGE, &app, &route_all("app")]);
    assert_eq!(get(gateway.address(), "any.example", "/").status, 502);
}

#[test]
fn an_upload_that_nobody_takes_is_ended_by_the_idle_timeout() {
    let app = by_hand(|mut stream| {
        let _ = read_until(&mut stream, b"\r\n\r\n");
        std::thread::sleep(PATIENCE); // it never reads on
    });
    let idle = policy(
        "p",
        "HTTPRoute app",
        "timeout: {http: {streamIdleTimeout: 200ms}}",
    );
    let gateway = Gateway::start(&[EDGE, &app, &route_all("app"), &idle]);
    let mut client =
        TcpStream::connect(gateway.address()).expect("the gateway accepts connections");
    client.set_nonblocking(true).expect("it can be");
    let mut head = format!(
        "POST / HTTP/1.1\r\nhost: any.example\r\ncontent-length: {}\r\n\r\n",
        64 << 20
    )
    .into_bytes();
    head.resize(1 << 20, b'x');
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    wait_until("the gateway answers and closes", || {
        let _ = client.write(&head); // as much as it takes; after the first piece it is all body
        match client.read(&mut chunk) {
            Ok(0) => true,
            Ok(read) => {
                answer.extend(&chunk[..read]);
                false
            }
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        }
    });
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
        "{answer}"
    );
}
