//! HTTPS listeners: where their certificates come from, and what is said where there are none.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use weir_plan::{Certificate, Plan};

use super::{FINE, listener, status};
use crate::fixtures::{context, gateway, resolved, resources, route};
use crate::status::ConditionStatus;
use crate::{Memo, Resolution, resolve};

/// A Secret with a certificate for this name.
fn secret(name: &str, host: &str) -> Value {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    with(
        name,
        &json!({"tls.crt": certificate, "tls.key": key.serialize_pem()}),
    )
}

fn with(name: &str, data: &Value) -> Value {
    json!({"kind": "Secret", "metadata": {"name": name}, "type": "kubernetes.io/tls", "stringData": data})
}

/// The listener `https` of a Gateway, with this as its `tls`, resolved along with these documents.
fn https(tls: Value, documents: &[Value]) -> Resolution {
    let mut https =
        json!({"name": "https", "port": 443, "protocol": "HTTPS", "hostname": "a.example.com"});
    if !tls.is_null() {
        https["tls"] = tls;
    }
    let mut all = vec![gateway("edge", json!([https]))];
    all.extend_from_slice(documents);
    resolved(&all)
}

/// What the plan shows there.
fn shown(plan: &Plan) -> Vec<&str> {
    let tls = plan.listeners.iter().filter_map(|it| it.tls.as_ref());
    tls.flat_map(|it| &it.certificates)
        .map(|it| it.name.as_str())
        .collect()
}

fn grant(kind: &str, namespace: &str, name: Option<&str>) -> Value {
    json!({"kind": "ReferenceGrant", "metadata": {"name": "grant", "namespace": "far"}, "spec": {
        "from": [{"group": "gateway.networking.k8s.io", "kind": kind, "namespace": namespace}],
        "to": [{"group": "", "kind": "Secret", "name": name}],
    }})
}

#[test]
fn certificates_are_found_or_it_is_said_why_not() {
    let good = secret("cert", "a.example.com");
    let mut far = secret("cert", "a.example.com");
    far["metadata"]["namespace"] = json!("far");
    let opaque = json!({"kind": "Secret", "metadata": {"name": "cert"}});
    let refs = |refs: Value| json!({"certificateRefs": refs});
    let one = || refs(json!([{"name": "cert"}]));
    let across = || refs(json!([{"name": "cert", "namespace": "far"}]));
    let unusable = "Accepted !ResolvedRefs(InvalidCertificateRef) !Programmed(Invalid)";
    let refused = "Accepted !ResolvedRefs(RefNotPermitted) !Programmed(Invalid)";
    let invalid = "Accepted ResolvedRefs !Programmed(Invalid)";
    // (tls, what there is besides, conditions, part of a finding, certificates shown)
    let cases: [(Value, Vec<Value>, &str, &str, usize); 18] = [
        (one(), vec![good.clone()], FINE, "", 1),
        (
            refs(json!([{"group": "", "kind": "Secret", "name": "cert"}])),
            vec![good.clone()],
            FINE,
            "",
            1,
        ),
        (one(), vec![], unusable, "Secret ns/cert does not exist.", 0),
        (
            one(),
            vec![opaque],
            unusable,
            "must be of type kubernetes.io/tls.",
            0,
        ),
        (
            one(),
            vec![with("cert", &json!({"tls.crt": "x", "tls.key": "y"}))],
            unusable,
            "tls.crt: there is no certificate",
            0,
        ),
        (
            one(),
            vec![with("cert", &json!({"tls.crt": "x"}))],
            unusable,
            "must contain tls.crt and tls.key",
            0,
        ),
        (
            refs(json!([{"group": "x.io", "name": "cert"}])),
            vec![good.clone()],
            unusable,
            "group must be",
            0,
        ),
        (
            refs(json!([{"kind": "ConfigMap", "name": "cert"}])),
            vec![good.clone()],
            unusable,
            "kind must be Secret",
            0,
        ),
        (
            across(),
            vec![far.clone()],
            refused,
            "Certificate ref to secret far/cert not permitted by any ReferenceGrant.",
            0,
        ),
        (across(), vec![], refused, "not permitted", 0),
        (
            across(),
            vec![far.clone(), grant("Gateway", "ns", None)],
            FINE,
            "",
            1,
        ),
        (
            across(),
            vec![far.clone(), grant("Gateway", "ns", Some("cert"))],
            FINE,
            "",
            1,
        ),
        (
            across(),
            vec![far.clone(), grant("Gateway", "ns", Some("other"))],
            refused,
            "not permitted",
            0,
        ),
        (
            across(),
            vec![far.clone(), grant("HTTPRoute", "ns", None)],
            refused,
            "not permitted",
            0,
        ),
        // One that can be used is enough; the other is said to be missing.
        (
            refs(json!([{"name": "absent"}, {"name": "cert"}])),
            vec![good.clone()],
            "Accepted !ResolvedRefs(InvalidCertificateRef) Programmed",
            "is served with other certificates only: Secret ns/absent does not exist.",
            1,
        ),
        (
            Value::Null,
            vec![good.clone()],
            invalid,
            "must have TLS set when protocol is HTTPS",
            0,
        ),
        (
            json!({"mode": "Passthrough"}),
            vec![good.clone()],
            invalid,
            "TLS Passthrough mode is not supported",
            0,
        ),
        (
            json!({"options": {"weir.dev/tls-min-version": "1.1"}, "certificateRefs": [{"name": "cert"}]}),
            vec![good],
            invalid,
            "1.2 and 1.3",
            0,
        ),
    ];
    for (tls, documents, conditions, says, count) in cases {
        let resolution = https(tls.clone(), &documents);
        assert_eq!(
            listener(status(&resolution, "edge"), "https"),
            conditions,
            "{tls}"
        );
        let found: Vec<_> = resolution
            .diagnostics
            .iter()
            .map(|it| &it.message)
            .collect();
        if says.is_empty() {
            assert!(found.is_empty(), "{tls}: {found:?}");
        } else {
            assert!(found.iter().any(|it| it.contains(says)), "{tls}: {found:?}");
        }
        assert_eq!(shown(&resolution.plan).len(), count, "{tls}");
    }
}

#[test]
fn a_listener_set_refers_for_itself() {
    let edge = json!({"kind": "Gateway", "metadata": {"name": "edge"}, "spec": {
        "gatewayClassName": "ours", "allowedListeners": {"namespaces": {"from": "All"}},
        "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}],
    }});
    let set = json!({"kind": "ListenerSet", "metadata": {"name": "set", "namespace": "team"}, "spec": {
        "parentRef": {"name": "edge", "namespace": "ns"},
        "listeners": [{"name": "https", "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "cert", "namespace": "far"}]}}],
    }});
    let mut cert = secret("cert", "a.example.com");
    cert["metadata"]["namespace"] = json!("far");
    for (granted, count) in [("ListenerSet", 1), ("Gateway", 0)] {
        let documents = [
            edge.clone(),
            set.clone(),
            cert.clone(),
            grant(granted, "team", None),
        ];
        assert_eq!(shown(&resolved(&documents).plan).len(), count, "{granted}");
    }
}

#[test]
fn names_that_no_certificate_has_are_a_warning() {
    let cases = [
        ("a.example.com", "a.example.com", false),
        ("a.example.com", "*.example.com", false),
        ("a.b.example.com", "*.example.com", true),
        ("a.example.com", "b.example.com", true),
        ("*.example.com", "*.example.com", false),
        ("*.example.com", "a.example.com", true),
        ("", "a.example.com", false),
    ];
    for (host, name, expected) in cases {
        let mut https = json!({"name": "https", "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "cert"}]}});
        if !host.is_empty() {
            https["hostname"] = json!(host);
        }
        let resolution = resolved(&[gateway("edge", json!([https])), secret("cert", name)]);
        let found = resolution
            .diagnostics
            .iter()
            .any(|it| it.id == "certificate-for-other-names");
        assert_eq!(found, expected, "{name} on {host}");
        assert_eq!(shown(&resolution.plan), ["Secret/ns/cert"]);
    }
}

#[test]
fn overlapping_names_are_said_on_both_listeners() {
    let https = |name: &str, port: u16, host: &str| json!({"name": name, "port": port, "protocol": "HTTPS", "hostname": host, "tls": {"certificateRefs": [{"name": "cert"}]}});
    let listeners = json!([
        https("wild", 443, "*.example.com"),
        https("exact", 443, "a.example.com"),
        https("apart", 443, "a.example.net"),
        https("elsewhere", 8443, "b.example.com"),
        {"name": "http", "port": 80, "protocol": "HTTP"},
    ]);
    let resolution = resolved(&[gateway("edge", listeners), secret("cert", "*.example.com")]);
    let overlapping = |name: &str| {
        let listeners = &status(&resolution, "edge").listeners;
        let conditions = &listeners
            .iter()
            .find(|it| it.name == name)
            .unwrap()
            .conditions;
        let overlap = conditions
            .iter()
            .find(|it| it.r#type == "OverlappingTLSConfig");
        overlap.map(|it| (it.status, it.reason.clone()))
    };
    let overlaps = Some((ConditionStatus::True, "OverlappingHostnames".to_owned()));
    assert_eq!(overlapping("wild"), overlaps);
    assert_eq!(overlapping("exact"), overlaps);
    for name in ["apart", "elsewhere", "http"] {
        assert_eq!(overlapping(name), None, "{name}");
    }
}

#[test]
fn a_renewal_touches_nothing_but_the_listener() {
    let tls = json!({"certificateRefs": [{"name": "cert"}]});
    let edge = gateway(
        "edge",
        json!([{"name": "https", "port": 443, "protocol": "HTTPS", "tls": tls}]),
    );
    let rules = json!([{"backendRefs": []}]);
    let first = resources(&[edge, route("route", rules), secret("cert", "a.example.com")]);
    let mut memo = Memo::default();
    let before = resolve(&first, &context(), &mut memo).plan;
    let mut renewed = first.clone();
    crate::fixtures::insert(&mut renewed, &secret("cert", "a.example.com"));
    let after = resolve(&renewed, &context(), &mut memo).plan;
    let certificate = |plan: &Plan| -> Arc<Certificate> {
        let tls = plan.listeners[0].tls.as_ref().unwrap();
        Arc::clone(&tls.certificates[0])
    };
    assert_ne!(
        certificate(&before).fingerprints,
        certificate(&after).fingerprints
    );
    assert!(Arc::ptr_eq(
        &before.listeners[0].hosts[0],
        &after.listeners[0].hosts[0]
    ));
    assert_eq!(
        after,
        resolve(&renewed, &context(), &mut Memo::default()).plan
    );
    // Without the Secret the listener is gone, and with it the route's place.
    let mut gone = renewed.clone();
    gone.secrets.clear();
    let plan = resolve(&gone, &context(), &mut memo).plan;
    assert!(plan.listeners.is_empty());
    assert_eq!(resolve(&renewed, &context(), &mut memo).plan, after);
}

#[test]
fn a_plan_shows_no_key() {
    let cert = secret("cert", "a.example.com");
    let key = cert["stringData"]["tls.key"].as_str().unwrap();
    let resolution = https(
        json!({"certificateRefs": [{"name": "cert"}]}),
        std::slice::from_ref(&cert),
    );
    let shown = serde_json::to_string(&resolution.plan).unwrap();
    let all = format!("{shown}{:?}{:?}", resolution.plan, resolution);
    assert!(!all.contains(&key.lines().nth(1).unwrap()[..30]));
    assert!(
        shown.contains("\"name\":\"Secret/ns/cert\"") && shown.contains("fingerprints"),
        "{shown}"
    );
    assert!(
        !shown.contains("\"key\"") && !shown.contains("\"chain\""),
        "{shown}"
    );
}

/// A ConfigMap with the certificate of an authority.
fn authority(name: &str) -> Value {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap().pem();
    json!({"kind": "ConfigMap", "metadata": {"name": name}, "data": {"ca.crt": certificate}})
}

#[test]
fn clients_are_held_against_authorities_or_nobody_is_let_in() {
    let validation = |refs: Value| json!({"validation": {"caCertificateRefs": refs}});
    let of = |name: &str| json!({"group": "", "kind": "ConfigMap", "name": name});
    let far = json!({"group": "", "kind": "ConfigMap", "name": "ca", "namespace": "far"});
    let secret_ref = json!({"group": "", "kind": "Secret", "name": "ca"});
    let empty = json!({"kind": "ConfigMap", "metadata": {"name": "empty"}, "data": {"other": ""}});
    let broken =
        json!({"kind": "ConfigMap", "metadata": {"name": "broken"}, "data": {"ca.crt": "no PEM"}});
    let no_ca = |reason: &str| {
        format!("!Accepted(NoValidCACertificate) !ResolvedRefs({reason}) !Programmed(Invalid)")
    };
    let per_port = |port: u16, of: Value| json!({"default": validation(json!([{"group": "", "kind": "ConfigMap", "name": "absent"}])), "perPort": [{"port": port, "tls": of}]});
    // (frontend, conditions of the listener on port 443, authorities that clients there are held against)
    let cases: [(Value, String, Option<usize>); 12] = [
        (
            json!({"default": validation(json!([of("ca")]))}),
            FINE.to_owned(),
            Some(1),
        ),
        (
            json!({"default": validation(json!([of("ca"), of("other")]))}),
            FINE.to_owned(),
            Some(2),
        ),
        (json!({"default": {}}), FINE.to_owned(), None),
        (
            json!({"default": validation(json!([of("absent")]))}),
            no_ca("InvalidCACertificateRef"),
            None,
        ),
        (
            json!({"default": validation(json!([of("empty")]))}),
            no_ca("InvalidCACertificateRef"),
            None,
        ),
        (
            json!({"default": validation(json!([of("broken")]))}),
            no_ca("InvalidCACertificateRef"),
            None,
        ),
        (
            json!({"default": validation(json!([secret_ref]))}),
            no_ca("InvalidCACertificateKind"),
            None,
        ),
        (
            json!({"default": validation(json!([far]))}),
            no_ca("RefNotPermitted"),
            None,
        ),
        (
            json!({"default": validation(json!([of("absent"), of("ca")]))}),
            "Accepted !ResolvedRefs(InvalidCACertificateRef) Programmed".to_owned(),
            Some(1),
        ),
        (
            per_port(443, validation(json!([of("ca")]))),
            FINE.to_owned(),
            Some(1),
        ),
        (per_port(443, json!({})), FINE.to_owned(), None),
        (
            per_port(8443, validation(json!([of("ca")]))),
            no_ca("InvalidCACertificateRef"),
            None,
        ),
    ];
    for (frontend, conditions, count) in cases {
        let mut edge = gateway(
            "edge",
            json!([
                {"name": "https", "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "cert"}]}},
                {"name": "http", "port": 80, "protocol": "HTTP"},
            ]),
        );
        edge["spec"]["tls"] = json!({"frontend": frontend});
        let documents = [
            edge,
            secret("cert", "a.example.com"),
            authority("ca"),
            authority("other"),
            empty.clone(),
            broken.clone(),
        ];
        let resolution = resolved(&documents);
        let status = status(&resolution, "edge");
        assert_eq!(listener(status, "https"), conditions, "{frontend}");
        assert_eq!(listener(status, "http"), FINE, "{frontend}");
        let tls = resolution
            .plan
            .listeners
            .iter()
            .find_map(|it| it.tls.clone());
        let clients = tls.and_then(|it| it.clients.as_ref().map(|it| it.authorities.len()));
        assert_eq!(clients, count, "{frontend}");
    }
}

#[test]
fn letting_in_anybody_is_said() {
    let validation = |mode: &str| json!({"validation": {"mode": mode, "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "ca"}]}});
    for (mode, expected) in [("AllowValidOnly", false), ("AllowInsecureFallback", true)] {
        for frontend in [
            json!({"default": validation(mode)}),
            json!({"default": {}, "perPort": [{"port": 443, "tls": validation(mode)}]}),
        ] {
            let mut edge = gateway(
                "edge",
                json!([{"name": "http", "port": 80, "protocol": "HTTP"}]),
            );
            edge["spec"]["tls"] = json!({"frontend": frontend});
            let resolution = resolved(&[edge, authority("ca")]);
            let conditions = &status(&resolution, "edge").conditions;
            let said = conditions.iter().any(|it| {
                it.r#type == "InsecureFrontendValidationMode" && it.reason == "ConfigurationChanged"
            });
            assert_eq!(said, expected, "{frontend}");
            let warned = resolution
                .diagnostics
                .iter()
                .any(|it| it.id == "insecure-client-validation");
            assert_eq!(warned, expected, "{frontend}");
        }
    }
}

#[test]
fn another_authority_is_another_plan() {
    let mut edge = gateway(
        "edge",
        json!([{"name": "https", "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "cert"}]}}]),
    );
    edge["spec"]["tls"] = json!({"frontend": {"default": {"validation": {"caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "ca"}]}}}});
    let first = resources(&[edge, secret("cert", "a.example.com"), authority("ca")]);
    let mut memo = Memo::default();
    let before = resolve(&first, &context(), &mut memo).plan;
    let mut second = first.clone();
    crate::fixtures::insert(&mut second, &authority("ca"));
    let after = resolve(&second, &context(), &mut memo).plan;
    assert_ne!(before.listeners[0].tls, after.listeners[0].tls);
    assert_eq!(
        after,
        resolve(&second, &context(), &mut Memo::default()).plan
    );
}
