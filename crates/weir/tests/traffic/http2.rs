//! Clients that speak HTTP/2 without TLS, by prior knowledge.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::backend::{Backend, Gate, Step, reply, response};
use crate::client::{PATIENCE, wait_until};
use crate::frames::PREFACE;
use crate::gateway::{EDGE, Gateway, policy, route, route_all, to};

/// A connection, driven by the runtime.
pub(crate) struct Client {
    address: SocketAddr,
    runtime: Runtime,
    sender: SendRequest<BoxBody<Bytes, Infallible>>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::with_window(address, 1 << 20)
    }

    /// A client that takes at most so many bytes of a response that it does not read.
    fn with_window(address: SocketAddr, window: u32) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let sender = runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(address).await;
            handshake(stream.expect("the gateway accepts connections"), window).await
        });
        Self {
            address,
            runtime,
            sender,
        }
    }

    /// A client within TLS.
    pub(crate) fn secure(
        address: SocketAddr,
        config: Arc<rustls::ClientConfig>,
        server_name: &'static str,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let sender = runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(address).await;
            let name = server_name.try_into().expect("a host name");
            let stream = tokio_rustls::TlsConnector::from(config)
                .connect(name, stream.expect("the gateway accepts connections"))
                .await
                .expect("the handshake is completed");
            handshake(stream, 1 << 20).await
        });
        Self {
            address,
            runtime,
            sender,
        }
    }

    pub(crate) fn send<B>(&self, request: Request<B>) -> Sent
    where
        B: Body<Data = Bytes, Error = Infallible> + Send + Sync + 'static,
    {
        let mut sender = self.sender.clone();
        let request = request.map(BodyExt::boxed);
        Sent(
            self.runtime
                .spawn(async move { sender.send_request(request).await }),
        )
    }

    pub(crate) fn response(&self, Sent(task): Sent) -> Result<Response<Incoming>, hyper::Error> {
        let response = self.runtime.block_on(timeout_of(task));
        response.expect("the task does not panic")
    }

    /// The status, the body and the trailers.
    pub(crate) fn whole(&self, sent: Sent) -> (u16, String, Option<http::HeaderMap>) {
        let response = self.response(sent).expect("a response");
        let status = response.status().as_u16();
        let body = self
            .runtime
            .block_on(timeout_of(response.into_body().collect()));
        let body = body.expect("a whole body");
        let trailers = body.trailers().cloned();
        let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        (status, text, trailers)
    }

    /// The rest of a body, and the trailers.
    pub(crate) fn rest(&self, body: &mut Incoming) -> (String, http::HeaderMap) {
        let body = self.runtime.block_on(timeout_of(body.collect()));
        let body = body.expect("a whole body");
        let trailers = body.trailers().cloned().unwrap_or_default();
        let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        (text, trailers)
    }

    /// The status and the body, or none where they do not come whole.
    pub(crate) fn try_whole(&self, sent: Sent) -> Option<(u16, String)> {
        let response = self.response(sent).ok()?;
        let status = response.status().as_u16();
        let body = response.into_body().collect();
        let body = self.runtime.block_on(timeout_of(body)).ok()?.to_bytes();
        Some((status, String::from_utf8_lossy(&body).into_owned()))
    }

    /// The head of the answer to a CONNECT, and the tunnel behind it if it is a success.
    pub(crate) fn tunnel(
        &self,
        request: Request<Full<Bytes>>,
    ) -> (Response<Incoming>, Option<Tunnel<'_>>) {
        let mut answer = self.response(self.send(request)).expect("a response");
        let tunnel = answer.status().is_success().then(|| {
            let upgraded = hyper::upgrade::on(&mut answer);
            let upgraded = self.runtime.block_on(timeout_of(upgraded));
            Tunnel {
                client: self,
                io: TokioIo::new(upgraded.expect("a tunnel")),
            }
        });
        (answer, tunnel)
    }

    fn get(&self, target: &str) -> (u16, String) {
        let (status, text, _) = self.whole(self.send(get(target)));
        (status, text)
    }
}

/// A stream that carries bytes.
pub(crate) struct Tunnel<'a> {
    client: &'a Client,
    io: TokioIo<Upgraded>,
}

impl Tunnel<'_> {
    /// Sends something and gets it back.
    pub(crate) fn says(&mut self, text: &str) {
        let Self { client, io } = self;
        let mut got = vec![0; text.len()];
        let exchange = async {
            io.write_all(text.as_bytes()).await.expect("it is taken");
            io.read_exact(&mut got).await.expect("it comes back");
        };
        client.runtime.block_on(timeout_of(exchange));
        assert_eq!(got, text.as_bytes());
    }

    /// Says that nothing more will be sent, and reads what comes until the other side has said that too.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let exchange = async {
            self.io.shutdown().await.expect("it is open");
            self.io.read_to_end(&mut rest).await.expect("it ends well");
        };
        self.client.runtime.block_on(timeout_of(exchange));
        rest
    }
}

async fn handshake<S>(stream: S, window: u32) -> SendRequest<BoxBody<Bytes, Infallible>>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(window)
        .handshake(TokioIo::new(stream))
        .await
        .expect("it speaks HTTP/2");
    tokio::spawn(connection);
    sender
}

pub(crate) struct Sent(tokio::task::JoinHandle<Result<Response<Incoming>, hyper::Error>>);

async fn timeout_of<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it comes in time")
}

fn get(target: &str) -> Request<Full<Bytes>> {
    let request = Request::get(format!("http://any.example{target}"));
    request
        .version(Version::HTTP_2)
        .body(Full::default())
        .expect("a request")
}

#[test]
fn many_requests_share_a_connection() {
    let gate = Gate::default();
    let backend = Backend::holding(&gate);
    let gateway = Gateway::setup()
        .log()
        .start(&[EDGE, &backend.yaml("app"), &route_all("app")]);
    let client = Client::connect(gateway.address());
    let sent: Vec<_> = (0..10)
        .map(|n| client.send(get(&format!("/{n}"))))
        .collect();
    gate.wait_for(10);
    assert_eq!(gateway.metric(&["weir_downstream_connections "]), 1.0);
    gate.open();
    for sent in sent {
        assert_eq!(client.whole(sent).0, 200);
    }
    let logged = gateway.logged(10);
    assert!(
        logged.iter().all(|line| line["protocol"] == "HTTP/2"),
        "{logged:?}"
    );
    assert!(
        logged
            .iter()
            .all(|line| line[":authority"] == "any.example"),
        "{logged:?}"
    );
}

#[test]
fn heads_become_what_a_backend_of_http1_understands() {
    let backend = Backend::start(|_| {
        vec![Step::Send(response(
            200,
            &[("connection", "x-one"), ("x-one", "1"), ("x-two", "2")],
            "hi",
        ))]
    });
    let gateway = Gateway::start(&[EDGE, &backend.yaml("app"), &route_all("app")]);
    let client = Client::connect(gateway.address());
    let request = Request::get("http://www.example:8080/a?b=c")
        .header("cookie", "a=1")
        .header("cookie", "b=2; c=3")
        .header("te", "trailers")
        .body(Full::default())
        .expect("a request");
    let answer = client.response(client.send(request)).expect("a response");
    assert_eq!(answer.version(), Version::HTTP_2);
    let headers = answer.headers();
    assert_eq!(headers.get("x-two").expect("it is passed on"), "2");
    assert!(
        !headers.contains_key("x-one") && !headers.contains_key("connection"),
        "{headers:?}"
    );
    let seen = backend.last();
    assert_eq!(
        (seen.method.as_str(), seen.target.as_str()),
        ("GET", "/a?b=c")
    );
    assert_eq!(seen.header("host"), Some("www.example:8080"));
    assert_eq!(seen.header("cookie"), Some("a=1; b=2; c=3"));
    assert_eq!(seen.header("te"), Some("trailers"));
    assert_eq!(
        seen.headers
            .iter()
            .filter(|(name, _)| name == "cookie")
            .count(),
        1
    );
}

#[test]
fn bodies_and_trailers_pass_both_ways() {
    let backend = Backend::start(|request| {
        let size = request.body.len();
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n";
        vec![Step::Send(
            format!("{head}5\r\n{size:05}\r\n0\r\nx-sum: 7\r\n\r\n").into_bytes(),
        )]
    });
    let gateway = Gateway::start(&[EDGE, &backend.yaml("app"), &route_all("app")]);
    let client = Client::connect(gateway.address());
    // More than the windows of a stream and of the connection hold.
    let body = Full::from(vec![b'x'; 90_000]);
    let request = Request::post("http://a/")
        .header("te", "trailers")
        .body(body)
        .expect("a request");
    let (status, text, trailers) = client.whole(client.send(request));
    assert_eq!((status, text.as_str()), (200, "90000"));
    assert_eq!(
        trailers
            .expect("trailers")
            .get("x-sum")
            .expect("it is there"),
        "7"
    );
}

#[test]
fn refusals_end_one_request_and_not_the_connection() {
    let backend = Backend::named("app");
    let only_a = route(
        "app",
        &format!(
            "[{{matches: [{{path: {{value: /a}}}}], backendRefs: [{}]}}]",
            to("app")
        ),
    );
    let gateway = Gateway::setup()
        .limits(|limits| limits.max_headers = 20)
        .start(&[EDGE, &backend.yaml("app"), &only_a]);
    let client = Client::connect(gateway.address());
    let nothing = client.response(client.send(get("/b"))).expect("a response");
    assert_eq!(nothing.status(), 404);
    assert!(!nothing.headers().contains_key("connection"));
    let mut many = get("/a");
    for n in 0..30 {
        many.headers_mut().insert(
            http::HeaderName::try_from(format!("x-{n}")).expect("a name"),
            n.into(),
        );
    }
    assert_eq!(client.whole(client.send(many)).0, 431);
    let mut underscore = get("/a");
    underscore.headers_mut().insert("a_b", 1.into());
    assert_eq!(client.whole(client.send(underscore)).0, 400);
    assert_eq!(client.get("/a").0, 200);
}

#[test]
fn a_response_that_nobody_takes_is_given_up_and_the_others_go_on() {
    let backend = Backend::start(|request| match request.target.as_str() {
        "/large" => vec![Step::Send(response(200, &[], &"x".repeat(4_000_000)))],
        _ => reply(200, "small"),
    });
    let settings = policy(
        "p",
        "HTTPRoute app",
        "timeout: {http: {streamIdleTimeout: 300ms}}",
    );
    let gateway =
        Gateway::setup()
            .log()
            .start(&[EDGE, &backend.yaml("app"), &route_all("app"), &settings]);
    let client = Client::with_window(gateway.address(), 1_000);
    let stuck = client.response(client.send(get("/large"))).expect("a head");
    assert_eq!(stuck.status(), 200);
    let logged = gateway.logged(1);
    assert_eq!(logged[0]["response_flags"], "SI", "{logged:?}");
    assert_eq!(client.get("/small"), (200, "small".to_owned()));
    let rest = client
        .runtime
        .block_on(timeout_of(stuck.into_body().collect()));
    assert!(rest.is_err(), "the stream was reset");
}

#[test]
fn a_client_that_gives_up_a_request_frees_what_it_held() {
    let gate = Gate::default();
    let backend = Backend::holding(&gate);
    let gateway = Gateway::setup()
        .log()
        .start(&[EDGE, &backend.yaml("app"), &route_all("app")]);
    let client = Client::connect(gateway.address());
    let Sent(task) = client.send(get("/"));
    gate.wait_for(1);
    task.abort();
    assert_eq!(gateway.logged(1)[0]["response_flags"], "DC");
    wait_until("the request is counted off", || {
        gateway.metric(&["weir_circuit_breaker_requests"]) == 0.0
    });
    gate.open();
    assert_eq!(client.get("/").0, 200);
}

#[test]
fn requests_in_progress_end_when_the_port_goes_and_no_new_ones_begin() {
    let gate = Gate::default();
    let backend = Backend::holding(&gate);
    let mut gateway = Gateway::start(&[EDGE, &backend.yaml("app"), &route_all("app")]);
    let client = Client::connect(gateway.address());
    let sent = client.send(get("/"));
    gate.wait_for(1);
    gateway.apply(&[
        &EDGE.replace("port: 80", "port: 81"),
        &backend.yaml("app"),
        &route_all("app"),
    ]);
    let address = client.address;
    wait_until("the port is closed", || {
        TcpStream::connect(address).is_err()
    });
    gate.open();
    assert_eq!(client.whole(sent).0, 200);
    wait_until("the connection has ended", || client.sender.is_closed());
}

#[test]
fn a_connection_without_requests_is_closed() {
    let backend = Backend::named("app");
    let gateway = Gateway::setup()
        .limits(|limits| limits.idle_timeout = Duration::from_millis(200))
        .start(&[EDGE, &backend.yaml("app"), &route_all("app")]);
    let client = Client::connect(gateway.address());
    assert_eq!(client.get("/").0, 200);
    wait_until("the connection is closed", || client.sender.is_closed());
    assert_eq!(
        gateway.metric(&["weir_downstream_connections_closed_total", "idle"]),
        1.0
    );
}

#[test]
fn a_preface_may_come_in_pieces_and_is_nothing_else() {
    let backend = Backend::named("app");
    let gateway = Gateway::start(&[EDGE, &backend.yaml("app"), &route_all("app")]);
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    for cut in [1, 5, 16, 23] {
        let mut stream =
            TcpStream::connect(gateway.address()).expect("the gateway accepts connections");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("an option");
        stream.write_all(&PREFACE[..cut]).expect("it is taken");
        std::thread::yield_now();
        stream
            .write_all(&[&PREFACE[cut..], &settings].concat())
            .expect("it is taken");
        let mut head = [0; 9];
        stream.read_exact(&mut head).expect("a frame");
        assert_eq!(head[3], 4, "settings come first: {head:?}");
    }
    // What only begins like one is a request of HTTP/1 that nobody understands.
    for wrong in [
        "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        "PRI / HTTP/1.1\r\nhost: a\r\n\r\n",
    ] {
        let mut stream =
            TcpStream::connect(gateway.address()).expect("the gateway accepts connections");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(wrong.as_bytes()).expect("it is taken");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("an answer");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(
            answer == "HTTP/1.1 400" || answer == "HTTP/1.1 200",
            "{answer}"
        );
    }
}
