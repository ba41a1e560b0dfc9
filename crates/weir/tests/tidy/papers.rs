//! Rules about everything beside the sources: paths, links, decisions, the README's commands.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use crate::{File, files, none_of, root};

fn pages() -> Vec<File> {
    let mut pages = files();
    pages.retain(|file| file.path.ends_with(".md"));
    pages
}

#[test]
fn nothing_names_a_path_of_one_machine() {
    // Put together here, so that this file does not contain them.
    let roots: Vec<String> = ["work", "root", "home", "farm", "tmp", "Users"]
        .iter()
        .map(|name| format!("/{name}/"))
        .collect();
    let mut broken = Vec::new();
    for file in files() {
        for (number, line) in file.lines() {
            for root in &roots {
                let is_path = line.match_indices(root.as_str()).any(|(at, _)| {
                    // Behind a host name it is part of a URL, behind a word a path below something.
                    !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-/*}".contains(c))
                });
                if is_path {
                    broken.push(format!("{}:{number}: {root}", file.path));
                }
            }
        }
    }
    none_of(
        &broken,
        "write the path relative to the project, or take a temporary folder; other machines have other paths",
    );
}

#[test]
fn links_lead_somewhere() {
    let pages = pages();
    let mut broken = Vec::new();
    for page in &pages {
        for (number, target) in links(page) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = match target.split_once('#') {
                Some((path, anchor)) => (path, Some(anchor)),
                None => (target, None),
            };
            let path = if path.is_empty() {
                page.path.clone()
            } else {
                beside(&page.path, path)
            };
            if !root().join(&path).exists() {
                broken.push(format!("{}:{number}: {target} (no {path})", page.path));
                continue;
            }
            let Some(anchor) = anchor else { continue };
            let known = pages
                .iter()
                .find(|page| page.path == path)
                .is_some_and(|page| anchors(page).contains(anchor));
            if !known {
                broken.push(format!(
                    "{}:{number}: {target} (no heading of that name)",
                    page.path
                ));
            }
        }
    }
    none_of(
        &broken,
        "mend the link; it is relative to the page it stands in",
    );
}

/// The targets of a page's links with their lines, code blocks left out.
fn links(page: &File) -> Vec<(usize, &str)> {
    prose(page)
        .flat_map(|(number, line)| {
            line.match_indices("](").filter_map(move |(at, start)| {
                let target = &line[at + start.len()..];
                Some((number, &target[..target.find(')')?]))
            })
        })
        .collect()
}

/// The lines of a page outside its code blocks.
fn prose(page: &File) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    page.lines().filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !in_code && !fence
    })
}

/// The anchors of a page's headings, spelled as code hosts do.
fn anchors(page: &File) -> BTreeSet<String> {
    prose(page)
        .filter(|(_, line)| line.starts_with('#'))
        .map(|(_, line)| {
            line.trim_start_matches('#')
                .trim()
                .to_lowercase()
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}

/// The path below the root that `target` means on the page `page`.
fn beside(page: &str, target: &str) -> String {
    let mut path = PathBuf::from(page);
    path.pop();
    for part in Path::new(target).components() {
        match part {
            Component::ParentDir => drop(path.pop()),
            Component::CurDir => {}
            Component::Normal(_) | Component::RootDir | Component::Prefix(_) => path.push(part),
        }
    }
    path.to_string_lossy().into_owned()
}

#[test]
fn every_decision_is_in_the_index() {
    let pages = pages();
    let index = pages
        .iter()
        .find(|page| page.path == "docs/decisions/README.md");
    let index = index.expect("docs/decisions/README.md lists the decisions");
    let listed: BTreeSet<&str> = links(index).into_iter().map(|(_, target)| target).collect();
    let mut broken = Vec::new();
    let mut numbers = BTreeSet::new();
    for page in &pages {
        let Some(name) = page
            .path
            .strip_prefix("docs/decisions/")
            .filter(|name| *name != "README.md")
        else {
            continue;
        };
        let number = name.split('-').next().unwrap_or_default();
        if number.len() != 4 || !number.bytes().all(|b| b.is_ascii_digit()) {
            broken.push(format!(
                "{}: the name begins with a number of four digits",
                page.path
            ));
        } else if !numbers.insert(number) {
            broken.push(format!("{}: the number {number} is taken", page.path));
        }
        if !listed.contains(name) {
            broken.push(format!("{}: not in docs/decisions/README.md", page.path));
        }
    }
    none_of(
        &broken,
        "give the decision the next number of its range, and a line in the index",
    );
}

#[test]
fn the_commands_of_the_readme_are_there() {
    let pages = pages();
    let readme = pages
        .iter()
        .find(|page| page.path == "README.md")
        .expect("there is a README.md");
    let commands: Vec<&str> = readme
        .lines()
        .map(|(_, line)| line.trim_start_matches("$ "))
        .filter(|line| matches!(*line, "cargo run --release -- quickstart" | "scripts/test"))
        .collect();
    assert_eq!(
        commands.get(..2),
        Some(["cargo run --release -- quickstart", "scripts/test"].as_slice()),
        "README.md gives the two commands, each on a line of its own, quickstart first"
    );
    let help = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["quickstart", "--help"])
        .output()
        .expect("weir runs");
    assert!(
        help.status.success(),
        "`weir quickstart` is a command: {}",
        String::from_utf8_lossy(&help.stderr)
    );
}

#[test]
fn scripts_can_be_run() {
    for script in ["scripts/test", "scripts/check", "scripts/bless", ".ci/run"] {
        let path = root().join(script);
        assert!(path.is_file(), "{script} is missing");
        let text = std::fs::read_to_string(&path).expect("a script is text");
        assert!(
            text.starts_with("#!/usr/bin/env bash\n"),
            "{script} begins with #!/usr/bin/env bash"
        );
        assert!(
            text.contains("\nset -euo pipefail\n"),
            "{script} stops at the first failure (set -euo pipefail)"
        );
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = path
                .metadata()
                .expect("its metadata can be read")
                .permissions()
                .mode();
            assert!(
                mode & 0o111 == 0o111,
                "{script} is executable (chmod +x, git add)"
            );
        }
        let parsed = Command::new("bash")
            .arg("-n")
            .arg(&path)
            .output()
            .expect("bash runs");
        assert!(
            parsed.status.success(),
            "{script}: {}",
            String::from_utf8_lossy(&parsed.stderr)
        );
    }
}

#[test]
fn the_only_binary_is_weir() {
    // Otherwise `cargo run` at the root would ask which one is meant.
    let broken: Vec<String> = files()
        .iter()
        .filter(|file| file.path.ends_with("/src/main.rs") || file.path.contains("/src/bin/"))
        .filter(|file| file.path != "crates/weir/src/main.rs" && file.path.starts_with("crates/"))
        .map(|file| file.path.clone())
        .collect();
    none_of(
        &broken,
        "make it a subcommand of weir, a test or an example",
    );
}

#[test]
fn the_papers_are_there() {
    let begins = [
        ("README.md", "# Weir\n"),
        ("ARCHITECTURE.md", "# Architecture\n"),
        ("CONTRIBUTING.md", "# Contributing\n"),
        ("CHANGELOG.md", "# Changelog\n"),
    ];
    for (path, begin) in begins {
        let text = std::fs::read_to_string(root().join(path)).unwrap_or_default();
        assert!(text.starts_with(begin), "{path} begins with {begin:?}");
    }
    let licence = std::fs::read_to_string(root().join("LICENSE")).unwrap_or_default();
    assert!(
        licence.contains("Apache License") && licence.contains("END OF TERMS AND CONDITIONS"),
        "LICENSE holds the whole text of the Apache License 2.0"
    );
}

#[test]
fn the_map_names_every_module() {
    let files = files();
    let map = files
        .iter()
        .find(|file| file.path == "ARCHITECTURE.md")
        .expect("there is an ARCHITECTURE.md");
    let mut broken = BTreeSet::new();
    for file in &files {
        let Some((name, path)) = file
            .path
            .strip_prefix("crates/")
            .and_then(|path| path.split_once("/src/"))
        else {
            continue;
        };
        let heading = format!("\n### `crates/{name}`");
        let section = map
            .text
            .split_once(heading.as_str())
            .map(|(_, rest)| rest.split("\n#").next().unwrap_or_default());
        let Some(section) = section else {
            broken.insert(format!("crates/{name} has no section"));
            continue;
        };
        // A folder is named as such, or by the file that declares its modules.
        let module = path
            .split('/')
            .next()
            .unwrap_or_default()
            .trim_end_matches(".rs");
        let named = [format!("`{module}.rs`"), format!("`{module}/`")]
            .iter()
            .any(|name| section.contains(name.as_str()));
        if !named && module != "lib" && module != "main" {
            broken.insert(format!("crates/{name}/src/{module}"));
        }
    }
    none_of(
        &broken.into_iter().collect::<Vec<_>>(),
        "give the module a line in the code map of ARCHITECTURE.md",
    );
}

#[test]
fn what_operators_see_is_documented() {
    let files = files();
    let text = |path: &str| {
        files
            .iter()
            .find(|file| file.path == path)
            .expect("the file is there")
            .text
            .as_str()
    };
    let page = text("docs/operations.md");
    let keys = quoted(
        text("crates/proxy/src/access_log/line.rs"),
        "fn write(",
        "\n}\n",
    );
    let operators = quoted(text("crates/plan/src/operator.rs"), "\nplain! {", "\n}\n");
    let flags = quoted(text("crates/proxy/src/flags.rs"), "\nflags! {", "\n}\n");
    let metrics = quoted(text("crates/weir/src/metrics.rs"), "fn new()", "\n    }\n");
    let metrics = metrics
        .into_iter()
        .filter(|name| name.starts_with("config_"))
        .map(|name| format!("weir_{name}"));
    let mut broken = Vec::new();
    for name in keys
        .into_iter()
        .chain(flags)
        .chain(operators)
        .map(str::to_owned)
        .chain(metrics)
    {
        // A metric's unit and `_total` are added to its name when it is written.
        if !page.contains(&format!("`{name}`")) && !page.contains(&format!("`{name}_")) {
            broken.push(name);
        }
    }
    none_of(&broken, "say on docs/operations.md what it means");
}

/// The texts in quotes between two places of a source file.
fn quoted<'a>(source: &'a str, from: &str, to: &str) -> Vec<&'a str> {
    let part = source
        .split_once(from)
        .and_then(|(_, rest)| rest.split_once(to))
        .map(|(part, _)| part);
    let quoted: Vec<&str> = part
        .unwrap_or_default()
        .split('"')
        .skip(1)
        .step_by(2)
        .collect();
    assert!(
        quoted.len() > 5,
        "nothing between {from:?} and {to:?} any more: what is documented now?"
    );
    quoted
}

#[test]
fn findings_are_documented() {
    let files = files();
    let page = files
        .iter()
        .find(|file| file.path == "docs/findings.md")
        .expect("docs/findings.md lists the findings");
    let mut broken: BTreeSet<String> = weir_resolve::lint::WARNINGS
        .iter()
        .filter(|id| !page.text.contains(&format!("`{id}`")))
        .map(|id| format!("lint::WARNINGS: {id}"))
        .collect();
    // These are about no object that is read, so none can ignore them.
    let no_object = ["not-read", "unknown-kind"];
    for file in files
        .iter()
        .filter(|file| file.path.contains("/src/") && file.path.ends_with(".rs"))
    {
        let code = file.text.split("#[cfg(test)]").next().unwrap_or_default();
        // Where findings are made, their id follows one of these within a few lines, as the first text in kebab-case.
        for call in [
            "found.error(",
            "found.warning(",
            "findings.push((",
            "id: \"",
        ] {
            for (at, _) in code.match_indices(call) {
                let id = code[at..]
                    .split('"')
                    .skip(1)
                    .step_by(2)
                    .take(3)
                    .find(|text| is_id(text));
                if let Some(id) = id.filter(|id| !page.text.contains(&format!("`{id}`"))) {
                    broken.insert(format!("{}: {id}", file.path));
                }
                let call_alone = code[at..].split(';').next().unwrap_or_default();
                let ignorable = |id: &str| {
                    no_object.contains(&id) || weir_resolve::lint::WARNINGS.contains(&id)
                };
                if let Some(id) = id.filter(|id| {
                    call == "found.warning(" && call_alone.contains(*id) && !ignorable(id)
                }) {
                    broken.insert(format!("{}: {id} is not in lint::WARNINGS", file.path));
                }
            }
        }
    }
    none_of(
        &broken.into_iter().collect::<Vec<_>>(),
        "give the finding a line on docs/findings.md",
    );
}

fn is_id(text: &str) -> bool {
    text.contains('-') && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
}
