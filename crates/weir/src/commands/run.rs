//! `weir run`: from the command line to a running gateway.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use anyhow::Result;
use clap::CommandFactory;
use clap::error::ErrorKind;
use weir_limiter::Clock;
use weir_proxy::{AccessLogForm, AccessLogOptions, Limits, Options};
use weir_resolve::Context;

use crate::admin::Token;
use crate::cli::{
    self, Cli, ExposureArgs, KubernetesArgs, PortMapping, ProviderKind, ReadingArgs, RunArgs,
};
use crate::provided::Provider;
use crate::run::{self, Exposure, Setup};
use crate::telemetry::LogControl;

/// Serves until a signal.
pub(crate) fn run(args: RunArgs, log: LogControl) -> Result<ExitCode> {
    let RunArgs {
        paths,
        provider,
        reading,
        port_map,
        backend,
        workers,
        bind,
        exposure:
            ExposureArgs {
                admin,
                admin_token_file,
                metrics,
            },
        drain_timeout,
        max_connections,
        max_memory,
        handover,
        access_log,
        access_log_fields,
        access_log_format,
        access_log_sample,
        kubernetes,
    } = args;
    let (provider, context) = provider_of(provider, &paths, reading, kubernetes);
    let port_map = one_to_one(&port_map).unwrap_or_else(|message| {
        Cli::command()
            .error(ErrorKind::ArgumentConflict, message)
            .exit()
    });
    let proxy = Options {
        workers: workers.map_or_else(one_per_core, usize::from),
        bind,
        port_map,
        limits: Limits {
            max_connections: usize::try_from(max_connections).unwrap_or(usize::MAX),
            ..Limits::default()
        },
        access_log: AccessLogOptions {
            target: access_log,
            form: match access_log_format {
                Some(format) => AccessLogForm::Text(format),
                None => AccessLogForm::Json(
                    (!access_log_fields.is_empty()).then_some(access_log_fields),
                ),
            },
            per_million: access_log_sample,
        },
        clock: Clock::system(),
        seed: None,
    };
    let setup = Setup {
        provider,
        context,
        overrides: backend,
        proxy,
        exposure: Exposure {
            admin,
            token: admin_token_file.map(|it| Token::read(&it)).transpose()?,
            metrics,
        },
        log,
        drain_timeout,
        handover,
        max_memory,
    };
    run::run(setup, |_| Ok(()))
}

/// Where resources come from, and what they do not say.
fn provider_of(
    kind: ProviderKind,
    paths: &[PathBuf],
    reading: ReadingArgs,
    kubernetes: KubernetesArgs,
) -> (Provider, Context) {
    let refuse = |kind, message: String| -> ! { Cli::command().error(kind, message).exit() };
    let mut context = reading.context();
    match (kind, paths) {
        (ProviderKind::Files, []) => refuse(
            ErrorKind::MissingRequiredArgument,
            "name the files and folders to serve, or a cluster with --provider kubernetes"
                .to_owned(),
        ),
        (ProviderKind::Files, paths) => (Provider::Files(cli::sources(paths)), context),
        (ProviderKind::Kubernetes, []) => {
            // A cluster may have other controllers, and backends that are not everybody's to reach.
            context.every_class = false;
            context.allow_loopback = false;
            let provider = kubernetes.provider(context.controller_name.clone(), identity());
            let provider =
                provider.unwrap_or_else(|message| refuse(ErrorKind::ValueValidation, message));
            (provider, context)
        }
        (ProviderKind::Kubernetes, _) => refuse(
            ErrorKind::ArgumentConflict,
            "--provider kubernetes reads no files: leave the paths out".to_owned(),
        ),
    }
}

/// What no other replica is called, also when it has the same name and process number on another machine.
fn identity() -> String {
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy().into_owned();
    let random =
        std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), std::process::id());
    format!("{host}_{random:016x}")
}

/// The workers of a gateway that was not told how many: one for each core.
pub(crate) fn one_per_core() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// The mappings as a map. A port can be served on one local port only, and a local port can serve but one.
fn one_to_one(mappings: &[PortMapping]) -> Result<BTreeMap<u16, u16>, String> {
    let mut ports = BTreeMap::new();
    let mut locals = BTreeMap::new();
    for PortMapping { port, local } in mappings.iter().copied() {
        if let Some(other) = ports.insert(port, local).filter(|it| *it != local) {
            return Err(format!(
                "--port-map {port}={other} and {port}={local} map one port twice: leave one of them out"
            ));
        }
        // 0 is another port each time.
        let taken = locals.insert(local, port).filter(|it| *it != port);
        if let Some(other) = taken.filter(|_| local != 0) {
            return Err(format!(
                "--port-map {other}={local} and {port}={local} map two ports to one: choose another for one of them"
            ));
        }
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_that_contradict_each_other_are_refused() {
        let cases = [
            (&["80=8080", "81=8081"][..], Ok(2)),
            (&["80=8080", "80=8080"], Ok(1)),
            (&["80=0", "81=0"], Ok(2)),
            (&["80=8080", "8080=80"], Ok(2)),
            (
                &["80=8080", "80=8081"],
                Err("--port-map 80=8080 and 80=8081 map one port twice: leave one of them out"),
            ),
            (
                &["80=8080", "81=8080"],
                Err(
                    "--port-map 80=8080 and 81=8080 map two ports to one: choose another for one of them",
                ),
            ),
        ];
        for (texts, expected) in cases {
            let mappings: Vec<PortMapping> = texts.iter().map(|it| it.parse().unwrap()).collect();
            let found = one_to_one(&mappings).map(|it| it.len());
            assert_eq!(found, expected.map_err(str::to_owned), "{texts:?}");
        }
    }
}
