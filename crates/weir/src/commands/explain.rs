//! `weir explain`: which policy applies to a route rule or a listener and why, or what a policy affects.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::OnceLock;

use anyhow::{Context as _, Result};
use clap::builder::styling::Style;
use serde::Serialize;
use weir_proxy::Router;

use crate::cli::{AnyFormat, ExplainArgs};
use crate::configuration::Configuration;
use crate::output;
use crate::question::{self, Answer, Explained, Question};

/// Prints the effective policy of the rules that were asked about, or what becomes of the policy.
pub(crate) fn explain(args: ExplainArgs) -> Result<ExitCode> {
    let ExplainArgs {
        subject_and_paths,
        reading,
        request,
        headers,
        output: format,
    } = args;
    let (subject, paths) = subject_and_paths_apart(&subject_and_paths)?;
    let question = match (request, subject) {
        (Some(request), None) => Question::Request { request, headers },
        (Some(_), Some(subject)) => {
            anyhow::bail!("--request finds the route itself; leave {subject} out")
        }
        (None, Some(subject)) => Question::about(subject),
        (None, None) => Question::All,
    };
    let configuration = Configuration::read(paths, reading)?;
    if let Some(left_out) = configuration.left_out() {
        output::say(&left_out)?;
    }
    let router = OnceLock::new();
    let router = || router.get_or_init(|| Router::new(&configuration.resolution.plan));
    match question::answer(&question, &configuration, router, &BTreeMap::new())? {
        Answer::Nothing(reason) => {
            output::say(&reason)?;
            Ok(ExitCode::FAILURE)
        }
        Answer::Explained(explained) => print(format, &explained, text),
        Answer::Policies(policies) => print(format, &policies, |it| trees(&it.policies)),
        Answer::ClientPolicies(policies) => print(format, &policies, |it| trees(&it.policies)),
        Answer::Listeners(listeners) => print(format, &listeners, |it| trees(&it.listeners)),
    }
}

fn print<T: Serialize>(format: AnyFormat, answer: &T, text: fn(&T) -> String) -> Result<ExitCode> {
    output::print(&output::either(format, answer, text)?)?;
    Ok(ExitCode::SUCCESS)
}

/// A tree for each rule, under its name.
fn text(Explained { note, rules }: &Explained) -> String {
    let mut text = note
        .as_ref()
        .map_or_else(String::new, |note| format!("note: {note}\n\n"));
    text.push_str(&trees(rules));
    text
}

/// Trees, one after the other, their roots in bold.
fn trees<T: Display>(all: &[T]) -> String {
    let mut text = String::new();
    let bold = Style::new().bold();
    for (index, it) in all.iter().enumerate() {
        let tree = it.to_string();
        let (heading, rest) = tree.split_once('\n').unwrap_or((&tree, ""));
        let gap = if index == 0 { "" } else { "\n" };
        text.push_str(&format!("{gap}{bold}{heading}{bold:#}\n{rest}"));
    }
    text
}

/// What is asked about, if the first argument says so, and the paths. What is there as a file or folder is a path.
fn subject_and_paths_apart(arguments: &[PathBuf]) -> Result<(Option<&str>, &[PathBuf])> {
    let is_path = |path: &Path| path.as_os_str() == "-" || path.exists();
    match arguments {
        [only] if !is_path(only) => anyhow::bail!(
            "there is no file or folder {}; to explain a route or a policy, name it and then what to read: weir explain NAME PATH...",
            only.display()
        ),
        [first, rest @ ..] if !rest.is_empty() && !is_path(first) => {
            let subject = first
                .to_str()
                .with_context(|| format!("{} is neither a path nor a name", first.display()))?;
            Ok((Some(subject), rest))
        }
        paths => Ok((None, paths)),
    }
}
