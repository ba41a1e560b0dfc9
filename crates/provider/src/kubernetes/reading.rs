//! From what the API server sends to an object, or to what is wrong with it.

use kube_core::DynamicObject;
use serde_json::Value;
use weir_resolve::{Diagnostic, Object, Severity};

use super::kinds::Kind;
use crate::Finding;

/// The annotation in which `kubectl apply` keeps a copy of the object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Reads an object without its status; none: it cannot be read. The findings are what is wrong with it.
pub(crate) fn read(kind: &Kind, object: DynamicObject) -> (Option<Object>, Vec<Finding>) {
    let (object, found) = match Object::read_unadmitted(document(kind, object)) {
        Ok((object, found)) => (object, found),
        Err(found) => (None, found),
    };
    // A newer Kubernetes has fields in its own kinds that concern nobody here.
    let counts = |it: &Diagnostic| !kind.is_built_in() || it.severity == Severity::Error;
    let found = found.into_iter().filter(counts).map(finding).collect();
    (object, found)
}

/// The object as a document, without what changes at every writing and is not read.
fn document(kind: &Kind, object: DynamicObject) -> Value {
    let DynamicObject {
        types: _,
        mut metadata,
        data,
    } = object;
    metadata.managed_fields = None;
    metadata.resource_version = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove(LAST_APPLIED);
    }
    let Value::Object(mut fields) = data else {
        return Value::Null;
    };
    // What comes in a list does not say what it is.
    let api_version = kind.api_version(kind.versions[0]);
    fields.insert("apiVersion".into(), api_version.into());
    fields.insert("kind".into(), kind.kind.into());
    let metadata = serde_json::to_value(metadata).unwrap_or_default();
    fields.insert("metadata".into(), metadata);
    Value::Object(fields)
}

fn finding(diagnostic: Diagnostic) -> Finding {
    let Diagnostic {
        object,
        field,
        severity,
        id,
        message,
    } = diagnostic;
    Finding {
        location: None,
        severity,
        object: Some(object),
        field,
        id,
        message,
    }
}
