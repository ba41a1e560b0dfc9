//! CustomResourceDefinitions of our kinds, made from what [`crate::admission`] checks in files (structure, limits, rules)
//! and from what the API types say of themselves (descriptions).
//!
//! They carry no defaults: those are filled in after policies were merged, so that a policy overrides only what its
//! author wrote. Settings of a policy may be null, so that one that merges by JSONMerge can delete what it inherits.
//!
//! [`reference`] tells people the same, field by field.

pub mod reference;
mod status;
mod structure;
#[cfg(test)]
mod tests;

use serde_json::{Value, json};

use crate::admission::cel::{self, Rule};
use crate::admission::schema::Schema;
use crate::admission::{backend, client_traffic_policy, http_route_filter, policy};
use crate::api::POLICY_GROUP;
use crate::api::backend::BackendSpec;
use crate::api::client_traffic_policy::ClientTrafficPolicySpec;
use crate::api::http_route_filter::HttpRouteFilterSpec;
use crate::api::spec::BackendTrafficPolicySpec;
use structure::Describer;

/// A definition, and the name of the file that it goes by: `GROUP_PLURAL`.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// Such as `gateway.envoyproxy.io_backends`.
    pub name: String,
    /// The CustomResourceDefinition (`apiextensions.k8s.io/v1`).
    pub definition: Value,
}

/// The definitions of all kinds that are ours to define.
pub fn definitions() -> Vec<Definition> {
    KINDS.iter().map(definition).collect()
}

/// A kind, and what is known of it.
struct Kind {
    kind: &'static str,
    plural: &'static str,
    short: &'static str,
    description: &'static str,
    spec: &'static Schema,
    rules: &'static [Rule],
    described: fn() -> schemars::Schema,
    /// None: objects of the kind have no status.
    status: Option<fn() -> Value>,
    columns: fn() -> Value,
    /// The fields of the spec below which nothing may be null.
    never_null: Option<&'static [&'static str]>,
}

const KINDS: &[Kind] = &[
    Kind {
        kind: "BackendTrafficPolicy",
        plural: "backendtrafficpolicies",
        short: "btp",
        description: "How a gateway talks to the backends of what the policy targets.",
        spec: &policy::SPEC,
        rules: cel::POLICY,
        described: || schemars::schema_for!(BackendTrafficPolicySpec),
        status: Some(status::of_policy),
        columns: || json!([age()]),
        never_null: Some(&["targetRef", "targetRefs", "targetSelectors", "mergeType"]),
    },
    Kind {
        kind: "Backend",
        plural: "backends",
        short: "be",
        description: "Endpoints that are no Kubernetes Service.",
        spec: &backend::SPEC,
        rules: cel::BACKEND,
        described: || schemars::schema_for!(BackendSpec),
        status: Some(status::of_backend),
        columns: || {
            json!([
                {
                    "name": "Status",
                    "type": "string",
                    "jsonPath": ".status.conditions[?(@.type==\"Accepted\")].reason",
                },
                age(),
            ])
        },
        never_null: None,
    },
    Kind {
        kind: "HTTPRouteFilter",
        plural: "httproutefilters",
        short: "hrf",
        description: "What a rule of an HTTPRoute or GRPCRoute does beyond the filters of the Gateway API.",
        spec: &http_route_filter::SPEC,
        rules: cel::HTTP_ROUTE_FILTER,
        described: || schemars::schema_for!(HttpRouteFilterSpec),
        status: None,
        columns: || json!([age()]),
        never_null: None,
    },
    Kind {
        kind: "ClientTrafficPolicy",
        plural: "clienttrafficpolicies",
        short: "ctp",
        description: "How the listeners that the policy targets deal with their clients.",
        spec: &client_traffic_policy::SPEC,
        rules: cel::CLIENT_TRAFFIC_POLICY,
        described: || schemars::schema_for!(ClientTrafficPolicySpec),
        status: Some(status::of_policy),
        columns: || json!([age()]),
        never_null: None,
    },
];

fn age() -> Value {
    json!({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"})
}

fn definition(kind: &Kind) -> Definition {
    let Kind {
        kind: name,
        plural,
        short,
        description,
        spec,
        rules,
        described,
        status,
        columns,
        never_null,
    } = kind;
    let describer = Describer::new(described());
    let spec = structure::of(spec, rules, &describer, *never_null);
    let mut schema = json!({
        "description": description,
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": "The version of the kind's schema."},
            "kind": {"type": "string", "description": "The kind."},
            "metadata": {"type": "object"},
            "spec": spec,
        },
    });
    let mut subresources = json!({});
    if let Some(status) = status {
        schema["properties"]["status"] = status();
        subresources["status"] = json!({});
    }
    Definition {
        name: format!("{POLICY_GROUP}_{plural}"),
        definition: json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{POLICY_GROUP}")},
            "spec": {
                "group": POLICY_GROUP,
                "scope": "Namespaced",
                "names": {
                    "kind": name,
                    "listKind": format!("{name}List"),
                    "plural": plural,
                    "singular": name.to_ascii_lowercase(),
                    "shortNames": [short],
                    "categories": ["envoy-gateway"],
                },
                "versions": [{
                    "name": "v1alpha1",
                    "served": true,
                    "storage": true,
                    "subresources": subresources,
                    "additionalPrinterColumns": columns(),
                    "schema": {"openAPIV3Schema": schema},
                }],
            },
        }),
    }
}
