//! The page about routing names the tests that hold each line of it: they are there.

use std::collections::BTreeSet;

use crate::{File, files, none_of};

const PAGE: &str = "docs/routing.md";
/// Before each table of the page, where its tests lie.
const BELOW: &str = "Below `";

#[test]
fn the_tests_that_the_page_about_routing_names_are_there() {
    let files = files();
    let page = files.iter().find(|it| it.path == PAGE);
    let page = page.expect("the page is there");
    let mut folder = "";
    let (mut wrong, mut named) = (Vec::new(), BTreeSet::new());
    for (number, line) in page.lines() {
        if let Some(rest) = line.strip_prefix(BELOW) {
            folder = rest.split('`').next().unwrap_or_default();
        }
        let Some(row) = line.strip_prefix("| ").filter(|it| *it != "what | tests |") else {
            continue;
        };
        let tests = row.rsplit(" | ").next().unwrap_or_default();
        let tests: Vec<_> = tests.split('`').filter(|it| it.contains("::")).collect();
        if tests.is_empty() {
            wrong.push(format!("{PAGE}:{number}: no test holds this line"));
        }
        for test in tests {
            named.insert(test);
            if !is_there(&files, folder, test) {
                wrong.push(format!(
                    "{PAGE}:{number}: there is no test {test} below {folder}"
                ));
            }
        }
    }
    none_of(&wrong, "rename them in the page as well");
    assert!(
        named.len() > 30,
        "only {} tests: is this the page?",
        named.len()
    );
}

/// Whether a module below a folder has a test of this name, such as `tls::clients::name`.
fn is_there(files: &[File], folder: &str, test: &str) -> bool {
    let Some((module, name)) = test.rsplit_once("::") else {
        return false;
    };
    let path = format!("{folder}/{}.rs", module.replace("::", "/"));
    let head = format!("#[test]\nfn {name}() {{");
    files
        .iter()
        .any(|it| it.path == path && it.text.contains(&head))
}
