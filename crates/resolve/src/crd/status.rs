//! The status of each kind, which controllers write: no part of admission, and the same in every definition.

use serde_json::{Value, json};

/// A policy has a status for each of its ancestors, as the Gateway API has it (GEP-713).
pub(super) fn of_policy() -> Value {
    let text = |most: usize, description: &str| json!({"type": "string", "minLength": 1, "maxLength": most, "description": description});
    json!({
        "type": "object",
        "description": "What became of the policy.",
        "required": ["ancestors"],
        "properties": {
            "ancestors": {
                "type": "array",
                "maxItems": 16,
                "description": "What became of it under each ancestor: a Gateway, a listener, or a route.",
                "items": {
                    "type": "object",
                    "required": ["ancestorRef", "conditions", "controllerName"],
                    "properties": {
                        "ancestorRef": {
                            "type": "object",
                            "description": "The ancestor.",
                            "required": ["name"],
                            "properties": {
                                "group": {"type": "string", "maxLength": 253, "description": "Its group."},
                                "kind": text(63, "Its kind."),
                                "namespace": text(63, "Its namespace."),
                                "name": text(253, "Its name."),
                                "sectionName": text(253, "A section of it."),
                                "port": {
                                    "type": "integer",
                                    "format": "int32",
                                    "minimum": 1,
                                    "maximum": 65535,
                                    "description": "A port of it.",
                                },
                            },
                        },
                        "controllerName": text(253, "Who says so."),
                        "conditions": conditions("What is the case there."),
                    },
                },
            },
        },
    })
}

/// A Backend has conditions.
pub(super) fn of_backend() -> Value {
    json!({
        "type": "object",
        "description": "What became of the Backend.",
        "properties": {"conditions": conditions("What is the case.")},
    })
}

/// Conditions as `meta/v1` has them, one of each type.
fn conditions(description: &str) -> Value {
    json!({
        "type": "array",
        "maxItems": 8,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "description": description,
        "items": {
            "type": "object",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "type": {"type": "string", "maxLength": 316, "description": "What it is about."},
                "status": {"type": "string", "enum": ["True", "False", "Unknown"], "description": "Whether it is the case."},
                "observedGeneration": {
                    "type": "integer",
                    "format": "int64",
                    "minimum": 0,
                    "description": "The generation of the object that it is about.",
                },
                "lastTransitionTime": {
                    "type": "string",
                    "format": "date-time",
                    "description": "When it last became another.",
                },
                "reason": {"type": "string", "minLength": 1, "maxLength": 1024, "description": "Why, in one word."},
                "message": {"type": "string", "maxLength": 32768, "description": "Why, for people."},
            },
        },
    })
}
