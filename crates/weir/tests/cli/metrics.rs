//! The metrics of a running process, and what the documentation says of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::http;
use crate::run::Site;

/// A name without what OpenMetrics adds to it when it is written.
fn bare(name: &str) -> &str {
    let name = name.strip_suffix("_total").unwrap_or(name);
    name.strip_suffix("_info").unwrap_or(name)
}

#[test]
fn what_is_exposed_is_documented_and_what_is_documented_is_exposed() {
    let site = Site::new();
    let weir = site.run();
    http::get(weir.listening(8080), "/");
    let metrics = weir.api("/metrics").body;
    let exposed: BTreeSet<(&str, &str)> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .map(|(name, kind)| (bare(name), kind))
        .collect();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations.md");
    let page = fs::read_to_string(page).expect("docs/operations.md can be read");
    let documented: BTreeSet<(&str, &str)> = page
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
            let name = cells.next()?.strip_suffix('`')?;
            // `gauge, by ...` says more of it.
            let kind = cells.next()?.split(',').next()?;
            name.starts_with("weir_").then_some((bare(name), kind))
        })
        .collect();
    assert!(documented.len() > 30, "{documented:?}");
    // No listener of this gateway shows a certificate.
    let certificates = "weir_certificate_not_after_timestamp_seconds";
    let expected: BTreeSet<_> = documented
        .into_iter()
        .filter(|(name, _)| *name != certificates)
        .collect();
    assert_eq!(exposed, expected);
}
