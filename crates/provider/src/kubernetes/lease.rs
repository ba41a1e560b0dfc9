//! Elects the replica that writes statuses: whoever holds the Lease, and renews it in time.
//!
//! Whether a Lease has run out is told by how long it has not changed before our eyes, so that clocks need not agree.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube_client::{Api, Client, Error};
use kube_core::params::PostParams;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::trouble::{is_conflict, is_not_found, of_resource};

/// The least time that the API server has to answer, however often it is asked.
const SHORTEST: Duration = Duration::from_secs(1);

/// How the replica that writes statuses is elected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Election {
    /// The name of the Lease. Replicas with one name are one gateway.
    pub name: String,
    /// Its namespace; none: the one of the pod or of the context.
    pub namespace: Option<String>,
    /// Who we are; no two replicas may say the same.
    pub identity: String,
    /// How long a Lease is good that nobody renews. 15 seconds are usual.
    pub lease: Duration,
    /// How long the leader tries to renew before it gives up; less than `lease`. 10 seconds are usual.
    pub renew: Duration,
    /// How often everybody tries. 2 seconds are usual.
    pub retry: Duration,
}

/// The Lease as it was last seen to change.
#[derive(Debug)]
struct Seen {
    version: Option<String>,
    at: Instant,
}

/// Tries to lead until it is stopped, then gives the Lease back. `leads` says whether it does.
pub(crate) async fn elect(
    client: Client,
    election: Election,
    leads: watch::Sender<bool>,
    mut stopped: watch::Receiver<bool>,
) {
    let namespace = election.namespace.as_deref();
    let namespace = namespace
        .unwrap_or_else(|| client.default_namespace())
        .to_owned();
    let api: Api<Lease> = Api::namespaced(client, &namespace);
    let mut seen = Seen {
        version: None,
        at: Instant::now(),
    };
    let mut renewed = Instant::now();
    let mut complaint = String::new();
    loop {
        let leading = *leads.borrow();
        let began = Instant::now();
        // Whoever leads stops in time, however slow the API server is.
        let left = if leading {
            election.renew.saturating_sub(renewed.elapsed())
        } else {
            election.renew
        };
        let patience = election.retry.max(SHORTEST).min(left);
        match timeout(patience, take(&api, &election, &mut seen)).await {
            Ok(Ok(true)) => {
                renewed = began;
                complaint.clear();
                if !leading {
                    info!(lease = %election.name, namespace, "leading: this replica writes statuses");
                    leads.send_replace(true);
                }
            }
            Ok(Ok(false)) => {
                complaint.clear();
                if leading {
                    info!(lease = %election.name, namespace, "no longer leading: another replica writes statuses");
                    leads.send_replace(false);
                }
            }
            failed => {
                let text = match failed {
                    Ok(Err(error)) => of_resource(
                        "update",
                        "leases.coordination.k8s.io",
                        Some(&namespace),
                        &error,
                    )
                    .text()
                    .to_owned(),
                    Ok(Ok(_)) | Err(_) => "the API server does not answer".to_owned(),
                };
                if complaint != text {
                    warn!(lease = %election.name, namespace, "the Lease cannot be taken or renewed: {text}");
                    complaint = text;
                }
                if leading && renewed.elapsed() >= election.renew {
                    warn!(lease = %election.name, namespace, "no longer leading: the Lease could not be renewed in time");
                    leads.send_replace(false);
                }
            }
        }
        // Up to a tenth more, so that replicas do not ask in step.
        let mut pause = election.retry.mul_f64(1.0 + fastrand::f64() / 10.0);
        if *leads.borrow() {
            pause = pause.min(election.renew.saturating_sub(renewed.elapsed()));
        }
        tokio::select! {
            () = sleep(pause) => {}
            _ = stopped.wait_for(|it| *it) => break,
        }
    }
    if leads.send_replace(false)
        && let Err(error) = give_back(&api, &election).await
    {
        warn!(lease = %election.name, namespace, "the Lease could not be given back: {error}");
    }
}

/// Takes or renews the Lease. Says whether it is ours now.
async fn take(api: &Api<Lease>, election: &Election, seen: &mut Seen) -> Result<bool, Error> {
    let now = Timestamp::now();
    let Some(lease) = api.get_opt(&election.name).await? else {
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(election.name.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(held(election, None, now)),
        };
        return ours(api.create(&PostParams::default(), &lease).await);
    };
    if seen.version != lease.metadata.resource_version {
        *seen = Seen {
            version: lease.metadata.resource_version.clone(),
            at: Instant::now(),
        };
    }
    let holder = lease
        .spec
        .as_ref()
        .and_then(|it| it.holder_identity.as_deref());
    let holder = holder.unwrap_or_default();
    let is_free = holder.is_empty() || seen.at.elapsed() >= election.lease;
    if holder != election.identity && !is_free {
        return Ok(false);
    }
    let Lease { metadata, spec } = lease;
    let lease = Lease {
        metadata,
        spec: Some(held(election, spec, now)),
    };
    ours(
        api.replace(&election.name, &PostParams::default(), &lease)
            .await,
    )
}

/// Whether a writing went through; another replica may have been quicker.
fn ours(written: Result<Lease, Error>) -> Result<bool, Error> {
    match written {
        Ok(_) => Ok(true),
        Err(error) if is_conflict(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The Lease as we hold it.
fn held(election: &Election, before: Option<LeaseSpec>, now: Timestamp) -> LeaseSpec {
    let before = before.unwrap_or_default();
    let was_ours = before.holder_identity.as_deref() == Some(&election.identity);
    let transitions = before.lease_transitions.unwrap_or(0);
    let now = MicroTime(now);
    LeaseSpec {
        acquire_time: before
            .acquire_time
            .filter(|_| was_ours)
            .or(Some(now.clone())),
        holder_identity: Some(election.identity.clone()),
        lease_duration_seconds: Some(
            i32::try_from(election.lease.as_secs().max(1)).unwrap_or(i32::MAX),
        ),
        lease_transitions: Some(if was_ours {
            transitions
        } else {
            transitions.saturating_add(1)
        }),
        renew_time: Some(now),
        ..before
    }
}

/// Lets go of the Lease, so that nobody has to wait for it to run out.
async fn give_back(api: &Api<Lease>, election: &Election) -> Result<(), Error> {
    let lease = match api.get(&election.name).await {
        Err(error) if is_not_found(&error) => return Ok(()),
        other => other?,
    };
    let Lease { metadata, spec } = lease;
    let spec = spec.unwrap_or_default();
    if spec.holder_identity.as_deref() != Some(&election.identity) {
        return Ok(());
    }
    let lease = Lease {
        metadata,
        spec: Some(LeaseSpec {
            holder_identity: Some(String::new()),
            lease_duration_seconds: Some(1),
            ..spec
        }),
    };
    match api
        .replace(&election.name, &PostParams::default(), &lease)
        .await
    {
        Err(error) if !is_conflict(&error) => Err(error),
        Ok(_) | Err(_) => {
            info!(lease = %election.name, "the Lease was given back");
            Ok(())
        }
    }
}
