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
    invariants::resources(&objects)
});

#[test]
fn all_of_the_world_is_read() {
    for document in &*WORLD {
        let (_, warnings) = Object::read_unadmitted(document.clone()).expect("it can be read");
        assert_eq!(warnings, [], "{document}");
    }
    invariants::hold(&BEFORE, &WORLD, 7);
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
        invariants::hold(&BEFORE, documents, order);
    }
}
