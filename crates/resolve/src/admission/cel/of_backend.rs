//! The rules of Backend in CEL.

use super::{Rule, rule};

/// The rules of Backend.
pub(crate) const BACKEND: &[Rule] = &[
    rule(
        "",
        "!has(self.type) || self.type != 'DynamicResolver' || !has(self.endpoints)",
        "DynamicResolver type cannot have endpoints specified",
    ),
    rule(
        "",
        "!has(self.type) || self.type != 'DynamicResolver' || !has(self.tls) || !has(self.tls.autoSNIFromEndpointHostname) \
         || !self.tls.autoSNIFromEndpointHostname",
        "DynamicResolver type cannot use autoSNIFromEndpointHostname",
    ),
    rule(
        "",
        "!has(self.tls) || !has(self.tls.autoSNIFromEndpointHostname) || !self.tls.autoSNIFromEndpointHostname \
         || !has(self.endpoints) || self.endpoints.all(it, has(it.fqdn) || has(it.hostname))",
        "when autoSNIFromEndpointHostname is enabled, IP and Unix endpoints must define a hostname",
    ),
    rule(
        "endpoints",
        "self.all(it, has(it.fqdn)) || self.all(it, !has(it.fqdn))",
        "fqdn addresses cannot be mixed with other address types",
    ),
    rule(
        "endpoints[]",
        "has(self.fqdn) || has(self.ip) || has(self.unix)",
        "one of fqdn, ip or unix must be specified",
    ),
    rule(
        "endpoints[]",
        "[has(self.fqdn), has(self.ip), has(self.unix)].filter(it, it).size() == 1",
        "only one of fqdn, ip or unix can be specified",
    ),
    rule(
        "endpoints[].unix.path",
        "self.size() <= 108",
        "unix domain socket path must not exceed 108 characters",
    ),
    rule(
        "tls",
        "!(has(self.caCertificateRefs) && self.caCertificateRefs.size() > 0 && has(self.wellKnownCACertificates))",
        "must not contain both CACertificateRefs and WellKnownCACertificates",
    ),
    rule(
        "tls",
        "!has(self.insecureSkipVerify) || !self.insecureSkipVerify || !((has(self.caCertificateRefs) && \
         self.caCertificateRefs.size() > 0) || has(self.wellKnownCACertificates))",
        "must not contain either CACertificateRefs or WellKnownCACertificates when InsecureSkipVerify is enabled",
    ),
    rule(
        "tls",
        "!(has(self.sni) && has(self.autoSNIFromEndpointHostname) && self.autoSNIFromEndpointHostname)",
        "sni and autoSNIFromEndpointHostname are mutually exclusive",
    ),
    rule(
        "tls",
        "!(has(self.minVersion) && self.minVersion == '1.3' && has(self.ciphers))",
        "setting ciphers has no effect if the minimum possible TLS version is 1.3",
    ),
    rule(
        "tls",
        "!has(self.maxVersion) || self.maxVersion == 'Auto' || {'Auto': 0, '1.0': 1, '1.1': 2, '1.2': 3, '1.3': 4}[\
         has(self.minVersion) ? self.minVersion : '1.2'] <= {'Auto': 0, '1.0': 1, '1.1': 2, '1.2': 3, '1.3': 4}[self.maxVersion]",
        "minVersion must be smaller or equal to maxVersion",
    ),
];
