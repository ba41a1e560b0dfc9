//! Lints about Backends in TLS: who has no name, and who needs none.

use super::lints;

#[test]
fn endpoints_that_their_certificate_can_hardly_be_for() {
    let backend = |endpoints: &str, tls: &str| {
        format!(
            "\napiVersion: gateway.envoyproxy.io/v1alpha1\nkind: Backend\nmetadata: {{name: partner, namespace: shop}}\n\
             spec: {{endpoints: [{endpoints}], tls: {{{tls}}}}}\n---"
        )
    };
    let policy = "\napiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {name: who, namespace: shop}\n\
                  spec: {targetRefs: [{group: gateway.envoyproxy.io, kind: Backend, name: partner}], \
                  validation: {hostname: a.example, wellKnownCACertificates: System}}\n---";
    let system = "wellKnownCACertificates: System";
    let ip = "{ip: {address: 10.0.0.1, port: 443}}";
    let named = "{hostname: a.example, ip: {address: 10.0.0.1, port: 443}}";
    let skip = "insecureSkipVerify: true";
    let nameless = || vec!["partner nameless-endpoint spec.tls"];
    for (endpoints, tls, more, expected) in [
        (ip.to_owned(), system, "", nameless()),
        (format!("{named}, {ip}"), system, "", nameless()),
        ("{unix: {path: /run/a}}".to_owned(), system, "", nameless()),
        (
            ip.to_owned(),
            "wellKnownCACertificates: System, insecureSkipVerify: true",
            "",
            nameless(),
        ),
        (named.to_owned(), system, "", vec![]),
        (
            "{fqdn: {hostname: a.example, port: 443}}".to_owned(),
            system,
            "",
            vec![],
        ),
        (
            ip.to_owned(),
            "wellKnownCACertificates: System, sni: a.example",
            "",
            vec![],
        ),
        // Nobody looks, or a policy says who it is.
        (ip.to_owned(), skip, "", vec![]),
        (ip.to_owned(), "minVersion: '1.3'", policy, vec![]),
    ] {
        let documents = [backend(&endpoints, tls), more.to_owned()];
        assert_eq!(lints(&documents), expected, "{endpoints} {tls}");
    }
}
