//! How connections begin, fail, age and end, and what becomes of them when endpoints change.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use tokio::io::AsyncWriteExt;
use weir_plan::features::circuit_breaker::CircuitBreaker;
use weir_plan::features::timeout::ClusterTimeout;
use weir_plan::{EndpointAddress, EndpointMap};

use super::backend::Backend;
use super::{LIMITS, Setup, addresses, get, held, no_limit, on_worker, update};
use crate::body::Body;
use crate::upstream::SendErrorKind;

#[test]
fn a_connection_that_the_endpoint_closes_leaves_the_pool() {
    let backend = Backend::start();
    let setup = Setup::of(&[&backend], LIMITS);
    on_worker(async {
        for _ in 0..20 {
            assert_eq!(setup.get("/close").await, Ok("GET /close 0".to_owned()));
            while setup.cluster.breaker.connections.get() > 0 {
                tokio::task::yield_now().await;
            }
        }
    });
    assert_eq!(setup.cluster.stats.cx_total.get(), 20);
    assert_eq!(setup.cluster.stats.rq_total.get(), 20);
}

#[test]
fn a_connection_made_for_a_request_that_is_refused_serves_the_next() {
    let backend = Backend::start();
    let setup = Setup::of(
        &[&backend],
        CircuitBreaker {
            max_parallel_requests: 0,
            ..LIMITS
        },
    );
    on_worker(async {
        for _ in 0..20 {
            assert_eq!(setup.get("/x").await, Err(SendErrorKind::Overflow));
        }
    });
    // One that is not ready yet when the second request comes, and one for that.
    assert!(setup.cluster.stats.cx_total.get() <= 2);
}

#[test]
fn failures_say_what_happened() {
    let backend = Backend::start();
    let setup = Setup::of(&[&backend], LIMITS);
    on_worker(async {
        assert_eq!(setup.get("/die").await, Err(SendErrorKind::Terminated));
        let garbage = setup.get("/garbage").await;
        assert!(
            matches!(&garbage, Err(SendErrorKind::Protocol(_))),
            "{garbage:?}"
        );
        // After both, the endpoint is as good as before.
        assert!(setup.get("/x").await.is_ok());
    });
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = EndpointAddress::Ip(gone.local_addr().expect("bound"));
    drop(gone);
    let setup = Setup::new(&[address], LIMITS, ClusterTimeout::DEFAULT);
    on_worker(async {
        let refused = setup.get("/x").await;
        assert!(
            matches!(&refused, Err(SendErrorKind::Connect { reason }) if reason.contains("refused")),
            "{refused:?}"
        );
        assert_eq!(setup.cluster.stats.cx_connect_fail.get(), 1);
    });
    assert_eq!(setup.cluster.breaker.connections.get(), 0);
}

#[test]
fn a_connection_must_be_made_in_time() {
    // A queue of one that is full: further connections are not even refused.
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let listener = listener.expect("a socket");
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    listener.bind(&any.into()).expect("a free port");
    listener.listen(0).expect("listening");
    let address = listener
        .local_addr()
        .expect("bound")
        .as_socket()
        .expect("an IP address");
    let _fills = std::net::TcpStream::connect(address).expect("the one place");
    let limits = ClusterTimeout {
        connect: Duration::from_millis(50),
        ..ClusterTimeout::DEFAULT
    };
    let setup = Setup::new(&[EndpointAddress::Ip(address)], LIMITS, limits);
    on_worker(async {
        assert_eq!(setup.get("/x").await, Err(SendErrorKind::ConnectTimeout));
    });
    assert_eq!(setup.cluster.stats.cx_connect_timeout.get(), 1);
    assert_eq!(setup.cluster.breaker.connections.get(), 0);
}

#[test]
fn idle_connections_close_in_time() {
    let backend = Backend::start();
    let limits = ClusterTimeout {
        connection_idle: Some(Duration::from_millis(50)),
        ..ClusterTimeout::DEFAULT
    };
    let setup = Setup::new(&addresses(&[&backend]), LIMITS, limits);
    on_worker(async {
        assert!(setup.get("/x").await.is_ok());
        assert_eq!(setup.cluster.breaker.connections.get(), 1);
        while setup.cluster.breaker.connections.get() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    backend.wait_for_open(0);
    assert_eq!(setup.cluster.stats.cx_idle_timeout.get(), 1);
}

#[test]
fn old_connections_close_between_requests() {
    let backend = Backend::start();
    let limits = ClusterTimeout {
        max_connection_duration: Some(Duration::from_millis(50)),
        ..ClusterTimeout::DEFAULT
    };
    let setup = Setup::new(&addresses(&[&backend]), LIMITS, limits);
    on_worker(async {
        let release = async {
            held(&backend, 1).await;
            // The age itself is what is tried: the connection is older than it may be when its request ends.
            tokio::time::sleep(Duration::from_millis(51)).await;
            backend.release(1);
        };
        // A request in progress is not disturbed.
        assert!(tokio::join!(setup.get("/hold"), release).0.is_ok());
        assert_eq!(setup.cluster.stats.cx_max_duration_reached.get(), 1);
        assert!(setup.get("/x").await.is_ok());
        while setup.cluster.breaker.connections.get() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    assert_eq!(setup.cluster.stats.cx_max_duration_reached.get(), 2);
    assert_eq!(setup.cluster.stats.cx_total.get(), 2);
}

#[test]
fn a_response_that_is_dropped_early_closes_its_connection() {
    let backend = Backend::start();
    let setup = Setup::of(
        &[&backend],
        CircuitBreaker {
            max_connections: 1,
            ..LIMITS
        },
    );
    on_worker(async {
        let request = Request::get("/partial")
            .body(Body::empty())
            .expect("a request");
        let response = setup
            .cluster
            .send_on(0, &setup.endpoint(), request, &no_limit())
            .await
            .expect("a head");
        assert_eq!(setup.cluster.breaker.requests.get(), 1);
        drop(response);
        assert_eq!(setup.cluster.breaker.requests.get(), 0);
        assert!(setup.get("/x").await.is_ok());
    });
    assert!(backend.most_open() <= 1);
    assert_eq!(setup.cluster.stats.cx_total.get(), 2);
}

#[test]
fn a_response_before_its_request_has_ended_closes_the_connection() {
    let backend = Backend::start();
    let setup = Setup::of(
        &[&backend],
        CircuitBreaker {
            max_connections: 1,
            ..LIMITS
        },
    );
    on_worker(async {
        let (body, _client) = never_ending().await;
        let request = Request::post("/early").body(body).expect("a request");
        let response = setup
            .cluster
            .send_on(0, &setup.endpoint(), request, &no_limit())
            .await
            .expect("a head");
        let body = response.into_body().collect().await.expect("a body");
        assert_eq!(body.to_bytes(), "early");
        assert!(setup.get("/x").await.is_ok());
    });
    assert!(backend.most_open() <= 1);
    assert_eq!(setup.cluster.stats.cx_total.get(), 2);
}

/// A request body that never comes, as long as the client's end is kept.
async fn never_ending() -> (Body, tokio::io::DuplexStream) {
    let (mut client, server) = tokio::io::duplex(1_000);
    let (taken, body) = tokio::sync::oneshot::channel();
    let taken = std::cell::RefCell::new(Some(taken));
    let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
        let taken = taken.take().expect("one request");
        taken.send(request.into_body()).expect("somebody wants it");
        std::future::pending::<Result<http::Response<Body>, std::convert::Infallible>>()
    });
    let io = hyper_util::rt::TokioIo::new(server);
    tokio::task::spawn_local(
        hyper::server::conn::http1::Builder::new().serve_connection(io, service),
    );
    client
        .write_all(b"POST / HTTP/1.1\r\ncontent-length: 10\r\n\r\n")
        .await
        .expect("sent");
    (Body::incoming(body.await.expect("a body")), client)
}

#[test]
fn endpoints_come_and_go_and_keep_their_state() {
    let (one, other) = (Backend::start(), Backend::start());
    let setup = Setup::of(&[&one, &other], LIMITS);
    let states = || -> Vec<_> { setup.cluster.members().endpoints().cloned().collect() };
    let before = states();
    on_worker(async {
        for endpoint in &before {
            assert!(get(&setup.cluster, 0, endpoint, "/x").await.is_ok());
        }
        let gone = before
            .iter()
            .find(|it| it.endpoint.address == EndpointAddress::Ip(other.address));
        let gone = gone.expect("the other endpoint");
        let in_flight = get(&setup.cluster, 0, gone, "/hold");
        let change = async {
            held(&other, 1).await;
            update(
                &setup.registry,
                &addresses(&[&one]),
                LIMITS,
                ClusterTimeout::DEFAULT,
            );
            other.release(1);
        };
        assert!(
            tokio::join!(in_flight, change).0.is_ok(),
            "a request in flight goes on"
        );
        while setup.cluster.breaker.connections.get() > 1 {
            tokio::task::yield_now().await;
        }
        // The one that stayed still has its connection.
        assert!(setup.get("/x").await.is_ok());
    });
    let after = states();
    assert_eq!(after.len(), 1);
    assert!(before.iter().any(|it| Arc::ptr_eq(it, &after[0])));
    assert_eq!(setup.cluster.stats.cx_total.get(), 2);
    other.wait_for_open(0);
    let none = setup.registry.update(&BTreeMap::new(), &EndpointMap::new());
    assert!(none.is_empty());
}

#[test]
fn unix_sockets_and_host_names_work() {
    let backend = Backend::start();
    let name = EndpointAddress::Fqdn(Arc::from("localhost"), backend.address.port());
    let setup = Setup::new(&[name], LIMITS, ClusterTimeout::DEFAULT);
    on_worker(async { assert!(setup.get("/x").await.is_ok()) });

    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    let serving = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut request = [0; 1_000];
        let read = stream.read(&mut request).expect("a request");
        assert!(request[..read].starts_with(b"GET /x HTTP/1.1\r\n"));
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nunix")
            .expect("sent");
    });
    let address = EndpointAddress::Unix(Arc::from(path.to_str().expect("a path in UTF-8")));
    let setup = Setup::new(&[address], LIMITS, ClusterTimeout::DEFAULT);
    on_worker(async { assert_eq!(setup.get("/x").await, Ok("unix".to_owned())) });
    serving.join().expect("served");
}
