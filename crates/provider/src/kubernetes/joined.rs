//! Joins the streams into snapshots: what happens within a few milliseconds becomes one.

use std::sync::Arc;
use std::time::Duration;

use kube_client::{Api, Client};
use kube_core::DynamicObject;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::Namespaces;
use super::kinds::{KINDS, Scope};
use super::known::{Fetch, Known};
use super::stream::{Fetched, Heard, News, Stream, Unfetched};
use super::trouble::{self, Trouble};
use crate::Loaded;

/// After so much silence a burst is over.
const QUIET: Duration = Duration::from_millis(4);
/// No burst is longer.
const BURST: Duration = Duration::from_millis(40);
/// How long a snapshot waits for Secrets and ConfigMaps that it refers to.
const PATIENCE: Duration = Duration::from_secs(2);
/// Secrets and ConfigMaps that are asked for at one time.
const FETCHES: usize = 16;
/// How long until one is asked for again that could not be had.
const FETCH_AGAIN: Duration = Duration::from_secs(3);
/// How long the API server may take to answer.
const ANSWER: Duration = Duration::from_secs(10);
/// How often an API server that cannot be reached is tried, to tell when it is back.
const PROBE: Duration = Duration::from_secs(1);

/// Takes in what the streams say.
pub(crate) struct Joiner {
    pub(crate) client: Client,
    pub(crate) known: Known,
    pub(crate) to: mpsc::Sender<Heard>,
    pub(crate) from: mpsc::Receiver<Heard>,
    /// Who waits for the first snapshot.
    pub(crate) first: Option<oneshot::Sender<watch::Receiver<Arc<Loaded>>>>,
    pub(crate) loaded: Option<watch::Sender<Arc<Loaded>>>,
    pub(crate) waiting: watch::Sender<Vec<String>>,
    /// Whether the API server cannot be reached, as far as is known.
    pub(crate) lost: bool,
    /// Wakes up those who wait for it.
    pub(crate) reached: Arc<Notify>,
}

/// What is to be followed.
pub(crate) fn streams(namespaces: &Namespaces) -> Vec<Stream> {
    let mut streams = Vec::new();
    for kind in KINDS {
        match (kind.scope, namespaces) {
            (Scope::Namespaced, Namespaces::Named(names)) => {
                streams.extend(names.iter().map(|name| Stream {
                    kind,
                    namespace: Some(name.clone()),
                }));
            }
            (Scope::Namespaced, Namespaces::All | Namespaces::Labelled(_))
            | (Scope::Cluster, _) => streams.push(Stream {
                kind,
                namespace: None,
            }),
        }
    }
    streams
}

impl Joiner {
    /// Runs until the streams end.
    pub(crate) async fn run(mut self) {
        let fetches = Arc::new(Semaphore::new(FETCHES));
        let mut changed = false;
        // Since when a change waits for what it refers to.
        let mut since: Option<Instant> = None;
        loop {
            let patience = since.map_or(PATIENCE, |it| PATIENCE.saturating_sub(it.elapsed()));
            let mut next = match timeout(patience, self.from.recv()).await {
                Ok(Some(heard)) => Some(heard),
                Ok(None) => return,
                Err(_) => None,
            };
            let end = Instant::now() + BURST;
            while let Some(heard) = next {
                changed |= self.take(heard);
                let now = Instant::now();
                if now >= end {
                    break;
                }
                next = match timeout_at((now + QUIET).min(end), self.from.recv()).await {
                    Ok(Some(heard)) => Some(heard),
                    Ok(None) => return,
                    Err(_) => None,
                };
            }
            let (wanted, dropped) = self.known.wanted();
            changed |= dropped;
            for it in wanted {
                let (client, to) = (self.client.clone(), self.to.clone());
                tokio::spawn(fetch(client, it, Arc::clone(&fetches), to));
            }
            if self.loaded.is_none() {
                self.waiting.send_replace(self.known.waiting());
            }
            if !changed || !self.known.is_listed() {
                continue;
            }
            let began = *since.get_or_insert_with(Instant::now);
            if self.known.is_fetching() && began.elapsed() < PATIENCE {
                continue;
            }
            (changed, since) = (false, None);
            self.publish();
        }
    }

    /// Takes in what a stream says. Says whether anything changed that a snapshot shows.
    fn take(&mut self, heard: Heard) -> bool {
        let Heard { stream, news } = heard;
        match &news {
            News::Trouble(Trouble::Unreachable(_)) if !self.lost => {
                self.lost = true;
                tokio::spawn(probe(self.client.clone(), self.to.clone()));
            }
            News::Reached => {
                self.lost = false;
                self.reached.notify_waiters();
            }
            News::Trouble(_)
            | News::Version(_)
            | News::Event(_)
            | News::Unknown
            | News::Fetched(_)
            | News::Unfetched(_) => {}
        }
        self.known.take(stream, news)
    }

    fn publish(&mut self) {
        let loaded = Arc::new(self.known.snapshot());
        if let Some(sender) = &self.loaded {
            sender.send_replace(loaded);
            return;
        }
        let (sender, receiver) = watch::channel(loaded);
        self.loaded = Some(sender);
        if let Some(first) = self.first.take() {
            // Who waited may have been told to stop.
            let _ = first.send(receiver);
        }
    }
}

/// Asks for a Secret or ConfigMap. One that cannot be had is asked for again a little later, if it is still wanted then.
async fn fetch(client: Client, fetch: Fetch, fetches: Arc<Semaphore>, to: mpsc::Sender<Heard>) {
    let Fetch {
        stream,
        kind,
        resource,
        name,
        version,
    } = fetch;
    let api: Api<DynamicObject> = Api::namespaced_with(client, &name.namespace, &resource);
    let answer = {
        let _permit = fetches.acquire().await;
        timeout(ANSWER, api.get_opt(&name.name)).await
    };
    let trouble = match answer {
        Ok(Ok(object)) => {
            let object = object.map(Box::new);
            let news = News::Fetched(Fetched {
                name,
                version,
                object,
            });
            let _ = to.send(Heard { stream, news }).await;
            return;
        }
        Ok(Err(error)) => trouble::of_request("get", kind, Some(&name.namespace), &error),
        Err(_) => Trouble::silence(),
    };
    let news = News::Trouble(trouble);
    if to.send(Heard { stream, news }).await.is_ok() {
        sleep(FETCH_AGAIN).await;
        let news = News::Unfetched(Unfetched { name, version });
        let _ = to.send(Heard { stream, news }).await;
    }
}

/// Says when the API server answers again.
async fn probe(client: Client, to: mpsc::Sender<Heard>) {
    loop {
        sleep(PROBE).await;
        if let Ok(Ok(_)) = timeout(ANSWER, client.apiserver_version()).await {
            let news = News::Reached;
            let _ = to.send(Heard { stream: 0, news }).await;
            return;
        }
    }
}
