//! Findings: what is wrong with an object, or worth saying about it, and where in it.

use std::fmt;

use serde::{Serialize, Serializer};
use weir_plan::NamespacedName;

pub use crate::field_path::FieldPath;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something does not take effect as written.
    Error,
    /// It takes effect, but perhaps not as meant.
    Warning,
}

/// Findings about one object that are told. Whoever wrote an object with more has enough to do with these.
pub(crate) const MAX_FINDINGS_OF_AN_OBJECT: usize = 100;

/// An object, as findings and statuses name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// Its API group; empty for the core group.
    pub group: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace (empty for kinds without one) and name.
    pub name: NamespacedName,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name.name)
        } else {
            write!(f, "{} {}", self.kind, self.name)
        }
    }
}

impl Serialize for ObjectRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Diagnostic {
    /// The object.
    pub object: ObjectRef,
    /// Where in it.
    pub field: FieldPath,
    /// How bad it is.
    pub severity: Severity,
    /// A stable name of this sort of finding in kebab-case, such as `unknown-field` or `backend-not-found`.
    pub id: &'static str,
    /// What is wrong, and what to do, in lower case without a full stop.
    pub message: String,
}

/// Collects findings.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    found: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Adds a finding.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    /// Adds an error.
    pub fn error(
        &mut self,
        object: &ObjectRef,
        field: FieldPath,
        id: &'static str,
        message: impl Into<String>,
    ) {
        let (object, message) = (object.clone(), message.into());
        self.push(Diagnostic {
            object,
            field,
            severity: Severity::Error,
            id,
            message,
        });
    }

    /// Adds a warning.
    pub fn warning(
        &mut self,
        object: &ObjectRef,
        field: FieldPath,
        id: &'static str,
        message: impl Into<String>,
    ) {
        let (object, message) = (object.clone(), message.into());
        self.push(Diagnostic {
            object,
            field,
            severity: Severity::Warning,
            id,
            message,
        });
    }

    /// The findings, sorted by object and place, each once.
    pub fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.found.sort();
        self.found.dedup();
        self.found
    }

    /// The findings as [`Self::into_sorted`] gives them, of each object at most 100, errors before warnings, and one that
    /// says how many there are besides.
    pub fn into_bounded(self) -> Vec<Diagnostic> {
        let found = self.into_sorted();
        let of_each = |found: &[Diagnostic]| found.len() <= MAX_FINDINGS_OF_AN_OBJECT;
        if found
            .chunk_by(|one, other| one.object == other.object)
            .all(of_each)
        {
            return found;
        }
        let mut bounded = Self::default();
        for of_object in found.chunk_by(|one, other| one.object == other.object) {
            let mut by_severity: Vec<&Diagnostic> = of_object.iter().collect();
            by_severity.sort_by_key(|it| it.severity);
            let told = by_severity.iter().take(MAX_FINDINGS_OF_AN_OBJECT);
            bounded.found.extend(told.map(|it| (*it).clone()));
            if let (Some(more @ 1..), [first, ..]) = (
                of_object.len().checked_sub(MAX_FINDINGS_OF_AN_OBJECT),
                of_object,
            ) {
                let text = format!(
                    "{more} more findings about this object are left out: mend these first"
                );
                bounded.error(
                    &first.object,
                    FieldPath::default(),
                    "too-many-findings",
                    text,
                );
            }
        }
        bounded.into_sorted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_object_with_many_findings_the_errors_are_told() {
        let object = |name: &str| ObjectRef {
            group: String::new(),
            kind: "Service".to_owned(),
            name: NamespacedName::new("ns", name),
        };
        let mut found = Diagnostics::default();
        let at = |index: usize| FieldPath::new("spec").index(index);
        (0..99).for_each(|index| found.warning(&object("full"), at(index), "a", "warning"));
        found.error(&object("full"), at(99), "a", "error");
        found.warning(&object("other"), at(0), "a", "warning");
        assert_eq!(found.clone().into_bounded(), found.clone().into_sorted());

        (100..300).for_each(|index| found.error(&object("full"), at(index), "a", "error"));
        let told = found.into_bounded();
        let (full, other): (Vec<_>, Vec<_>) =
            told.iter().partition(|it| it.object == object("full"));
        assert_eq!((full.len(), other.len()), (101, 1));
        assert!(full.iter().all(|it| it.severity == Severity::Error));
        assert_eq!(
            (full[0].id, full[0].message.as_str()),
            (
                "too-many-findings",
                "200 more findings about this object are left out: mend these first"
            )
        );
    }
}
