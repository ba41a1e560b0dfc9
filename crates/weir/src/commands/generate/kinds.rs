//! The pages of `docs/reference` about our kinds: every field, with what it takes, what it means, and how far it is enforced.

use std::fmt::Write;

use weir_plan::{Feature, Support};
use weir_resolve::crd::reference::{self, Enforced, FieldReference, KindReference};

/// A page for each kind, and its name.
pub(super) fn pages() -> Vec<(String, String)> {
    let name = |it: &KindReference| format!("{}.md", it.kind.to_ascii_lowercase());
    reference::kinds(weir_proxy::support, weir_proxy::CLIENT_SUPPORT)
        .iter()
        .map(|it| (name(it), page(it)))
        .collect()
}

fn page(
    KindReference {
        kind,
        description,
        rules,
        fields,
    }: &KindReference,
) -> String {
    let mut page = format!(
        "# {kind}\n\nWritten by `weir generate reference --out docs/reference`; do not edit.\n\n\
         {description} Its `apiVersion` is `gateway.envoyproxy.io/v1alpha1`; what follows is its `spec`. Items of a list are \
         `[]`, the keys of a map `KEY`. The last column says whether Weir's own proxy enforces the field. Fields in **bold** \
         must be given where the object is that they are part of.\n"
    );
    add_rules(&mut page, rules.iter().map(|it| ("spec", *it)));
    for section in fields.chunk_by(|one, other| top(one) == top(other)) {
        add_section(&mut page, section);
    }
    page
}

/// The field of the spec that a field is part of.
fn top(field: &FieldReference) -> &str {
    field.path.split(['.', '[']).next().unwrap_or_default()
}

/// A field of the spec with all that is below it.
fn add_section(page: &mut String, fields: &[FieldReference]) {
    let Some((first, below)) = fields.split_first() else {
        return;
    };
    let name = top(first);
    let FieldReference {
        path: _,
        shape,
        required: _,
        description,
        rules: _,
        feature,
        enforced,
    } = first;
    push(
        page,
        format_args!(
            "\n## `{name}`\n\n{description}\n\nTakes: {shape}. Enforced: {}.",
            said(enforced)
        ),
    );
    if let Some(feature) = feature.filter(|it| weir_proxy::support(*it) != Support::No) {
        push(
            page,
            format_args!(" See [{}]({}).", words(feature), prose(feature)),
        );
    }
    push(page, format_args!("\n"));
    for (number, field) in below.iter().enumerate() {
        let FieldReference {
            path,
            shape,
            required,
            description,
            rules: _,
            feature: _,
            enforced,
        } = field;
        if number == 0 {
            let head = "\n| field | takes | meaning | enforced |\n|---|---|---|---|\n";
            push(page, format_args!("{head}"));
        }
        let mark = if *required { "**" } else { "" };
        let (shape, description) = (cell(shape), cell(description));
        let enforced = said(enforced);
        push(
            page,
            format_args!("| {mark}`{path}`{mark} | {shape} | {description} | {enforced} |\n"),
        );
    }
    let own = first.rules.iter().map(|it| (name, *it));
    let inner = below.iter().flat_map(|it| {
        let path = it.path.as_str();
        it.rules.iter().map(move |rule| (path, *rule))
    });
    add_rules(page, own.chain(inner));
}

/// What must hold between fields.
fn add_rules<'a>(page: &mut String, rules: impl Iterator<Item = (&'a str, &'a str)>) {
    for (number, (path, rule)) in rules.enumerate() {
        if number == 0 {
            push(
                page,
                format_args!("\nRefused where one of these does not hold:\n\n"),
            );
        }
        push(page, format_args!("- `{path}`: {}\n", cell(rule)));
    }
}

fn said(enforced: &Enforced) -> String {
    match enforced {
        Enforced::Fully => "yes".to_owned(),
        Enforced::AllBut(values) => format!("all but `{}`", values.join("`, `")),
        Enforced::Partly => "in part".to_owned(),
        Enforced::Not => "no".to_owned(),
    }
}

fn words(feature: Feature) -> String {
    feature.stem().replace('_', " ")
}

fn prose(feature: Feature) -> String {
    format!("../policies/{}.md", feature.stem().replace('_', "-"))
}

/// A text as a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

fn push(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.write_fmt(text)
        .expect("a String takes all that is written");
}
