//! The schema and the rules of Backend.

use serde_json::Value;

use super::policy::{GROUP, KIND, OBJECT_NAME};
use super::schema::Schema::{Bool, Integer, List, Object, Text, Words};
use super::schema::{self, Schema, TEXT, Unique, list, may, must, up_to};
use super::values::At;
use super::{Violation, judge, pattern};

/// What the API server would refuse in the spec of a Backend.
pub(crate) fn check(spec: &Value) -> Vec<Violation> {
    judge(spec, &SPEC, rules)
}

pub(crate) const SPEC: Schema = Object(&[
    may("type", Words(&["Endpoints", "DynamicResolver"])),
    may(
        "endpoints",
        List(&schema::List {
            items: ENDPOINT,
            least: 1,
            most: 256,
            unique: Unique::Nothing,
        }),
    ),
    may(
        "appProtocols",
        List(&list(Words(&[
            "gateway.envoyproxy.io/h2c",
            "gateway.envoyproxy.io/ws",
            "gateway.envoyproxy.io/wss",
        ]))),
    ),
    may("fallback", Bool),
    may("tls", TLS),
]);

const ENDPOINT: Schema = Object(&[
    may("hostname", Text(1, 253, Some(pattern::HOSTNAME))),
    may(
        "fqdn",
        Object(&[
            must("hostname", Text(1, 253, Some(pattern::FQDN))),
            must("port", PORT),
        ]),
    ),
    may(
        "ip",
        Object(&[must("address", ADDRESS), must("port", PORT)]),
    ),
    may("unix", Object(&[must("path", TEXT)])),
    may("zone", TEXT),
]);
const PORT: Schema = Integer(0, 65535);
const ADDRESS: Schema = Text(3, 45, Some(pattern::ADDRESS));
const TLS: Schema = Object(&[
    may(
        "caCertificateRefs",
        List(&up_to(
            8,
            Object(&[
                must("group", GROUP),
                must("kind", KIND),
                must("name", OBJECT_NAME),
            ]),
        )),
    ),
    may(
        "wellKnownCACertificates",
        Text(1, 253, Some(pattern::CA_SET)),
    ),
    may("insecureSkipVerify", Bool),
    may("sni", Text(1, 253, Some(pattern::HOSTNAME))),
    may("autoSNIFromEndpointHostname", Bool),
    may(
        "clientCertificateRef",
        Object(&[
            may("group", GROUP),
            may("kind", KIND),
            must("name", OBJECT_NAME),
            may("namespace", Text(1, 63, Some(pattern::LABEL))),
        ]),
    ),
    may("minVersion", Words(&VERSIONS)),
    may("maxVersion", Words(&VERSIONS)),
    may("ciphers", List(&list(TEXT))),
    may("ecdhCurves", List(&list(TEXT))),
    may("signatureAlgorithms", List(&list(TEXT))),
    may("alpnProtocols", List(&list(TEXT))),
    may("fingerprints", List(&list(Words(&["JA3", "JA4"])))),
]);
const VERSIONS: [&str; 5] = ["Auto", "1.0", "1.1", "1.2", "1.3"];

fn rules(spec: &At<'_>, found: &mut Vec<Violation>) {
    let dynamic = spec.text("type") == Some("DynamicResolver");
    let endpoints = spec.items_of("endpoints");
    spec.require(
        !(dynamic && spec.has("endpoints")),
        "DynamicResolver type cannot have endpoints specified",
        found,
    );
    if let Some(list) = spec.get("endpoints") {
        let names = endpoints.iter().filter(|it| it.has("fqdn")).count();
        let unmixed = names == 0 || names == endpoints.len();
        list.require(
            unmixed,
            "fqdn addresses cannot be mixed with other address types",
            found,
        );
    }
    for endpoint in &endpoints {
        let kinds = ["fqdn", "ip", "unix"]
            .iter()
            .filter(|name| endpoint.has(name))
            .count();
        endpoint.require(
            kinds > 0,
            "one of fqdn, ip or unix must be specified",
            found,
        );
        endpoint.require(
            kinds == 1,
            "only one of fqdn, ip or unix can be specified",
            found,
        );
        if let Some(path) = endpoint.follow(&["unix", "path"]) {
            let fits = path
                .as_text()
                .is_none_or(|path| path.chars().count() <= 108);
            path.require(
                fits,
                "unix domain socket path must not exceed 108 characters",
                found,
            );
        }
    }
    if let Some(tls) = spec.get("tls") {
        let auto_sni = tls.is_true("autoSNIFromEndpointHostname");
        let message = "DynamicResolver type cannot use autoSNIFromEndpointHostname";
        spec.require(!(dynamic && auto_sni), message, found);
        let named = endpoints
            .iter()
            .all(|it| it.has("fqdn") || it.has("hostname"));
        let message = "when autoSNIFromEndpointHostname is enabled, IP and Unix endpoints must define a hostname";
        spec.require(!auto_sni || named, message, found);
        tls_rules(&tls, auto_sni, found);
    }
}

fn tls_rules(tls: &At<'_>, auto_sni: bool, found: &mut Vec<Violation>) {
    let (refs, well_known) = (
        tls.has_items("caCertificateRefs"),
        tls.has("wellKnownCACertificates"),
    );
    let both = refs && well_known;
    tls.require(
        !both,
        "must not contain both CACertificateRefs and WellKnownCACertificates",
        found,
    );
    tls.require(
        !(tls.is_true("insecureSkipVerify") && (refs || well_known)),
        "must not contain either CACertificateRefs or WellKnownCACertificates when InsecureSkipVerify is enabled",
        found,
    );
    tls.require(
        !(tls.has("sni") && auto_sni),
        "sni and autoSNIFromEndpointHostname are mutually exclusive",
        found,
    );
    tls.require(
        !(tls.text("minVersion") == Some("1.3") && tls.has("ciphers")),
        "setting ciphers has no effect if the minimum possible TLS version is 1.3",
        found,
    );
    if let Some(most) = tls.text("maxVersion") {
        let rank = |version: &str| VERSIONS.iter().position(|it| *it == version);
        // `Auto` is the lowest of the one and the highest of the other; TLS 1.2 is where no least version is given.
        let least = rank(tls.text("minVersion").unwrap_or("1.2"));
        let ordered = most == "Auto" || least <= rank(most);
        tls.require(
            ordered,
            "minVersion must be smaller or equal to maxVersion",
            found,
        );
    }
}
