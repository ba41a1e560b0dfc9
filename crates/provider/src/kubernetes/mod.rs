//! Fills the resources from a cluster: watches it, hands on snapshots, and writes statuses back as long as it leads.
//!
//! All of it runs on one thread. [`Watch::first`] returns when everything has been listed once.

mod joined;
mod kinds;
mod known;
mod lease;
mod observed;
mod reading;
mod referenced;
mod status;
mod stream;
mod trouble;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use kube_client::config::{KubeConfigOptions, Kubeconfig};
use kube_client::{Client, Config};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use weir_resolve::Statuses;

use crate::Loaded;
pub use lease::Election;
use observed::Observed;
use status::Reporter;

/// How long the API server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long the end may take: the Lease is given back in this time.
const END: Duration = Duration::from_secs(3);
/// News that wait to be taken in; a list that is longer waits itself.
const NEWS: usize = 1_024;

/// What is done with a cluster.
#[derive(Debug)]
pub struct Options {
    /// The file that says where the API server is and who asks; none: `KUBECONFIG`, `~/.kube/config`, or the
    /// ServiceAccount of the pod.
    pub kubeconfig: Option<PathBuf>,
    /// The context in that file; none: its current one.
    pub context: Option<String>,
    /// Whose objects are read.
    pub namespaces: Namespaces,
    /// The name under which statuses are written.
    pub controller_name: String,
    /// What Gateways are told as their addresses: IP addresses or host names.
    pub addresses: Vec<String>,
    /// Who writes statuses.
    pub election: Election,
    /// The statuses that objects are to have; none yet: nothing is written.
    pub statuses: watch::Receiver<Option<Arc<Statuses>>>,
}

/// The namespaces whose objects are read. What is not in a namespace is always read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Namespaces {
    /// All.
    All,
    /// These.
    Named(BTreeSet<String>),
    /// Those that have all of these labels.
    Labelled(BTreeMap<String, String>),
}

/// Why a cluster cannot be watched at all. That it is not there at the moment is no reason.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No file says where the API server is, or the file cannot be used.
    #[error(
        "cannot tell where the API server is: {0}; name a file with --kubeconfig, or run in a pod with a ServiceAccount"
    )]
    Config(String),
    /// The system gives no thread or runtime.
    #[error("cannot start a thread for the cluster: {0}")]
    Thread(#[from] std::io::Error),
    /// The thread ended before anything was read.
    #[error("the cluster is not watched any more")]
    Ended,
}

/// A cluster that is watched. The watch ends, and the Lease is given back, when this is dropped.
#[derive(Debug)]
pub struct Watch {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
    first: Option<oneshot::Receiver<watch::Receiver<Arc<Loaded>>>>,
    waiting: watch::Receiver<Vec<String>>,
}

impl Watch {
    /// Starts watching.
    ///
    /// # Errors
    /// When nothing says where the API server is. One that does not answer is waited for.
    pub fn start(options: Options) -> Result<Self, ConnectError> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let client = runtime.block_on(connect(&options))?;
        let (stop, stopped) = watch::channel(false);
        let (waiting, waited_for) = watch::channel(Vec::new());
        let (first, received) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("weir-kubernetes".to_owned())
            .spawn(move || run(runtime, client, options, first, waiting, stopped))?;
        Ok(Self {
            stop,
            thread: Some(thread),
            first: Some(received),
            waiting: waited_for,
        })
    }

    /// What is still to be read before there is a first snapshot, a sentence for each.
    pub fn waiting(&self) -> watch::Receiver<Vec<String>> {
        self.waiting.clone()
    }

    /// Waits until everything has been read once, for as long as that takes. Each change gives a new [`Loaded`] then.
    ///
    /// # Errors
    /// When the watch ended, or the first reading was taken already.
    pub fn first(&mut self) -> Result<watch::Receiver<Arc<Loaded>>, ConnectError> {
        let first = self.first.take().ok_or(ConnectError::Ended)?;
        first.blocking_recv().map_err(|_| ConnectError::Ended)
    }

    /// Ends the watch and gives the Lease back, without waiting for it.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(
    runtime: Runtime,
    client: Client,
    options: Options,
    first: oneshot::Sender<watch::Receiver<Arc<Loaded>>>,
    waiting: watch::Sender<Vec<String>>,
    mut stopped: watch::Receiver<bool>,
) {
    let Options {
        kubeconfig: _,
        context: _,
        namespaces,
        controller_name,
        addresses,
        election,
        statuses,
    } = options;
    runtime.block_on(async {
        let observed = Arc::new(Observed::new());
        let (leads, leading) = watch::channel(false);
        let (to, from) = mpsc::channel(NEWS);
        let streams = joined::streams(&namespaces);
        let reached = Arc::new(Notify::new());
        for (number, stream) in streams.iter().enumerate() {
            let follow = stream::follow(
                client.clone(),
                stream.clone(),
                number,
                to.clone(),
                Arc::clone(&reached),
            );
            tokio::spawn(follow);
        }
        let joiner = joined::Joiner {
            client: client.clone(),
            known: known::Known::new(namespaces, &streams, Arc::clone(&observed)),
            to,
            from,
            first: Some(first),
            loaded: None,
            waiting,
            lost: false,
            reached,
        };
        tokio::spawn(joiner.run());
        let mut resolved = statuses.clone();
        let reporter = Reporter {
            client: client.clone(),
            controller_name,
            addresses,
            observed,
            statuses,
            leading,
        };
        tokio::spawn(reporter.run());
        let mut stop = stopped.clone();
        let electing = tokio::spawn(async move {
            // Who knows nothing yet leaves it to others.
            let knows = tokio::select! {
                resolved = resolved.wait_for(Option::is_some) => resolved.is_ok(),
                _ = stop.wait_for(|it| *it) => false,
            };
            if knows {
                lease::elect(client, election, leads, stop).await;
            }
        });
        let _ = stopped.wait_for(|it| *it).await;
        let _ = tokio::time::timeout(END, electing).await;
    });
    runtime.shutdown_background();
}

async fn connect(options: &Options) -> Result<Client, ConnectError> {
    let config = |error: &dyn std::fmt::Display| ConnectError::Config(error.to_string());
    let of_context = KubeConfigOptions {
        context: options.context.clone(),
        cluster: None,
        user: None,
    };
    let mut found = match (&options.kubeconfig, &options.context) {
        (Some(path), _) => {
            let file = Kubeconfig::read_from(path).map_err(|it| config(&it))?;
            let found = Config::from_custom_kubeconfig(file, &of_context).await;
            found.map_err(|it| config(&it))?
        }
        (None, Some(_)) => {
            let found = Config::from_kubeconfig(&of_context).await;
            found.map_err(|it| config(&it))?
        }
        (None, None) => Config::infer().await.map_err(|it| config(&it))?,
    };
    found.connect_timeout = Some(CONNECT);
    Client::try_from(found).map_err(|it| config(&it))
}
