//! The text form of a difference: what changes under the names of those whom it changes, `-` before what was there and
//! `+` before what is there now.

use std::fmt;

use super::{
    BlastRadius, Change, Difference, FieldChange, ListenerChange, Place, PolicyChange, Presence,
    Touched, Verdict, Written,
};
use crate::explain;

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            blast_radius,
            changes,
            listeners,
            policies,
        } = self;
        for change in changes {
            writeln!(f, "{change}")?;
        }
        for change in listeners {
            writeln!(f, "{change}")?;
        }
        for policy in policies {
            writeln!(f, "{policy}")?;
        }
        if self.is_empty() {
            writeln!(f, "nothing changes")?;
        }
        writeln!(f, "{blast_radius}")
    }
}

impl fmt::Display for BlastRadius {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            routes,
            rules,
            listeners,
            policies,
        } = self;
        write!(
            f,
            "touched: routes {routes}, rules {rules}, listeners {listeners}, policies {policies}"
        )
    }
}

impl fmt::Display for Touched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.touched, self.of)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            rules,
            invalid,
            fields,
        } = self;
        for Place { rule, listener } in rules {
            writeln!(f, "{what}: {rule} on listener {listener}")?;
        }
        if let Some(invalid) = invalid {
            let line = |reason: &String| reason.replace('\n', "\n      ");
            both(f, self.refusal(), &invalid.old, &invalid.new, line)?;
        }
        self::fields(f, fields)
    }
}

impl fmt::Display for ListenerChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            listeners,
            invalid,
            fields,
        } = self;
        for listener in listeners {
            writeln!(f, "{what}: clients of listener {listener}")?;
        }
        if let Some(invalid) = invalid {
            let line = |reason: &String| reason.replace('\n', "\n      ");
            both(f, "serves no route", &invalid.old, &invalid.new, line)?;
        }
        self::fields(f, fields)
    }
}

/// A heading for each field, and what is written on each side.
fn fields(f: &mut fmt::Formatter<'_>, fields: &[FieldChange]) -> fmt::Result {
    for FieldChange { field, written } in fields {
        let line = |it: &Written| format!("{}  from {}", it.text(), it.from);
        both(f, field, &written.old, &written.new, line)?;
    }
    Ok(())
}

impl Change {
    /// What an invalid policy does to what comes to the rules.
    pub fn refusal(&self) -> &'static str {
        explain::refusal(self.rules.first().map(|it| it.rule.kind))
    }
}

impl fmt::Display for PolicyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            policy,
            what,
            conditions,
        } = self;
        writeln!(f, "{what}: status of {policy}")?;
        for change in conditions {
            let about = format!("{} of {}", change.condition, change.ancestor);
            let line = |it: &Verdict| it.to_string().replace('\n', "\n      ");
            both(f, about, &change.verdict.old, &change.verdict.new, line)?;
        }
        Ok(())
    }
}

/// A heading, and a line for each side that there is.
fn both<T>(
    f: &mut fmt::Formatter<'_>,
    heading: impl fmt::Display,
    old: &Option<T>,
    new: &Option<T>,
    line: impl Fn(&T) -> String,
) -> fmt::Result {
    writeln!(f, "  {heading}")?;
    for (sign, side) in [('-', old), ('+', new)] {
        if let Some(side) = side {
            writeln!(f, "    {sign} {}", line(side))?;
        }
    }
    Ok(())
}

impl Written {
    /// The value on one line.
    pub fn text(&self) -> String {
        explain::value_text(&self.value).into_owned()
    }
}

impl fmt::Display for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Removed => "removed",
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            status,
            reason,
            message,
        } = self;
        write!(f, "{status:?} ({reason}): {message}")
    }
}
