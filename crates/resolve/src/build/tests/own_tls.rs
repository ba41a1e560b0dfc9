//! What Backends say about TLS, and the certificates that Gateways show to backends.

use serde_json::{Value, json};
use weir_plan::{AlpnProtocol, NamespacedName, Trust, UpstreamProtocol, UpstreamServerName};

use crate::fixtures::{
    context, edge, insert, object, resolved, resources, route, route_conditions, service, short,
    to_backend, to_service,
};
use crate::{Memo, Resolution, resolve};

/// A certificate and its key in PEM.
fn pair() -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    (certificate, key.serialize_pem())
}

fn config_map(name: &str) -> Value {
    json!({"kind": "ConfigMap", "metadata": {"name": name}, "data": {"ca.crt": pair().0}})
}

/// A Secret with an authority.
fn authority(name: &str) -> Value {
    json!({"kind": "Secret", "metadata": {"name": name}, "type": "Opaque", "stringData": {"ca.crt": pair().0}})
}

/// A Secret with a certificate.
fn certificate(name: &str) -> Value {
    let (certificate, key) = pair();
    json!({"kind": "Secret", "metadata": {"name": name}, "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": certificate, "tls.key": key}})
}

fn backend(protocols: &Value, tls: &Value) -> Value {
    json!({"kind": "Backend", "metadata": {"name": "be"}, "spec": {
        "endpoints": [{"ip": {"address": "10.0.0.1", "port": 1}}], "appProtocols": protocols, "tls": tls}})
}

fn policy(validation: &Value) -> Value {
    json!({"kind": "BackendTLSPolicy", "metadata": {"name": "p"}, "spec": {
        "targetRefs": [{"group": "gateway.envoyproxy.io", "kind": "Backend", "name": "be"}], "validation": validation}})
}

fn to_be() -> Value {
    route("r", json!([{"backendRefs": [to_backend("be")]}]))
}

/// What is spoken to the one cluster: whom it trusts, its name, the versions, protocols and the certificate.
fn spoken(resolution: &Resolution) -> String {
    let Some(cluster) = resolution.plan.clusters.values().next() else {
        return "nothing".to_owned();
    };
    let Some(tls) = &cluster.tls else {
        return format!("{:?}", cluster.protocol);
    };
    let trust = match &tls.trust {
        Trust::Authorities(all) => format!("{} authorities", all.len()),
        Trust::System => "system".to_owned(),
        Trust::Anybody => "anybody".to_owned(),
    };
    let name = match &tls.server_name {
        UpstreamServerName::Fixed(name) => name.to_string(),
        UpstreamServerName::OfEndpoint => "its own".to_owned(),
    };
    let certificate = tls
        .certificate
        .as_ref()
        .map_or("none", |it| it.name.as_str());
    format!(
        "{trust}, {name}, {:?}-{:?}, {} ciphers, {} curves, {:?}, {certificate}",
        tls.min_version,
        tls.max_version,
        tls.ciphers.len(),
        tls.curves.len(),
        cluster.protocol
    )
}

#[test]
fn a_backend_says_whom_to_trust_or_is_not_accepted() {
    let ca = |kind: &str, name: &str| json!({"caCertificateRefs": [{"group": "", "kind": kind, "name": name}]});
    let usual = "V1_2-V1_3, 6 ciphers, 3 curves, Negotiated, none";
    let system = |more: Value| {
        let mut tls = json!({"wellKnownCACertificates": "System"});
        for (key, value) in more.as_object().unwrap() {
            tls[key] = value.clone();
        }
        tls
    };
    let untrusting = "must specify either CACertificateRefs or WellKnownCACertificates when InsecureSkipVerify is unset or false";
    let cases = [
        (
            ca("ConfigMap", "ca"),
            Ok(format!("1 authorities, its own, {usual}")),
        ),
        (
            ca("Secret", "ca"),
            Ok(format!("1 authorities, its own, {usual}")),
        ),
        (
            ca("ConfigMap", "absent"),
            Err("configmap absent not found in namespace ns"),
        ),
        (
            ca("Secret", "absent"),
            Err("secret absent not found in namespace ns"),
        ),
        (
            ca("ConfigMap", "empty"),
            Err("no ca found in configmap empty"),
        ),
        (ca("Secret", "cert"), Err("no ca found in secret cert")),
        (
            ca("ClusterTrustBundle", "ca"),
            Err(
                "CA certificate ref ca is to a ClusterTrustBundle; only ConfigMaps and Secrets are read",
            ),
        ),
        (system(json!({})), Ok(format!("system, its own, {usual}"))),
        (
            json!({"wellKnownCACertificates": "x.io/y"}),
            Err("wellKnownCACertificates \"x.io/y\" is unknown; System is the one that is read"),
        ),
        (
            json!({"insecureSkipVerify": true}),
            Ok(format!("anybody, its own, {usual}")),
        ),
        (json!({}), Err(untrusting)),
        (json!({"insecureSkipVerify": false}), Err(untrusting)),
        (
            system(json!({"sni": "A.org"})),
            Ok(format!("system, a.org, {usual}")),
        ),
        (
            system(json!({"minVersion": "1.3"})),
            Ok("system, its own, V1_3-V1_3, 6 ciphers, 3 curves, Negotiated, none".to_owned()),
        ),
        (
            system(
                json!({"minVersion": "1.0", "maxVersion": "1.2", "ciphers": ["[ECDHE-RSA-AES128-GCM-SHA256|AES128-SHA]", "none"], "ecdhCurves": ["P-256"]}),
            ),
            Ok("system, its own, V1_2-V1_2, 1 ciphers, 1 curves, Negotiated, none".to_owned()),
        ),
        (
            system(json!({"maxVersion": "1.1"})),
            Err("maxVersion \"1.1\": there is no version that could be spoken; 1.2 and 1.3 are"),
        ),
        (
            system(json!({"ciphers": ["AES128-SHA"]})),
            Err("ciphers: none of AES128-SHA can be spoken"),
        ),
        (
            system(json!({"ecdhCurves": ["P-521"]})),
            Err("ecdhCurves: none of P-521 can be spoken"),
        ),
        (
            system(json!({"alpnProtocols": ["spdy"]})),
            Err("alpnProtocols: \"spdy\" is not spoken; h2, http/1.1 and http/1.0 are"),
        ),
        (
            system(json!({"signatureAlgorithms": ["x"]})),
            Err("tls.signatureAlgorithms is not supported"),
        ),
        (
            system(json!({"clientCertificateRef": {"name": "cert"}})),
            Ok(
                "system, its own, V1_2-V1_3, 6 ciphers, 3 curves, Negotiated, Secret/ns/cert"
                    .to_owned(),
            ),
        ),
        (
            system(json!({"clientCertificateRef": {"name": "absent"}})),
            Err(
                "failed to locate TLS secret for client auth: ns/absent specified in Backend ns/be",
            ),
        ),
        (
            system(json!({"clientCertificateRef": {"name": "cert", "namespace": "far"}})),
            Err(
                "ClientCertificateRef Secret is not located in the same namespace as Backend. Secret namespace: far does not match Backend namespace: ns",
            ),
        ),
        (
            system(json!({"clientCertificateRef": {"name": "ca"}})),
            Err("clientCertificateRef: Secret ns/ca is not of type kubernetes.io/tls"),
        ),
    ];
    for (tls, expected) in cases {
        let resolution = resolved(&[
            edge(),
            backend(&json!([]), &tls),
            to_be(),
            config_map("ca"),
            json!({"kind": "ConfigMap", "metadata": {"name": "empty"}}),
            authority("ca"),
            certificate("cert"),
        ]);
        let condition = &resolution.statuses.backends[&object("Backend", "be").name][0];
        match expected {
            Ok(expected) => {
                assert_eq!(condition.reason, "Accepted", "{tls}: {}", condition.message);
                assert_eq!(spoken(&resolution), expected, "{tls}");
            }
            Err(why) => {
                let message = format!("The Backend was not accepted: {why}");
                assert_eq!(condition.message, message, "{tls}");
                assert_eq!(spoken(&resolution), "nothing", "{tls}");
                assert_eq!(
                    route_conditions(&resolution, "HTTPRoute", "r"),
                    ["Accepted", "!ResolvedRefs(InvalidBackendTLS)"],
                    "{tls}"
                );
            }
        }
    }
}

#[test]
fn a_policy_says_who_a_backend_is_before_the_backend_does() {
    let own = json!({"insecureSkipVerify": true, "sni": "own.org", "minVersion": "1.3", "clientCertificateRef": {"name": "cert"}});
    let by_policy = json!({"hostname": "policy.org", "wellKnownCACertificates": "System"});
    let broken = json!({"hostname": "policy.org", "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "absent"}]});
    let rest = "V1_3-V1_3, 6 ciphers, 3 curves, Negotiated, Secret/ns/cert";
    // (tls of the Backend, validation of the policy, what is spoken)
    let cases = [
        (
            own.clone(),
            json!(null),
            format!("anybody, own.org, {rest}"),
        ),
        (
            own.clone(),
            by_policy.clone(),
            format!("system, policy.org, {rest}"),
        ),
        (own, broken, "nothing".to_owned()),
        // Without anybody to trust of its own, it leaves that to the policy.
        (
            json!({"minVersion": "1.3"}),
            by_policy,
            "system, policy.org, V1_3-V1_3, 6 ciphers, 3 curves, Negotiated, none".to_owned(),
        ),
    ];
    for (tls, validation, expected) in cases {
        let mut documents = vec![
            edge(),
            backend(&json!([]), &tls),
            to_be(),
            certificate("cert"),
        ];
        if !validation.is_null() {
            documents.push(policy(&validation));
        }
        assert_eq!(
            spoken(&resolved(&documents)),
            expected,
            "{tls} {validation}"
        );
    }
}

#[test]
fn what_is_spoken_within_tls_is_said_or_chosen() {
    use AlpnProtocol::{H2, Http10, Http11};
    use UpstreamProtocol::{Http1, Http2, Negotiated};
    let named = |name: &str| json!([format!("gateway.envoyproxy.io/{name}")]);
    let both = ["h2", "http/1.1"];
    // (kind of route, appProtocols, alpnProtocols, what is spoken, what is offered)
    let cases = [
        (
            "HTTPRoute",
            json!([]),
            json!(null),
            Some((Negotiated, vec![H2, Http11])),
        ),
        (
            "HTTPRoute",
            json!([]),
            json!(["http/1.1", "h2"]),
            Some((Negotiated, vec![Http11, H2])),
        ),
        (
            "HTTPRoute",
            json!([]),
            json!(["h2"]),
            Some((Http2, vec![H2])),
        ),
        (
            "HTTPRoute",
            json!([]),
            json!(["http/1.0"]),
            Some((Http1, vec![Http10])),
        ),
        ("HTTPRoute", json!([]), json!([]), Some((Http1, vec![]))),
        (
            "HTTPRoute",
            named("h2c"),
            json!(null),
            Some((Http2, vec![H2])),
        ),
        (
            "HTTPRoute",
            named("h2c"),
            json!(both),
            Some((Http2, vec![H2])),
        ),
        ("HTTPRoute", named("h2c"), json!([]), Some((Http2, vec![]))),
        ("HTTPRoute", named("h2c"), json!(["http/1.1"]), None),
        (
            "HTTPRoute",
            named("wss"),
            json!(null),
            Some((Http1, vec![Http11])),
        ),
        (
            "HTTPRoute",
            named("ws"),
            json!(both),
            Some((Http1, vec![Http11])),
        ),
        (
            "HTTPRoute",
            named("wss"),
            json!(["h2"]),
            Some((Http1, vec![Http11])),
        ),
        ("GRPCRoute", json!([]), json!(null), Some((Http2, vec![H2]))),
        ("GRPCRoute", json!([]), json!(both), Some((Http2, vec![H2]))),
        ("GRPCRoute", json!([]), json!(["http/1.1"]), None),
    ];
    for (kind, protocols, alpn, expected) in cases {
        let tls = json!({"insecureSkipVerify": true, "alpnProtocols": alpn});
        let mut route = to_be();
        route["kind"] = json!(kind);
        let resolution = resolved(&[edge(), backend(&protocols, &tls), route]);
        let cluster = resolution.plan.clusters.values().next();
        let found = cluster.map(|it| (it.protocol, it.tls.as_ref().unwrap().alpn.clone()));
        assert_eq!(found, expected, "{kind} {protocols} {alpn}");
    }
}

/// A Gateway that shows what this refers to.
fn showing(reference: &Value) -> Value {
    let mut gateway = edge();
    gateway["spec"]["tls"] = json!({"backend": {"clientCertificateRef": reference}});
    gateway
}

fn grant() -> Value {
    json!({"kind": "ReferenceGrant", "metadata": {"name": "g", "namespace": "far"}, "spec": {
        "from": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": "ns"}],
        "to": [{"group": "", "kind": "Secret"}]}})
}

#[test]
fn a_gateway_shows_a_certificate_to_backends_or_says_why_not() {
    let mut far = certificate("cert");
    far["metadata"]["namespace"] = json!("far");
    let insecure = json!({"insecureSkipVerify": true});
    let own = json!({"insecureSkipVerify": true, "clientCertificateRef": {"name": "own"}});
    let across = json!({"name": "cert", "namespace": "far"});
    let fine = "Accepted Programmed ResolvedRefs";
    let bad = "Accepted Programmed !ResolvedRefs(InvalidClientCertificateRef)";
    // (the reference, tls of the Backend, what else there is, conditions of the Gateway, the certificate)
    let cases = [
        (
            json!({"name": "cert"}),
            &insecure,
            vec![certificate("cert")],
            fine,
            "Secret/ns/cert",
        ),
        (
            json!({"name": "cert", "kind": "Secret", "group": ""}),
            &insecure,
            vec![certificate("cert")],
            fine,
            "Secret/ns/cert",
        ),
        (
            json!({"name": "cert"}),
            &own,
            vec![certificate("cert")],
            fine,
            "Secret/ns/own",
        ),
        (json!({"name": "cert"}), &insecure, vec![], bad, "none"),
        (
            json!({"name": "cert"}),
            &insecure,
            vec![authority("cert")],
            bad,
            "none",
        ),
        (
            json!({"name": "cert", "kind": "ConfigMap"}),
            &insecure,
            vec![certificate("cert")],
            bad,
            "none",
        ),
        (
            across.clone(),
            &insecure,
            vec![far.clone()],
            "Accepted Programmed !ResolvedRefs(RefNotPermitted)",
            "none",
        ),
        (
            across,
            &insecure,
            vec![far, grant()],
            fine,
            "Secret/far/cert",
        ),
    ];
    for (reference, tls, more, conditions, shown) in cases {
        let mut documents = vec![
            showing(&reference),
            backend(&json!([]), tls),
            to_be(),
            certificate("own"),
        ];
        documents.extend(more);
        let resolution = resolved(&documents);
        let status = &resolution.statuses.gateways[&NamespacedName::new("ns", "edge")];
        assert_eq!(
            short(&status.conditions).join(" "),
            conditions,
            "{reference}"
        );
        let found = spoken(&resolution);
        assert!(found.ends_with(shown), "{reference}: {found}");
        let said = resolution.diagnostics.iter().filter(|it| {
            it.id == "invalid-certificate-ref" && it.object == object("Gateway", "edge")
        });
        assert_eq!(said.count(), usize::from(shown == "none"), "{reference}");
    }
}

#[test]
fn backends_in_clear_text_are_shown_nothing() {
    let resolution = resolved(&[
        showing(&json!({"name": "cert"})),
        certificate("cert"),
        service("s"),
        route("r", json!([{"backendRefs": [to_service("s")]}])),
    ]);
    assert_eq!(spoken(&resolution), "Http1");
}

#[test]
fn an_edit_of_what_is_referred_to_reaches_clusters_and_statuses() {
    let own = json!({"caCertificateRefs": [{"group": "", "kind": "Secret", "name": "ca"}]});
    let mut world = resources(&[
        showing(&json!({"name": "cert"})),
        backend(&json!([]), &own),
        to_be(),
    ]);
    let mut memo = Memo::default();
    let mut plans = Vec::new();
    for edit in [
        None,
        Some(authority("ca")),
        Some(certificate("cert")),
        Some(authority("ca")),
        Some(certificate("cert")),
        Some(policy(
            &json!({"hostname": "a.org", "wellKnownCACertificates": "System"}),
        )),
    ] {
        if let Some(edit) = &edit {
            insert(&mut world, edit);
        }
        let kept = resolve(&world, &context(), &mut memo);
        let fresh = resolve(&world, &context(), &mut Memo::default());
        assert!(
            kept.plan == fresh.plan && kept.statuses == fresh.statuses,
            "{edit:?}"
        );
        assert!(
            plans.last() != Some(&kept.plan),
            "{edit:?} changes the plan"
        );
        plans.push(kept.plan);
    }
}
