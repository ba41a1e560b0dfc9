//! `weir log-level`: what a running gateway logs.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::cli::LogLevelArgs;
use crate::client::{Answer, Client};
use crate::output;

/// Prints the level that is logged, after changing it where one is given.
pub(crate) fn log_level(args: LogLevelArgs) -> Result<ExitCode> {
    let LogLevelArgs {
        level,
        gateway,
        output: format,
    } = args;
    let client = Client::new(gateway)?;
    let answer = match level {
        None => client.get("/api/log-level")?,
        Some(level) => client.post("/api/log-level", &json!({ "level": level }))?,
    };
    match answer {
        Answer::Body(body) => {
            let answer: Value = serde_json::from_str(&body).context("the answer is no JSON")?;
            let text = |it: &Value| format!("{}\n", it["level"].as_str().unwrap_or_default());
            output::print(&output::either(format, &answer, text)?)?;
            Ok(ExitCode::SUCCESS)
        }
        Answer::Refused(why) => {
            output::say(&why)?;
            Ok(ExitCode::FAILURE)
        }
    }
}
