//! What clients send, as what looks at it before hyper sees it: `scripts/fuzz wire`.

#![no_main]

#[path = "../wire.rs"]
mod wire;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| wire::from_bytes(bytes));
