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
    Man(ManArgs),
}

/// The reference of the command line and of every field of our kinds, as Markdown.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir generate reference --out ./reference")]
pub(crate) struct ReferenceArgs {
    /// The folder to write the pages to; it is made where it is missing. Default: standard output.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// The CustomResourceDefinitions of BackendTrafficPolicy, Backend, HTTPRouteFilter and ClientTrafficPolicy, as YAML.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir generate crds --out ./crds
  weir generate crds | kubectl apply --server-side -f -")]
pub(crate) struct CrdsArgs {
    /// The folder to write a file for each kind to; it is made where it is missing. Default: standard output.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// The manual pages of `weir` and its commands, for `man`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir generate man --out ~/.local/share/man/man1
  weir generate man | man -l -")]
pub(crate) struct ManArgs {
    /// The folder to write `weir.1` and a page for each command to; it is made where it is missing. Default: standard
    /// output.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}
