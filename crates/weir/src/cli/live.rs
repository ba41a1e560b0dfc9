//! The flags of the commands that talk to a running gateway, through its admin API.

use std::path::PathBuf;

use clap::Args;

use super::AnyFormat;

/// How a running gateway is reached.
#[derive(Debug, Args)]
#[command(next_help_heading = "Running gateway")]
pub(crate) struct ClientArgs {
    /// The admin API of the gateway, as HOST:PORT.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9901")]
    pub(crate) admin: String,
    /// A file with the token that it asks for.
    #[arg(long, value_name = "FILE")]
    pub(crate) admin_token_file: Option<PathBuf>,
}

/// Put an earlier configuration of a running gateway in force again, or list those there are.
///
/// The earlier configuration is held: edits of the files are read, and wait until it is released. A gateway that starts
/// anew serves what the files say.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 done, 1 the gateway refused, 2 could not run.

Examples:
  weir rollback --list      the last 20 configurations, and what each one changed
  weir rollback             the configuration before the one in force; again: one further back
  weir rollback 41          by its sequence or hash
  weir rollback --release   what the files say, from now on")]
pub(crate) struct RollbackArgs {
    /// The configuration: its sequence, or its hash or the beginning of it. Default: the one before the one in force;
    /// given again, the one before that.
    #[arg(value_name = "SEQUENCE|HASH")]
    pub(crate) to: Option<String>,
    /// Put in force what the files say, and follow them again.
    #[arg(long, conflicts_with = "to")]
    pub(crate) release: bool,
    /// List the configurations that can be gone back to, newest first.
    #[arg(long, conflicts_with_all = ["to", "release"])]
    pub(crate) list: bool,
    #[command(flatten)]
    pub(crate) gateway: ClientArgs,
    /// How what came of it is written.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: AnyFormat,
}

/// Say what a running gateway logs, or have it log something else until it ends.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 done, 1 the gateway refused, 2 could not run.

Examples:
  weir log-level                        what is logged now
  weir log-level debug
  weir log-level info,weir_proxy=debug")]
pub(crate) struct LogLevelArgs {
    /// error, warn, info, debug, trace, off, or a filter such as `info,weir_proxy=debug`. Default: say what it is.
    #[arg(value_name = "LEVEL", value_parser = super::log_level)]
    pub(crate) level: Option<String>,
    #[command(flatten)]
    pub(crate) gateway: ClientArgs,
    /// How it is written.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: AnyFormat,
}

/// Gather what somebody needs who helps you with a running gateway, in one file without secrets.
///
/// It has what the admin API shows: versions, the plan, policies and statuses, findings, the last configurations, metrics.
/// Names of hosts, routes and headers are in it; values of headers, query parameters and cookies, and contents of Secrets,
/// are not.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 written, 2 could not run.

Examples:
  weir support-bundle
  weir support-bundle --out ./for-support.tar.gz --admin 127.0.0.1:9901")]
pub(crate) struct SupportBundleArgs {
    /// The file to write. It must not be there yet.
    #[arg(long, value_name = "FILE", default_value = "weir-support.tar.gz")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) gateway: ClientArgs,
}
