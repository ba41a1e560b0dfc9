//! `weir quickstart`: a gateway on loopback with backends of its own, and what to try on it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio_util::sync::CancellationToken;
use tracing::error;
use weir_limiter::Clock;
use weir_plan::NamespacedName;
use weir_provider::Source;
use weir_proxy::{Limits, Options};

use super::run::one_per_core;
use crate::cli::{QuickstartArgs, ReadingArgs};
use crate::overrides::BackendOverride;
use crate::provided::Provider;
use crate::run::{self, Exposure, Gateway, Setup};
use crate::telemetry::LogControl;
use crate::{echo, output};

/// The files of `examples/quickstart`.
const FILES: [(&str, &str); 5] = [
    (
        "gateway.yaml",
        include_str!("../../../../examples/quickstart/gateway.yaml"),
    ),
    (
        "shop.yaml",
        include_str!("../../../../examples/quickstart/shop.yaml"),
    ),
    (
        "checkout.yaml",
        include_str!("../../../../examples/quickstart/checkout.yaml"),
    ),
    (
        "reports.yaml",
        include_str!("../../../../examples/quickstart/reports.yaml"),
    ),
    (
        "policies.test.yaml",
        include_str!("../../../../examples/quickstart/policies.test.yaml"),
    ),
];
/// The Services in them, which the process has backends for.
const SERVICES: [&str; 2] = ["shop", "reports"];
/// The port of those Services.
const SERVICE_PORT: u16 = 80;
/// The port of the Gateway in them.
const GATEWAY_PORT: u16 = 8080;

/// Serves until a signal.
pub(crate) fn quickstart(args: QuickstartArgs, log: LogControl) -> Result<ExitCode> {
    let QuickstartArgs {
        dir,
        port,
        admin,
        access_log,
    } = args;
    refuse_port_in_use(port)?;
    let folder = Folder::open(dir)?;
    let kept = write_missing(folder.path())?;
    let backends = SERVICES
        .into_iter()
        .map(start_backend)
        .collect::<Result<Vec<_>>>()?;
    let proxy = Options {
        workers: one_per_core(),
        bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port_map: BTreeMap::from([(GATEWAY_PORT, port)]),
        limits: Limits {
            // For somebody who tries it, on a machine that may allow few open files.
            max_connections: 256,
            ..Limits::default()
        },
        access_log: access_log.into(),
        clock: Clock::system(),
        seed: None,
    };
    let setup = Setup {
        provider: Provider::Files(vec![Source::Path(folder.path().to_owned())]),
        context: ReadingArgs {
            controller_name: None,
            allow_unenforced: false,
        }
        .context(),
        overrides: backends.clone(),
        proxy,
        exposure: Exposure {
            admin,
            token: None,
            metrics: None,
        },
        log,
        handover: None,
        max_memory: None,
        drain_timeout: Duration::from_secs(5),
    };
    let outcome = run::run(setup, |gateway| {
        output::print(&guide(gateway, folder.path(), &kept, &backends))
    });
    outcome.context("the quickstart could not start; --port and --admin move it to other ports")
}

/// Says it in terms of the flags that there are here, before anything is written.
fn refuse_port_in_use(port: u16) -> Result<()> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => bail!(
            "port {port} is in use, perhaps by another Weir; stop what listens there, or choose other ports with --port \
             PORT and --admin ADDR:PORT"
        ),
        // Whatever else is wrong shows when the gateway binds it.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The folder that is served. A temporary one is removed at the end.
enum Folder {
    Own(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Folder {
    fn open(dir: Option<PathBuf>) -> Result<Self> {
        match dir {
            Some(dir) => {
                fs::create_dir_all(&dir)
                    .with_context(|| format!("cannot make the folder {}", dir.display()))?;
                Ok(Self::Own(dir))
            }
            None => tempfile::Builder::new()
                .prefix("weir-quickstart-")
                .tempdir()
                .map(Self::Temporary)
                .context("cannot make a temporary folder; name one with --dir"),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Own(dir) => dir,
            Self::Temporary(dir) => dir.path(),
        }
    }
}

/// Writes the files that the folder lacks, and returns the names of those that it has.
fn write_missing(dir: &Path) -> Result<Vec<&'static str>> {
    let mut kept = Vec::new();
    for (name, text) in FILES {
        let path = dir.join(name);
        match fs::File::create_new(&path) {
            Ok(mut file) => {
                file.write_all(text.as_bytes())
                    .with_context(|| format!("cannot write {}", path.display()))?;
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => kept.push(name),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot write {}", path.display()));
            }
        }
    }
    Ok(kept)
}

fn start_backend(service: &'static str) -> Result<BackendOverride> {
    let listener = echo::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let address = listener
        .local_addr()
        .context("cannot tell the address of a backend")?;
    run::spawn(&format!("weir-{service}"), async move {
        if let Err(error) = echo::serve(listener, service, CancellationToken::new()).await {
            error!("{error:#}");
        }
    })?;
    Ok(BackendOverride {
        service: NamespacedName::new("default", service),
        port: SERVICE_PORT,
        address,
    })
}

/// What runs, and what to try on it.
fn guide(gateway: &Gateway, dir: &Path, kept: &[&str], backends: &[BackendOverride]) -> String {
    let address = gateway
        .in_force()
        .and_then(|it| it.addresses.get(&GATEWAY_PORT).copied());
    let mut text = String::from("\nWeir is running; Ctrl-C stops it.\n\n");
    let url = match address {
        Some(address) => format!("http://{address}"),
        None => {
            let dir = dir.display();
            return text
                + &format!(
                    "{dir} has no Gateway on port {GATEWAY_PORT} any more, so there is nothing to try.\n"
                );
        }
    };
    let dir = dir.display().to_string();
    let mut line = |name: &str, what: &str| text.push_str(&format!("  {name:<10}{what}\n"));
    line("gateway", &url);
    if let Some(admin) = gateway.admin() {
        line("admin API", &format!("http://{admin}"));
    }
    line("files", &format!("{dir} (edit them while it runs)"));
    if !kept.is_empty() {
        line(
            "",
            &format!("yours, left as they were: {}", kept.join(", ")),
        );
    }
    for BackendOverride {
        service,
        port,
        address,
    } in backends
    {
        line(
            "backend",
            &format!("{}:{port} is http://{address}", service.name),
        );
    }
    text.push_str("\nTry, in another terminal:\n");
    for (index, (what, command)) in tour(&url, &dir, gateway.admin()).iter().enumerate() {
        text.push_str(&format!("\n{}. {what}\n     {command}\n", index + 1));
    }
    text.push('\n');
    text
}

/// What to try: what it will show, and the command.
fn tour(url: &str, dir: &str, admin: Option<SocketAddr>) -> Vec<(&'static str, String)> {
    let code = "-s -o /dev/null -w '%{http_code}\\n'";
    let dir = shell_word(dir);
    let mut tour = vec![
        (
            "A request takes the route `shop`. Its backend fails two times of three; the gateway tries again: 200.",
            format!("curl -i '{url}/shop/cart?flaky=3'"),
        ),
        (
            "The route `checkout` allows 5 requests a minute: five times 200, then 429.",
            format!("for i in 1 2 3 4 5 6; do curl {code} {url}/checkout; done"),
        ),
        (
            "An edit takes effect: with a limit of 50 the same is 200 again.",
            format!(
                "sed -i 's/requests: 5$/requests: 50/' {dir}/checkout.yaml; sleep 0.5; curl {code} {url}/checkout"
            ),
        ),
        (
            "The circuit breaker of `reports` lets 2 requests through at a time: of four, two are 200 and two 503.",
            format!("for i in 1 2 3 4; do curl {code} '{url}/reports?delay=1s' & done; wait"),
        ),
    ];
    if let Some(admin) = admin {
        tour.push((
            "Why: what applies to `checkout`, and which policy said so.",
            format!("curl -s 'http://{admin}/api/explain?route=checkout'"),
        ));
    }
    tour
}

/// A path as one word of a shell.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_of_the_example_are_embedded() {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/quickstart");
        let mut there: Vec<String> = fs::read_dir(example)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        there.sort();
        let mut embedded = FILES.map(|(name, _)| name.to_owned());
        embedded.sort();
        assert_eq!(there, embedded);
    }

    #[test]
    fn files_of_the_user_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("shop.yaml"), "mine").unwrap();
        assert_eq!(write_missing(dir.path()).unwrap(), ["shop.yaml"]);
        assert_eq!(
            fs::read_to_string(dir.path().join("shop.yaml")).unwrap(),
            "mine"
        );
        assert_eq!(
            fs::read_to_string(dir.path().join("gateway.yaml")).unwrap(),
            FILES[0].1
        );
        assert_eq!(write_missing(dir.path()).unwrap().len(), FILES.len());
    }

    #[test]
    fn paths_are_quoted_for_shells() {
        assert_eq!(
            shell_word("/var/weir-quickstart-1"),
            "/var/weir-quickstart-1"
        );
        assert_eq!(shell_word("it's here"), r"'it'\''s here'");
    }
}
