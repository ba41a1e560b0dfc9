//! The text form of what applies to the clients of listeners, and of what a ClientTrafficPolicy affects.

use std::fmt;

use super::{ClientPolicyExplanation, DisplacedOnPort, ListenerEffect, ListenerExplanation};
use crate::effective::Lost;
use crate::explain::in_force::Source;
use crate::explain::policy::text::{SHOWN, fields, more, status, targets};
use crate::explain::text::tree;
use crate::explain::value_text;

impl fmt::Display for ListenerExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            listener,
            policy,
            settings,
            displaced,
            lost,
            invalid,
        } = self;
        writeln!(f, "listener {listener}")?;
        match policy {
            Some(policy) => writeln!(f, "  policy {policy}")?,
            None => writeln!(f, "  no policy for its clients")?,
        }
        if let Some(invalid) = invalid {
            let why = invalid.replace('\n', "\n    ");
            writeln!(f, "  serves no route, requests are answered 500: {why}")?;
        }
        if settings.iter().all(|it| it.from == Source::Default) && invalid.is_none() {
            writeln!(f, "  nobody sets anything: defaults apply")?;
        }
        tree(f, settings, 2)?;
        for it in displaced {
            writeln!(f, "  not in force: {it}")?;
        }
        for Lost { policy, reason } in lost {
            let reason = reason.replace('\n', "\n    ");
            writeln!(f, "  not in force: {policy}: {reason}")?;
        }
        Ok(())
    }
}

impl fmt::Display for DisplacedOnPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            field,
            value,
            from,
            by,
        } = self;
        let value = value_text(value);
        write!(
            f,
            "{field}: {value} from {from}: all listeners of the port have what {by} says, which comes first"
        )
    }
}

impl fmt::Display for ClientPolicyExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            policy,
            targets: of,
            listeners,
            effects,
            status: told,
        } = self;
        writeln!(f, "{policy}")?;
        targets(f, of)?;
        if effects.is_empty() {
            writeln!(f, "  affects nothing: no listener is under it")?;
        } else {
            writeln!(f, "  affects {listeners} listeners")?;
        }
        for effect in effects.iter().take(SHOWN) {
            write!(f, "{effect}")?;
        }
        more(f, effects.len(), "groups of listeners", 2)?;
        status(f, told)
    }
}

impl fmt::Display for ListenerEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            lost,
            invalid,
            of_port,
            displaced,
            listeners,
        } = self;
        match (lost, invalid) {
            (Some(reason), _) => {
                writeln!(f, "  not in force: {}", reason.replace('\n', "\n    "))?;
            }
            (None, Some(why)) => writeln!(
                f,
                "  invalid, so that no route is served: {}",
                why.replace('\n', "\n    ")
            )?,
            (None, None) if displaced.is_empty() => writeln!(f, "  in force as a whole")?,
            (None, None) => writeln!(f, "  in force but for this")?,
        }
        if !of_port.is_empty() {
            let of = fields(of_port);
            writeln!(f, "    but for {of}, which the whole port has in common")?;
        }
        for it in displaced {
            writeln!(f, "    loses {it}")?;
        }
        for listener in listeners.iter().take(SHOWN) {
            writeln!(f, "    {listener}")?;
        }
        more(f, listeners.len(), "listeners", 4)
    }
}
