//! HTTP/1.1 as such: bodies of every form, trailers, 100-continue, HEAD, keep-alive, pipelining, and slow readers.

use std::io::Read;
use std::net::TcpStream;

use crate::backend::{Backend, Gate, Step, reply, response};
use crate::client::{Client, call, get, request, wait_until};
use crate::gateway::{EDGE, Gateway, route_all};

fn gateway(backend: &Backend) -> Gateway {
    Gateway::start(&[EDGE, &backend.yaml("app"), &route_all("app")])
}

/// Answers with the body that it was sent.
fn echo() -> Backend {
    Backend::start(|request| {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
            request.body.len()
        );
        vec![Step::Send([head.as_bytes(), &request.body].concat())]
    })
}

#[test]
fn bodies_pass_in_both_directions() {
    let backend = echo();
    let gateway = gateway(&backend);
    for length in [0, 1, 100, 16_384, 1_000_000] {
        let body: Vec<_> = (0..length).map(|n| (n % 251) as u8).collect();
        let sized = call(
            gateway.address(),
            &request("POST", "any.example", "/", &[], &body),
        );
        assert!(
            sized.complete && sized.body == body,
            "{length} with a length"
        );

        let mut chunked =
            b"POST / HTTP/1.1\r\nhost: any.example\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        for chunk in body.chunks(7_000) {
            chunked.extend(format!("{:X};ext=1\r\n", chunk.len()).into_bytes());
            chunked.extend(chunk);
            chunked.extend(b"\r\n");
        }
        chunked.extend(b"0\r\n\r\n");
        let echoed = call(gateway.address(), &chunked);
        assert!(echoed.complete && echoed.body == body, "{length} in chunks");
    }
}

#[test]
fn responses_of_every_form_arrive_whole() {
    let forms: [(&str, &[u8]); 4] = [
        (
            "/length",
            b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody",
        ),
        (
            "/chunked",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n",
        ),
        ("/until-close", b"HTTP/1.1 200 OK\r\n\r\nbody"),
        ("/old", b"HTTP/1.0 200 OK\r\n\r\nbody"),
    ];
    let backend = Backend::start(move |request| {
        let (path, bytes) = forms
            .iter()
            .find(|(path, _)| *path == request.target)
            .expect("a form");
        let mut steps = vec![Step::Send(bytes.to_vec())];
        if matches!(*path, "/until-close" | "/old") {
            steps.push(Step::Close);
        }
        steps
    });
    let gateway = gateway(&backend);
    let mut client = Client::connect(gateway.address());
    for (path, _) in forms.iter().chain(&forms) {
        let response = client.get("any.example", path); // over one connection, whatever the backend does
        assert_eq!(
            (response.brief(), response.complete),
            ((200, "body".to_owned()), true),
            "{path}"
        );
    }
}

#[test]
fn responses_that_end_early_are_not_passed_off_as_whole() {
    let forms: [(&str, &[u8]); 2] = [
        (
            "/length",
            b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbody",
        ),
        (
            "/chunked",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n",
        ),
    ];
    let backend = Backend::start(move |request| {
        let (_, bytes) = forms
            .iter()
            .find(|(path, _)| *path == request.target)
            .expect("a form");
        vec![Step::Send(bytes.to_vec()), Step::Close]
    });
    let gateway = gateway(&backend);
    for (path, _) in forms {
        let response = get(gateway.address(), "any.example", path);
        assert_eq!((response.status, response.complete), (200, false), "{path}");
    }
}

#[test]
fn trailers_pass_in_both_directions() {
    let backend = Backend::start(|_| {
        vec![Step::Send(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n2\r\nhi\r\n0\r\nx-sum: 7\r\n\r\n".to_vec(),
        )]
    });
    let gateway = gateway(&backend);
    let response = call(
        gateway.address(),
        b"POST / HTTP/1.1\r\nhost: any.example\r\nte: trailers\r\ntransfer-encoding: chunked\r\ntrailer: x-check\r\n\r\n\
          5\r\nhello\r\n0\r\nx-check: 9\r\n\r\n",
    );
    assert_eq!(response.brief(), (200, "hi".to_owned()));
    assert_eq!(response.trailers, [("x-sum".to_owned(), "7".to_owned())]);
    let seen = backend.last();
    assert_eq!(seen.body, b"hello");
    assert_eq!(seen.trailers, [("x-check".to_owned(), "9".to_owned())]);
}

#[test]
fn a_client_may_wait_for_leave_to_send() {
    let backend = echo();
    let gateway = gateway(&backend);
    let mut client = Client::connect(gateway.address());
    client.send(b"POST / HTTP/1.1\r\nhost: any.example\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n");
    assert_eq!(client.receive().status, 100);
    client.send(b"hello");
    assert_eq!(client.receive().brief(), (200, "hello".to_owned()));
}

#[test]
fn interim_responses_do_not_confuse_the_final_one() {
    let backend = Backend::start(|_| {
        let interim =
            b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
                .to_vec();
        vec![Step::Send(interim), Step::Send(response(200, &[], "final"))]
    });
    let gateway = gateway(&backend);
    let mut client = Client::connect(gateway.address());
    for _ in 0..2 {
        client.send(&request("GET", "any.example", "/", &[], b""));
        let response = std::iter::repeat_with(|| client.receive()).find(|it| it.status >= 200);
        assert_eq!(
            response.expect("a final response").brief(),
            (200, "final".to_owned())
        );
    }
}

#[test]
fn responses_without_a_body_have_none() {
    let backend =
        Backend::start(
            |request| match (request.method.as_str(), request.target.as_str()) {
                ("HEAD", _) => vec![Step::Send(
                    b"HTTP/1.1 200 OK\r\ncontent-length: 1234\r\netag: \"x\"\r\n\r\n".to_vec(),
                )],
                (_, "/204") => vec![Step::Send(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec())],
                (_, "/304") => vec![Step::Send(
                    b"HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\ncontent-length: 10\r\n\r\n"
                        .to_vec(),
                )],
                _ => reply(200, "plain"),
            },
        );
    let gateway = gateway(&backend);
    let mut client = Client::connect(gateway.address());
    client.send(&request("HEAD", "any.example", "/", &[], b""));
    let head = client.receive_head();
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("1234"))
    );
    assert_eq!(client.get("any.example", "/204").status, 204);
    assert_eq!(client.get("any.example", "/304").status, 304);
    assert_eq!(
        client.get("any.example", "/").brief(),
        (200, "plain".to_owned()),
        "the framing is in step"
    );
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let backend = Backend::start(|request| reply(200, &request.target));
    let gateway = gateway(&backend);
    let mut client = Client::connect(gateway.address());
    let all: Vec<_> = (0..20)
        .flat_map(|n| request("GET", "any.example", &format!("/{n}"), &[], b""))
        .collect();
    client.send(&all);
    for n in 0..20 {
        assert_eq!(client.receive().text(), format!("/{n}"));
    }
}

#[test]
fn connections_end_when_either_side_says_so() {
    let backend = Backend::named("app");
    let gateway = gateway(&backend);
    let mut closing = Client::connect(gateway.address());
    closing.send(&request(
        "GET",
        "any.example",
        "/",
        &[("connection", "close")],
        b"",
    ));
    assert_eq!(closing.receive().header("connection"), Some("close"));
    assert!(closing.is_closed());

    let mut old = Client::connect(gateway.address());
    old.send(b"GET / HTTP/1.0\r\nhost: any.example\r\n\r\n");
    let response = old.receive();
    assert_eq!(response.brief(), (200, "app".to_owned()));
    assert_eq!(response.header("transfer-encoding"), None);
    assert!(old.is_closed());
}

#[test]
fn connections_to_backends_are_used_again() {
    let backend = Backend::named("app");
    let gateway = gateway(&backend);
    for _ in 0..10 {
        assert_eq!(get(gateway.address(), "any.example", "/").status, 200); // each over a connection of its own
    }
    assert_eq!((backend.count(), backend.connections()), (10, 1));
}

#[test]
fn a_backend_that_says_close_gets_a_new_connection() {
    let backend = Backend::start(|_| {
        vec![
            Step::Send(response(200, &[("connection", "close")], "app")),
            Step::Close,
        ]
    });
    let gateway = gateway(&backend);
    let mut client = Client::connect(gateway.address());
    for _ in 0..10 {
        let response = client.get("any.example", "/");
        assert_eq!(
            (response.status, response.header("connection")),
            (200, None)
        );
    }
    assert_eq!(backend.connections(), 10);
}

#[test]
fn an_idle_connection_that_the_backend_closed_is_not_used() {
    let backend = Backend::start(|request| {
        let mut steps = reply(200, "app");
        if request.number % 2 == 1 {
            steps.push(Step::Close); // without having said so
        }
        steps
    });
    let gateway = gateway(&backend);
    let mut client = Client::connect(gateway.address());
    for n in 0..20 {
        assert_eq!(client.get("any.example", "/").status, 200, "request {n}");
        // The gateway gets the time to see the close, as it would between any two requests of a person.
        wait_until("the gateway has seen the backend close", || {
            n % 2 == 1 || gateway.metric(&["weir_circuit_breaker_connections"]) == 0.0
        });
    }
}

#[test]
fn a_slow_reader_holds_the_backend_back() {
    let gate = Gate::default();
    let backend = Backend::start({
        let gate = gate.clone();
        move |_| {
            let mut steps = vec![Step::Send(
                b"HTTP/1.1 200 OK\r\ncontent-length: 67108864\r\n\r\n".to_vec(),
            )];
            steps.extend((0..64).map(|_| Step::Send(vec![b'x'; 1 << 20])));
            steps.extend([Step::Hold(gate.clone())]);
            steps
        }
    });
    let gateway = gateway(&backend);
    let mut stream =
        TcpStream::connect(gateway.address()).expect("the gateway accepts connections");
    std::io::Write::write_all(&mut stream, &request("GET", "any.example", "/", &[], b""))
        .expect("it is taken");
    let mut head = [0; 16];
    stream.read_exact(&mut head).expect("the response begins");
    // 64 MiB do not fit into the buffers between; had the gateway taken them all in, the backend would be done.
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(gate.waiting(), 0);
    // The rest arrives once the client reads.
    let mut rest = vec![0; 1 << 16];
    let mut total = head.len();
    while total < 64 << 20 {
        total += match stream.read(&mut rest).expect("the response goes on") {
            0 => panic!("it ended after {total} bytes"),
            read => read,
        };
    }
    gate.open();
}
