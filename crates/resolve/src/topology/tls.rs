//! What HTTPS listeners say about TLS, and what that comes to: the certificates that they can show.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_plan::{
    Certificate, ClientValidation, HostMatch, ListenerTls, NamespacedName, TlsVersion,
};

use super::clients::{Clients, Validation};
use super::listeners::{Listener, Problem, Reason};
use crate::api::Gateway;
use crate::api::secret::{TLS_SECRET, Unusable};
use crate::diagnostics::{Diagnostics, FieldPath, ObjectRef};
use crate::references::{Referent, Referrer, permitted};
use crate::resources::Resources;

/// The oldest version of TLS that a listener speaks: `1.2`, which is the default, or `1.3`.
const MIN_VERSION: &str = "weir.dev/tls-min-version";

/// What a listener says about TLS.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TlsConfig {
    /// Whether it is to pass through as it comes.
    pub(crate) passthrough: bool,
    /// Where its certificates are.
    pub(crate) references: Vec<CertificateRef>,
    /// Settings that the Gateway API leaves to implementations.
    pub(crate) options: BTreeMap<String, String>,
}

/// A reference to a certificate.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CertificateRef {
    /// Its API group; none: the core group.
    pub(crate) group: Option<String>,
    /// Its kind; none: Secret.
    pub(crate) kind: Option<String>,
    /// Its namespace; none: that of the listener.
    pub(crate) namespace: Option<String>,
    /// Its name.
    pub(crate) name: String,
}

/// What an HTTPS listener of `owner` speaks; none: it is for another protocol, or cannot be served. Notes in `listener`
/// what is wrong. One certificate that can be used is enough to serve; without any there is nothing to show.
pub(crate) fn resolve(
    listener: &mut Listener,
    owner: &ObjectRef,
    field: &FieldPath,
    clients: &Clients,
    resources: &Resources,
    found: &mut Diagnostics,
) -> Option<Arc<ListenerTls>> {
    let tls = listener.tls.clone()?;
    if listener.protocol != "HTTPS" || tls.passthrough {
        return None;
    }
    let field = field.child("tls");
    let min_version = match min_version(&tls.options) {
        Ok(version) => version,
        Err(message) => {
            let reason = Reason::Invalid;
            listener.problem.get_or_insert(Problem { reason, message });
            return None;
        }
    };
    for option in tls.options.keys().filter(|it| *it != MIN_VERSION) {
        let message =
            format!("the option {option} has no effect; {MIN_VERSION} is the one that is read");
        let at = field.child("options").child(option);
        found.warning(owner, at, "not-enforced", message);
    }
    let all = tls.references.iter().enumerate();
    let (certificates, problems): (Vec<_>, Vec<_>) = all
        .map(|(index, it)| certificate(it, owner, resources).map_err(|problem| (index, problem)))
        .partition(Result::is_ok);
    let certificates: Vec<_> = certificates.into_iter().flatten().collect();
    for (index, problem) in problems.into_iter().filter_map(Result::err) {
        let at = field.child("certificateRefs").index(index);
        let served = if certificates.is_empty() {
            "is not served"
        } else {
            "is served with other certificates only"
        };
        let message = format!("listener {} {served}: {}", listener.name, problem.message);
        found.error(owner, at, "invalid-certificate-ref", message);
        note(&mut listener.unresolved, problem);
    }
    let clients = validation(listener, clients);
    if certificates.is_empty() {
        let problem = listener.unresolved.clone().unwrap_or_else(|| Problem {
            reason: Reason::Invalid,
            message: "Listener must have at least 1 TLS certificate ref".to_owned(),
        });
        listener.problem.get_or_insert(problem);
        return None;
    }
    let clients = clients.ok()?;
    if !certificates.iter().any(|it| covers(it, &listener.hostname)) {
        let message = format!(
            "listener {}: no certificate is for {}, so that clients will refuse them",
            listener.name, listener.hostname
        );
        let at = field.child("certificateRefs");
        found.warning(owner, at, "certificate-for-other-names", message);
    }
    Some(Arc::new(ListenerTls {
        certificates,
        min_version,
        max_version: TlsVersion::V1_3,
        ciphers: ListenerTls::CIPHERS.to_vec(),
        curves: ListenerTls::CURVES.to_vec(),
        alpn: ListenerTls::ALPN.to_vec(),
        clients,
    }))
}

/// The certificate that a Gateway shows to backends, or why there is none; none: it says nothing about it.
pub(crate) fn of_client(
    gateway: &Gateway,
    owner: &ObjectRef,
    resources: &Resources,
) -> Option<Result<Arc<Certificate>, Problem>> {
    let backend = gateway.spec.tls.as_ref()?.backend.as_ref()?;
    let reference = backend.client_certificate_ref.as_ref()?;
    let problem = |message: &str| Problem {
        reason: Reason::InvalidClientCertificateRef,
        message: message.to_owned(),
    };
    if reference.group.as_deref().is_some_and(|it| !it.is_empty())
        || reference.kind.as_deref().is_some_and(|it| it != "Secret")
    {
        return Some(Err(problem("clientCertificateRef is to no Secret")));
    }
    let reference = CertificateRef {
        group: None,
        kind: None,
        namespace: reference.namespace.clone(),
        name: reference.name.clone(),
    };
    let found = certificate(&reference, owner, resources);
    Some(found.map_err(|it| {
        if it.reason == Reason::RefNotPermitted {
            return it;
        }
        problem(&it.message)
    }))
}

/// Adds to what is referred to in vain.
pub(crate) fn note(known: &mut Option<Problem>, problem: Problem) {
    match known {
        Some(known) => known.message = format!("{}; {}", known.message, problem.message),
        None => *known = Some(problem),
    }
}

/// Which clients a listener lets in; an error: it lets in nobody, as there is no authority to ask.
fn validation(listener: &mut Listener, clients: &Clients) -> Result<Option<ClientValidation>, ()> {
    let Some(Validation {
        validation,
        unresolved,
    }) = clients.on(listener.port)
    else {
        return Ok(None);
    };
    if let Some(problem) = unresolved {
        note(&mut listener.unresolved, problem.clone());
    }
    if validation.is_none() {
        let message = "no client can be let in: there is no CA certificate to hold theirs against";
        listener.problem.get_or_insert(Problem {
            reason: Reason::NoValidCaCertificate,
            message: message.to_owned(),
        });
        return Err(());
    }
    Ok(validation.clone())
}

fn min_version(options: &BTreeMap<String, String>) -> Result<TlsVersion, String> {
    match options.get(MIN_VERSION).map(String::as_str) {
        None | Some("1.2") => Ok(TlsVersion::V1_2),
        Some("1.3") => Ok(TlsVersion::V1_3),
        Some(other) => Err(format!(
            "{MIN_VERSION} is {other:?}; the versions that are spoken are 1.2 and 1.3"
        )),
    }
}

/// Whether a certificate is for the host names of a listener: a `*` in it stands for one label only.
fn covers(certificate: &Certificate, hostname: &HostMatch) -> bool {
    let has = |name: &str| certificate.hostnames.iter().any(|it| **it == *name);
    match hostname {
        HostMatch::Any => true,
        HostMatch::Suffix(suffix) => has(&format!("*{suffix}")),
        HostMatch::Exact(name) => {
            let above = name.split_once('.').map(|(_, above)| format!("*.{above}"));
            has(name) || above.is_some_and(|it| has(&it))
        }
    }
}

/// The certificate that a reference leads to. The messages are the reference implementation's where it has one.
fn certificate(
    reference: &CertificateRef,
    owner: &ObjectRef,
    resources: &Resources,
) -> Result<Arc<Certificate>, Problem> {
    let CertificateRef {
        group,
        kind,
        namespace,
        name,
    } = reference;
    let problem = |reason, message| Err(Problem { reason, message });
    let invalid = |message: String| problem(Reason::InvalidCertificateRef, message);
    if group.as_deref().is_some_and(|it| !it.is_empty()) {
        return invalid(
            "Listener's TLS certificate ref group must be unspecified/empty.".to_owned(),
        );
    }
    if kind.as_deref().is_some_and(|it| it != "Secret") {
        return invalid("Listener's TLS certificate ref kind must be Secret.".to_owned());
    }
    let namespace = namespace.as_deref().unwrap_or(&owner.name.namespace);
    let referrer = Referrer {
        group: &owner.group,
        kind: &owner.kind,
        namespace: &owner.name.namespace,
    };
    let referent = Referent {
        group: "",
        kind: "Secret",
        namespace,
        name,
    };
    let secret = NamespacedName::new(namespace, name.as_str());
    // Before it is looked for: who may not refer to a Secret is not told whether there is one.
    if !permitted(&resources.reference_grants, referrer, referent) {
        let message =
            format!("Certificate ref to secret {secret} not permitted by any ReferenceGrant.");
        return problem(Reason::RefNotPermitted, message);
    }
    let Some(object) = resources.secrets.get(&secret) else {
        return invalid(format!("Secret {secret} does not exist."));
    };
    match &object.certificate {
        Some(Ok(certificate)) => Ok(Arc::clone(certificate)),
        Some(Err(Unusable { entry, message })) => invalid(format!(
            "Secret {secret} cannot be used: {entry}: {message}"
        )),
        None => invalid(format!("Secret {secret} must be of type {TLS_SECRET}.")),
    }
}
