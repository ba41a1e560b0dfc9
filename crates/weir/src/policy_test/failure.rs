//! An expectation that was not met, with what was found instead and why.

use std::fmt::{self, Display};

use serde::Serialize;
use weir_provider::Location;

/// What a test expected and did not find.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Failure {
    /// Where the expectation is written.
    #[serde(flatten)]
    pub(crate) location: Location,
    /// What it is about, such as `settings circuitBreaker.maxConnections`.
    pub(crate) what: String,
    pub(crate) expected: String,
    pub(crate) found: String,
    /// Where it was found: a rule on a listener, or an ancestor of a policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) place: Option<String>,
    /// Who set it, and who lost.
    pub(crate) because: Vec<String>,
}

/// Several lines; the first has the place in the file.
impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            location: Location { file, line },
            what,
            expected,
            found,
            place,
            because,
        } = self;
        writeln!(f, "{file}:{line}: {what}")?;
        writeln!(f, "  expected  {}", indented(expected))?;
        writeln!(f, "  found     {}", indented(found))?;
        if let Some(place) = place {
            writeln!(f, "  on        {place}")?;
        }
        for reason in because {
            writeln!(f, "  because   {}", indented(reason))?;
        }
        Ok(())
    }
}

fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n            ")
}
