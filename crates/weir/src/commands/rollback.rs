//! `weir rollback`: an earlier configuration of a running gateway, in force again.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::cli::RollbackArgs;
use crate::client::{Answer, Client};
use crate::output;

/// Objects of a configuration that are named; the others are counted.
const NAMED: usize = 4;

/// Has an earlier configuration put in force, or released, or lists those there are.
pub(crate) fn rollback(args: RollbackArgs) -> Result<ExitCode> {
    let RollbackArgs {
        to,
        release,
        list,
        gateway,
        output: format,
    } = args;
    let client = Client::new(gateway)?;
    let answer = if list {
        client.get("/config")?
    } else if release {
        client.post("/api/rollback", &json!({ "release": true }))?
    } else {
        client.post("/api/rollback", &json!({ "to": to }))?
    };
    let body = match answer {
        Answer::Body(body) => body,
        Answer::Refused(why) => {
            output::say(&why)?;
            return Ok(ExitCode::FAILURE);
        }
    };
    let answer: Value = serde_json::from_str(&body).context("the answer is no JSON")?;
    let text = if list { listed } else { done };
    output::print(&output::either(format, &answer, text)?)?;
    Ok(ExitCode::SUCCESS)
}

fn done(answer: &Value) -> String {
    let (sequence, hash) = (&answer["sequence"], word(&answer["hash"]));
    match (&answer["restored"], answer["held"].as_bool()) {
        (Value::Number(restored), _) => format!(
            "configuration {restored} is in force again, as {sequence} ({hash}); edits wait until `weir rollback --release`\n"
        ),
        (_, Some(true)) => format!("configuration {sequence} ({hash}) is held\n"),
        (_, Some(false) | None) => {
            format!("what the files say is in force, as {sequence} ({hash})\n")
        }
    }
}

/// A line for each configuration, newest first, and what it changed.
fn listed(answer: &Value) -> String {
    let mut text = String::new();
    let history = answer["history"].as_array();
    for (index, entry) in history.into_iter().flatten().enumerate() {
        let note = match (index, answer["held"].as_bool()) {
            (0, Some(true)) => "  in force, held",
            (0, Some(false) | None) => "  in force",
            (1.., _) => "",
        };
        let _ = writeln!(
            text,
            "{:>6}  {}  {}{note}",
            entry["sequence"].to_string(),
            word(&entry["hash"]),
            word(&entry["applied"]),
        );
        if let Some(restored) = entry["restored"].as_u64() {
            let _ = writeln!(text, "        configuration {restored} again");
        }
        let Some(changed) = entry["changed"].as_array() else {
            let _ = writeln!(
                text,
                "        the first since the start, or since what is remembered"
            );
            continue;
        };
        for it in changed.iter().take(NAMED) {
            let (change, object) = (word(&it["change"]), word(&it["object"]));
            let _ = writeln!(text, "        {change} {object}");
        }
        let more =
            entry["more"].as_u64().unwrap_or(0) as usize + changed.len().saturating_sub(NAMED);
        if more > 0 {
            let _ = writeln!(text, "        and {more} more");
        }
        if changed.is_empty() {
            let _ = writeln!(text, "        no object");
        }
    }
    text
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
