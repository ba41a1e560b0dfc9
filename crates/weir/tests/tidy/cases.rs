//! Pages that name the tests that hold each line of theirs: the tests are there.

use std::collections::BTreeSet;

use crate::{File, files, none_of};

/// The pages, each with how many tests it names at least.
const PAGES: [(&str, usize); 2] = [("docs/routing.md", 30), ("docs/tls.md", 25)];
/// Before each table of tests, where they lie.
const BELOW: &str = "Below `";

#[test]
fn the_tests_that_pages_name_are_there() {
    for (page, least) in PAGES {
        the_tests_of(page, least);
    }
}

fn the_tests_of(path: &str, least: usize) {
    let files = files();
    let page = files.iter().find(|it| it.path == path);
    let page = page.expect("the page is there");
    let mut folder = "";
    let (mut wrong, mut named) = (Vec::new(), BTreeSet::new());
    for (number, line) in page.lines() {
        if let Some(rest) = line.strip_prefix(BELOW) {
            folder = rest.split('`').next().unwrap_or_default();
        }
        let row = line.strip_prefix("| ");
        let row = row.filter(|it| *it != "what | tests |" && !folder.is_empty());
        let Some(row) = row else {
            continue;
        };
        let tests = row.rsplit(" | ").next().unwrap_or_default();
        let tests: Vec<_> = tests.split('`').filter(|it| it.contains("::")).collect();
        if tests.is_empty() {
            wrong.push(format!("{path}:{number}: no test holds this line"));
        }
        for test in tests {
            named.insert(test);
            if !is_there(&files, folder, test) {
                wrong.push(format!(
                    "{path}:{number}: there is no test {test} below {folder}"
                ));
            }
        }
    }
    none_of(&wrong, "rename them in the page as well");
    assert!(
        named.len() >= least,
        "{path}: only {} tests: is this the page?",
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
