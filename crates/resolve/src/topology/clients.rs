//! Which clients HTTPS listeners let in: `spec.tls.frontend` of a Gateway, for all its listeners or for those of a port.

use std::collections::BTreeMap;

use weir_plan::{Authority, ClientValidation, ClientValidationMode, NamespacedName};

use super::listeners::{Problem, Reason};
use super::tls::note;
use crate::api::secret::AUTHORITIES;
use crate::api::{ConfigMap, Gateway};
use crate::certificate;
use crate::diagnostics::{Diagnostics, FieldPath, ObjectRef};
use crate::references::{Referent, Referrer, permitted};
use crate::resources::Resources;

/// What the certificates of clients are held against, by port.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    default: Option<Validation>,
    ports: BTreeMap<i32, Option<Validation>>,
}

/// One validation, as far as its references lead somewhere.
#[derive(Clone, Debug)]
pub(crate) struct Validation {
    /// None: there is no authority to hold a certificate against, so that nobody can be let in.
    pub(crate) validation: Option<ClientValidation>,
    /// What it refers to in vain.
    pub(crate) unresolved: Option<Problem>,
}

/// A validation as written: one type in the API, two in its Rust form.
macro_rules! written {
    ($validation:expr, $mode:ident) => {
        $validation.as_ref().map(|it| {
            let references = it.ca_certificate_refs.iter();
            Written {
                insecure: it.mode == Some(api::$mode::AllowInsecureFallback),
                references: references
                    .map(|it| Reference {
                        group: &it.group,
                        kind: &it.kind,
                        namespace: it.namespace.as_deref(),
                        name: &it.name,
                    })
                    .collect(),
            }
        })
    };
}

use gateway_api::experimental::gateways as api;

struct Written<'a> {
    insecure: bool,
    references: Vec<Reference<'a>>,
}

struct Reference<'a> {
    group: &'a str,
    kind: &'a str,
    namespace: Option<&'a str>,
    name: &'a str,
}

impl Clients {
    /// What a Gateway says, with what is wrong about it.
    pub(crate) fn of(
        gateway: &Gateway,
        object: &ObjectRef,
        resources: &Resources,
        found: &mut Diagnostics,
    ) -> Self {
        let frontend = gateway.spec.tls.as_ref();
        let Some(frontend) = frontend.and_then(|it| it.frontend.as_ref()) else {
            return Self::default();
        };
        let field = FieldPath::new("spec.tls.frontend");
        let mut resolve = |written: Option<Written<'_>>, field: FieldPath| {
            let field = field.child("validation");
            written.map(|it| resolve(&it, object, &field, resources, found))
        };
        let default = written!(
            frontend.default.validation,
            GatewayTlsFrontendDefaultValidationMode
        );
        let default = resolve(default, field.child("default"));
        let per_port = frontend.per_port.iter().flatten().enumerate();
        let ports = per_port.map(|(index, it)| {
            let written = written!(
                it.tls.validation,
                GatewayTlsFrontendPerPortTlsValidationMode
            );
            let field = field.child("perPort").index(index).child("tls");
            (it.port, resolve(written, field))
        });
        let ports = ports.collect();
        Self { default, ports }
    }

    /// The validation for a port; none: clients need no certificate. What is said for a port takes the place of the
    /// default, also where it is nothing.
    pub(crate) fn on(&self, port: u16) -> Option<&Validation> {
        let Self { default, ports } = self;
        ports.get(&i32::from(port)).unwrap_or(default).as_ref()
    }
}

/// Whether a Gateway lets clients in anywhere whose certificate is none.
pub(crate) fn is_insecure(gateway: &Gateway) -> bool {
    let frontend = gateway.spec.tls.as_ref();
    frontend
        .and_then(|it| it.frontend.as_ref())
        .is_some_and(|it| {
            let default = written!(
                it.default.validation,
                GatewayTlsFrontendDefaultValidationMode
            );
            let ports = it.per_port.iter().flatten();
            let ports = ports.filter_map(|it| {
                written!(
                    it.tls.validation,
                    GatewayTlsFrontendPerPortTlsValidationMode
                )
            });
            default.into_iter().chain(ports).any(|it| it.insecure)
        })
}

fn resolve(
    written: &Written<'_>,
    object: &ObjectRef,
    field: &FieldPath,
    resources: &Resources,
    found: &mut Diagnostics,
) -> Validation {
    let Written {
        insecure,
        references,
    } = written;
    if *insecure {
        let message = "AllowInsecureFallback lets clients in without a valid certificate; AllowValidOnly does not";
        found.warning(
            object,
            field.child("mode"),
            "insecure-client-validation",
            message,
        );
    }
    let mut authorities = Vec::new();
    let mut unresolved: Option<Problem> = None;
    for (index, reference) in references.iter().enumerate() {
        match self::authorities(reference, object, resources) {
            Ok(some) => authorities.extend(some),
            Err(problem) => {
                let at = field.child("caCertificateRefs").index(index);
                found.error(
                    object,
                    at,
                    "invalid-certificate-ref",
                    problem.message.clone(),
                );
                note(&mut unresolved, problem);
            }
        }
    }
    let mode = if *insecure {
        ClientValidationMode::AllowInsecureFallback
    } else {
        ClientValidationMode::AllowValidOnly
    };
    Validation {
        validation: (!authorities.is_empty()).then_some(ClientValidation {
            authorities,
            mode,
            subject_alt_names: Vec::new(),
            spki_hashes: Vec::new(),
            certificate_hashes: Vec::new(),
            allow_expired: false,
            revoked: Vec::new(),
            revoked_leaf_only: false,
        }),
        unresolved,
    }
}

fn authorities(
    reference: &Reference<'_>,
    owner: &ObjectRef,
    resources: &Resources,
) -> Result<Vec<Authority>, Problem> {
    let Reference {
        group,
        kind,
        namespace,
        name,
    } = *reference;
    let problem = |reason, message| Err(Problem { reason, message });
    if !group.is_empty() || kind != "ConfigMap" {
        let message = format!("CA certificate ref {name} is to a {kind}; only ConfigMaps are read");
        return problem(Reason::InvalidCaCertificateKind, message);
    }
    let namespace = namespace.unwrap_or(&owner.name.namespace);
    let referrer = Referrer {
        group: &owner.group,
        kind: &owner.kind,
        namespace: &owner.name.namespace,
    };
    let referent = Referent {
        group,
        kind,
        namespace,
        name,
    };
    let name = NamespacedName::new(namespace, name);
    if !permitted(&resources.reference_grants, referrer, referent) {
        let message =
            format!("CA certificate ref to ConfigMap {name} not permitted by any ReferenceGrant");
        return problem(Reason::RefNotPermitted, message);
    }
    let invalid = |message| problem(Reason::InvalidCaCertificateRef, message);
    let Some(object) = resources.config_maps.get(&name) else {
        return invalid(format!("ConfigMap {name} does not exist"));
    };
    let Some(pem) = entry(object) else {
        return invalid(format!("ConfigMap {name} has no {AUTHORITIES}"));
    };
    certificate::authorities(&pem).or_else(|message| {
        invalid(format!(
            "ConfigMap {name} cannot be used: {AUTHORITIES}: {message}"
        ))
    })
}

/// The certificates of authorities in a ConfigMap, in PEM.
pub(crate) fn entry(object: &ConfigMap) -> Option<Vec<u8>> {
    text_or_bytes(object, AUTHORITIES)
}

/// An entry of a ConfigMap, whichever way it is written.
pub(crate) fn text_or_bytes(object: &ConfigMap, name: &str) -> Option<Vec<u8>> {
    let text = object.data.as_ref().and_then(|it| it.get(name));
    let binary = || object.binary_data.as_ref()?.get(name);
    text.map(|it| it.as_bytes().to_vec())
        .or_else(|| Some(binary()?.0.clone()))
}
