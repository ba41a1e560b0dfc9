//! From one document to one object: which kinds are read, which fields they have, and what is wrong with it.

mod secret;
mod values;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use weir_plan::NamespacedName;

use crate::admission::pattern::{is_hostname, is_label};
use crate::admission::{self, Violation};
use crate::api::envoy_proxy::EnvoyProxySpec;
use crate::api::{
    BackendTrafficPolicy, ClientTrafficPolicy, EnvoyProxy, GATEWAY_GROUP, ObjectMeta, POLICY_GROUP,
};
use crate::diagnostics::{
    Diagnostic, Diagnostics, FieldPath, MAX_FINDINGS_OF_AN_OBJECT, ObjectRef, Severity,
};
use crate::features::routing_type::RoutingType;
use crate::object::{DISCOVERY_GROUP, Object, OtherPolicy, Reading};
use crate::strict::{self, UnknownField};
use crate::suggestion::{suggest, unknown_field};
use values::{is_larger_than, whole_numbers};

/// The group of what is experimental in the Gateway API.
const EXPERIMENTAL_GROUP: &str = "gateway.networking.x-k8s.io";

/// Values that the settings of a policy may have, objects and lists included. Each is kept several times with its place and its author,
/// which takes a few kilobytes where it stands in an object by itself. A cluster bounds objects as well, by their bytes.
const MAX_POLICY_VALUES: usize = 50_000;

/// How much of an object is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Admission {
    /// All that an API server would.
    Whole,
    /// Types only, as Go programs read files.
    None,
}

/// The kinds of our groups, those that are not read included; for suggestions.
const KINDS: [(&str, &[&str]); 3] = [
    (
        GATEWAY_GROUP,
        &[
            "GatewayClass",
            "Gateway",
            "ListenerSet",
            "HTTPRoute",
            "GRPCRoute",
            "TCPRoute",
            "TLSRoute",
            "UDPRoute",
            "ReferenceGrant",
            "BackendTLSPolicy",
        ],
    ),
    (
        POLICY_GROUP,
        &[
            "Backend",
            "BackendTrafficPolicy",
            "SecurityPolicy",
            "ClientTrafficPolicy",
            "EnvoyExtensionPolicy",
            "EnvoyPatchPolicy",
            "HTTPRouteFilter",
        ],
    ),
    (
        EXPERIMENTAL_GROUP,
        &["XBackendTrafficPolicy", "XListenerSet", "XMesh"],
    ),
];

/// Reads one object from a document.
pub(crate) fn read(document: Value, admission: Admission) -> Reading {
    let unnamed = ObjectRef {
        group: String::new(),
        kind: String::new(),
        name: NamespacedName::new("", ""),
    };
    let Value::Object(mut fields) = document else {
        let message =
            "not an object of Kubernetes: expected a mapping with apiVersion, kind and metadata";
        return Err(vec![error(&unnamed, "", "wrong-type", message)]);
    };
    fields.values_mut().for_each(whole_numbers);
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let missing = ["apiVersion", "kind"]
        .into_iter()
        .filter(|name| text(name).is_empty());
    let missing: Vec<_> = missing
        .map(|name| {
            error(
                &unnamed,
                name,
                "missing-field",
                &format!("not an object of Kubernetes: {name} is missing"),
            )
        })
        .collect();
    if !missing.is_empty() {
        return Err(missing);
    }

    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let metadata = |name: &str| {
        fields
            .get("metadata")
            .and_then(|it| it.get(name))
            .and_then(Value::as_str)
    };
    let cluster_wide = matches!(
        (group, kind),
        (GATEWAY_GROUP, "GatewayClass") | ("", "Namespace")
    );
    let namespace = match metadata("namespace") {
        _ if cluster_wide => "",
        None | Some("") => "default",
        Some(namespace) => namespace,
    };
    let name = NamespacedName::new(namespace, metadata("name").unwrap_or_default());
    let object = ObjectRef {
        group: group.to_owned(),
        kind: kind.to_owned(),
        name,
    };
    let version = version.to_owned();
    let reader = Reader {
        object,
        version,
        fields,
        admission,
        found: Diagnostics::default(),
    };

    match (reader.object.group.as_str(), reader.object.kind.as_str()) {
        (GATEWAY_GROUP, "GatewayClass") => reader.typed(Object::GatewayClass),
        (GATEWAY_GROUP, "Gateway") => reader.typed(Object::Gateway),
        (GATEWAY_GROUP, "ListenerSet") => reader.typed(Object::ListenerSet),
        (GATEWAY_GROUP, "HTTPRoute") => reader.typed(Object::HttpRoute),
        (GATEWAY_GROUP, "GRPCRoute") => reader.typed(Object::GrpcRoute),
        (GATEWAY_GROUP, "TCPRoute") => reader.typed(Object::TcpRoute),
        (GATEWAY_GROUP, "TLSRoute") => reader.typed(Object::TlsRoute),
        (GATEWAY_GROUP, "UDPRoute") => reader.typed(Object::UdpRoute),
        (GATEWAY_GROUP, "BackendTLSPolicy") => reader.typed(Object::BackendTlsPolicy),
        (GATEWAY_GROUP, "ReferenceGrant") => reader.typed(Object::ReferenceGrant),
        ("", "Namespace") => reader.typed(Object::Namespace),
        ("", "Service") => reader.typed(Object::Service),
        (DISCOVERY_GROUP, "EndpointSlice") => reader.typed(Object::EndpointSlice),
        ("", "ConfigMap") => reader.typed(Object::ConfigMap),
        ("", "Secret") => reader.secret(),
        (POLICY_GROUP, "Backend") => reader.typed(Object::Backend),
        (POLICY_GROUP, "EnvoyProxy") => reader.envoy_proxy(),
        (POLICY_GROUP, "HTTPRouteFilter") => reader.typed(Object::HttpRouteFilter),
        (POLICY_GROUP, "BackendTrafficPolicy") => reader.policy(),
        (POLICY_GROUP, "ClientTrafficPolicy") => reader.client_policy(),
        (POLICY_GROUP, "SecurityPolicy" | "EnvoyExtensionPolicy" | "EnvoyPatchPolicy")
        | (EXPERIMENTAL_GROUP, "XBackendTrafficPolicy") => reader.other_policy(),
        (GATEWAY_GROUP | POLICY_GROUP | EXPERIMENTAL_GROUP, _) => reader.not_read(),
        _ => Ok((None, Vec::new())),
    }
}

fn error(object: &ObjectRef, field: &str, id: &'static str, message: &str) -> Diagnostic {
    let (object, field, message) = (object.clone(), FieldPath::new(field), message.to_owned());
    Diagnostic {
        object,
        field,
        severity: Severity::Error,
        id,
        message,
    }
}

/// One document on its way to an object.
struct Reader {
    object: ObjectRef,
    version: String,
    fields: Map<String, Value>,
    admission: Admission,
    found: Diagnostics,
}

impl Reader {
    /// An object whose type says what it may contain.
    fn typed<T: DeserializeOwned>(mut self, wrap: fn(Arc<T>) -> Object) -> Reading {
        self.prepare();
        let mut document = Value::Object(std::mem::take(&mut self.fields));
        let object = self.strict::<T>(&document, &FieldPath::default());
        if self.admission == Admission::Whole && object.is_some() {
            let spec = document
                .get_mut("spec")
                .map(Value::take)
                .unwrap_or_default();
            let refused = match self.object.group.as_str() {
                GATEWAY_GROUP => admission::gateway_api::check(&self.object.kind, &spec),
                POLICY_GROUP if self.object.kind == "Backend" => admission::backend::check(&spec),
                POLICY_GROUP => admission::http_route_filter::check(&spec),
                _ => Vec::new(),
            };
            self.refuse(refused);
        }
        self.finish(object.map(|it| wrap(Arc::new(it))))
    }

    /// A policy of ours.
    fn policy(mut self) -> Reading {
        self.prepare();
        if let Some(spec) = self.fields.get_mut("spec") {
            values::lengthen_local_limit(spec);
        }
        let written = self.written(admission::policy::check, admission::policy::fold_case);
        let policy = written.map(|(metadata, spec)| BackendTrafficPolicy { metadata, spec });
        self.finish(policy.map(|it| Object::BackendTrafficPolicy(Arc::new(it))))
    }

    /// A policy of ours for clients.
    fn client_policy(mut self) -> Reading {
        use admission::client_traffic_policy::{check, fold_case};
        self.prepare();
        let written = self.written(check, fold_case);
        let policy = written.map(|(metadata, spec)| ClientTrafficPolicy { metadata, spec });
        self.finish(policy.map(|it| Object::ClientTrafficPolicy(Arc::new(it))))
    }

    /// The metadata and the spec of a policy, which stays as written; none: they cannot be used.
    fn written(
        &mut self,
        check: fn(&Value) -> Vec<Violation>,
        fold_case: fn(&mut Value),
    ) -> Option<(ObjectMeta, Value)> {
        let metadata = self.metadata();
        let mut spec = self.fields.remove("spec").unwrap_or_default();
        self.unknown_at_the_top();
        let fine = match self.admission {
            Admission::Whole => {
                // What admission lets through and no type of ours holds, such as a count below 0, makes the policy
                // invalid, as it does in a cluster.
                let refused = check(&spec);
                let fine = refused.is_empty();
                self.refuse(refused);
                fine
            }
            Admission::None => {
                fold_case(&mut spec);
                true
            }
        };
        // Last, as what has too many of one thing has been told so.
        let mut left = MAX_POLICY_VALUES;
        let settings = spec.as_object().into_iter().flatten();
        let mut settings = settings.filter(|(name, _)| !name.starts_with("target"));
        if fine && settings.any(|(_, it)| is_larger_than(it, &mut left)) {
            let message = format!(
                "its settings have more than {MAX_POLICY_VALUES} values; write several policies"
            );
            let at = FieldPath::new("spec");
            self.found.error(&self.object, at, "too-large", message);
            return None;
        }
        Some((metadata?, spec))
    }

    /// A policy of a kind that is not enforced: only who it is and what it targets is of interest.
    fn other_policy(mut self) -> Reading {
        self.prepare();
        let spec = self.fields.remove("spec").unwrap_or_default();
        let annotations = self
            .fields
            .get("metadata")
            .and_then(|it| it.get("annotations"))
            .and_then(|it| BTreeMap::deserialize(it).ok())
            .unwrap_or_default();
        let object = self.object.clone();
        self.finish(Some(Object::OtherPolicy(Arc::new(OtherPolicy {
            object,
            spec,
            annotations,
        }))))
    }

    /// Most of it describes a deployment of Envoy, which has no effect here and is no fault.
    fn envoy_proxy(mut self) -> Reading {
        self.prepare();
        let spec = self.fields.remove("spec").unwrap_or_default();
        let metadata = self.metadata();
        let read = Option::<EnvoyProxySpec>::deserialize(&spec);
        for (field, value) in spec.as_object().into_iter().flatten() {
            if field != "routingType" && !value.is_null() {
                let message =
                    format!("{field} has no effect: it is about how Envoy is deployed or set up");
                let at = FieldPath::new("spec").child(field);
                self.found
                    .warning(&self.object, at, "not-enforced", message);
            }
        }
        let spec = match read {
            Ok(spec) => spec.unwrap_or_default(),
            Err(error) => {
                let at = FieldPath::new("spec");
                self.found
                    .error(&self.object, at, "wrong-type", error.to_string());
                return self.finish(None);
            }
        };
        if let Some(word) = &spec.routing_type
            && RoutingType::parse(word).is_none()
        {
            let message = format!("{word:?} is no routing type; use Service or Endpoint");
            let at = FieldPath::new("spec.routingType");
            self.found.error(&self.object, at, "not-admitted", message);
        }
        let proxy = metadata.map(|metadata| EnvoyProxy { metadata, spec });
        self.finish(proxy.map(|it| Object::EnvoyProxy(Arc::new(it))))
    }

    /// A kind of our groups that is not read, or that is not known at all.
    fn not_read(mut self) -> Reading {
        let ObjectRef { group, kind, .. } = self.object.clone();
        let known = KINDS
            .iter()
            .find(|(of, _)| *of == group)
            .map_or(&[][..], |(_, kinds)| kinds);
        let at = FieldPath::new("kind");
        if known.contains(&kind.as_str()) {
            let message = format!("{kind} is not read by this version: nothing in it takes effect");
            self.found.warning(&self.object, at, "not-read", message);
        } else if let Some(meant) = suggest(&kind, known.iter().copied()) {
            let message = format!("unknown kind {kind:?} in {group}: did you mean {meant:?}?");
            self.found.error(&self.object, at, "unknown-kind", message);
        } else {
            let message = format!("unknown kind {kind:?} in {group}: nothing in it takes effect");
            self.found
                .warning(&self.object, at, "unknown-kind", message);
        }
        self.finish(None)
    }

    /// Checks version and name, and puts the namespace in.
    fn prepare(&mut self) {
        let served: &[&str] = match self.object.group.as_str() {
            GATEWAY_GROUP => &["v1", "v1beta1", "v1alpha3", "v1alpha2"],
            POLICY_GROUP | EXPERIMENTAL_GROUP => &["v1alpha1"],
            _ => &["v1"],
        };
        if !served.contains(&self.version.as_str()) {
            let (group, version) = (&self.object.group, &self.version);
            let message = match &**group {
                "" => format!("unknown version {version:?}: write {}", served[0]),
                group => format!(
                    "unknown version {version:?} of {group}: write {group}/{}",
                    served[0]
                ),
            };
            self.found.error(
                &self.object,
                FieldPath::new("apiVersion"),
                "unknown-version",
                message,
            );
        }
        self.check_name();
        self.fields.remove("status");
        if let Some(metadata) = self
            .fields
            .get_mut("metadata")
            .and_then(Value::as_object_mut)
        {
            match self.object.name.namespace.as_ref() {
                "" => drop(metadata.remove("namespace")),
                namespace => drop(metadata.insert("namespace".to_owned(), namespace.into())),
            }
        }
    }

    fn check_name(&mut self) {
        let NamespacedName { namespace, name } = &self.object.name;
        let at = FieldPath::new("metadata.name");
        if name.is_empty() {
            self.found.error(
                &self.object,
                at,
                "missing-field",
                "Required value: name is required",
            );
        } else if name.len() > 253 || !is_hostname(name) {
            let shown: String = name.chars().take(100).collect();
            let message = format!(
                "invalid name {shown:?}: it must consist of lower-case letters, digits, '-' and '.', start and end with \
                 a letter or digit, and have at most 253 characters"
            );
            self.found.error(&self.object, at, "invalid-name", message);
        }
        if !namespace.is_empty() && (namespace.len() > 63 || !is_label(namespace)) {
            let shown: String = namespace.chars().take(100).collect();
            let message = format!(
                "invalid namespace {shown:?}: it must consist of lower-case letters, digits and '-', start and end with a \
                 letter or digit, and have at most 63 characters"
            );
            self.found.error(
                &self.object,
                FieldPath::new("metadata.namespace"),
                "invalid-name",
                message,
            );
        }
    }

    /// The metadata alone.
    fn metadata(&mut self) -> Option<ObjectMeta> {
        let metadata = self
            .fields
            .remove("metadata")
            .unwrap_or_else(|| Value::Object(Map::new()));
        self.strict::<ObjectMeta>(&metadata, &FieldPath::new("metadata"))
    }

    /// Unknown fields beside `metadata` and `spec`, where these have been taken out.
    fn unknown_at_the_top(&mut self) {
        let fields = std::mem::take(&mut self.fields);
        for name in fields
            .keys()
            .filter(|name| !matches!(name.as_str(), "apiVersion" | "kind"))
        {
            let known = &["metadata", "spec"];
            self.unknown(UnknownField {
                at: FieldPath::new(name),
                name: name.clone(),
                known,
            });
        }
    }

    fn strict<T: DeserializeOwned>(&mut self, value: &Value, at: &FieldPath) -> Option<T> {
        let (result, unknown) = strict::read_all(value, at);
        for field in unknown {
            // Every object has these two; types that are one kind only do not mention them.
            if !(at.as_str().is_empty() && matches!(field.at.as_str(), "apiVersion" | "kind")) {
                self.unknown(field);
            }
        }
        match result {
            Ok(it) => Some(it),
            Err(mismatches) => {
                for mismatch in mismatches {
                    let (at, id, message) = match mismatch.missing() {
                        Some(at) => (at, "missing-field", "Required value".to_owned()),
                        None => (mismatch.at, "wrong-type", mismatch.message),
                    };
                    self.found.error(&self.object, at, id, message);
                }
                None
            }
        }
    }

    fn unknown(&mut self, field: UnknownField) {
        let UnknownField { at, name, known } = field;
        let message = unknown_field(&name, known.iter().copied());
        // What stands in the metadata is often written by tools, and changes nothing here.
        if self.admission == Admission::None || at.as_str().starts_with("metadata.") {
            self.found
                .warning(&self.object, at, "unknown-field", message);
        } else {
            self.found.error(&self.object, at, "unknown-field", message);
        }
    }

    fn refuse(&mut self, violations: Vec<Violation>) {
        for Violation { at, id, message } in violations {
            self.found.error(&self.object, at, id, message);
        }
    }

    fn finish(self, object: Option<Object>) -> Reading {
        let mut found = self.found.into_sorted();
        if found.len() >= MAX_FINDINGS_OF_AN_OBJECT {
            found.truncate(MAX_FINDINGS_OF_AN_OBJECT);
            let message = "there may be more findings about this object: mend these first";
            found.push(error(&self.object, "", "too-many-findings", message));
        }
        if found.iter().any(|it| it.severity == Severity::Error) {
            Err(found)
        } else {
            Ok((object, found))
        }
    }
}

#[cfg(test)]
mod tests;
