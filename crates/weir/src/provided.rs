//! Where resources come from, files or a cluster, as far as the two differ for whoever runs a gateway.

use std::sync::Arc;

use anyhow::Result;
use tokio::sync::watch;
use tracing::info;
use weir_provider::{Loaded, Source, Watch, kubernetes};
use weir_resolve::Statuses;

use crate::output;

/// Where statuses go.
pub(crate) type StatusSender = watch::Sender<Option<Arc<Statuses>>>;

/// Where resources are to come from.
#[derive(Debug)]
pub(crate) enum Provider {
    Files(Vec<Source>),
    Kubernetes(Box<Cluster>),
}

/// A cluster, and the other end of the statuses that it is told.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) options: kubernetes::Options,
    pub(crate) statuses: StatusSender,
}

/// Where resources come from, before they have been read.
#[derive(Debug)]
pub(crate) enum Opened {
    Files(Vec<Source>),
    Kubernetes(kubernetes::Watch, StatusSender),
}

/// Ends the watch when dropped.
#[derive(Debug)]
pub(crate) enum Watching {
    Files { _watch: Watch },
    Kubernetes(kubernetes::Watch),
}

/// What follows the first reading.
#[derive(Debug)]
pub(crate) struct Followed {
    pub(crate) watching: Watching,
    /// The first reading, and all that come.
    pub(crate) loaded: watch::Receiver<Arc<Loaded>>,
    /// Where statuses are to be sent, if anywhere.
    pub(crate) statuses: Option<StatusSender>,
}

impl Provider {
    /// Begins, without waiting for anything.
    ///
    /// # Errors
    /// When nothing says where the API server is.
    pub(crate) fn open(self) -> Result<Opened> {
        match self {
            Self::Files(sources) => Ok(Opened::Files(sources)),
            Self::Kubernetes(cluster) => {
                let Cluster { options, statuses } = *cluster;
                let watch = kubernetes::Watch::start(options)?;
                Ok(Opened::Kubernetes(watch, statuses))
            }
        }
    }
}

impl Opened {
    /// What people call it.
    pub(crate) fn names(&self) -> Vec<String> {
        match self {
            Self::Files(sources) => sources.iter().map(source_name).collect(),
            Self::Kubernetes(..) => vec!["kubernetes".to_owned()],
        }
    }

    /// What a cluster still has to tell before anything can be served; none: it is no cluster.
    pub(crate) fn waiting(&self) -> Option<watch::Receiver<Vec<String>>> {
        match self {
            Self::Files(_) => None,
            Self::Kubernetes(watch, _) => Some(watch.waiting()),
        }
    }

    /// Reads everything once. A cluster is waited for, for as long as it takes.
    ///
    /// # Errors
    /// When a path is not there or cannot be watched.
    pub(crate) fn first(self) -> Result<Followed> {
        match self {
            Self::Files(sources) => {
                let (watch, loaded) = output::with_progress("reading", || Watch::start(sources))?;
                Ok(Followed {
                    watching: Watching::Files { _watch: watch },
                    loaded,
                    statuses: None,
                })
            }
            Self::Kubernetes(mut watch, statuses) => {
                info!("reading the cluster");
                let loaded = watch.first()?;
                Ok(Followed {
                    watching: Watching::Kubernetes(watch),
                    loaded,
                    statuses: Some(statuses),
                })
            }
        }
    }
}

impl Watching {
    /// Tells a cluster that this replica is going, so that another one writes statuses.
    pub(crate) fn stop(&self) {
        match self {
            Self::Files { .. } => {}
            Self::Kubernetes(watch) => watch.stop(),
        }
    }

    /// Whether a gateway that can serve none of its ports is to end. In a cluster whoever wrote the Gateway is told, and
    /// must not be able to end the gateway of everybody.
    pub(crate) fn ends_unserved(&self) -> bool {
        match self {
            Self::Files { .. } => true,
            Self::Kubernetes(_) => false,
        }
    }
}

fn source_name(source: &Source) -> String {
    match source {
        Source::Path(path) => path.display().to_string(),
        Source::Stdin => "-".to_owned(),
    }
}
