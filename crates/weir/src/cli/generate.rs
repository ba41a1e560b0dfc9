//! The flags of `weir generate`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Write what is derived from the program itself.
#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    #[command(subcommand)]
    pub(crate) what: Generated,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Generated {
    Reference(ReferenceArgs),
    Crds(CrdsArgs),
}

/// The reference page of the command line, as Markdown.
#[derive(Debug, Args)]
pub(crate) struct ReferenceArgs {
    /// The folder to write `command-line.md` to; it is made where it is missing. Default: standard output.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// The CustomResourceDefinitions of BackendTrafficPolicy, Backend and HTTPRouteFilter, as YAML.
#[derive(Debug, Args)]
pub(crate) struct CrdsArgs {
    /// The folder to write a file for each kind to; it is made where it is missing. Default: standard output.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}
