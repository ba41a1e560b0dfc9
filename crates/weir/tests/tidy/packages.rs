//! Rules about packages: which crate may depend on which, and under which licences.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::{none_of, root};

/// Licences under which a dependency may be used. MPL-2.0 asks to publish changes of its files, which nobody here makes.
const LICENCES: [&str; 14] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// What a crate may depend on.
struct Rule {
    package: &'static str,
    /// The only direct dependencies; none: any that is not forbidden.
    only: Option<&'static [&'static str]>,
    /// What must not be reached, directly or through others.
    never: &'static [&'static str],
    why: &'static str,
}

const RULES: [Rule; 6] = [
    Rule {
        package: "weir-plan",
        only: Some(&["http", "ipnet", "serde"]),
        never: &[
            "kube",
            "kube-core",
            "k8s-openapi",
            "tokio",
            "prost",
            "hyper",
        ],
        why: "the plan is plain data that every data plane shares",
    },
    Rule {
        package: "weir-resolve",
        only: None,
        never: &[
            "tokio",
            "hyper",
            "mio",
            "socket2",
            "notify",
            "tokio-rustls",
            "weir-proxy",
            "weir-limiter",
            "weir-provider",
        ],
        why: "resolving is a pure function: no sockets, no runtime, no files",
    },
    Rule {
        package: "weir-proxy",
        only: None,
        never: &[
            "kube",
            "kube-core",
            "k8s-openapi",
            "gateway-api",
            "prost",
            "weir-resolve",
            "weir-provider",
        ],
        why: "the data plane knows plans, not Kubernetes",
    },
    Rule {
        package: "weir-limiter",
        only: None,
        never: &[
            "kube",
            "kube-core",
            "k8s-openapi",
            "gateway-api",
            "hyper",
            "weir-resolve",
            "weir-proxy",
            "weir-provider",
        ],
        why: "counting knows no routes and no Kubernetes",
    },
    Rule {
        package: "weir-provider",
        only: None,
        never: &["weir-proxy", "weir-limiter", "weir-xds"],
        why: "a provider fills resources and does not care who enforces them",
    },
    Rule {
        package: "weir-xds",
        only: None,
        never: &[
            "kube",
            "kube-core",
            "k8s-openapi",
            "gateway-api",
            "weir-resolve",
            "weir-proxy",
            "weir-provider",
        ],
        why: "the Envoy form is made from the plan alone",
    },
];

/// The packages that are built on this machine, with what they need.
struct Packages(Value);

impl Packages {
    fn read() -> Self {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let version = Command::new(rustc)
            .arg("-vV")
            .output()
            .expect("rustc runs")
            .stdout;
        let version = String::from_utf8(version).expect("rustc writes UTF-8");
        let host = version
            .lines()
            .find_map(|line| line.strip_prefix("host: "))
            .expect("rustc names its host");
        let metadata = Command::new(env!("CARGO"))
            // What other platforms need is not fetched here, so it cannot be looked at.
            .args([
                "metadata",
                "--format-version=1",
                "--offline",
                "--filter-platform",
                host,
            ])
            .current_dir(root())
            .output()
            .expect("cargo runs");
        assert!(
            metadata.status.success(),
            "{}",
            String::from_utf8_lossy(&metadata.stderr)
        );
        Self(serde_json::from_slice(&metadata.stdout).expect("cargo writes JSON"))
    }

    fn all(&self) -> &[Value] {
        list(&self.0["packages"])
    }

    /// The name of each package by its id.
    fn names(&self) -> BTreeMap<&str, &str> {
        self.all()
            .iter()
            .map(|package| (text(&package["id"]), text(&package["name"])))
            .collect()
    }

    /// What each package needs to be built and run (not to be tested), by id.
    fn needs(&self) -> BTreeMap<&str, Vec<&str>> {
        let for_use = |dependency: &&Value| {
            list(&dependency["dep_kinds"])
                .iter()
                .any(|kind| kind["kind"] != "dev")
        };
        list(&self.0["resolve"]["nodes"])
            .iter()
            .map(|node| {
                let needs = list(&node["deps"])
                    .iter()
                    .filter(for_use)
                    .map(|dependency| text(&dependency["pkg"]));
                (text(&node["id"]), needs.collect())
            })
            .collect()
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("cargo metadata has a list here")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("cargo metadata has a text here")
}

/// One path from `from` to each package that can be reached.
fn paths<'a>(
    from: &'a str,
    needs: &BTreeMap<&'a str, Vec<&'a str>>,
) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut found = BTreeMap::from([(from, vec![from])]);
    let mut open = vec![from];
    while let Some(at) = open.pop() {
        for &next in &needs[at] {
            if !found.contains_key(next) {
                let mut path = found[at].clone();
                path.push(next);
                found.insert(next, path);
                open.push(next);
            }
        }
    }
    found
}

#[test]
fn crates_depend_on_what_they_may() {
    let packages = Packages::read();
    let (names, needs) = (packages.names(), packages.needs());
    let mut broken = Vec::new();
    for Rule {
        package,
        only,
        never,
        why,
    } in RULES
    {
        let Some((&id, _)) = names.iter().find(|(_, name)| **name == package) else {
            continue; // A crate that is yet to come.
        };
        let direct: BTreeSet<&str> = needs[id].iter().map(|id| names[id]).collect();
        if let Some(only) = only {
            for name in direct.iter().filter(|name| !only.contains(name)) {
                broken.push(format!("{package} -> {name}: {why}"));
            }
        }
        for (reached, path) in paths(id, &needs) {
            if never.contains(&names[reached]) {
                let path: Vec<&str> = path.iter().map(|id| names[id]).collect();
                broken.push(format!("{}: {why}", path.join(" -> ")));
            }
        }
    }
    none_of(
        &broken,
        "move what needs the dependency to a crate that may have it (ARCHITECTURE.md says which)",
    );
}

#[test]
fn every_package_has_a_rule() {
    let packages = Packages::read();
    let ours = list(&packages.0["workspace_members"]);
    let names = packages.names();
    let broken: Vec<String> = ours
        .iter()
        .map(|id| names[text(id)])
        // The binary may use everything; `weir-bench` measures it.
        .filter(|name| {
            !matches!(*name, "weir" | "weir-bench")
                && !RULES.iter().any(|rule| rule.package == *name)
        })
        .map(str::to_owned)
        .collect();
    none_of(&broken, "say in RULES what the new crate may depend on");
}

#[test]
fn every_dependency_has_a_licence_that_we_accept() {
    let packages = Packages::read();
    let mut broken = Vec::new();
    for package in packages.all() {
        let name = format!("{} {}", text(&package["name"]), text(&package["version"]));
        match package["license"].as_str() {
            Some(licence) if accepted(licence) => {}
            Some(licence) => broken.push(format!("{name}: {licence}")),
            None => broken.push(format!("{name}: no licence in its manifest")),
        }
    }
    none_of(
        &broken,
        "take another package; the licences that we accept are listed in LICENCES",
    );
}

#[test]
fn dependencies_come_from_the_registry() {
    let packages = Packages::read();
    let broken: Vec<String> = packages
        .all()
        .iter()
        .filter_map(|package| package["source"].as_str().map(|source| (package, source)))
        .filter(|(_, source)| !source.starts_with("registry+"))
        .map(|(package, source)| format!("{}: {source}", package["name"]))
        .collect();
    none_of(&broken, "depend on released versions, not on repositories");
}

/// Whether an SPDX expression leaves us a choice of accepted licences only. `/` is the old way to write OR.
fn accepted(expression: &str) -> bool {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = tokens.as_slice();
    let accepted = any(&mut rest);
    accepted && rest.is_empty()
}

fn any(tokens: &mut &[&str]) -> bool {
    let mut accepted = all(tokens);
    while let ["OR", rest @ ..] = *tokens {
        *tokens = rest;
        accepted |= all(tokens);
    }
    accepted
}

fn all(tokens: &mut &[&str]) -> bool {
    let mut accepted = one(tokens);
    while let ["AND", rest @ ..] = *tokens {
        *tokens = rest;
        accepted &= one(tokens);
    }
    accepted
}

fn one(tokens: &mut &[&str]) -> bool {
    match *tokens {
        ["(", rest @ ..] => {
            *tokens = rest;
            let accepted = any(tokens);
            let [")", rest @ ..] = *tokens else {
                return false;
            };
            *tokens = rest;
            accepted
        }
        [licence, "WITH", exception, rest @ ..] => {
            *tokens = rest;
            LICENCES.contains(&format!("{licence} WITH {exception}").as_str())
        }
        [licence, rest @ ..] => {
            *tokens = rest;
            LICENCES.contains(licence)
        }
        [] => false,
    }
}

#[test]
fn licence_expressions_are_understood() {
    let cases = [
        ("MIT", true),
        ("GPL-3.0-only", false),
        ("MIT OR GPL-3.0-only", true),
        ("MIT AND GPL-3.0-only", false),
        ("MIT/Apache-2.0", true),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("(MIT OR Apache-2.0) AND AGPL-3.0-only", false),
        ("GPL-2.0-only OR (MIT AND (ISC OR GPL-3.0-only))", true),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("GPL-2.0-only WITH Classpath-exception-2.0", false),
        ("(MIT", false),
        ("MIT ISC", false),
        ("", false),
    ];
    for (expression, expected) in cases {
        assert_eq!(accepted(expression), expected, "{expression:?}");
    }
}
