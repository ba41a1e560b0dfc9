//! `weir explain`: which policy applies to a route rule, and why.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::OnceLock;

use anyhow::{Context as _, Result};
use clap::builder::styling::Style;
use weir_proxy::Router;

use crate::cli::{AnyFormat, DataFormat, ExplainArgs};
use crate::configuration::Configuration;
use crate::output;
use crate::question::{self, Answer, Explained, Question};

/// Prints the effective policy of the rules that were asked about.
pub(crate) fn explain(args: ExplainArgs) -> Result<ExitCode> {
    let ExplainArgs {
        route_and_paths,
        reading,
        request,
        headers,
        output: format,
    } = args;
    let (route, paths) = route_and_paths_apart(&route_and_paths)?;
    let question = match (request, route) {
        (Some(request), None) => Question::Request { request, headers },
        (Some(_), Some(route)) => {
            anyhow::bail!("--request finds the route itself; leave {route} out")
        }
        (None, Some(route)) => Question::Route(route.to_owned()),
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
        Answer::Explained(explained) => {
            output::print(&match format {
                AnyFormat::Text => text(&explained),
                AnyFormat::Yaml => output::data(&explained, DataFormat::Yaml)?,
                AnyFormat::Json => output::data(&explained, DataFormat::Json)?,
            })?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// A tree for each rule, under its name.
fn text(Explained { note, rules }: &Explained) -> String {
    let mut text = note
        .as_ref()
        .map_or_else(String::new, |note| format!("note: {note}\n\n"));
    let bold = Style::new().bold();
    for (index, rule) in rules.iter().enumerate() {
        let tree = rule.to_string();
        let (heading, rest) = tree.split_once('\n').unwrap_or((&tree, ""));
        let gap = if index == 0 { "" } else { "\n" };
        text.push_str(&format!("{gap}{bold}{heading}{bold:#}\n{rest}"));
    }
    text
}

/// The route, if the first argument is one, and the paths. What is there as a file or folder is a path.
fn route_and_paths_apart(arguments: &[PathBuf]) -> Result<(Option<&str>, &[PathBuf])> {
    let is_path = |path: &Path| path.as_os_str() == "-" || path.exists();
    match arguments {
        [only] if !is_path(only) => anyhow::bail!(
            "there is no file or folder {}; to explain a route, name it and then what to read: weir explain ROUTE PATH...",
            only.display()
        ),
        [first, rest @ ..] if !rest.is_empty() && !is_path(first) => {
            let route = first
                .to_str()
                .with_context(|| format!("{} is neither a path nor a route", first.display()))?;
            Ok((Some(route), rest))
        }
        paths => Ok((None, paths)),
    }
}
