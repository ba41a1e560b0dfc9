//! Tests of policies: documents beside the resources that say what applies to a request, run without a network.

mod action;
mod condition;
mod contradiction;
mod expectation;
mod failure;
mod format;
pub(crate) mod junit;
mod subject;
mod world;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::Serialize;
use weir_provider::{Location, OtherDocument};
use weir_resolve::foreign::Misfit;
use weir_resolve::{FieldPath, Severity};

pub(crate) use failure::Failure;
use format::{GROUP, Suite, Test};
use world::{World, Worlds};

use crate::cli::ReadingArgs;
use crate::findings::Finding;

/// What came of the tests.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    /// In the order of files and lines.
    pub(crate) tests: Vec<Outcome>,
}

/// What came of one test.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    #[serde(flatten)]
    pub(crate) location: Location,
    /// The name of its document.
    pub(crate) suite: String,
    pub(crate) name: String,
    pub(crate) passed: bool,
    pub(crate) failures: Vec<Failure>,
}

/// The tests ran, or why they could not.
#[derive(Debug)]
pub(crate) enum Run {
    Done(Report),
    /// Tests, or the resources that they are about, are not as they are written.
    Broken(Vec<Finding>),
}

/// Where the parts of one test stand.
#[derive(Clone, Copy, Debug)]
struct Places<'d> {
    document: &'d OtherDocument,
    index: usize,
}

impl Places<'_> {
    /// Of an expectation, by its path below `expect`; of the test itself for an empty path.
    fn of(&self, field: &str) -> Location {
        let test = FieldPath::new("spec.tests").index(self.index);
        let field = if field.is_empty() {
            test
        } else {
            test.child("expect").join(field)
        };
        self.document.locate(&field)
    }
}

/// Runs all tests that are in files.
///
/// # Errors
/// When a path is not there or cannot be read, or there are no tests.
pub(crate) fn run(paths: &[PathBuf], reading: ReadingArgs) -> Result<Run> {
    let mut worlds = Worlds::read(paths, reading)?;
    let others = worlds.everything().configuration.loaded.others(GROUP);
    let mut broken = worlds.everything().unreadable();
    let mut suites = Vec::new();
    for other in &others {
        match format::read(&other.value) {
            Ok(suite) => suites.push((other, suite)),
            Err(misfits) => broken.extend(misfits.into_iter().map(|it| finding(other, it))),
        }
    }
    if suites.is_empty() && broken.is_empty() {
        anyhow::bail!(
            "there are no tests in {}: expected documents with apiVersion weir.dev/v1alpha1 and kind PolicyTest",
            expectation::list(&paths.iter().map(|it| it.display()).collect::<Vec<_>>())
        );
    }
    let mut tests = Vec::new();
    for (other, suite) in suites {
        let place = other.locate(&FieldPath::new("spec.resources"));
        let world = worlds
            .of(other, &suite.resources)
            .with_context(|| format!("{}:{}: resources", place.file, place.line))?;
        broken.extend(world.errors());
        tests.extend(outcomes(world, other, suite));
    }
    broken.sort();
    broken.dedup();
    if !broken.is_empty() {
        return Ok(Run::Broken(broken));
    }
    let failed = tests.iter().filter(|it| !it.passed).count();
    Ok(Run::Done(Report {
        passed: tests.len() - failed,
        failed,
        tests,
    }))
}

fn outcomes(world: &World, document: &OtherDocument, suite: Suite) -> Vec<Outcome> {
    let Suite {
        name: suite,
        resources: _,
        tests,
    } = suite;
    let run = |(index, test): (usize, Test)| {
        let Test {
            name,
            subject,
            expect,
        } = test;
        let places = Places { document, index };
        let failures = expectation::unmet(world, &subject, &expect, &places);
        Outcome {
            location: places.of(""),
            suite: suite.clone(),
            name,
            passed: failures.is_empty(),
            failures,
        }
    };
    tests.into_iter().enumerate().map(run).collect()
}

fn finding(document: &OtherDocument, Misfit { at, id, message }: Misfit) -> Finding {
    Finding {
        location: Some(document.locate(&at)),
        severity: Severity::Error,
        id: id.into(),
        object: None,
        field: at,
        message,
    }
}
