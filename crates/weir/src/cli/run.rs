//! The flags of `weir run`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use weir_proxy::{AccessLogTarget, TextFormat};

use super::values::{access_log, duration};
use super::{Admin, KubernetesArgs, PortMapping, ReadingArgs};
use crate::overrides::BackendOverride;

/// Serve what files or a cluster say, and follow their edits.
///
/// Edits take effect within milliseconds. What is broken is reported in the log and on the admin API, and its last
/// good version stays in force. Requests in progress are never dropped by a change.
#[derive(Debug, Args)]
#[command(after_help = "\
Exposure: listeners are bound to 127.0.0.1 unless --bind says otherwise (0.0.0.0 or :: for every
interface), and the admin API to 127.0.0.1:9901 unless --admin does. Where other machines may reach
it, it asks for the token of --admin-token-file. --metrics opens an address of its own for probes
and metrics alone.

Signals: SIGTERM and SIGINT end the process when the requests in progress are done; a second one
ends it at once.

Exit codes: 0 drained, 1 could not start or cut requests off, 2 wrong usage or a path that cannot
be read, 130 or 143 stopped at once.

Examples:
  weir run ./gateway --port-map 80=8080
  weir run ./gateway --backend default/shop:80=127.0.0.1:3000
  kustomize build . | weir run -
  weir run --provider kubernetes --kubeconfig ~/.kube/config --watch-namespaces shop,payments")]
pub(crate) struct RunArgs {
    /// Folders and files to read (*.yaml, *.yml, *.json; folders with all that is in them), or `-` for standard input.
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Where resources come from.
    #[arg(long, value_name = "PROVIDER", default_value = "files")]
    pub(crate) provider: ProviderKind,
    #[command(flatten)]
    pub(crate) reading: ReadingArgs,
    /// Serve the port A of Gateways on the local port B; 0: any free one. May be repeated or a list with commas.
    #[arg(long, value_name = "A=B", value_delimiter = ',')]
    pub(crate) port_map: Vec<PortMapping>,
    /// Send the requests for a Service's port to this address instead. May be repeated, also for one Service, whose
    /// requests are then spread.
    #[arg(long, value_name = "NS/SERVICE:PORT=ADDR:PORT")]
    pub(crate) backend: Vec<BackendOverride>,
    /// Threads that serve requests. Default: one for each core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub(crate) workers: Option<u16>,
    /// The address that listeners are bound to. On the default only this machine can reach them.
    #[arg(long, value_name = "ADDR", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub(crate) bind: IpAddr,
    #[command(flatten)]
    pub(crate) exposure: ExposureArgs,
    /// How long requests in progress may take to end after SIGTERM or SIGINT, such as 30s or 1m30s.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub(crate) drain_timeout: Duration,
    /// Connections from clients at one time; further ones are closed at once.
    #[arg(long, value_name = "N", default_value_t = 16_384, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_connections: u32,
    /// Memory above which new connections and requests are refused, and those in progress go on, such as 512Mi. Default: 90
    /// percent of what the control group of the process allows, or any amount.
    #[arg(long, value_name = "SIZE", value_parser = super::values::bytes)]
    pub(crate) max_memory: Option<u64>,
    /// A Unix socket at which this process hands its listening sockets to the next one that is started with it, and takes
    /// those of the one before: for restarts without a refused connection.
    #[arg(long, value_name = "PATH")]
    pub(crate) handover: Option<PathBuf>,
    /// Where requests are logged, a line each: off, stdout, or a file.
    #[arg(long, value_name = "TARGET", default_value = "stdout", value_parser = access_log)]
    pub(crate) access_log: AccessLogTarget,
    /// The keys that a line of it has as JSON, with commas. Default: all of them.
    #[arg(long, value_name = "KEYS", value_delimiter = ',', value_parser = super::values::access_log_key)]
    pub(crate) access_log_fields: Vec<String>,
    /// What a line of it has as text, by Envoy's command operators, such as '%START_TIME% "%REQ(:METHOD)% %REQ(:PATH)%"
    /// %RESPONSE_CODE%'. Default: lines are JSON.
    #[arg(long, value_name = "TEXT", value_parser = super::values::access_log_format, conflicts_with = "access_log_fields")]
    pub(crate) access_log_format: Option<TextFormat>,
    /// The share of the requests that are logged, in percent, such as 1 or 0.5. Requests with a response flag or a status from
    /// 500 on are all logged.
    #[arg(long, value_name = "PERCENT", default_value = "100", value_parser = super::values::per_million)]
    pub(crate) access_log_sample: u32,
    #[command(flatten)]
    pub(crate) kubernetes: KubernetesArgs,
}

/// Where resources come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProviderKind {
    /// The files and folders that are named.
    Files,
    /// The API server of a cluster, which is told statuses.
    Kubernetes,
}

/// Where the process can be looked at and told what to do.
#[derive(Debug, Args)]
pub(crate) struct ExposureArgs {
    /// The address of the admin API (port 0: any free one), or `off`.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9901")]
    pub(crate) admin: Admin,
    /// A file with the token that the admin API asks for (`Authorization: Bearer TOKEN`): 16 to 4096 characters of one
    /// line. Needed where --admin is not a loopback address.
    #[arg(long, value_name = "FILE")]
    pub(crate) admin_token_file: Option<PathBuf>,
    /// A further address for /healthz, /readyz and /metrics alone, which asks for no token. Default: none; the admin API
    /// has them.
    #[arg(long, value_name = "ADDR")]
    pub(crate) metrics: Option<SocketAddr>,
}
