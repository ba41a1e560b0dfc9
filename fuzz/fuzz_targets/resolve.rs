//! From bytes to resolution: `scripts/fuzz`.

#![no_main]

#[path = "../body.rs"]
mod body;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));

fuzz_target!(|bytes: &[u8]| body::from_bytes(FOLDER.path(), bytes));
