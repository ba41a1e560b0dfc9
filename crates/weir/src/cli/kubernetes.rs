//! The flags of `weir run --provider kubernetes`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio::sync::watch;
use weir_provider::kubernetes::{Election, Namespaces, Options};

use super::duration;
use crate::provided::{Cluster, Provider};

/// Which cluster is watched, and how.
#[derive(Debug, Args)]
#[command(next_help_heading = "Kubernetes (--provider kubernetes)")]
pub(crate) struct KubernetesArgs {
    /// The file that says where the API server is. Default: what KUBECONFIG names, ~/.kube/config, or the ServiceAccount of
    /// the pod.
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The context of that file to use. Default: its current one.
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Read the objects of these namespaces only, with commas. Default: all.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) watch_namespaces: Vec<String>,
    /// Read the objects of those namespaces only that have all of these labels, with commas.
    #[arg(long, value_name = "KEY=VALUE", value_delimiter = ',', value_parser = label, conflicts_with = "watch_namespaces")]
    pub(crate) watch_namespace_labels: Vec<(String, String)>,
    /// An address at which clients reach the gateway, which the status of every Gateway names: an IP address or a host
    /// name. May be repeated or a list with commas.
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub(crate) publish_address: Vec<String>,
    /// The Lease by which replicas elect the one that writes statuses.
    #[arg(long, value_name = "NAME", default_value = "weir")]
    pub(crate) lease_name: String,
    /// The namespace of the Lease. Default: the one of the pod or of the context.
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) lease_namespace: Option<String>,
    /// How long a Lease is good that its holder does not renew.
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = duration)]
    pub(crate) lease_duration: Duration,
    /// How long the holder tries to renew it before it stops writing; less than --lease-duration.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub(crate) lease_renew_deadline: Duration,
    /// How often the Lease is renewed, or looked at by those that wait for it; less than --lease-renew-deadline.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    pub(crate) lease_retry_period: Duration,
}

impl KubernetesArgs {
    /// The cluster as the provider of resources. `identity` tells this process from all other replicas.
    ///
    /// # Errors
    /// When the times of the Lease do not fit together.
    pub(crate) fn provider(
        self,
        controller_name: String,
        identity: String,
    ) -> Result<Provider, String> {
        let Self {
            kubeconfig,
            context,
            watch_namespaces,
            watch_namespace_labels,
            publish_address,
            lease_name,
            lease_namespace,
            lease_duration,
            lease_renew_deadline,
            lease_retry_period,
        } = self;
        if lease_retry_period.is_zero()
            || lease_retry_period >= lease_renew_deadline
            || lease_renew_deadline >= lease_duration
        {
            return Err(
                "--lease-retry-period must be less than --lease-renew-deadline, and that less than --lease-duration"
                    .to_owned(),
            );
        }
        let labels: BTreeMap<String, String> = watch_namespace_labels.into_iter().collect();
        let namespaces = match (watch_namespaces.is_empty(), labels.is_empty()) {
            (false, _) => Namespaces::Named(watch_namespaces.into_iter().collect()),
            (true, false) => Namespaces::Labelled(labels),
            (true, true) => Namespaces::All,
        };
        let (statuses, told) = watch::channel(None);
        let options = Options {
            kubeconfig,
            context,
            namespaces,
            controller_name,
            addresses: publish_address,
            election: Election {
                name: lease_name,
                namespace: lease_namespace,
                identity,
                lease: lease_duration,
                renew: lease_renew_deadline,
                retry: lease_retry_period,
            },
            statuses: told,
        };
        Ok(Provider::Kubernetes(Box::new(Cluster {
            options,
            statuses,
        })))
    }
}

/// A label that an object must have.
fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .filter(|(key, _)| !key.is_empty())
        .ok_or("expected a label and its value, such as team=payments")?;
    Ok((key.to_owned(), value.to_owned()))
}
