//! BackendTLSPolicies: which of them a backend has, and how TLS is spoken to it.
//!
//! A policy that cannot be enforced closes its backends: what was to be protected does not go out in clear text.

use std::sync::Arc;

use weir_plan::{Authority, NamespacedName, SubjectName, Trust, UpstreamTls};

use crate::api::{BackendTlsPolicy, POLICY_GROUP};
use crate::build::backends::Unresolved;
use crate::certificate;
use crate::resources::Resources;
use crate::topology::clients::entry;
use crate::topology::created;
use gateway_api::apis::standard::backendtlspolicies as api;

/// The kinds of backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum BackendKind {
    Service,
    Backend,
}

/// A policy and its name.
pub(crate) type Named<'a> = (&'a NamespacedName, &'a Arc<BackendTlsPolicy>);

/// What a policy comes to.
#[derive(Clone, Debug)]
pub(crate) struct Meaning {
    /// How TLS is spoken, or why it cannot be.
    pub(crate) tls: Result<Arc<UpstreamTls>, Refusal>,
    /// What it refers to in vain: a reason and a message.
    pub(crate) unresolved: Option<Refusal>,
}

/// A word for machines, and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

/// The backends that a policy names.
pub(crate) fn targets(
    name: &NamespacedName,
    policy: &BackendTlsPolicy,
) -> Vec<(BackendKind, NamespacedName)> {
    let targets = policy.spec.target_refs.iter();
    targets
        .filter_map(|it| {
            let target = NamespacedName::new(Arc::clone(&name.namespace), it.name.as_str());
            Some((kind(it)?, target))
        })
        .collect()
}

/// How TLS is spoken to a backend (a port of it, where the port has a name); none: it is not.
///
/// # Errors
/// When there is a policy that cannot be enforced.
pub(crate) fn of(
    resources: &Resources,
    kind: BackendKind,
    name: &NamespacedName,
    port: Option<&str>,
) -> Result<Option<Arc<UpstreamTls>>, Unresolved> {
    let Some((of, policy)) = winner(resources, kind, name, port) else {
        return Ok(None);
    };
    match meaning(resources, &of.namespace, policy).tls {
        Ok(tls) => Ok(Some(tls)),
        Err(Refusal { reason: _, message }) => Err(Unresolved {
            reason: "InvalidBackendTLSPolicy",
            message: format!("BackendTLSPolicy {of} cannot be enforced: {message}"),
        }),
    }
}

/// The policy that a backend has: one that names the port before one for the whole, then the oldest, then by name.
fn winner<'a>(
    resources: &'a Resources,
    kind: BackendKind,
    name: &NamespacedName,
    port: Option<&str>,
) -> Option<Named<'a>> {
    let of_port = port.and_then(|port| first(resources, kind, name, Some(port)));
    of_port.or_else(|| first(resources, kind, name, None))
}

/// The policy that has exactly this target: the oldest, then by name.
fn first<'a>(
    resources: &'a Resources,
    kind: BackendKind,
    name: &NamespacedName,
    section: Option<&str>,
) -> Option<Named<'a>> {
    let has = |(_, policy): &Named<'a>| {
        policy.spec.target_refs.iter().any(|it| {
            self::kind(it) == Some(kind)
                && *it.name == *name.name
                && it.section_name.as_deref() == section
        })
    };
    let age = |(name, policy): &Named<'a>| (created(&policy.metadata), *name);
    let all = within(resources, &name.namespace).filter(has);
    all.min_by(|a, b| age(a).cmp(&age(b)))
}

/// Whether a policy has its targets, or others have them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Winning {
    Everywhere,
    /// It has some; who has the others.
    InPart(String),
    /// It has none; who has them.
    Nowhere(String),
}

/// Who has the targets of a policy.
pub(crate) fn winning(
    resources: &Resources,
    name: &NamespacedName,
    policy: &BackendTlsPolicy,
) -> Winning {
    let mut taken = Vec::new();
    let mut count = 0;
    for target in &policy.spec.target_refs {
        let Some(kind) = kind(target) else { continue };
        count += 1;
        let backend = NamespacedName::new(Arc::clone(&name.namespace), target.name.as_str());
        let first = first(resources, kind, &backend, target.section_name.as_deref());
        if let Some((by, _)) = first.filter(|(it, _)| *it != name) {
            taken.push(format!(
                "{kind:?} {backend} has BackendTLSPolicy {by} already"
            ));
        }
    }
    match taken.len() {
        0 => Winning::Everywhere,
        lost if lost < count => Winning::InPart(taken.join("; ")),
        _ => Winning::Nowhere(taken.join("; ")),
    }
}

/// The ConfigMaps with the authorities of the policies that name a backend.
pub(crate) fn config_maps(
    resources: &Resources,
    kind: BackendKind,
    name: &NamespacedName,
) -> Vec<NamespacedName> {
    let names = |policy: &BackendTlsPolicy| {
        let mut targets = policy.spec.target_refs.iter();
        targets.any(|it| self::kind(it) == Some(kind) && *it.name == *name.name)
    };
    let policies = within(resources, &name.namespace).filter(|(_, it)| names(it));
    let references = policies.flat_map(|(_, it)| it.spec.validation.ca_certificate_refs.iter());
    references
        .flatten()
        .map(|it| NamespacedName::new(Arc::clone(&name.namespace), it.name.as_str()))
        .collect()
}

/// What a policy in this namespace comes to.
pub(crate) fn meaning(
    resources: &Resources,
    namespace: &str,
    policy: &BackendTlsPolicy,
) -> Meaning {
    let api::BackendTlsPolicyValidation {
        ca_certificate_refs,
        hostname,
        subject_alt_names,
        well_known_ca_certificates,
    } = &policy.spec.validation;
    let mut unresolved: Option<Refusal> = None;
    let mut authorities = Vec::new();
    for reference in ca_certificate_refs.iter().flatten() {
        match self::authorities(resources, namespace, reference) {
            Ok(some) => authorities.extend(some),
            Err(refusal) => match &mut unresolved {
                Some(known) => known.message = format!("{}; {}", known.message, refusal.message),
                None => unresolved = Some(refusal),
            },
        }
    }
    let refuse = |reason, message: String| Err(Refusal { reason, message });
    let trust = match well_known_ca_certificates.as_deref() {
        Some("System") => Ok(Trust::System),
        Some(other) if !other.is_empty() => refuse(
            "Invalid",
            format!("wellKnownCACertificates {other:?} is unknown; System is the one that is read"),
        ),
        Some(_) | None if authorities.is_empty() => refuse(
            "NoValidCACertificate",
            unresolved.as_ref().map_or_else(
                || "there is no CA certificate to hold the backend's against".to_owned(),
                |it| it.message.clone(),
            ),
        ),
        Some(_) | None => Ok(Trust::Authorities(authorities)),
    };
    let alternatives = subject_alt_names.iter().flatten();
    let mut names: Vec<SubjectName> = alternatives
        .filter_map(|it| match it.r#type {
            api::BackendTlsPolicyValidationSubjectAltNamesType::Hostname => {
                let hostname = it.hostname.as_deref()?.to_ascii_lowercase();
                Some(SubjectName::Hostname(hostname.into()))
            }
            api::BackendTlsPolicyValidationSubjectAltNamesType::Uri => {
                Some(SubjectName::Uri(it.uri.as_deref()?.into()))
            }
        })
        .collect();
    let server_name: Arc<str> = hostname.to_ascii_lowercase().into();
    // Where other names are given, the host name is what is asked for, and proves nothing.
    if names.is_empty() {
        names.push(SubjectName::Hostname(Arc::clone(&server_name)));
    }
    let tls = trust.map(|trust| {
        Arc::new(UpstreamTls {
            server_name,
            names,
            trust,
        })
    });
    Meaning { tls, unresolved }
}

fn authorities(
    resources: &Resources,
    namespace: &str,
    reference: &api::BackendTlsPolicyValidationCaCertificateRefs,
) -> Result<Vec<Authority>, Refusal> {
    let api::BackendTlsPolicyValidationCaCertificateRefs { group, kind, name } = reference;
    let refuse = |reason, message: String| Err(Refusal { reason, message });
    if !group.is_empty() || kind != "ConfigMap" {
        let message = format!("CA certificate ref {name} is to a {kind}; only ConfigMaps are read");
        return refuse("InvalidKind", message);
    }
    let name = NamespacedName::new(namespace, name.as_str());
    let invalid = |message: String| refuse("InvalidCACertificateRef", message);
    let Some(object) = resources.config_maps.get(&name) else {
        return invalid(format!("ConfigMap {name} does not exist"));
    };
    let Some(pem) = entry(object) else {
        return invalid(format!("ConfigMap {name} has no ca.crt"));
    };
    certificate::authorities(&pem).or_else(|message| {
        invalid(format!(
            "ConfigMap {name} cannot be used: ca.crt: {message}"
        ))
    })
}

fn within<'a>(resources: &'a Resources, namespace: &Arc<str>) -> impl Iterator<Item = Named<'a>> {
    let all = &resources.backend_tls_policies;
    let namespace = Arc::clone(namespace);
    all.range(NamespacedName::new(Arc::clone(&namespace), "")..)
        .take_while(move |(name, _)| name.namespace == namespace)
}

/// The kind of backend that a target is; none: it is none.
fn kind(target: &api::BackendTlsPolicyTargetRefs) -> Option<BackendKind> {
    match (target.group.as_str(), target.kind.as_str()) {
        ("", "Service") => Some(BackendKind::Service),
        (POLICY_GROUP, "Backend") => Some(BackendKind::Backend),
        _ => None,
    }
}
