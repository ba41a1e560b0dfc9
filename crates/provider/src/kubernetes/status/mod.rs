//! Writes statuses: whatever differs from what the API server has, as long as this replica leads.
//!
//! Each writing names the version of the object that it was made from, so that nothing that somebody else wrote meanwhile
//! is lost; it is made anew then.

mod merged;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use kube_client::{Api, Client};
use kube_core::DynamicObject;
use kube_core::params::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, sleep_until, timeout};
use tracing::{debug, warn};
use weir_resolve::{ObjectRef, Statuses};

use super::observed::{Current, Observed};
use super::trouble::{is_conflict, is_not_found, of_request};
use merged::{Wanted, merged, wanted};

/// The least time between two looks at all statuses: what changes within it is written once.
const PAUSE: Duration = Duration::from_millis(100);
/// The least time between two writings: at most a hundred a second.
const PACE: Duration = Duration::from_millis(10);
/// Writings that are under way at one time.
const AT_ONCE: usize = 8;
/// How often a writing is made anew at once, because somebody else was quicker.
const ATTEMPTS: usize = 5;
/// The least time between two writings to one object, so that two who disagree about it do no harm.
const SETTLE: Duration = Duration::from_secs(1);
/// How long until a writing is tried again that was refused.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// How long the API server may take to answer.
const ANSWER: Duration = Duration::from_secs(10);
/// Under which name the API server notes who wrote.
const FIELD_MANAGER: &str = "weir";

/// Writes statuses.
pub(crate) struct Reporter {
    pub(crate) client: Client,
    pub(crate) controller_name: String,
    pub(crate) addresses: Vec<String>,
    pub(crate) observed: Arc<Observed>,
    pub(crate) statuses: watch::Receiver<Option<Arc<Statuses>>>,
    pub(crate) leading: watch::Receiver<bool>,
}

/// What became of earlier writings.
#[derive(Debug, Default)]
struct Earlier {
    /// The objects that are not written before a time.
    not_before: BTreeMap<ObjectRef, Instant>,
    /// Why the last writing to an object was refused.
    refused: BTreeMap<ObjectRef, String>,
}

impl Reporter {
    /// Runs until nobody gives statuses any more.
    pub(crate) async fn run(mut self) {
        let mut observed = self.observed.changes();
        let mut earlier = Earlier::default();
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let pace = Mutex::new(pace);
        loop {
            let statuses = self.statuses.borrow_and_update().clone();
            let leading = *self.leading.borrow_and_update();
            observed.borrow_and_update();
            let mut due = None;
            if let Some(statuses) = statuses.filter(|_| leading) {
                due = self.write(&statuses, &pace, &mut earlier).await;
            }
            sleep(PAUSE).await;
            tokio::select! {
                changed = self.statuses.changed() => if changed.is_err() { return },
                changed = self.leading.changed() => if changed.is_err() { return },
                changed = observed.changed() => if changed.is_err() { return },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
        }
    }

    /// Writes what differs. Returns when the first of those is due that are not to be written yet.
    async fn write(
        &self,
        statuses: &Statuses,
        pace: &Mutex<Interval>,
        earlier: &mut Earlier,
    ) -> Option<Instant> {
        let current = self.observed.all();
        let begin = Instant::now();
        let Earlier {
            not_before,
            refused,
        } = earlier;
        not_before.retain(|_, it| *it > begin);
        let mut due: Option<Instant> = None;
        let mut differing = Vec::new();
        for (object, wanted) in wanted(statuses, &current, &self.controller_name) {
            let Some(current) = current.get(&object) else {
                continue;
            };
            let Some(status) = self.merged(&wanted, &current.status) else {
                refused.remove(&object);
                continue;
            };
            if let Some(time) = not_before.get(&object) {
                due = Some(due.map_or(*time, |it| it.min(*time)));
                continue;
            }
            differing.push((object, wanted, current.clone(), status));
        }
        let write = |(object, wanted, current, status)| async move {
            pace.lock().await.tick().await;
            let written = self.write_one(&object, &wanted, current, status).await;
            (object, written)
        };
        let writings: Vec<_> = differing.into_iter().map(write).collect();
        let writings = stream::iter(writings).buffer_unordered(AT_ONCE);
        let writings: Vec<_> = writings.collect().await;
        let end = Instant::now();
        for (object, written) in writings {
            match written {
                Ok(()) => {
                    not_before.insert(object.clone(), end + SETTLE);
                    refused.remove(&object);
                }
                Err(text) => {
                    let time = end + TRY_AGAIN;
                    due = Some(due.map_or(time, |it| it.min(time)));
                    not_before.insert(object.clone(), time);
                    if refused.get(&object) != Some(&text) {
                        warn!(%object, "its status could not be written: {text}; it is tried again");
                    }
                    refused.insert(object, text);
                }
            }
        }
        refused.retain(|it, _| current.contains_key(it));
        due
    }

    fn merged(&self, wanted: &Wanted<'_>, current: &Value) -> Option<Value> {
        merged(
            wanted,
            current,
            &self.controller_name,
            &self.addresses,
            Timestamp::now(),
        )
    }

    async fn write_one(
        &self,
        object: &ObjectRef,
        wanted: &Wanted<'_>,
        mut current: Current,
        mut status: Value,
    ) -> Result<(), String> {
        let api: Api<DynamicObject> = match &*object.name.namespace {
            "" => Api::all_with(self.client.clone(), &current.resource),
            namespace => Api::namespaced_with(self.client.clone(), namespace, &current.resource),
        };
        let name = &*object.name.name;
        let namespace = Some(&*object.name.namespace).filter(|it| !it.is_empty());
        let told = |verb, error: &kube_client::Error| {
            of_request(verb, current.kind, namespace, error)
                .text()
                .to_owned()
        };
        let mut attempt = 1;
        loop {
            if !*self.leading.borrow() {
                return Ok(());
            }
            let patch = json!({
                "metadata": {"resourceVersion": current.version},
                "status": status,
            });
            let params = PatchParams {
                field_manager: Some(FIELD_MANAGER.to_owned()),
                ..PatchParams::default()
            };
            let patch = Patch::Merge(patch);
            let written = timeout(ANSWER, api.patch_status(name, &params, &patch));
            match written
                .await
                .map_err(|_| "the API server does not answer".to_owned())?
            {
                Ok(written) => {
                    debug!(%object, "status written");
                    self.observed.note(object, Some(now(&current, written)));
                    return Ok(());
                }
                Err(error) if is_not_found(&error) => return Ok(()), // It is gone, or has no status.
                Err(error) if is_conflict(&error) && attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(told("patch", &error)),
            }
            let read = timeout(ANSWER, api.get_opt(name)).await;
            let read = read.map_err(|_| "the API server does not answer".to_owned())?;
            let Some(read) = read.map_err(|it| told("get", &it))? else {
                return Ok(());
            };
            current = now(&current, read);
            match self.merged(wanted, &current.status) {
                Some(again) => status = again,
                None => return Ok(()),
            }
        }
    }
}

/// What the API server has, from its answer.
fn now(before: &Current, mut object: DynamicObject) -> Current {
    let status = object
        .data
        .as_object_mut()
        .and_then(|it| it.remove("status"));
    Current {
        kind: before.kind,
        resource: before.resource.clone(),
        version: object.metadata.resource_version.unwrap_or_default(),
        status: status.unwrap_or_default(),
    }
}
