//! The Secrets and ConfigMaps that a ClientTrafficPolicy refers to: authorities, and lists of revoked certificates.

use weir_plan::{Authority, NamespacedName, RevocationList};

use crate::api::http_route_filter::SecretRef;
use crate::api::secret::{AUTHORITIES, REVOKED, Secret};
use crate::api::{ConfigMap, POLICY_GROUP};
use crate::certificate;
use crate::references::{Referent, Referrer, permitted};
use crate::resources::Resources;
use crate::topology::clients::text_or_bytes;

/// A policy, as far as its references matter.
pub(super) struct Referring<'a> {
    pub(super) namespace: &'a str,
    pub(super) resources: &'a Resources,
}

enum Object<'a> {
    Secret(&'a Secret),
    ConfigMap(&'a ConfigMap),
}

impl Referring<'_> {
    /// The authorities behind a reference. The messages are the reference implementation's where it has one.
    pub(super) fn authorities(&self, reference: &SecretRef) -> Result<Vec<Authority>, String> {
        let name = &reference.name;
        match self.follow(reference, "caCertificateRef", "certificate")? {
            Object::Secret(secret) => match &secret.authorities {
                Some(Ok(authorities)) => Ok(authorities.to_vec()),
                Some(Err(why)) => Err(format!("invalid certificate in secret {name}: {why}")),
                None => Err(format!("caCertificateRef not found in secret {name}")),
            },
            Object::ConfigMap(object) => {
                let pem = text_or_bytes(object, AUTHORITIES).filter(|it| !it.is_empty());
                let pem =
                    pem.ok_or_else(|| format!("caCertificateRef not found in configMap {name}"))?;
                certificate::authorities(&pem)
                    .map_err(|why| format!("invalid certificate in configmap {name}: {why}"))
            }
        }
    }

    /// The lists of revoked certificates behind a reference.
    pub(super) fn revoked(&self, reference: &SecretRef) -> Result<Vec<RevocationList>, String> {
        let name = &reference.name;
        match self.follow(reference, "crl ref", "crl")? {
            Object::Secret(secret) => match &secret.revoked {
                Some(Ok(lists)) => Ok(lists.to_vec()),
                Some(Err(why)) => Err(format!("invalid crl in secret {name}: {why}")),
                None => Err(format!("crl not found in secret {name}")),
            },
            Object::ConfigMap(object) => {
                let pem = text_or_bytes(object, REVOKED).filter(|it| !it.is_empty());
                let pem = pem.ok_or_else(|| format!("crl not found in configMap {name}"))?;
                certificate::revocation_lists(&pem)
                    .map_err(|why| format!("invalid crl in configmap {name}: {why}"))
            }
        }
    }

    fn follow(
        &self,
        reference: &SecretRef,
        called: &str,
        what: &str,
    ) -> Result<Object<'_>, String> {
        let SecretRef {
            group,
            kind,
            name,
            namespace,
        } = reference;
        let group = group.as_deref().unwrap_or_default();
        let kind = kind.as_deref().unwrap_or("Secret");
        let lower = match (group, kind) {
            ("", "Secret") => "secret",
            ("", "ConfigMap") => "configmap",
            (_, _) => return Err(format!("unsupported {called} kind:{kind}")),
        };
        let name = NamespacedName::new(
            namespace.as_deref().unwrap_or(self.namespace),
            name.as_str(),
        );
        let referrer = Referrer {
            group: POLICY_GROUP,
            kind: super::KIND,
            namespace: self.namespace,
        };
        let referent = Referent {
            group,
            kind,
            namespace: &name.namespace,
            name: &name.name,
        };
        // Before it is looked for: who may not refer to an object is not told whether there is one.
        if !permitted(&self.resources.reference_grants, referrer, referent) {
            return Err(format!(
                "{what} ref to {lower} {name} not permitted by any ReferenceGrant"
            ));
        }
        let found = if kind == "Secret" {
            let secret = self.resources.secrets.get(&name);
            secret.map(|it| Object::Secret(it))
        } else {
            let map = self.resources.config_maps.get(&name);
            map.map(|it| Object::ConfigMap(it))
        };
        found.ok_or_else(|| format!("{lower} {name} does not exist"))
    }
}
