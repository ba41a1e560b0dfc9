//! TLS towards backends: who they have to be, what closes the way to them, and what changes while traffic flows.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ALL_VERSIONS, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::backend::Backend;
use crate::client::{get, wait_until};
use crate::gateway::{EDGE, Gateway, route, to};
use crate::tls::client::Pair;

/// A backend that speaks TLS, and within it HTTP/2 with clients that choose it, else HTTP/1.1. It answers with its name, to
/// gRPC with a status besides, and switches protocols when asked to.
pub(crate) struct Secure {
    address: SocketAddr,
    /// The server names that it was asked for, and what was spoken.
    seen: Arc<Mutex<Vec<String>>>,
    /// The certificates that it was shown, by connection.
    shown: Arc<Mutex<Vec<Option<CertificateDer<'static>>>>>,
    _runtime: Runtime,
}

/// How a backend speaks TLS: with a certificate, these versions and algorithms, protocols in its order of preference, and for
/// clients with this certificate only, if any.
pub(crate) struct Speaking<'a> {
    pub(crate) pair: &'a Pair,
    pub(crate) provider: CryptoProvider,
    pub(crate) versions: &'a [&'static SupportedProtocolVersion],
    pub(crate) alpn: &'a [&'a str],
    pub(crate) client: Option<&'a Pair>,
}

impl<'a> Speaking<'a> {
    pub(crate) fn usually(pair: &'a Pair) -> Self {
        Self {
            pair,
            provider: default_provider(),
            versions: ALL_VERSIONS,
            alpn: &["h2", "http/1.1"],
            client: None,
        }
    }

    fn config(self) -> ServerConfig {
        let Self {
            pair,
            provider,
            versions,
            alpn,
            client,
        } = self;
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("it is a key");
        let provider = Arc::new(provider);
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .expect("they are known");
        let builder = match client {
            None => builder.with_no_client_auth(),
            Some(client) => {
                let mut roots = RootCertStore::empty();
                roots.add(client.der.clone()).expect("it is a certificate");
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().expect("there is a root"))
            }
        };
        let mut config = builder
            .with_single_cert(vec![pair.der.clone()], key)
            .expect("both belong together");
        config.alpn_protocols = alpn.iter().map(|it| it.as_bytes().to_vec()).collect();
        config
    }
}

impl Secure {
    fn start(name: &'static str, pair: &Pair) -> Self {
        Self::speaking(name, Speaking::usually(pair))
    }

    pub(crate) fn speaking(name: &'static str, how: Speaking<'_>) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(how.config()));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        listener.set_nonblocking(true).expect("an option");
        let (seen, shown) = (Arc::default(), Arc::default());
        runtime.spawn({
            let (seen, shown) = (Arc::clone(&seen), Arc::clone(&shown));
            async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                while let Ok((stream, _)) = listener.accept().await {
                    let acceptor = acceptor.clone();
                    let (seen, shown) = (Arc::clone(&seen), Arc::clone(&shown));
                    tokio::spawn(async move {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            serve(name, stream, seen, &shown).await;
                        }
                    });
                }
            }
        });
        Self {
            address,
            seen,
            shown,
            _runtime: runtime,
        }
    }

    fn yaml(&self, protocols: &str) -> String {
        self.saying(protocols, "")
    }

    /// The Backend `app`, with more in its spec and in its endpoint.
    pub(crate) fn saying(&self, spec: &str, endpoint: &str) -> String {
        format!(
            "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: Backend\nmetadata: {{name: app}}\n\
             spec: {{{spec}endpoints: [{{{endpoint}ip: {{address: 127.0.0.1, port: {}}}}}]}}\n",
            self.address.port()
        )
    }

    /// The server names that it was asked for, and what was spoken, for each request.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("nobody panicked").clone()
    }

    /// Whether each connection was made with this certificate.
    pub(crate) fn was_shown(&self, pair: &Pair) -> Vec<bool> {
        let shown = self.shown.lock().expect("nobody panicked");
        shown
            .iter()
            .map(|it| it.as_ref() == Some(&pair.der))
            .collect()
    }

    /// How many connections there were.
    pub(crate) fn connections(&self) -> usize {
        self.shown.lock().expect("nobody panicked").len()
    }
}

async fn serve(
    name: &'static str,
    stream: TlsStream<tokio::net::TcpStream>,
    seen: Arc<Mutex<Vec<String>>>,
    shown: &Mutex<Vec<Option<CertificateDer<'static>>>>,
) {
    let session = stream.get_ref().1;
    let server_name = session.server_name().unwrap_or_default().to_owned();
    let is_http2 = session.alpn_protocol() == Some(b"h2");
    let certificate = session
        .peer_certificates()
        .map(|it| it[0].clone().into_owned());
    shown.lock().expect("nobody panicked").push(certificate);
    let answer = service_fn(move |request: Request<Incoming>| {
        let line = format!("{server_name} {:?}", request.version());
        seen.lock().expect("nobody panicked").push(line);
        async move { Ok::<_, Infallible>(answer(name, &request)) }
    });
    let stream = TokioIo::new(stream);
    let _ = if is_http2 {
        http2::Builder::new(TokioExecutor::new())
            .serve_connection(stream, answer)
            .await
    } else {
        let connection = http1::Builder::new().serve_connection(stream, answer);
        connection.with_upgrades().await
    };
}

fn answer(name: &'static str, request: &Request<Incoming>) -> Response<Answer> {
    let body = Full::new(Bytes::from(name));
    let response = Response::builder();
    let built = if let Some(protocol) = request.headers().get("upgrade") {
        let response = response.status(101).header("connection", "upgrade");
        response
            .header("upgrade", protocol)
            .body(Full::default().boxed())
    } else if request.headers().contains_key("content-type") {
        let status = HeaderMap::from_iter([(
            HeaderName::from_static("grpc-status"),
            HeaderValue::from_static("0"),
        )]);
        let body = body.with_trailers(async { Some(Ok(status)) });
        response
            .header("content-type", "application/grpc")
            .body(body.boxed())
    } else {
        response.body(body.boxed())
    };
    built.expect("it is an answer")
}

type Answer = BoxBody<Bytes, Infallible>;

/// A BackendTLSPolicy for the Backend `app`.
pub(crate) fn policy(validation: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {{name: tls}}\n\
         spec: {{targetRefs: [{{group: gateway.envoyproxy.io, kind: Backend, name: app}}], validation: {{{validation}}}}}\n"
    )
}

/// A ConfigMap `ca` that vouches for this certificate.
pub(crate) fn vouching(pair: &Pair) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: ca}}\ndata:\n  ca.crt: |\n    {}\n",
        pair.chain.replace('\n', "\n    ")
    )
}

pub(crate) const CA: &str = "caCertificateRefs: [{group: \"\", kind: ConfigMap, name: ca}]";

pub(crate) fn to_app() -> String {
    route("app", &format!("[{{backendRefs: [{}]}}]", to("app")))
}

#[test]
fn a_backend_has_to_be_who_the_policy_says() {
    let pair = Pair::of(&["app.internal", "also.internal"]);
    let stranger = Pair::of(&["app.internal"]);
    let backend = Secure::start("app", &pair);
    let (app, route) = (backend.yaml(""), to_app());
    let mut gateway = Gateway::setup().log().start(&[EDGE, &app, &route]);
    let mut status = |validation: &str, authority: &Pair| {
        let (policy, ca) = (policy(validation), vouching(authority));
        gateway.apply(&[EDGE, &app, &route, &policy, &ca]);
        let brief = get(gateway.address(), "shop.example.com", "/").brief();
        (brief.0, brief.1 == "app")
    };
    let good = format!("hostname: app.internal, {CA}");
    let named = |names: &str| format!("hostname: sni.internal, {CA}, subjectAltNames: [{names}]");
    let cases = [
        (good.clone(), &pair, 200),
        (format!("hostname: other.internal, {CA}"), &pair, 503),
        (good.clone(), &stranger, 503),
        (
            "hostname: app.internal, wellKnownCACertificates: System".to_owned(),
            &pair,
            503,
        ),
        (
            named("{type: Hostname, hostname: also.internal}"),
            &pair,
            200,
        ),
        (
            named(
                "{type: Hostname, hostname: sni.internal}, {type: Hostname, hostname: app.internal}",
            ),
            &pair,
            200,
        ),
        (
            named("{type: Hostname, hostname: sni.internal}"),
            &pair,
            503,
        ),
        (
            named("{type: URI, uri: \"spiffe://cluster/app\"}"),
            &pair,
            503,
        ),
        (good, &pair, 200),
    ];
    let count = cases.len();
    for (validation, authority, expected) in cases {
        let (code, is_app) = status(&validation, authority);
        assert_eq!((code, is_app), (expected, expected == 200), "{validation}");
    }
    let seen = backend.seen();
    assert_eq!(
        seen,
        [
            "app.internal",
            "sni.internal",
            "sni.internal",
            "app.internal"
        ]
        .map(|it| format!("{it} HTTP/2.0"))
    );
    let lines = gateway.logged(count);
    assert_eq!(lines[1]["response_flags"], "UF");
    let reason = lines[1]["upstream_transport_failure_reason"]
        .as_str()
        .unwrap();
    assert!(
        reason.contains("TLS: invalid peer certificate: NotValidForName"),
        "{reason}"
    );
}

#[test]
fn uris_count_as_they_are_written() {
    let pair = Pair::with_uri("spiffe://cluster/app");
    let backend = Secure::start("app", &pair);
    let (app, route, ca) = (backend.yaml(""), to_app(), vouching(&pair));
    for (uri, expected) in [("spiffe://cluster/app", 200), ("spiffe://cluster/APP", 503)] {
        let policy = policy(&format!(
            "hostname: app.internal, {CA}, subjectAltNames: [{{type: URI, uri: \"{uri}\"}}]"
        ));
        let gateway = Gateway::start(&[EDGE, &app, &route, &policy, &ca]);
        assert_eq!(
            get(gateway.address(), "shop.example.com", "/").status,
            expected,
            "{uri}"
        );
    }
}

#[test]
fn what_cannot_be_enforced_is_not_sent_in_clear_text() {
    let backend = Backend::named("clear");
    let (app, route) = (backend.yaml("app"), to_app());
    let pair = Pair::of(&["app.internal"]);
    let good = policy(&format!("hostname: app.internal, {CA}"));
    let mut gateway = Gateway::start(&[EDGE, &app, &route]);
    let status = |gateway: &Gateway| get(gateway.address(), "shop.example.com", "/").status;
    assert_eq!(status(&gateway), 200);
    gateway.apply(&[EDGE, &app, &route, &good]); // there is no ConfigMap
    assert_eq!(status(&gateway), 500);
    gateway.apply(&[EDGE, &app, &route, &good, &vouching(&pair)]); // and no TLS
    assert_eq!(status(&gateway), 503);
    assert_eq!(
        backend.count(),
        1,
        "connections of before are not used again"
    );
    gateway.apply(&[EDGE, &app, &route]);
    assert_eq!(status(&gateway), 200);
}

#[test]
fn a_backend_that_never_ends_its_handshake_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let app = format!(
        "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: Backend\nmetadata: {{name: app}}\n\
         spec: {{endpoints: [{{ip: {{address: 127.0.0.1, port: {}}}}}]}}\n",
        silent.local_addr().unwrap().port()
    );
    let pair = Pair::of(&["app.internal"]);
    let limit = crate::gateway::policy(
        "limit",
        "HTTPRoute app",
        "timeout: {tcp: {connectTimeout: 200ms}}",
    );
    let tls = policy(&format!("hostname: app.internal, {CA}"));
    let gateway = Gateway::start(&[EDGE, &app, &to_app(), &tls, &vouching(&pair), &limit]);
    assert_eq!(get(gateway.address(), "shop.example.com", "/").status, 503);
    let failures = ["weir_upstream_connect_failures_total", "timeout"];
    wait_until("it is counted", || gateway.metric(&failures) == 1.0);
}
