//! The statuses that the API server has, of the kinds that are told one.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kube_core::discovery::ApiResource;
use serde_json::Value;
use tokio::sync::watch;
use weir_resolve::ObjectRef;

use super::kinds::Kind;

/// The statuses that the API server has, of the kinds that are told one.
#[derive(Debug)]
pub(crate) struct Observed {
    objects: Mutex<BTreeMap<ObjectRef, Current>>,
    changed: watch::Sender<()>,
}

/// What the API server has of an object.
#[derive(Clone, Debug)]
pub(crate) struct Current {
    pub(crate) kind: &'static Kind,
    pub(crate) resource: ApiResource,
    pub(crate) version: String,
    pub(crate) status: Value,
}

impl Observed {
    pub(crate) fn new() -> Self {
        Self {
            objects: Mutex::default(),
            changed: watch::Sender::new(()),
        }
    }

    /// Wakes up whenever a status changed.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// What is there at the moment.
    pub(crate) fn all(&self) -> BTreeMap<ObjectRef, Current> {
        self.lock().clone()
    }

    /// Notes what the API server has now; none: the object is gone.
    pub(crate) fn note(&self, object: &ObjectRef, current: Option<Current>) {
        let mut objects = self.lock();
        let before = match current {
            Some(current) => {
                let status = current.status.clone();
                let before = objects.insert(object.clone(), current);
                before.is_none_or(|it| it.status != status)
            }
            None => objects.remove(object).is_some(),
        };
        drop(objects);
        if before {
            self.changed.send_replace(());
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ObjectRef, Current>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
