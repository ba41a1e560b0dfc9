//! `weir test`: runs the tests of policies that are in files.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::builder::styling::AnsiColor;

use crate::cli::{ResourceArgs, TestArgs};
use crate::output::{self, printable};
use crate::policy_test::{self, Outcome, Report, Run, junit};

/// Prints what came of the tests; fails where one failed.
pub(crate) fn test(args: TestArgs) -> Result<ExitCode> {
    let TestArgs {
        resources: ResourceArgs { paths, reading },
        junit: junit_file,
        output: format,
    } = args;
    let report = match policy_test::run(&paths, reading)? {
        Run::Done(report) => report,
        Run::Broken(findings) => {
            let mut text = String::new();
            for finding in findings {
                let _ = writeln!(text, "{finding}");
            }
            text.push_str("weir: the tests did not run; mend the files first\n");
            std::io::stderr()
                .write_all(text.as_bytes())
                .context("cannot write to standard error")?;
            return Ok(ExitCode::from(2));
        }
    };
    if let Some(file) = junit_file {
        std::fs::write(&file, junit::write(&report))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    output::print(&output::either(format, &report, text)?)?;
    Ok(if report.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn text(report: &Report) -> String {
    let Report {
        passed,
        failed,
        tests,
    } = report;
    let (green, red) = (
        AnsiColor::Green.on_default(),
        AnsiColor::Red.on_default().bold(),
    );
    let mut text = String::new();
    for test in tests {
        let Outcome {
            location: _,
            suite,
            name,
            passed,
            failures,
        } = test;
        let (suite, name) = (printable(suite), printable(name));
        if *passed {
            let _ = writeln!(text, "{green}ok{green:#}    {suite}: {name}");
            continue;
        }
        let _ = writeln!(text, "{red}FAIL{red:#}  {suite}: {name}");
        for failure in failures {
            for line in failure.to_string().lines() {
                let _ = writeln!(text, "      {}", printable(line));
            }
        }
    }
    let _ = writeln!(text, "{passed} passed, {failed} failed");
    text
}
