//! Deprecated fields, with what to write instead.

use serde_json::Value;

use crate::attach::object_ref;
use crate::diagnostics::{Diagnostics, FieldPath};
use crate::resources::Resources;

pub(super) fn check(resources: &Resources, found: &mut Diagnostics) {
    for (name, policy) in &resources.policies {
        for (pointer, instead) in INSTEAD {
            if policy.spec.pointer(pointer).is_some_and(is_written) {
                let field = FieldPath::new(format!("spec{}", pointer.replace('/', ".")));
                let message = format!("this is deprecated: {instead}");
                found.warning(&object_ref(name), field, "deprecated-field", message);
            }
        }
    }
}

const INSTEAD: [(&str, &str); 5] = [
    ("/targetRef", "write a list with one item, `targetRefs`"),
    ("/compression", "write `compressor`, which takes the same"),
    (
        "/rateLimit/type",
        "leave it out; what stands in `global` and in `local` is in force",
    ),
    (
        "/loadBalancer/consistentHash/header",
        "write `type: Headers` and a list with one item, `headers`",
    ),
    ("/telemetry/tracing/customTags", "write `tags`"),
];

fn is_written(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(_) | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}
