//! What a change does to listeners by their ClientTrafficPolicies.

use std::collections::{BTreeMap, BTreeSet};

use weir_plan::ListenerName;

use super::{ListenerChange, Sides, field_changes, presence, side};
use crate::Resolution;
use crate::clients::OfListener;
use crate::explain::clients::{told, written};

/// The listeners of whose clients something else is said; those of which the same is to be said stand together.
pub(super) fn changes(old: &Resolution, new: &Resolution) -> Vec<ListenerChange> {
    let mut all: BTreeMap<ListenerName, Sides<&OfListener>> = BTreeMap::new();
    for (name, of) in told(old) {
        side(&mut all, name.clone()).old = Some(of);
    }
    for (name, of) in told(new) {
        side(&mut all, name.clone()).new = Some(of);
    }
    let (before, now) = (names(old), names(new));
    let mut changes: Vec<ListenerChange> = Vec::new();
    for (name, of) in all {
        let said = |of: Option<&OfListener>| of?.invalid.as_deref().map(str::to_owned);
        let invalid = Sides {
            old: said(of.old),
            new: said(of.new),
        };
        let invalid = (invalid.old != invalid.new).then_some(invalid);
        let fields = field_changes(
            of.old.map(|it| written(old, it).0),
            of.new.map(|it| written(new, it).0),
        );
        if invalid.is_none() && fields.is_empty() {
            continue;
        }
        let what = presence(&Sides {
            old: before.contains(&name).then_some(()),
            new: now.contains(&name).then_some(()),
        });
        let same = |it: &&mut ListenerChange| {
            it.what == what && it.invalid == invalid && it.fields == fields
        };
        match changes.iter_mut().find(same) {
            Some(known) => known.listeners.push(name),
            None => changes.push(ListenerChange {
                what,
                listeners: vec![name],
                invalid,
                fields,
            }),
        }
    }
    changes
}

/// The listeners that there are.
fn names(of: &Resolution) -> BTreeSet<&ListenerName> {
    let http = of.plan.listeners.iter().map(|it| &it.name);
    http.chain(of.plan.l4.iter().map(|it| &it.name)).collect()
}
