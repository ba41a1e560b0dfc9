//! The command line: every command with its flags, defaults and help.
//!
//! Nothing is decided here; what a flag says is turned into the types of the crates that act on it.

mod diff;
mod generate;
mod kubernetes;
mod live;
mod run;
mod test;
mod values;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ColorChoice, Parser, Subcommand, ValueEnum};
use weir_provider::Source;
use weir_proxy::AccessLogTarget;
use weir_resolve::Context;
use weir_resolve::api::DEFAULT_CONTROLLER_NAME;

pub(crate) use diff::{DiffArgs, DiffFormat};
pub(crate) use generate::{CrdsArgs, GenerateArgs, Generated, ManArgs, ReferenceArgs};
pub(crate) use kubernetes::KubernetesArgs;
pub(crate) use live::{ClientArgs, LogLevelArgs, RollbackArgs, SupportBundleArgs};
pub(crate) use run::{ExposureArgs, ProviderKind, RunArgs};
pub(crate) use test::TestArgs;
use values::access_log;
pub(crate) use values::{Admin, PortMapping, duration, log_level};

/// An API gateway that enforces BackendTrafficPolicies on live traffic, and explains them.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) log: LogArgs,
    /// Whether what is printed is coloured. `auto`: on a terminal, unless NO_COLOR is set.
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "auto",
        global = true,
        help_heading = "Colours"
    )]
    pub(crate) color: ColorChoice,
}

const EXAMPLES: &str = "\
Examples:
  weir quickstart                     a gateway with backends, and what to try on it
  weir run ./gateway                  serve what a folder of YAML says, and follow its edits
  weir run --provider kubernetes      serve what a cluster says, and write statuses back
  weir check ./gateway                everything that is wrong in it
  weir explain shop ./gateway         the policy of the route `shop`, and where it comes from
  weir explain --request 'GET http://shop.example.com/cart' ./gateway
  weir diff git:main ./gateway        what an edit changes, and for which routes
  weir test ./gateway                 whether policies do what the tests beside them say
  weir translate ./gateway --to plan  what the gateway would enforce";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Quickstart(QuickstartArgs),
    Run(Box<RunArgs>),
    Check(CheckArgs),
    Explain(ExplainArgs),
    Diff(DiffArgs),
    Test(TestArgs),
    Translate(TranslateArgs),
    Rollback(RollbackArgs),
    LogLevel(LogLevelArgs),
    SupportBundle(SupportBundleArgs),
    Generate(GenerateArgs),
    Completion(CompletionArgs),
    Echo(EchoArgs),
}

/// How the process logs; the log goes to standard error.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// What is logged: error, warn, info, debug, trace, or a filter such as `info,weir_proxy=debug`. Default: info for
    /// commands that serve, warn for the others.
    #[arg(
        long,
        env = "WEIR_LOG",
        value_name = "LEVEL",
        global = true,
        help_heading = "Log",
        value_parser = log_level
    )]
    pub(crate) log_level: Option<String>,
    /// How log lines are written.
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "text",
        global = true,
        help_heading = "Log"
    )]
    pub(crate) log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// Which resources are read, and how they are understood.
#[derive(Debug, Args)]
pub(crate) struct ResourceArgs {
    /// Folders and files to read (*.yaml, *.yml, *.json; folders with all that is in them), or `-` for standard input.
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) reading: ReadingArgs,
}

/// How resources are understood.
#[derive(Clone, Debug, Args)]
pub(crate) struct ReadingArgs {
    /// Serve only GatewayClasses of this controller. Default: every class, with statuses in the name of
    /// weir.dev/gateway-controller.
    #[arg(long, value_name = "NAME")]
    pub(crate) controller_name: Option<String>,
    /// Serve routes under policies of kinds that are not enforced (such as SecurityPolicy), which otherwise answer 500.
    #[arg(long)]
    pub(crate) allow_unenforced: bool,
}

impl ReadingArgs {
    pub(crate) fn context(self) -> Context {
        let Self {
            controller_name,
            allow_unenforced,
        } = self;
        Context {
            every_class: controller_name.is_none(),
            controller_name: controller_name.unwrap_or_else(|| DEFAULT_CONTROLLER_NAME.to_owned()),
            support: weir_proxy::support,
            client_support: weir_proxy::CLIENT_SUPPORT,
            allow_unenforced,
            allow_loopback: true,
            addresses: weir_resolve::Addresses::Shared,
        }
    }
}

/// What the user named on the command line as a source of resources.
pub(crate) fn sources(paths: &[PathBuf]) -> Vec<Source> {
    paths
        .iter()
        .map(|path| {
            if path.as_os_str() == "-" {
                Source::Stdin
            } else {
                Source::Path(path.clone())
            }
        })
        .collect()
}

/// Try Weir: a gateway on loopback with backends of its own, and commands that show what its policies do.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir quickstart                     from a folder that is removed at the end
  weir quickstart --dir ./my-gateway  from a folder of yours; its files are left as they are
  weir quickstart --port 9080 --admin 127.0.0.1:9902")]
pub(crate) struct QuickstartArgs {
    /// The folder to serve. Files that it lacks are copied there; files that are there stay as they are. Default: a
    /// temporary folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// The port of the gateway on 127.0.0.1; 0: any free one.
    #[arg(long, default_value_t = 8080)]
    pub(crate) port: u16,
    /// The address of the admin API, or `off`.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9901")]
    pub(crate) admin: Admin,
    /// Where requests are logged, as JSON lines: off, stdout, or a file.
    #[arg(long, value_name = "TARGET", default_value = "off", value_parser = access_log)]
    pub(crate) access_log: AccessLogTarget,
}

/// Say all that is wrong in files, with file, line and field.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 no errors (there may be warnings), 1 errors found, 2 could not run.

Examples:
  weir check ./gateway
  weir check ./gateway -o json")]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) resources: ResourceArgs,
    /// How findings are written.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: AnyFormat,
}

/// Say which policy applies to a route or to the clients of a listener: every setting with the policy that set it, and the
/// policies that lost. Or say what a policy affects.
#[derive(Debug, Args)]
#[command(
    override_usage = "weir explain [OPTIONS] [ROUTE|LISTENER|POLICY] PATH...",
    after_help = "\
Exit codes: 0 explained, 1 there is no such route, listener or policy, or the request reaches no route, 2 could not run.

Examples:
  weir explain ./gateway              every route
  weir explain shop ./gateway         the route `shop`, in whatever namespace
  weir explain team-a/shop ./gateway
  weir explain shop/rule:checkout ./gateway
                                      its rule `checkout`; without a name shop/rule/0, and so on
  weir explain btp/team-a/limits ./gateway
                                      what the policy `limits` affects
  weir explain ctp/edge ./gateway     the same of the ClientTrafficPolicy `edge`
  weir explain listener/edge/https ./gateway
                                      how the listener `https` of `edge` deals with its clients
  weir explain --request 'GET http://shop.example.com/cart' -H 'x-user: 7' ./gateway"
)]
pub(crate) struct ExplainArgs {
    /// A route ([KIND/][NAMESPACE/]NAME), one rule of it (the same with /rule:NAME or /rule/INDEX behind it), a listener
    /// (listener/[[NAMESPACE/]GATEWAY/]NAME) or a policy (backendtrafficpolicy/NAMESPACE/NAME or btp/NAME,
    /// clienttrafficpolicy/NAMESPACE/NAME or ctp/NAME), then folders and files to read, or `-` for standard input. The
    /// first is taken as a path where there is such a file or folder.
    #[arg(required = true, value_name = "NAME|PATH")]
    pub(crate) subject_and_paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) reading: ReadingArgs,
    /// Explain the rule that this request would reach, such as 'GET http://shop.example.com/cart'. Its port is the
    /// Gateway's; without one 80, or the only one there is.
    #[arg(long, value_name = "METHOD URL")]
    pub(crate) request: Option<String>,
    /// A header of the request. May be repeated.
    #[arg(
        short = 'H',
        long = "header",
        value_name = "NAME: VALUE",
        requires = "request"
    )]
    pub(crate) headers: Vec<String>,
    /// How it is written.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: AnyFormat,
}

/// Print what files come to: the plan that a data plane enforces, or the status of every object.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 printed, 2 could not run.

Examples:
  weir translate ./gateway --to plan
  weir translate ./gateway --to status -o json")]
pub(crate) struct TranslateArgs {
    #[command(flatten)]
    pub(crate) resources: ResourceArgs,
    /// What to print.
    #[arg(long, value_name = "WHAT")]
    pub(crate) to: Translation,
    /// How it is written.
    #[arg(short, long, value_name = "FORMAT", default_value = "yaml")]
    pub(crate) output: DataFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Translation {
    /// Listeners, routes, clusters and endpoints with their settings.
    Plan,
    /// The conditions of every object.
    Status,
}

/// Write what a shell needs to complete commands and flags.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  source <(weir completion bash)                              in this bash
  weir completion bash > ~/.local/share/bash-completion/completions/weir
  weir completion zsh > \"${fpath[1]}/_weir\"
  weir completion fish > ~/.config/fish/completions/weir.fish")]
pub(crate) struct CompletionArgs {
    /// The shell.
    pub(crate) shell: clap_complete::Shell,
}

/// Run a backend to try a gateway on: it answers what it was asked, slowly or wrongly where it is told to.
#[derive(Debug, Args)]
#[command(after_help = crate::echo::CONTROLS)]
pub(crate) struct EchoArgs {
    /// Where it listens; port 0: any free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3000")]
    pub(crate) listen: SocketAddr,
    /// The name that it gives itself in its answers.
    #[arg(long, default_value = "echo")]
    pub(crate) name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DataFormat {
    Yaml,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AnyFormat {
    Text,
    Yaml,
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }
}
