//! What Backends say about TLS, the certificates that are shown to them, and the protocol that ALPN chooses.

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use rustls::crypto::ring::{cipher_suite, default_provider, kx_group};
use rustls::version::{TLS12, TLS13};

use crate::backend_tls::{CA, Secure, Speaking, policy, to_app, vouching};
use crate::client::{Client, get};
use crate::gateway::{EDGE, Gateway, to};
use crate::http_upgrade::ask;
use crate::http2;
use crate::tls::client::Pair;

fn status(gateway: &Gateway) -> u16 {
    get(gateway.address(), "shop.example.com", "/").status
}

/// The Backend `app` with this as its `tls`.
fn with(backend: &Secure, tls: &str) -> String {
    backend.saying(&format!("tls: {{{tls}}}, "), "")
}

#[test]
fn a_backend_says_itself_who_it_has_to_be() {
    let pair = Pair::of(&["app.internal"]);
    let stranger = Pair::of(&["app.internal"]);
    let backend = Secure::speaking("app", Speaking::usually(&pair));
    let by_secret = CA.replace("ConfigMap", "Secret");
    let named = |name: &str| format!("{CA}, sni: {name}");
    let (app, other) = ("hostname: app.internal, ", "hostname: other.internal, ");
    // (tls, more of the endpoint, who vouches, the server name that was asked for; none: it was not reached)
    let cases = [
        (named("app.internal"), "", &pair, Some("app.internal")),
        (named("other.internal"), "", &pair, None),
        (named("app.internal"), "", &stranger, None),
        (
            format!("{by_secret}, sni: app.internal"),
            "",
            &pair,
            Some("app.internal"),
        ),
        (
            "wellKnownCACertificates: System, sni: app.internal".to_owned(),
            "",
            &pair,
            None,
        ),
        (
            "insecureSkipVerify: true, sni: other.internal".to_owned(),
            "",
            &stranger,
            Some("other.internal"),
        ),
        // Without a name, each endpoint has to be who it is called.
        (CA.to_owned(), app, &pair, Some("app.internal")),
        (CA.to_owned(), other, &pair, None),
        (CA.to_owned(), "", &pair, None),
        (
            format!("{CA}, autoSNIFromEndpointHostname: true"),
            app,
            &pair,
            Some("app.internal"),
        ),
        (
            "insecureSkipVerify: true".to_owned(),
            other,
            &stranger,
            Some("other.internal"),
        ),
        (
            "insecureSkipVerify: true".to_owned(),
            "",
            &stranger,
            Some(""),
        ),
    ];
    let mut gateway = Gateway::start(&[EDGE]);
    let mut seen = 0;
    for (tls, endpoint, authority, expected) in cases {
        let document = backend.saying(&format!("tls: {{{tls}}}, "), endpoint);
        let ca = vouching(authority);
        let secret = ca
            .replace("kind: ConfigMap", "kind: Secret")
            .replace("\ndata:", "\nstringData:");
        gateway.apply(&[EDGE, &to_app(), &document, &ca, &secret]);
        let case = format!("{tls} {endpoint}");
        assert_eq!(
            status(&gateway),
            if expected.is_some() { 200 } else { 503 },
            "{case}"
        );
        let all = backend.seen();
        let new = all[seen..].iter().map(|it| it.split(' ').next().unwrap());
        assert_eq!(
            new.collect::<Vec<_>>(),
            expected.into_iter().collect::<Vec<_>>(),
            "{case}"
        );
        seen = all.len();
    }
}

#[test]
fn a_policy_says_it_before_the_backend_does() {
    let pair = Pair::of(&["app.internal"]);
    let backend = Secure::speaking("app", Speaking::usually(&pair));
    let app = with(&backend, "insecureSkipVerify: true, sni: own.internal");
    let mut gateway = Gateway::start(&[EDGE, &to_app(), &app]);
    assert_eq!(status(&gateway), 200);
    for (name, expected) in [("app.internal", 200), ("other.internal", 503)] {
        let policy = policy(&format!("hostname: {name}, {CA}"));
        gateway.apply(&[EDGE, &to_app(), &app, &policy, &vouching(&pair)]);
        assert_eq!(status(&gateway), expected, "{name}");
    }
    assert_eq!(
        backend.seen(),
        ["own.internal HTTP/2.0", "app.internal HTTP/2.0"]
    );
}

#[test]
fn versions_and_algorithms_are_those_that_both_sides_speak() {
    let pair = Pair::of(&["app.internal"]);
    let (both, old, new): (&[_], &[_], &[_]) = (&[&TLS12, &TLS13], &[&TLS12], &[&TLS13]);
    // (what the backend speaks, what is said of it, what becomes of it)
    let cases = [
        (old, "", 200),
        (new, "", 200),
        (old, ", minVersion: \"1.3\"", 503),
        (both, ", minVersion: \"1.3\"", 200),
        (new, ", maxVersion: \"1.2\"", 503),
        (both, ", maxVersion: \"1.2\"", 200),
        (old, ", ciphers: [ECDHE-ECDSA-AES256-GCM-SHA384]", 200),
        (old, ", ciphers: [ECDHE-ECDSA-AES128-GCM-SHA256]", 503),
        (both, ", ecdhCurves: [P-256]", 200),
        (both, ", ecdhCurves: [P-384]", 503),
    ];
    for (versions, said, expected) in cases {
        let mut provider = default_provider();
        provider.kx_groups = vec![kx_group::SECP256R1];
        provider.cipher_suites.retain(|it| {
            *it == cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 || it.tls13().is_some()
        });
        let how = Speaking {
            provider,
            versions,
            ..Speaking::usually(&pair)
        };
        let backend = Secure::speaking("app", how);
        let app = with(&backend, &format!("{CA}, sni: app.internal{said}"));
        let gateway = Gateway::start(&[EDGE, &to_app(), &app, &vouching(&pair)]);
        assert_eq!(status(&gateway), expected, "{said}");
    }
}

/// The Gateway of [`EDGE`], which shows the certificate of a Secret to backends.
fn showing(secret: &str) -> String {
    EDGE.replace(
        "  listeners:",
        &format!("  tls: {{backend: {{clientCertificateRef: {{name: {secret}}}}}}}\n  listeners:"),
    )
}

#[test]
fn a_backend_that_asks_for_a_certificate_is_shown_one() {
    let pair = Pair::of(&["app.internal"]);
    let (known, stranger) = (Pair::of(&["gateway"]), Pair::of(&["gateway"]));
    let how = Speaking {
        client: Some(&known),
        ..Speaking::usually(&pair)
    };
    let backend = Secure::speaking("app", how);
    let (own, tls) = (
        "clientCertificateRef: {name: own}",
        format!("{CA}, sni: app.internal"),
    );
    let plain = with(&backend, &tls);
    let identified = with(&backend, &format!("{tls}, {own}"));
    let by_policy = backend.saying("", "");
    let policy = policy(&format!("hostname: app.internal, {CA}"));
    // (the Gateway, the Backend, what the Gateway shows, what the Backend asks to be shown, whether that will do)
    let cases = [
        (EDGE.to_owned(), &plain, &known, &known, 503),
        (EDGE.to_owned(), &identified, &stranger, &known, 200),
        (showing("gateway"), &plain, &known, &stranger, 200),
        (showing("gateway"), &plain, &stranger, &known, 503),
        (showing("gateway"), &identified, &known, &stranger, 503),
        (showing("gateway"), &identified, &stranger, &known, 200),
        (showing("gateway"), &by_policy, &known, &stranger, 200),
        (showing("absent"), &plain, &known, &known, 503),
    ];
    let mut gateway = Gateway::start(&[EDGE]);
    for (edge, app, of_gateway, of_backend, expected) in cases {
        let secrets = (of_gateway.secret("gateway"), of_backend.secret("own"));
        let mut documents = vec![&*edge, app, &secrets.0, &secrets.1];
        let (route, ca) = (to_app(), vouching(&pair));
        documents.extend([&*route, &*ca]);
        if *app == by_policy {
            documents.push(&policy);
        }
        gateway.apply(&documents);
        assert_eq!(status(&gateway), expected, "{edge} {app}");
    }
    assert_eq!(backend.was_shown(&known), [true; 4]);
}

#[test]
fn a_renewed_certificate_is_shown_on_new_connections() {
    let pair = Pair::of(&["app.internal"]);
    let (first, second) = (Pair::of(&["gateway"]), Pair::of(&["gateway"]));
    let edge = showing("gateway");
    for (accepted, expected) in [(&first, [200, 503]), (&second, [503, 200])] {
        let how = Speaking {
            client: Some(accepted),
            ..Speaking::usually(&pair)
        };
        let backend = Secure::speaking("app", how);
        let app = with(&backend, "insecureSkipVerify: true");
        let mut gateway = Gateway::start(&[&edge, &to_app(), &app, &first.secret("gateway")]);
        let before = status(&gateway);
        gateway.apply(&[&edge, &to_app(), &app, &second.secret("gateway")]);
        assert_eq!([before, status(&gateway)], expected);
    }
}

#[test]
fn the_endpoint_chooses_the_protocol_where_nothing_says_it() {
    let pair = Pair::of(&["app.internal"]);
    let h2c = "appProtocols: [gateway.envoyproxy.io/h2c], ";
    let wss = "appProtocols: [gateway.envoyproxy.io/wss], ";
    let (both, turned, new, old, none): (&[_], &[_], &[_], &[_], &[_]) = (
        &["h2", "http/1.1"],
        &["http/1.1", "h2"],
        &["h2"],
        &["http/1.1"],
        &[],
    );
    let (http1, http2) = (Some("HTTP/1.1"), Some("HTTP/2.0"));
    // (what the endpoint chooses from, its protocol by the Backend, what the Backend offers, what is spoken)
    let cases = [
        (both, "", "", http2),
        (turned, "", "", http1),
        (new, "", "", http2),
        (old, "", "", http1),
        (none, "", "", http1),
        (both, "", ", alpnProtocols: [http/1.1]", http1),
        (both, "", ", alpnProtocols: [h2]", http2),
        (both, "", ", alpnProtocols: []", http1),
        (old, "", ", alpnProtocols: [h2]", None),
        (both, h2c, "", http2),
        (old, h2c, "", None),
        (both, wss, "", http1),
        (new, wss, "", None),
    ];
    for (alpn, protocols, offered, expected) in cases {
        let how = Speaking {
            alpn,
            ..Speaking::usually(&pair)
        };
        let backend = Secure::speaking("app", how);
        let tls = format!("{protocols}tls: {{insecureSkipVerify: true{offered}}}, ");
        let app = backend.saying(&tls, "hostname: app.internal, ");
        let gateway = Gateway::setup().workers(1).start(&[EDGE, &to_app(), &app]);
        let case = format!("{alpn:?} {protocols}{offered}");
        for _ in 0..2 {
            assert_eq!(
                status(&gateway),
                if expected.is_some() { 200 } else { 503 },
                "{case}"
            );
        }
        let spoken = expected.map(|it| format!("app.internal {it}"));
        assert_eq!(
            backend.seen(),
            spoken.map_or(Vec::new(), |it| vec![it; 2]),
            "{case}"
        );
        if expected.is_some() {
            assert_eq!(
                backend.connections(),
                1,
                "{case}: the choice costs no connection"
            );
            let failures = gateway.metric(&["weir_upstream_connect_failures_total"]);
            assert_eq!(failures, 0.0, "{case}");
        }
    }
}

#[test]
fn what_switches_protocols_goes_over_http1_to_endpoints_that_speak_http2() {
    let pair = Pair::of(&["app.internal"]);
    let backend = Secure::speaking("app", Speaking::usually(&pair));
    let app = with(&backend, "insecureSkipVerify: true, sni: app.internal");
    let gateway = Gateway::start(&[EDGE, &to_app(), &app]);
    assert_eq!(status(&gateway), 200);
    let mut client = Client::connect(gateway.address());
    client.send(&ask("websocket"));
    assert_eq!(client.receive().status, 101);
    assert_eq!(status(&gateway), 200);
    let versions = ["2.0", "1.1", "2.0"].map(|it| format!("app.internal HTTP/{it}"));
    assert_eq!(backend.seen(), versions);
}

#[test]
fn grpc_is_spoken_over_tls() {
    let pair = Pair::of(&["app.internal"]);
    let route = format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: GRPCRoute\nmetadata: {{name: app}}\n\
         spec: {{parentRefs: [{{name: edge}}], rules: [{{backendRefs: [{}]}}]}}\n",
        to("app")
    );
    for (alpn, expected) in [(&["h2"][..], Some("app")), (&["http/1.1"], None)] {
        let how = Speaking {
            alpn,
            ..Speaking::usually(&pair)
        };
        let backend = Secure::speaking("app", how);
        let app = with(&backend, &format!("{CA}, sni: app.internal"));
        let gateway = Gateway::start(&[EDGE, &route, &app, &vouching(&pair)]);
        let client = http2::Client::connect(gateway.address());
        let request = Request::post("http://shop.example.com/a.Service/Method")
            .header("te", "trailers")
            .header("content-type", "application/grpc")
            .body(Empty::<Bytes>::new())
            .unwrap();
        match expected {
            Some(text) => {
                let (status, body, trailers) = client.whole(client.send(request));
                assert_eq!((status, &*body), (200, text));
                assert_eq!(trailers.unwrap()["grpc-status"], "0");
                assert_eq!(backend.seen(), ["app.internal HTTP/2.0"]);
            }
            None => {
                let response = client.response(client.send(request)).unwrap();
                assert_eq!(response.headers()["grpc-status"], "14");
                assert!(backend.seen().is_empty());
            }
        }
    }
}
