//! The configurations that were put in force last: what each one changed, and which can be put in force again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use weir_resolve::{ObjectRef, Resources};

use crate::configuration::Counts;
use crate::in_force::InForce;

/// Configurations that can be gone back to.
const KEPT: usize = 20;
/// Objects that an entry names as changed; the others are counted.
const NAMED: usize = 50;

/// The last configurations, oldest first. One more is kept than can be gone back to: the one that the oldest of them
/// changed.
#[derive(Debug, Default)]
pub(crate) struct History {
    all: Mutex<VecDeque<Arc<InForce>>>,
}

/// A configuration that was in force.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    pub(crate) sequence: u64,
    pub(crate) hash: String,
    /// When it was put in force.
    pub(crate) applied: String,
    /// The earlier configuration that it put in force again.
    pub(crate) restored: Option<u64>,
    pub(crate) counts: Counts,
    /// What is another object than before; none for the first configuration of the process.
    pub(crate) changed: Option<Vec<Changed>>,
    /// How many more there are.
    pub(crate) more: usize,
}

/// An object that came, went or changed.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Changed {
    pub(crate) object: ObjectRef,
    pub(crate) change: Change,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Change {
    Added,
    Changed,
    Removed,
}

impl History {
    /// Adds what was put in force, in place of the oldest where there are enough.
    pub(crate) fn add(&self, in_force: Arc<InForce>) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.push_back(in_force);
        if all.len() > KEPT + 1 {
            all.pop_front();
        }
    }

    /// The entries, newest first.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let all: Vec<Arc<InForce>> = self.newest_first();
        let before = all.iter().skip(1).map(Some).chain([None]);
        all.iter()
            .zip(before)
            .take(KEPT)
            .map(|(it, before)| entry(it, before.map(|it| &**it)))
            .collect()
    }

    /// The configuration that `wanted` means: a sequence, or the beginning of a hash with a letter in it; the newest that
    /// has it. Without it, the newest before the one in force that is another; where that one was gone back to, the newest
    /// before what was gone back to, so that going back again never leads to what was left.
    pub(crate) fn find(&self, wanted: Option<&str>) -> Result<Arc<InForce>, String> {
        let all = self.newest_first();
        let mut kept = all.iter().take(KEPT);
        let found = match (wanted, all.first()) {
            (None, Some(now)) => {
                let origin = origin(&all, now);
                kept.find(|it| it.sequence < origin && it.hash != now.hash)
            }
            (None, None) => None,
            (Some(wanted), _) => match wanted.parse::<u64>() {
                // A whole hash may be of digits alone.
                Ok(sequence) if wanted.len() < 16 => kept.find(|it| it.sequence == sequence),
                Ok(_) | Err(_) => kept.find(|it| it.hash.starts_with(wanted)),
            },
        };
        found.cloned().ok_or_else(|| match wanted {
            Some(wanted) => format!(
                "none of the last {KEPT} configurations has the sequence or hash {wanted}; /config lists them"
            ),
            None => "there is no earlier configuration that differs from the one in force".to_owned(),
        })
    }

    fn newest_first(&self) -> Vec<Arc<InForce>> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().rev().cloned().collect()
    }
}

/// The sequence under which a configuration was put in force at first, however often it was gone back to.
fn origin(all: &[Arc<InForce>], it: &InForce) -> u64 {
    let mut sequence = it.sequence;
    let mut restored = it.restored;
    // Each is earlier than the one before.
    while let Some(earlier) = restored {
        sequence = earlier;
        restored = all
            .iter()
            .find(|it| it.sequence == earlier)
            .and_then(|it| it.restored);
    }
    sequence
}

fn entry(it: &InForce, before: Option<&InForce>) -> Entry {
    let resources = |it: &InForce| it.configuration.loaded.resources.clone();
    let changed = before.map(|before| changes(&resources(before), &resources(it)));
    let all = changed.as_ref().map_or(0, Vec::len);
    Entry {
        sequence: it.sequence,
        hash: it.hash.clone(),
        applied: it.applied.to_string(),
        restored: it.restored,
        counts: it.configuration.counts(),
        changed: changed.map(|changed| changed.into_iter().take(NAMED).collect()),
        more: all.saturating_sub(NAMED),
    }
}

/// The objects that differ, in the order of their kinds and names.
fn changes(before: &Resources, now: &Resources) -> Vec<Changed> {
    let mut old: BTreeMap<ObjectRef, _> =
        before.objects().map(|it| (it.object_ref(), it)).collect();
    let mut changed = Vec::new();
    for object in now.objects() {
        let reference = object.object_ref();
        let change = match old.remove(&reference) {
            None => Change::Added,
            Some(was) if was.is_same(&object) || was == object => continue,
            Some(_) => Change::Changed,
        };
        changed.push(Changed {
            object: reference,
            change,
        });
    }
    changed.extend(old.into_keys().map(|object| Changed {
        object,
        change: Change::Removed,
    }));
    changed.sort_by(|a, b| a.object.cmp(&b.object));
    changed
}
