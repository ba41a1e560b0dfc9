//! Rules about Rust sources: length, headers, names, and what must not be called where.

use std::collections::BTreeSet;

use weir_plan::{Feature, Support};

use crate::{File, files, none_of, root};

/// The most lines that a file may have.
const LONGEST: usize = 500;

/// Files that may be longer, each with the reason.
const LONG_FILES: [(&str, &str); 0] = [];

/// The crates whose results must depend on their arguments only.
const PURE: [&str; 3] = ["plan", "resolve", "xds"];

fn sources() -> Vec<File> {
    let mut sources = files();
    sources.retain(|file| file.path.ends_with(".rs"));
    sources
}

/// The crate that a source file belongs to, where it is part of what the crate ships.
fn shipped_in(file: &File) -> Option<&str> {
    let (name, rest) = file.path.strip_prefix("crates/")?.split_once('/')?;
    rest.starts_with("src/").then_some(name)
}

/// The lines that are code, with their numbers.
fn code(file: &File) -> impl Iterator<Item = (usize, &str)> {
    file.lines()
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Code lines before the unit tests, which are last in a file.
fn code_before_tests(file: &File) -> impl Iterator<Item = (usize, &str)> {
    code(file).take_while(|(_, line)| line.trim() != "#[cfg(test)]")
}

/// Every place of `files` where a line from `lines` has one of `words`.
fn places<'a, I>(files: &'a [File], lines: fn(&'a File) -> I, words: &[String]) -> Vec<String>
where
    I: Iterator<Item = (usize, &'a str)>,
{
    let mut found = Vec::new();
    for file in files {
        for (number, line) in lines(file) {
            if let Some(word) = words.iter().find(|word| line.contains(word.as_str())) {
                found.push(format!("{}:{number}: {word}", file.path));
            }
        }
    }
    found
}

/// Words put together at run time, so that this file does not contain them.
fn words(parts: &[[&str; 2]]) -> Vec<String> {
    parts.iter().map(|parts| parts.concat()).collect()
}

#[test]
fn files_stay_short() {
    let sources = sources();
    let mut broken = Vec::new();
    for file in &sources {
        let lines = file.text.lines().count();
        if lines > LONGEST && !LONG_FILES.iter().any(|(path, _)| *path == file.path) {
            broken.push(format!("{}: {lines} lines", file.path));
        }
    }
    for (path, reason) in LONG_FILES {
        let long = sources
            .iter()
            .any(|file| file.path == path && file.text.lines().count() > LONGEST);
        if !long || reason.is_empty() {
            broken.push(format!("{path}: its exemption is stale, or has no reason"));
        }
    }
    none_of(
        &broken,
        &format!("a file has at most {LONGEST} lines; split it by subject, not by size"),
    );
}

#[test]
fn every_file_says_what_it_is_for() {
    let broken: Vec<String> = sources()
        .iter()
        .filter(|file| !file.text.starts_with("//! "))
        .map(|file| file.path.clone())
        .collect();
    none_of(
        &broken,
        "open the file with two to five lines of `//!` that say what it is for",
    );
}

#[test]
fn names_say_something() {
    let empty = [
        "utils", "util", "helpers", "helper", "common", "misc", "manager",
    ];
    let broken: Vec<String> = sources()
        .iter()
        .filter(|file| {
            file.path
                .split('/')
                .any(|part| empty.contains(&part.trim_end_matches(".rs")))
        })
        .map(|file| file.path.clone())
        .collect();
    none_of(
        &broken,
        "name the file after what is in it; a file for everything is a file for nothing",
    );
}

#[test]
fn pure_crates_depend_on_their_arguments_only() {
    let mut pure = sources();
    pure.retain(|file| shipped_in(file).is_some_and(|name| PURE.contains(&name)));
    let forbidden = words(&[
        ["Hash", "Map"],
        ["Hash", "Set"],
        ["::now", "("],
        ["std::", "env"],
        ["std::", "fs"],
        ["std::", "net::Tcp"],
        ["std::", "process"],
        ["thread", "_rng"],
    ]);
    none_of(
        &places(&pure, code, &forbidden),
        "plan, resolve and xds give equal results for equal arguments: take a BTreeMap or BTreeSet, and let the caller \
         bring the time, randomness and files",
    );
}

#[test]
fn nothing_is_left_unfinished() {
    let sources = sources();
    let macros = words(&[["todo", "!("], ["unimplemented", "!("], ["dbg", "!("]]);
    let mut broken = places(&sources, code, &macros);
    let marks = words(&[["FIX", "ME"], ["TO", "DO:"], ["XX", "X:"], ["HA", "CK:"]]);
    broken.extend(places(&sources, File::lines, &marks));
    none_of(&broken, "finish it, or leave it out and say so in the docs");
}

#[test]
fn struct_literals_name_every_field() {
    // Generated protobuf messages are the exception, so `xds` is left out.
    let mut sources = sources();
    sources.retain(|file| !file.path.starts_with("crates/xds/"));
    let broken = places(&sources, code, &words(&[["..Default::", "default()"]]));
    none_of(
        &broken,
        "write every field: a new one must be a compile error wherever somebody has to decide about it",
    );
}

#[test]
fn lints_are_expected_with_a_reason() {
    let sources = sources();
    let mut broken = places(
        &sources,
        code,
        &words(&[["#[all", "ow("], ["#![all", "ow("]]),
    );
    let expected = words(&[["#[exp", "ect("], ["#![exp", "ect("]]);
    for file in &sources {
        for (number, line) in code(file) {
            if expected
                .iter()
                .any(|start| line.trim_start().starts_with(start.as_str()))
            {
                let attribute: String = file.text.lines().skip(number - 1).take(6).collect();
                let attribute = attribute.split(")]").next().unwrap_or_default();
                if !attribute.contains("reason") {
                    broken.push(format!("{}:{number}: no reason", file.path));
                }
            }
        }
    }
    none_of(
        &broken,
        "write `expect(LINT, reason = \"..\")`: it says why, and tells when it is no longer needed",
    );
}

#[test]
fn libraries_do_not_print() {
    let mut libraries = sources();
    libraries.retain(|file| shipped_in(file).is_some_and(|name| name != "weir"));
    let prints = words(&[["println", "!("], ["print", "!("]]);
    none_of(
        &places(&libraries, code_before_tests, &prints),
        "a library logs (`tracing`) or returns; only the binary prints",
    );
}

#[test]
fn public_items_of_the_shared_crates_are_documented() {
    let sources = sources();
    let broken: Vec<&str> = ["plan", "resolve", "limiter", "provider"]
        .into_iter()
        .filter(|name| {
            let facade = format!("crates/{name}/src/lib.rs");
            !sources
                .iter()
                .any(|file| file.path == facade && file.text.contains("#![warn(missing_docs)]"))
        })
        .collect();
    assert!(
        broken.is_empty(),
        "write #![warn(missing_docs)] into src/lib.rs of {broken:?}"
    );
}

#[test]
fn a_feature_has_its_stem_in_every_layer() {
    let paths: BTreeSet<String> = files().into_iter().map(|file| file.path).collect();
    let mut broken = Vec::new();
    for feature in Feature::ALL {
        let stem = feature.stem();
        let enforced = match weir_proxy::support(feature) {
            Support::Full | Support::Partial(_) => true,
            Support::No => false,
        };
        if !enforced {
            continue;
        }
        // What a routing type says is done when the plan names the endpoints.
        let layers = if feature == Feature::RoutingType {
            &["resolve"][..]
        } else {
            &["plan", "resolve", "proxy"]
        };
        for layer in layers {
            let file = format!("crates/{layer}/src/features/{stem}.rs");
            let folder = format!("crates/{layer}/src/features/{stem}/mod.rs");
            if !paths.contains(&file) && !paths.contains(&folder) {
                broken.push(format!("{file} is missing"));
            }
        }
        let page = format!("docs/policies/{}.md", stem.replace('_', "-"));
        if !paths.contains(&page) {
            broken.push(format!("{page} is missing"));
        }
    }
    let stems: BTreeSet<&str> = Feature::ALL.into_iter().map(Feature::stem).collect();
    for path in &paths {
        let Some((_, rest)) = path.split_once("/src/features/") else {
            continue;
        };
        let stem = rest.split(['/', '.']).next().unwrap_or_default();
        if stem != "mod" && !stems.contains(stem) {
            broken.push(format!("{path}: no feature has the stem {stem}"));
        }
    }
    none_of(
        &broken,
        "what the data plane enforces has one file of the feature's stem in each layer, and a page in docs/policies",
    );
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    let broken: Vec<String> = files()
        .iter()
        .filter(|file| file.name() == "Cargo.toml" && file.path != "Cargo.toml")
        .filter(|file| !file.text.contains("[lints]\nworkspace = true"))
        .map(|file| file.path.clone())
        .collect();
    none_of(&broken, "add `[lints]` with `workspace = true`");
    let workspace =
        std::fs::read_to_string(root().join("Cargo.toml")).expect("the workspace has a manifest");
    assert!(
        workspace.contains("unsafe_code = \"forbid\""),
        "unsafe code stays forbidden in the whole workspace"
    );
}
