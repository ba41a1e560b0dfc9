//! Follows one kind, in one namespace or everywhere: a paged list, then a watch, again and again, for as long as somebody
//! listens.
//!
//! A kind that the API server does not know is looked for every few seconds.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use kube_client::{Api, Client};
use kube_core::discovery::ApiResource;
use kube_core::metadata::PartialObjectMeta;
use kube_core::{DynamicObject, DynamicResourceScope, Resource};
use kube_runtime::watcher::{self, Event, watcher};
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};
use weir_plan::NamespacedName;

use super::kinds::{Keeps, Kind};
use super::trouble::{self, Trouble};

/// How long until a kind that is not there is looked for again.
const LOOK_AGAIN: Duration = Duration::from_secs(3);
/// How long until something is tried again that failed; doubled from the first to the second each time.
const TRY_AGAIN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// How long the API server may take to say which kinds it has.
const ANSWER: Duration = Duration::from_secs(10);

/// A kind in a place.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) kind: &'static Kind,
    /// Its namespace; none: everywhere.
    pub(crate) namespace: Option<String>,
}

/// Something about one stream.
#[derive(Debug)]
pub(crate) struct Heard {
    /// Which, by its place in the list of all.
    pub(crate) stream: usize,
    pub(crate) news: News,
}

/// What happened.
#[derive(Debug)]
pub(crate) enum News {
    /// Which version of the kind is watched now.
    Version(ApiResource),
    /// An object, or the border of a list.
    Event(Box<Event<DynamicObject>>),
    /// The API server does not know the kind.
    Unknown,
    /// Why nothing is heard at the moment.
    Trouble(Trouble),
    /// The API server answers again.
    Reached,
    /// An object whose content was asked for.
    Fetched(Fetched),
    /// An object whose content was asked for in vain, so that it is to be asked for again.
    Unfetched(Unfetched),
}

/// The content of an object, with the version that it was asked for.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) name: NamespacedName,
    pub(crate) version: String,
    /// None: the object is gone.
    pub(crate) object: Option<Box<DynamicObject>>,
}

/// An object whose content could not be had.
#[derive(Debug)]
pub(crate) struct Unfetched {
    pub(crate) name: NamespacedName,
    pub(crate) version: String,
}

impl Stream {
    /// The objects of the stream.
    fn api<K>(&self, client: &Client, resource: &ApiResource) -> Api<K>
    where
        K: Resource<DynamicType = ApiResource, Scope = DynamicResourceScope>,
    {
        match &self.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
            None => Api::all_with(client.clone(), resource),
        }
    }
}

/// Sends what happens until nobody listens. What failed is tried again after a while, or when the API server is `reached`.
pub(crate) async fn follow(
    client: Client,
    stream: Stream,
    number: usize,
    to: mpsc::Sender<Heard>,
    reached: Arc<Notify>,
) {
    let mut delay = TRY_AGAIN.0;
    let send = |news| {
        to.send(Heard {
            stream: number,
            news,
        })
    };
    loop {
        let found = timeout(ANSWER, served(&client, stream.kind)).await;
        let (news, wait) = match found {
            Ok(Ok(Some(resource))) => {
                delay = TRY_AGAIN.0;
                if send(News::Version(resource.clone())).await.is_err()
                    || watch(&client, &stream, &resource, number, &to, &reached)
                        .await
                        .is_err()
                {
                    return;
                }
                // Its list of kinds has the last word: an API server that starts may not find what it has.
                sleep(LOOK_AGAIN).await;
                continue;
            }
            Ok(Ok(None)) => (News::Unknown, LOOK_AGAIN),
            Ok(Err(error)) => {
                let text = trouble::of_request("find", stream.kind, None, &error);
                (News::Trouble(text), longer(&mut delay))
            }
            Err(_) => (News::Trouble(Trouble::silence()), longer(&mut delay)),
        };
        if send(news).await.is_err() {
            return;
        }
        tokio::select! {
            () = sleep(wait) => {}
            () = reached.notified() => delay = TRY_AGAIN.0,
        }
    }
}

/// The best version of a kind that the API server has.
async fn served(client: &Client, kind: &Kind) -> Result<Option<ApiResource>, kube_client::Error> {
    if kind.is_built_in() {
        return Ok(Some(kind.api_resource(kind.versions[0])));
    }
    for version in kind.versions {
        let listed = client
            .list_api_group_resources(&kind.api_version(version))
            .await;
        match listed {
            Ok(list) if list.resources.iter().any(|it| it.name == kind.plural) => {
                return Ok(Some(kind.api_resource(version)));
            }
            Ok(_) => {}
            Err(error) if trouble::is_not_found(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Nobody listens any more.
struct Unheard;

/// Follows one version of a kind until the API server does not know it any more.
async fn watch(
    client: &Client,
    stream: &Stream,
    resource: &ApiResource,
    number: usize,
    to: &mpsc::Sender<Heard>,
    reached: &Notify,
) -> Result<(), Unheard> {
    let config = watcher::Config::default();
    match stream.kind.keeps {
        Keeps::All => {
            let objects = watcher(stream.api(client, resource), config);
            pass_on(objects, stream, number, to, reached).await
        }
        Keeps::Referenced => {
            let names = watcher(stream.api(client, resource), config);
            let names = names.map(|event| event.map(names_alone));
            pass_on(names, stream, number, to, reached).await
        }
    }
}

async fn pass_on(
    events: impl futures_util::Stream<Item = Result<Event<DynamicObject>, watcher::Error>>,
    stream: &Stream,
    number: usize,
    to: &mpsc::Sender<Heard>,
    reached: &Notify,
) -> Result<(), Unheard> {
    let mut events = pin!(events);
    let mut delay = TRY_AGAIN.0;
    while let Some(event) = events.next().await {
        let news = match event {
            Ok(event) => {
                delay = TRY_AGAIN.0;
                News::Event(Box::new(event))
            }
            Err(error) if trouble::is_unknown_kind(&error) => return Ok(()),
            Err(error) => {
                // A watch that has grown too old is taken up anew; that is how watches work.
                let expired = matches!(&error, watcher::Error::WatchError(it) if it.code == 410);
                if !expired {
                    let text = trouble::of_watch(stream.kind, stream.namespace.as_deref(), &error);
                    let heard = Heard {
                        stream: number,
                        news: News::Trouble(text),
                    };
                    to.send(heard).await.map_err(|_| Unheard)?;
                }
                tokio::select! {
                    () = sleep(longer(&mut delay)) => {}
                    () = reached.notified() => delay = TRY_AGAIN.0,
                }
                continue;
            }
        };
        let heard = Heard {
            stream: number,
            news,
        };
        to.send(heard).await.map_err(|_| Unheard)?;
    }
    Ok(())
}

/// The delay, with up to a fifth more so that not all try at once; the next one is twice as long.
fn longer(delay: &mut Duration) -> Duration {
    let now = *delay;
    *delay = (now * 2).min(TRY_AGAIN.1);
    now.mul_f64(1.0 + fastrand::f64() / 5.0)
}

fn names_alone(event: Event<PartialObjectMeta<DynamicObject>>) -> Event<DynamicObject> {
    let object = |it: PartialObjectMeta<DynamicObject>| DynamicObject {
        types: None,
        metadata: it.metadata,
        data: serde_json::Value::Null,
    };
    match event {
        Event::Apply(it) => Event::Apply(object(it)),
        Event::Delete(it) => Event::Delete(object(it)),
        Event::Init => Event::Init,
        Event::InitApply(it) => Event::InitApply(object(it)),
        Event::InitDone => Event::InitDone,
    }
}
