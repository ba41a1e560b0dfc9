//! What is wrong with the settings of ClientTrafficPolicies, where a listener looks at them, and what has no effect on any.

use std::collections::BTreeMap;

use serde_json::Value;

use super::claims::{Claims, object_ref};
use super::listeners::Used;
use super::lower::{Lowered, OF_CONNECTIONS, TLS};
use crate::attach::PolicyId;
use crate::diagnostics::{Diagnostics, FieldPath};
use crate::features::Fault;

/// What the listeners that have a policy are like.
#[derive(Clone, Copy, Default)]
pub(super) struct Reach {
    /// Whether one is for HTTP.
    pub(super) http: bool,
    /// Whether one speaks TLS.
    pub(super) tls: bool,
    /// Whether one asks clients for certificates.
    pub(super) certificates: bool,
}

/// Says what is wrong with settings, and what has no effect.
pub(super) fn report(
    lowered: &BTreeMap<PolicyId, Lowered>,
    reaches: &BTreeMap<PolicyId, Reach>,
    used: &Used,
    claims: &Claims,
    found: &mut Diagnostics,
) {
    for (id, Lowered { faults, .. }) in lowered {
        let object = object_ref(&claims.policies[*id].name.name);
        let reach = reaches.get(id).copied().unwrap_or_default();
        let seen = |feature: &str| match feature {
            TLS => reach.tls,
            other => reach.http || OF_CONNECTIONS.contains(&other),
        };
        let mut fatal = false;
        for Fault {
            feature: _,
            field,
            text,
            fatal: is_fatal,
        } in faults.list.iter().filter(|it| seen(it.feature))
        {
            let field = FieldPath::new("spec").join(field);
            fatal |= is_fatal;
            if *is_fatal {
                found.error(&object, field, "invalid-policy", text);
            } else {
                found.warning(&object, field, "setting-ignored", text);
            }
        }
        // What depends on the listener is no fault of the settings by themselves.
        if !fatal {
            let told = used.by_policy.get(id).into_iter().flatten();
            for (listener, invalid) in told {
                if let Some(why) = invalid {
                    let text = format!("on listener {}: {why}", listener.plan_name());
                    found.error(&object, FieldPath::new("spec"), "invalid-policy", text);
                }
            }
        }
        let settings = &claims.policies[*id].settings;
        for (field, text) in in_vain(settings, reach) {
            let field = FieldPath::new("spec").join(field);
            found.warning(&object, field, "setting-ignored", text);
        }
    }
}

/// Fields that only listeners for HTTP look at.
const OF_HTTP: [&str; 8] = [
    "clientIPDetection",
    "headers",
    "healthCheck",
    "http1",
    "http2",
    "path",
    "scheme",
    "timeout.http",
];
/// Fields that only listeners with TLS look at.
const OF_TLS: [&str; 2] = ["tls", "timeout.tcp.tlsHandshakeTimeout"];

/// The settings that do nothing on any listener that has the policy, and why.
fn in_vain(settings: &Value, reach: Reach) -> Vec<(&'static str, &'static str)> {
    let Reach {
        http,
        tls,
        certificates,
    } = reach;
    let get = |path: &str| {
        let value = FieldPath::new(path).in_value(settings);
        value.filter(|it| !it.is_null())
    };
    let is_set = |path: &&str| get(path).is_some();
    let mut all = Vec::new();
    let mut add = |fields: &[&'static str], text| {
        let fields = fields.iter().filter(|it| is_set(it));
        all.extend(fields.map(|it| (*it, text)));
    };
    if !http {
        let text = "no listener that has the policy is for HTTP";
        add(&OF_HTTP, text);
    }
    if !tls {
        let text = "no listener that has the policy speaks TLS";
        add(&OF_TLS, text);
    }
    if is_set(&"proxyProtocol") {
        let text = "proxyProtocol takes its place";
        add(&["enableProxyProtocol"], text);
    }
    if is_set(&"tls.clientValidation.mode") {
        let text = "mode takes its place";
        add(&["tls.clientValidation.optional"], text);
    }
    let mode = get("headers.xForwardedClientCert.mode").and_then(Value::as_str);
    let by_certificate = ["ForwardOnly", "AppendForward", "SanitizeSet"];
    if http && !certificates && mode.is_some_and(|it| by_certificate.contains(&it)) {
        let text = "no listener that has the policy asks clients for certificates (tls.clientValidation), so that the header is removed";
        add(&["headers.xForwardedClientCert.mode"], text);
    }
    let hops = get("clientIPDetection.xForwardedFor.numTrustedHops").and_then(Value::as_i64);
    if hops.is_some_and(|it| it <= 0) {
        let text = "no hop is trusted, as where nothing is written; the client is whoever connects";
        add(&["clientIPDetection.xForwardedFor.numTrustedHops"], text);
    }
    all
}
