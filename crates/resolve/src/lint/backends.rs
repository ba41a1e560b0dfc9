//! Backends in TLS whose endpoints have no name that their certificates could be for.

use crate::api::backend::{BackendEndpoint, BackendTls};
use crate::api::{Backend, POLICY_GROUP};
use crate::backend_tls::{self, BackendKind};
use crate::diagnostics::{Diagnostics, FieldPath, ObjectRef};
use crate::resources::Resources;

pub(super) fn check(resources: &Resources, found: &mut Diagnostics) {
    for (name, backend) in &resources.backends {
        // A policy says itself who the backend has to be.
        if backend_tls::is_asked_for(resources, BackendKind::Backend, name, None) {
            continue;
        }
        if let Some(nameless) = nameless(backend) {
            let object = ObjectRef {
                group: POLICY_GROUP.to_owned(),
                kind: "Backend".to_owned(),
                name: name.clone(),
            };
            let message = format!(
                "{nameless} has no name, so it is asked for none, and its certificate has to be for the address itself; write the \
                 host name that its certificate is for as `sni`, or as `hostname` of the endpoint"
            );
            found.warning(
                &object,
                FieldPath::new("spec.tls"),
                "nameless-endpoint",
                message,
            );
        }
    }
}

/// The first endpoint whose certificate is looked at, and which is called nothing.
fn nameless(backend: &Backend) -> Option<&str> {
    let tls = backend.spec.tls.as_ref()?;
    let BackendTls {
        well_known_ca_certificates,
        insecure_skip_verify,
        sni,
        ..
    } = tls;
    let anybody = *insecure_skip_verify == Some(true) && well_known_ca_certificates.is_none();
    if anybody || sni.is_some() {
        return None;
    }
    let endpoints = backend.spec.endpoints.iter();
    endpoints
        .filter(|it| it.hostname.is_none())
        .find_map(address)
}

/// The address of an endpoint that has no more than that.
fn address(endpoint: &BackendEndpoint) -> Option<&str> {
    let ip = endpoint.ip.as_ref().map(|it| it.address.as_str());
    ip.or_else(|| endpoint.unix.as_ref().map(|it| it.path.as_str()))
}
