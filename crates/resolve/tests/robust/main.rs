//! Whatever is written, `resolve` gives a result, and the same one by any way that leads there.
//!
//! More cases than usual: `PROPTEST_CASES=100000 cargo test -p weir-resolve --test robust`.

mod invariants;
mod mutation;

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::Value;
use weir_resolve::{Object, Resources};

static WORLD: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let text = include_str!("world.yaml");
    serde_saphyr::from_multiple(text).expect("the world is YAML")
});
static BEFORE: LazyLock<Resources> = LazyLock::new(|| {
    let objects: Vec<Object> = WORLD
        .iter()
        .map(|document| {
            let (object, _) = Object::read_unadmitted(document.clone()).expect("it can be read");
            object.expect("it is of a kind that is read")
        })
        .collect();
    snapshot(&objects)
});

#[test]
fn all_of_the_world_is_read() {
    for document in &*WORLD {
        let (_, warnings) = Object::read_unadmitted(document.clone()).expect("it can be read");
        assert_eq!(warnings, [], "{document}");
    }
    hold(&WORLD, 7);
}

/// Checks `documents`, which may be anything, as a change of the world. `order` is any number; it decides on the other
/// order in which they are put in.
fn hold(documents: &[Value], order: u64) {
    let mut objects: Vec<Object> = Vec::new();
    for document in documents {
        // Whoever has a name first keeps it, so that the order of the others is free.
        if let Ok((Some(object), _warnings)) = Object::read_unadmitted(document.clone())
            && !objects
                .iter()
                .any(|it| it.object_ref() == object.object_ref())
        {
            objects.push(object);
        }
        drop(Object::read(document.clone()));
    }
    let one = snapshot(&objects);
    shuffle(&mut objects, order);
    invariants::agree(&BEFORE, &one, &snapshot(&objects));
}

/// These objects, put in in this order.
fn snapshot(objects: &[Object]) -> Resources {
    let mut resources = Resources::default();
    for object in objects {
        resources.insert(object.clone());
    }
    resources
}

/// Another order of the same items, by a multiplicative generator.
fn shuffle<T>(items: &mut [T], mut state: u64) {
    for last in (1..items.len()).rev() {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let bound = u64::try_from(last).expect("a length fits") + 1;
        let chosen = usize::try_from((state >> 33) % bound).expect("less than a length");
        items.swap(last, chosen);
    }
}

/// Few, as a matter of time; or as many as the environment says.
fn cases() -> ProptestConfig {
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig::default(),
        None => ProptestConfig::with_cases(64),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..cases() })]

    #[test]
    fn edits_break_nothing(edits in prop::collection::vec(mutation::edit(), 1..12), order in any::<u64>()) {
        let mut documents = Value::Array(WORLD.clone());
        for edit in &edits {
            mutation::apply(&mut documents, edit);
        }
        let documents = documents.as_array().expect("documents stay a list");
        hold(documents, order);
    }
}
