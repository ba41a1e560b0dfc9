//! `weir check`: all that is wrong in files.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use jiff::Timestamp;
use serde::Serialize;
use weir_resolve::Severity;

use crate::cli::{CheckArgs, ResourceArgs};
use crate::configuration::Configuration;
use crate::findings::{self, Finding};
use crate::output;

/// Prints the findings; fails where one is an error.
pub(crate) fn check(args: CheckArgs) -> Result<ExitCode> {
    let CheckArgs {
        resources: ResourceArgs { paths, reading },
        output: format,
    } = args;
    let configuration = Configuration::read(&paths, reading)?;
    let findings = configuration.findings(&[], Timestamp::now());
    let (errors, warnings) = findings::count(&findings);
    let report = Report {
        errors,
        warnings,
        findings: &findings,
    };
    output::print(&output::either(format, &report, |report| {
        text(&configuration, report)
    })?)?;
    Ok(if errors == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[derive(Serialize)]
struct Report<'a> {
    errors: usize,
    warnings: usize,
    findings: &'a [Finding],
}

fn text(
    configuration: &Configuration,
    Report {
        errors,
        warnings,
        findings,
    }: &Report<'_>,
) -> String {
    let mut text = String::new();
    for finding in *findings {
        let line = finding.to_string();
        // Coloured is the word, wherever it stands in the line.
        let tag = format!("{}[{}]", findings::word(finding.severity), finding.id);
        let style = output::style(finding.severity);
        let _ = writeln!(
            text,
            "{}",
            line.replacen(&tag, &format!("{style}{tag}{style:#}"), 1)
        );
    }
    let counts = configuration.counts();
    let _ = writeln!(
        text,
        "{}{}, {} in {}, {} and {}",
        if *errors == 0 { "ok: " } else { "" },
        number(*errors, findings::word(Severity::Error)),
        number(*warnings, findings::word(Severity::Warning)),
        number(counts.gateways, "gateway"),
        number(counts.routes, "route"),
        if counts.policies == 1 {
            "1 policy".to_owned()
        } else {
            format!("{} policies", counts.policies)
        },
    );
    text
}

fn number(count: usize, of: &str) -> String {
    format!("{count} {of}{}", if count == 1 { "" } else { "s" })
}
