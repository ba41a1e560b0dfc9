//! The settings of a listener's clients that nobody wrote, as their author would have written them. A test holds them
//! against what a policy comes to that says nothing.

use serde_json::{Value, json};

use crate::diagnostics::FieldPath;
use crate::explain::in_force::{Applying, Source};

/// What a field is where nobody wrote it.
enum Is {
    Text(&'static str),
    Number(u64),
    Flag(bool),
    Empty,
}

use Is::{Empty, Flag, Number, Text};

/// The fields that always mean something. Where another field of the same first word says it in another way, as in
/// `clientIPDetection`, that word is named.
const DEFAULTS: &[(&str, &str, Is)] = &[
    (
        "clientIPDetection",
        "clientIPDetection.directSourceIP",
        Empty,
    ),
    ("", "connection.bufferLimit", Number(32_768)),
    ("", "headers.enableEnvoyHeaders", Flag(false)),
    (
        "headers.preserveXRequestID",
        "headers.requestID",
        Text("Generate"),
    ),
    ("", "headers.withUnderscoresAction", Text("RejectRequest")),
    ("", "headers.xForwardedClientCert.mode", Text("Sanitize")),
    ("", "http1.enableTrailers", Flag(true)),
    ("", "http2.initialConnectionWindowSize", Text("1Mi")),
    ("", "http2.initialStreamWindowSize", Text("64Ki")),
    ("", "http2.maxConcurrentStreams", Number(100)),
    ("", "path.disableMergeSlashes", Flag(false)),
    ("", "path.escapedSlashesAction", Text("UnescapeAndRedirect")),
    ("", "scheme", Text("Preserve")),
    ("", "timeout.http.idleTimeout", Text("1h")),
    ("", "timeout.tcp.connectionInspectionTimeout", Text("15s")),
];

/// The defaults of the fields that these settings leave out.
pub(crate) fn of_absent(settings: &[Applying]) -> Vec<Applying> {
    let written = |path: &str| settings.iter().any(|it| it.field.is_within(path));
    let absent = DEFAULTS
        .iter()
        .filter(|(other, field, _)| !written(field) && (other.is_empty() || !written(other)));
    absent
        .map(|(_, field, value)| Applying {
            field: FieldPath::new(*field),
            value: value.written(),
            from: Source::Default,
        })
        .collect()
}

impl Is {
    fn written(&self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            Self::Number(number) => json!(number),
            Self::Flag(flag) => json!(flag),
            Self::Empty => json!({}),
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_plan::ClientPolicy;

    use super::*;
    use crate::fixtures::{gateway, resolved};

    #[test]
    fn they_are_what_a_policy_comes_to_that_says_nothing() {
        let mut spec = json!({});
        for Applying { field, value, .. } in of_absent(&[]) {
            let mut at = &mut spec;
            for step in field.as_str().split('.') {
                at = &mut at[step];
            }
            *at = value;
        }
        let target =
            json!([{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "edge"}]);
        for mut spec in [spec, json!({})] {
            spec["targetRefs"] = target.clone();
            let resolution = resolved(&[
                gateway(
                    "edge",
                    json!([{"name": "http", "port": 80, "protocol": "HTTP"}]),
                ),
                json!({"kind": "ClientTrafficPolicy", "metadata": {"name": "c"}, "spec": spec}),
            ]);
            let client = resolution.plan.listeners[0].client.as_deref().cloned();
            let client = client.map(|it| ClientPolicy { origin: None, ..it });
            assert_eq!(client, Some(ClientPolicy::DEFAULT), "{spec}");
        }
    }
}
