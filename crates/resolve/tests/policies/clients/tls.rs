//! TLS by ClientTrafficPolicies: versions, ciphers, and which clients are let in.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::{answers, client, findings, listener, told};
use crate::resolved_from;

/// A certificate that could be an authority's as well, its key, and an empty list of what it revoked.
static CERTIFICATE: LazyLock<[String; 3]> = LazyLock::new(|| {
    use rcgen::{
        BasicConstraints, CertificateParams, CertificateRevocationListParams, IsCa, Issuer,
        KeyIdMethod, KeyPair, KeyUsagePurpose, SerialNumber, date_time_ymd,
    };
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["a.example.com".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::CrlSign, KeyUsagePurpose::KeyCertSign];
    let certificate = params.self_signed(&key).unwrap().pem();
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2024, 1, 1),
        next_update: date_time_ymd(2034, 1, 1),
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let pem = key.serialize_pem();
    let list = list.signed_by(&Issuer::new(params, key)).unwrap();
    [certificate, pem, list.pem().unwrap()]
});

fn indented(pem: &str) -> String {
    pem.lines().map(|it| format!("\n    {it}")).collect()
}

/// A Secret with a certificate and its key.
pub(super) fn secret(name: &str) -> String {
    let [certificate, key, _] = &*CERTIFICATE;
    format!(
        "
---
apiVersion: v1
kind: Secret
metadata: {{name: {name}, namespace: shop}}
type: kubernetes.io/tls
stringData:
  tls.crt: |{}
  tls.key: |{}
",
        indented(certificate),
        indented(key)
    )
}

/// A Secret or ConfigMap with entries.
fn holder(kind: &str, name: &str, namespace: &str, entries: &[(&str, &str)]) -> String {
    let field = if kind == "Secret" {
        "stringData"
    } else {
        "data"
    };
    let entries: String = entries
        .iter()
        .map(|(name, text)| format!("\n  {name}: |{}", indented(text)))
        .collect();
    format!(
        "
---
apiVersion: v1
kind: {kind}
metadata: {{name: {name}, namespace: {namespace}}}
{field}:{entries}
"
    )
}

fn base() -> String {
    let base = crate::BASE.replace(
        "{name: http, protocol: HTTP, port: 80,",
        "{name: http, protocol: HTTPS, port: 443, tls: {certificateRefs: [{name: cert}]},",
    );
    format!("{base}{}", secret("cert"))
}

fn tls(spec: &str) -> Value {
    let resolution = resolved_from(
        &base(),
        &client("c", "Gateway edge#http", &format!("tls: {{{spec}}}")),
    );
    let tls = listener(&resolution, "http").tls.as_ref();
    serde_json::to_value(tls.unwrap_or_else(|| panic!("{spec}"))).unwrap()
}

#[test]
fn settings_take_the_place_of_the_listeners() {
    let default = tls("");
    // (what is written, what it comes to: field of the plan, value)
    for (spec, field, expected) in [
        ("minVersion: '1.3'", "min_version", json!("1.3")),
        ("minVersion: Auto", "min_version", json!("1.2")),
        ("minVersion: '1.0'", "min_version", json!("1.2")),
        ("maxVersion: '1.2'", "max_version", json!("1.2")),
        (
            "ciphers: [ECDHE-RSA-AES128-GCM-SHA256]",
            "ciphers",
            json!(["ECDHE-RSA-AES128-GCM-SHA256"]),
        ),
        (
            "ciphers: ['[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]', AES128-SHA]",
            "ciphers",
            json!([
                "ECDHE-ECDSA-AES128-GCM-SHA256",
                "ECDHE-ECDSA-CHACHA20-POLY1305"
            ]),
        ),
        (
            "ecdhCurves: [P-256, X25519]",
            "curves",
            json!(["P-256", "X25519"]),
        ),
        ("alpnProtocols: [http/1.1]", "alpn", json!(["http/1.1"])),
        ("alpnProtocols: []", "alpn", json!([])),
    ] {
        let tls = tls(spec);
        assert_eq!(tls[field], expected, "{spec}: {tls:#}");
        for (name, value) in tls.as_object().unwrap() {
            assert!(
                name == field || default[name] == *value,
                "{spec} changes {name}"
            );
        }
    }
}

#[test]
fn who_is_let_in() {
    let [ca, _, crl] = &*CERTIFICATE;
    let holders = [
        holder("Secret", "ca", "shop", &[("ca.crt", ca), ("ca.crl", crl)]),
        holder("ConfigMap", "ca", "shop", &[("ca.crt", ca)]),
        holder(
            "Secret",
            "broken",
            "shop",
            &[("ca.crt", "no certificate"), ("ca.crl", "no list")],
        ),
        holder(
            "ConfigMap",
            "broken",
            "shop",
            &[("ca.crt", "no certificate")],
        ),
        holder("Secret", "empty", "shop", &[("other", "x")]),
        holder("Secret", "ca", "far", &[("ca.crt", ca)]),
        holder("Secret", "ca", "granted", &[("ca.crt", ca)]),
        "
---
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: g, namespace: granted}
spec:
  from: [{group: gateway.envoyproxy.io, kind: ClientTrafficPolicy, namespace: shop}]
  to: [{group: '', kind: Secret}]
"
        .to_owned(),
    ]
    .concat();
    let ca = "caCertificateRefs: [{name: ca}]";
    // (what is written, the mode and the number of authorities, or why the policy is invalid)
    let cases = [
        (ca.to_owned(), Ok(("AllowValidOnly", 1))),
        (format!("{ca}, optional: true"), Ok(("VerifyIfGiven", 1))),
        (
            format!("{ca}, mode: RequireAndVerify"),
            Ok(("AllowValidOnly", 1)),
        ),
        (
            format!("{ca}, mode: VerifyIfGiven"),
            Ok(("VerifyIfGiven", 1)),
        ),
        ("mode: RequireAny".to_owned(), Ok(("RequireAny", 0))),
        ("mode: Request".to_owned(), Ok(("AllowInsecureFallback", 0))),
        (
            "caCertificateRefs: [{name: ca}, {kind: ConfigMap, name: ca}]".to_owned(),
            Ok(("AllowValidOnly", 2)),
        ),
        (
            "caCertificateRefs: [{name: ca, namespace: granted}]".to_owned(),
            Ok(("AllowValidOnly", 1)),
        ),
        (
            String::new(),
            Err("there are no caCertificateRefs to hold the certificates of clients against"),
        ),
        (
            "caCertificateRefs: [{name: ca, namespace: far}]".to_owned(),
            Err("certificate ref to secret far/ca not permitted by any ReferenceGrant"),
        ),
        (
            "caCertificateRefs: [{name: gone}]".to_owned(),
            Err("secret shop/gone does not exist"),
        ),
        (
            "caCertificateRefs: [{name: empty}]".to_owned(),
            Err("caCertificateRef not found in secret empty"),
        ),
        (
            "caCertificateRefs: [{name: broken}]".to_owned(),
            Err("invalid certificate in secret broken: "),
        ),
        (
            "caCertificateRefs: [{kind: ConfigMap, name: broken}]".to_owned(),
            Err("invalid certificate in configmap broken: "),
        ),
        (
            "caCertificateRefs: [{kind: Service, name: ca}]".to_owned(),
            Err("unsupported caCertificateRef kind:Service"),
        ),
        (
            format!("{ca}, crl: {{refs: [{{name: ca}}], onlyVerifyLeafCertificate: true}}"),
            Ok(("AllowValidOnly", 1)),
        ),
        (
            format!("{ca}, crl: {{refs: [{{name: broken}}]}}"),
            Err("invalid crl in secret broken: "),
        ),
        (
            format!("{ca}, subjectAltNames: {{dnsNames: [{{value: a}}]}}"),
            Ok(("AllowValidOnly", 1)),
        ),
        (
            format!("{ca}, subjectAltNames: {{otherNames: [{{oid: 1.2.3, value: a}}]}}"),
            Err("otherNames cannot be enforced"),
        ),
        (
            format!("{ca}, certificateHashes: [ab]"),
            Err("invalid CertificateHashes value ab"),
        ),
        (
            format!("{ca}, spkiHashes: [ab]"),
            Err("invalid SPKIHashes value ab"),
        ),
    ];
    for (spec, expected) in cases {
        let policy = client(
            "c",
            "Gateway edge#http",
            &format!("tls: {{clientValidation: {{{spec}}}}}"),
        );
        let resolution = resolved_from(&base(), &format!("{holders}{policy}"));
        let said = told(&resolution, "c");
        match expected {
            Ok((mode, authorities)) => {
                let accepted = "Gateway edge#http: Accepted=True Accepted";
                assert_eq!(said[0], accepted, "{spec}");
                let clients = listener(&resolution, "http")
                    .tls
                    .as_ref()
                    .unwrap()
                    .clients
                    .as_ref()
                    .unwrap();
                let found = (format!("{:?}", clients.mode), clients.authorities.len());
                assert_eq!(found, (mode.to_owned(), authorities), "{spec}");
            }
            Err(why) => {
                let expected = format!("Gateway edge#http: Accepted=False Invalid TLS: {why}");
                assert!(said[0].starts_with(&expected), "{spec}: {said:?}");
                assert_eq!(answers(&resolution, "http"), [500, 500, 500], "{spec}");
            }
        }
    }
}

#[test]
fn what_is_not_spoken_is_told() {
    // (what is written, the findings)
    for (spec, expected) in [
        (
            "ciphers: [AES128-SHA, ECDHE-RSA-AES128-GCM-SHA256]",
            vec!["setting-ignored spec.tls.ciphers[0]"],
        ),
        (
            "ciphers: ['[ECDHE-RSA-AES128-GCM-SHA256|ECDHE-RSA-AES256-GCM-SHA384]', AES128-SHA]",
            vec!["setting-ignored spec.tls.ciphers[1]"],
        ),
        (
            "ciphers: [AES128-SHA]",
            vec![
                "invalid-policy spec.tls.ciphers",
                "setting-ignored spec.tls.ciphers[0]",
            ],
        ),
        (
            "maxVersion: '1.1', minVersion: '1.0'",
            vec!["invalid-policy spec.tls.maxVersion"],
        ),
    ] {
        let policy = client("c", "Gateway edge#http", &format!("tls: {{{spec}}}"));
        let resolution = resolved_from(&base(), &policy);
        assert_eq!(findings(&resolution, "c"), expected, "{spec}");
    }
    // On a listener without TLS, nobody looks at it.
    let policy = client(
        "c",
        "Gateway edge#other",
        "tls: {maxVersion: '1.1', minVersion: '1.0'}",
    );
    let resolution = resolved_from(&base(), &policy);
    assert_eq!(findings(&resolution, "c"), ["setting-ignored spec.tls"]);
    assert_eq!(
        told(&resolution, "c"),
        ["Gateway edge#other: Accepted=True Accepted"]
    );
    assert_eq!(answers(&resolution, "other"), [0, 0]);
}

#[test]
fn what_has_no_effect_where_the_policy_is_is_told() {
    let detail = "headers: {xForwardedClientCert: {mode: SanitizeSet}}";
    let certificates = format!("{detail}, tls: {{clientValidation: {{mode: RequireAny}}}}");
    // (target, what is written, the findings)
    for (target, spec, expected) in [
        (
            "edge#other",
            "tls: {}, timeout: {tcp: {tlsHandshakeTimeout: 1s}}",
            vec!["timeout.tcp.tlsHandshakeTimeout", "tls"],
        ),
        (
            "edge",
            "tls: {}, timeout: {tcp: {tlsHandshakeTimeout: 1s}}",
            vec![],
        ),
        (
            "edge#http",
            detail,
            vec!["headers.xForwardedClientCert.mode"],
        ),
        ("edge#http", &certificates, vec![]),
        (
            "edge#http",
            "headers: {xForwardedClientCert: {mode: AlwaysForwardOnly}}",
            vec![],
        ),
        (
            "edge#http",
            "proxyProtocol: {}, enableProxyProtocol: true",
            vec!["enableProxyProtocol"],
        ),
        (
            "edge#http",
            "tls: {clientValidation: {mode: RequireAny, optional: true}}",
            vec!["tls.clientValidation.optional"],
        ),
        (
            "edge",
            "clientIPDetection: {xForwardedFor: {numTrustedHops: 0}}",
            vec!["clientIPDetection.xForwardedFor.numTrustedHops"],
        ),
        (
            "low",
            "scheme: MatchBackend, http2: {}, timeout: {http: {idleTimeout: 1s}, tcp: {idleTimeout: 1s}}",
            vec!["http2", "scheme", "timeout.http"],
        ),
    ] {
        let policy = client("c", &format!("Gateway {target}"), spec);
        let resolution = resolved_from(&base(), &format!("{}{policy}", crate::TCP));
        let expected: Vec<String> = expected
            .iter()
            .map(|it| format!("setting-ignored spec.{it}"))
            .collect();
        assert_eq!(findings(&resolution, "c"), expected, "{target}: {spec}");
    }
}
