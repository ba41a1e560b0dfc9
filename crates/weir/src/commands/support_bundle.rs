//! `weir support-bundle`: what the admin API of a running gateway shows, in one archive.

use std::fs::OpenOptions;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::cli::SupportBundleArgs;
use crate::client::{Answer, Client};
use crate::output;

/// The pages, and the files that they become.
const PAGES: [(&str, &str); 8] = [
    ("/readyz", "readyz.txt"),
    ("/api/status", "status.json"),
    ("/api/findings", "findings.json"),
    ("/api/plan", "plan.json"),
    ("/api/policies", "policies.json"),
    ("/api/log-level", "log-level.json"),
    ("/config", "config.json"),
    ("/metrics", "metrics.txt"),
];

/// Writes the archive, and says what is in it.
pub(crate) fn support_bundle(args: SupportBundleArgs) -> Result<ExitCode> {
    let SupportBundleArgs { out, gateway } = args;
    let client = Client::new(gateway)?;
    let pages = output::with_progress("asking the gateway", || {
        let pages = PAGES.iter().map(|(path, file)| match client.get(path)? {
            // A page that is refused, as `/readyz` is, says what is wrong.
            Answer::Body(text) | Answer::Refused(text) => Ok((*file, without_values(text))),
        });
        pages.collect::<Result<Vec<_>>>()
    })?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&out);
    let file =
        file.with_context(|| format!("cannot write {}; --out says where else to", out.display()))?;
    let what = || format!("cannot write {}", out.display());
    let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::default()));
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |it| it.as_secs());
    let version = format!("weir {} (the command)\n", env!("CARGO_PKG_VERSION"));
    let version = ("version.txt", version);
    let mut text = format!("wrote {}\n", out.display());
    for (name, content) in [version].iter().chain(&pages) {
        let mut header = tar::Header::new_gnu();
        header.set_size(u64::try_from(content.len()).unwrap_or(u64::MAX));
        header.set_mode(0o600);
        header.set_mtime(now);
        let path = format!("weir-support/{name}");
        archive
            .append_data(&mut header, path, content.as_bytes())
            .with_context(what)?;
        text.push_str(&format!("  {name}, {} bytes\n", content.len()));
    }
    let compressed = archive.into_inner().with_context(what)?;
    compressed.finish().with_context(what)?;
    text.push_str(
        "look at it before you hand it on: it has the names of your hosts, routes and headers\n",
    );
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// A page without the values of headers, query parameters and cookies, which may be credentials: neither those that are
/// asked for (what has a `name` and a `value`) nor those that are given (pairs of both).
fn without_values(page: String) -> String {
    let Ok(mut json) = serde_json::from_str(&page) else {
        return page;
    };
    redact(&mut json);
    format!("{json:#}\n")
}

fn redact(json: &mut Value) {
    match json {
        Value::Object(fields) => {
            let is_named = fields.get("name").is_some_and(Value::is_string);
            for (key, field) in fields {
                match (key.as_str(), field) {
                    ("value", field) if is_named => hide(field),
                    ("set" | "add" | "add_if_absent", Value::Array(pairs)) => {
                        let values = pairs.iter_mut().filter_map(|it| it.get_mut(1));
                        values.for_each(hide);
                    }
                    (_, field) => redact(field),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Hides all texts of a value.
fn hide(value: &mut Value) {
    match value {
        Value::String(text) => *text = "[redacted]".to_owned(),
        Value::Object(fields) => fields.values_mut().for_each(hide),
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
