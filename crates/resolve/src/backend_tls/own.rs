//! What the `tls` of a Backend comes to: who its endpoints have to be, what is shown to them, and what is spoken.

use std::sync::Arc;

use weir_plan::{
    AlpnProtocol, Certificate, CipherSuite, Curve, ListenerTls, NamespacedName, TlsVersion, Trust,
    UpstreamServerName,
};

use super::Validation;
use super::authorities::{self, Sources};
use crate::api::backend::{BackendTls, CaCertificateRef, ClientCertificateRef};
use crate::api::secret::{TLS_SECRET, Unusable};
use crate::build::backends::Unresolved;
use crate::resources::Resources;

/// What a Backend says about TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Own {
    /// The name that is asked for; none: each endpoint's own.
    server_name: Option<Arc<str>>,
    /// None: it is left to a BackendTLSPolicy.
    trust: Option<Trust>,
    pub(super) min_version: TlsVersion,
    pub(super) max_version: TlsVersion,
    pub(super) ciphers: Vec<CipherSuite>,
    pub(super) curves: Vec<Curve>,
    /// What is offered by ALPN; none: what the protocol asks for.
    pub(super) alpn: Option<Vec<AlpnProtocol>>,
    pub(super) certificate: Option<Arc<Certificate>>,
}

impl Default for Own {
    /// What holds for a backend that says nothing about it.
    fn default() -> Self {
        Self {
            server_name: None,
            trust: None,
            min_version: TlsVersion::V1_2,
            max_version: TlsVersion::V1_3,
            ciphers: ListenerTls::CIPHERS.to_vec(),
            curves: ListenerTls::CURVES.to_vec(),
            alpn: None,
            certificate: None,
        }
    }
}

impl Own {
    /// Who an endpoint has to be, where no policy says it.
    pub(super) fn validation(&self) -> Result<Validation, String> {
        let trust = self.trust.clone().ok_or(UNTRUSTING)?;
        let server_name = self.server_name.clone();
        Ok(Validation {
            server_name: server_name
                .map_or(UpstreamServerName::OfEndpoint, UpstreamServerName::Fixed),
            names: Vec::new(),
            trust,
        })
    }
}

/// The reference implementation's words.
const UNTRUSTING: &str = "must specify either CACertificateRefs or WellKnownCACertificates when InsecureSkipVerify is unset or false";

/// Reads what a Backend says.
///
/// # Errors
/// What is wrong, in words: the first thing.
pub(crate) fn read(
    name: &NamespacedName,
    tls: &BackendTls,
    is_asked_for: bool,
    resources: &Resources,
) -> Result<Own, String> {
    let BackendTls {
        ca_certificate_refs,
        well_known_ca_certificates,
        insecure_skip_verify,
        sni,
        // Without a name that is fixed, it is the endpoint's own in any case.
        auto_sni_from_endpoint_hostname: _,
        client_certificate_ref,
        min_version,
        max_version,
        ciphers,
        ecdh_curves,
        signature_algorithms,
        alpn_protocols,
        fingerprints,
    } = tls;
    for (written, field) in [
        (signature_algorithms.is_some(), "signatureAlgorithms"),
        (fingerprints.is_some(), "fingerprints"),
    ] {
        if written {
            return Err(format!("tls.{field} is not supported"));
        }
    }
    let mut trusted = Vec::new();
    for reference in ca_certificate_refs.iter().flatten() {
        let CaCertificateRef {
            group,
            kind,
            name: object,
        } = reference;
        let read = authorities::read(resources, &name.namespace, (group, kind, object));
        trusted.extend(read.map_err(|it| it.message)?);
    }
    let trust = match (well_known_ca_certificates.as_deref(), insecure_skip_verify) {
        (Some("System"), _) => Some(Trust::System),
        (Some(other), _) => {
            return Err(format!(
                "wellKnownCACertificates {other:?} is unknown; System is the one that is read"
            ));
        }
        (None, Some(true)) => Some(Trust::Anybody),
        (None, _) if trusted.is_empty() => None,
        (None, _) => Some(Trust::Authorities(trusted)),
    };
    if trust.is_none() && !is_asked_for {
        return Err(UNTRUSTING.to_owned());
    }
    let min_version = match min_version.as_deref() {
        // Older ones are spoken by nobody here.
        None | Some("Auto" | "1.0" | "1.1" | "1.2") => TlsVersion::V1_2,
        Some("1.3") => TlsVersion::V1_3,
        Some(other) => return Err(format!("minVersion {other:?} is unknown")),
    };
    let max_version = match max_version.as_deref() {
        None | Some("Auto" | "1.3") => TlsVersion::V1_3,
        Some("1.2") if min_version <= TlsVersion::V1_2 => TlsVersion::V1_2,
        Some(other) => {
            return Err(format!(
                "maxVersion {other:?}: there is no version that could be spoken; 1.2 and 1.3 are"
            ));
        }
    };
    let alpn = match alpn_protocols {
        None => None,
        Some(all) => {
            let read = |it: &String| {
                AlpnProtocol::named(it).ok_or_else(|| {
                    format!("alpnProtocols: {it:?} is not spoken; h2, http/1.1 and http/1.0 are")
                })
            };
            Some(all.iter().map(read).collect::<Result<_, _>>()?)
        }
    };
    let certificate = client_certificate_ref.as_ref();
    Ok(Own {
        server_name: sni.as_ref().map(|it| it.to_ascii_lowercase().into()),
        trust,
        min_version,
        max_version,
        ciphers: known(
            entries(ciphers).flat_map(CipherSuite::names),
            "ciphers",
            CipherSuite::named,
            &ListenerTls::CIPHERS,
        )?,
        curves: known(
            entries(ecdh_curves),
            "ecdhCurves",
            Curve::named,
            &ListenerTls::CURVES,
        )?,
        alpn,
        certificate: certificate
            .map(|it| self::certificate(name, it, resources))
            .transpose()?,
    })
}

fn entries(list: &Option<Vec<String>>) -> impl Iterator<Item = &str> {
    list.iter().flatten().map(String::as_str)
}

/// Those of a list that are spoken, each once; all, where there is no list.
fn known<'a, T: Copy + PartialEq>(
    written: impl Iterator<Item = &'a str>,
    field: &str,
    named: fn(&str) -> Option<T>,
    all: &[T],
) -> Result<Vec<T>, String> {
    let written: Vec<&str> = written.collect();
    if written.is_empty() {
        return Ok(all.to_vec());
    }
    let mut known = Vec::new();
    for it in written.iter().copied().filter_map(named) {
        if !known.contains(&it) {
            known.push(it);
        }
    }
    if known.is_empty() {
        return Err(format!(
            "{field}: none of {} can be spoken",
            written.join(", ")
        ));
    }
    Ok(known)
}

fn certificate(
    of: &NamespacedName,
    reference: &ClientCertificateRef,
    resources: &Resources,
) -> Result<Arc<Certificate>, String> {
    let ClientCertificateRef {
        group,
        kind,
        name,
        namespace,
    } = reference;
    if group.as_deref().is_some_and(|it| !it.is_empty())
        || kind.as_deref().is_some_and(|it| it != "Secret")
    {
        return Err("clientCertificateRef is to no Secret".to_owned());
    }
    if let Some(other) = namespace.as_ref().filter(|it| ***it != *of.namespace) {
        return Err(format!(
            "ClientCertificateRef Secret is not located in the same namespace as Backend. Secret namespace: {other} does not match Backend namespace: {}",
            of.namespace
        ));
    }
    let name = NamespacedName::new(Arc::clone(&of.namespace), name.as_str());
    let cannot = |why: &str| Err(format!("clientCertificateRef: Secret {name} {why}"));
    let Some(secret) = resources.secrets.get(&name) else {
        return Err(format!(
            "failed to locate TLS secret for client auth: {name} specified in Backend {of}"
        ));
    };
    match &secret.certificate {
        Some(Ok(certificate)) => Ok(Arc::clone(certificate)),
        Some(Err(Unusable { entry, message })) => {
            cannot(&format!("cannot be used: {entry}: {message}"))
        }
        None => cannot(&format!("is not of type {TLS_SECRET}")),
    }
}

/// What a Backend depends on by what it says.
pub(crate) fn sources(of: &NamespacedName, tls: &BackendTls) -> Sources {
    let mut sources = Sources::default();
    for it in tls.ca_certificate_refs.iter().flatten() {
        sources.add(&of.namespace, (&it.group, &it.kind, &it.name));
    }
    if let Some(it) = &tls.client_certificate_ref {
        sources.add(&of.namespace, ("", "Secret", &it.name));
    }
    sources
}

/// Why a backend cannot be used.
pub(super) fn invalid(message: String) -> Unresolved {
    Unresolved {
        reason: "InvalidBackendTLS",
        message,
    }
}
