//! A difference as Markdown, to be posted on a pull request.

use std::fmt::Write as _;

use weir_resolve::diff::{
    BlastRadius, Change, ConditionChange, Difference, FieldChange, ListenerChange, Place,
    PolicyChange, Presence, Sides, Written,
};

use super::{Errors, Report};

/// The most bytes; what does not fit is counted. Code hosts take comments of 65,536 characters.
const MAX_BYTES: usize = 60_000;
/// The most rules that are listed for one change.
const MAX_RULES: usize = 50;

/// A heading, the blast radius, and a table for each change.
pub(super) fn markdown(
    Report {
        old,
        new,
        errors,
        difference,
    }: &Report,
) -> String {
    let Difference {
        blast_radius,
        changes,
        listeners,
        policies,
    } = difference;
    let mut text = format!(
        "### Effective policies: {} to {}\n\n{}\n",
        code(old),
        code(new),
        radius(blast_radius)
    );
    let Errors {
        old: old_errors,
        new: new_errors,
    } = errors;
    if old_errors + new_errors > 0 {
        let _ = writeln!(
            text,
            "\n**Errors in the files: {old_errors} old, {new_errors} new.** What is broken is left out; `weir check` names it."
        );
    }
    if difference.is_empty() {
        text.push_str("\nNothing changes.\n");
    }
    let sections = changes.iter().map(of_change);
    let sections = sections.chain(listeners.iter().map(of_listeners));
    let sections: Vec<String> = sections.chain(policies.iter().map(of_policy)).collect();
    for (index, section) in sections.iter().enumerate() {
        if text.len() + section.len() > MAX_BYTES {
            let _ = writeln!(
                text,
                "\n{} of {} changes do not fit in here; `weir diff` prints them all.",
                sections.len() - index,
                sections.len()
            );
            break;
        }
        text.push_str(section);
    }
    text
}

fn radius(
    BlastRadius {
        routes,
        rules,
        listeners,
        policies,
    }: &BlastRadius,
) -> String {
    format!(
        "| touched | |\n|---|---|\n| routes | {routes} |\n| rules | {rules} |\n| listeners | {listeners} |\n\
         | policies (status) | {policies} |"
    )
}

fn of_change(change: &Change) -> String {
    let Change {
        what,
        rules,
        invalid,
        fields,
    } = change;
    let places = rules.iter().map(|Place { rule, listener }| {
        format!(
            "{} on {}",
            code(&rule.to_string()),
            code(&listener.to_string())
        )
    });
    let mut text = list(*what, places);
    text.push_str(&table(invalid.as_ref(), change.refusal(), fields));
    text
}

fn of_listeners(
    ListenerChange {
        what,
        listeners,
        invalid,
        fields,
    }: &ListenerChange,
) -> String {
    let names = listeners
        .iter()
        .map(|it| format!("clients of {}", code(&it.to_string())));
    let mut text = list(*what, names);
    text.push_str(&table(invalid.as_ref(), "serves no route", fields));
    text
}

/// What something happens to, one on a line.
fn list(what: Presence, names: impl ExactSizeIterator<Item = String>) -> String {
    let mut text = String::from("\n");
    let more = names.len().saturating_sub(MAX_RULES);
    for name in names.take(MAX_RULES) {
        let _ = writeln!(text, "- {what}: {name}");
    }
    if more > 0 {
        let _ = writeln!(text, "- {what}: {more} more; `weir diff` prints them all");
    }
    text
}

/// The fields that change, on both sides.
fn table(invalid: Option<&Sides<String>>, refusal: &str, fields: &[FieldChange]) -> String {
    let mut text = String::new();
    if invalid.is_some() || !fields.is_empty() {
        text.push_str("\n| field | old | new |\n|---|---|---|\n");
    }
    if let Some(reason) = invalid {
        let (old, new) = cells(reason, |it| code(it));
        let _ = writeln!(text, "| {refusal} | {old} | {new} |");
    }
    for FieldChange { field, written } in fields {
        let (old, new) = cells(written, value);
        let _ = writeln!(text, "| {} | {old} | {new} |", code(field.as_str()));
    }
    text
}

fn of_policy(
    PolicyChange {
        policy,
        what,
        conditions,
    }: &PolicyChange,
) -> String {
    let mut text = format!(
        "\n- {what}: status of {}\n\n| condition | old | new |\n|---|---|---|\n",
        code(&policy.to_string())
    );
    for change in conditions {
        let ancestor = code(&change.ancestor.to_string());
        let ConditionChange {
            ancestor: _,
            condition,
            verdict,
        } = change;
        let (old, new) = cells(verdict, |it| code(&it.to_string()));
        let _ = writeln!(
            text,
            "| {} of {ancestor} | {old} | {new} |",
            code(condition)
        );
    }
    text
}

fn value(written: &Written) -> String {
    let Written { value: _, from } = written;
    format!("{} from {}", code(&written.text()), code(&from.to_string()))
}

fn cells<T>(Sides { old, new }: &Sides<T>, text: impl Fn(&T) -> String) -> (String, String) {
    let cell = |side: &Option<T>| side.as_ref().map_or_else(String::new, &text);
    (cell(old), cell(new))
}

/// Text as code, in a table too: one line, a fence that it does not hold, and bars that end no cell.
fn code(text: &str) -> String {
    let text = text.replace(['\n', '\r'], " ").replace('|', "\\|");
    let longest = text.split(|c| c != '`').map(str::len).max();
    let fence = "`".repeat(longest.unwrap_or_default() + 1);
    // A space at each end keeps the text's own backticks from the fence.
    let pad = if fence.len() > 1 { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_as_code() {
        for (text, expected) in [
            ("5", "`5`"),
            ("a|b", "`a\\|b`"),
            ("a`b", "`` a`b ``"),
            ("```", "```` ``` ````"),
            ("a\nb", "`a b`"),
        ] {
            assert_eq!(code(text), expected);
        }
    }
}
