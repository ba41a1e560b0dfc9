//! TLS towards backends: BackendTLSPolicies, which of them a backend has, and what comes of that and of a Backend's own
//! settings.
//!
//! A policy that cannot be enforced closes its backends: what was to be protected does not go out in clear text.

use std::sync::Arc;

use weir_plan::{
    AlpnProtocol, NamespacedName, SubjectName, Trust, UpstreamProtocol, UpstreamServerName,
    UpstreamTls,
};

use self::own::Own;
use crate::api::{BackendTlsPolicy, POLICY_GROUP};
use crate::build::backends::Unresolved;
use crate::resources::Resources;
use crate::topology::created;
use gateway_api::apis::standard::backendtlspolicies as api;

mod authorities;
pub(crate) mod own;

pub(crate) use self::authorities::Sources;

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
    /// Who a backend has to be, or why that cannot be told.
    pub(crate) validation: Result<Validation, Refusal>,
    /// What it refers to in vain: a reason and a message.
    pub(crate) unresolved: Option<Refusal>,
}

/// Who a backend has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Validation {
    server_name: UpstreamServerName,
    names: Vec<SubjectName>,
    trust: Trust,
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

/// Whether a policy asks for TLS towards a backend (a port of it, where the port has a name).
pub(crate) fn is_asked_for(
    resources: &Resources,
    kind: BackendKind,
    name: &NamespacedName,
    port: Option<&str>,
) -> bool {
    winner(resources, kind, name, port).is_some()
}

/// How TLS is spoken to a backend (a port of it, where the port has a name), and what within; none: it is not. What a
/// policy says about who it has to be takes the place of what the Backend itself says of that.
///
/// # Errors
/// When there is a policy that cannot be enforced, or TLS without anybody to trust, or nothing that could be spoken.
pub(crate) fn of(
    resources: &Resources,
    (kind, name, port): (BackendKind, &NamespacedName, Option<&str>),
    own: Option<&Own>,
    protocol: UpstreamProtocol,
) -> Result<Option<(Arc<UpstreamTls>, UpstreamProtocol)>, Unresolved> {
    let policy = winner(resources, kind, name, port);
    let validation = match policy.map(|(of, it)| (of, meaning(resources, &of.namespace, it))) {
        Some((
            _,
            Meaning {
                validation: Ok(it), ..
            },
        )) => it,
        Some((
            of,
            Meaning {
                validation: Err(it),
                ..
            },
        )) => {
            return Err(Unresolved {
                reason: "InvalidBackendTLSPolicy",
                message: format!("BackendTLSPolicy {of} cannot be enforced: {}", it.message),
            });
        }
        None => match own.map(Own::validation) {
            None => return Ok(None),
            Some(it) => it.map_err(own::invalid)?,
        },
    };
    let defaults = Own::default();
    let own = own.unwrap_or(&defaults);
    let (protocol, alpn) = agreed(protocol, own.alpn.as_deref()).map_err(own::invalid)?;
    let Validation {
        server_name,
        names,
        trust,
    } = validation;
    let tls = UpstreamTls {
        server_name,
        names,
        trust,
        min_version: own.min_version,
        max_version: own.max_version,
        ciphers: own.ciphers.clone(),
        curves: own.curves.clone(),
        alpn,
        certificate: own.certificate.clone(),
    };
    Ok(Some((Arc::new(tls), protocol)))
}

/// What is spoken, and what is offered by ALPN for that: what the backend speaks by other settings, else what the endpoint
/// chooses of what is offered.
fn agreed(
    protocol: UpstreamProtocol,
    offered: Option<&[AlpnProtocol]>,
) -> Result<(UpstreamProtocol, Vec<AlpnProtocol>), String> {
    use AlpnProtocol::{H2, Http11};
    use UpstreamProtocol::{Http1, Http2, Negotiated, Tcp, Udp};
    Ok(match (protocol, offered) {
        (Tcp | Udp, _) => (protocol, offered.unwrap_or_default().to_vec()),
        (Http1, None) => (Http1, vec![Http11]),
        (Http2, None) => (Http2, vec![H2]),
        (Negotiated, None) => (Negotiated, vec![H2, Http11]),
        (Negotiated, Some([])) => (Http1, Vec::new()),
        (Http1 | Http2, Some([])) => (protocol, Vec::new()),
        (Http1, Some(all)) => match all.iter().copied().filter(|it| *it != H2).collect() {
            rest if Vec::is_empty(&rest) => (Http1, vec![Http11]),
            rest => (Http1, rest),
        },
        (Http2, Some(all)) if all.contains(&H2) => (Http2, vec![H2]),
        (Http2, Some(_)) => {
            return Err("alpnProtocols does not have h2, which is what is to be spoken".to_owned());
        }
        (Negotiated, Some([H2])) => (Http2, vec![H2]),
        (Negotiated, Some(all)) if all.contains(&H2) => (Negotiated, all.to_vec()),
        (Negotiated, Some(all)) => (Http1, all.to_vec()),
    })
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
    /// It has none; who has the first of them.
    Nowhere(NamespacedName),
}

/// Who has the targets of a policy.
pub(crate) fn winning(
    resources: &Resources,
    name: &NamespacedName,
    policy: &BackendTlsPolicy,
) -> Winning {
    let (mut taken, mut winner) = (Vec::new(), None);
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
            winner.get_or_insert_with(|| by.clone());
        }
    }
    match winner {
        None => Winning::Everywhere,
        Some(_) if taken.len() < count => Winning::InPart(taken.join("; ")),
        Some(by) => Winning::Nowhere(by),
    }
}

/// What TLS to a backend depends on, by the policies that name it and by what a Backend says itself.
pub(crate) fn sources(resources: &Resources, kind: BackendKind, name: &NamespacedName) -> Sources {
    let names = |policy: &BackendTlsPolicy| {
        let mut targets = policy.spec.target_refs.iter();
        targets.any(|it| self::kind(it) == Some(kind) && *it.name == *name.name)
    };
    let policies = within(resources, &name.namespace).filter(|(_, it)| names(it));
    let references = policies.flat_map(|(_, it)| it.spec.validation.ca_certificate_refs.iter());
    let own = match kind {
        BackendKind::Backend => resources.backends.get(name),
        BackendKind::Service => None,
    };
    let own = own.and_then(|it| it.spec.tls.as_ref());
    let mut sources = own.map_or_else(Sources::default, |it| own::sources(name, it));
    for it in references.flatten() {
        sources.add(&name.namespace, (&it.group, &it.kind, &it.name));
    }
    sources
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
    let mut trusted = Vec::new();
    for reference in ca_certificate_refs.iter().flatten() {
        let api::BackendTlsPolicyValidationCaCertificateRefs { group, kind, name } = reference;
        match authorities::read(resources, namespace, (group, kind, name)) {
            Ok(some) => trusted.extend(some),
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
        Some(_) | None if trusted.is_empty() => refuse(
            "NoValidCACertificate",
            unresolved.as_ref().map_or_else(
                || "there is no CA certificate to hold the backend's against".to_owned(),
                |it| it.message.clone(),
            ),
        ),
        Some(_) | None => Ok(Trust::Authorities(trusted)),
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
    let validation = trust.map(|trust| Validation {
        server_name: UpstreamServerName::Fixed(server_name),
        names,
        trust,
    });
    Meaning {
        validation,
        unresolved,
    }
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
