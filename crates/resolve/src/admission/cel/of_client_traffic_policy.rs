//! The rules of ClientTrafficPolicy in CEL.

use super::{GROUP_HOLDS, Rule, rule};

/// The rules of ClientTrafficPolicy.
pub(crate) const CLIENT_TRAFFIC_POLICY: &[Rule] = &[
    rule(
        "",
        "has(self.targetRef) != has(self.targetRefs) || (has(self.targetSelectors) && self.targetSelectors.size() > 0)",
        "either targetRef or targetRefs must be used",
    ),
    rule(
        "",
        "!has(self.targetRef) || self.targetRef.group == 'gateway.networking.k8s.io'",
        "this policy can only have a targetRef.group of gateway.networking.k8s.io",
    ),
    rule(
        "",
        "!has(self.targetRef) || self.targetRef.kind in ['Gateway', 'ListenerSet']",
        "this policy can only have a targetRef.kind of Gateway or ListenerSet",
    ),
    rule(
        "",
        "!has(self.targetRefs) || self.targetRefs.all(it, it.group == 'gateway.networking.k8s.io')",
        "this policy can only have a targetRefs[*].group of gateway.networking.k8s.io",
    ),
    rule(
        "",
        "!has(self.targetRefs) || self.targetRefs.all(it, it.kind in ['Gateway', 'ListenerSet'])",
        "this policy can only have a targetRefs[*].kind of Gateway or ListenerSet",
    ),
    rule(
        "targetSelectors[]",
        GROUP_HOLDS,
        "group must be gateway.networking.k8s.io",
    ),
    rule(
        "targetSelectors[].namespaces",
        "!has(self.from) || self.from != 'Selector' || has(self.selector)",
        "selector must be specified when from is Selector",
    ),
    rule(
        "clientIPDetection",
        "(has(self.xForwardedFor) ? 1 : 0) + (has(self.customHeader) ? 1 : 0) + (has(self.directSourceIP) ? 1 : 0) == 1",
        "exactly one of xForwardedFor, customHeader, or directSourceIP must be set",
    ),
    rule(
        "clientIPDetection.xForwardedFor",
        "has(self.numTrustedHops) != has(self.trustedCIDRs)",
        "only one of numTrustedHops or trustedCIDRs must be set",
    ),
    rule(
        "connection.connectionLimit",
        "!has(self.closeDelay) || has(self.value)",
        "closeDelay can only be configured when value is set",
    ),
    rule(
        "headers",
        "!(has(self.preserveXRequestID) && has(self.requestID))",
        "preserveXRequestID and requestID cannot both be set.",
    ),
    rule(
        "headers.xForwardedClientCert",
        "!has(self.certDetailsToAdd) || self.certDetailsToAdd.size() == 0 \
         || (has(self.mode) && self.mode in ['AppendForward', 'SanitizeSet'])",
        "certDetailsToAdd can only be set when mode is AppendForward or SanitizeSet",
    ),
    rule(
        "http2.connectionKeepalive",
        "!has(self.timeout) || !has(self.interval) || duration(self.timeout) < duration(self.interval)",
        "timeout must be less than interval",
    ),
    rule(
        "tls",
        "!has(self.minVersion) || self.minVersion != '1.3' || !has(self.ciphers)",
        "setting ciphers has no effect if the minimum possible TLS version is 1.3",
    ),
    rule(
        "tls",
        "!has(self.maxVersion) || self.maxVersion == 'Auto' || (has(self.minVersion) && self.minVersion == 'Auto') \
         || (has(self.minVersion) ? self.minVersion : '1.2') <= self.maxVersion",
        "minVersion must be smaller or equal to maxVersion",
    ),
    rule(
        "tls.clientValidation",
        "!has(self.allowExpiredCertificate) || !self.allowExpiredCertificate || !has(self.mode) \
         || self.mode in ['VerifyIfGiven', 'RequireAndVerify']",
        "allowExpiredCertificate can only be set when mode is VerifyIfGiven or RequireAndVerify",
    ),
];
