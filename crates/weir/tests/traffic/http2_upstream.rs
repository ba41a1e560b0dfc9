//! Backends that speak HTTP/2 without TLS: one connection for many requests, gRPC, what they refuse and reset.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt as _;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use crate::client::{Client, gets, request, take, wait_until};
use crate::gateway::{EDGE, Gateway, policy, route_all};

type Answering = dyn Fn(Request<Incoming>) -> Answer + Send + Sync;
pub(crate) type Answer = Response<BoxBody<Bytes, hyper::Error>>;

/// A backend; it ends when it is dropped.
pub(crate) struct Backend {
    address: SocketAddr,
    state: Arc<State>,
    _runtime: Runtime,
}

struct State {
    connections: AtomicUsize,
    active: AtomicUsize,
    most_active: AtomicUsize,
    /// Requests to `/hold` wait for a permit.
    gate: Semaphore,
}

impl Backend {
    /// `streams`: the most that a connection may carry at one time.
    pub(crate) fn start(
        streams: u32,
        answer: impl Fn(Request<Incoming>) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::serving(streams, false, Arc::new(answer))
    }

    /// A backend that takes the extended CONNECT.
    pub(crate) fn upgrading(answer: fn(Request<Incoming>) -> Answer) -> Self {
        Self::serving(100, true, Arc::new(answer))
    }

    fn serving(streams: u32, upgrades: bool, answer: Arc<Answering>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        listener.set_nonblocking(true).expect("an option");
        let state = Arc::new(State {
            connections: AtomicUsize::new(0),
            active: AtomicUsize::new(0),
            most_active: AtomicUsize::new(0),
            gate: Semaphore::new(0),
        });
        runtime.spawn({
            let state = Arc::clone(&state);
            async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                while let Ok((stream, _)) = listener.accept().await {
                    state.connections.fetch_add(1, Ordering::SeqCst);
                    let (state, answer) = (Arc::clone(&state), Arc::clone(&answer));
                    let service = service_fn(move |request| {
                        let (state, answer) = (Arc::clone(&state), Arc::clone(&answer));
                        async move { Ok::<_, Infallible>(serve(&state, request, &*answer).await) }
                    });
                    let mut builder = http2::Builder::new(TokioExecutor::new());
                    builder.max_concurrent_streams(streams);
                    if upgrades {
                        builder.enable_connect_protocol();
                    }
                    let connection = builder.serve_connection(TokioIo::new(stream), service);
                    tokio::spawn(connection);
                }
            }
        });
        Self {
            address,
            state,
            _runtime: runtime,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn yaml(&self) -> String {
        format!(
            "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: Backend\nmetadata: {{name: app}}\n\
             spec: {{appProtocols: [gateway.envoyproxy.io/h2c], endpoints: [{{ip: {{address: 127.0.0.1, port: {}}}}}]}}\n",
            self.address.port()
        )
    }

    fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    fn wait_for(&self, active: usize) {
        wait_until(&format!("{active} requests at the backend"), || {
            self.state.active.load(Ordering::SeqCst) == active
        });
    }

    fn gateway(&self, settings: &str) -> Gateway {
        let policy = policy("p", "HTTPRoute app", settings);
        Gateway::setup()
            .log()
            .workers(2)
            .start(&[EDGE, &self.yaml(), &route_all("app"), &policy])
    }
}

async fn serve(state: &State, request: Request<Incoming>, answer: &Answering) -> Answer {
    let active = state.active.fetch_add(1, Ordering::SeqCst) + 1;
    state.most_active.fetch_max(active, Ordering::SeqCst);
    // Counted off also where the gateway gives the request up.
    struct Off<'a>(&'a State);
    impl Drop for Off<'_> {
        fn drop(&mut self) {
            self.0.active.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let _off = Off(state);
    if request.uri().path() == "/hold" {
        state.gate.acquire().await.expect("the gate stays").forget();
    }
    answer(request)
}

fn text(text: impl Into<Bytes>) -> Answer {
    let body = Full::new(text.into()).map_err(|never| match never {});
    Response::new(body.boxed())
}

fn fine(_: Request<Incoming>) -> Answer {
    text("fine")
}

#[test]
fn many_requests_share_a_connection() {
    let backend = Backend::start(100, fine);
    let gateway = backend.gateway("timeout: {}");
    let answers = gets(gateway.address(), "any.example", "/hold", 30);
    backend.wait_for(30);
    // One for each worker at most.
    assert!(backend.connections() <= 2, "{}", backend.connections());
    backend.state.gate.add_permits(30);
    assert_eq!(take(&answers, 30), vec![(200, "fine".to_owned()); 30]);
    for _ in 0..20 {
        assert_eq!(Client::connect(gateway.address()).get("a", "/").status, 200);
    }
    assert!(backend.connections() <= 2, "{}", backend.connections());
}

#[test]
fn heads_are_those_of_http2() {
    let backend = Backend::start(100, |request| {
        assert_eq!(request.version(), Version::HTTP_2);
        let headers = request.headers();
        let odd = ["host", "connection", "keep-alive", "transfer-encoding"];
        let odd: Vec<_> = odd.iter().filter(|it| headers.contains_key(**it)).collect();
        text(format!(
            "{} {odd:?} te={:?}",
            request.uri(),
            headers.get("te")
        ))
    });
    let gateway = backend.gateway("timeout: {}");
    let mut client = Client::connect(gateway.address());
    client.send(&request(
        "GET",
        "www.example:80",
        "/a?b=c",
        &[("te", "trailers"), ("connection", "keep-alive")],
        b"",
    ));
    let answer = client.receive();
    assert_eq!(
        answer.brief(),
        (
            200,
            "http://www.example:80/a?b=c [] te=Some(\"trailers\")".to_owned()
        )
    );
    assert_eq!(answer.line, "HTTP/1.1 200 OK");
}

/// Sends back what comes behind the answer to a CONNECT, then `end`.
pub(crate) fn echo_behind(mut request: Request<Incoming>) {
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgraded.await else { return };
        let (mut from, mut to) = tokio::io::split(TokioIo::new(upgraded));
        let _ = tokio::io::copy(&mut from, &mut to).await; // whoever leaves early gets no end
        let _ = to.write_all(b"end").await;
        let _ = to.shutdown().await;
    });
}

/// Sends back what comes, and a trailer.
pub(crate) fn echo(request: Request<Incoming>) -> Answer {
    let name = http::HeaderName::from_static("grpc-status");
    let trailers = http::HeaderMap::from_iter([(name, http::HeaderValue::from_static("0"))]);
    let body = request
        .into_body()
        .with_trailers(async { Some(Ok(trailers)) });
    let response = Response::builder().header("content-type", "application/grpc");
    response.body(body.boxed()).expect("a response")
}

#[test]
fn bodies_pass_to_http1() {
    let backend = Backend::start(100, echo);
    let gateway = backend.gateway("timeout: {}");
    let mut client = Client::connect(gateway.address());
    let body = vec![b'x'; 300_000];
    client.send(&request("POST", "a", "/", &[], &body));
    let answer = client.receive();
    assert_eq!((answer.status, answer.body), (200, body));
}

#[test]
fn a_call_of_grpc_passes_whole() {
    let backend = Backend::start(100, echo);
    let gateway = backend.gateway("timeout: {}");
    let client = crate::http2::Client::connect(gateway.address());
    let request = Request::post("http://a/pkg.Service/Method")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::from(vec![b'x'; 300_000]))
        .expect("a request");
    let (status, text, trailers) = client.whole(client.send(request));
    assert_eq!((status, text.len()), (200, 300_000));
    assert_eq!(trailers.expect("trailers")["grpc-status"], "0");
}

#[test]
fn a_grpc_route_takes_calls_by_method_and_has_its_policy() {
    let backend = Backend::start(100, echo);
    // A GRPCRoute's backends speak HTTP/2 without saying so.
    let yaml = backend
        .yaml()
        .replace("appProtocols: [gateway.envoyproxy.io/h2c], ", "");
    let route = "apiVersion: gateway.networking.k8s.io/v1\nkind: GRPCRoute\nmetadata: {name: app}\n\
         spec: {parentRefs: [{name: edge}], rules: [{name: one, matches: [{method: {service: pkg.Service, method: One}}], \
         backendRefs: [{group: gateway.envoyproxy.io, kind: Backend, name: app}]}, {name: all, matches: [{method: {service: pkg.Service}}], \
         backendRefs: [{group: gateway.envoyproxy.io, kind: Backend, name: app}]}]}\n";
    let abort = policy(
        "p",
        "GRPCRoute app one",
        "faultInjection: {abort: {grpcStatus: 7}}",
    );
    let gateway = Gateway::setup().log().start(&[EDGE, &yaml, route, &abort]);
    let client = crate::http2::Client::connect(gateway.address());
    let call = |path: &str| {
        let request = Request::post(format!("http://a{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::from("message"))
            .expect("a request");
        client.response(client.send(request)).expect("a response")
    };
    let aborted = call("/pkg.Service/One");
    assert_eq!(aborted.headers()["grpc-status"], "7");
    assert_eq!(call("/pkg.Service/Two").status(), 200);
    // No route: the status of gRPC that 404 maps to.
    assert_eq!(call("/other.Service/One").headers()["grpc-status"], "12");
    let logged = gateway.logged(3);
    assert_eq!(
        logged[1]["route_name"], "GRPCRoute/default/app/rule:all/match/0/*",
        "{logged:?}"
    );
}

#[test]
fn limits_hold_whatever_a_connection_could_carry() {
    let backend = Backend::start(100, fine);
    let gateway = backend.gateway("circuitBreaker: {maxParallelRequests: 3}");
    let answers = gets(gateway.address(), "any.example", "/hold", 5);
    let refused = take(&answers, 2);
    assert!(
        refused.iter().all(|(status, _)| *status == 503),
        "{refused:?}"
    );
    backend.wait_for(3);
    backend.state.gate.add_permits(3);
    assert_eq!(take(&answers, 3), vec![(200, "fine".to_owned()); 3]);
}

#[test]
fn one_connection_serves_all_workers_where_there_may_be_only_one() {
    let backend = Backend::start(2, fine);
    let gateway = backend.gateway("circuitBreaker: {maxConnections: 1}");
    let answers = gets(gateway.address(), "any.example", "/hold", 6);
    // Two at a time, as the backend says; the others wait for their turn.
    backend.wait_for(2);
    backend.state.gate.add_permits(6);
    assert_eq!(take(&answers, 6), vec![(200, "fine".to_owned()); 6]);
    assert_eq!(backend.connections(), 1);
    assert_eq!(backend.state.most_active.load(Ordering::SeqCst), 2);
}

#[test]
fn a_client_that_leaves_resets_its_stream_only() {
    let backend = Backend::start(100, fine);
    let gateway = backend.gateway("timeout: {}");
    let mut stays = Client::connect(gateway.address());
    stays.send(&request("GET", "a", "/hold", &[], b""));
    backend.wait_for(1);
    let mut leaves = Client::connect(gateway.address());
    leaves.send(&request("GET", "a", "/hold", &[], b""));
    backend.wait_for(2);
    drop(leaves);
    backend.wait_for(1);
    backend.state.gate.add_permits(1);
    assert_eq!(stays.receive().status, 200);
    assert!(backend.connections() <= 2);
    for gauge in [
        "weir_circuit_breaker_requests",
        "weir_requests_active",
        "weir_circuit_breaker_pending_requests",
    ] {
        wait_until(gauge, || gateway.metric(&[gauge]) == 0.0);
    }
}

#[test]
fn an_idle_connection_is_closed_and_another_made() {
    let backend = Backend::start(100, fine);
    let gateway = backend.gateway("timeout: {http: {connectionIdleTimeout: 100ms}}");
    assert_eq!(Client::connect(gateway.address()).get("a", "/").status, 200);
    wait_until("the connection is closed", || {
        gateway.metric(&["weir_circuit_breaker_connections"]) == 0.0
    });
    assert_eq!(Client::connect(gateway.address()).get("a", "/").status, 200);
    assert_eq!(backend.connections(), 2);
}

#[test]
fn a_connection_serves_so_many_requests_and_no_more() {
    let backend = Backend::start(100, fine);
    let gateway =
        backend.gateway("circuitBreaker: {maxRequestsPerConnection: 2, maxConnections: 1}");
    let mut client = Client::connect(gateway.address());
    for _ in 0..6 {
        assert_eq!(client.get("a", "/").brief(), (200, "fine".to_owned()));
    }
    assert_eq!(backend.connections(), 3);
}

#[test]
fn a_backend_that_speaks_http1_is_no_use() {
    let backend = crate::backend::Backend::named("app");
    let yaml = backend.yaml("app").replace(
        "spec: {",
        "spec: {appProtocols: [gateway.envoyproxy.io/h2c], ",
    );
    let gateway = Gateway::setup()
        .log()
        .start(&[EDGE, &yaml, &route_all("app")]);
    let status = Client::connect(gateway.address()).get("a", "/").status;
    assert!(status == 502 || status == 503, "{status}");
    wait_until("everything is given back", || {
        gateway.metric(&["weir_circuit_breaker_connections"]) == 0.0
            && gateway.metric(&["weir_circuit_breaker_requests"]) == 0.0
    });
}
