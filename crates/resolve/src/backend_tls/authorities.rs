//! The authorities that vouch for backends, from ConfigMaps and Secrets. The messages are the reference implementation's where
//! it has one.

use std::collections::BTreeSet;

use weir_plan::{Authority, NamespacedName};

use super::Refusal;
use crate::api::secret::AUTHORITIES;
use crate::certificate;
use crate::resources::Resources;
use crate::topology::clients::entry;

/// A reference to an object of the same namespace: group, kind and name.
pub(super) type Reference<'a> = (&'a str, &'a str, &'a str);

/// What a reference leads to, from this namespace.
///
/// # Errors
/// The word of the Gateway API for what is wrong, and a sentence.
pub(super) fn read(
    resources: &Resources,
    namespace: &str,
    reference: Reference<'_>,
) -> Result<Vec<Authority>, Refusal> {
    let refuse = |reason, message: String| Err(Refusal { reason, message });
    let (_, kind, name) = reference;
    let object = NamespacedName::new(namespace, name);
    let (found, word) = match reference {
        ("", "ConfigMap", _) => {
            let object = resources.config_maps.get(&object);
            let read = object.map(|it| entry(it).map(|pem| certificate::authorities(&pem)));
            (read, "configmap")
        }
        ("", "Secret", _) => {
            let object = resources.secrets.get(&object);
            let kept = |it: &Result<_, String>| {
                it.as_ref()
                    .map(|all: &std::sync::Arc<[Authority]>| all.to_vec())
                    .map_err(Clone::clone)
            };
            let read = object.map(|it| it.authorities.as_ref().map(kept));
            (read, "secret")
        }
        _ => {
            let message = format!(
                "CA certificate ref {name} is to a {kind}; only ConfigMaps and Secrets are read"
            );
            return refuse("InvalidKind", message);
        }
    };
    let message = match found {
        Some(Some(Ok(authorities))) => return Ok(authorities),
        Some(Some(Err(why))) => format!("{kind} {object} cannot be used: {AUTHORITIES}: {why}"),
        Some(None) => format!("no ca found in {word} {name}"),
        None => format!("{word} {name} not found in namespace {namespace}"),
    };
    refuse("InvalidCACertificateRef", message)
}

/// The ConfigMaps and Secrets that something depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sources {
    pub(crate) config_maps: BTreeSet<NamespacedName>,
    pub(crate) secrets: BTreeSet<NamespacedName>,
}

impl Sources {
    /// Adds what a reference leads to.
    pub(super) fn add(&mut self, namespace: &str, reference: Reference<'_>) {
        let (group, kind, name) = reference;
        let name = NamespacedName::new(namespace, name);
        match (group, kind) {
            ("", "ConfigMap") => self.config_maps.insert(name),
            ("", "Secret") => self.secrets.insert(name),
            _ => false,
        };
    }
}
