//! TLS towards backends: who they have to be, what closes the way to them, and what changes while traffic flows.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use crate::backend::Backend;
use crate::client::{get, wait_until};
use crate::gateway::{EDGE, Gateway, route, to};
use crate::tls::client::Pair;

/// A backend that speaks TLS, and within it HTTP/2 with clients that offer it, else HTTP/1.1. It answers with its name.
struct Secure {
    address: SocketAddr,
    /// The server names that it was asked for, and what was spoken.
    seen: Arc<Mutex<Vec<String>>>,
    _runtime: Runtime,
}

impl Secure {
    fn start(name: &'static str, pair: &Pair) -> Self {
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("it is a key");
        let provider = rustls::crypto::ring::default_provider();
        let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .expect("the versions are known")
            .with_no_client_auth()
            .with_single_cert(vec![pair.der.clone()], key)
            .expect("both belong together");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        listener.set_nonblocking(true).expect("an option");
        let seen = Arc::new(Mutex::new(Vec::new()));
        runtime.spawn({
            let seen = Arc::clone(&seen);
            async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                while let Ok((stream, _)) = listener.accept().await {
                    let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
                    tokio::spawn(async move {
                        let Ok(stream) = acceptor.accept(stream).await else {
                            return;
                        };
                        let session = stream.get_ref().1;
                        let server_name = session.server_name().unwrap_or_default().to_owned();
                        let is_http2 = session.alpn_protocol() == Some(b"h2");
                        let answer = service_fn(move |request: Request<Incoming>| {
                            let line = format!("{server_name} {:?}", request.version());
                            seen.lock().expect("nobody panicked").push(line);
                            async move {
                                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(name))))
                            }
                        });
                        let stream = TokioIo::new(stream);
                        let _ = if is_http2 {
                            http2::Builder::new(TokioExecutor::new())
                                .serve_connection(stream, answer)
                                .await
                        } else {
                            http1::Builder::new().serve_connection(stream, answer).await
                        };
                    });
                }
            }
        });
        Self {
            address,
            seen,
            _runtime: runtime,
        }
    }

    fn yaml(&self, protocols: &str) -> String {
        format!(
            "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: Backend\nmetadata: {{name: app}}\n\
             spec: {{{protocols}endpoints: [{{ip: {{address: 127.0.0.1, port: {}}}}}]}}\n",
            self.address.port()
        )
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("nobody panicked").clone()
    }
}

/// A BackendTLSPolicy for the Backend `app`.
fn policy(validation: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {{name: tls}}\n\
         spec: {{targetRefs: [{{group: gateway.envoyproxy.io, kind: Backend, name: app}}], validation: {{{validation}}}}}\n"
    )
}

/// A ConfigMap `ca` that vouches for this certificate.
fn vouching(pair: &Pair) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: ca}}\ndata:\n  ca.crt: |\n    {}\n",
        pair.chain.replace('\n', "\n    ")
    )
}

const CA: &str = "caCertificateRefs: [{group: \"\", kind: ConfigMap, name: ca}]";

fn to_app() -> String {
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
        .map(|it| format!("{it} HTTP/1.1"))
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
fn http2_is_spoken_within_tls_where_it_is_asked_for() {
    let pair = Pair::of(&["app.internal"]);
    let backend = Secure::start("app", &pair);
    let app = backend.yaml("appProtocols: [gateway.envoyproxy.io/h2c], ");
    let policy = policy(&format!("hostname: app.internal, {CA}"));
    let gateway = Gateway::start(&[EDGE, &app, &to_app(), &policy, &vouching(&pair)]);
    assert_eq!(
        get(gateway.address(), "shop.example.com", "/").brief(),
        (200, "app".to_owned())
    );
    assert_eq!(backend.seen(), ["app.internal HTTP/2.0"]);
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
