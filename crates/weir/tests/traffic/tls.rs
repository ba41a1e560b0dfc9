//! HTTPS listeners: server names, protocols, versions, and which requests belong to a connection.

pub(crate) mod client;
pub(crate) mod clients;
mod hostile;
mod renewal;

use std::sync::Arc;

use http_body_util::Full;
use rustls::SignatureScheme;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::crypto::ring::default_provider;

use crate::backend::Backend;
use crate::client::{Client, wait_until};
use crate::gateway::{Gateway, route, to};
use crate::http2;
use client::{Pair, Trust};

/// A listener for HTTPS on port 443 for `hostname` (empty: all) that shows the certificates of these Secrets.
pub(crate) fn listener(name: &str, hostname: &str, secrets: &[&str]) -> String {
    let hostname = match hostname {
        "" => String::new(),
        hostname => format!("hostname: \"{hostname}\", "),
    };
    let secrets: Vec<_> = secrets.iter().map(|it| format!("{{name: {it}}}")).collect();
    format!(
        "{{name: {name}, protocol: HTTPS, port: 443, {hostname}tls: {{certificateRefs: [{}]}}}}",
        secrets.join(", ")
    )
}

pub(crate) fn edge(listeners: &[&str]) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: edge}}\n\
         spec: {{gatewayClassName: weir, listeners: [{}]}}\n",
        listeners.join(", ")
    )
}

/// A route on one listener that answers with its own name.
fn answering(listener: &str, backend: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {listener}}}\n\
         spec: {{parentRefs: [{{name: edge, sectionName: {listener}}}], rules: [{{backendRefs: [{}]}}]}}\n",
        to(backend)
    )
}

#[test]
fn the_server_name_chooses_the_listener_and_its_certificate() {
    let names = [
        ("exact", "shop.example.com"),
        ("wild", "*.example.com"),
        ("deep", "*.deep.example.com"),
        ("rest", ""),
    ];
    let all = [
        "shop.example.com",
        "*.example.com",
        "*.deep.example.com",
        "other.org",
    ];
    // Each is good for every name, so that only the choice of the listener decides.
    let pairs = names.map(|_| Pair::of(&all));
    let backends = ["exact", "wild", "deep", "rest"].map(Backend::named);
    let mut documents = vec![edge(
        &names
            .map(|(name, host)| listener(name, host, &[name]))
            .each_ref()
            .map(String::as_str),
    )];
    for (((name, _), pair), backend) in names.iter().zip(&pairs).zip(&backends) {
        documents.extend([pair.secret(name), backend.yaml(name), answering(name, name)]);
    }
    let gateway = Gateway::start(&documents.iter().map(String::as_str).collect::<Vec<_>>());
    let trust = Trust::of(&pairs.each_ref());
    let cases = [
        ("shop.example.com", 0),
        ("b.example.com", 1),
        ("a.deep.example.com", 2),
        ("other.org", 3),
    ];
    for (server_name, expected) in cases {
        let secured = trust.connect(gateway.address_of(443), server_name);
        let secured = secured.unwrap_or_else(|error| panic!("{server_name}: {error}"));
        assert!(secured.shows(&pairs[expected]), "{server_name}");
        let answer = secured.client().get(server_name, "/");
        let (name, _) = names[expected];
        assert_eq!(answer.brief(), (200, name.to_owned()), "{server_name}");
    }
    // Nobody asks for a name with an address, which leaves the listener for all names.
    let trust = trust.change(|config| config.enable_sni = false);
    let secured = trust.connect(gateway.address_of(443), "other.org");
    assert!(secured.expect("there is such a listener").shows(&pairs[3]));
}

#[test]
fn a_server_name_of_no_listener_is_refused() {
    let pair = Pair::of(&["shop.example.com"]);
    let gateway = Gateway::start(&[
        &edge(&[&listener("shop", "shop.example.com", &["cert"])]),
        &pair.secret("cert"),
    ]);
    let trust = Trust::of(&[&pair]);
    let address = gateway.address_of(443);
    let refused = trust.connect(address, "other.example.com").unwrap_err();
    assert!(
        refused.to_string().contains("UnrecognisedName"),
        "{refused}"
    );
    let nameless = trust.clone().change(|config| config.enable_sni = false);
    assert!(nameless.connect(address, "shop.example.com").is_err());
    let closed = [
        "weir_downstream_connections_closed_total",
        "tls_server_name",
    ];
    wait_until("both are counted", || gateway.metric(&closed) == 2.0);
    assert!(trust.connect(address, "shop.example.com").is_ok());
}

/// A gateway with one listener for HTTPS, for all names, and a backend behind it.
fn one(backend: &Backend, pair: &Pair) -> [String; 4] {
    [
        edge(&[&listener("https", "", &["cert"])]),
        pair.secret("cert"),
        backend.yaml("app"),
        route(
            "app",
            &format!(
                "[{{matches: [{{path: {{value: /away}}}}], filters: [{{type: RequestRedirect, requestRedirect: \
                 {{path: {{type: ReplaceFullPath, replaceFullPath: /there}}}}}}]}}, {{backendRefs: [{}]}}]",
                to("app")
            ),
        ),
    ]
}

fn start(documents: &[String]) -> Gateway {
    Gateway::start(&documents.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn http1_and_http2_are_spoken_as_the_client_likes() {
    let backend = Backend::named("app");
    let pair = Pair::of(&["shop.example.com"]);
    let documents = one(&backend, &pair);
    let gateway = Gateway::setup()
        .log()
        .start(&documents.each_ref().map(String::as_str));
    let address = gateway.address_of(443);
    let trust = Trust::of(&[&pair]);
    for (offered, spoken) in [
        (&[][..], None),
        (&["http/1.1"], Some("http/1.1")),
        (&["http/1.1", "h2"], Some("h2")),
    ] {
        let trust = trust.clone().change(|config| {
            config.alpn_protocols = offered.iter().map(|it| it.as_bytes().to_vec()).collect();
        });
        let secured = trust.connect(address, "shop.example.com").unwrap();
        assert_eq!(secured.alpn(), spoken.map(str::as_bytes));
    }
    let unknown = trust
        .clone()
        .change(|config| config.alpn_protocols = vec![b"gopher".to_vec()]);
    assert!(unknown.connect(address, "shop.example.com").is_err());

    let mut client = trust.connect(address, "shop.example.com").unwrap().client();
    assert_eq!(client.get("shop.example.com", "/1").status, 200);
    assert_eq!(backend.last().header("x-forwarded-proto"), Some("https"));
    let away = client.get("shop.example.com", "/away");
    assert_eq!(
        away.header("location"),
        Some("https://shop.example.com/there")
    );

    let config = trust.change(|config| config.alpn_protocols = vec![b"h2".to_vec()]);
    let client = http2::Client::secure(address, Arc::new(config.0), "shop.example.com");
    assert_eq!(asked(&client, "shop.example.com").0, 200);
    assert_eq!(backend.last().header("x-forwarded-proto"), Some("https"));
    let lines = gateway.logged(3);
    for (line, protocol) in [(&lines[0], "HTTP/1.1"), (&lines[2], "HTTP/2")] {
        assert_eq!(line["protocol"], protocol);
        assert_eq!(line["requested_server_name"], "shop.example.com");
        assert_eq!(line["downstream_tls_version"], "TLSv1.3");
        assert_eq!(line["downstream_tls_cipher"], "TLS_AES_256_GCM_SHA384");
    }
}

/// A GET of `/` on this host over HTTP/2.
fn asked(client: &http2::Client, host: &str) -> (u16, String) {
    let request = http::Request::get(format!("https://{host}/")).body(Full::default());
    let (status, text, _) = client.whole(client.send(request.expect("a request")));
    (status, text)
}

#[test]
fn a_request_for_another_listener_is_misdirected() {
    let pair = Pair::of(&["a.example.com", "b.example.com", "c.example.com"]);
    let backends = ["a", "b"].map(Backend::named);
    let documents = [
        edge(&[
            &listener("a", "a.example.com", &["cert"]),
            &listener("b", "b.example.com", &["cert"]),
            "{name: clear, protocol: HTTP, port: 80}",
        ]),
        pair.secret("cert"),
        backends[0].yaml("a"),
        backends[1].yaml("b"),
        answering("a", "a"),
        answering("b", "b"),
    ];
    let gateway = start(&documents);
    let address = gateway.address_of(443);
    let trust = Trust::of(&[&pair]);
    let config = trust
        .clone()
        .change(|config| config.alpn_protocols = vec![b"h2".to_vec()]);
    let http2 = http2::Client::secure(address, Arc::new(config.0), "a.example.com");
    let mut http1 = trust.connect(address, "a.example.com").unwrap().client();
    // (the host asked for, the status): what no listener has is nobody's, and no reason to connect anew.
    let cases = [
        ("a.example.com", 200),
        ("b.example.com", 421),
        ("B.example.com:443", 421),
        ("c.example.com", 404),
        ("a.example.com", 200),
    ];
    for (host, status) in cases {
        assert_eq!(asked(&http2, host).0, status, "HTTP/2 {host}");
        assert_eq!(http1.get(host, "/").status, status, "HTTP/1.1 {host}");
    }
    assert_eq!(backends[1].count(), 0);
}

#[test]
fn clear_text_of_earlier_reaches_no_secure_listener() {
    let backend = Backend::named("app");
    let pair = Pair::of(&["shop.example.com"]);
    let [secure, secret, app, route] = one(&backend, &pair);
    let clear = edge(&["{name: https, protocol: HTTP, port: 443}"]);
    let mut gateway = start(&[clear, app.clone(), route.clone()]);
    let mut client = Client::connect(gateway.address_of(443));
    assert_eq!(client.get("shop.example.com", "/").status, 200);
    gateway.apply(&[&secure, &secret, &app, &route]);
    assert_eq!(client.get("shop.example.com", "/").status, 421);
    let trust = Trust::of(&[&pair]);
    let secured = trust.connect(gateway.address_of(443), "shop.example.com");
    assert_eq!(
        secured
            .unwrap()
            .client()
            .get("shop.example.com", "/")
            .status,
        200
    );
}

#[test]
fn clients_are_shown_a_certificate_that_they_can_check() {
    let (rsa, ecdsa) = (
        Pair::rsa(&["shop.example.com"]),
        Pair::of(&["shop.example.com"]),
    );
    let other = Pair::of(&["other.example.com"]);
    let gateway = Gateway::start(&[
        &edge(&[&listener("https", "", &["rsa", "ecdsa", "other"])]),
        &rsa.secret("rsa"),
        &ecdsa.secret("ecdsa"),
        &other.secret("other"),
    ]);
    let address = gateway.address_of(443);
    let all = [&rsa, &ecdsa, &other];
    let modern = Trust::of(&all);
    assert!(
        modern
            .connect(address, "shop.example.com")
            .unwrap()
            .shows(&ecdsa)
    );
    assert!(
        modern
            .connect(address, "other.example.com")
            .unwrap()
            .shows(&other)
    );
    let mut provider = default_provider();
    let known = provider.signature_verification_algorithms;
    let is_rsa = |scheme: &SignatureScheme| format!("{scheme:?}").starts_with("RSA");
    let mapping: Vec<_> = known
        .mapping
        .iter()
        .filter(|(it, _)| is_rsa(it))
        .copied()
        .collect();
    provider.signature_verification_algorithms = WebPkiSupportedAlgorithms {
        all: known.all,
        mapping: Vec::leak(mapping),
    };
    let old = Trust::with(provider, &all);
    assert!(
        old.connect(address, "shop.example.com")
            .unwrap()
            .shows(&rsa)
    );
}

#[test]
fn the_oldest_version_can_be_set() {
    let pair = Pair::of(&["shop.example.com"]);
    let https = listener("https", "", &["cert"]);
    let strict = https.replace(
        "tls: {",
        "tls: {options: {weir.dev/tls-min-version: \"1.3\"}, ",
    );
    let old = |pair: &Pair| {
        let versions = rustls::ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS12])
            .expect("it is known");
        let mut roots = rustls::RootCertStore::empty();
        roots.add(pair.der.clone()).expect("it is a certificate");
        Trust(versions.with_root_certificates(roots).with_no_client_auth())
    };
    let mut gateway = Gateway::start(&[&edge(&[&https]), &pair.secret("cert")]);
    let address = gateway.address_of(443);
    assert!(old(&pair).connect(address, "shop.example.com").is_ok());
    gateway.apply(&[&edge(&[&strict]), &pair.secret("cert")]);
    assert!(old(&pair).connect(address, "shop.example.com").is_err());
    assert!(
        Trust::of(&[&pair])
            .connect(address, "shop.example.com")
            .is_ok()
    );
}
