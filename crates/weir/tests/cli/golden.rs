//! Expected output in files. `WEIR_BLESS=1` (scripts/bless) writes them anew.

use std::fs;
use std::path::Path;

/// Compares what was printed with the file of this name.
pub(crate) fn golden(name: &str, printed: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cli/golden")
        .join(name);
    if std::env::var_os("WEIR_BLESS").is_some() {
        fs::write(&path, printed).expect("the golden file can be written");
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        printed == expected,
        "{} differs; scripts/bless writes it anew.\n--- expected\n{expected}\n--- printed\n{printed}",
        path.display()
    );
}
