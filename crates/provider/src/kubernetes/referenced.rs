//! Which Secrets and ConfigMaps an object refers to, so that no others need be read.
//!
//! References are found by their form and not by their place: the engine decides what becomes of them, and one that it
//! does not follow costs a reading.

use serde_json::Value;
use weir_plan::NamespacedName;

/// References that are followed of one object.
const MAX_OF_AN_OBJECT: usize = 1_000;

/// A Secret or ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reference {
    /// `Secret` or `ConfigMap`.
    pub(crate) kind: &'static str,
    pub(crate) name: NamespacedName,
}

/// What the `spec` of an object in `namespace` refers to.
pub(crate) fn references(spec: &Value, namespace: &str) -> Vec<Reference> {
    let mut found = Vec::new();
    walk(spec, "", namespace, &mut found);
    found.sort();
    found.dedup();
    found
}

fn walk(value: &Value, field: &str, namespace: &str, found: &mut Vec<Reference>) {
    match value {
        Value::Object(fields) => {
            let text = |name: &str| fields.get(name).and_then(Value::as_str);
            let kind = match text("kind") {
                Some("Secret") => Some("Secret"),
                Some("ConfigMap") => Some("ConfigMap"),
                // References to Secrets may leave their kind out.
                None if field.ends_with("Ref") || field.ends_with("Refs") => Some("Secret"),
                Some(_) | None => None,
            };
            if let (Some(kind), Some(name)) = (kind, text("name"))
                && found.len() < MAX_OF_AN_OBJECT
            {
                let namespace = text("namespace").unwrap_or(namespace);
                let name = NamespacedName::new(namespace, name);
                found.push(Reference { kind, name });
            }
            for (field, value) in fields {
                walk(value, field, namespace, found);
            }
        }
        Value::Array(items) => items
            .iter()
            .for_each(|it| walk(it, field, namespace, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_are_found_wherever_they_stand() {
        let spec = json!({
            "listeners": [{"tls": {"certificateRefs": [{"name": "cert"}, {"kind": "Secret", "name": "b", "namespace": "certs"}]}}],
            "responseOverride": [{"response": {"body": {"valueRef": {"group": "", "kind": "ConfigMap", "name": "page"}}}}],
            "rules": [{"backendRefs": [{"kind": "Service", "name": "shop", "port": 80}]}],
            "name": "no reference",
        });
        let found: Vec<String> = references(&spec, "ns")
            .into_iter()
            .map(|Reference { kind, name }| format!("{kind} {name}"))
            .collect();
        assert_eq!(
            found,
            ["ConfigMap ns/page", "Secret certs/b", "Secret ns/cert"]
        );
    }

    #[test]
    fn references_of_one_object_are_bounded() {
        let many: Vec<Value> = (0..2_000).map(|n| json!({"name": n.to_string()})).collect();
        let found = references(&json!({"certificateRefs": many}), "ns");
        assert_eq!(found.len(), MAX_OF_AN_OBJECT);
    }
}
