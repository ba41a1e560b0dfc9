//! The runbook says what to do about every reason that a status can have, in the section of the objects that have it, and
//! about no other.

use std::collections::BTreeSet;

use crate::{File, files, none_of};

const GATEWAYS: &str = "### Gateways and listeners";
const ROUTES: &str = "### Routes";
const POLICIES: &str = "### Policies";
const BACKEND_TLS: &str = "### BackendTLSPolicies";
const BACKENDS: &str = "### Backends";

/// The files of `crates/resolve/src` that write reasons, and whose objects have them.
const WRITERS: [(&str, &[&str]); 16] = [
    ("backend_tls.rs", &[BACKEND_TLS, ROUTES]),
    ("backend_tls/authorities.rs", &[BACKEND_TLS]),
    ("backend_tls/own.rs", &[ROUTES]),
    ("build/backends.rs", &[ROUTES, BACKENDS]),
    ("build/filters.rs", &[ROUTES]),
    ("build/route_filter.rs", &[ROUTES]),
    ("build/rules.rs", &[ROUTES]),
    ("policy_status.rs", &[POLICIES]),
    ("policy_status/ancestors.rs", &[POLICIES]),
    ("status/backend_tls.rs", &[BACKEND_TLS]),
    ("status/backends.rs", &[BACKENDS]),
    ("status/gateways.rs", &[GATEWAYS]),
    ("status/mod.rs", &[GATEWAYS]),
    ("status/routes.rs", &[ROUTES]),
    ("topology/listeners.rs", &[GATEWAYS]),
    ("topology/routes.rs", &[ROUTES]),
];

/// Words of the same form in those files that are no reasons: kinds, types of conditions, values of fields; and reasons
/// about which there is nothing to do.
const OTHERS: [&str; 36] = [
    "Accepted",
    "Auto",
    "Backend",
    "BackendTLSPolicy",
    "CORS",
    "ConfigMap",
    "DirectResponse",
    "DynamicResolver",
    "Endpoints",
    "ExternalAuth",
    "ExternalName",
    "False",
    "Gateway",
    "HTTP",
    "HTTPRouteFilter",
    "HTTPS",
    "Header",
    "ListenerSet",
    "NoConflicts",
    "PathRegex",
    "Programmed",
    "ReplaceRegexMatch",
    "RequestHeaderModifier",
    "RequestRedirect",
    "ResolvedRefs",
    "ResponseHeaderModifier",
    "Secret",
    "Service",
    "System",
    "TCP",
    "TLS",
    "True",
    "UDP",
    "URLRewrite",
    "Unknown",
    "ValueRef",
];

#[test]
fn the_runbook_has_every_reason() {
    let files = files();
    let text = |path: &str| {
        let file = files.iter().find(|file| file.path == path);
        &file.unwrap_or_else(|| panic!("{path} is gone")).text
    };
    let runbook = text("docs/runbook.md");
    let mut broken = Vec::new();
    let mut seen = BTreeSet::new();
    for (file, sections) in WRITERS {
        let path = format!("crates/resolve/src/{file}");
        for word in words(text(&path)) {
            seen.insert(word);
            let there = sections.iter().any(|it| told(runbook, it).contains(word));
            if !there && !OTHERS.contains(&word) {
                broken.push(format!(
                    "{path}: {word} is not in {}",
                    sections.join(" or ")
                ));
            }
        }
    }
    for section in [GATEWAYS, ROUTES, POLICIES, BACKEND_TLS, BACKENDS] {
        let gone = told(runbook, section);
        let gone = gone.difference(&seen);
        broken.extend(gone.map(|word| format!("docs/runbook.md: {section}: {word} is no reason")));
    }
    let stale = OTHERS.iter().filter(|word| !seen.contains(*word));
    broken.extend(stale.map(|word| format!("OTHERS: {word:?} is nowhere any more")));
    none_of(
        &broken,
        "say in docs/runbook.md what a reason means and what to do; a word that is no reason goes into OTHERS",
    );
}

/// Every file that makes a condition is looked at.
#[test]
fn all_writers_of_reasons_are_known() {
    let makes = |file: &File| {
        file.path.starts_with("crates/resolve/src/")
            && !file.path.contains("/tests")
            && [
                "Condition::no(",
                "Condition::yes(",
                "reason: \"",
                "Unresolved::new(",
            ]
            .iter()
            .any(|it| code(&file.text).contains(it))
    };
    let all = files();
    let unknown = all.iter().filter(|file| makes(file)).filter(|file| {
        let known = |(writer, _): &(&str, _)| file.path == format!("crates/resolve/src/{writer}");
        !WRITERS.iter().any(known)
    });
    let unknown: Vec<_> = unknown.map(|file| file.path.clone()).collect();
    none_of(&unknown, "it makes conditions: name it in WRITERS");
}

/// A source without its unit tests.
fn code(source: &str) -> &str {
    source.split("\n#[cfg(test)]").next().unwrap_or_default()
}

/// The literals of a source that look like a reason: words run together, each with a capital.
fn words(source: &str) -> impl Iterator<Item = &str> {
    let code = code(source).lines().map(str::trim_start);
    code.filter(|line| !line.starts_with("//"))
        .flat_map(|line| line.split('"').skip(1).step_by(2))
        .filter(|word| {
            word.starts_with(|c: char| c.is_ascii_uppercase())
                && word.len() > 2
                && word.chars().all(|c| c.is_ascii_alphabetic())
        })
}

/// The words in the first column of a section's table: reasons, and types of conditions that hold.
fn told<'a>(runbook: &'a str, section: &str) -> BTreeSet<&'a str> {
    let begin = format!("\n{section}\n");
    let (_, rest) = runbook
        .split_once(&begin)
        .unwrap_or_else(|| panic!("docs/runbook.md has no section {section}"));
    let rows = rest.split("\n#").next().unwrap_or_default().lines();
    rows.filter_map(|line| line.strip_prefix("| `")?.split(" | ").next())
        .flat_map(|cell| cell.split('`'))
        .flat_map(|text| text.split("=True").take(1))
        .filter(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphabetic()))
        .collect()
}
