//! `weir translate`: what files come to, as data.

use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;
use weir_plan::{EndpointMap, Plan};

use crate::cli::{ResourceArgs, TranslateArgs, Translation};
use crate::configuration::Configuration;
use crate::output;

/// Prints the plan or the statuses.
pub(crate) fn translate(args: TranslateArgs) -> Result<ExitCode> {
    let TranslateArgs {
        resources: ResourceArgs { paths, reading },
        to,
        output: format,
    } = args;
    let configuration = Configuration::read(&paths, reading)?;
    if let Some(left_out) = configuration.left_out() {
        output::say(&left_out)?;
    }
    output::print(&match to {
        Translation::Plan => output::data(&PlanView::of(&configuration), format)?,
        Translation::Status => output::data(&configuration.resolution.statuses, format)?,
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The plan together with the endpoints, which come apart from it.
#[derive(Debug, Serialize)]
pub(crate) struct PlanView<'a> {
    #[serde(flatten)]
    plan: &'a Plan,
    endpoints: &'a EndpointMap,
}

impl<'a> PlanView<'a> {
    pub(crate) fn of(configuration: &'a Configuration) -> Self {
        Self {
            plan: &configuration.resolution.plan,
            endpoints: &configuration.endpoints,
        }
    }
}
