//! The text form of what a policy affects: a tree, cut off where it would fill screens.

use std::fmt;

use super::{
    BlastRadius, DisplacedFields, Effect, LimitExplanation, PolicyExplanation, Role,
    TargetExplanation,
};
use crate::diagnostics::FieldPath;
use crate::diff::Place;
use crate::explain::refusal;
use crate::status::PolicyAncestorStatus;

/// So many effects, and rules of each, are shown as text; JSON has all.
pub(crate) const SHOWN: usize = 20;

impl fmt::Display for PolicyExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            policy,
            targets,
            blast_radius,
            effects,
            limits,
            status,
        } = self;
        writeln!(f, "{policy}")?;
        self::targets(f, targets)?;
        let BlastRadius {
            routes,
            rules,
            listeners,
        } = blast_radius;
        if effects.is_empty() {
            writeln!(f, "  affects nothing: no rule is under it")?;
        } else {
            writeln!(
                f,
                "  affects {} of {} routes under it, {} of {} rules, on {} of {} listeners",
                routes.touched, routes.of, rules.touched, rules.of, listeners.touched, listeners.of
            )?;
        }
        for effect in effects.iter().take(SHOWN) {
            write!(f, "{effect}")?;
        }
        more(f, effects.len(), "groups of rules", 2)?;
        if !limits.is_empty() {
            writeln!(f, "  limits")?;
        }
        for it in limits {
            writeln!(f, "    {it}")?;
        }
        self::status(f, status)
    }
}

/// What became of the targets.
pub(crate) fn targets(f: &mut fmt::Formatter<'_>, targets: &[TargetExplanation]) -> fmt::Result {
    writeln!(f, "  targets")?;
    for it in targets.iter().take(SHOWN) {
        writeln!(f, "    {it}")?;
    }
    more(f, targets.len(), "targets", 4)
}

/// What the policy is told.
pub(crate) fn status(f: &mut fmt::Formatter<'_>, status: &[PolicyAncestorStatus]) -> fmt::Result {
    if !status.is_empty() {
        writeln!(f, "  status")?;
    }
    for PolicyAncestorStatus {
        ancestor_ref,
        controller_name: _,
        conditions,
    } in status
    {
        writeln!(f, "    {ancestor_ref}")?;
        for it in conditions {
            let message = it.message.replace('\n', "\n        ");
            writeln!(
                f,
                "      {} {} ({}): {message}",
                it.r#type, it.status, it.reason
            )?;
        }
    }
    Ok(())
}

impl fmt::Display for TargetExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            field,
            target,
            attached: _,
            reason,
        } = self;
        write!(f, "{field}: ")?;
        match (target, reason) {
            (Some(target), None) => f.write_str(target),
            (Some(target), Some(reason)) => write!(f, "{target}: not attached: {reason}"),
            (None, reason) => f.write_str(reason.as_deref().unwrap_or("not found")),
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            role,
            counts,
            displaced,
            invalid,
            rules,
        } = self;
        match role {
            Role::Whole | Role::MergedInto { .. } if !counts => {
                writeln!(f, "  not in force, as nothing of it is left")?;
            }
            Role::Whole if displaced.is_empty() => writeln!(f, "  in force as a whole")?,
            Role::Whole => writeln!(f, "  in force but for this")?,
            Role::MergedInto { policy } => writeln!(f, "  in force, merged into {policy}")?,
            Role::Beneath {
                policy,
                sets,
                loses: _,
            } if sets.is_empty() && displaced.is_empty() => writeln!(
                f,
                "  not in force: {policy}, merged into it, replaces all of it"
            )?,
            Role::Beneath {
                policy,
                sets,
                loses,
            } => {
                writeln!(f, "  in force beneath {policy}, which is merged into it")?;
                for (what, of) in [("sets", sets), ("loses", loses)] {
                    if !of.is_empty() {
                        writeln!(f, "    {what} {}", fields(of))?;
                    }
                }
            }
            Role::Lost { reason } => {
                writeln!(f, "  not in force: {}", reason.replace('\n', "\n    "))?;
            }
        }
        for DisplacedFields { reason, fields: of } in displaced {
            writeln!(f, "    loses {}: {reason}", fields(of))?;
        }
        if let Some(invalid) = invalid {
            let what = refusal(rules.first().map(|it| it.rule.kind));
            writeln!(f, "    {what}: {}", invalid.replace('\n', "\n      "))?;
        }
        let mut last = None;
        for Place { rule, listener } in rules.iter().take(SHOWN) {
            if last != Some(listener) {
                writeln!(f, "    {listener}")?;
                last = Some(listener);
            }
            writeln!(f, "      {rule}")?;
        }
        more(f, rules.len(), "rules", 6)
    }
}

/// Fields on one line.
pub(crate) fn fields<'a>(all: impl IntoIterator<Item = &'a FieldPath>) -> String {
    let all: Vec<&str> = all.into_iter().map(FieldPath::as_str).collect();
    match all.len().saturating_sub(SHOWN) {
        0 => all.join(", "),
        more => format!(
            "{} and {more} more; -o json has all",
            all[..SHOWN].join(", ")
        ),
    }
}

impl fmt::Display for LimitExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            field,
            limit,
            buckets,
            per_value,
        } = self;
        let plural = if *buckets == 1 { "" } else { "s" };
        write!(f, "{field}: {limit}, {buckets} bucket{plural}")?;
        f.write_str(if *per_value { " for each value" } else { "" })
    }
}

/// How many there are besides those shown.
pub(crate) fn more(
    f: &mut fmt::Formatter<'_>,
    count: usize,
    of: &str,
    indent: usize,
) -> fmt::Result {
    match count.saturating_sub(SHOWN) {
        0 => Ok(()),
        more => writeln!(f, "{:indent$}and {more} more {of}; -o json has all", ""),
    }
}
