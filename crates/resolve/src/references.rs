//! ReferenceGrants: which references may cross from one namespace into another.

use weir_plan::NamespacedName;

use crate::api::ReferenceGrant;
use crate::resources::Objects;

/// The kind and namespace of an object that refers to another.
#[derive(Clone, Copy, Debug)]
pub struct Referrer<'a> {
    /// Its API group.
    pub group: &'a str,
    /// Its kind.
    pub kind: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
}

/// An object that is referred to.
#[derive(Clone, Copy, Debug)]
pub struct Referent<'a> {
    /// Its API group; empty for the core group.
    pub group: &'a str,
    /// Its kind.
    pub kind: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// Whether a reference is allowed: within one namespace always, else by a ReferenceGrant beside what is referred to.
pub fn permitted(grants: &Objects<ReferenceGrant>, from: Referrer<'_>, to: Referent<'_>) -> bool {
    from.namespace == to.namespace
        || grants
            .range(NamespacedName::new(to.namespace, "")..)
            .take_while(|(name, _)| *name.namespace == *to.namespace)
            .any(|(_, grant)| grants_it(grant, from, to))
}

fn grants_it(grant: &ReferenceGrant, from: Referrer<'_>, to: Referent<'_>) -> bool {
    let trusted =
        grant.spec.from.iter().any(|it| {
            it.group == from.group && it.kind == from.kind && it.namespace == from.namespace
        });
    trusted
        && grant.spec.to.iter().any(|it| {
            let name = it.name.as_deref().filter(|name| !name.is_empty());
            it.group == to.group && it.kind == to.kind && name.is_none_or(|name| name == to.name)
        })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn grants(to_name: Option<&str>) -> Objects<ReferenceGrant> {
        let grant: ReferenceGrant = serde_json::from_value(serde_json::json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "ReferenceGrant",
            "metadata": {"namespace": "backends", "name": "grant"},
            "spec": {
                "from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "shop"}],
                "to": [{"group": "", "kind": "Service", "name": to_name}],
            },
        }))
        .unwrap();
        [(NamespacedName::new("backends", "grant"), Arc::new(grant))].into()
    }

    fn ask(to_name: Option<&str>, from: &str, kind: &str, to: &str) -> bool {
        let from = Referrer {
            group: "gateway.networking.k8s.io",
            kind,
            namespace: from,
        };
        let to = Referent {
            group: "",
            kind: "Service",
            namespace: to,
            name: "cart",
        };
        permitted(&grants(to_name), from, to)
    }

    #[test]
    fn a_grant_opens_one_namespace_to_one_kind_of_another() {
        let cases = [
            (
                "its own namespace",
                None,
                "elsewhere",
                "HTTPRoute",
                "elsewhere",
                true,
            ),
            ("granted", None, "shop", "HTTPRoute", "backends", true),
            (
                "granted by name",
                Some("cart"),
                "shop",
                "HTTPRoute",
                "backends",
                true,
            ),
            (
                "an empty name is every name",
                Some(""),
                "shop",
                "HTTPRoute",
                "backends",
                true,
            ),
            (
                "another name",
                Some("other"),
                "shop",
                "HTTPRoute",
                "backends",
                false,
            ),
            ("another kind", None, "shop", "GRPCRoute", "backends", false),
            (
                "another referrer",
                None,
                "blog",
                "HTTPRoute",
                "backends",
                false,
            ),
            (
                "the grant lies elsewhere",
                None,
                "shop",
                "HTTPRoute",
                "private",
                false,
            ),
        ];
        for (case, name, from, kind, to, expected) in cases {
            assert_eq!(ask(name, from, kind, to), expected, "{case}");
        }
    }
}
